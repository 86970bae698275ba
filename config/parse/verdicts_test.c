/* Route tables, clusters, listeners and formats against Envoy's verdicts. Those on extensions are
 * with the extensions' tests. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/cluster.h"
#include "config/parse/format.h"
#include "config/parse/listener.h"
#include "config/parse/route.h"
#include "config/parse/verdict_support.h"
#include "config/text_node.h"

static int parse_route_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r = parse_fixture_message(f, &envoy__config__route__v3__route_configuration__descriptor,
                                  json, &m);

    return r < 0 ? r
                 : parse_route_config(&f->ctx,
                                      (const Envoy__Config__Route__V3__RouteConfiguration *)m,
                                      (struct route_config *)f->part);
}

static int parse_cluster_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r = parse_fixture_message(f, &envoy__config__cluster__v3__cluster__descriptor, json, &m);

    return r < 0 ? r
                 : parse_cluster(&f->ctx, (const Envoy__Config__Cluster__V3__Cluster *)m,
                                 (struct cluster_config *)f->part);
}

static int parse_listener_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r = parse_fixture_message(f, &envoy__config__listener__v3__listener__descriptor, json, &m);

    return r < 0 ? r
                 : parse_listener(&f->ctx, (const Envoy__Config__Listener__V3__Listener *)m, NULL,
                                  (struct listener_config *)f->part);
}

static int parse_format_case(struct parse_fixture *f, struct str json)
{
    const struct text_node *node;
    struct format format;
    int r = json_parse(json, &f->scratch, &node, &f->err);

    return r < 0 ? r : parse_format(&f->ctx, NULL, node->scalar, &format);
}

static void test_route_tables(void **state)
{
    verdicts_check(VERDICTS_DIR "route.tsv", PART_ROUTE_TABLE, sizeof(struct route_config),
                   parse_route_case);
}

static void test_clusters(void **state)
{
    verdicts_check(VERDICTS_DIR "cluster.tsv", PART_CLUSTER, sizeof(struct cluster_config),
                   parse_cluster_case);
}

static void test_listeners(void **state)
{
    verdicts_check(VERDICTS_DIR "listener.tsv", PART_LISTENER, sizeof(struct listener_config),
                   parse_listener_case);
}

static void test_formats(void **state)
{
    verdicts_check(VERDICTS_DIR "format.tsv", PART_LISTENER, sizeof(struct listener_config),
                   parse_format_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_tables),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
