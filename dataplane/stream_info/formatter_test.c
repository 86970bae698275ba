/* Every operator, in text, JSON and header values, against the output of Envoy 1.40. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/formatter.h"
#include "dataplane/stream_info/formatter_ops.h"
#include "dataplane/stream_info/grpc_status.h"

#define S UINT64_C(1000000000)
#define MS UINT64_C(1000000)

static struct arena arena;
static struct stream_info info;
static struct header_map request;
static struct header_map response;
static struct header_map trailers;
static struct address local;
static struct access_log_entry entry;
static struct thread_context thread = {.hostname = "box"};

static int setup(void **state)
{
    arena_init(&arena, NULL);
    memset(&info, 0, sizeof(info));
    header_map_init(&request, &arena);
    header_map_init(&response, &arena);
    header_map_init(&trailers, &arena);
    entry = (struct access_log_entry){
        .info = &info, .request_headers = &request, .response_headers = &response};
    info.start_wall_ns = UINT64_C(1795405965) * S + 952 * MS + 7;
    info.start_mono_ns = 100 * S;
    info.end_ns = 101 * S + 5 * MS;
    info.local = &local;
    info.direct_remote = &info.remote;
    return 0;
}

static int teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

static struct format one(const struct format_item *item)
{
    return (struct format){.items = item, .count = 1};
}

static void check_text(struct format_item item, const char *want)
{
    struct format f = one(&item);
    struct strbuf out;

    strbuf_init(&out);
    formatter_text(&f, &entry, &thread, false, &out);
    if (!str_eq(strbuf_str(&out), str_c(want))) {
        fail_msg("op %d: got '%.*s', want '%s'", item.op, STR_ARG(strbuf_str(&out)), want);
    }
    strbuf_done(&out);
}

static void check_op(enum format_op op, const char *want)
{
    check_text((struct format_item){.op = op}, want);
}

static void test_nothing_known(void **state)
{
    static const enum format_op dashes[] = {
        FORMAT_PROTOCOL,
        FORMAT_UPSTREAM_PROTOCOL,
        FORMAT_RESPONSE_CODE_DETAILS,
        FORMAT_CONNECTION_TERMINATION_DETAILS,
        FORMAT_RESPONSE_FLAGS,
        FORMAT_RESPONSE_FLAGS_LONG,
        FORMAT_REQUEST_DURATION,
        FORMAT_RESPONSE_DURATION,
        FORMAT_RESPONSE_TX_DURATION,
        FORMAT_UPSTREAM_HOST,
        FORMAT_UPSTREAM_HOST_NAME,
        FORMAT_UPSTREAM_CLUSTER,
        FORMAT_UPSTREAM_CLUSTER_RAW,
        FORMAT_UPSTREAM_LOCAL_ADDRESS,
        FORMAT_UPSTREAM_REMOTE_ADDRESS,
        FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON,
        FORMAT_REQUESTED_SERVER_NAME,
        FORMAT_ROUTE_NAME,
        FORMAT_VIRTUAL_CLUSTER_NAME,
        FORMAT_STREAM_ID,
        FORMAT_ENVIRONMENT,
        FORMAT_METADATA,
        FORMAT_UPSTREAM_CONNECTION_ID,
        FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED,
        FORMAT_UPSTREAM_HOSTS_ATTEMPTED,
        FORMAT_UPSTREAM_HOST_NAME_WITHOUT_PORT,
        FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT,
        FORMAT_UPSTREAM_SERVER_NAME,
        FORMAT_LISTENER_NAME,
        FORMAT_FILTER_CHAIN_NAME,
        FORMAT_QUERY_PARAM,
        FORMAT_QUERY_PARAMS,
        FORMAT_DOWNSTREAM_CX_RTT,
        FORMAT_NEVER_THERE,
        FORMAT_FILTER_STATE,
        FORMAT_GRPC_STATUS,
        FORMAT_PATH,
        FORMAT_REQ,
        FORMAT_TRAILER,
    };
    static const enum format_op zeros[] = {
        FORMAT_RESPONSE_CODE,
        FORMAT_BYTES_RECEIVED,
        FORMAT_BYTES_SENT,
        FORMAT_UPSTREAM_WIRE_BYTES_SENT,
        FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED,
        FORMAT_DOWNSTREAM_WIRE_BYTES_SENT,
        FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED,
        FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT,
        FORMAT_CONNECTION_ID,
        FORMAT_REQUEST_HEADERS_BYTES,
        FORMAT_RESPONSE_HEADERS_BYTES,
        FORMAT_RESPONSE_TRAILERS_BYTES,
    };

    for (size_t i = 0; i < ARRAY_LEN(dashes); i++) {
        check_op(dashes[i], "-");
    }
    for (size_t i = 0; i < ARRAY_LEN(zeros); i++) {
        check_op(zeros[i], "0");
    }
    check_op(FORMAT_LOCAL_REPLY_BODY, "");
    check_op(FORMAT_DURATION, "1005");
    check_op(FORMAT_HOSTNAME, "box");
    entry.request_headers = NULL;
    check_op(FORMAT_PATH, "-");
    check_op(FORMAT_REQ, "-");
    check_op(FORMAT_REQUEST_HEADERS_BYTES, "0");
}

static void test_addresses(void **state)
{
    assert_int_equal(address_from_ip(STR("10.0.0.9"), 1234, &info.remote), 0);
    assert_int_equal(address_from_ip(STR("::1"), 443, &local), 0);
    assert_int_equal(address_from_ip(STR("10.1.1.1"), 80, &info.upstream_remote), 0);
    info.is_upstream_connected = true;
    check_op(FORMAT_DOWNSTREAM_REMOTE_ADDRESS, "10.0.0.9:1234");
    check_op(FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT, "10.0.0.9");
    check_op(FORMAT_DOWNSTREAM_REMOTE_PORT, "1234");
    check_op(FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS, "10.0.0.9:1234");
    check_op(FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT, "10.0.0.9");
    check_op(FORMAT_DOWNSTREAM_LOCAL_ADDRESS, "[::1]:443");
    check_op(FORMAT_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT, "::1");
    check_op(FORMAT_DOWNSTREAM_LOCAL_PORT, "443");
    check_op(FORMAT_UPSTREAM_HOST, "10.1.1.1:80");
    check_op(FORMAT_UPSTREAM_HOST_NAME, "10.1.1.1:80");
    info.upstream_host_name = STR("backend");
    check_op(FORMAT_UPSTREAM_HOST_NAME, "backend");
    assert_int_equal(address_from_path(STR("/run/x"), &info.remote), 0);
    check_op(FORMAT_DOWNSTREAM_REMOTE_ADDRESS, "/run/x");
    check_op(FORMAT_DOWNSTREAM_REMOTE_PORT, "-");
}

static void test_times(void **state)
{
    static const struct {
        const char *format;
        const char *want;
    } cases[] = {
        {"", "2026-11-23T03:52:45.952Z"},
        {"%Y/%m/%d %s %3f %E3S", "2026/11/23 1795405965 952 45.952"},
        {"%s.%6f|%9f|%f", "1795405965.952000|952000007|952000007"},
        {"%E*S %E0S", "45.952000007 45"},
        {"%d/%b/%Y:%H:%M:%S %z", "23/Nov/2026:03:52:45 +0000"},
        {"%a %A %j %Ez %T %F %D%%", "Mon Monday 327 +00:00 03:52:45 2026-11-23 11/23/26%"},
        {"%Q 100%", "%Q 100%"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_text((struct format_item){.op = FORMAT_START_TIME, .arg1 = str_c(cases[i].format)},
                   cases[i].want);
    }
    info.last_rx_byte_ns = 100 * S + 3 * MS;
    info.first_upstream_rx_ns = 100 * S + 10 * MS;
    info.last_downstream_tx_ns = 100 * S + 25 * MS + 999999;
    check_op(FORMAT_REQUEST_DURATION, "3");
    check_op(FORMAT_RESPONSE_DURATION, "10");
    check_op(FORMAT_RESPONSE_TX_DURATION, "15");
    info.first_upstream_rx_ns = 99 * S; /* the other clock lags: never negative */
    check_op(FORMAT_RESPONSE_DURATION, "0");
}

