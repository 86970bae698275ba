/* HttpConnectionManager messages: defaults, every field, and Envoy's verdicts on bad ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/listener.h"
#include "config/parse/verdict_support.h"
#include "dataplane/base/check.h"
#include "dataplane/extensions/registry.h"
#include "dataplane/http/client_address.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/net/network_filter.h"

extern const struct network_filter_type network_filter_http_connection_manager;

#define PRESERVE_CASE                                                                              \
    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
#define ROUTER                                                                                     \
    "{name: r, typed_config: {'@type': "                                                           \
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"
#define MINIMAL                                                                                    \
    "stat_prefix: p\n"                                                                             \
    "route_config: {name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: " \
    "/}, direct_response: {status: 200}}]}]}\n"
#define FILTERS "http_filters: [" ROUTER "]\n"

static struct parse_fixture f;
static const struct http_conn_manager_config *parsed;

static int parse(const char *yaml)
{
    const struct extension *ext = &network_filter_http_connection_manager.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    parse_fixture_init(&f, sizeof(struct filter_chain_config), PART_FILTER_CHAIN, "chain");
    f.ctx.registry = &extension_registry;
    f.ctx.local_ip = STR("192.0.2.1");
    r = parse_fixture_message(&f, ext->descriptor, str_c(yaml), &m);
    if (r == 0) {
        r = ext->parse(&f.ctx, m, &config);
    }
    parsed = config;
    return r;
}

static void parse_ok(const char *yaml)
{
    if (parse(yaml) != 0) {
        fail_msg("%s: %s", yaml, error_message(&f.err));
    }
}

static void test_defaults(void **state)
{
    parse_ok(MINIMAL FILTERS);
    assert_int_equal(parsed->codec_type, HTTP_CODEC_AUTO);
    assert_int_equal(parsed->idle_timeout_ms, 3600000);
    assert_int_equal(parsed->stream_idle_timeout_ms, 300000);
    assert_int_equal(parsed->request_headers_timeout_ms, 10000);
    assert_int_equal(parsed->request_timeout_ms, 0);
    assert_int_equal(parsed->max_connection_duration_ms, 0);
    assert_int_equal(parsed->max_stream_duration_ms, 0);
    assert_int_equal(parsed->drain_timeout_ms, 5000);
    assert_int_equal(parsed->delayed_close_timeout_ms, 1000);
    assert_int_equal(parsed->max_request_headers_bytes, 60 * 1024);
    assert_int_equal(parsed->max_headers_count, 100);
    assert_int_equal(parsed->max_requests_per_connection, 0);
    assert_true(str_eq(parsed->server_name, STR("envoy")));
    assert_int_equal(parsed->server_header, SERVER_OVERWRITE);
    assert_true(parsed->generate_request_id);
    assert_true(parsed->request_id.pack_trace_reason);
    assert_false(parsed->use_remote_address);
    assert_false(parsed->normalize_path);
    assert_int_equal(parsed->escaped_slashes, ESCAPED_SLASHES_KEEP);
    assert_int_equal(parsed->filter_count, 1);
    assert_true(parsed->filters[0].type->ext.is_terminal);
    assert_non_null(parsed->inline_routes);
    assert_int_equal(parsed->inline_routes->vhost_count, 1);
    assert_int_equal(parsed->route_slot, SLOT_NONE);
    assert_null(parsed->stats);
    assert_false(parsed->http1.stream_error_on_invalid_message);
    assert_false(parsed->http2.stream_error_on_invalid_message);
    assert_int_equal(parsed->http2.max_concurrent_streams, HTTP2_MAX_CONCURRENT_STREAMS_SERVER);
    assert_int_equal(parsed->upgrade_count, 0);
    assert_int_equal(parsed->strip_port, STRIP_PORT_NONE);
    assert_false(parsed->stream_flush_timeout.is_set);
    assert_int_equal(parsed->local_reply.mapper_count, 0);
    assert_null(parsed->local_reply.format);
    parse_fixture_done(&f);
}

#define ANY(name)                                                                                  \
    "{name: e, typed_config: {'@type': type.googleapis.com/envoy.extensions.http." name
#define XFF ANY("original_ip_detection.xff.v3.XffConfig")
#define CUSTOM ANY("original_ip_detection.custom_header.v3.CustomHeaderConfig")
#define EARLY ANY("early_header_mutation.header_mutation.v3.HeaderMutation")

static void test_who_the_client_is(void **state)
{
    parse_ok(MINIMAL FILTERS
             "original_ip_detection_extensions: [" XFF ", xff_num_trusted_hops: 1}}, " CUSTOM
             ", header_name: X-Real-IP, reject_with_status: {code: Unauthorized}}}]\n"
             "early_header_mutation_extensions: [" EARLY ", mutations: [{remove: x}]}}]\n"
             "append_x_forwarded_port: true\nadd_user_agent: true\n"
             "forward_proto_config: {https_destination_ports: [443, 8443], "
             "http_destination_ports: [80]}\n");
    assert_int_equal(parsed->ip_detection_count, 2);
    assert_non_null(parsed->ip_detections[1].type->detect);
    assert_int_equal(parsed->early_mutation_count, 1);
    assert_true(parsed->append_x_forwarded_port);
    assert_true(parsed->add_user_agent);
    assert_int_equal(parsed->forward_proto.https_port_count, 2);
    assert_int_equal(parsed->forward_proto.https_ports[1], 8443);
    assert_int_equal(parsed->forward_proto.http_ports[0], 80);
    parse_fixture_done(&f);
}

static void test_hosts_times_and_replies(void **state)
{
    parse_ok(MINIMAL FILTERS
             "strip_any_host_port: true\nstrip_trailing_host_dot: true\n"
             "stream_flush_timeout: 3s\ndrain_timeout_jitter: {value: 50}\n"
             "http1_safe_max_connection_duration: true\n"
             "common_http_protocol_options: {max_connection_duration_jitter: {value: 25}}\n"
             "local_reply_config: {mappers: [{filter: {not_health_check_filter: {}}, "
             "status_code: 418, body: {inline_string: b}, headers_to_add: [{header: {key: X, "
             "value: why}}], body_format_override: {json_format: {a: b}}}], body_format: "
             "{text_format: t, content_type: text/x}}\n");
    assert_int_equal(parsed->strip_port, STRIP_PORT_ANY);
    assert_true(parsed->strip_trailing_host_dot);
    assert_true(parsed->stream_flush_timeout.is_set);
    assert_int_equal(parsed->stream_flush_timeout.ms, 3000);
    assert_true(parsed->drain_timeout_jitter == 50);
    assert_true(parsed->max_connection_duration_jitter == 25);
    assert_true(parsed->http1_safe_max_connection_duration);
    assert_int_equal(parsed->local_reply.mapper_count, 1);
    assert_int_equal(parsed->local_reply.mappers[0].status, 418);
    assert_true(parsed->local_reply.mappers[0].has_body);
    assert_int_equal(parsed->local_reply.mappers[0].headers.add_count, 1);
    assert_true(parsed->local_reply.mappers[0].format->is_json);
    assert_true(str_eq(parsed->local_reply.format->content_type, STR("text/x")));
    parse_fixture_done(&f);
}

static void test_every_field(void **state)
{
    parse_ok(
        MINIMAL FILTERS
        "codec_type: HTTP1\n"
        "common_http_protocol_options: {idle_timeout: 7s, max_connection_duration: 8s, "
        "max_headers_count: 9, max_stream_duration: 10s, headers_with_underscores_action: "
        "REJECT_REQUEST, max_requests_per_connection: 11}\n"
        "http_protocol_options: {accept_http_10: true, default_host_for_http_10: d, "
        "enable_trailers: true, override_stream_error_on_invalid_http_message: false, "
        "header_key_format: {stateful_formatter: {name: f, typed_config: {'@type': "
        "type.googleapis.com/" PRESERVE_CASE ", forward_reason_phrase: true, "
        "formatter_type_on_envoy_headers: PROPER_CASE}}}}\n"
        "http2_protocol_options: {max_concurrent_streams: 16}\n"
        "stream_error_on_invalid_http_message: true\n"
        "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT, enabled: false, "
        "filters: [{name: b, disabled: true, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}}, " ROUTER "]}]\n"
        "server_name: me\nserver_header_transformation: PASS_THROUGH\n"
        "max_request_headers_kb: 12\nstream_idle_timeout: 13s\nrequest_timeout: 14s\n"
        "request_headers_timeout: 0s\ndrain_timeout: 15s\ndelayed_close_timeout: 0.5s\n"
        "access_log: [{name: l, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}}]\n"
        "use_remote_address: true\nxff_num_trusted_hops: 2\n"
        "internal_address_config: {unix_sockets: true, cidr_ranges: [{address_prefix: "
        "10.0.0.0, prefix_len: 8}]}\n"
        "skip_xff_append: true\nvia: v\ngenerate_request_id: false\n"
        "preserve_external_request_id: true\nalways_set_request_id_in_response: true\n"
        "proxy_100_continue: true\nnormalize_path: true\nmerge_slashes: true\n"
        "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT\n"
        "request_id_extension: {typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, pack_trace_reason: false}}\n");
    assert_int_equal(parsed->codec_type, HTTP_CODEC_HTTP1);
    assert_int_equal(parsed->idle_timeout_ms, 7000);
    assert_int_equal(parsed->max_connection_duration_ms, 8000);
    assert_int_equal(parsed->max_headers_count, 9);
    assert_int_equal(parsed->max_stream_duration_ms, 10000);
    assert_int_equal(parsed->headers_with_underscores, UNDERSCORE_REJECT_REQUEST);
    assert_int_equal(parsed->max_requests_per_connection, 11);
    assert_true(parsed->http1.accept_http_10 && parsed->http1.enable_trailers);
    assert_true(str_eq(parsed->http1.default_host_for_http_10, STR("d")));
    assert_false(parsed->http1.stream_error_on_invalid_message);
    assert_int_equal(parsed->http1.header_key_format, HEADER_KEY_PRESERVED);
    assert_true(parsed->http1.header_case.forwards_reason_phrase);
    assert_true(parsed->http1.header_case.is_proper_otherwise);
    assert_int_equal(parsed->http2.max_concurrent_streams, 16);
    assert_true(parsed->http2.stream_error_on_invalid_message);
    assert_int_equal(parsed->upgrade_count, 2);
    assert_true(str_eq(parsed->upgrades[0].type, STR("websocket")));
    assert_true(parsed->upgrades[0].is_enabled);
    assert_null(parsed->upgrades[0].filters);
    assert_false(parsed->upgrades[1].is_enabled);
    assert_int_equal(parsed->upgrades[1].filter_count, 2);
    assert_true(parsed->upgrades[1].filters[0].is_disabled);
    assert_true(str_eq(parsed->server_name, STR("me")));
    assert_int_equal(parsed->server_header, SERVER_PASS_THROUGH);
    assert_int_equal(parsed->max_request_headers_bytes, 12 * 1024);
    assert_int_equal(parsed->stream_idle_timeout_ms, 13000);
    assert_int_equal(parsed->request_timeout_ms, 14000);
    assert_int_equal(parsed->request_headers_timeout_ms, 0);
    assert_int_equal(parsed->drain_timeout_ms, 15000);
    assert_int_equal(parsed->delayed_close_timeout_ms, 500);
    assert_int_equal(parsed->access_logs.count, 1);
    assert_true(parsed->use_remote_address && parsed->skip_xff_append);
    assert_int_equal(parsed->xff_num_trusted_hops, 2);
    assert_true(parsed->unix_sockets_are_internal);
    assert_int_equal(parsed->internal_range_count, 1);
    assert_true(str_eq(parsed->local_ip, STR("192.0.2.1")));
    assert_true(str_eq(parsed->via, STR("v")));
    assert_false(parsed->generate_request_id);
    assert_true(parsed->preserve_external_request_id && parsed->always_set_request_id_in_response);
    assert_true(parsed->proxy_100_continue && parsed->normalize_path && parsed->merge_slashes);
    assert_int_equal(parsed->escaped_slashes, ESCAPED_SLASHES_REDIRECT);
    assert_false(parsed->request_id.pack_trace_reason);
    parse_fixture_done(&f);
}

static void test_rds(void **state)
{
    parse_ok(
        "stat_prefix: p\n" FILTERS
        "rds: {route_config_name: web, config_source: {ads: {}, initial_fetch_timeout: 0s}}\n");
    assert_null(parsed->inline_routes);
    assert_true(
        str_eq(parse_fixture_slot_name(&f, PART_ROUTE_TABLE, parsed->route_slot), STR("web")));
    assert_int_equal(f.ctx.subscription_count, 1);
    assert_int_equal(f.ctx.subscriptions[0].kind, PART_ROUTE_TABLE);
    assert_int_equal(f.ctx.subscriptions[0].source->kind, CONFIG_SOURCE_ADS);
    assert_int_equal(f.ctx.subscriptions[0].source->initial_fetch_timeout_ms, 0);
    parse_fixture_done(&f);
}

static void test_optional_and_duplicate_filters(void **state)
{
    parse_ok(MINIMAL "http_filters: [{name: gone, is_optional: true, typed_config: {'@type': "
                     "type.googleapis.com/google.protobuf.Empty}}, " ROUTER "]\n");
    assert_int_equal(parsed->filter_count, 1);
    assert_true(str_eq(parsed->filters[0].name, STR("r")));
    parse_fixture_done(&f);
    parse_ok(MINIMAL "http_filters: []\n"); /* as Envoy: nobody will ever answer */
    assert_int_equal(parsed->filter_count, 0);
    parse_fixture_done(&f);
}

