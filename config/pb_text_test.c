/*
 * The JSON mapping, as a table: text in, what comes of it printed as JSON, or the error. Verdicts
 * and values are those of Envoy 1.40; integration/config/test_text.py holds Envoy to the verdicts.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/pb_json.h"
#include "config/pb_registry.h"
#include "config/pb_text.h"
#include "config/text_node.h"
#include "dataplane/base/str.h"
#include "proto/google/protobuf/wrappers.pb-c.h"

struct text_case {
    const char *text; /* JSON when it begins with {", else YAML */
    const char *want; /* JSON, or "error: ..." */
};

/* What `text` becomes as a message of this type. */
static void read_text(const char *type, const char *text, bool allow_unknown, struct strbuf *out)
{
    struct pb_text_options options = {.allow_unknown = allow_unknown};
    const ProtobufCMessageDescriptor *d = pb_find_message(str_c(type));
    const struct text_node *node = NULL;
    ProtobufCMessage *m = NULL;
    struct json_writer w;
    struct arena a;
    struct error err;
    int r;

    assert_non_null(d);
    arena_init(&a, NULL);
    error_init(&err);
    r = text[0] == '{' && text[1] == '"' ? json_parse(str_c(text), &a, &node, &err)
                                         : yaml_parse(str_c(text), &a, &node, &err);
    if (r == 0) {
        r = pb_from_text(node, d, &options, &a, &m, &err);
    }
    strbuf_init(out);
    if (r == 0) {
        json_init(&w, out, false);
        pb_json(&w, m);
    } else {
        strbuf_addf(out, "error: %s", error_message(&err));
    }
    error_done(&err);
    arena_done(&a);
}

static void check_table(const char *type, const struct text_case *cases, size_t n)
{
    size_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        struct strbuf got;

        read_text(type, cases[i].text, false, &got);
        if (!str_eq(strbuf_str(&got), str_c(cases[i].want))) {
            print_message("%s <- %s\n     got %.*s\n    want %s\n", type, cases[i].text,
                          STR_ARG(strbuf_str(&got)), cases[i].want);
            bad++;
        }
        strbuf_done(&got);
    }
    assert_int_equal(bad, 0);
}

#define CHECK_TABLE(type, ...)                                                                     \
    do {                                                                                           \
        static const struct text_case CASES[] = {__VA_ARGS__};                                     \
        check_table((type), CASES, sizeof(CASES) / sizeof(CASES[0]));                              \
    } while (0)

/* --- scalars ------------------------------------------------------------------------------ */

static void test_uint32(void **state)
{
    CHECK_TABLE(
        "google.protobuf.UInt32Value", {"5", "5"}, {"'5'", "5"}, {"5.0", "5"}, {"5e2", "500"},
        {"'5e0'", "5"}, {"0x10", "16"}, {"010", "8"}, {"'0x10'", "16"}, {"'010'", "10"},
        {"+5", "5"}, {"'+5'", "5"}, {"-0", "0"}, {"'-0'", "0"}, {"08", "8"},
        {"4294967295", "4294967295"}, {"{value: 7}", "7"}, {"{}", "0"},
        {"4294967296", "error: 1:1: 4294967296 is out of range"},
        {"99999999999999999999", "error: 1:1: 99999999999999999999 is out of range"},
        {"-5", "error: 1:1: -5 is out of range"}, {"5.5", "error: 1:1: integer expected, not 5.5"},
        {"''", "error: 1:1: '' is not a number"}, {"'5 '", "error: 1:1: '5 ' is not a number"},
        {"abc", "error: 1:1: 'abc' is not a number"},
        {"1_000", "error: 1:1: '1_000' is not a number"},
        {"0x", "error: 1:1: '0x' is not a number"}, {"'- 5'", "error: 1:1: '- 5' is not a number"},
        {"'+-5'", "error: 1:1: '+-5' is not a number"},
        {"NaN", "error: 1:1: 'NaN' is not a number"},
        {"true", "error: 1:1: number expected, not bool"},
        {"[]", "error: 1:1: number expected, not list"});
}

