/* Memory as the kernel counts it. See memory.h. */

#include "dataplane/overload/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/str.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_BYTES 1024
#define STAT_BYTES 8192
/* Version 1 says "no limit" as the largest number of whole pages. */
#define V1_UNLIMITED (UINT64_C(1) << 62)

/* Where a version keeps what. */
struct cgroup_layout {
    const char *mount; /* below the root */
    const char *limit;
    const char *usage;
    const char *cache[2]; /* lines of memory.stat, to be added */
};

static const struct cgroup_layout LAYOUTS[] = {
    {"/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file "}},
    {"", "memory.max", "memory.current", {"inactive_file ", "active_file "}},
};

static int read_all(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);

    if (n <= 0) {
        return E_SYS;
    }
    text[n] = '\0';
    return 0;
}

static int read_number(int fd, uint64_t *ret)
{
    char text[64];

    if (read_all(fd, text, sizeof(text)) != 0 || sscanf(text, "%" SCNu64, ret) != 1) {
        return E_SYS;
    }
    return 0;
}

static int open_file(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof(path), "%s/%s", folder, name);

    return n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static uint64_t folder_limit(const char *folder, const struct cgroup_layout *v)
{
    int fd = open_file(folder, v->limit);
    uint64_t limit;

    if (fd < 0) {
        return MEMORY_UNLIMITED; /* the root of version 2 has none */
    }
    if (read_number(fd, &limit) != 0 || limit >= V1_UNLIMITED) {
        limit = MEMORY_UNLIMITED; /* "max" */
    }
    close(fd);
    return limit;
}

/* The path behind "0::" (version 2) or ":memory:" in /proc/self/cgroup. */
static void own_group(bool is_v1, char *ret, size_t size)
{
    char text[STAT_BYTES];
    struct str rest;
    struct str line;
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);

    ret[0] = '\0';
    if (fd < 0) {
        return;
    }
    if (read_all(fd, text, sizeof(text)) == 0) {
        rest = str_c(text);
        while (rest.len > 0 && str_split(&rest, '\n', &line)) {
            struct str number;
            struct str controllers;
            struct str one;
            bool is_ours = false;

            if (!str_split(&line, ':', &number) || !str_split(&line, ':', &controllers)) {
                continue;
            }
            is_ours = !is_v1 && controllers.len == 0;
            while (is_v1 && controllers.len > 0 && str_split(&controllers, ',', &one)) {
                is_ours |= str_eq(one, STR("memory"));
            }
            if (is_ours && line.len > 1 && line.len < size) {
                memcpy(ret, line.ptr, line.len);
                ret[line.len] = '\0';
            }
        }
    }
    close(fd);
}

/* From the group up to the mount: a limit above binds as well. In a container the group's path may
 * be the host's, which does not exist: then the mount itself is the group. */
static int open_tightest(char *folder, size_t mount_len, const struct cgroup_layout *v,
                         struct cgroup_memory *ret)
{
    char tightest[PATH_BYTES] = "";
    uint64_t least = MEMORY_UNLIMITED;

    for (;;) {
        uint64_t limit = folder_limit(folder, v);
        char *slash;

        if (limit < least || (tightest[0] == '\0' && access(folder, R_OK) == 0)) {
            least = limit;
            (void)snprintf(tightest, sizeof(tightest), "%s", folder);
        }
        slash = strrchr(folder + mount_len, '/');
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
    }
    ret->limit_bytes = least;
    ret->file_bytes = 0;
    ret->usage_fd = open_file(tightest, v->usage);
    ret->stat_fd = open_file(tightest, "memory.stat");
    if (ret->usage_fd < 0 || ret->stat_fd < 0) {
        cgroup_memory_close(ret);
        return E_SYS;
    }
    return 0;
}

static int open_layout(const char *root, const char *group, const struct cgroup_layout *v,
                       struct cgroup_memory *ret)
{
    char own[PATH_BYTES];
    char folder[PATH_BYTES];
    size_t mount_len = strlen(root) + strlen(v->mount);
    int n;

    if (group == NULL) {
        own_group(v->mount[0] != '\0', own, sizeof(own));
        group = own;
    }
    n = snprintf(folder, sizeof(folder), "%s%s%s", root, v->mount, group);
    if (n < 0 || (size_t)n >= sizeof(folder)) {
        return E_SYS;
    }
    return open_tightest(folder, mount_len, v, ret);
}

int cgroup_memory_open(const char *root, const char *group, struct cgroup_memory *ret)
{
    int r = E_SYS;

    for (size_t i = 0; r != 0 && i < ARRAY_LEN(LAYOUTS); i++) {
        r = open_layout(root != NULL ? root : CGROUP_ROOT, group, &LAYOUTS[i], ret);
    }
    return r;
}

void cgroup_memory_close(struct cgroup_memory *c)
{
    if (c->usage_fd >= 0) {
        close(c->usage_fd);
    }
    if (c->stat_fd >= 0) {
        close(c->stat_fd);
    }
    c->usage_fd = -1;
    c->stat_fd = -1;
}

/* The number behind `key` at the start of a line; 0: no such line. */
static uint64_t stat_line(const char *text, const char *key)
{
    size_t len = strlen(key);
    const char *at = text;
    uint64_t v = 0;

    while (at != NULL) {
        at += *at == '\n';
        if (strncmp(at, key, len) == 0) {
            return sscanf(at + len, "%" SCNu64, &v) == 1 ? v : 0;
        }
        at = strchr(at, '\n');
    }
    return 0;
}

int cgroup_memory_refresh(struct cgroup_memory *c)
{
    char text[STAT_BYTES];

    if (read_all(c->stat_fd, text, sizeof(text)) != 0) {
        return E_SYS;
    }
    c->file_bytes = 0;
    for (size_t v = 0; v < ARRAY_LEN(LAYOUTS) && c->file_bytes == 0; v++) {
        for (size_t i = 0; i < ARRAY_LEN(LAYOUTS[v].cache); i++) {
            c->file_bytes += stat_line(text, LAYOUTS[v].cache[i]);
        }
    }
    return 0;
}

int cgroup_memory_used(const struct cgroup_memory *c, uint64_t *ret_bytes)
{
    uint64_t usage;

    if (read_number(c->usage_fd, &usage) != 0) {
        return E_SYS;
    }
    *ret_bytes = usage > c->file_bytes ? usage - c->file_bytes : 0;
    return 0;
}

int process_memory_open(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    return fd >= 0 ? fd : E_SYS;
}

int process_memory_used(int fd, uint64_t *ret_bytes)
{
    uint64_t resident;
    uint64_t shared;
    char text[256];

    if (read_all(fd, text, sizeof(text)) != 0 ||
        sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2) {
        return E_SYS;
    }
    *ret_bytes = (resident > shared ? resident - shared : 0) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}
