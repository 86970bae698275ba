/* The filter before an origin that the test plays, through a whole connection manager. Bytes are
 * compared with Envoy's in integration/filters/http/test_grpc_web.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dataplane/http/http_testing.h"
#include "dataplane/upstream/testing.h"

extern const struct http_filter_type http_filter_grpc_web;

#define POST(type, more, body)                                                                     \
    "POST /pkg.Svc/Meth HTTP/1.1\r\nhost: h\r\ncontent-type: " type "\r\n" more "\r\n" body

static struct http_test t;
static struct upstream_testing u;

/* Between the filter under test and the end of the chain stands fake `b`. */
static int set_up(void **state)
{
    struct route route = {.path_kind = PATH_MATCH_PREFIX,
                          .case_sensitive = true,
                          .path = STR("/"),
                          .action = ROUTE_FORWARD,
                          .forward = {.cluster_name = STR("c"), .cluster_slot = 0}};

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    http_test_init(&t, 2);
    http_test_set_routes(&t, &route, 1);
    t.filters[0] =
        (struct http_filter_config){.type = &http_filter_grpc_web, .name = STR("grpc_web")};
    t.config.http1.enable_trailers = true;
    t.thread.clusters = u.thread.clusters;
    t.answers_at_once = false;
    http_test_connect(&t);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_test_done(&t);
    upstream_testing_done(&u);
    return 0;
}

static struct str request_header(const char *name)
{
    const struct header *h =
        header_find_name(http_filter_request_headers(t.terminal.filter), str_c(name));

    return h != NULL ? h->value : STR_NONE;
}

/* The response's head, without content-type: it is the terminal filter's, as an upstream's. */
static void respond_head(const char *status, const char *type)
{
    struct http_filter *f = t.terminal.filter;
    struct header_map *h = arena_alloc(http_filter_arena(f), sizeof(*h));

    header_map_init(h, http_filter_arena(f));
    header_add(h, HDR_STATUS, str_c(status));
    header_add(h, HDR_CONTENT_TYPE, str_c(type));
    http_filter_respond_headers(f, h, false);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in \"%s\"", part, text);
    }
}

static void a_request_becomes_grpc(void **state)
{
    (void)state;
    http_test_send(&t, POST("application/grpc-web+proto", "content-length: 5\r\n", "12345"));
    assert_true(str_eq(request_header("content-type"), STR("application/grpc")));
    assert_true(str_eq(request_header("te"), STR("trailers")));
    assert_true(str_eq(request_header("grpc-accept-encoding"), STR("identity")));
    assert_int_equal(request_header("content-length").len, 0);
    assert_string_equal(http_test_log(&t), "b.dh t.dh b.dd(5)* t.dd(5)*");
}

static void other_requests_are_left_alone(void **state)
{
    const char *out;

    (void)state;
    http_test_send(&t, POST("application/grpc-web+json", "content-length: 2\r\n", "{}"));
    assert_true(str_eq(request_header("content-length"), STR("2")));
    assert_int_equal(request_header("te").len, 0);
    respond_head("200", "application/grpc");
    http_test_respond_trailers(&t, "grpc-status", "0");
    out = http_test_receive(&t);
    assert_has(out, "content-type: application/grpc\r\n");
    assert_has(out, "\r\n0\r\ngrpc-status: 0\r\n\r\n");
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc-web.pkg.Svc.Meth.total"), 0);
}

static void text_is_decoded_however_it_is_cut(void **state)
{
    const char *body = "AAAAAAVoZWxsbw=="; /* a message of 5 */
    char chunk[16];

    (void)state;
    http_test_send(&t, POST("application/grpc-web-text", "transfer-encoding: chunked\r\n", ""));
    for (; *body != '\0'; body++) {
        (void)snprintf(chunk, sizeof(chunk), "1\r\n%c\r\n", *body);
        http_test_send(&t, chunk);
    }
    http_test_send(&t, "0\r\n\r\n");
    assert_string_equal(http_test_log(&t), "b.dh t.dh b.dd(3) t.dd(3) b.dd(3) t.dd(3) b.dd(3) "
                                           "t.dd(3) b.dd(1) t.dd(1) b.dd(0)* t.dd(0)*");
}