static void test_headers(void **state)
{
    header_add(&request, HDR_METHOD, STR("GET"));
    header_add(&request, HDR_PATH, STR("/p?q"));
    header_add_name(&request, STR("x-b"), STR("longvalue"));
    header_add(&request, HDR_X_REQUEST_ID, STR("id"));
    check_text((struct format_item){.op = FORMAT_REQ, .arg1 = STR("x-a"), .arg2 = STR("x-b")},
               "longvalue");
    check_text(
        (struct format_item){
            .op = FORMAT_REQ, .arg1 = STR("x-b"), .has_max_len = true, .max_len = 4},
        "long");
    check_op(FORMAT_STREAM_ID, "id");
    check_op(FORMAT_PATH, "/p?q");
    check_text((struct format_item){.op = FORMAT_PATH, .arg1 = STR("NQ")}, "/p");
    header_add(&request, HDR_X_ENVOY_ORIGINAL_PATH, STR("/o?q"));
    check_op(FORMAT_PATH, "/o?q");
    check_text((struct format_item){.op = FORMAT_PATH, .arg1 = STR("NQ"), .arg2 = STR("PATH")},
               "/p");
    check_text((struct format_item){.op = FORMAT_PATH, .arg2 = STR("ORIG")}, "/o?q");
    info.response_code = 200;
    check_text((struct format_item){.op = FORMAT_RESPONSE_CODE, .has_max_len = true, .max_len = 1},
               "2");
}

