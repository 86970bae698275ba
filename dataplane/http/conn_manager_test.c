/* A connection manager on a socket pair: what Envoy 1.40 answers, counts and logs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/http_testing.h"

#define GET "GET / HTTP/1.1\r\nhost: h\r\n\r\n"

static struct http_test t;

static void setup(void)
{
    http_test_init(&t, 0);
}

static void start(void)
{
    setup();
    http_test_connect(&t);
}

static void check_starts(const char *got, const char *want)
{
    if (strncmp(got, want, strlen(want)) != 0) {
        fail_msg("got '%.200s', want '%s'", got, want);
    }
}

static void check_has(const char *got, const char *want)
{
    if (strstr(got, want) == NULL) {
        fail_msg("'%s' is not in '%.300s'", want, got);
    }
}

static void check_has_not(const char *got, const char *unwanted)
{
    if (strstr(got, unwanted) != NULL) {
        fail_msg("'%s' is in '%.300s'", unwanted, got);
    }
}

/* --- plain requests ------------------------------------------------------------------------- */

static void test_keep_alive(void **state)
{
    start();
    for (int i = 0; i < 3; i++) {
        const char *out = http_test_exchange(&t, GET);

        check_starts(out, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: ");
        check_has(out, "GMT\r\nserver: envoy\r\n\r\nok");
        check_has_not(out, "connection:");
        assert_string_equal(http_test_access_log(&t), "200 -  0/2");
    }
    assert_int_equal(http_test_stat(&t, CM_RQ_TOTAL), 3);
    assert_int_equal(http_test_stat(&t, CM_RQ_HTTP1_TOTAL), 3);
    assert_int_equal(http_test_stat(&t, CM_RQ_2XX), 3);
    assert_int_equal(http_test_stat(&t, CM_RQ_COMPLETED), 3);
    assert_int_equal(http_test_stat(&t, CM_RQ_ACTIVE), 0);
    assert_int_equal(http_test_stat(&t, CM_CX_ACTIVE), 1);
    assert_int_equal(http_test_stat(&t, CM_CX_HTTP1_ACTIVE), 1);
    http_test_close_client(&t);
    assert_int_equal(http_test_stat(&t, CM_CX_ACTIVE), 0);
    assert_int_equal(http_test_stat(&t, CM_CX_HTTP1_ACTIVE), 0);
    assert_int_equal(http_test_stat(&t, CM_CX_DESTROY_REMOTE), 1);
    assert_int_equal(http_test_stat(&t, CM_CX_DESTROY_REMOTE_ACTIVE_RQ), 0);
    assert_int_equal(http_test_stat(&t, CM_CX_RX_BYTES_TOTAL), 3 * strlen(GET));
    http_test_done(&t);
}

static void test_pipelining(void **state)
{
    const char *out;

    start();
    t.answers_at_once = false;
    http_test_send(&t, GET "GET /2 HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_int_equal(http_test_stat(&t, CM_RQ_TOTAL), 1); /* the second waits */
    http_test_respond(&t, "200", "first", true);
    http_test_run(&t);
    assert_int_equal(http_test_stat(&t, CM_RQ_TOTAL), 2);
    http_test_respond(&t, "200", "second", true);
    out = http_test_receive(&t);
    check_has(out, "first");
    check_has(strstr(out, "first"), "second");
    http_test_done(&t);
}

static void test_connection_close(void **state)
{
    const char *out;

    start();
    out = http_test_exchange(&t, "GET / HTTP/1.1\r\nhost: h\r\nConnection: Close\r\n\r\n");
    check_has(out, "connection: close\r\n");
    assert_true(t.is_client_eof); /* at once: the request was complete */
    assert_int_equal(http_test_stat(&t, CM_CX_DESTROY_LOCAL), 1);
    assert_int_equal(http_test_stat(&t, CM_CX_DELAYED_CLOSE_TIMEOUT), 0);
    http_test_done(&t);
}

static void test_http10(void **state)
{
    const char *out;

    setup();
    t.config.http1.accept_http_10 = true;
    http_test_connect(&t);
    out = http_test_exchange(&t, "GET / HTTP/1.0\r\nhost: h\r\nConnection: keep-alive\r\n\r\n");
    check_starts(out, "HTTP/1.0 200 OK");
    check_has(out, "connection: keep-alive\r\n");
    out = http_test_exchange(&t, "GET / HTTP/1.0\r\nhost: h\r\n\r\n");
    check_has(out, "connection: close\r\n");
    assert_true(t.is_client_eof);
    http_test_done(&t);
}

static void test_head(void **state)
{
    const struct route direct = {.path_kind = PATH_MATCH_PREFIX,
                                 .case_sensitive = true,
                                 .path = STR("/"),
                                 .action = ROUTE_DIRECT_RESPONSE,
                                 .direct = {.status = 200, .body = STR("hello")}};
    const char *out;

    setup();
    http_test_set_routes(&t, &direct, 1);
    http_test_connect(&t);
    out = http_test_exchange(&t, "HEAD / HTTP/1.1\r\nhost: h\r\n\r\n");
    check_has(out, "content-length: 5\r\ncontent-type: text/plain\r\n");
    check_has_not(out, "hello");
    assert_string_equal(http_test_access_log(&t), "200 - direct_response 0/0");
    out = http_test_exchange(&t, GET);
    check_has(out, "\r\n\r\nhello");
    http_test_done(&t);
}

/* --- what is refused ------------------------------------------------------------------------ */

struct refusal {
    const char *request;
    const char *status;
    const char *log;
    bool closes;
};

static void test_refusals(void **state)
{
    static const struct refusal cases[] = {
        {"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 404 Not Found",
         "404 - absolute_path_rejected 0/0", false},
        {"GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 400 Bad Request",
         "400 - path_normalization_failed 0/0", true},
        {"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
         "HTTP/1.1 403 Forbidden", "403 - upgrade_failed 0/0", true},
        {"CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n", "HTTP/1.1 404 Not Found",
         "404 NR route_not_found 0/0", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *out;

        start();
        out = http_test_exchange(&t, cases[i].request);
        check_starts(out, cases[i].status);
        check_has(out, "content-length: 0\r\n");
        check_has_not(out, "content-type");
        assert_string_equal(http_test_access_log(&t), cases[i].log);
        assert_int_equal(strstr(out, "connection: close") != NULL, cases[i].closes);
        http_test_done(&t);
    }
}

static void test_protocol_error(void **state)
{
    const char *out;

    start();
    out = http_test_exchange(&t, "GET\r\n\r\n");
    check_starts(out, "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text/plain");
    check_has(out, "connection: close\r\n");
    check_has(out, "\r\n\r\nBad Request");
    assert_int_equal(http_test_stat(&t, CM_CX_PROTOCOL_ERROR), 1);
    check_starts(http_test_access_log(&t), "400 DPE http1.");
    http_test_done(&t);
}

/* The error is in the body: what was answered stays, the stream is logged with DPE. */
static void test_protocol_error_in_body(void **state)
{
    start();
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    check_starts(http_test_exchange(&t, "zz\r\n"), "HTTP/1.1 400 Bad Request");
    check_starts(http_test_access_log(&t), "400 DPE http1.");
    http_test_done(&t);
}

static void test_no_route_table(void **state)
{
    setup();
    t.config.inline_routes = NULL;
    t.config.route_slot = 3;
    http_test_connect(&t);
    check_starts(http_test_exchange(&t, GET), "HTTP/1.1 404 Not Found");
    assert_string_equal(http_test_access_log(&t), "404 NR route_not_found 0/0");
    http_test_done(&t);
}

/* A table from a slot is pinned for the length of the stream. */
static void test_route_table_slot(void **state)
{
    struct part_handle *h;

    setup();
    t.config.inline_routes = NULL;
    t.config.route_slot = 3;
    part_ref(&t.table->part);
    part_table_set(&t.parts, PART_ROUTE_TABLE, 3, &t.table->part);
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    h = part_table_get(&t.parts, PART_ROUTE_TABLE, 3);
    assert_int_equal(h->refs, 2);
    part_handle_ref(h); /* to look at it */
    part_table_set(&t.parts, PART_ROUTE_TABLE, 3, NULL);
    assert_int_equal(h->refs, 2);
    http_test_respond(&t, "200", "ok", true);
    assert_int_equal(h->refs, 1);
    part_handle_unref(h);
    http_test_done(&t);
}

static void test_paths(void **state)
{
    const char *out;

    setup();
    t.config.normalize_path = true;
    t.config.merge_slashes = true;
    t.config.escaped_slashes = ESCAPED_SLASHES_REDIRECT;
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, "GET /a//../b?x=/../ HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_true(
        str_eq(header_get(&http_test_stream(&t)->request_headers, HDR_PATH), STR("/a/b?x=/../")));
    http_test_respond(&t, "200", "ok", true);
    (void)http_test_receive(&t);
    out = http_test_exchange(&t, "GET /a%2f..%2Fb HTTP/1.1\r\nhost: h\r\n\r\n");
    check_starts(out, "HTTP/1.1 307 Temporary Redirect\r\nlocation: /b\r\n");
    assert_int_equal(http_test_stat(&t, CM_RQ_REDIRECTED_WITH_NORMALIZED_PATH), 1);
    out = http_test_exchange(&t, "GET /a%00 HTTP/1.1\r\nhost: h\r\n\r\n");
    check_starts(out, "HTTP/1.1 400 Bad Request");
    assert_int_equal(http_test_stat(&t, CM_RQ_FAILED_PATH_NORMALIZATION), 1);
    http_test_done(&t);
}

static void test_grpc_local_reply(void **state)
{
    const char *out;

    setup();
    http_test_set_routes(&t, &(struct route){.path_kind = PATH_MATCH_EXACT, .path = STR("/no")}, 1);
    http_test_connect(&t);
    out = http_test_exchange(
        &t, "POST /a HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\n\r\n");
    check_starts(out, "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 12\r\n");
    http_test_done(&t);
}

static void test_expect(void **state)
{
    start();
    check_starts(http_test_exchange(&t, "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-Continue\r\n"
                                        "content-length: 2\r\n\r\n"),
                 "HTTP/1.1 100 Continue\r\n\r\n");
    assert_false(header_has(&http_test_stream(&t)->request_headers, HDR_EXPECT));
    check_starts(http_test_exchange(&t, "ab"), "HTTP/1.1 200 OK");
    assert_int_equal(http_test_stat(&t, CM_RQ_1XX), 1);
    assert_int_equal(http_test_stat(&t, CM_RQ_COMPLETED), 2);
    http_test_done(&t);
    setup();
    t.config.proxy_100_continue = true;
    http_test_connect(&t);
    assert_string_equal(http_test_exchange(&t,
                                           "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n"
                                           "content-length: 2\r\n\r\n"),
                        "");
    assert_true(header_has(&http_test_stream(&t)->request_headers, HDR_EXPECT));
    http_test_done(&t);
}

/* --- the end comes early -------------------------------------------------------------------- */

static void test_early_response(void **state)
{
    const char *out;

    start();
    t.answers_at_once = false;
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab");
    http_test_respond(&t, "200", "ok", true);
    out = http_test_receive(&t);
    check_has(out, "connection: close\r\n");
    assert_int_equal(http_test_stat(&t, CM_RQ_RESPONSE_BEFORE_RQ_COMPLETE), 1);
    assert_int_equal(http_test_stat(&t, CM_RQ_RX_RESET), 1);
    assert_string_equal(http_test_access_log(&t), "200 -  2/2");
    assert_true(t.is_client_eof);
    http_test_done(&t);
}

/* A delayed close that the client does not notice ends by itself. */
static void test_delayed_close(void **state)
{
    start();
    (void)http_test_exchange(&t, "GET\r\n\r\n");
    assert_non_null(t.cm);
    http_test_pass_ms(&t, 900);
    assert_non_null(t.cm);
    http_test_pass_ms(&t, 200);
    http_test_run(&t);
    assert_null(t.cm);
    assert_int_equal(http_test_stat(&t, CM_CX_DELAYED_CLOSE_TIMEOUT), 1);
    assert_int_equal(http_test_stat(&t, CM_CX_DESTROY_LOCAL), 1);
    http_test_done(&t);
}

static void test_client_goes(void **state)
{
    start();
    t.answers_at_once = false;
    http_test_send(&t, GET);
    http_test_close_client(&t);
    assert_null(t.cm);
    assert_int_equal(t.terminal.destroyed, 1);
    assert_string_equal(http_test_access_log(&t), "0 DC downstream_remote_disconnect 0/0");
    assert_int_equal(http_test_stat(&t, CM_CX_DESTROY_REMOTE_ACTIVE_RQ), 1);
    assert_int_equal(http_test_stat(&t, CM_CX_DESTROY_ACTIVE_RQ), 1);
    assert_int_equal(http_test_stat(&t, CM_RQ_RX_RESET), 1);
    assert_int_equal(http_test_stat(&t, CM_RQ_ACTIVE), 0);
    http_test_done(&t);
}

static void test_upstream_reset(void **state)
{
    start();
    t.answers_at_once = false;
    http_test_send(&t, GET);
    http_test_respond(&t, "200", "begun", false);
    http_filter_reset_stream(t.terminal.filter, FLAG_UPSTREAM_CONNECTION_TERMINATION,
                             STR("upstream_reset_after_response_started"));
    check_has(http_test_receive(&t), "begun");
    assert_true(t.is_client_eof);
    assert_string_equal(http_test_access_log(&t),
                        "200 UC upstream_reset_after_response_started 0/5");
    assert_int_equal(http_test_stat(&t, CM_RQ_TX_RESET), 1);
    http_test_done(&t);
}

/* --- deadlines ------------------------------------------------------------------------------ */

static void test_head_timeout(void **state)
{
    const char *out;

    start();
    http_test_send(&t, "GET / HTTP/1.1\r\nhost: ");
    http_test_pass_ms(&t, 9000);
    assert_string_equal(http_test_receive(&t), "");
    http_test_pass_ms(&t, 10010);
    out = http_test_receive(&t);
    check_starts(out, "HTTP/1.1 408 Request Timeout\r\ncontent-length: 22\r\n");
    check_has(out, "connection: close\r\n");
    check_has(out, "request header timeout");
    assert_string_equal(http_test_access_log(&t), "408 - request_header_timeout 0/22");
    assert_int_equal(http_test_stat(&t, CM_RQ_HEADER_TIMEOUT), 1);
    http_test_done(&t);
}

static void test_stream_idle_timeout(void **state)
{
    const char *out;

    setup();
    t.config.stream_idle_timeout_ms = 500;
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    http_test_pass_ms(&t, 510);
    out = http_test_receive(&t);
    check_starts(out, "HTTP/1.1 504 Gateway Timeout\r\n");
    check_has(out, "stream timeout");
    check_has_not(out, "connection: close");
    assert_string_equal(http_test_access_log(&t), "504 SI stream_idle_timeout 0/14");
    /* Incomplete: the client is to blame, and the connection is of no more use. */
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\na");
    http_test_pass_ms(&t, 510);
    out = http_test_receive(&t);
    check_starts(out, "HTTP/1.1 408 Request Timeout\r\n");
    check_has(out, "connection: close");
    assert_int_equal(http_test_stat(&t, CM_RQ_IDLE_TIMEOUT), 2);
    http_test_done(&t);
}

static void test_stream_idle_after_response_began(void **state)
{
    setup();
    t.config.stream_idle_timeout_ms = 500;
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    http_test_respond(&t, "200", "begun", false);
    http_test_pass_ms(&t, 510);
    check_has(http_test_receive(&t), "begun");
    assert_true(t.is_client_eof);
    assert_string_equal(http_test_access_log(&t), "200 SI stream_idle_timeout 0/5");
    http_test_done(&t);
}

static void test_route_idle_timeout(void **state)
{
    const struct route routes[] = {
        {.path_kind = PATH_MATCH_PREFIX,
         .case_sensitive = true,
         .path = STR("/fast"),
         .action = ROUTE_FORWARD,
         .forward = {.idle_timeout = {true, 100}}},
        {.path_kind = PATH_MATCH_PREFIX,
         .case_sensitive = true,
         .path = STR("/never"),
         .action = ROUTE_FORWARD,
         .forward = {.idle_timeout = {true, 0}}},
    };

    setup();
    t.config.stream_idle_timeout_ms = 500;
    http_test_set_routes(&t, routes, 2);
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, "GET /fast HTTP/1.1\r\nhost: h\r\n\r\n");
    http_test_pass_ms(&t, 110);
    check_starts(http_test_receive(&t), "HTTP/1.1 504");
    http_test_send(&t, "GET /never HTTP/1.1\r\nhost: h\r\n\r\n");
    http_test_pass_ms(&t, 600);
    assert_string_equal(http_test_receive(&t), "");
    http_test_done(&t);
}

static void test_request_and_duration_timeouts(void **state)
{
    setup();
    t.config.request_timeout_ms = 300;
    t.config.max_stream_duration_ms = 900;
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\na");
    http_test_pass_ms(&t, 310);
    check_starts(http_test_receive(&t), "HTTP/1.1 408 Request Timeout\r\ncontent-length: 15\r\n");
    assert_string_equal(http_test_access_log(&t), "408 - request_overall_timeout 1/15");
    http_test_close_client(&t);
    http_test_connect(&t);
    http_test_send(&t, GET);
    http_test_pass_ms(&t, 310); /* the request is complete: its timeout is over */
    assert_string_equal(http_test_receive(&t), "");
    http_test_pass_ms(&t, 910);
    check_starts(http_test_receive(&t), "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 27\r\n");
    assert_string_equal(http_test_access_log(&t), "504 - max_duration_timeout 0/27");
    http_test_done(&t);
}

static void test_connection_idle_timeout(void **state)
{
    setup();
    t.config.idle_timeout_ms = 1000;
    http_test_connect(&t);
    http_test_pass_ms(&t, 1010); /* nothing was ever sent: closed at once */
    http_test_run(&t);
    assert_null(t.cm);
    http_test_close_client(&t);
    http_test_connect(&t);
    (void)http_test_exchange(&t, GET);
    http_test_pass_ms(&t, 1010);
    http_test_run(&t);
    assert_non_null(t.cm); /* drains: a request that is on its way is still answered */
    assert_int_equal(http_test_stat(&t, CM_CX_IDLE_TIMEOUT), 2);
    check_has(http_test_exchange(&t, GET), "connection: close\r\n");
    assert_true(t.is_client_eof);
    http_test_close_client(&t);
    http_test_connect(&t);
    (void)http_test_exchange(&t, GET);
    http_test_pass_ms(&t, 1010);
    http_test_pass_ms(&t, 5010);
    (void)http_test_receive(&t);
    assert_true(t.is_client_eof);
    http_test_done(&t);
}

static void test_max_connection_duration(void **state)
{
    setup();
    t.config.max_connection_duration_ms = 2000;
    http_test_connect(&t);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    http_test_pass_ms(&t, 2010);
    assert_int_equal(http_test_stat(&t, CM_CX_MAX_DURATION_REACHED), 1);
    http_test_respond(&t, "200", "ok", true);
    check_has(http_test_receive(&t), "connection: close\r\n");
    assert_true(t.is_client_eof);
    http_test_done(&t);
}

static void test_max_requests_per_connection(void **state)
{
    setup();
    t.config.max_requests_per_connection = 2;
    http_test_connect(&t);
    check_has_not(http_test_exchange(&t, GET), "connection: close\r\n");
    check_has(http_test_exchange(&t, GET), "connection: close\r\n");
    assert_true(t.is_client_eof);
    assert_int_equal(http_test_stat(&t, CM_CX_MAX_REQUESTS_REACHED), 1);
    http_test_done(&t);
}

/* The timer wheel is left alone by requests, whatever deadlines they move. */
static void test_requests_do_not_touch_the_wheel(void **state)
{
    uint64_t filed_ms;

    start();
    (void)http_test_exchange(&t, GET);
    filed_ms = t.cm->timer.filed_ms;
    for (int i = 0; i < 5; i++) {
        (void)http_test_exchange(&t, GET);
        assert_int_equal(t.cm->timer.filed_ms, filed_ms);
    }
    http_test_done(&t);
}

/* --- draining ------------------------------------------------------------------------------- */

static void test_drain(void **state)
{
    start();
    t.answers_at_once = false;
    http_test_send(&t, GET);
    t.thread.drain.is_ending = true;
    conn_manager_on_drain(t.cm);
    http_test_respond(&t, "200", "ok", true);
    check_has(http_test_receive(&t), "connection: close\r\n");
    assert_true(t.is_client_eof);
    assert_int_equal(http_test_stat(&t, CM_CX_DRAIN_CLOSE), 1);
    http_test_done(&t);
}

static void test_drain_spares_idle_connections(void **state)
{
    start();
    (void)http_test_exchange(&t, GET);
    t.thread.drain.is_ending = true;
    conn_manager_on_drain(t.cm);
    http_test_pass_ms(&t, 60000);
    http_test_run(&t);
    assert_non_null(t.cm);
    check_has(http_test_exchange(&t, GET), "connection: close\r\n");
    assert_true(t.is_client_eof);
    http_test_done(&t);
}

/* --- backpressure --------------------------------------------------------------------------- */

static void test_slow_client_pauses_the_upstream(void **state)
{
    static char big[200 * 1024 + 1];
    size_t got;

    memset(big, 'x', sizeof(big) - 1);
    start();
    conn_set_watermark(t.conn, 32 * 1024);
    t.answers_at_once = false;
    http_test_send(&t, GET);
    http_test_respond(&t, "200", "", false);
    for (int i = 0; i < 4; i++) {
        http_test_respond_data(&t, big, false);
    }
    assert_non_null(strstr(http_test_log(&t), "t.above"));
    got = strlen(http_test_receive(&t));
    for (int i = 0; i < 50 && got < 4 * (sizeof(big) - 1); i++) {
        got += strlen(http_test_receive(&t));
    }
    assert_non_null(strstr(http_test_log(&t), "t.below"));
    http_test_respond_data(&t, "", true);
    check_has(http_test_receive(&t), "0\r\n\r\n");
    http_test_done(&t);
}

/* --- headers -------------------------------------------------------------------------------- */

static void test_server_header(void **state)
{
    static const enum server_header_transformation ways[] = {
        SERVER_OVERWRITE, SERVER_APPEND_IF_ABSENT, SERVER_PASS_THROUGH};
    static const char *const without[] = {"server: me\r\n", "server: me\r\n", NULL};

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const char *out;

        setup();
        t.config.server_name = STR("me");
        t.config.server_header = ways[i];
        http_test_connect(&t);
        out = http_test_exchange(&t, GET);
        if (without[i] != NULL) {
            check_has(out, without[i]);
        } else {
            check_has_not(out, "server:");
        }
        http_test_done(&t);
    }
}

