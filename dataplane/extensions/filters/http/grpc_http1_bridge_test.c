/* The bridge before an origin that the test plays, through a whole connection manager. Compared
 * with Envoy in integration/filters/http/test_grpc_http1_bridge.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/verdict_support.h"
#include "dataplane/http/http_testing.h"

extern const struct http_filter_type http_filter_grpc_http1_bridge;

#define POST(type, path, more, body)                                                               \
    "POST " path " HTTP/1.1\r\nhost: h\r\ncontent-type: " type "\r\n" more "\r\n" body
#define CALL POST("application/grpc", "/s/m?q", "content-length: 0\r\n", "")

static struct http_test t;
static struct parse_fixture fixture;

static void start(const char *text)
{
    const ProtobufCMessage *m;
    const void *config = NULL;

    parse_fixture_init(&fixture, sizeof(struct part), PART_LISTENER, "l");
    assert_int_equal(parse_fixture_message(&fixture, http_filter_grpc_http1_bridge.ext.descriptor,
                                           str_c(text), &m),
                     0);
    assert_int_equal(http_filter_grpc_http1_bridge.ext.parse(&fixture.ctx, m, &config), 0);
    http_test_init(&t, 2);
    t.filters[0] = (struct http_filter_config){
        .type = &http_filter_grpc_http1_bridge, .config = config, .name = STR("bridge")};
    t.config.http1.enable_trailers = true;
    t.answers_at_once = false;
    http_test_connect(&t);
}

static void finish(void)
{
    http_test_done(&t);
    parse_fixture_done(&fixture);
}

static void respond_head(const char *status, const char *type)
{
    struct http_filter *f = t.terminal.filter;
    struct header_map *h = arena_alloc(http_filter_arena(f), sizeof(*h));

    header_map_init(h, http_filter_arena(f));
    header_add(h, HDR_STATUS, str_c(status));
    header_add(h, HDR_CONTENT_TYPE, str_c(type));
    http_filter_respond_headers(f, h, false);
}

static struct str request_header(enum header_id id)
{
    return header_get(http_filter_request_headers(t.terminal.filter), id);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in \"%s\"", part, text);
    }
}

static void trailers_become_headers(void **state)
{
    const char *out;

    (void)state;
    start("{}");
    http_test_send(&t, CALL);
    assert_true(str_eq(request_header(HDR_PATH), STR("/s/m?q")));
    respond_head("200", "application/grpc");
    http_test_respond_data(&t, "abc", false);
    http_test_respond_data(&t, "de", false);
    assert_string_equal(http_test_receive(&t), "");
    http_test_respond_trailers(&t, "grpc-status", "0");
    out = http_test_receive(&t);
    assert_has(out, "HTTP/1.1 200 OK\r\n");
    assert_has(out, "grpc-status: 0\r\n");
    assert_has(out, "content-length: 5\r\n");
    assert_has(out, "\r\n\r\nabcde");
    finish();
}

static void a_status_is_an_http_failure(void **state)
{
    const char *out;

    (void)state;
    start("{}");
    http_test_send(&t, CALL);
    respond_head("200", "application/grpc");
    http_test_respond_trailers(&t, "grpc-status", "7");
    out = http_test_receive(&t);
    assert_has(out, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_has(out, "grpc-status: 7\r\n");
    assert_has(out, "content-length: 0\r\n");
    finish();
}

static void other_requests_are_left_alone(void **state)
{
    (void)state;
    start("{upgrade_protobuf_to_grpc: true, ignore_query_parameters: true}");
    http_test_send(&t, POST("text/plain", "/s/m?q", "content-length: 2\r\n", "ab"));
    assert_true(str_eq(request_header(HDR_PATH), STR("/s/m?q")));
    assert_string_equal(http_test_log(&t), "b.dh t.dh b.dd(2)* t.dd(2)*");
    respond_head("200", "application/grpc");
    http_test_respond_data(&t, "abc", false);
    assert_has(http_test_receive(&t), "abc");
    http_test_respond_trailers(&t, "grpc-status", "7");
    assert_has(http_test_receive(&t), "0\r\ngrpc-status: 7\r\n\r\n");
    finish();
}

static void the_query_is_cut(void **state)
{
    (void)state;
    start("ignore_query_parameters: true");
    http_test_send(&t, CALL);
    assert_true(str_eq(request_header(HDR_PATH), STR("/s/m")));
    finish();
}

static void protobuf_gets_a_head_and_loses_one(void **state)
{
    struct buf data;
    const char *out;

    (void)state;
    start("upgrade_protobuf_to_grpc: true");
    http_test_send(&t, POST("application/x-protobuf", "/s/m", "content-length: 5\r\n", "he"));
    assert_true(str_eq(request_header(HDR_CONTENT_TYPE), STR("application/grpc")));
    assert_false(header_has(http_filter_request_headers(t.terminal.filter), HDR_CONTENT_LENGTH));
    assert_string_equal(http_test_log(&t), "b.dh t.dh");
    http_test_send(&t, "llo");
    assert_string_equal(http_test_log(&t), "b.dd(10)* t.dd(10)*");
    respond_head("200", "application/grpc");
    buf_init(&data, &t.loop.bufs);
    buf_add(&data, "\0\0\0", 3); /* the head in two pieces */
    http_filter_respond_data(t.terminal.filter, &data, false);
    buf_add(&data, "\0\3abc", 5);
    http_filter_respond_data(t.terminal.filter, &data, false);
    buf_reset(&data);
    http_test_respond_trailers(&t, "grpc-status", "0");
    out = http_test_receive(&t);
    assert_has(out, "content-length: 3\r\n");
    assert_has(out, "\r\n\r\nabc");
    finish();
}

