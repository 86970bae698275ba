#ifndef DATAPLANE_OVERLOAD_MEMORY_H
#define DATAPLANE_OVERLOAD_MEMORY_H

/*
 * How much memory the kernel lets this process have, and how much it has: the control group's files
 * (version 1 and 2) and /proc. Files stay open, reads are one system call. One thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"

#define MEMORY_UNLIMITED UINT64_MAX

/* The control group, or the one above it, that leaves the least. */
struct cgroup_memory {
    uint64_t limit_bytes;
    uint64_t file_bytes; /* of the usage, what the kernel takes back before it kills: page cache */
    int usage_fd;
    int stat_fd;
};

/* NULL `root`: where they are mounted, /sys/fs/cgroup; and the process's own group, not `group`.
 * E_SYS when there are no such files. */
int cgroup_memory_open(const char *root, const char *group, struct cgroup_memory *ret) MUST_CHECK;
void cgroup_memory_close(struct cgroup_memory *c);
/* Looks again at what is page cache. */
int cgroup_memory_refresh(struct cgroup_memory *c) MUST_CHECK;
/* What cannot be taken back, as of the last refresh. */
int cgroup_memory_used(const struct cgroup_memory *c, uint64_t *ret_bytes) MUST_CHECK;

/* Of /proc/self/statm, opened by process_memory_open (a descriptor, or E_SYS): resident memory that
 * is the process's alone, so neither the binary nor shared libraries. */
int process_memory_open(void) MUST_CHECK;
int process_memory_used(int fd, uint64_t *ret_bytes) MUST_CHECK;

#endif