static void test_request_id_in_response(void **state)
{
    setup();
    t.config.generate_request_id = true;
    t.config.always_set_request_id_in_response = true;
    http_test_connect(&t);
    check_has(http_test_exchange(&t, "GET / HTTP/1.1\r\nhost: h\r\nx-request-id: mine\r\n\r\n"),
              "x-request-id: mine\r\n");
    http_test_done(&t);
}

static void test_idle_connection_is_small(void **state)
{
    assert_true(sizeof(struct conn_manager) <= 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_connection_close),
        cmocka_unit_test(test_http10),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_protocol_error),
        cmocka_unit_test(test_protocol_error_in_body),
        cmocka_unit_test(test_no_route_table),
        cmocka_unit_test(test_route_table_slot),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_grpc_local_reply),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_early_response),
        cmocka_unit_test(test_delayed_close),
        cmocka_unit_test(test_client_goes),
        cmocka_unit_test(test_upstream_reset),
        cmocka_unit_test(test_head_timeout),
        cmocka_unit_test(test_stream_idle_timeout),
        cmocka_unit_test(test_stream_idle_after_response_began),
        cmocka_unit_test(test_route_idle_timeout),
        cmocka_unit_test(test_request_and_duration_timeouts),
        cmocka_unit_test(test_connection_idle_timeout),
        cmocka_unit_test(test_max_connection_duration),
        cmocka_unit_test(test_max_requests_per_connection),
        cmocka_unit_test(test_requests_do_not_touch_the_wheel),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_spares_idle_connections),
        cmocka_unit_test(test_slow_client_pauses_the_upstream),
        cmocka_unit_test(test_server_header),
        cmocka_unit_test(test_request_id_in_response),
        cmocka_unit_test(test_idle_connection_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