struct bad {
    const char *yaml;
    const char *says;
};

static void test_refused(void **state)
{
    static const struct bad cases[] = {
        {FILTERS "route_config: {name: t}", "stat_prefix: value length must be at least 1"},
        {"stat_prefix: p\n" FILTERS, "route_specifier: value is required"},
        {MINIMAL "http_filters: [" ROUTER ", " ROUTER "]",
         "http_filters[0]: Error: terminal filter named r of type envoy.filters.http.router must "
         "be "
         "the last filter in a http filter chain."},
        {MINIMAL "http_filters: [{name: r, disabled: true, typed_config: {'@type': "
                 "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]",
         "Error: the last (terminal) filter (r) in the chain cannot be disabled by default."},
        {MINIMAL "http_filters: [{typed_config: {'@type': "
                 "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]",
         "http_filters[0].name: value length must be at least 1"},
        {MINIMAL "http_filters: [{name: envoy.filters.http.router}]",
         "Didn't find a registered implementation for 'envoy.filters.http.router' with type URL: "
         "''"},
        {MINIMAL "http_filters: [{name: x, typed_config: {'@type': "
                 "type.googleapis.com/google.protobuf.Empty}}, " ROUTER "]",
         "Didn't find a registered implementation for 'x' with type URL: 'google.protobuf.Empty'"},
        {MINIMAL "http_filters: [" ROUTER ", {name: x, is_optional: true, typed_config: {'@type': "
                 "type.googleapis.com/google.protobuf.Empty}}]",
         "must be the last filter"},
        {MINIMAL FILTERS "max_request_headers_kb: 0",
         "max_request_headers_kb: value must be inside range (0, 8192]"},
        {MINIMAL FILTERS "max_request_headers_kb: 8193",
         "max_request_headers_kb: value must be inside range (0, 8192]"},
        {MINIMAL FILTERS "stream_idle_timeout: -1s", "stream_idle_timeout"},
        {MINIMAL FILTERS "delayed_close_timeout: -1s", "delayed_close_timeout"},
        {MINIMAL FILTERS "server_name: \"a\\nb\"", "server_name"},
        {MINIMAL FILTERS "via: \"a\\nb\"", "via"},
        {MINIMAL FILTERS "codec_type: 77", "codec_type: value must be one of the defined enum"},
        {MINIMAL FILTERS "codec_type: HTTP3",
         "codec_type: HTTP/3 codec configured on non-QUIC listener."},
        {MINIMAL FILTERS
         "http_protocol_options: {header_key_format: {stateful_formatter: {name: f, "
         "typed_config: {'@type': type.googleapis.com/" PRESERVE_CASE
         ", formatter_type_on_envoy_headers: 7}}}}",
         "http_protocol_options.header_key_format.stateful_formatter.typed_config."
         "formatter_type_on_envoy_headers"},
        {MINIMAL FILTERS
         "http_protocol_options: {header_key_format: {stateful_formatter: {name: f, "
         "typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}}",
         "http_protocol_options.header_key_format.stateful_formatter"},
        {MINIMAL FILTERS "http_protocol_options: {ignore_http_11_upgrade: [{exact: a}, {}]}",
         "http_protocol_options.ignore_http_11_upgrade[1]"},
        {MINIMAL FILTERS "common_http_protocol_options: {max_headers_count: 0}",
         "common_http_protocol_options.max_headers_count"},
        {MINIMAL FILTERS "common_http_protocol_options: {idle_timeout: -1s}",
         "common_http_protocol_options.idle_timeout"},
        {MINIMAL FILTERS "internal_address_config: {cidr_ranges: [{address_prefix: x, prefix_len: "
                         "8}]}",
         "internal_address_config.cidr_ranges[0]"},
        {MINIMAL FILTERS "request_id_extension: {typed_config: {'@type': "
                         "type.googleapis.com/google.protobuf.Empty}}",
         "request_id_extension"},
        {MINIMAL FILTERS "access_log: [{name: l, typed_config: {'@type': type.googleapis.com/"
                         "envoy.extensions.access_loggers.file.v3.FileAccessLog}}]",
         "access_log[0].typed_config.path: value length must be at least 1"},
        {MINIMAL FILTERS "access_log: [{name: l, typed_config: {'@type': type.googleapis.com/"
                         "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: "
                         "{text_format: '%NOPE%'}}}]",
         "access_log[0].typed_config.log_format"},
        {"stat_prefix: p\n" FILTERS "rds: {route_config_name: x}",
         "rds.config_source: An RDS config must have either"},
        {"stat_prefix: p\n" FILTERS
         "route_config: {name: t, virtual_hosts: [{name: v, domains: []}]}",
         "route_config.virtual_hosts[0].domains"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (parse(cases[i].yaml) == 0) {
            fail_msg("accepted: %s", cases[i].yaml);
        }
        if (strstr(error_message(&f.err), cases[i].says) == NULL) {
            fail_msg("%s\nsaid '%s'\nwant '%s'", cases[i].yaml, error_message(&f.err),
                     cases[i].says);
        }
        parse_fixture_done(&f);
    }
}

static void test_scopes(void **state)
{
    struct stat_store *stats = stat_store_new(1);
    const struct extension *ext = &network_filter_http_connection_manager.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;

    parse_fixture_init(&f, sizeof(struct filter_chain_config), PART_FILTER_CHAIN, "chain");
    f.ctx.registry = &extension_registry;
    f.ctx.stats = stats;
    f.ctx.listener_stat_name = STR("10.0.0.1_80");
    assert_int_equal(parse_fixture_message(&f, ext->descriptor, STR(MINIMAL FILTERS), &m), 0);
    assert_int_equal(ext->parse(&f.ctx, m, &config), 0);
    parsed = config;
    assert_non_null(parsed->stats);
    assert_non_null(parsed->listener_stats);
    assert_non_null(parsed->http2_stats);
    assert_int_equal(stat_scope_value(parsed->stats, CM_CX_ACTIVE), 0);
    parse_fixture_done(&f); /* gives the scopes back */
    stat_store_free(stats);
}

static int parse_case(struct parse_fixture *fixture, struct str json)
{
    const struct extension *ext = &network_filter_http_connection_manager.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    fixture->ctx.registry = &extension_registry;
    r = parse_fixture_message(fixture, ext->descriptor, json, &m);
    return r < 0 ? r : ext->parse(&fixture->ctx, m, &config);
}

static void test_envoys_verdicts(void **state)
{
    verdicts_check(VERDICTS_DIR "hcm.tsv", PART_FILTER_CHAIN, sizeof(struct filter_chain_config),
                   parse_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_who_the_client_is),
        cmocka_unit_test(test_hosts_times_and_replies),
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_rds),
        cmocka_unit_test(test_optional_and_duplicate_filters),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_envoys_verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