static void test_int32(void **state)
{
    CHECK_TABLE("google.protobuf.Int32Value", {"-5", "-5"}, {"'-5'", "-5"}, {"-0x10", "-16"},
                {"-010", "-8"}, {"-2147483648", "-2147483648"}, {"2147483647", "2147483647"},
                {"-5e0", "-5"}, {"2147483648", "error: 1:1: 2147483648 is out of range"},
                {"-2147483649", "error: 1:1: -2147483649 is out of range"});
}

static void test_64_bit(void **state)
{
    CHECK_TABLE("google.protobuf.Int64Value", {"5", "\"5\""},
                {"9223372036854775807", "\"9223372036854775807\""},
                {"'-9223372036854775808'", "\"-9223372036854775808\""},
                {"{\"value\": 9007199254740993}", "\"9007199254740993\""},
                {"1e15", "\"1000000000000000\""}, {"1e17", "error: 1:1: 1e17 is out of range"},
                {"9223372036854775808", "error: 1:1: 9223372036854775808 is out of range"});
    CHECK_TABLE("google.protobuf.UInt64Value", {"18446744073709551615", "\"18446744073709551615\""},
                {"-1", "error: 1:1: -1 is out of range"},
                {"18446744073709551616", "error: 1:1: 18446744073709551616 is out of range"});
}

static void test_floating_point(void **state)
{
    CHECK_TABLE("google.protobuf.DoubleValue", {"1.5", "1.5"}, {"'1.5'", "1.5"}, {"5", "5"},
                {"NaN", "\"NaN\""}, {"Infinity", "\"Infinity\""}, {"'-Infinity'", "\"-Infinity\""},
                {"inf", "\"Infinity\""}, {"1e400", "\"Infinity\""}, {".5", "0.5"}, {"5.", "5"},
                {"'0x10'", "16"}, {"0.1", "0.1"}, {"1e-7", "1e-07"}, {"1e100", "1e+100"},
                {".inf", "error: 1:1: '.inf' is not a number"},
                {"1.5f", "error: 1:1: '1.5f' is not a number"},
                {"'1 '", "error: 1:1: '1 ' is not a number"},
                {"''", "error: 1:1: '' is not a number"});
    CHECK_TABLE("google.protobuf.FloatValue", {"0.1", "0.1"}, {"3.4028235e38", "3.4028235e+38"},
                {"16777217", "16777216"}, {"NaN", "\"NaN\""},
                {"1e39", "error: 1:1: 1e39 is out of range"});
}

static void test_bool(void **state)
{
    CHECK_TABLE("google.protobuf.BoolValue", {"true", "true"}, {"yes", "true"}, {"On", "true"},
                {"n", "false"}, {"'true'", "true"}, {"'1'", "true"}, {"tRue", "true"},
                {"'T'", "true"}, {"'no'", "false"}, {"'0'", "false"}, {"'F'", "false"},
                {"'on'", "error: 1:1: bool expected, not string"},
                {"1", "error: 1:1: bool expected, not number"},
                {"'2'", "error: 1:1: bool expected, not string"},
                {"''", "error: 1:1: bool expected, not string"});
}

static void test_string(void **state)
{
    CHECK_TABLE("google.protobuf.StringValue", {"abc", "\"abc\""}, {"'5'", "\"5\""},
                {"5.5", "\"5.5\""}, {"5e5", "\"5e5\""}, {"! 5", "\"5\""}, {"''", "\"\""},
                {"2001-01-01", "\"2001-01-01\""}, {"!!str 5x", "\"5x\""}, {"nan", "\"nan\""},
                {"|\n  5\n", "\"5\\n\""}, {"08", "\"08\""},
                {"5", "error: 1:1: string expected, not number"},
                {"0x10", "error: 1:1: string expected, not number"},
                {"!!str 5", "error: 1:1: string expected, not number"},
                {"!!int '5'", "error: 1:1: string expected, not number"},
                {"yes", "error: 1:1: string expected, not bool"},
                {"\"a\\0b\"", "error: 1:1: string contains a NUL character"});
}

