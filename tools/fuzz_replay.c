/*
 * main() for a fuzz target without a fuzzer: runs it over every file of the folders (or files)
 * named on the command line, and over the empty input. A folder that is not there counts as empty.
 */

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t n_inputs;

static void replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    /* Exactly as many bytes as the input has, so that ASan sees the first one too many. */
    uint8_t *data = malloc(size > 0 ? size : 1);

    if (f == NULL || data == NULL || fread(data, 1, size, f) != size) {
        (void)fprintf(stderr, "%s: cannot read\n", path);
        exit(1);
    }
    (void)fclose(f);
    /* Last line of the log when it crashes: which input did. */
    (void)printf("%s\n", path);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    n_inputs++;
}

static void replay(const char *path)
{
    struct stat st;
    DIR *dir;
    struct dirent *entry;

    if (stat(path, &st) < 0) {
        if (errno != ENOENT) {
            perror(path);
            exit(1);
        }
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return;
    }
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir)) != NULL) {
        char name[4096];
        int n = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);

        if (entry->d_name[0] != '.' && n > 0 && (size_t)n < sizeof(name)) {
            replay(name);
        }
    }
    (void)closedir(dir);
}

int main(int argc, char **argv)
{
    static const uint8_t empty[1];

    (void)LLVMFuzzerTestOneInput(empty, 0);
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    (void)printf("%zu inputs\n", n_inputs);
    return 0;
}
