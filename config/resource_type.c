/* The discovery types: type URL, message, model struct, parser. */

#include "config/parse/cluster.h"
#include "config/parse/endpoint.h"
#include "config/parse/listener.h"
#include "config/parse/route.h"
#include "config/parse/tls_secret.h"
#include "config/store_internal.h"
#include "proto/envoy/config/cluster/v3/cluster.pb-c.h"
#include "proto/envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"

static int parse_cluster_part(struct parse_context *ctx, const ProtobufCMessage *msg,
                              const struct part *previous)
{
    struct cluster_config *c = (struct cluster_config *)ctx->part;

    (void)previous;
    c->added_via_api = !ctx->is_static;
    return parse_cluster(ctx, (const Envoy__Config__Cluster__V3__Cluster *)msg, c);
}

static int parse_endpoints_part(struct parse_context *ctx, const ProtobufCMessage *msg,
                                const struct part *previous)
{
    (void)previous;
    return parse_endpoints(ctx, (const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *)msg,
                           (struct endpoint_set *)ctx->part);
}

static int parse_route_part(struct parse_context *ctx, const ProtobufCMessage *msg,
                            const struct part *previous)
{
    (void)previous;
    return parse_route_config(ctx, (const Envoy__Config__Route__V3__RouteConfiguration *)msg,
                              (struct route_config *)ctx->part);
}

static int parse_listener_part(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const struct part *previous)
{
    struct listener_config *l = (struct listener_config *)ctx->part;

    l->is_static = ctx->is_static;
    return parse_listener(ctx, (const Envoy__Config__Listener__V3__Listener *)msg,
                          (const struct listener_config *)previous, l);
}

/* As Envoy: one that a context could not use is refused, and the one before serves on. */
static int check_users(struct parse_context *ctx, const struct secret_config *secret)
{
    struct error err;
    int r;

    if (ctx->tls == NULL || ctx->tls->fits == NULL) {
        return 0;
    }
    error_init(&err);
    r = ctx->tls->fits(secret, &err);
    if (r < 0) {
        r = parse_fail(ctx, r, secret_kind_name(secret->kind), "%s", error_message(&err));
    }
    error_done(&err);
    return r;
}

static int parse_secret_part(struct parse_context *ctx, const ProtobufCMessage *msg,
                             const struct part *previous)
{
    struct secret_config *secret = (struct secret_config *)ctx->part;
    int r = parse_secret(ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__Secret *)msg,
                         secret);

    (void)previous;
    secret->is_static = ctx->is_static;
    if (r == 0 && secret->kind != ctx->secret_kind) {
        r = parse_fail(ctx, E_INVALID, NULL, "a %s where a %s is wanted",
                       secret_kind_name(secret->kind), secret_kind_name(ctx->secret_kind));
    }
    return r == 0 ? check_users(ctx, secret) : r;
}

static const struct resource_type TYPES[PART_KIND_COUNT] = {
    [PART_LISTENER] =
        {
            .kind = PART_LISTENER,
            .type_url = "type.googleapis.com/envoy.config.listener.v3.Listener",
            .descriptor = &envoy__config__listener__v3__listener__descriptor,
            .part_bytes = sizeof(struct listener_config),
            .parse = parse_listener_part,
        },
    [PART_ROUTE_TABLE] =
        {
            .kind = PART_ROUTE_TABLE,
            .type_url = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            .descriptor = &envoy__config__route__v3__route_configuration__descriptor,
            .part_bytes = sizeof(struct route_config),
            .parse = parse_route_part,
        },
    [PART_CLUSTER] =
        {
            .kind = PART_CLUSTER,
            .type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            .descriptor = &envoy__config__cluster__v3__cluster__descriptor,
            .part_bytes = sizeof(struct cluster_config),
            .parse = parse_cluster_part,
        },
    [PART_ENDPOINTS] =
        {
            .kind = PART_ENDPOINTS,
            .type_url = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            .descriptor = &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
            .part_bytes = sizeof(struct endpoint_set),
            .parse = parse_endpoints_part,
        },
    [PART_SECRET] =
        {
            .kind = PART_SECRET,
            .type_url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            .descriptor = &envoy__extensions__transport_sockets__tls__v3__secret__descriptor,
            .part_bytes = sizeof(struct secret_config),
            .parse = parse_secret_part,
        },
};

const struct resource_type *resource_type_of(enum part_kind kind)
{
    CHECK(TYPES[kind].type_url != NULL);
    return &TYPES[kind];
}
