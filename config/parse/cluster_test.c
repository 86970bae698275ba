/* Clusters and endpoint sets to the model: what stands where, and the defaults. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/parse/cluster.h"
#include "config/parse/endpoint.h"
#include "config/parse/parse_support.h"

#define assert_str(s, text) assert_true(str_eq((s), str_c(text)))

struct parsed {
    struct parse_fixture f;
    struct cluster_config *c;
};

static void parsed_init(struct parsed *p, const char *yaml)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&p->f, sizeof(*p->c), PART_CLUSTER, "k");
    p->c = (struct cluster_config *)p->f.part;
    if (parse_fixture_message(&p->f, &envoy__config__cluster__v3__cluster__descriptor, str_c(yaml),
                              &m) < 0 ||
        parse_cluster(&p->f.ctx, (const Envoy__Config__Cluster__V3__Cluster *)m, p->c) < 0) {
        fail_msg("%s", error_message(&p->f.err));
    }
}

static void test_defaults(void **state)
{
    struct parsed p;

    parsed_init(&p, "{name: k}");
    assert_str(p.c->name, "k");
    assert_ptr_equal(p.c->name.ptr, p.f.part->name.ptr); /* not kept twice */
    assert_str(p.c->stat_name, "k");
    assert_int_equal(p.c->type, DISCOVERY_STATIC);
    assert_int_equal(p.c->connect_timeout_ms, 5000);
    assert_int_equal(p.c->per_connection_buffer_limit_bytes, 1 << 20);
    assert_int_equal(p.c->lb.kind, LB_ROUND_ROBIN);
    assert_true(p.c->panic_threshold == 50.0);
    assert_int_equal(p.c->breakers[PRIORITY_HIGH].max_requests, 1024);
    assert_int_equal(p.c->breakers[PRIORITY_DEFAULT].max_retries, 3);
    assert_int_equal(p.c->overprovisioning_factor, 140);
    assert_int_equal(p.c->max_requests_per_connection, 0);
    assert_false(p.c->idle_timeout.is_set);
    assert_false(p.c->tcp_keepalive.is_enabled);
    assert_false(address_is_set(&p.c->bind_address));
    assert_null(p.c->transport_socket);
    assert_null(p.c->eds_source);
    assert_true(p.c->added_via_api);
    /* The slot of its own endpoints is none that a resource name could say. */
    assert_true(str_eq(parse_fixture_slot_name(&p.f, PART_ENDPOINTS, p.c->endpoints_slot),
                       str_n("k\0", 2)));
    parse_fixture_done(&p.f);
}

static void test_eds_is_subscribed_and_a_dependency(void **state)
{
    struct parsed p;

    parsed_init(&p, "{name: k, alt_stat_name: s, type: EDS, eds_cluster_config: {service_name: svc,"
                    " eds_config: {ads: {}, initial_fetch_timeout: 3s}}}");
    assert_str(p.c->stat_name, "s");
    assert_int_equal(p.c->eds_source->kind, CONFIG_SOURCE_ADS);
    assert_int_equal(p.c->eds_source->initial_fetch_timeout_ms, 3000);
    assert_str(parse_fixture_slot_name(&p.f, PART_ENDPOINTS, p.c->endpoints_slot), "svc");
    assert_int_equal(p.f.ctx.dep_count, 1);
    assert_int_equal(p.f.ctx.deps[0].slot, p.c->endpoints_slot);
    assert_int_equal(p.f.ctx.subscription_count, 1);
    assert_str(p.f.ctx.subscriptions[0].name, "svc");
    assert_ptr_equal(p.f.ctx.subscriptions[0].source, p.c->eds_source);
    parse_fixture_done(&p.f);
}