static void test_bytes(void **state)
{
    CHECK_TABLE("google.protobuf.BytesValue", {"AAEC", "\"AAEC\""}, {"AAECAw==", "\"AAECAw==\""},
                {"AAECAw", "\"AAECAw==\""}, {"AAECAwQ=", "\"AAECAwQ=\""}, {"''", "\"\""},
                {"_-8=", "\"/+8=\""}, {"/+8=", "\"/+8=\""},
                {"AAECAw=", "error: 1:1: invalid base64"}, {"A", "error: 1:1: invalid base64"},
                {"AAECA===", "error: 1:1: invalid base64"}, {"AA EC", "error: 1:1: invalid base64"},
                {"A=AA", "error: 1:1: invalid base64"},
                {"5", "error: 1:1: base64 string expected, not number"});
}

/* --- times -------------------------------------------------------------------------------- */

static void test_duration(void **state)
{
    CHECK_TABLE("google.protobuf.Duration", {"1s", "\"1s\""}, {"'1.5s'", "\"1.500s\""},
                {"0.000000001s", "\"0.000000001s\""}, {"0.000001s", "\"0.000001s\""},
                {"-0.5s", "\"-0.500s\""}, {"-1s", "\"-1s\""}, {"0s", "\"0s\""},
                {"00001s", "\"1s\""}, {"315576000000s", "\"315576000000s\""},
                {"-315576000000s", "\"-315576000000s\""},
                {"{seconds: 1, nanos: 5}", "\"1.000000005s\""}, {"{}", "\"0s\""},
                {"315576000001s", "error: 1:1: '315576000001s' is not a duration"},
                {"0.0000000001s", "error: 1:1: '0.0000000001s' is not a duration"},
                {".5s", "error: 1:1: '.5s' is not a duration"},
                {"1.s", "error: 1:1: '1.s' is not a duration"},
                {"+1s", "error: 1:1: '+1s' is not a duration"},
                {"'1 s'", "error: 1:1: '1 s' is not a duration"},
                {"1e3s", "error: 1:1: '1e3s' is not a duration"},
                {"s", "error: 1:1: 's' is not a duration"},
                {"--1s", "error: 1:1: '--1s' is not a duration"},
                {"1", "error: 1:1: duration expected, such as \"1.5s\""},
                {"1.5", "error: 1:1: duration expected, such as \"1.5s\""},
                {"1m", "error: 1:1: duration expected, such as \"1.5s\""},
                {"true", "error: 1:1: duration expected, such as \"1.5s\""});
}

#define NO_TIME "error: 1:1: timestamp expected, such as \"2026-08-01T12:00:00Z\""

static void test_timestamp(void **state)
{
    CHECK_TABLE("google.protobuf.Timestamp", {"'1970-01-01T00:00:00Z'", "\"1970-01-01T00:00:00Z\""},
                {"'2026-08-01T12:34:56.5Z'", "\"2026-08-01T12:34:56.500Z\""},
                {"'2024-02-29T23:59:59.000001Z'", "\"2024-02-29T23:59:59.000001Z\""},
                {"'1969-12-31T23:59:59Z'", "\"1969-12-31T23:59:59Z\""},
                {"'2026-08-01T12:00:00+01:30'", "\"2026-08-01T10:30:00Z\""},
                {"'2026-08-01T12:00:00-01:00'", "\"2026-08-01T13:00:00Z\""},
                {"'0001-01-01T00:00:00Z'", "\"0001-01-01T00:00:00Z\""},
                {"'9999-12-31T23:59:59.999999999Z'", "\"9999-12-31T23:59:59.999999999Z\""},
                {"'2026-08-01T12:00:00'", NO_TIME}, {"'2026-08-01T12:00:00z'", NO_TIME},
                {"'2026-13-01T12:00:00Z'", NO_TIME}, {"'2026-08-01 12:00:00Z'", NO_TIME},
                {"'2026-08-01T12:00:00.Z'", NO_TIME}, {"'2026-08-01T12:00Z'", NO_TIME},
                {"'2026-08-01T12:00:00+1:30'", NO_TIME}, {"''", NO_TIME}, {"5", NO_TIME});
}

