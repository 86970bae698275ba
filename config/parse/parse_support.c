/* The test fixture of the parsers. */

#include "config/parse/parse_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/pb_text.h"
#include "proto/envoy/extensions/access_loggers/stream/v3/stream.pb-c.h"
#include "proto/envoy/extensions/clusters/dns/v3/dns_cluster.pb-c.h"
#include "proto/envoy/extensions/filters/http/router/v3/router.pb-c.h"
#include "proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"
#include "proto/envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb-c.h"
#include "proto/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb-c.h"
#include "proto/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb-c.h"
#include "proto/envoy/extensions/request_id/uuid/v3/uuid.pb-c.h"
#include "proto/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"
#include "proto/envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

/* --- names ---------------------------------------------------------------------------------- */

static uint32_t fixture_slot(struct slot_resolver *r, enum part_kind kind, struct str name)
{
    struct parse_fixture *f = container_of(r, struct parse_fixture, slots);
    char prefix[16];
    struct str pieces[2] = {STR_NONE, name};
    struct str key;
    void *found;

    pieces[0] = str_n(prefix, (size_t)snprintf(prefix, sizeof(prefix), "%d ", (int)kind));
    key = arena_concat(&f->names_arena, pieces, 2);
    found = map_get(&f->names, key);
    if (found == NULL) {
        found = (void *)(f->names.count + 1);
        map_put(&f->names, key, found);
    }
    return (uint32_t)((uintptr_t)found - 1);
}

static bool fixture_has(struct slot_resolver *r, enum part_kind kind, struct str name)
{
    (void)kind;
    return str_eq(name, container_of(r, struct parse_fixture, slots)->known_cluster);
}

struct str parse_fixture_slot_name(const struct parse_fixture *f, enum part_kind kind,
                                   uint32_t slot)
{
    char prefix[16];
    size_t len = (size_t)snprintf(prefix, sizeof(prefix), "%d ", (int)kind);

    map_for_each (e, &f->names) {
        if ((uintptr_t)e->value == (uintptr_t)slot + 1 && str_starts(e->key, str_n(prefix, len))) {
            return str_sub(e->key, len, e->key.len);
        }
    }
    return STR("");
}

void parse_fixture_init(struct parse_fixture *f, size_t bytes, enum part_kind kind,
                        const char *name)
{
    f->slots = (struct slot_resolver){.slot = fixture_slot, .has = fixture_has};
    map_init(&f->names);
    arena_init(&f->names_arena, NULL);
    arena_init(&f->scratch, NULL);
    error_init(&f->err);
    f->known_cluster = STR("c");
    f->part = part_new(bytes, kind, str_c(name));
    parse_context_init(&f->ctx, f->part, &parse_test_registry, &f->slots, &f->err);
    f->ctx.rejects_unknown = true;
}

void parse_fixture_done(struct parse_fixture *f)
{
    parse_context_finish(&f->ctx);
    part_unref(f->part);
    map_done(&f->names);
    arena_done(&f->names_arena);
    arena_done(&f->scratch);
    error_done(&f->err);
}

int parse_fixture_message(struct parse_fixture *f, const ProtobufCMessageDescriptor *d,
                          struct str text, const ProtobufCMessage **ret)
{
    struct pb_text_options options = {.allow_unknown = false};
    const struct text_node *root;
    ProtobufCMessage *m = NULL;
    int r = yaml_parse(text, &f->scratch, &root, &f->err);

    if (r == 0) {
        r = pb_from_text(root, d, &options, &f->scratch, &m, &f->err);
    }
    if (r == 0) {
        r = parse_check_tree(&f->ctx, m);
    }
    *ret = m;
    return r;
}

/* --- stand-ins ------------------------------------------------------------------------------ */

static int parse_lb(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret)
{
    struct lb_config *c = ARENA_NEW(parse_arena(ctx), struct lb_config);

    c->kind =
        msg->descriptor ==
                &envoy__extensions__load_balancing_policies__round_robin__v3__round_robin__descriptor
            ? LB_ROUND_ROBIN
            : LB_LEAST_REQUEST;
    *ret = c;
    return 0;
}