static void test_common_sources_are_shared(void **state)
{
    static const char *const yaml =
        "{name: k, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}";
    struct parsed a;
    struct parsed b;

    parsed_init(&a, yaml);
    parsed_init(&b, yaml);
    assert_ptr_equal(a.c->eds_source, b.c->eds_source);
    assert_int_equal(a.c->eds_source->initial_fetch_timeout_ms, 15000);
    assert_str(parse_fixture_slot_name(&a.f, PART_ENDPOINTS, a.c->endpoints_slot), "k");
    parse_fixture_done(&a.f);
    parse_fixture_done(&b.f);
}

static void test_policies_in_both_spellings(void **state)
{
    struct parsed p;

    parsed_init(&p, "{name: k, lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 5,"
                    " active_request_bias: {default_value: 0.5}}, common_lb_config:"
                    " {healthy_panic_threshold: {}, locality_weighted_lb_config: {}}}");
    assert_int_equal(p.c->lb.kind, LB_LEAST_REQUEST);
    assert_int_equal(p.c->lb.choice_count, 5);
    assert_true(p.c->lb.active_request_bias == 0.5);
    assert_true(p.c->lb.locality_weighted);
    assert_true(p.c->panic_threshold == 0); /* {} is off, not absent */
    parse_fixture_done(&p.f);

    parsed_init(
        &p, "{name: k, lb_policy: RING_HASH, load_balancing_policy: {policies: ["
            "{typed_extension_config: {name: first, typed_config: {'@type': "
            "type.googleapis.com/google.protobuf.Struct, value: {}}}},"
            "{typed_extension_config: {name: second, typed_config: {'@type': type.googleapis.com/"
            "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest}}}]}}");
    assert_int_equal(p.c->lb.kind, LB_LEAST_REQUEST);
    parse_fixture_done(&p.f);
}

static void test_dns(void **state)
{
    struct parsed p;

    parsed_init(&p,
                "{name: k, type: LOGICAL_DNS, dns_refresh_rate: 9s, dns_failure_refresh_rate:"
                " {base_interval: 2s}, dns_jitter: 0.25s, respect_dns_ttl: true,"
                " dns_lookup_family: V4_PREFERRED, load_assignment: {cluster_name: k, endpoints:"
                " [{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.test,"
                " port_value: 81}}}}]}]}}");
    assert_int_equal(p.c->type, DISCOVERY_LOGICAL_DNS);
    assert_true(p.c->dns.is_logical);
    assert_int_equal(p.c->dns.refresh_rate_ms, 9000);
    assert_int_equal(p.c->dns.failure_refresh_base_ms, 2000);
    assert_int_equal(p.c->dns.failure_refresh_max_ms, 20000);
    assert_int_equal(p.c->dns.jitter_ms, 250);
    assert_true(p.c->dns.respect_ttl);
    assert_int_equal(p.c->dns.lookup_family, DNS_V4_PREFERRED);
    assert_int_equal(p.c->load_assignment_count, 1);
    assert_str(p.c->load_assignment[0].endpoints[0].dns_name, "a.test");
    assert_int_equal(address_port(&p.c->load_assignment[0].endpoints[0].address), 81);
    parse_fixture_done(&p.f);

    parsed_init(&p,
                "{name: k, cluster_type: {name: any, typed_config: {'@type': type.googleapis.com/"
                "envoy.extensions.clusters.dns.v3.DnsCluster}}, dns_refresh_rate: 9s}");
    assert_int_equal(p.c->type, DISCOVERY_STRICT_DNS);
    assert_int_equal(p.c->dns.refresh_rate_ms, 7000); /* the extension's */
    parse_fixture_done(&p.f);
}

