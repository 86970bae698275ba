/* The filter chain through a whole connection manager: order, stopping, buffering, limits, local
 * replies at every stage, per-route switches. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/http_testing.h"

#define GET "GET / HTTP/1.1\r\nhost: h\r\n\r\n"
#define POST5 "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n"
#define POST_CHUNKED "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"

static struct http_test t;

static void start(size_t filters)
{
    http_test_init(&t, filters);
    t.config.http1.enable_trailers = true;
    http_test_connect(&t);
}

static void test_order(void **state)
{
    const char *out;

    start(3);
    out = http_test_exchange(&t, GET);
    assert_non_null(strstr(out, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(out, "\r\n\r\nok"));
    assert_string_equal(http_test_log(&t),
                        "a.dh* b.dh* c.dh* t.dh* c.eh b.eh a.eh c.ed(2)* b.ed(2)* a.ed(2)*");
    assert_int_equal(t.fakes[0].destroyed, 1);
    assert_int_equal(t.terminal.destroyed, 1);
    http_test_done(&t);
}

static void test_body_and_trailers(void **state)
{
    start(1);
    (void)http_test_exchange(&t, POST_CHUNKED "5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n");
    assert_string_equal(http_test_log(&t), "a.dh t.dh a.dd(5) t.dd(5) a.dt t.dt a.eh a.ed(2)*");
    http_test_done(&t);
}

/* The connection's output may rise and fall while a head is still coming in. */
static void test_watermark_before_the_head_is_complete(void **state)
{
    start(0);
    t.answers_at_once = false;
    http_test_send(&t, "GET / HTTP/1.1\r\nhost:");
    conn_manager_on_watermark(t.cm, true);
    assert_string_equal(http_test_log(&t), "");
    http_test_send(&t, " h\r\n\r\n");
    assert_string_equal(http_test_log(&t), "t.above t.dh*");
    conn_manager_on_watermark(t.cm, false);
    assert_string_equal(http_test_log(&t), "t.below");
    http_test_done(&t);
}

/* FILTER_STOP in headers: nothing is shown until the filter continues, then to itself first. */
static void test_stop_in_headers(void **state)
{
    start(2);
    t.fakes[0].on_decode_headers = FILTER_STOP;
    http_test_send(&t, POST5 "he");
    http_test_send(&t, "llo");
    assert_string_equal(http_test_log(&t), "a.dh");
    http_filter_continue_decoding(t.fakes[0].filter);
    assert_string_equal(http_test_log(&t),
                        "b.dh t.dh a.dd(5)* b.dd(5)* t.dd(5)* b.eh a.eh b.ed(2)* a.ed(2)*");
    assert_non_null(strstr(http_test_receive(&t), "ok"));
    http_test_done(&t);
}

