#ifndef DATAPLANE_UPSTREAM_CLUSTER_MANAGER_H
#define DATAPLANE_UPSTREAM_CLUSTER_MANAGER_H

/*
 * One thread's clusters by slot. Holds only those that were used; everything else is found in the
 * thread's part table when first asked for. The functions are in upstream.h; this header is for
 * their implementation and tests.
 */

#include <stdint.h>

#include "dataplane/base/map.h"

struct cluster;
struct thread_context;

struct cluster_manager {
    struct thread_context *thread;
    struct cluster **clusters; /* by slot; NULL: not used yet, or no such cluster */
    uint32_t cluster_count;
    struct cluster **endpoint_users; /* by endpoints slot: chain through next_user */
    uint32_t endpoint_user_count;
    struct map names; /* name -> slot + 1; filled when a name is first looked up */
    bool has_names;
};

#endif