static void test_limits_and_sockets(void **state)
{
    struct parsed p;

    parsed_init(
        &p, "{name: k, circuit_breakers: {thresholds: [{max_connections: 1}, {max_connections: 2,"
            " max_retries: 9}, {priority: HIGH, max_requests: 7, track_remaining: true}]},"
            " upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0},"
            " socket_options: [{level: 1, name: 2, int_value: 3, state: STATE_BOUND},"
            " {level: 1, name: 3, buf_value: AAE=}]}, upstream_connection_options:"
            " {tcp_keepalive: {keepalive_time: 30}}, max_requests_per_connection: 4,"
            " http2_protocol_options: {}}");
    assert_int_equal(p.c->breakers[PRIORITY_DEFAULT].max_connections, 1); /* the first counts */
    assert_int_equal(p.c->breakers[PRIORITY_DEFAULT].max_retries, 3);
    assert_int_equal(p.c->breakers[PRIORITY_HIGH].max_requests, 7);
    assert_true(p.c->breakers[PRIORITY_HIGH].track_remaining);
    assert_true(address_is_set(&p.c->bind_address));
    assert_int_equal(p.c->socket_option_count, 2);
    assert_int_equal(p.c->socket_options[0].state, SOCKET_STATE_BOUND);
    assert_int_equal(p.c->socket_options[0].int_value, 3);
    assert_int_equal(p.c->socket_options[1].buf_value.len, 2);
    assert_true(p.c->tcp_keepalive.is_enabled);
    assert_int_equal(p.c->tcp_keepalive.time_s.value, 30);
    assert_false(p.c->tcp_keepalive.probes.is_set);
    assert_int_equal(p.c->max_requests_per_connection, 4);
    assert_true(p.c->http_protocol == UPSTREAM_HTTP2);
    parse_fixture_done(&p.f);
}

static uint64_t pool_hash(const char *yaml)
{
    struct parsed p;
    uint64_t h;

    parsed_init(&p, yaml);
    h = p.c->pool_hash;
    parse_fixture_done(&p.f);
    return h;
}

static void test_pool_hash_follows_what_shapes_a_connection(void **state)
{
    uint64_t plain = pool_hash("{name: k}");

    assert_true(plain == pool_hash("{name: k, connect_timeout: 1s, alt_stat_name: x, lb_policy:"
                                   " LEAST_REQUEST, circuit_breakers: {thresholds: [{}]}}"));
    assert_true(plain != pool_hash("{name: k, per_connection_buffer_limit_bytes: 5}"));
    assert_true(plain != pool_hash("{name: k, max_requests_per_connection: 5}"));
    assert_true(plain != pool_hash("{name: k, http2_protocol_options: {}}"));
    assert_true(plain != pool_hash("{name: k, upstream_connection_options: {tcp_keepalive: {}}}"));
    assert_true(plain != pool_hash("{name: k, upstream_bind_config: {source_address: {address:"
                                   " 127.0.0.1, port_value: 0}}}"));
    assert_true(plain != pool_hash("{name: k, upstream_bind_config: {socket_options: [{level: 1,"
                                   " name: 2, int_value: 3}]}}"));
    assert_true(plain != pool_hash("{name: k, transport_socket: {name: r, typed_config: {'@type':"
                                   " type.googleapis.com/envoy.extensions.transport_sockets."
                                   "raw_buffer.v3.RawBuffer}}}"));
}

static void test_pool_hash_follows_every_option_of_http2(void **state)
{
    static const char *const fields[] = {
        "hpack_table_size: 1",
        "max_concurrent_streams: 1",
        "initial_stream_window_size: 65536",
        "initial_stream_window_size: 65535", /* ours to begin with, but it does not grow */
        "initial_connection_window_size: 65535",
        "allow_connect: true",
        "override_stream_error_on_invalid_http_message: true",
        "max_outbound_frames: 1",
        "max_outbound_control_frames: 1",
        "max_consecutive_inbound_frames_with_empty_payload: 2",
        "max_inbound_priority_frames_per_stream: 1",
        "max_inbound_window_update_frames_per_data_frame_sent: 1",
        "connection_keepalive: {timeout: 1s}",
        "connection_keepalive: {timeout: 1s, interval: 1s}",
        "connection_keepalive: {timeout: 1s, interval: 1s, interval_jitter: {value: 1}}",
        "connection_keepalive: {timeout: 1s, connection_idle_interval: 1s}",
        "custom_settings_parameters: [{identifier: 6, value: 1}]",
        "custom_settings_parameters: [{identifier: 6, value: 2}]",
        "custom_settings_parameters: [{identifier: 10, value: 2}]",
    };
    uint64_t seen[ARRAY_LEN(fields) + 1] = {pool_hash("{name: k, http2_protocol_options: {}}")};
    char text[256];

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        (void)snprintf(text, sizeof(text), "{name: k, http2_protocol_options: {%s}}", fields[i]);
        seen[i + 1] = pool_hash(text);
        for (size_t k = 0; k <= i; k++) {
            if (seen[k] == seen[i + 1]) {
                fail_msg("%s: as an earlier one", fields[i]);
            }
        }
        assert_true(seen[i + 1] == pool_hash(text));
    }
}