/* --- Struct ------------------------------------------------------------------------------- */

static void test_struct(void **state)
{
    CHECK_TABLE("google.protobuf.Struct", {"{\"a\": 1, \"b\": \"x\"}", "{\"a\":1,\"b\":\"x\"}"},
                {"a: 1.5", "{\"a\":\"1.5\"}"}, /* a plain float is a string: as Envoy */
                {"{\"a\": 1.5}", "{\"a\":1.5}"}, {"a: 4294967296", "{\"a\":\"4294967296\"}"},
                {"a: 0x10", "{\"a\":16}"}, {"a: ~", "{\"a\":null}"}, {"a: yes", "{\"a\":true}"},
                {"~: 1", "{\"null\":1}"}, {"0x10: 1", "{\"0x10\":1}"}, {"true: 1", "{\"true\":1}"},
                {"a: [1, [], {}, ~]", "{\"a\":[1,[],{},null]}"}, {"{\"\": {}}", "{\"\":{}}"},
                {"- 1", "error: 1:1: object expected, not list"},
                {"{\"a\": 1e400}", "error: 1:7: number out of range"},
                {"a: \"\\0\"", "error: 1:4: [\"a\"]: string contains a NUL character"});
    CHECK_TABLE("google.protobuf.Value", {"~", "null"}, {"5", "5"}, {"[a, ~]", "[\"a\",null]"});
    CHECK_TABLE("google.protobuf.ListValue", {"[1, [2]]", "[1,[2]]"},
                {"{\"values\": [[0], 1]}", "[[0],1]"},
                {"5", "error: 1:1: list expected, not number"});
}

/* --- messages ----------------------------------------------------------------------------- */

#define CLUSTER "envoy.config.cluster.v3.Cluster"

static void test_names(void **state)
{
    CHECK_TABLE(CLUSTER, {"lb_policy: RANDOM", "{\"lb_policy\":\"RANDOM\"}"},
                {"lbPolicy: RANDOM", "{\"lb_policy\":\"RANDOM\"}"},
                {"lb_Policy: RANDOM", "error: 1:1: no such field: 'lb_Policy' in " CLUSTER},
                {"LbPolicy: RANDOM", "error: 1:1: no such field: 'LbPolicy' in " CLUSTER},
                {"lb_polic: RANDOM", "error: 1:1: no such field: 'lb_polic' in " CLUSTER},
                {"lbPolicyx: RANDOM", "error: 1:1: no such field: 'lbPolicyx' in " CLUSTER},
                {"'': RANDOM", "error: 1:1: no such field: '' in " CLUSTER},
                {"{lb_policy: RANDOM, lbPolicy: MAGLEV}", "error: 1:31: lb_policy: given twice"},
                {"name: a\nname: b", "error: 2:1: duplicate key 'name'"});
}

static void test_enums(void **state)
{
    CHECK_TABLE(
        CLUSTER, {"type: EDS", "{\"type\":\"EDS\"}"}, {"type: eds", "{\"type\":\"EDS\"}"},
        {"type: 3", "{\"type\":\"EDS\"}"}, {"type: '3'", "{\"type\":\"EDS\"}"},
        {"type: 3.0", "error: 1:7: type: '3.0' is not a value of " CLUSTER ".DiscoveryType"},
        {"{\"type\": 3.0}", "{\"type\":\"EDS\"}"}, {"type: 99", "{\"type\":99}"},
        {"type: STATIC", "{\"type\":\"STATIC\"}"}, /* of a oneof: set, if the default */
        {"type: X", "error: 1:7: type: 'X' is not a value of " CLUSTER ".DiscoveryType"},
        {"type: ''", "error: 1:7: type: '' is not a value of " CLUSTER ".DiscoveryType"},
        {"type: true", "error: 1:7: type: number expected, not bool"},
        {"type: 2147483648",
         "error: 1:7: type: '2147483648' is not a value of " CLUSTER ".DiscoveryType"});
}

