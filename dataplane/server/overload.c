/* Wires the overload manager to workers and heap. See overload.h. Main thread. */

#include "dataplane/server/overload.h"

#include <malloc.h>
#include <sys/resource.h>

#include "config/bootstrap.h"
#include "dataplane/base/limit.h"
#include "dataplane/overload/memory.h"
#include "dataplane/overload/overload_manager.h"

/* Descriptors that are not connections: files, listening sockets, loops, the control plane. */
#define RESERVED_DESCRIPTORS 128
#define CONNECTIONS_MIN 32

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

bool server_memory_is_limited(void)
{
    struct cgroup_memory group;
    bool is_limited = false;

    if (cgroup_memory_open(NULL, NULL, &group) == 0) {
        is_limited = group.limit_bytes != MEMORY_UNLIMITED;
        cgroup_memory_close(&group);
    }
    return is_limited;
}

static void server_on_overload_level(void *user, enum overload_point action, uint32_t level)
{
    struct server *s = user;

    (void)level; /* workers read it */
    if (action == OVERLOAD_REDUCE_TIMEOUTS || action == OVERLOAD_PAUSE_UPSTREAM_READS) {
        for (size_t i = 0; i < s->worker_count && s->workers != NULL; i++) {
            worker_take_levels(&s->workers[i]);
        }
    }
}

static void server_on_shrink_heap(void *user)
{
    struct server *s = user;

    for (size_t i = 0; i < s->worker_count && s->workers != NULL; i++) {
        worker_shrink_heap(&s->workers[i]);
    }
    loop_shrink_pools(&s->loop);
    (void)malloc_trim(0);
}

static void server_on_reset_streams(void *user, uint64_t min_bytes)
{
    struct server *s = user;

    for (size_t i = 0; i < s->worker_count && s->workers != NULL; i++) {
        worker_reset_streams(&s->workers[i], min_bytes);
    }
}

int server_overload_init(struct server *s, struct error *reterr)
{
    return overload_manager_new(
        &(struct overload_manager_params){
            .loop = &s->loop,
            .stats = s->stats,
            .config = &s->bootstrap->overload,
            .max_connections = connections_by_descriptors(),
            .on_level = server_on_overload_level,
            .on_shrink_heap = server_on_shrink_heap,
            .on_reset_streams = server_on_reset_streams,
            .user = s,
        },
        &s->overload, reterr);
}
