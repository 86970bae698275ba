/* Substitution formats to items. Refusals are in verdicts_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/model/route.h"
#include "config/parse/format.h"
#include "config/parse/parse_support.h"

#define assert_str(s, text) assert_true(str_eq((s), str_c(text)))

static struct format parsed(struct arena *a, const char *text)
{
    struct format f;
    struct error err;

    error_init(&err);
    if (format_parse(a, str_c(text), &f, &err) < 0) {
        fail_msg("%s: %s", text, error_message(&err));
    }
    error_done(&err);
    return f;
}

static void test_literals_need_no_evaluation(void **state)
{
    struct arena a;
    struct format f;

    arena_init(&a, NULL);
    f = parsed(&a, "plain");
    assert_true(f.is_literal);
    assert_str(f.literal, "plain");
    f = parsed(&a, "");
    assert_true(f.is_literal);
    assert_int_equal(f.literal.len, 0);
    f = parsed(&a, "100%% of %%x%%");
    assert_true(f.is_literal);
    assert_str(f.literal, "100% of %x%");
    arena_done(&a);
}

static void test_commands_between_literals(void **state)
{
    struct arena a;
    struct format f;

    arena_init(&a, NULL);
    f = parsed(&a, "[%START_TIME%] \"%REQ(X-A?:Path):10%\"%%%BYTES_SENT%\n");
    assert_false(f.is_literal);
    assert_int_equal(f.count, 7);
    assert_str(f.items[0].arg1, "[");
    assert_int_equal(f.items[1].op, FORMAT_START_TIME);
    assert_int_equal(f.items[1].arg1.len, 0);
    assert_str(f.items[2].arg1, "] \"");
    assert_int_equal(f.items[3].op, FORMAT_REQ);
    assert_str(f.items[3].arg1, "x-a");
    assert_str(f.items[3].arg2, ":path");
    assert_true(f.items[3].has_max_len);
    assert_int_equal(f.items[3].max_len, 10);
    assert_str(f.items[4].arg1, "\"%");
    assert_int_equal(f.items[5].op, FORMAT_BYTES_SENT);
    assert_false(f.items[5].has_max_len);
    assert_str(f.items[6].arg1, "\n");
    arena_done(&a);
}

static void test_adjacent_commands(void **state)
{
    struct arena a;
    struct format f;

    arena_init(&a, NULL);
    f = parsed(&a, "%PROTOCOL%%DURATION%");
    assert_int_equal(f.count, 2);
    assert_int_equal(f.items[0].op, FORMAT_PROTOCOL);
    assert_int_equal(f.items[1].op, FORMAT_DURATION);
    arena_done(&a);
}

static void test_arguments(void **state)
{
    struct arena a;
    struct format f;

    arena_init(&a, NULL);
    assert_int_equal(setenv("NUNCIO_FORMAT_TEST", "value", 1), 0);
    f = parsed(&a, "%ENVIRONMENT(NUNCIO_FORMAT_TEST)%%ENVIRONMENT(NUNCIO_NOT_THERE)%");
    assert_str(f.items[0].arg1, "value");
    assert_str(f.items[1].arg1, "-");
    f = parsed(&a, "%START_TIME(%Y/%m (%3f))%");
    assert_str(f.items[0].arg1, "%Y/%m (%3f)");
    f = parsed(&a, "%METADATA(ROUTE:ns:a:b)%");
    assert_int_equal(f.items[0].metadata, FORMAT_METADATA_ROUTE);
    assert_str(f.items[0].arg1, "ns:a:b");
    f = parsed(&a, "%UPSTREAM_METADATA(ns:a)%%CLUSTER_METADATA(b)%%METADATA(LISTENER:c)%");
    assert_int_equal(f.items[0].metadata, FORMAT_METADATA_UPSTREAM_HOST);
    assert_str(f.items[0].arg1, "ns:a");
    assert_int_equal(f.items[1].metadata, FORMAT_METADATA_CLUSTER);
    assert_int_equal(f.items[2].metadata, FORMAT_METADATA_LISTENER);
    f = parsed(
        &a, "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(24)%%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(x)%");
    assert_true(f.items[0].has_prefix_len);
    assert_int_equal(f.items[0].prefix_len, 24);
    assert_false(f.items[1].has_prefix_len); /* as Envoy */
    f = parsed(&a, "%START_TIME_LOCAL%%EMIT_TIME(%s)%%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%");
    assert_true(f.items[0].is_local);
    assert_int_equal(f.items[1].op, FORMAT_EMIT_TIME);
    assert_false(f.items[1].is_local);
    assert_int_equal(f.items[2].server_name, FORMAT_NAME_HOST_FIRST);
    assert_int_equal(f.items[2].host, FORMAT_HOST_ORIG);
    f = parsed(&a, "%DYNAMIC_METADATA([\"ns\", \"a\"])%");
    assert_str(f.items[0].arg1, "ns:a");
    f = parsed(&a, "%PATH%%PATH(NQ:ORIG)%");
    assert_str(f.items[0].arg1, "WQ");
    assert_str(f.items[0].arg2, "ORIG_OR_PATH");
    assert_str(f.items[1].arg1, "NQ");
    assert_str(f.items[1].arg2, "ORIG");
    f = parsed(&a, "%GRPC_STATUS_NUMBER%");
    assert_int_equal(f.items[0].op, FORMAT_GRPC_STATUS);
    assert_str(f.items[0].arg1, "NUMBER");
    f = parsed(&a, "%FILTER_STATE(key:FIELD:name):9%");
    assert_str(f.items[0].arg1, "key");
    assert_str(f.items[0].arg2, "FIELD:name");
    arena_done(&a);
}