static void test_null_is_absent(void **state)
{
    CHECK_TABLE(
        CLUSTER, {"name: ~", "{}"}, {"load_assignment: ~", "{}"}, {"type: ~", "{}"},
        {"metadata: {filter_metadata: ~}", "{\"metadata\":{}}"},
        {"metadata: {filter_metadata: {a: ~}}", "{\"metadata\":{\"filter_metadata\":{\"a\":{}}}}"},
        {"type: ~\ncluster_type: {name: x}", "{\"cluster_type\":{\"name\":\"x\"}}"},
        {"lb_subset_config: ~", "{}"});
    CHECK_TABLE(
        CLUSTER, {"load_assignment: {endpoints: ~}", "{\"load_assignment\":{}}"},
        {"load_assignment: {endpoints: [~]}", "{\"load_assignment\":{\"endpoints\":[{}]}}"});
}

static void test_presence(void **state)
{
    CHECK_TABLE(
        CLUSTER,
        {"per_connection_buffer_limit_bytes: 0", "{\"per_connection_buffer_limit_bytes\":0}"},
        {"connect_timeout: 0s", "{\"connect_timeout\":\"0s\"}"},
        {"common_lb_config: {healthy_panic_threshold: {}}",
         "{\"common_lb_config\":{\"healthy_panic_threshold\":{}}}"},
        {"name: ''", "{}"}, {"ignore_health_on_host_removal: false", "{}"});
}

static void test_oneofs(void **state)
{
    CHECK_TABLE(
        "envoy.config.route.v3.RouteMatch", {"prefix: ''", "{\"prefix\":\"\"}"},
        {"{prefix: /, path: /x}", "error: 1:19: path: another member of its oneof is set already"});
}

static void test_lists(void **state)
{
    CHECK_TABLE("envoy.config.route.v3.VirtualHost",
                {"domains: [a, b]", "{\"domains\":[\"a\",\"b\"]}"},
                {"domains: a", "{\"domains\":[\"a\"]}"}, {"domains: []", "{}"},
                {"domains: [[a], [b, [c]], []]", "{\"domains\":[\"a\",\"b\",\"c\"]}"},
                {"domains: [~, a]", "{\"domains\":[\"\",\"a\"]}"},
                {"domains: [a, 5]", "error: 1:14: domains[1]: string expected, not number"},
                {"domains: {}", "error: 1:10: domains: string expected, not object"},
                {"routes: {name: x}", "{\"routes\":[{\"name\":\"x\"}]}"},
                {"routes: [{name: x}, {name: 5}]",
                 "error: 1:28: routes[1].name: string expected, not number"});
}

static void test_maps(void **state)
{
    CHECK_TABLE(
        "envoy.config.core.v3.Metadata",
        {"filter_metadata: {a: {x: 1}, b: {}}", "{\"filter_metadata\":{\"a\":{\"x\":1},\"b\":{}}}"},
        {"filter_metadata: []", "error: 1:18: filter_metadata: object expected, not list"},
        {"filter_metadata: {a: 5}",
         "error: 1:22: filter_metadata[\"a\"]: object expected, not number"});
}

/* --- Any ---------------------------------------------------------------------------------- */

#define OPTIONS "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