static void test_strings(void **state)
{
    info.has_protocol = true;
    info.protocol = HTTP_11;
    info.response_code_details = STR("a b{c d}");
    info.upstream_transport_failure_reason = STR("delayed connect error: 111");
    stream_info_set_flag(&info, FLAG_NO_HEALTHY_UPSTREAM);
    stream_info_set_flag(&info, FLAG_UPSTREAM_RETRY_LIMIT_EXCEEDED);
    check_op(FORMAT_PROTOCOL, "HTTP/1.1");
    check_op(FORMAT_RESPONSE_CODE_DETAILS, "a_b{c_d}");
    check_op(FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON, "delayed_connect_error:_111");
    check_op(FORMAT_RESPONSE_FLAGS, "UH,URX");
    check_op(FORMAT_RESPONSE_FLAGS_LONG, "NoHealthyUpstream,UpstreamRetryLimitExceeded");
    check_text((struct format_item){.op = FORMAT_ENVIRONMENT, .arg1 = STR("value")}, "value");
}

static void test_server_names(void **state)
{
    (void)state;
    info.requested_server_name = STR("a-1.Example.com");
    check_op(FORMAT_REQUESTED_SERVER_NAME, "a-1.Example.com");
    info.requested_server_name = STR("a b\nc");
    check_op(FORMAT_REQUESTED_SERVER_NAME, "invalid:a_b_c");
    info.requested_server_name = STR_NONE;
}

static void test_grpc_status(void **state)
{
    check_op(FORMAT_GRPC_STATUS, "-");
    header_add(&request, HDR_CONTENT_TYPE, STR("application/grpc+proto"));
    info.response_code = 503;
    check_op(FORMAT_GRPC_STATUS, "Unavailable");
    header_add(&response, HDR_GRPC_STATUS, STR("0"));
    check_op(FORMAT_GRPC_STATUS, "OK");
    header_add(&trailers, HDR_GRPC_STATUS, STR("4"));
    entry.response_trailers = &trailers;
    check_op(FORMAT_GRPC_STATUS, "DeadlineExceeded");
    check_text((struct format_item){.op = FORMAT_GRPC_STATUS, .arg1 = STR("SNAKE_STRING")},
               "DEADLINE_EXCEEDED");
    check_text((struct format_item){.op = FORMAT_GRPC_STATUS, .arg1 = STR("NUMBER")}, "4");
    header_set(&trailers, HDR_GRPC_STATUS, STR("99"));
    check_op(FORMAT_GRPC_STATUS, "99");
    assert_false(grpc_is_content_type(STR("application/grpc-web")));
    assert_true(grpc_is_content_type(STR("application/grpc")));
}

static struct value_field fields[] = {
    {.name = {"k", 1}, .value = {.kind = VALUE_STRING, .string = {"v", 1}}},
    {.name = {"n", 1}, .value = {.kind = VALUE_NUMBER, .number = 1}},
};
static struct value_field name_space = {
    .name = {"ns", 2}, .value = {.kind = VALUE_STRUCT, .fields = fields, .count = 2}};

static const struct value metadata = {.kind = VALUE_STRUCT, .fields = &name_space, .count = 1};

static struct format_item metadata_item(const char *path)
{
    return (struct format_item){
        .op = FORMAT_METADATA, .metadata = FORMAT_METADATA_ROUTE, .arg1 = str_c(path)};
}

static void test_metadata(void **state)
{
    info.route_metadata = &metadata;
    check_text(metadata_item("ns:k"), "v");
    check_text(metadata_item("ns:n"), "1");
    check_text(metadata_item("ns"), "{\"k\":\"v\",\"n\":1}");
    check_text(metadata_item("ns:none"), "-");
    check_text(metadata_item("ns:k:deeper"), "-");
}

static void test_text_of_pieces(void **state)
{
    const struct format_item items[] = {{.op = FORMAT_LITERAL, .arg1 = STR("a")},
                                        {.op = FORMAT_REQ, .arg1 = STR("none")},
                                        {.op = FORMAT_RESPONSE_CODE}};
    const struct format f = {.items = items, .count = 3};
    struct strbuf out;

    strbuf_init(&out);
    formatter_text(&f, &entry, NULL, false, &out);
    formatter_text(&f, &entry, NULL, true, &out);
    assert_true(str_eq(strbuf_str(&out), STR("a-0a0")));
    strbuf_done(&out);
}

