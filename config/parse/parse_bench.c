/* Time and memory of 10,000 routes and of 10,000 clusters, from the wire to the model. By hand. */

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse/cluster.h"
#include "config/parse/listener.h"
#include "config/parse/parse_support.h"
#include "config/parse/route.h"
#include "config/pb_unpack.h"
#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/xalloc.h"

#define COUNT 10000
#define ROUNDS 5

static double ms_since(uint64_t start)
{
    return (double)(clock_mono_ns() - start) / 1e6;
}

struct wire {
    uint8_t *bytes;
    size_t len;
};

static struct wire to_wire(const ProtobufCMessageDescriptor *d, const struct strbuf *json)
{
    struct parse_fixture f;
    const ProtobufCMessage *m;
    struct wire w;

    parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    if (parse_fixture_message(&f, d, strbuf_str(json), &m) < 0) {
        fprintf(stderr, "%s\n", error_message(&f.err));
        exit(1);
    }
    w.len = protobuf_c_message_get_packed_size(m);
    w.bytes = xmalloc(w.len + 1);
    protobuf_c_message_pack(m, w.bytes);
    parse_fixture_done(&f);
    return w;
}

static struct wire routes_wire(void)
{
    struct strbuf json;
    struct wire w;

    strbuf_init(&json);
    strbuf_add_c(&json, "{\"name\":\"r\",\"virtual_hosts\":[{\"name\":\"v\",\"domains\":[\"*\"],"
                        "\"routes\":[");
    for (int i = 0; i < COUNT; i++) {
        strbuf_addf(&json,
                    "%s{\"match\":{\"prefix\":\"/service/%05d\"},\"route\":{\"cluster\":"
                    "\"cluster_%d\",\"timeout\":\"15s\"}}",
                    i > 0 ? "," : "", i, i % 100);
    }
    strbuf_add_c(&json, "]}]}");
    w = to_wire(&envoy__config__route__v3__route_configuration__descriptor, &json);
    strbuf_done(&json);
    return w;
}

static void bench_routes(void)
{
    struct wire w = routes_wire();

    for (int round = 0; round < ROUNDS; round++) {
        struct parse_fixture f;
        ProtobufCMessage *m;
        uint64_t start = clock_mono_ns();
        double unpacked;
        double checked;

        parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "r");
        CHECK(pb_unpack(&envoy__config__route__v3__route_configuration__descriptor, w.bytes, w.len,
                        &f.scratch, &m, &f.err) == 0);
        unpacked = ms_since(start);
        CHECK(parse_check_tree(&f.ctx, m) == 0);
        checked = ms_since(start);
        CHECK(parse_route_config(&f.ctx, (const Envoy__Config__Route__V3__RouteConfiguration *)m,
                                 (struct route_config *)f.part) == 0);
        printf("%d routes, %zu KB: %.2f ms (unpack %.2f, check %.2f, parse %.2f), part %zu KB\n",
               COUNT, w.len / 1024, ms_since(start), unpacked, checked - unpacked,
               ms_since(start) - checked, f.part->arena.total_bytes / 1024);
        parse_fixture_done(&f);
    }
    free(w.bytes);
}

static struct wire cluster_wire(int i)
{
    struct strbuf json;
    struct wire w;

    strbuf_init(&json);
    strbuf_addf(&json,
                "{\"name\":\"outbound|80||service-%05d.ns.svc.cluster.local\",\"type\":\"EDS\","
                "\"connect_timeout\":\"1s\",\"eds_cluster_config\":{\"eds_config\":{\"ads\":{},"
                "\"initial_fetch_timeout\":\"0s\",\"resource_api_version\":\"V3\"}},"
                "\"lb_policy\":\"LEAST_REQUEST\",\"circuit_breakers\":{\"thresholds\":[{"
                "\"max_connections\":4294967295,\"max_requests\":4294967295}]}}",
                i);
    w = to_wire(&envoy__config__cluster__v3__cluster__descriptor, &json);
    strbuf_done(&json);
    return w;
}

static void bench_clusters(void)
{
    static struct wire wires[COUNT];
    static struct part *parts[COUNT];
    struct parse_fixture f;

    for (int i = 0; i < COUNT; i++) {
        wires[i] = cluster_wire(i);
    }
    parse_fixture_init(&f, sizeof(struct cluster_config), PART_CLUSTER, "x");
    for (int round = 0; round < ROUNDS; round++) {
        struct mallinfo2 before = mallinfo2();
        uint64_t start = clock_mono_ns();

        for (int i = 0; i < COUNT; i++) {
            struct parse_context ctx;
            struct arena scratch;
            ProtobufCMessage *m;
            char name[64];

            arena_init(&scratch, NULL);
            CHECK(pb_unpack(&envoy__config__cluster__v3__cluster__descriptor, wires[i].bytes,
                            wires[i].len, &scratch, &m, &f.err) == 0);
            (void)snprintf(name, sizeof(name), "outbound|80||service-%05d.ns.svc.cluster.local", i);
            parts[i] = part_new(sizeof(struct cluster_config), PART_CLUSTER, str_c(name));
            parse_context_init(&ctx, parts[i], &parse_test_registry, &f.slots, &f.err);
            CHECK(parse_check_tree(&ctx, m) == 0);
            CHECK(parse_cluster(&ctx, (const Envoy__Config__Cluster__V3__Cluster *)m,
                                (struct cluster_config *)parts[i]) == 0);
            parse_context_finish(&ctx);
            arena_done(&scratch);
        }
        printf("%d clusters, %zu bytes each: %.2f ms, model %zu bytes each (struct %zu)\n", COUNT,
               wires[0].len, ms_since(start), (mallinfo2().uordblks - before.uordblks) / COUNT,
               sizeof(struct cluster_config));
        for (int i = 0; i < COUNT; i++) {
            part_unref(parts[i]);
        }
    }
    parse_fixture_done(&f);
    for (int i = 0; i < COUNT; i++) {
        free(wires[i].bytes);
    }
}

int main(void)
{
    printf("route %zu, endpoint %zu, filter chain %zu, listener %zu bytes\n", sizeof(struct route),
           sizeof(struct endpoint), sizeof(struct filter_chain_config),
           sizeof(struct listener_config));
    bench_routes();
    bench_clusters();
    return 0;
}