static void test_any(void **state)
{
    CHECK_TABLE(
        "google.protobuf.Any",
        {"'@type': " OPTIONS "\nexplicit_http_config: {http_protocol_options: {}}",
         "{\"@type\":\"" OPTIONS "\",\"explicit_http_config\":{\"http_protocol_options\":{}}}"},
        {"explicit_http_config: {http_protocol_options: {}}\n'@type': " OPTIONS,
         "{\"@type\":\"" OPTIONS "\",\"explicit_http_config\":{\"http_protocol_options\":{}}}"},
        {"'@type': a/b/google.protobuf.Empty", "{\"@type\":\"a/b/google.protobuf.Empty\"}"},
        {"{}", "{}"}, {"'@type': x/foo.Bar\nbaz: 1", "{\"@type\":\"x/foo.Bar\"}"},
        {"'@type': x/google.protobuf.Duration\nvalue: 1s",
         "{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1s\"}"},
        {"'@type': x/google.protobuf.Duration",
         "{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"0s\"}"},
        {"'@type': x/google.protobuf.Any\nvalue: {'@type': x/google.protobuf.UInt32Value, value: "
         "5}",
         "{\"@type\":\"x/google.protobuf.Any\",\"value\":{\"@type\":\"x/google.protobuf."
         "UInt32Value\",\"value\":5}}"},
        {"'@type': x/google.protobuf.Struct\nfoo: {}",
         "error: 1:1: an Any of google.protobuf.Struct has \"@type\" and \"value\" only"},
        {"'@type': google.protobuf.Empty",
         "error: 1:10: \"@type\" must have a host, a '/' and a type name"},
        {"'@type': /google.protobuf.Empty",
         "error: 1:10: \"@type\" must have a host, a '/' and a type name"},
        {"'@type': 5", "error: 1:10: \"@type\" must have a host, a '/' and a type name"},
        {"a: 1", "error: 1:1: \"@type\" is missing"},
        {"'@type': x/google.protobuf.Empty\na: 1",
         "error: 2:1: no such field: 'a' in google.protobuf.Empty"},
        {"[]", "error: 1:1: object with \"@type\" expected, not list"});
}

/* --- what is not in the subset -------------------------------------------------------------- */

/* The unknown fields that text leaves in a message, as numbers. */
static void assert_unknown(const char *type, const char *text, bool allow_unknown, const char *want)
{
    struct pb_text_options options = {.allow_unknown = allow_unknown};
    const struct text_node *node = NULL;
    ProtobufCMessage *m = NULL;
    struct strbuf got;
    struct arena a;
    struct error err;

    arena_init(&a, NULL);
    error_init(&err);
    strbuf_init(&got);
    assert_int_equal(yaml_parse(str_c(text), &a, &node, &err), 0);
    assert_int_equal(pb_from_text(node, pb_find_message(str_c(type)), &options, &a, &m, &err), 0);
    for (size_t i = 0; i < m->n_unknown_fields; i++) {
        strbuf_addf(&got, "%s%u", i > 0 ? " " : "", m->unknown_fields[i].tag);
    }
    assert_true(str_eq(strbuf_str(&got), str_c(want)));
    strbuf_done(&got);
    error_done(&err);
    arena_done(&a);
}

static void test_official_fields_that_are_missing_here_leave_a_trace(void **state)
{
    /* lb_subset_config 22, preconnect_policy 50, connection_pool_per_downstream_connection 51
     * (bool) */
    assert_unknown(CLUSTER, "lb_subset_config: {fallback_policy: ANY_ENDPOINT}", false, "22");
    assert_unknown(CLUSTER, "{lbSubsetConfig: {}, name: x, preconnectPolicy: {}}", false, "22 50");
    assert_unknown(CLUSTER, "connection_pool_per_downstream_connection: true", false, "51");
    /* Set to what they are anyway. */
    assert_unknown(CLUSTER,
                   "{connection_pool_per_downstream_connection: false, lb_subset_config: ~}", false,
                   "");
    assert_unknown("envoy.config.bootstrap.v3.Bootstrap", "{stats_sinks: [], flags_path: ''}",
                   false, "");
}