static void test_protocol_in_the_older_spelling(void **state)
{
    struct parsed p;

    parsed_init(&p, "{name: k}");
    assert_int_equal(p.c->http_protocol, UPSTREAM_HTTP1);
    assert_int_equal(p.c->http2.max_concurrent_streams, HTTP2_MAX_CONCURRENT_STREAMS_CLIENT);
    parse_fixture_done(&p.f);

    parsed_init(&p, "{name: k, http2_protocol_options: {max_concurrent_streams: 5},"
                    " common_http_protocol_options: {idle_timeout: 2s,"
                    " max_requests_per_connection: 9}}");
    assert_int_equal(p.c->http_protocol, UPSTREAM_HTTP2);
    assert_int_equal(p.c->http2.max_concurrent_streams, 5);
    assert_int_equal(p.c->idle_timeout.ms, 2000);
    assert_int_equal(p.c->max_requests_per_connection, 9);
    parse_fixture_done(&p.f);

    parsed_init(&p, "{name: k, protocol_selection: USE_DOWNSTREAM_PROTOCOL,"
                    " http_protocol_options: {enable_trailers: true},"
                    " http2_protocol_options: {allow_connect: true}}");
    assert_int_equal(p.c->http_protocol, UPSTREAM_HTTP_DOWNSTREAM);
    assert_true(p.c->http1.enable_trailers);
    assert_true(p.c->http2.allow_connect);
    parse_fixture_done(&p.f);
}

static void test_endpoints(void **state)
{
    struct parse_fixture f;
    struct endpoint_set *set;
    const ProtobufCMessage *m;
    const struct endpoint *e;

    parse_fixture_init(&f, sizeof(*set), PART_ENDPOINTS, "k");
    set = (struct endpoint_set *)f.part;
    assert_int_equal(
        parse_fixture_message(
            &f, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
            STR("{cluster_name: k, policy: {overprovisioning_factor: 200, weighted_priority_health:"
                " true}, endpoints: [{}, {locality: {region: r, zone: z, sub_zone: s}, priority: 2,"
                " load_balancing_weight: 7, lb_endpoints: [{endpoint: {hostname: h, address:"
                " {socket_address: {address: '::1', port_value: 80}}, additional_addresses:"
                " [{address: {socket_address: {address: 127.0.0.1, port_value: 80}}}]},"
                " load_balancing_weight: 3, health_status: DRAINING, metadata: {filter_metadata:"
                " {a: {b: c}}}}, {endpoint: {address: {pipe: {path: /sock}}}}]}]}"),
            &m),
        0);
    assert_int_equal(
        parse_endpoints(&f.ctx, (const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *)m, set),
        0);
    assert_int_equal(set->overprovisioning_factor, 200);
    assert_true(set->weighted_priority_health);
    assert_int_equal(set->locality_count, 2);
    assert_int_equal(set->localities[0].endpoint_count, 0);
    assert_false(set->localities[0].weight.is_set);
    assert_str(set->localities[1].locality.sub_zone, "s");
    assert_int_equal(set->localities[1].priority, 2);
    assert_int_equal(set->localities[1].weight.value, 7);
    e = set->localities[1].endpoints;
    assert_str(e[0].hostname, "h");
    assert_int_equal(e[0].weight, 3);
    assert_int_equal(e[0].health, HEALTH_DRAINING);
    assert_int_equal(e[0].additional_count, 1);
    assert_non_null(value_get(e[0].metadata, STR("a")));
    assert_int_equal(e[1].weight, 1);
    assert_int_equal(e[1].health, HEALTH_UNKNOWN);
    assert_int_equal(e[1].address.sa.sa_family, AF_UNIX);
    parse_fixture_done(&f);
}

