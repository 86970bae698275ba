/* Listeners to the model, and what their versions share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "config/parse/listener.h"
#include "config/parse/parse_support.h"

#define assert_str(s, text) assert_true(str_eq((s), str_c(text)))

/* Filters that exist: "t" is terminal, "other" is not. */
#define TERMINAL                                                                                   \
    "{name: t, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network."      \
    "http_connection_manager.v3.HttpConnectionManager, stat_prefix: s}}"
#define NOT_TERMINAL                                                                               \
    "{name: other, typed_config: {'@type': "                                                       \
    "type.googleapis.com/envoy.extensions.request_id.uuid.v3."                                     \
    "UuidRequestIdConfig}}"
#define ADDRESS "address: {socket_address: {address: 127.0.0.1, port_value: 80}}"

struct parsed {
    struct parse_fixture f;
    struct listener_config *l;
    int result;
};

static void parsed_init(struct parsed *p, const char *yaml, const struct listener_config *previous)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&p->f, sizeof(*p->l), PART_LISTENER, "l");
    p->l = (struct listener_config *)p->f.part;
    p->result = parse_fixture_message(&p->f, &envoy__config__listener__v3__listener__descriptor,
                                      str_c(yaml), &m);
    if (p->result == 0) {
        p->result = parse_listener(&p->f.ctx, (const Envoy__Config__Listener__V3__Listener *)m,
                                   previous, p->l);
    }
}

static void parsed_good(struct parsed *p, const char *yaml, const struct listener_config *previous)
{
    parsed_init(p, yaml, previous);
    if (p->result < 0) {
        fail_msg("%s", error_message(&p->f.err));
    }
}

static void test_fields(void **state)
{
    struct parsed p;
    const struct filter_chain_config *c;

    parsed_good(
        &p,
        "{name: l, " ADDRESS ", additional_addresses: [{address: {pipe: {path: /a}}}],"
        " bind_to_port: false, enable_reuse_port: false, tcp_backlog_size: 7,"
        " per_connection_buffer_limit_bytes: 9, traffic_direction: INBOUND,"
        " drain_type: MODIFY_ONLY, ignore_global_conn_limit: true,"
        " access_log: [{name: x, typed_config: {'@type': type.googleapis.com/"
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}],"
        " filter_chains: [{name: c, filter_chain_match: {destination_port: 443,"
        " prefix_ranges: [{address_prefix: 10.1.2.3, prefix_len: 8}], source_type: EXTERNAL,"
        " source_ports: [1, 65535], server_names: ['*.A.com'], transport_protocol: tls,"
        " application_protocols: [h2]}, transport_socket_connect_timeout: 2s,"
        " filters: [" NOT_TERMINAL "," TERMINAL "]}],"
        " default_filter_chain: {filters: [" TERMINAL "]}}",
        NULL);
    assert_str(p.l->name, "l");
    assert_int_equal(p.l->address_count, 2);
    assert_int_equal(address_port(&p.l->addresses[0]), 80);
    assert_int_equal(p.l->addresses[1].sa.sa_family, AF_UNIX);
    assert_false(p.l->bind_to_port);
    assert_false(p.l->reuse_port);
    assert_int_equal(p.l->backlog, 7);
    assert_int_equal(p.l->per_connection_buffer_limit_bytes.value, 9);
    assert_int_equal(p.l->traffic_direction, TRAFFIC_INBOUND);
    assert_int_equal(p.l->drain_type, DRAIN_MODIFY_ONLY);
    assert_true(p.l->ignore_global_conn_limit);
    assert_int_equal(p.l->access_logs.count, 1);
    assert_int_equal(p.l->listener_filters_timeout_ms, 15000);
    assert_str(p.f.ctx.listener_stat_name, "127.0.0.1_80");

    assert_int_equal(p.l->chain_count, 1);
    c = p.l->chains[0];
    assert_str(c->name, "c");
    assert_int_equal(c->part.kind, PART_FILTER_CHAIN);
    assert_int_equal(c->part.refs, 1);
    assert_int_equal(c->match.destination_port.value, 443);
    assert_int_equal(c->match.prefix_ranges[0].bytes[1], 0); /* host bits cleared */
    assert_int_equal(c->match.source_type, SOURCE_EXTERNAL);
    assert_int_equal(c->match.source_port_count, 2);
    assert_str(c->match.server_names[0], "*.a.com");
    assert_str(c->match.transport_protocol, "tls");
    assert_str(c->match.application_protocols[0], "h2");
    assert_int_equal(c->transport_socket_connect_timeout_ms, 2000);
    assert_int_equal(c->filter_count, 2);
    assert_str(c->filters[0].name, "other");
    assert_true(c->filters[1].ext->is_terminal);
    assert_int_equal(p.l->default_chain->filter_count, 1);
    parse_fixture_done(&p.f);
}