static void protobuf_before_trailers_gets_a_head(void **state)
{
    (void)state;
    start("upgrade_protobuf_to_grpc: true");
    http_test_send(&t, POST("application/x-protobuf", "/s/m", "transfer-encoding: chunked\r\n",
                            "5\r\nhello\r\n0\r\nx: y\r\n\r\n"));
    assert_string_equal(http_test_log(&t), "b.dh t.dh b.dd(10) t.dd(10) b.dt t.dt");
    finish();
}

static void an_error_page_keeps_its_bytes(void **state)
{
    const char *out;

    (void)state;
    start("upgrade_protobuf_to_grpc: true");
    http_test_send(&t, POST("application/x-protobuf", "/s/m", "content-length: 1\r\n", "x"));
    respond_head("500", "text/plain");
    http_test_respond_data(&t, "an ", false);
    http_test_respond_data(&t, "error page", true);
    out = http_test_receive(&t);
    assert_has(out, "an error page");
    finish();
}

static void what_does_not_fit_is_refused(void **state)
{
    static char body[2001];

    (void)state;
    memset(body, 'x', sizeof(body) - 1);
    start("upgrade_protobuf_to_grpc: true");
    http_test_send(&t, POST("application/x-protobuf", "/s/m", "content-length: 3000\r\n", ""));
    http_test_send(&t, body);
    assert_has(http_test_receive(&t), "HTTP/1.1 413 ");
    finish();
    start("{}");
    http_test_send(&t, CALL);
    respond_head("200", "application/grpc");
    http_test_respond_data(&t, body, false);
    assert_has(http_test_receive(&t), "grpc-status: 2\r\n");
    assert_has(http_test_access_log(&t), "response_payload_too_large");
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trailers_become_headers),
        cmocka_unit_test(a_status_is_an_http_failure),
        cmocka_unit_test(other_requests_are_left_alone),
        cmocka_unit_test(the_query_is_cut),
        cmocka_unit_test(protobuf_gets_a_head_and_loses_one),
        cmocka_unit_test(protobuf_before_trailers_gets_a_head),
        cmocka_unit_test(an_error_page_keeps_its_bytes),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