static void assert_text(const char *text, bool allow_unknown, const char *want)
{
    struct strbuf got;

    read_text(CLUSTER, text, allow_unknown, &got);
    strbuf_add_char(&got, '\0');
    assert_string_equal(got.ptr, want);
    strbuf_done(&got);
}

/* As Envoy: what is not supported here may still not be nonsense. */
static void test_official_fields_that_are_missing_here_are_checked(void **state)
{
    (void)state;
    assert_text("lb_subset_config: []", false,
                "error: 1:19: lb_subset_config: object expected, not list");
    assert_text("lb_subset_config: {fallback: 1}", false,
                "error: 1:20: lb_subset_config: no such field: 'fallback' in "
                "envoy.config.cluster.v3.Cluster.LbSubsetConfig");
    assert_text("lb_subset_config: {fallback: 1}", true, "{}");
    assert_text("lb_subset_config: {subset_selectors: {keys: a}}", false, "{}"); /* one of a list */
    assert_text("lb_subset_config: {subset_selectors: 5}", false,
                "error: 1:38: lb_subset_config.subset_selectors: object expected, not number");
    assert_text("lb_subset_config: {subset_selectors: [{keys: [a, {}]}]}", false,
                "error: 1:50: lb_subset_config.subset_selectors[0].keys[1]: string expected, not "
                "object");
    assert_text("lb_subset_config: {scale_locality_weight: 5}", false,
                "error: 1:43: lb_subset_config.scale_locality_weight: bool expected, not number");
    assert_text("lb_subset_config: {fallback_policy: []}", false,
                "error: 1:37: lb_subset_config.fallback_policy: enum expected, not list");
    assert_text("lb_subset_config: {default_subset: {a: [1]}, subset_selectors: [{keys: [a]}]}",
                false, "{}");
    assert_text(
        "preconnect_policy: {per_upstream_preconnect_ratio: x}", false,
        "error: 1:52: preconnect_policy.per_upstream_preconnect_ratio: 'x' is not a number");
}

static void test_a_key_that_nobody_knows(void **state)
{
    struct strbuf got;

    read_text(CLUSTER, "name: a\nfoo: {x: 1}", false, &got);
    assert_string_equal(got.ptr, "error: 2:1: no such field: 'foo' in " CLUSTER);
    strbuf_done(&got);
    read_text(CLUSTER, "name: a\ntype: FOO\nfoo: {x: 1}", true, &got);
    assert_string_equal(got.ptr, "{\"name\":\"a\",\"type\":\"STATIC\"}");
    strbuf_done(&got);
    assert_unknown(CLUSTER, "name: a\nfoo: {x: 1}", true, "536870911");
}

/* --- bounds ------------------------------------------------------------------------------- */

static void test_depth(void **state)
{
    struct strbuf text;
    struct strbuf got;

    for (int levels = TEXT_DEPTH_MAX - 1; levels <= TEXT_DEPTH_MAX + 1; levels++) {
        strbuf_init(&text);
        for (int i = 0; i < levels; i++) {
            strbuf_add_char(&text, '[');
        }
        for (int i = 0; i < levels; i++) {
            strbuf_add_char(&text, ']');
        }
        read_text("google.protobuf.ListValue", text.ptr, false, &got);
        assert_int_equal(str_starts(strbuf_str(&got), STR("error: ")), levels > TEXT_DEPTH_MAX);
        strbuf_done(&text);
        strbuf_done(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uint32),
        cmocka_unit_test(test_int32),
        cmocka_unit_test(test_64_bit),
        cmocka_unit_test(test_floating_point),
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_string),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_timestamp),
        cmocka_unit_test(test_struct),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_enums),
        cmocka_unit_test(test_null_is_absent),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_oneofs),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_official_fields_that_are_missing_here_leave_a_trace),
        cmocka_unit_test(test_official_fields_that_are_missing_here_are_checked),
        cmocka_unit_test(test_a_key_that_nobody_knows),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
