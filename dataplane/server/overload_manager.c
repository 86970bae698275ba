/* From resources to actions. See overload_manager.h. Main thread. */

#include "dataplane/server/overload_manager.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "dataplane/base/xalloc.h"

/* Descriptors that are not connections: files, listening sockets, loops, the control plane. */
#define RESERVED_DESCRIPTORS 128
#define CONNECTIONS_MIN 32

struct overload_manager {
    struct overload state;
};

/* Unless configured otherwise: each connection may need another one to its upstream, and a request
 * of a connection that was let in shall not fail for want of that. */
static uint64_t connections_by_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return LIMIT_NONE;
    }
    return limit.rlim_cur < RESERVED_DESCRIPTORS + 2 * CONNECTIONS_MIN
               ? CONNECTIONS_MIN
               : (limit.rlim_cur - RESERVED_DESCRIPTORS) / 2;
}

struct overload_manager *overload_manager_new(void)
{
    struct overload_manager *m =
        xcalloc_aligned(_Alignof(struct overload_manager), sizeof(struct overload_manager));

    m->state.max_connections = connections_by_descriptors();
    return m;
}

void overload_manager_free(struct overload_manager *m)
{
    free(m);
}

struct overload *overload_manager_state(struct overload_manager *m)
{
    return &m->state;
}
