/* TcpProxy messages: defaults, every field, and Envoy's verdicts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/extensions/filters/network/tcp_proxy/config.h"

#include "config/parse/verdict_support.h"
#include "dataplane/base/check.h"
#include "dataplane/extensions/registry.h"
#include "dataplane/net/network_filter.h"

extern const struct network_filter_type network_filter_tcp_proxy;

static struct parse_fixture f;

static int parse_case(struct parse_fixture *fixture, struct str text)
{
    const struct extension *ext = &network_filter_tcp_proxy.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    fixture->ctx.registry = &extension_registry;
    r = parse_fixture_message(fixture, ext->descriptor, text, &m);
    return r < 0 ? r : ext->parse(&fixture->ctx, m, &config);
}

static const struct tcp_proxy_config *parse_ok(const char *yaml)
{
    const struct extension *ext = &network_filter_tcp_proxy.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;

    parse_fixture_init(&f, sizeof(struct filter_chain_config), PART_FILTER_CHAIN, "chain");
    f.ctx.registry = &extension_registry;
    if (parse_fixture_message(&f, ext->descriptor, str_c(yaml), &m) != 0 ||
        ext->parse(&f.ctx, m, &config) != 0) {
        fail_msg("%s: %s", yaml, error_message(&f.err));
    }
    return config;
}

static void test_defaults(void **state)
{
    const struct tcp_proxy_config *c = parse_ok("{stat_prefix: p, cluster: c}");

    assert_true(str_eq(c->stat_prefix, STR("p")));
    assert_int_equal(c->cluster_count, 1);
    assert_false(c->is_weighted);
    assert_true(str_eq(parse_fixture_slot_name(&f, PART_CLUSTER, c->clusters[0].slot), STR("c")));
    assert_int_equal(c->idle_timeout_ms, 3600000);
    assert_int_equal(c->max_duration_ms, 0);
    assert_int_equal(c->max_connect_attempts, 1);
    assert_int_equal(c->backoff_base_ms, 0);
    assert_int_equal(c->hash_policy, TCP_HASH_NONE);
    assert_int_equal(c->connect_mode, TCP_CONNECT_AT_ONCE);
    assert_false(c->max_early_data_bytes.is_set);
    assert_null(c->tunnel);
    assert_int_equal(f.ctx.unsupported_count, 0);
    parse_fixture_done(&f);
}

static void test_every_field(void **state)
{
    const struct tcp_proxy_config *c = parse_ok(
        "stat_prefix: p\n"
        "weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 2}]}\n"
        "idle_timeout: 0s\nmax_connect_attempts: 4\n"
        "backoff_options: {base_interval: 0.25s}\n"
        "hash_policy: [{source_ip: {}}]\n"
        "max_downstream_connection_duration: 2s\n"
        "max_downstream_connection_duration_jitter_percentage: {value: 12.5}\n"
        "access_log_options: {access_log_flush_interval: 3s, flush_access_log_on_connected: true, "
        "flush_access_log_on_start: true}\n"
        "access_log: [{name: l, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]\n"
        "tunneling_config: {hostname: 'h:1', use_post: true, headers_to_add: [{header: {key: A, "
        "value: b}}], propagate_response_headers: true, propagate_response_trailers: true}\n"
        "proxy_protocol_tlvs: [{type: 1, format_string: {text_format_source: {inline_string: x}}}, "
        "{type: 2, value: YQ==}]\n"
        "proxy_protocol_tlv_merge_policy: APPEND_IF_EXISTS_OR_ADD\n"
        "upstream_connect_mode: ON_DOWNSTREAM_TLS_HANDSHAKE\nmax_early_data_bytes: 5\n"
        "check_drain_close: true\n");

    assert_true(c->is_weighted);
    assert_int_equal(c->total_weight, 3);
    assert_true(str_eq(c->clusters[1].name, STR("b")));
    assert_int_equal(c->idle_timeout_ms, 0);
    assert_int_equal(c->max_connect_attempts, 4);
    assert_int_equal(c->backoff_base_ms, 250);
    assert_int_equal(c->backoff_max_ms, 2500);
    assert_int_equal(c->hash_policy, TCP_HASH_SOURCE_IP);
    assert_int_equal(c->max_duration_ms, 2000);
    assert_true(c->max_duration_jitter == 12.5);
    assert_int_equal(c->log_interval_ms, 3000);
    assert_true(c->logs_connected && c->logs_start);
    assert_int_equal(c->access_logs.count, 1);
    assert_true(c->tunnel->is_post);
    assert_true(str_eq(c->tunnel->post_path, STR("/")));
    assert_true(str_eq(c->tunnel->hostname.literal, STR("h:1")));
    assert_true(str_eq(c->tunnel->headers.add[0].name, STR("a")));
    assert_true(c->tunnel->keeps_response_headers && c->tunnel->keeps_response_trailers);
    assert_int_equal(c->tlv_count, 2);
    assert_int_equal(c->tlvs[0].type, 2); /* fixed ones first */
    assert_non_null(c->tlvs[1].format);
    assert_int_equal(c->tlv_merge, TCP_TLV_APPEND);
    assert_int_equal(c->connect_mode, TCP_CONNECT_ON_TLS_HANDSHAKE);
    assert_int_equal(c->max_early_data_bytes.value, 5);
    assert_true(c->checks_drain_close);
    assert_int_equal(f.ctx.unsupported_count, 0);
    parse_fixture_done(&f);
}

static void test_reported(void **state)
{
    (void)parse_ok("{stat_prefix: p, cluster: c, metadata_match: {filter_metadata: {envoy.lb: {a: "
                   "b}}}, on_demand: {}}");
    assert_int_equal(f.ctx.unsupported_count, 2);
    parse_fixture_done(&f);
}

static void test_envoys_verdicts(void **state)
{
    verdicts_check(VERDICTS_DIR "tcp_proxy.tsv", PART_FILTER_CHAIN,
                   sizeof(struct filter_chain_config), parse_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_reported),
        cmocka_unit_test(test_envoys_verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