static void test_terminal_filter_stands_last(void **state)
{
    struct parsed p;

    parsed_init(&p, "{name: l, " ADDRESS ", filter_chains: [{filters: [" NOT_TERMINAL "]}]}", NULL);
    assert_int_equal(p.result, E_INVALID);
    assert_string_equal(
        error_message(&p.f.err),
        "filter_chains[0].filters[0]: Error: non-terminal filter named other of type "
        "test.not_terminal is the last filter in a network filter chain.");
    parse_fixture_done(&p.f);

    parsed_init(&p,
                "{name: l, " ADDRESS ", filter_chains: [{filters: [" TERMINAL "," TERMINAL "]}]}",
                NULL);
    assert_int_equal(p.result, E_INVALID);
    assert_string_equal(error_message(&p.f.err),
                        "filter_chains[0].filters[0]: Error: terminal filter named t of type "
                        "envoy.filters.network.http_connection_manager must be the last filter in "
                        "a network filter chain.");
    parse_fixture_done(&p.f);
}

#define CHAINS(a, b)                                                                               \
    "filter_chains: [{filter_chain_match: {destination_port: " a "}, filters: [" TERMINAL "]},"    \
    " {filter_chain_match: {destination_port: " b "}, filters: [" TERMINAL "]}]"

static void test_unchanged_chains_are_shared(void **state)
{
    struct parsed first;
    struct parsed second;

    parsed_good(&first, "{name: l, " ADDRESS ", " CHAINS("1", "2") "}", NULL);
    parsed_good(&second, "{name: l, " ADDRESS ", " CHAINS("2", "3") "}", first.l);
    assert_ptr_equal(second.l->chains[0], first.l->chains[1]);
    assert_ptr_not_equal(second.l->chains[1], first.l->chains[0]);
    assert_int_equal(second.l->chains[0]->part.refs, 2);
    assert_true(first.l->listener_hash == second.l->listener_hash); /* in place */
    parse_fixture_done(&first.f);
    assert_int_equal(second.l->chains[0]->part.refs, 1);
    parse_fixture_done(&second.f);
}

static void test_what_is_not_a_chain_changes_the_hash(void **state)
{
    struct parsed first;
    struct parsed second;

    parsed_good(&first, "{name: l, " ADDRESS ", " CHAINS("1", "2") "}", NULL);
    parsed_good(&second, "{name: l, " ADDRESS ", tcp_backlog_size: 3, " CHAINS("1", "2") "}",
                first.l);
    assert_true(first.l->listener_hash != second.l->listener_hash);
    assert_ptr_equal(second.l->chains[0], first.l->chains[0]);
    parse_fixture_done(&second.f);

    /* Under another name in the stats the filters count elsewhere: not the same chain. */
    parsed_good(&second, "{name: l, stat_prefix: x, " ADDRESS ", " CHAINS("1", "2") "}", first.l);
    assert_ptr_not_equal(second.l->chains[0], first.l->chains[0]);
    parse_fixture_done(&second.f);
    parse_fixture_done(&first.f);
}

static void test_a_shared_chain_reports_its_unsupported_fields_again(void **state)
{
    static const char *const yaml =
        "{name: l, " ADDRESS ", filter_chains: [{filters: [{name: t, typed_config: {'@type':"
        " type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager, stat_prefix: s, proxy_status_config: {}}}]}]}";
    struct parsed first;
    struct parsed second;

    parsed_good(&first, yaml, NULL);
    assert_int_equal(first.f.ctx.unsupported_count, 1);
    parsed_good(&second, yaml, first.l);
    assert_ptr_equal(second.l->chains[0], first.l->chains[0]);
    assert_int_equal(second.f.ctx.unsupported_count, 1);
    assert_str(second.f.ctx.unsupported->path,
               "filter_chains[0].filters[0].typed_config.proxy_status_config");
    parse_fixture_done(&first.f);
    assert_str(second.f.ctx.unsupported->path,
               "filter_chains[0].filters[0].typed_config.proxy_status_config");
    parse_fixture_done(&second.f);
}

static size_t held_count;

static void count_hold(struct slot_resolver *r, struct part *inner)
{
    (void)r;
    assert_int_equal(inner->kind, PART_FILTER_CHAIN);
    held_count++;
}

static void test_every_new_chain_is_held_also_a_failed_one(void **state)
{
    struct parsed p;
    const ProtobufCMessage *m;

    held_count = 0;
    parse_fixture_init(&p.f, sizeof(*p.l), PART_LISTENER, "l");
    p.f.slots.hold = count_hold;
    p.l = (struct listener_config *)p.f.part;
    assert_int_equal(parse_fixture_message(&p.f, &envoy__config__listener__v3__listener__descriptor,
                                           STR("{name: l, " ADDRESS
                                               ", filter_chains: [{filters: [" TERMINAL "]},"
                                               " {filters: [" NOT_TERMINAL "]}, {}]}"),
                                           &m),
                     0);
    assert_int_equal(
        parse_listener(&p.f.ctx, (const Envoy__Config__Listener__V3__Listener *)m, NULL, p.l),
        E_INVALID);
    assert_int_equal(held_count, 2);
    parse_fixture_done(&p.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_terminal_filter_stands_last),
        cmocka_unit_test(test_unchanged_chains_are_shared),
        cmocka_unit_test(test_what_is_not_a_chain_changes_the_hash),
        cmocka_unit_test(test_a_shared_chain_reports_its_unsupported_fields_again),
        cmocka_unit_test(test_every_new_chain_is_held_also_a_failed_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