static int parse_message(struct parse_fixture *f, const char *yaml, struct substitution_format *ret)
{
    const ProtobufCMessage *m;
    int r;

    parse_fixture_init(f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    r = parse_fixture_message(f, &envoy__config__core__v3__substitution_format_string__descriptor,
                              str_c(yaml), &m);
    return r < 0 ? r
                 : parse_substitution_format(
                       &f->ctx, (const Envoy__Config__Core__V3__SubstitutionFormatString *)m, ret);
}

static void test_operators_of_tls(void **state)
{
    static const struct {
        const char *text;
        enum format_op op;
        enum format_tls_field field;
        const char *time_format;
    } cases[] = {
        {"%DOWNSTREAM_PEER_CN%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_CN, ""},
        {"%DOWNSTREAM_PEER_CERT%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_CERT, ""},
        {"%DOWNSTREAM_PEER_CERT_V_START(%s)%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_V_START,
         "%s"},
        {"%DOWNSTREAM_PEER_CERT_V_END%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_V_END, ""},
        {"%DOWNSTREAM_PEER_ISSUER%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_ISSUER, ""},
        {"%DOWNSTREAM_PEER_ISSUER_SERIAL%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_ISSUER_SERIAL,
         ""},
        {"%DOWNSTREAM_LOCAL_OTHERNAME_SAN%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_LOCAL_OTHERNAME_SAN,
         ""},
        {"%DOWNSTREAM_TLS_GROUP%", FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_GROUP, ""},
        {"%UPSTREAM_TLS_GROUP%", FORMAT_UPSTREAM_TLS, FORMAT_TLS_GROUP, ""},
        {"%UPSTREAM_PEER_CERT_V_END(%Y)%", FORMAT_UPSTREAM_TLS, FORMAT_TLS_PEER_V_END, "%Y"},
        {"%UPSTREAM_LOCAL_URI_SAN%", FORMAT_UPSTREAM_TLS, FORMAT_TLS_LOCAL_URI_SAN, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        struct format f;

        arena_init(&a, NULL);
        f = parsed(&a, cases[i].text);
        assert_int_equal(f.count, 1);
        assert_int_equal(f.items[0].op, cases[i].op);
        assert_int_equal(f.items[0].tls_field, cases[i].field);
        assert_str(f.items[0].arg1, cases[i].time_format);
        arena_done(&a);
    }
}

static void test_intervals(void **state)
{
    struct arena a;
    struct format f;
    struct error err;

    arena_init(&a, NULL);
    f = parsed(&a, "%COMMON_DURATION(DS_RX_BEG:US_TX_END)%%COMMON_DURATION(OURS:DS_TX_END:us)%");
    assert_int_equal(f.items[0].op, FORMAT_COMMON_DURATION);
    assert_int_equal(f.items[0].interval.from, FORMAT_DS_RX_BEG);
    assert_int_equal(f.items[0].interval.to, FORMAT_US_TX_END);
    assert_int_equal(f.items[0].interval.unit_ns, 1000000);
    assert_int_equal(f.items[1].interval.from, FORMAT_NO_MOMENT);
    assert_int_equal(f.items[1].interval.to, FORMAT_DS_TX_END);
    assert_int_equal(f.items[1].interval.unit_ns, 1000);
    error_init(&err);
    assert_int_equal(format_parse(&a, STR("%COMMON_DURATION(US_CX_BEG:US_CX_END:xs)%"), &f, &err),
                     E_INVALID);
    assert_string_equal(error_message(&err), "Invalid common duration precision: xs.");
    error_done(&err);
    arena_done(&a);
}

static void test_json_is_sorted_and_keeps_its_types(void **state)
{
    struct parse_fixture f;
    struct substitution_format s;
    const struct format_json *c;

    assert_int_equal(
        parse_message(&f,
                      "{json_format: {b: '%PROTOCOL%', a: [1, true, null, x], c: {d: y}},"
                      " omit_empty_values: true, content_type: text/x}",
                      &s),
        0);
    assert_true(s.is_json);
    assert_true(s.omit_empty_values);
    assert_str(s.content_type, "text/x");
    assert_int_equal(s.json.kind, FORMAT_JSON_OBJECT);
    assert_int_equal(s.json.count, 3);
    c = s.json.children;
    assert_str(c[0].key, "a");
    assert_int_equal(c[0].kind, FORMAT_JSON_ARRAY);
    assert_int_equal(c[0].children[0].kind, FORMAT_JSON_NUMBER);
    assert_str(c[0].children[0].number, "1");
    assert_int_equal(c[0].children[1].kind, FORMAT_JSON_BOOL);
    assert_true(c[0].children[1].boolean);
    assert_int_equal(c[0].children[2].kind, FORMAT_JSON_NULL);
    assert_true(c[0].children[3].leaf.is_literal);
    assert_str(c[1].key, "b");
    assert_int_equal(c[1].leaf.items[0].op, FORMAT_PROTOCOL);
    assert_str(c[2].children[0].key, "d");
    parse_fixture_done(&f);
}

static void test_text_sources_and_formatters(void **state)
{
    struct parse_fixture f;
    struct substitution_format s;

    assert_int_equal(parse_message(&f, "{text_format_source: {inline_string: '%DURATION%'}}", &s),
                     0);
    assert_int_equal(s.text.items[0].op, FORMAT_DURATION);
    parse_fixture_done(&f);

    assert_int_equal(parse_message(&f,
                                   "{text_format: x, formatters: [{name: m, typed_config:"
                                   " {'@type': type.googleapis.com/google.protobuf.Struct,"
                                   " value: {}}}]}",
                                   &s),
                     E_UNSUPPORTED);
    assert_string_equal(error_message(&f.err), "formatters: Formatter not found: m");
    parse_fixture_done(&f);

    assert_int_equal(parse_message(&f, "{json_format: {a: '%NOPE%'}}", &s), E_INVALID);
    assert_string_equal(error_message(&f.err),
                        "json_format: Not supported field in StreamInfo: NOPE");
    parse_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_need_no_evaluation),
        cmocka_unit_test(test_commands_between_literals),
        cmocka_unit_test(test_adjacent_commands),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_operators_of_tls),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_json_is_sorted_and_keeps_its_types),
        cmocka_unit_test(test_text_sources_and_formatters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