static void test_stop_in_headers_of_a_bodyless_request(void **state)
{
    start(2);
    t.fakes[1].on_decode_headers = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, GET);
    assert_string_equal(http_test_log(&t), "a.dh* b.dh*");
    http_filter_continue_decoding(t.fakes[1].filter);
    assert_string_equal(http_test_log(&t), "t.dh* b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

/* FILTER_STOP_AND_BUFFER: the filter sees each piece; when it lets go, all of it goes on. */
static void test_stop_and_buffer(void **state)
{
    start(2);
    t.fakes[0].on_decode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_decode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, POST5 "he");
    assert_string_equal(http_test_log(&t), "a.dh a.dd(2)");
    http_test_send(&t, "llo"); /* the script is over: CONTINUE opens the gate */
    assert_string_equal(http_test_log(&t),
                        "a.dd(3)* b.dh t.dh b.dd(5)* t.dd(5)* b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

/* Stopped in data: that piece was seen and goes to the next filter, the later one comes back. */
static void test_stop_in_data(void **state)
{
    start(2);
    t.fakes[0].on_decode_data = FILTER_STOP;
    http_test_send(&t, POST5 "he");
    http_test_send(&t, "llo");
    assert_string_equal(http_test_log(&t), "a.dh b.dh t.dh a.dd(2)");
    http_filter_continue_decoding(t.fakes[0].filter);
    assert_string_equal(http_test_log(&t),
                        "b.dd(2) t.dd(2) a.dd(3)* b.dd(3)* t.dd(3)* b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

static void test_stop_in_trailers(void **state)
{
    start(2);
    t.fakes[0].on_decode_trailers = FILTER_STOP;
    t.fakes[0].on_decode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_decode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, POST_CHUNKED "5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n");
    assert_string_equal(http_test_log(&t), "a.dh a.dd(5) a.dt");
    http_filter_continue_decoding(t.fakes[0].filter);
    assert_string_equal(http_test_log(&t),
                        "b.dh t.dh b.dd(5) t.dd(5) b.dt t.dt b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

/* Trailers reach a filter that was buffering: headers and data go first. */
static void test_trailers_open_a_buffering_gate(void **state)
{
    start(2);
    t.fakes[0].on_decode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_decode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, POST_CHUNKED "5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n");
    assert_string_equal(
        http_test_log(&t),
        "a.dh a.dd(5) a.dt b.dh t.dh b.dd(5) t.dd(5) b.dt t.dt b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

/* Two gates closed at once: each keeps its own. */
static void test_two_gates(void **state)
{
    start(2);
    t.fakes[0].on_decode_data = FILTER_STOP;
    t.fakes[1].on_decode_headers = FILTER_STOP;
    http_test_send(&t, POST5 "he");
    assert_string_equal(http_test_log(&t), "a.dh b.dh a.dd(2)");
    http_filter_continue_decoding(t.fakes[0].filter);
    http_test_send(&t, "llo");
    assert_string_equal(http_test_log(&t), "a.dd(3)*");
    http_filter_continue_decoding(t.fakes[1].filter);
    assert_string_equal(http_test_log(&t), "t.dh b.dd(5)* t.dd(5)* b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

static void test_stop_in_encode_headers(void **state)
{
    start(2);
    t.fakes[1].on_encode_headers = FILTER_STOP;
    http_test_send(&t, GET);
    assert_string_equal(http_test_log(&t), "a.dh* b.dh* t.dh* b.eh");
    assert_string_equal(http_test_receive(&t), "");
    http_filter_continue_encoding(t.fakes[1].filter);
    assert_string_equal(http_test_log(&t), "a.eh b.ed(2)* a.ed(2)*");
    assert_non_null(strstr(http_test_receive(&t), "\r\n\r\nok"));
    http_test_done(&t);
}

static void test_buffer_in_encode(void **state)
{
    start(1);
    t.answers_at_once = false;
    t.fakes[0].on_encode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_encode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, GET);
    http_test_respond(&t, "200", "he", false);
    assert_string_equal(http_test_receive(&t), "");
    http_test_respond_data(&t, "llo", true);
    assert_string_equal(http_test_log(&t), "a.dh* t.dh* a.eh a.ed(2) a.ed(3)*");
    assert_non_null(strstr(http_test_receive(&t), "hello"));
    http_test_done(&t);
}

/* --- limits: 1024 bytes in these tests ------------------------------------------------------ */

static const char *filler(size_t n)
{
    static char text[4097];

    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}

/* Nothing is passed on of a piece that a filter took, but that it was the last. */
static void test_taken_data(void **state)
{
    start(2);
    t.fakes[0].takes_data = true;
    http_test_send(&t, POST5 "he");
    assert_string_equal(http_test_log(&t), "a.dh b.dh t.dh a.dd(2)");
    http_test_send(&t, "llo");
    assert_string_equal(http_test_log(&t),
                        "a.dd(3)* b.dd(0)* t.dd(0)* b.eh a.eh b.ed(2)* a.ed(2)*");
    assert_non_null(strstr(http_test_receive(&t), "\r\n\r\n"));
    http_test_done(&t);
}

static void test_trailers_that_become_data(void **state)
{
    const char *out;

    start(3);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    t.fakes[1].trailers_become = "more";
    http_test_respond(&t, "200", "abc", false);
    (void)http_test_log(&t);
    http_test_respond_trailers(&t, "x-t", "1");
    assert_string_equal(http_test_log(&t), "c.et b.et a.ed(4) a.et");
    out = http_test_receive(&t);
    assert_non_null(strstr(out, "\r\n3\r\nabc\r\n4\r\nmore\r\n0\r\n\r\n"));
    http_test_done(&t);
}

/* What the filter held goes first. */
static void test_trailers_that_become_data_behind_held_data(void **state)
{
    start(2);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    t.fakes[1].on_encode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[1].on_encode_data = FILTER_STOP_AND_BUFFER;
    t.fakes[1].trailers_become = "more";
    http_test_respond(&t, "200", "abc", false);
    http_test_respond_trailers(&t, "x-t", "1");
    assert_string_equal(http_test_log(&t), "a.dh* b.dh* t.dh* b.eh b.ed(3) b.et a.eh a.ed(7) a.et");
    assert_non_null(strstr(http_test_receive(&t), "abcmore\r\n0\r\n\r\n"));
    http_test_done(&t);
}

/* The filter that stops at the trailers has seen what it added. */
static void test_trailers_that_become_data_later(void **state)
{
    start(2);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    t.fakes[1].on_encode_trailers = FILTER_STOP;
    t.fakes[1].trailers_become = "more";
    http_test_respond(&t, "200", "abc", false);
    http_test_respond_trailers(&t, "x-t", "1");
    assert_string_equal(http_test_log(&t), "a.dh* b.dh* t.dh* b.eh a.eh b.ed(3) a.ed(3) b.et");
    http_filter_continue_encoding(t.fakes[1].filter);
    assert_string_equal(http_test_log(&t), "a.ed(4) a.et");
    http_test_done(&t);
}

static void test_request_too_large_to_buffer(void **state)
{
    const char *out;

    start(1);
    t.fakes[0].on_decode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_decode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2000\r\n\r\n");
    out = http_test_exchange(&t, filler(1500));
    assert_non_null(strstr(out, "HTTP/1.1 413 Payload Too Large\r\n"));
    assert_non_null(strstr(out, "connection: close\r\n"));
    assert_non_null(strstr(out, "\r\n\r\nPayload Too Large"));
    assert_string_equal(http_test_access_log(&t), "413 - request_payload_too_large 1500/17");
    assert_int_equal(http_test_stat(&t, CM_RQ_TOO_LARGE), 1);
    assert_int_equal(t.terminal.destroyed, 1);
    http_test_done(&t);
}

/* As Envoy: a route may raise what is held back, not lower it. */
static void test_route_raises_what_is_buffered(void **state)
{
    struct route route = {.path_kind = PATH_MATCH_PREFIX,
                          .case_sensitive = true,
                          .path = STR("/"),
                          .body_buffer_limit = {true, 1600}};

    http_test_init(&t, 1);
    http_test_set_routes(&t, &route, 1);
    http_test_connect(&t);
    t.fakes[0].on_decode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_decode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2000\r\n\r\n");
    http_test_send(&t, filler(1500));
    assert_int_equal(http_filter_buffer_limit(t.fakes[0].filter), 1600);
    assert_int_equal(http_filter_repeat_limit(t.fakes[0].filter), 1600);
    assert_int_equal(http_test_stat(&t, CM_RQ_TOO_LARGE), 0);
    t.fakes[0].on_decode_data = FILTER_STOP_AND_BUFFER;
    assert_non_null(strstr(http_test_exchange(&t, filler(101)), "HTTP/1.1 413"));
    http_test_done(&t);

    route.body_buffer_limit.value = 10;
    http_test_init(&t, 1);
    http_test_set_routes(&t, &route, 1);
    http_test_connect(&t);
    t.fakes[0].on_decode_headers = FILTER_STOP;
    http_test_send(&t, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_true(http_filter_buffer_limit(t.fakes[0].filter) > 10);
    assert_int_equal(http_filter_repeat_limit(t.fakes[0].filter), 10); /* for another attempt */
    http_filter_continue_decoding(t.fakes[0].filter);
    http_test_done(&t);
}

static void test_response_too_large_to_buffer(void **state)
{
    const char *out;

    start(1);
    t.answers_at_once = false;
    t.fakes[0].on_encode_headers = FILTER_STOP_AND_BUFFER;
    t.fakes[0].on_encode_data = FILTER_STOP_AND_BUFFER;
    http_test_send(&t, GET);
    http_test_respond(&t, "200", filler(1500), true);
    out = http_test_receive(&t);
    assert_non_null(strstr(out, "HTTP/1.1 500 Internal Server Error\r\n"));
    assert_null(strstr(out, "xxx"));
    assert_string_equal(http_test_access_log(&t), "500 - response_payload_too_large 0/21");
    assert_int_equal(http_test_stat(&t, CM_RS_TOO_LARGE), 1);
    http_test_done(&t);
}

static void test_stop_pauses_the_client(void **state)
{
    start(1);
    t.fakes[0].on_decode_headers = FILTER_STOP;
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2000\r\n\r\n");
    http_test_send(&t, filler(1500));
    assert_int_equal(t.conn->read_disable_count, 1);
    assert_int_equal(http_test_stat(&t, CM_FLOW_CONTROL_PAUSED), 1);
    http_test_send(&t, filler(500)); /* waits in the socket, or in the connection */
    http_filter_continue_decoding(t.fakes[0].filter);
    http_test_run(&t);
    assert_int_equal(http_test_stat(&t, CM_FLOW_CONTROL_RESUMED), 1);
    assert_non_null(strstr(http_test_receive(&t), "\r\n\r\nok"));
    assert_int_equal(t.conn->read_disable_count, 0);
    assert_string_equal(http_test_access_log(&t), "200 -  2000/2");
    http_test_done(&t);
}

static void test_stop_pauses_the_upstream(void **state)
{
    start(1);
    t.answers_at_once = false;
    t.fakes[0].on_encode_headers = FILTER_STOP;
    http_test_send(&t, GET);
    http_test_respond(&t, "200", filler(1500), false);
    assert_string_equal(http_test_log(&t), "a.dh* t.dh* a.eh t.above");
    http_filter_continue_encoding(t.fakes[0].filter);
    assert_string_equal(http_test_log(&t), "t.below a.ed(1500)");
    http_test_respond_data(&t, "", true);
    assert_non_null(strstr(http_test_receive(&t), "0\r\n\r\n"));
    http_test_done(&t);
}

/* --- local replies -------------------------------------------------------------------------- */

static void check_teapot(const char *out, const char *log)
{
    assert_non_null(strstr(out, "HTTP/1.1 418 "));
    assert_non_null(strstr(out, "content-type: text/plain\r\n"));
    assert_non_null(strstr(out, "\r\n\r\nteapot"));
    assert_string_equal(http_test_log(&t), log);
    assert_int_equal(t.terminal.destroyed, 1);
    assert_int_equal(t.fakes[0].destroyed, 1);
}

static void test_reply_in_decode_headers(void **state)
{
    start(2);
    t.fakes[0].replies_in = "dh";
    /* As Envoy: all encode callbacks run, also of filters that never saw the request. */
    check_teapot(http_test_exchange(&t, GET), "a.dh* b.eh a.eh b.ed(6)* a.ed(6)*");
    assert_string_equal(http_test_access_log(&t), "418 FI fake 0/6");
    /* The connection goes on. */
    assert_non_null(strstr(http_test_exchange(&t, GET), "200 OK"));
    http_test_done(&t);
}

static void test_reply_in_decode_data(void **state)
{
    start(2);
    t.fakes[0].replies_in = "dd";
    check_teapot(http_test_exchange(&t, POST5 "hello"),
                 "a.dh b.dh t.dh a.dd(5)* b.eh a.eh b.ed(6)* a.ed(6)*");
    http_test_done(&t);
}

static void test_reply_in_decode_trailers(void **state)
{
    start(2);
    t.fakes[1].replies_in = "dt";
    check_teapot(http_test_exchange(&t, POST_CHUNKED "1\r\nx\r\n0\r\nx-t: 1\r\n\r\n"),
                 "a.dh b.dh t.dh a.dd(1) b.dd(1) t.dd(1) a.dt b.dt b.eh a.eh b.ed(6)* a.ed(6)*");
    http_test_done(&t);
}

/* The response's headers have not gone out: the reply goes past the filters in their place. */
static void test_reply_in_encode_headers(void **state)
{
    start(2);
    t.fakes[1].replies_in = "eh";
    check_teapot(http_test_exchange(&t, GET), "a.dh* b.dh* t.dh* b.eh");
    http_test_done(&t);
}

/* The response has begun: all that is left is to break it off. */
static void test_reply_in_encode_data(void **state)
{
    const char *out;

    start(2);
    t.fakes[1].replies_in = "ed";
    out = http_test_exchange(&t, GET);
    assert_non_null(strstr(out, "HTTP/1.1 200 OK"));
    assert_null(strstr(out, "teapot"));
    assert_true(t.is_client_eof);
    assert_string_equal(http_test_access_log(&t), "200 FI fake 0/0");
    assert_int_equal(http_test_stat(&t, CM_RQ_TX_RESET), 1);
    http_test_done(&t);
}

static void test_reply_while_stopped(void **state)
{
    start(2);
    t.fakes[0].on_decode_headers = FILTER_STOP;
    http_test_send(&t, GET);
    http_filter_local_reply(t.fakes[0].filter, 418, STR("teapot"), NULL, FLAG_NONE, STR("late"));
    check_teapot(http_test_receive(&t), "a.dh* b.eh a.eh b.ed(6)* a.ed(6)*");
    http_test_done(&t);
}

/* An answer of the terminal filter that comes after a local reply is dropped. */
static void test_late_response_is_dropped(void **state)
{
    start(1);
    t.answers_at_once = false;
    t.fakes[0].on_encode_headers = FILTER_STOP;
    http_test_send(&t, POST5);
    http_filter_local_reply(t.terminal.filter, 418, STR("teapot"), NULL, FLAG_NONE, STR("x"));
    http_test_respond(&t, "200", "late", true);
    http_filter_continue_encoding(t.fakes[0].filter);
    assert_non_null(strstr(http_test_receive(&t), "teapot"));
    http_test_done(&t);
}

static void test_1xx(void **state)
{
    struct header_map h;
    const char *out;

    start(2);
    t.answers_at_once = false;
    t.config.via = STR("me");
    t.config.proxy_100_continue = true;
    http_test_send(&t, GET);
    header_map_init(&h, http_filter_arena(t.terminal.filter));
    header_add(&h, HDR_STATUS, STR("103"));
    header_add_name(&h, STR("link"), STR("</x>"));
    http_filter_respond_1xx(t.terminal.filter, &h);
    out = http_test_receive(&t);
    assert_string_equal(out, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    http_test_respond(&t, "200", "ok", true);
    assert_non_null(strstr(http_test_receive(&t), "HTTP/1.1 200 OK"));
    assert_string_equal(http_test_log(&t),
                        "a.dh* b.dh* t.dh* b.e1 a.e1 b.eh a.eh b.ed(2)* a.ed(2)*");
    http_test_done(&t);
}

/* --- per-route switches --------------------------------------------------------------------- */

static void test_disabled_and_enabled(void **state)
{
    int settings = 5;
    const struct filter_override overrides[] = {
        {.filter_name = STR("a"), .disabled = true},
        {.filter_name = STR("b"), .is_enabled_only = true},
        {.filter_name = STR("c"), .config = &settings},
    };
    struct route routes[] = {
        {.path_kind = PATH_MATCH_PREFIX,
         .case_sensitive = true,
         .path = STR("/special"),
         .action = ROUTE_FORWARD,
         .overrides = {.items = overrides, .count = 3}},
        {.path_kind = PATH_MATCH_PREFIX,
         .case_sensitive = true,
         .path = STR("/"),
         .action = ROUTE_FORWARD},
    };

    http_test_init(&t, 3);
    t.filters[1].is_disabled = true;
    http_test_set_routes(&t, routes, 2);
    http_test_connect(&t);
    (void)http_test_exchange(&t, GET);
    assert_string_equal(http_test_log(&t), "a.dh* c.dh* t.dh* c.eh a.eh c.ed(2)* a.ed(2)*");
    assert_null(t.fakes[2].last_override);
    (void)http_test_exchange(&t, "GET /special HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_string_equal(http_test_log(&t), "b.dh* c.dh* t.dh* c.eh b.eh c.ed(2)* b.ed(2)*");
    assert_null(t.fakes[1].last_override);
    assert_ptr_equal(t.fakes[2].last_override, &settings);
    http_test_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_body_and_trailers),
        cmocka_unit_test(test_watermark_before_the_head_is_complete),
        cmocka_unit_test(test_stop_in_headers),
        cmocka_unit_test(test_stop_in_headers_of_a_bodyless_request),
        cmocka_unit_test(test_stop_and_buffer),
        cmocka_unit_test(test_stop_in_data),
        cmocka_unit_test(test_stop_in_trailers),
        cmocka_unit_test(test_trailers_open_a_buffering_gate),
        cmocka_unit_test(test_two_gates),
        cmocka_unit_test(test_stop_in_encode_headers),
        cmocka_unit_test(test_buffer_in_encode),
        cmocka_unit_test(test_taken_data),
        cmocka_unit_test(test_trailers_that_become_data),
        cmocka_unit_test(test_trailers_that_become_data_behind_held_data),
        cmocka_unit_test(test_trailers_that_become_data_later),
        cmocka_unit_test(test_request_too_large_to_buffer),
        cmocka_unit_test(test_route_raises_what_is_buffered),
        cmocka_unit_test(test_response_too_large_to_buffer),
        cmocka_unit_test(test_stop_pauses_the_client),
        cmocka_unit_test(test_stop_pauses_the_upstream),
        cmocka_unit_test(test_reply_in_decode_headers),
        cmocka_unit_test(test_reply_in_decode_data),
        cmocka_unit_test(test_reply_in_decode_trailers),
        cmocka_unit_test(test_reply_in_encode_headers),
        cmocka_unit_test(test_reply_in_encode_data),
        cmocka_unit_test(test_reply_while_stopped),
        cmocka_unit_test(test_late_response_is_dropped),
        cmocka_unit_test(test_1xx),
        cmocka_unit_test(test_disabled_and_enabled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
