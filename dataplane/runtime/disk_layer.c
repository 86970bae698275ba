/* A runtime layer that is a directory tree. Main thread; blocking reads, all bounded. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/runtime/layers_internal.h"

#define DEPTH_MAX 16 /* as Envoy */
#define FILES_MAX 10000
#define FILE_BYTES_MAX (64 * 1024)

/* Without comments and empty lines; the last line also without the white space at its end. */
static void strip_comments(struct str text, struct strbuf *out)
{
    struct str rest = text;
    struct str line;
    size_t last = 0; /* where the last line begins */

    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        if (line.len == 0 || line.ptr[0] == '#') {
            continue;
        }
        if (out->len > 0) {
            strbuf_add_char(out, '\n');
        }
        last = out->len;
        strbuf_add_str(out, line);
    }
    while (out->len > last && (unsigned char)out->ptr[out->len - 1] <= ' ') {
        strbuf_truncate(out, out->len - 1);
    }
}

static int read_file(const char *path, struct strbuf *out, struct error *reterr)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = 0;

    if (fd < 0) {
        return error_set(reterr, E_SYS, "unable to read file: %s: %s", path, strerror(errno));
    }
    while (out->len <= FILE_BYTES_MAX && (n = read(fd, text, sizeof(text))) > 0) {
        strbuf_add(out, text, (size_t)n);
    }
    (void)close(fd); /* nothing was written */
    if (n < 0) {
        return error_set(reterr, E_SYS, "unable to read file: %s", path);
    }
    return out->len > FILE_BYTES_MAX
               ? error_set(reterr, E_LIMIT, "%s is larger than %d bytes", path, FILE_BYTES_MAX)
               : 0;
}

static int add_file(const char *path, const char *key, struct entry_list *l, struct error *reterr)
{
    struct strbuf text;
    struct strbuf value;
    int r;

    if (l->count >= FILES_MAX) {
        return error_set(reterr, E_LIMIT, "more than %d files", FILES_MAX);
    }
    strbuf_init(&text);
    strbuf_init(&value);
    r = read_file(path, &text, reterr);
    if (r == 0) {
        strip_comments(strbuf_str(&text), &value);
        entry_list_add(l, str_c(key), strbuf_str(&value));
    }
    strbuf_done(&text);
    strbuf_done(&value);
    return r;
}

static int walk(const char *path, const char *prefix, int depth, struct entry_list *l,
                struct error *reterr);

static int walk_entry(const char *path, const char *prefix, const char *name, int depth,
                      struct entry_list *l, struct error *reterr)
{
    struct strbuf full;
    struct strbuf key;
    struct stat st;
    int r = 0;

    strbuf_init(&full);
    strbuf_init(&key);
    strbuf_addf(&full, "%s/%s", path, name);
    strbuf_addf(&key, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
    if (stat(full.ptr, &st) == 0) { /* a link to nowhere is no entry */
        if (S_ISDIR(st.st_mode)) {
            r = walk(full.ptr, key.ptr, depth + 1, l, reterr);
        } else if (S_ISREG(st.st_mode)) {
            r = add_file(full.ptr, key.ptr, l, reterr);
        }
    }
    strbuf_done(&full);
    strbuf_done(&key);
    return r;
}

static int walk(const char *path, const char *prefix, int depth, struct entry_list *l,
                struct error *reterr)
{
    DIR *directory;
    struct dirent *e;
    int r = 0;

    if (depth > DEPTH_MAX) {
        return error_set(reterr, E_LIMIT, "Walk recursion depth exceeded %d", DEPTH_MAX);
    }
    directory = opendir(path);
    if (directory == NULL) {
        return error_set(reterr, E_SYS, "unable to open directory %s: %s", path, strerror(errno));
    }
    while (r == 0 && (e = readdir(directory)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            r = walk_entry(path, prefix, e->d_name, depth, l, reterr);
        }
    }
    (void)closedir(directory); /* nothing was written */
    return r;
}

int disk_layer_read(const char *path, struct entry_list *l, struct error *reterr)
{
    return walk(path, "", 1, l, reterr);
}
