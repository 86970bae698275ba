/*
 * envoy.resource_monitors.global_downstream_max_connections: how many downstream connections there
 * may be. Listeners ask when they accept (runtime/overload.h); as in Envoy there is no pressure for
 * triggers to act on. Its configuration is the number, a uint64_t.
 *
 * Trust: configuration only. Buffers: nothing. Differs from Envoy: no.
 */

#include <stdint.h>

#include "config/parse/check.h"
#include "dataplane/overload/resource_monitor.h"
#include "proto/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.pb-c.h"

typedef Envoy__Extensions__ResourceMonitors__DownstreamConnections__V3__DownstreamConnectionsConfig
    DownstreamConnectionsConfig;

static int downstream_connections_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                        const void **ret_config)
{
    const DownstreamConnectionsConfig *m = (const DownstreamConnectionsConfig *)msg;
    uint64_t *most = ARENA_NEW(parse_arena(ctx), uint64_t);

    if (m->max_active_downstream_connections <= 0) {
        return parse_fail(ctx, E_INVALID, "max_active_downstream_connections",
                          "value must be greater than 0");
    }
    *most = (uint64_t)m->max_active_downstream_connections;
    *ret_config = most;
    return 0;
}

static int downstream_connections_open(const void *config, void **ret_state, struct error *reterr)
{
    (void)config;
    (void)reterr;
    *ret_state = NULL;
    return 0;
}

static int downstream_connections_read(void *state, double *ret_pressure)
{
    (void)state;
    *ret_pressure = 0;
    return 0;
}

static void downstream_connections_close(void *state)
{
    (void)state;
}

const struct resource_monitor_type resource_monitor_downstream_connections = {
    .ext =
        {
            .name = "envoy.resource_monitors.global_downstream_max_connections",
            .category = EXT_RESOURCE_MONITOR,
            .descriptor =
                &envoy__extensions__resource_monitors__downstream_connections__v3__downstream_connections_config__descriptor,
            .parse = downstream_connections_parse,
        },
    .open = downstream_connections_open,
    .read = downstream_connections_read,
    .close = downstream_connections_close,
};
