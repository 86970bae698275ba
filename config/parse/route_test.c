/* RouteConfiguration to the model: what stands where, and the defaults. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/route_index.h"
#include "config/parse/parse_support.h"
#include "config/parse/route.h"

static const char *const TABLE =
    "name: table\n"
    "internal_only_headers: [X-Internal]\n"
    "most_specific_header_mutations_wins: true\n"
    "ignore_port_in_host_matching: true\n"
    "request_headers_to_add:\n"
    "- {header: {key: X-Table, value: '%REQ(x-a?:path):5% and 100%%'}, keep_empty_value: true}\n"
    "virtual_hosts:\n"
    "- name: main\n"
    "  domains: [Example.COM, '*.example.com']\n"
    "  require_tls: EXTERNAL_ONLY\n"
    "  include_request_attempt_count: true\n"
    "  metadata: {filter_metadata: {ns: {k: v, b: {c: [1, true, null]}}}}\n"
    "  routes:\n"
    "  - name: forward\n"
    "    match:\n"
    "      prefix: /api\n"
    "      case_sensitive: false\n"
    "      runtime_fraction: {default_value: {numerator: 5, denominator: TEN_THOUSAND}}\n"
    "      headers:\n"
    "      - {name: X-Version, range_match: {start: -1, end: 10}, invert_match: true}\n"
    "      - {name: x-p}\n"
    "      query_parameters:\n"
    "      - {name: q, string_match: {contains: Z, ignore_case: true}}\n"
    "      - {name: r, present_match: false}\n"
    "    route:\n"
    "      cluster: c\n"
    "      timeout: 0s\n"
    "      idle_timeout: 1.5s\n"
    "      priority: HIGH\n"
    "      prefix_rewrite: /v2\n"
    "      host_rewrite_header: X-Host\n"
    "      append_x_forwarded_host: true\n"
    "      cluster_not_found_response_code: INTERNAL_SERVER_ERROR\n"
    "    request_headers_to_remove: [X-Gone]\n"
    "    response_headers_to_add:\n"
    "    - {header: {key: a, value: b}, append: false}\n"
    "    - {header: {key: a, value: ''}, append_action: ADD_IF_ABSENT}\n"
    "  - match: {path: /}\n"
    "    route:\n"
    "      weighted_clusters:\n"
    "        header_name: X-Random\n"
    "        clusters:\n"
    "        - {name: c, weight: 95, host_rewrite_literal: h}\n"
    "        - {cluster_header: X-Cluster, weight: 5}\n"
    "  - match: {safe_regex: {regex: '/r/[0-9]+'}}\n"
    "    redirect: {https_redirect: true, port_redirect: 8443, prefix_rewrite: /x,\n"
    "               response_code: PERMANENT_REDIRECT, strip_query: true}\n"
    "  - match: {path_separated_prefix: /sep}\n"
    "    direct_response: {status: 418, body: {inline_bytes: aGk=}}\n"
    "  - match: {prefix: /}\n"
    "    non_forwarding_action: {}\n";

struct table {
    struct parse_fixture f;
    struct route_config *rc;
};

static void table_init(struct table *t, const char *yaml, bool is_static)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&t->f, sizeof(*t->rc), PART_ROUTE_TABLE, "table");
    t->f.ctx.is_static = is_static;
    t->rc = (struct route_config *)t->f.part;
    if (parse_fixture_message(&t->f, &envoy__config__route__v3__route_configuration__descriptor,
                              str_c(yaml), &m) < 0 ||
        parse_route_config(&t->f.ctx, (const Envoy__Config__Route__V3__RouteConfiguration *)m,
                           t->rc) < 0) {
        fail_msg("%s", error_message(&t->f.err));
    }
}

#define assert_str(s, text) assert_true(str_eq((s), str_c(text)))

static void test_table_and_host(void **state)
{
    struct table t;
    const struct virtual_host *v;

    table_init(&t, TABLE, true);
    assert_str(t.rc->name, "table");
    assert_int_equal(t.rc->internal_only_header_count, 1);
    assert_str(t.rc->internal_only_headers[0], "x-internal");
    assert_true(t.rc->most_specific_header_mutations_wins);
    assert_true(t.rc->ignore_port_in_host_matching);
    assert_false(t.rc->ignore_path_parameters);
    assert_int_equal(t.rc->request_headers.add_count, 1);
    assert_str(t.rc->request_headers.add[0].name, "x-table");
    assert_true(t.rc->request_headers.add[0].keep_empty_value);
    assert_int_equal(t.rc->request_headers.add[0].value.count, 2);

    assert_int_equal(t.rc->vhost_count, 1);
    v = &t.rc->vhosts[0];
    assert_str(v->name, "main");
    assert_str(v->domains[0], "example.com");
    assert_int_equal(v->require_tls, REQUIRE_TLS_EXTERNAL_ONLY);
    assert_true(v->include_request_attempt_count);
    assert_false(v->include_attempt_count_in_response);
    assert_int_equal(v->route_count, 5);
    assert_ptr_equal(domain_index_find(t.rc->domains, STR("a.EXAMPLE.com")), v);
    assert_str(value_get(value_get(v->metadata, STR("ns")), STR("k"))->string, "v");
    assert_int_equal(
        value_get(value_get(value_get(v->metadata, STR("ns")), STR("b")), STR("c"))->count, 3);
    parse_fixture_done(&t.f);
}

static void test_forwarding_route(void **state)
{
    struct table t;
    const struct route *r;

    table_init(&t, TABLE, true);
    r = &t.rc->vhosts[0].routes[0];
    assert_str(r->name, "forward");
    assert_int_equal(r->path_kind, PATH_MATCH_PREFIX);
    assert_false(r->case_sensitive);
    assert_true(r->has_runtime_fraction);
    assert_int_equal(r->runtime_fraction.numerator, 5);
    assert_int_equal(r->runtime_fraction.denominator, 10000);
    assert_int_equal(r->header_count, 2);
    assert_str(r->headers[0].name, "x-version");
    assert_int_equal(r->headers[0].kind, HEADER_MATCH_RANGE);
    assert_int_equal(r->headers[0].range_start, -1);
    assert_int_equal(r->headers[0].range_end, 10);
    assert_true(r->headers[0].invert);
    assert_int_equal(r->headers[1].kind, HEADER_MATCH_PRESENT);
    assert_true(r->headers[1].present);
    assert_int_equal(r->query_count, 2);
    assert_true(string_matcher_matches(&r->queries[0].string, STR("xyz")));
    assert_true(r->queries[1].is_present_only);
    assert_false(r->queries[1].present);

    assert_int_equal(r->action, ROUTE_FORWARD);
    assert_str(r->forward.cluster_name, "c");
    assert_str(parse_fixture_slot_name(&t.f, PART_CLUSTER, r->forward.cluster_slot), "c");
    assert_true(r->forward.timeout.is_set);
    assert_int_equal(r->forward.timeout.ms, 0);
    assert_int_equal(r->forward.idle_timeout.ms, 1500);
    assert_int_equal(r->forward.priority, PRIORITY_HIGH);
    assert_str(r->forward.prefix_rewrite, "/v2");
    assert_str(r->forward.host_rewrite_header, "x-host");
    assert_true(r->forward.append_x_forwarded_host);
    assert_int_equal(r->forward.cluster_not_found_status, 500);

    assert_int_equal(r->request_headers.remove_count, 1);
    assert_str(r->request_headers.remove[0], "x-gone");
    assert_int_equal(r->response_headers.add_count, 2);
    assert_int_equal(r->response_headers.add[0].action, HEADER_OVERWRITE_IF_EXISTS_OR_ADD);
    assert_int_equal(r->response_headers.add[1].action, HEADER_ADD_IF_ABSENT);
    parse_fixture_done(&t.f);
}

static void test_other_actions(void **state)
{
    struct table t;
    const struct route *r;

    table_init(&t, TABLE, true);
    r = t.rc->vhosts[0].routes;
    assert_int_equal(r[1].path_kind, PATH_MATCH_EXACT);
    assert_int_equal(r[1].forward.cluster_slot, SLOT_NONE);
    assert_int_equal(r[1].forward.weighted_count, 2);
    assert_int_equal(r[1].forward.total_weight, 100);
    assert_str(r[1].forward.weight_header, "x-random");
    assert_int_equal(r[1].forward.weighted[0].weight, 95);
    assert_str(r[1].forward.weighted[0].host_rewrite, "h");
    assert_str(r[1].forward.weighted[1].cluster_header, "x-cluster");
    assert_int_equal(r[1].forward.weighted[1].slot, SLOT_NONE);
    assert_false(r[1].forward.timeout.is_set);
    assert_int_equal(r[1].forward.cluster_not_found_status, 503);

    assert_int_equal(r[2].path_kind, PATH_MATCH_REGEX);
    assert_true(regex_full_match(r[2].path_regex, STR("/r/12")));
    assert_int_equal(r[2].action, ROUTE_REDIRECT);
    assert_true(r[2].redirect.https_redirect);
    assert_int_equal(r[2].redirect.port, 8443);
    assert_str(r[2].redirect.prefix_rewrite, "/x");
    assert_int_equal(r[2].redirect.status, 308);
    assert_true(r[2].redirect.strip_query);

    assert_int_equal(r[3].path_kind, PATH_MATCH_SEPARATED_PREFIX);
    assert_int_equal(r[3].action, ROUTE_DIRECT_RESPONSE);
    assert_int_equal(r[3].direct.status, 418);
    assert_str(r[3].direct.body, "hi");
    assert_int_equal(r[4].action, ROUTE_NON_FORWARDING);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(r[i].index, i);
    }
    parse_fixture_done(&t.f);
}

static void test_unknown_clusters_are_dependencies_over_xds(void **state)
{
    struct table t;

    table_init(&t,
               "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /},"
               " route: {cluster: not-there}}]}]}",
               false);
    assert_int_equal(t.f.ctx.dep_count, 1);
    assert_int_equal(t.f.ctx.deps[0].kind, PART_CLUSTER);
    assert_str(parse_fixture_slot_name(&t.f, PART_CLUSTER, t.f.ctx.deps[0].slot), "not-there");
    parse_fixture_done(&t.f);
}

static const char *const TUNNELS =
    "name: t\n"
    "virtual_hosts:\n"
    "- name: v\n"
    "  domains: ['*']\n"
    "  routes:\n"
    "  - match: {connect_matcher: {}}\n"
    "    route:\n"
    "      cluster: c\n"
    "      upgrade_configs:\n"
    "      - {upgrade_type: Connect, connect_config: {allow_post: true}}\n"
    "      - {upgrade_type: WebSocket, enabled: false}\n"
    "      max_stream_duration: {grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1.5s}\n"
    "  - match: {prefix: /, grpc: {}}\n"
    "    route: {cluster: c, max_grpc_timeout: 3s, grpc_timeout_offset: 0.25s}\n"
    "  - match: {prefix: /}\n"
    "    route: {cluster: c, max_stream_duration: {max_stream_duration: 4s}}\n"
    "  - match: {prefix: /}\n"
    "    route: {cluster: c, max_stream_duration: {}}\n";

static void test_upgrades(void **state)
{
    struct table t;
    const struct route *r;

    table_init(&t, TUNNELS, true);
    r = t.rc->vhosts[0].routes;
    assert_int_equal(r[0].path_kind, PATH_MATCH_CONNECT);
    assert_false(r[0].is_grpc_only);
    assert_int_equal(r[0].forward.upgrade_count, 2);
    assert_str(r[0].forward.upgrades[0].type, "Connect");
    assert_true(r[0].forward.upgrades[0].is_enabled);
    assert_true(r[0].forward.upgrades[0].terminates_connect);
    assert_true(r[0].forward.upgrades[0].allow_post);
    assert_str(r[0].forward.upgrades[1].type, "WebSocket");
    assert_false(r[0].forward.upgrades[1].is_enabled);
    assert_false(r[0].forward.upgrades[1].terminates_connect);
    assert_int_equal(r[1].forward.upgrade_count, 0);
    assert_true(r[1].is_grpc_only);
    parse_fixture_done(&t.f);
}

/* Absent is not zero, and an empty message is not absent. */
static void test_durations_of_streams(void **state)
{
    struct table t;
    const struct route *r;

    table_init(&t, TUNNELS, true);
    r = t.rc->vhosts[0].routes;
    assert_true(r[0].forward.has_stream_duration);
    assert_false(r[0].forward.max_stream_duration.is_set);
    assert_true(r[0].forward.grpc_timeout_header_max.is_set);
    assert_int_equal(r[0].forward.grpc_timeout_header_max.ms, 0);
    assert_int_equal(r[0].forward.grpc_timeout_header_offset.ms, 1500);
    assert_false(r[0].forward.max_grpc_timeout.is_set);
    assert_false(r[1].forward.has_stream_duration);
    assert_int_equal(r[1].forward.max_grpc_timeout.ms, 3000);
    assert_int_equal(r[1].forward.grpc_timeout_offset.ms, 250);
    assert_int_equal(r[2].forward.max_stream_duration.ms, 4000);
    assert_false(r[2].forward.grpc_timeout_header_max.is_set);
    assert_true(r[3].forward.has_stream_duration);
    assert_false(r[3].forward.max_stream_duration.is_set);
    parse_fixture_done(&t.f);
}

