/* Entry point: options, one server, exit code. */

#include <stdio.h>

#include "dataplane/server/crash.h"
#include "dataplane/server/server.h"

int main(int argc, char **argv)
{
    static struct server server;
    struct options options = {0};
    struct error err;
    int r;

    crash_init(options_version());
    (void)crash_thread_init(); /* main's, for good */
    error_init(&err);
    r = options_parse(argc, argv, &options, &err);
    if (r != 0) {
        fprintf(stderr, "%s\n\nFor complete USAGE and HELP type:\n   %s --help\n\n",
                error_message(&err), argv[0]);
        error_done(&err);
        return 1;
    }
    if (options.should_exit) {
        return 0;
    }
    r = server_init(&server, &options, &err);
    if (r != 0) {
        log_critical(LOG_C_MAIN, "error initializing configuration '%s': %s",
                     options.config_path == NULL ? "" : options.config_path, error_message(&err));
        fprintf(stderr, "%s\n", error_message(&err));
        error_done(&err);
        return 1;
    }
    if (options.mode == MODE_VALIDATE) {
        printf("configuration '%s' OK\n", options.config_path != NULL ? options.config_path : "");
        return 0;
    }
    server_run(&server);
    return 0;
}
