/*
 * Every resource type from bytes to the model: scan, unpack, report, parse. The first byte chooses
 * the type. What was accepted is parsed again beside itself, as an update would be: a listener
 * shares its chains then, and the canonical form is equal to itself.
 */

#include <stdlib.h>

#include "config/model/route_index.h"
#include "config/parse/canonical.h"
#include "config/parse/cluster.h"
#include "config/parse/endpoint.h"
#include "config/parse/listener.h"
#include "config/parse/parse_support.h"
#include "config/parse/route.h"
#include "config/parse/runtime.h"
#include "config/parse/tls_context.h"
#include "config/parse/tls_secret.h"
#include "config/pb_unpack.h"
#include "dataplane/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse_cluster_part(struct parse_fixture *f, const ProtobufCMessage *m,
                              const struct part *previous)
{
    (void)previous;
    return parse_cluster(&f->ctx, (const Envoy__Config__Cluster__V3__Cluster *)m,
                         (struct cluster_config *)f->part);
}

static int parse_endpoints_part(struct parse_fixture *f, const ProtobufCMessage *m,
                                const struct part *previous)
{
    (void)previous;
    return parse_endpoints(&f->ctx, (const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *)m,
                           (struct endpoint_set *)f->part);
}

static int parse_listener_part(struct parse_fixture *f, const ProtobufCMessage *m,
                               const struct part *previous)
{
    struct listener_config *l = (struct listener_config *)f->part;
    int r = parse_listener(&f->ctx, (const Envoy__Config__Listener__V3__Listener *)m,
                           (const struct listener_config *)previous, l);

    for (size_t i = 0; r == 0 && previous != NULL && i < l->chain_count; i++) {
        CHECK(l->chains[i]->part.refs > 1);
    }
    return r;
}

static bool take_any(void *user, const struct route *r)
{
    (void)user;
    (void)r;
    return true;
}

static int parse_route_part(struct parse_fixture *f, const ProtobufCMessage *m,
                            const struct part *previous)
{
    struct route_config *rc = (struct route_config *)f->part;
    int r =
        parse_route_config(&f->ctx, (const Envoy__Config__Route__V3__RouteConfiguration *)m, rc);

    (void)previous;
    for (size_t i = 0; r == 0 && i < rc->vhost_count; i++) {
        const struct virtual_host *v = &rc->vhosts[i];

        CHECK(v->domain_count > 0);
        (void)domain_index_find(rc->domains, v->domains[0]);
        for (size_t k = 0; k < v->route_count; k++) {
            const struct route *found =
                route_index_find(v->index, v->routes[k].path, k % 2 == 0, take_any, NULL);

            CHECK(found == NULL || found->index <= k || v->routes[k].path_kind == PATH_MATCH_REGEX);
        }
    }
    return r;
}

static int parse_secret_part(struct parse_fixture *f, const ProtobufCMessage *m,
                             const struct part *previous)
{
    (void)previous;
    return parse_secret(&f->ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__Secret *)m,
                        (struct secret_config *)f->part);
}

static int parse_server_tls(struct parse_fixture *f, const ProtobufCMessage *m,
                            const struct part *previous)
{
    struct tls_server_config c = {.ticket_keys_slot = SLOT_NONE};

    (void)previous;
    return parse_downstream_tls_context(
        &f->ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext *)m, &c);
}

static int parse_client_tls(struct parse_fixture *f, const ProtobufCMessage *m,
                            const struct part *previous)
{
    struct tls_client_config c = {.sni = STR_NONE};

    (void)previous;
    return parse_upstream_tls_context(
        &f->ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext *)m, &c);
}

static int parse_runtime(struct parse_fixture *f, const ProtobufCMessage *m,
                         const struct part *previous)
{
    const struct runtime_entry *entries;
    size_t count;

    (void)previous;
    return parse_runtime_resource(&f->ctx, (const Envoy__Service__Runtime__V3__Runtime *)m,
                                  &entries, &count);
}

static const struct {
    const ProtobufCMessageDescriptor *descriptor;
    enum part_kind kind;
    size_t bytes;
    int (*parse)(struct parse_fixture *f, const ProtobufCMessage *m, const struct part *previous);
} types[] = {
    {&envoy__config__cluster__v3__cluster__descriptor, PART_CLUSTER, sizeof(struct cluster_config),
     parse_cluster_part},
    {&envoy__config__endpoint__v3__cluster_load_assignment__descriptor, PART_ENDPOINTS,
     sizeof(struct endpoint_set), parse_endpoints_part},
    {&envoy__config__listener__v3__listener__descriptor, PART_LISTENER,
     sizeof(struct listener_config), parse_listener_part},
    {&envoy__config__route__v3__route_configuration__descriptor, PART_ROUTE_TABLE,
     sizeof(struct route_config), parse_route_part},
    {&envoy__extensions__transport_sockets__tls__v3__secret__descriptor, PART_SECRET,
     sizeof(struct secret_config), parse_secret_part},
    {&envoy__extensions__transport_sockets__tls__v3__downstream_tls_context__descriptor,
     PART_FILTER_CHAIN, sizeof(struct part), parse_server_tls},
    {&envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor, PART_CLUSTER,
     sizeof(struct part), parse_client_tls},
    {&envoy__service__runtime__v3__runtime__descriptor, PART_SECRET, sizeof(struct part),
     parse_runtime},
};

/* The outcome; the fixture is the caller's to end. */
static int run(struct parse_fixture *f, size_t type, const uint8_t *data, size_t size,
               const struct part *previous)
{
    ProtobufCMessage *m;
    int r;

    parse_fixture_init(f, types[type].bytes, types[type].kind, "fuzz");
    f->ctx.is_static = (size & 1) != 0;
    r = pb_unpack(types[type].descriptor, data, size, &f->scratch, &m, &f->err);
    if (r == 0) {
        r = parse_check_tree(&f->ctx, m);
    }
    if (r == 0) {
        r = types[type].parse(f, m, previous);
    }
    CHECK((r == 0) == !error_is_set(&f->err));
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct parse_fixture first;
    static struct parse_fixture second;
    size_t type;

    if (size == 0) {
        return 0;
    }
    type = data[0] % ARRAY_LEN(types);
    CHECK(config_canonical_hash(types[type].descriptor, data + 1, size - 1) ==
          config_canonical_hash(types[type].descriptor, data + 1, size - 1));
    if (run(&first, type, data + 1, size - 1, NULL) == 0) {
        CHECK(run(&second, type, data + 1, size - 1, first.part) == 0);
        parse_fixture_done(&second);
    }
    parse_fixture_done(&first);
    return 0;
}