static int parse_dns(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret)
{
    struct dns_options *o = ARENA_NEW(parse_arena(ctx), struct dns_options);

    (void)msg;
    o->refresh_rate_ms = 7000;
    *ret = o;
    return 0;
}

static int parse_http(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret)
{
    struct upstream_http_options *o = ARENA_NEW(parse_arena(ctx), struct upstream_http_options);

    (void)msg;
    o->has_common = true;
    o->common.max_requests_per_connection = (struct opt_u32){true, 3};
    *ret = o;
    return 0;
}

static int parse_override(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret)
{
    (void)msg;
    *ret = arena_strdup(parse_arena(ctx), "override");
    return 0;
}

static const struct extension manager = {
    .name = "envoy.filters.network.http_connection_manager",
    .category = EXT_NETWORK_FILTER,
    .is_terminal = true,
    .descriptor =
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor,
};
static const struct extension not_terminal = {
    .name = "test.not_terminal",
    .category = EXT_NETWORK_FILTER,
    .descriptor = &envoy__extensions__request_id__uuid__v3__uuid_request_id_config__descriptor,
};
static const struct extension router = {
    .name = "envoy.filters.http.router",
    .category = EXT_HTTP_FILTER,
    .is_terminal = true,
    .descriptor = &envoy__extensions__filters__http__router__v3__router__descriptor,
};
static const struct extension with_override = {
    .name = "test.with_override",
    .category = EXT_HTTP_FILTER,
    .descriptor = &envoy__extensions__access_loggers__stream__v3__stderr_access_log__descriptor,
    .override_descriptor =
        &envoy__extensions__request_id__uuid__v3__uuid_request_id_config__descriptor,
    .parse_override = parse_override,
};
static const struct extension stdout_log = {
    .name = "envoy.access_loggers.stdout",
    .category = EXT_ACCESS_LOGGER,
    .descriptor = &envoy__extensions__access_loggers__stream__v3__stdout_access_log__descriptor,
};
static const struct extension raw_downstream = {
    .name = "envoy.transport_sockets.raw_buffer",
    .category = EXT_DOWNSTREAM_TRANSPORT_SOCKET,
    .descriptor = &envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor,
};
static const struct extension raw_upstream = {
    .name = "envoy.transport_sockets.raw_buffer",
    .category = EXT_UPSTREAM_TRANSPORT_SOCKET,
    .descriptor = &envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor,
};
static const struct extension round_robin = {
    .name = "envoy.load_balancing_policies.round_robin",
    .category = EXT_LOAD_BALANCING_POLICY,
    .descriptor =
        &envoy__extensions__load_balancing_policies__round_robin__v3__round_robin__descriptor,
    .parse = parse_lb,
};
static const struct extension least_request = {
    .name = "envoy.load_balancing_policies.least_request",
    .category = EXT_LOAD_BALANCING_POLICY,
    .descriptor =
        &envoy__extensions__load_balancing_policies__least_request__v3__least_request__descriptor,
    .parse = parse_lb,
};
static const struct extension dns = {
    .name = "envoy.clusters.dns",
    .category = EXT_CLUSTER_TYPE,
    .descriptor = &envoy__extensions__clusters__dns__v3__dns_cluster__descriptor,
    .parse = parse_dns,
};
static const struct extension cares = {
    .name = "envoy.network.dns_resolver.cares",
    .category = EXT_DNS_RESOLVER,
    .descriptor =
        &envoy__extensions__network__dns_resolver__cares__v3__cares_dns_resolver_config__descriptor,
};
static const struct extension upstream_http = {
    .name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    .category = EXT_UPSTREAM_OPTIONS,
    .descriptor = &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
    .parse = parse_http,
};

static const struct extension *const extensions[] = {
    &manager,      &not_terminal, &router,        &with_override, &stdout_log, &raw_downstream,
    &raw_upstream, &round_robin,  &least_request, &dns,           &cares,      &upstream_http,
};

const struct extension_registry parse_test_registry = {extensions, ARRAY_LEN(extensions)};