#define RAW(name)                                                                                  \
    "{name: " name ", typed_config: {'@type': type.googleapis.com/"                                \
    "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}"

static void test_transport_socket_matches(void **state)
{
    struct parsed p;
    uint64_t other;

    parsed_init(&p, "{name: k, transport_socket_matches: [{name: a, match: {mode: tls, n: 1},"
                    " transport_socket: " RAW("x") "}, {name: b, match: {}, transport_socket: " RAW(
                        "x") "}, {name: c, transport_socket: " RAW("z") "}]}");
    assert_int_equal(p.c->transport_socket_match_count, 3);
    assert_str(p.c->transport_socket_matches[0].name, "a");
    assert_int_equal(p.c->transport_socket_matches[0].match->count, 2);
    assert_str(value_get(p.c->transport_socket_matches[0].match, STR("mode"))->string, "tls");
    assert_non_null(p.c->transport_socket_matches[0].ext);
    assert_null(p.c->transport_socket);
    assert_null(p.c->transport_socket_matches[2].match);
    /* One may serve what the other did only when they are configured alike. */
    other = p.c->transport_socket_matches[2].hash;
    assert_true(p.c->transport_socket_matches[0].hash == p.c->transport_socket_matches[1].hash);
    assert_true(p.c->transport_socket_matches[0].hash != other);
    parse_fixture_done(&p.f);
}

static void test_another_transport_socket_is_another_pool(void **state)
{
    struct parsed p;
    uint64_t raw;
    uint64_t none;

    parsed_init(&p, "{name: k}");
    none = p.c->pool_hash;
    parse_fixture_done(&p.f);
    parsed_init(&p, "{name: k, transport_socket: " RAW("x") "}");
    raw = p.c->pool_hash;
    assert_true(raw != none);
    parse_fixture_done(&p.f);
    parsed_init(&p, "{name: k, transport_socket: " RAW("z") "}");
    assert_true(p.c->pool_hash != raw);
    parse_fixture_done(&p.f);
}

static void test_names_for_sni(void **state)
{
    struct parsed p;

    parsed_init(&p, "{name: k}");
    assert_false(p.c->auto_sni || p.c->auto_san_validation);
    assert_int_equal(p.c->override_auto_sni_header.len, 0);
    parse_fixture_done(&p.f);
    parsed_init(&p, "{name: k, upstream_http_protocol_options: {auto_sni: true,"
                    " auto_san_validation: true, override_auto_sni_header: X-Name}}");
    assert_true(p.c->auto_sni && p.c->auto_san_validation);
    assert_str(p.c->override_auto_sni_header, "x-name");
    parse_fixture_done(&p.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_eds_is_subscribed_and_a_dependency),
        cmocka_unit_test(test_common_sources_are_shared),
        cmocka_unit_test(test_policies_in_both_spellings),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_limits_and_sockets),
        cmocka_unit_test(test_pool_hash_follows_what_shapes_a_connection),
        cmocka_unit_test(test_pool_hash_follows_every_option_of_http2),
        cmocka_unit_test(test_protocol_in_the_older_spelling),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_transport_socket_matches),
        cmocka_unit_test(test_another_transport_socket_is_another_pool),
        cmocka_unit_test(test_names_for_sni),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