static void test_json(void **state)
{
    static const struct format_item code = {.op = FORMAT_RESPONSE_CODE};
    static const struct format_item none = {.op = FORMAT_REQ, .arg1 = {"none", 4}};
    static const struct format_item meta = {
        .op = FORMAT_METADATA, .metadata = FORMAT_METADATA_ROUTE, .arg1 = {"ns", 2}};
    static const struct format_item mixed[] = {{.op = FORMAT_LITERAL, .arg1 = {"\"a", 2}},
                                               {.op = FORMAT_REQ, .arg1 = {"none", 4}}};
    static const struct format_json items[] = {
        {.kind = FORMAT_JSON_LEAF, .leaf = {.items = &none, .count = 1}},
        {.kind = FORMAT_JSON_LEAF, .leaf = {.items = &code, .count = 1}},
    };
    static const struct format_json members[] = {
        {.kind = FORMAT_JSON_LEAF, .key = {"code", 4}, .leaf = {.items = &code, .count = 1}},
        {.kind = FORMAT_JSON_LEAF, .key = {"none", 4}, .leaf = {.items = &none, .count = 1}},
        {.kind = FORMAT_JSON_LEAF, .key = {"mix", 3}, .leaf = {.items = mixed, .count = 2}},
        {.kind = FORMAT_JSON_LEAF,
         .key = {"lit", 3},
         .leaf = {.is_literal = true, .literal = {"x", 1}}},
        {.kind = FORMAT_JSON_LEAF, .key = {"md", 2}, .leaf = {.items = &meta, .count = 1}},
        {.kind = FORMAT_JSON_NUMBER, .key = {"n", 1}, .number = {"5", 1}},
        {.kind = FORMAT_JSON_BOOL, .key = {"b", 1}, .boolean = true},
        {.kind = FORMAT_JSON_ARRAY, .key = {"arr", 3}, .children = items, .count = 2},
        {.kind = FORMAT_JSON_OBJECT, .key = {"o", 1}},
    };
    static const struct format_json root = {
        .kind = FORMAT_JSON_OBJECT, .children = members, .count = ARRAY_LEN(members)};
    struct strbuf out;

    info.response_code = 204;
    info.route_metadata = &metadata;
    strbuf_init(&out);
    formatter_json(&root, &entry, NULL, false, &out);
    assert_string_equal(out.ptr, "{\"code\":204,\"none\":null,\"mix\":\"\\\"a-\",\"lit\":\"x\","
                                 "\"md\":{\"k\":\"v\",\"n\":1},\"n\":5,\"b\":true,"
                                 "\"arr\":[null,204],\"o\":{}}\n");
    strbuf_reset(&out);
    formatter_json(&root, &entry, NULL, true, &out);
    assert_string_equal(out.ptr, "{\"code\":204,\"mix\":\"\\\"a\",\"lit\":\"x\","
                                 "\"md\":{\"k\":\"v\",\"n\":1},\"n\":5,\"b\":true,"
                                 "\"arr\":[204]}\n");
    strbuf_done(&out);
}

static void test_header_values(void **state)
{
    const struct format literal = {.is_literal = true, .literal = STR("x")};
    const struct format_item there = {.op = FORMAT_REQ, .arg1 = STR("x-b")};
    const struct format_item scratch = {.op = FORMAT_DOWNSTREAM_REMOTE_ADDRESS};
    const struct format_item none = {.op = FORMAT_REQ, .arg1 = STR("none")};
    const struct format_item number = {.op = FORMAT_RESPONSE_CODE};
    struct format f;
    struct str value;

    assert_int_equal(address_from_ip(STR("10.0.0.9"), 1, &info.remote), 0);
    header_add_name(&request, STR("x-b"), STR("v"));
    assert_true(formatter_header(&literal, &entry, NULL, &arena, &value));
    assert_true(str_eq(value, STR("x")));
    f = one(&there);
    assert_true(formatter_header(&f, &entry, NULL, &arena, &value));
    assert_true(str_eq(value, STR("v")));
    f = one(&scratch);
    assert_true(formatter_header(&f, &entry, NULL, &arena, &value));
    assert_true(str_eq(value, STR("10.0.0.9:1")));
    f = one(&number);
    assert_true(formatter_header(&f, &entry, NULL, &arena, &value));
    assert_true(str_eq(value, STR("0")));
    f = one(&none);
    assert_false(formatter_header(&f, &entry, NULL, &arena, &value));
    assert_int_equal(value.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_known), TEST(test_addresses),     TEST(test_times),
        TEST(test_headers),       TEST(test_strings),       TEST(test_server_names),
        TEST(test_grpc_status),   TEST(test_metadata),      TEST(test_text_of_pieces),
        TEST(test_json),          TEST(test_header_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
