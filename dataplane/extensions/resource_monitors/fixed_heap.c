/*
 * envoy.resource_monitors.fixed_heap: the process's memory against a number of bytes.
 *
 * Trust: configuration only. Buffers: nothing.
 * Differs from Envoy: counted is what the kernel holds for the process alone (resident memory
 * without files), not the allocator's view of its pages; max_heap_size_bytes_runtime is reported.
 */

#include <stdlib.h>
#include <unistd.h>

#include "config/parse/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/overload/memory.h"
#include "dataplane/overload/resource_monitor.h"
#include "proto/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.pb-c.h"

typedef Envoy__Extensions__ResourceMonitors__FixedHeap__V3__FixedHeapConfig FixedHeapConfig;

struct fixed_heap {
    uint64_t max_bytes;
    int fd;
};

static int fixed_heap_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                            const void **ret_config)
{
    const FixedHeapConfig *m = (const FixedHeapConfig *)msg;
    uint64_t *max_bytes = ARENA_NEW(parse_arena(ctx), uint64_t);

    if (m->max_heap_size_bytes == 0) {
        return parse_fail(ctx, E_INVALID, NULL, "fixed_heap: max heap size must be greater than 0");
    }
    *max_bytes = m->max_heap_size_bytes;
    *ret_config = max_bytes;
    return 0;
}

static int fixed_heap_open(const void *config, void **ret_state, struct error *reterr)
{
    struct fixed_heap *h;
    int fd = process_memory_open();

    if (fd < 0) {
        return error_set(reterr, fd, "fixed_heap: /proc/self/statm cannot be read");
    }
    h = xcalloc(1, sizeof(*h));
    h->max_bytes = *(const uint64_t *)config;
    h->fd = fd;
    *ret_state = h;
    return 0;
}

static int fixed_heap_read(void *state, double *ret_pressure)
{
    const struct fixed_heap *h = state;
    uint64_t used;
    int r = process_memory_used(h->fd, &used);

    if (r == 0) {
        *ret_pressure = (double)used / (double)h->max_bytes;
    }
    return r;
}

static void fixed_heap_close(void *state)
{
    struct fixed_heap *h = state;

    close(h->fd);
    free(h);
}

const struct resource_monitor_type resource_monitor_fixed_heap = {
    .ext =
        {
            .name = "envoy.resource_monitors.fixed_heap",
            .category = EXT_RESOURCE_MONITOR,
            .descriptor =
                &envoy__extensions__resource_monitors__fixed_heap__v3__fixed_heap_config__descriptor,
            .parse = fixed_heap_parse,
        },
    .is_memory = true,
    .open = fixed_heap_open,
    .read = fixed_heap_read,
    .hurry = fixed_heap_read,
    .close = fixed_heap_close,
};
