/*
 * envoy.resource_monitors.cgroup_memory: the memory of the control group against its limit, or
 * against a number of bytes. Also what nuncio watches when nothing is configured.
 *
 * Trust: configuration and the kernel. Buffers: nothing.
 * Differs from Envoy: without configuration the limit is taken for an eighth less, at most 4 MiB,
 * so that what is under way when everything new is refused has room. Page cache, which the kernel
 * takes back before it kills, does not count; the limits of the groups above the process's own do.
 */

#include <stdlib.h>

#include "config/parse/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/overload/memory.h"
#include "dataplane/overload/resource_monitor.h"
#include "proto/envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory.pb-c.h"

typedef Envoy__Extensions__ResourceMonitors__CgroupMemory__V3__CgroupMemoryConfig
    CgroupMemoryConfig;

#define HEADROOM_SHARE 8
#define HEADROOM_MAX_BYTES (4u << 20)

struct cgroup_monitor {
    struct cgroup_memory group;
    uint64_t limit_bytes;
};

static int cgroup_memory_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    uint64_t *max_bytes = ARENA_NEW(parse_arena(ctx), uint64_t);

    *max_bytes = ((const CgroupMemoryConfig *)msg)->max_memory_bytes;
    *ret_config = max_bytes;
    return 0;
}

static uint64_t with_headroom(uint64_t limit_bytes)
{
    uint64_t headroom = limit_bytes / HEADROOM_SHARE;

    if (limit_bytes == MEMORY_UNLIMITED) {
        return limit_bytes;
    }
    return limit_bytes - (headroom < HEADROOM_MAX_BYTES ? headroom : HEADROOM_MAX_BYTES);
}

static int cgroup_monitor_open(const void *config, void **ret_state, struct error *reterr)
{
    uint64_t max_bytes = config != NULL ? *(const uint64_t *)config : 0;
    struct cgroup_memory group;
    struct cgroup_monitor *m;

    if (cgroup_memory_open(NULL, NULL, &group) != 0) {
        return error_set(reterr, E_SYS, "No supported cgroup memory implementation found");
    }
    m = xcalloc(1, sizeof(*m));
    m->group = group;
    m->limit_bytes = config == NULL  ? with_headroom(group.limit_bytes)
                     : max_bytes > 0 ? max_bytes
                                     : group.limit_bytes;
    *ret_state = m;
    return 0;
}

static int cgroup_monitor_hurry(void *state, double *ret_pressure)
{
    const struct cgroup_monitor *m = state;
    uint64_t used;
    int r = cgroup_memory_used(&m->group, &used);

    if (r == 0) {
        *ret_pressure =
            m->limit_bytes == MEMORY_UNLIMITED ? 0 : (double)used / (double)m->limit_bytes;
    }
    return r;
}

static int cgroup_monitor_read(void *state, double *ret_pressure)
{
    struct cgroup_monitor *m = state;
    int r = cgroup_memory_refresh(&m->group);

    return r == 0 ? cgroup_monitor_hurry(state, ret_pressure) : r;
}

static void cgroup_monitor_close(void *state)
{
    struct cgroup_monitor *m = state;

    cgroup_memory_close(&m->group);
    free(m);
}

const struct resource_monitor_type resource_monitor_cgroup_memory = {
    .ext =
        {
            .name = "envoy.resource_monitors.cgroup_memory",
            .category = EXT_RESOURCE_MONITOR,
            .descriptor =
                &envoy__extensions__resource_monitors__cgroup_memory__v3__cgroup_memory_config__descriptor,
            .parse = cgroup_memory_parse,
        },
    .is_memory = true,
    .open = cgroup_monitor_open,
    .read = cgroup_monitor_read,
    .hurry = cgroup_monitor_hurry,
    .close = cgroup_monitor_close,
};
