#ifndef DATAPLANE_BASE_LOG_FORMAT_H
#define DATAPLANE_BASE_LOG_FORMAT_H

/*
 * --log-format: one line of the process log by a pattern in spdlog's syntax, Envoy's own flags
 * (%_ and %j, the message escaped) included. No state but a cached calendar per thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"

#define LOG_FORMAT_DEFAULT "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"

struct log_record {
    uint64_t wall_ns;
    int thread_id;
    enum log_level level;
    const char *logger;
    const char *file;
    int line;
    struct str message;
};

/* Appends the line, without its newline. What no flag is stands as it is. */
void log_format_line(struct strbuf *out, const char *pattern, const struct log_record *r);
/* C escapes, as --log-format-escaped: "\n", "\"", "\303". */
void log_escape(struct strbuf *out, struct str text);

#endif