/* Of the route, in either spelling, else of its virtual host. */
static void test_limits_of_bodies(void **state)
{
    struct table t;
    const struct route *r;

    table_init(&t,
               "name: t\n"
               "virtual_hosts:\n"
               "- name: a\n"
               "  domains: [a]\n"
               "  request_body_buffer_limit: 5000000000\n"
               "  routes:\n"
               "  - {match: {prefix: /}, direct_response: {status: 200}}\n"
               "  - {match: {prefix: /}, direct_response: {status: 200}, "
               "per_request_buffer_limit_bytes: 7}\n"
               "  - {match: {prefix: /}, direct_response: {status: 200}, "
               "per_request_buffer_limit_bytes: 7, request_body_buffer_limit: 0}\n"
               "- name: b\n"
               "  domains: [b]\n"
               "  routes:\n"
               "  - {match: {prefix: /}, direct_response: {status: 200}}\n",
               true);
    r = t.rc->vhosts[0].routes;
    assert_true(r[0].body_buffer_limit.is_set);
    assert_int_equal(r[0].body_buffer_limit.value, UINT64_C(5000000000));
    assert_int_equal(r[1].body_buffer_limit.value, 7);
    assert_true(r[2].body_buffer_limit.is_set);
    assert_int_equal(r[2].body_buffer_limit.value, 0);
    assert_false(t.rc->vhosts[1].routes[0].body_buffer_limit.is_set);
    parse_fixture_done(&t.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_and_host),
        cmocka_unit_test(test_forwarding_route),
        cmocka_unit_test(test_other_actions),
        cmocka_unit_test(test_unknown_clusters_are_dependencies_over_xds),
        cmocka_unit_test(test_upgrades),
        cmocka_unit_test(test_durations_of_streams),
        cmocka_unit_test(test_limits_of_bodies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
