#ifndef DATAPLANE_SERVER_CGROUP_H
#define DATAPLANE_SERVER_CGROUP_H

/* Limits that the container puts on this process (cgroup v2, then v1). */

#include <stddef.h>

/* Whole CPUs of quota, rounded up; 0: no limit. */
size_t cgroup_cpu_limit(void);

#endif