static void assert_refused(const char *body, const char *details)
{
    char request[256];
    const char *out;
    int n = snprintf(request, sizeof(request),
                     POST("application/grpc-web-text", "content-length: %zu\r\n", "%s"),
                     strlen(body), body);

    assert_true(n > 0 && (size_t)n < sizeof(request));
    out = http_test_exchange(&t, request);
    assert_has(out, "HTTP/1.1 400 Bad Request\r\n");
    assert_has(out, "grpc-message: Bad gRPC-web request, invalid base64 data.\r\n");
    assert_has(out, "grpc-status: 13\r\n");
    assert_has(out, "content-type: application/grpc-web+proto\r\n");
    assert_has(http_test_access_log(&t), details);
    tear_down(NULL);
    set_up(NULL);
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    assert_refused("****", "grpc_base_64_decode_failed ");
    assert_refused("Zg==Zg==", "grpc_base_64_decode_failed ");
    assert_refused("Zm9vY", "grpc_base_64_decode_failed_bad_size");
    http_test_send(&t, POST("application/grpc-web-text", "transfer-encoding: chunked\r\n",
                            "2\r\nZm\r\n0\r\nx: y\r\n\r\n"));
    assert_has(http_test_receive(&t), "HTTP/1.1 400 ");
}

static void trailers_are_the_last_frame(void **state)
{
    const char *out;

    (void)state;
    http_test_send(&t, POST("application/grpc-web", "content-length: 0\r\n", ""));
    respond_head("200", "application/grpc");
    http_test_respond_data(&t, "body", false);
    http_test_respond_trailers(&t, "grpc-status", "5");
    out = http_test_receive(&t);
    assert_has(out, "content-type: application/grpc-web+proto\r\n");
    assert_has(out, "4\r\nbody\r\n");
    /* 0x80, the length in four bytes, 15 bytes of text. */
    assert_memory_equal(strstr(out, "body\r\n") + 6,
                        "14\r\n\x80\0\0\0\x0fgrpc-status:5\r\n\r\n0\r\n\r\n", 31);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc-web.pkg.Svc.Meth.5"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc-web.pkg.Svc.Meth.failure"), 1);
}

static void a_text_answer_is_padded_message_by_message(void **state)
{
    struct buf data;
    const char *out;

    (void)state;
    http_test_send(&t, POST("application/grpc-web",
                            "accept: application/grpc-web-text\r\ncontent-length: 0\r\n", ""));
    respond_head("200", "application/grpc");
    buf_init(&data, &t.loop.bufs);
    buf_add(&data, "\0\0\0\0\3abc\0\0\0\0\0", 13);
    http_filter_respond_data(t.terminal.filter, &data, false);
    buf_reset(&data);
    http_test_respond_trailers(&t, "grpc-status", "0");
    out = http_test_receive(&t);
    assert_has(out, "content-type: application/grpc-web-text+proto\r\n");
    assert_has(out, "AAAAAANhYmM=AAAAAAA=\r\n");
    assert_has(out, "gAAAAA9ncnBjLXN0YXR1czowDQo=\r\n0\r\n\r\n");
}

static void what_is_no_grpc_becomes_a_message(void **state)
{
    const char *out;

    (void)state;
    http_test_send(&t, POST("application/grpc-web", "content-length: 0\r\n", ""));
    respond_head("503", "text/html");
    http_test_respond_data(&t, "100% ", false);
    assert_string_equal(http_test_receive(&t), "");
    http_test_respond_data(&t, "down", true);
    out = http_test_receive(&t);
    assert_has(out, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_has(out, "grpc-status: 14\r\n");
    assert_has(out, "grpc-message: 100%25 down\r\n");
    assert_has(out, "content-length: 0\r\n");
    assert_int_equal(strstr(out, "\r\n\r\n")[4], '\0');
}

/* Held memory and header stay bounded whatever the upstream sends. */
static void a_long_page_is_cut(void **state)
{
    static char page[6001];
    const char *out;

    (void)state;
    memset(page, 'x', sizeof(page) - 1);
    http_test_send(&t, POST("application/grpc-web", "content-length: 0\r\n", ""));
    respond_head("500", "text/html");
    for (int i = 0; i < 100; i++) {
        http_test_respond_data(&t, page, false);
    }
    http_test_respond_data(&t, "", true);
    out = strstr(http_test_receive(&t), "grpc-message: ");
    assert_non_null(out);
    assert_int_equal(strspn(out + strlen("grpc-message: "), "x"), 16384);
}

#define WEB_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WEB_TEST(a_request_becomes_grpc),
        WEB_TEST(other_requests_are_left_alone),
        WEB_TEST(text_is_decoded_however_it_is_cut),
        WEB_TEST(bad_text_is_refused),
        WEB_TEST(trailers_are_the_last_frame),
        WEB_TEST(a_text_answer_is_padded_message_by_message),
        WEB_TEST(what_is_no_grpc_becomes_a_message),
        WEB_TEST(a_long_page_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
