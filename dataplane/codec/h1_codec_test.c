/* The HTTP/1 codecs: what they tell, what they write, when a connection may go on. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/codec/h1_testing.h"

#define GET_A "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define LOG_A "H :method=GET; :authority=h; :path=/a;.\n"
#define POST_5 "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
#define LOG_5 "H :method=POST; :authority=h; :path=/p; content-length=5;\n"
#define POST_C "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LOG_C "H :method=POST; :authority=h; :path=/p; transfer-encoding=chunked;\n"

static const struct codec_limits limits = {.max_headers_bytes = 8192, .max_headers_count = 20};

static struct h1_tester t;

static void server(bool answers)
{
    h1_tester_init(&t, true, &limits);
    t.answers = answers;
    t.answers_errors = true;
}

static void client(const char *method)
{
    h1_tester_init(&t, false, &limits);
    h1_request(&t, method);
    buf_drain(&t.out, buf_len(&t.out));
}

static int feed(const char *text)
{
    return h1_feed(&t, text, strlen(text), false);
}

static int tear_down(void **state)
{
    h1_tester_done(&t);
    return 0;
}

/* What was told since the last call. */
static void assert_log(const char *want)
{
    assert_string_equal(t.log.ptr != NULL ? t.log.ptr : "", want);
    strbuf_reset(&t.log);
    t.is_in_data = false;
}

/* What was written since the last call. */
static void assert_out(const char *want)
{
    char got[4096];
    size_t len = buf_copy_out(&t.out, 0, got, sizeof(got) - 1);

    got[len] = '\0';
    assert_string_equal(got, want);
    buf_drain(&t.out, buf_len(&t.out));
}

static struct header_map *map_with(const char *status)
{
    static struct header_map m;

    header_map_init(&m, &t.arena);
    header_add(&m, HDR_STATUS, str_c(status));
    return &m;
}

static void send_data(const char *text, bool end_stream)
{
    struct buf b;

    buf_init(&b, &t.pool);
    buf_add_str(&b, str_c(text));
    t.stream->ops->encode_data(t.stream, &b, end_stream);
    assert_int_equal(buf_len(&b), 0);
}

/* --- Server ----------------------------------------------------------------------------------- */

static void requests_are_answered_in_turn(void **state)
{
    server(true);
    assert_int_equal(feed(GET_A POST_5 "hello" GET_A), 0);
    assert_log(LOG_A "X\n" LOG_5 "D hello\n.\nX\n" LOG_A "X\n");
    assert_int_equal(t.streams, 3);
    assert_out("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
               "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
               "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_false(t.codec->ops->should_close(t.codec));
    assert_int_equal(t.read_disables, 0);
}

static void a_pipelined_request_waits_and_stops_reading(void **state)
{
    server(false);
    assert_int_equal(feed(GET_A), 0);
    assert_int_equal(t.read_disables, 0);
    assert_int_equal(feed(GET_A), 0);
    assert_int_equal(t.read_disables, 1);
    assert_int_equal(t.streams, 1);
    assert_int_equal(buf_len(&t.in), strlen(GET_A));
    h1_reply(&t, "200", true);
    assert_int_equal(t.read_disables, 0);
    assert_int_equal(h1_feed(&t, "", 0, false), 0);
    assert_int_equal(t.streams, 2);
    assert_int_equal(buf_len(&t.in), 0);
}

/* Streams are freed between the pieces. */
static void many_requests_that_come_at_once_are_read_in_pieces(void **state)
{
    struct strbuf many;

    strbuf_init(&many);
    for (int i = 0; i < 100; i++) {
        strbuf_add_c(&many, GET_A);
    }
    server(true);
    assert_int_equal(h1_feed(&t, many.ptr, many.len, false), 0);
    assert_int_equal(t.streams, 100);
    assert_int_equal(t.pieces, 3);
    assert_int_equal(buf_len(&t.in), 0);
    assert_int_equal(t.read_disables, 0);
    strbuf_done(&many);
}

static void no_new_request_while_output_is_above_its_watermark(void **state)
{
    server(true);
    t.codec->ops->on_watermark(t.codec, true);
    assert_int_equal(feed(GET_A), 0);
    assert_int_equal(t.streams, 0);
    assert_int_equal(t.read_disables, 1);
    t.codec->ops->on_watermark(t.codec, false);
    assert_int_equal(t.read_disables, 0);
    assert_int_equal(h1_feed(&t, "", 0, false), 0);
    assert_int_equal(t.streams, 1);
}

static void empty_lines_between_requests_are_passed_over(void **state)
{
    server(true);
    assert_int_equal(feed("\r\n\r"), 0);
    assert_int_equal(t.streams, 0);
    assert_int_equal(feed("\n" GET_A), 0);
    assert_log(LOG_A "X\n");
    assert_int_equal(feed("\n" GET_A), E_PROTOCOL); /* a bare LF is none */
}

static void chunks_and_dropped_trailers(void **state)
{
    server(true);
    assert_int_equal(feed(POST_C "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nX-T: z\r\n\r\n" GET_A), 0);
    assert_log(LOG_C "D hello!\n.\nX\n" LOG_A "X\n");
}

static void trailers_when_enabled(void **state)
{
    const struct http1_options o = {.enable_trailers = true};
    struct codec_limits l = limits;

    l.http1 = &o;
    h1_tester_init(&t, true, &l);
    assert_int_equal(feed(POST_C "5\r\nhello\r\n0\r\nX-T: z\r\n\r\n"), 0);
    assert_log(LOG_C "D hello\nT x-t=z;.\n");
    t.stream->ops->encode_headers(t.stream, map_with("200"), false);
    send_data("body", false);
    header_map_init(&t.headers, &t.arena);
    header_add_name(&t.headers, STR("x-r"), STR("1"));
    t.stream->ops->encode_trailers(t.stream, &t.headers);
    assert_out("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n"
               "0\r\nx-r: 1\r\n\r\n");
    assert_log("X\n");
}

static void body_framing_of_responses(void **state)
{
    server(false);
    assert_int_equal(feed(GET_A), 0);
    t.stream->ops->encode_headers(t.stream, map_with("200"), false);
    send_data("0123456789abcdef0", false);
    send_data("", false);
    send_data("z", true);
    assert_out("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11\r\n0123456789abcdef0\r\n"
               "1\r\nz\r\n0\r\n\r\n");
    assert_int_equal(feed(GET_A), 0);
    t.stream->ops->encode_headers(t.stream, map_with("404"), true);
    assert_out("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(feed(GET_A), 0);
    t.stream->ops->encode_headers(t.stream, map_with("204"), true);
    assert_out("HTTP/1.1 204 No Content\r\n\r\n");
    assert_int_equal(feed(GET_A), 0);
    t.stream->ops->encode_headers(t.stream, map_with("304"), true);
    assert_out("HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_int_equal(feed(GET_A), 0);
    t.stream->ops->encode_headers(t.stream, map_with("598"), true);
    assert_out("HTTP/1.1 598 Unknown\r\ncontent-length: 0\r\n\r\n");
    assert_false(t.codec->ops->should_close(t.codec));
}

static void responses_to_head_have_no_body(void **state)
{
    server(true);
    assert_int_equal(feed("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_out("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    t.answers = false;
    assert_int_equal(feed("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    t.stream->ops->encode_headers(t.stream, map_with("200"), true);
    assert_out("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_false(t.codec->ops->should_close(t.codec));
}

static void continue_and_other_informational_responses(void **state)
{
    server(false);
    assert_int_equal(feed(POST_5), 0);
    t.stream->ops->encode_1xx(t.stream, map_with("100"));
    assert_out("HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(feed("hello"), 0);
    h1_reply(&t, "200", true);
    assert_log(LOG_5 "D hello\n.\nX\n");
    assert_false(t.codec->ops->should_close(t.codec));
}

static void connection_close_is_obeyed(void **state)
{
    server(true);
    assert_int_equal(feed("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET_A), 0);
    assert_out("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert_true(t.codec->ops->should_close(t.codec));
    assert_int_equal(t.streams, 1);
    assert_int_equal(buf_len(&t.in), 0); /* what follows is never looked at */
}

static void the_response_may_close(void **state)
{
    struct header_map *m;

    server(false);
    assert_int_equal(feed(GET_A), 0);
    m = map_with("200");
    header_add(m, HDR_CONNECTION, STR("foo, Close"));
    t.stream->ops->encode_headers(t.stream, m, true);
    assert_out("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_true(t.codec->ops->should_close(t.codec));
}

static void draining_closes_after_the_next_response(void **state)
{
    server(true);
    t.codec->ops->drain(t.codec);
    assert_false(t.codec->ops->should_close(t.codec));
    assert_int_equal(feed(GET_A), 0);
    assert_out("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert_true(t.codec->ops->should_close(t.codec));
}

static void a_response_that_overtakes_its_request_closes(void **state)
{
    server(false);
    assert_int_equal(feed(POST_5 "he"), 0);
    h1_reply(&t, "413", true);
    assert_out(
        "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert_true(t.codec->ops->should_close(t.codec));
    assert_log(LOG_5 "D he\nX\n");
    assert_int_equal(feed("llo" GET_A), 0);
    assert_log("");
}

static void a_body_that_breaks_its_promise_closes(void **state)
{
    struct header_map *m;

    server(false);
    assert_int_equal(feed(GET_A), 0);
    m = map_with("200");
    header_add(m, HDR_CONTENT_LENGTH, STR("5"));
    t.stream->ops->encode_headers(t.stream, m, false);
    send_data("too long", false);
    send_data("", true);
    assert_out("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntoo l");
    assert_true(t.codec->ops->should_close(t.codec));
    assert_int_equal(tear_down(NULL), 0);
    server(false);
    assert_int_equal(feed(GET_A), 0);
    m = map_with("200");
    header_add(m, HDR_CONTENT_LENGTH, STR("5"));
    t.stream->ops->encode_headers(t.stream, m, false);
    send_data("shor", true);
    assert_true(t.codec->ops->should_close(t.codec));
}

static void errors_are_answered_and_close(void **state)
{
    server(true);
    assert_int_equal(feed(GET_A "GET / HTTP/1.1\r\nX y\r\n" GET_A), E_PROTOCOL);
    assert_log(LOG_A "X\nE 400\nX\n");
    assert_out("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
               "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_true(t.codec->ops->should_close(t.codec));
    assert_int_equal(feed(GET_A), 0);
    assert_log("");
}

static void an_error_in_the_body_comes_after_what_was_good(void **state)
{
    server(true);
    assert_int_equal(feed(POST_C "5\r\nhello\r\nxyz"), E_PROTOCOL);
    assert_log(LOG_C "D hello\nE 400\nX\n");
}

static void a_refused_stream_ends_the_connection(void **state)
{
    server(true);
    t.refuses = true;
    assert_int_equal(feed(GET_A), E_CLOSED);
    assert_true(t.codec->ops->should_close(t.codec));
    assert_int_equal(feed(GET_A), 0);
    assert_log("");
}

static void names_go_out_like_this(void **state)
{
    const struct http1_options o = {.header_key_format = HEADER_KEY_PROPER};
    struct codec_limits l = limits;
    struct header_map *m;

    l.http1 = &o;
    h1_tester_init(&t, true, &l);
    assert_int_equal(feed("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), 0);
    m = map_with("200");
    header_add_name(m, STR("x-envoy-some2b"), STR("a-b"));
    t.stream->ops->encode_1xx(t.stream, m);
    t.stream->ops->encode_headers(t.stream, m, false);
    send_data("body", true);
    assert_out("HTTP/1.1 200 OK\r\nX-Envoy-Some2b: a-b\r\n\r\n"
               "HTTP/1.1 200 OK\r\nX-Envoy-Some2b: a-b\r\nConnection: close\r\n"
               "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
}

/* What a client sent goes on to a server, and the other way, as it was spelled. */
static void spelling_and_reason_go_through(void **state)
{
    const struct http1_options o = {
        .header_key_format = HEADER_KEY_PRESERVED,
        .header_case = {.forwards_reason_phrase = true},
    };
    struct codec_limits l = limits;
    static const char request[] =
        "POST / HTTP/1.1\r\nHoSt: h\r\nx-ONE: 1\r\nX-one: 2\r\nContent-length: 0\r\n\r\n";
    struct h1_tester peer;
    char got[512] = {0};

    l.http1 = &o;
    h1_tester_init(&peer, true, &l);
    assert_int_equal(h1_feed(&peer, request, sizeof(request) - 1, false), 0);
    h1_tester_init(&t, false, &l);
    header_map_init(&t.headers, &t.arena);
    t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &t.headers);
    header_add_name(&peer.headers, STR("x-new"), STR("3"));
    t.stream->ops->encode_headers(t.stream, &peer.headers, true);
    assert_out("POST / HTTP/1.1\r\nHoSt: h\r\nx-ONE: 1\r\nx-ONE: 2\r\nContent-length: 0\r\n"
               "x-new: 3\r\n\r\n");
    assert_int_equal(feed("HTTP/1.1 200 All Fine\r\nX-A: 1\r\ncontent-LENGTH: 0\r\n\r\n"), 0);
    peer.stream->ops->encode_headers(peer.stream, &t.headers, true);
    buf_copy_out(&peer.out, 0, got, sizeof(got) - 1);
    assert_string_equal(got, "HTTP/1.1 200 All Fine\r\nX-A: 1\r\ncontent-LENGTH: 0\r\n\r\n");
    h1_tester_done(&peer);
}

static void a_request_may_name_its_whole_url(void **state)
{
    const struct http1_options o = {.send_fully_qualified_url = true};
    struct codec_limits l = limits;
    struct header_map m;

    l.http1 = &o;
    h1_tester_init(&t, false, &l);
    header_map_init(&t.headers, &t.arena);
    t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &t.headers);
    header_map_init(&m, &t.arena);
    header_add(&m, HDR_METHOD, STR("GET"));
    header_add(&m, HDR_PATH, STR("/p?q"));
    header_add(&m, HDR_AUTHORITY, STR("h:81"));
    header_add(&m, HDR_SCHEME, STR("https"));
    t.stream->ops->encode_headers(t.stream, &m, true);
    assert_out("GET https://h:81/p?q HTTP/1.1\r\nhost: h:81\r\n\r\n");
}

static void http_10_closes_unless_asked_not_to(void **state)
{
    const struct http1_options o = {.accept_http_10 = true};
    struct codec_limits l = limits;

    l.http1 = &o;
    h1_tester_init(&t, true, &l);
    t.answers = true;
    assert_int_equal(feed("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"), 0);
    assert_out("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok");
    assert_false(t.codec->ops->should_close(t.codec));
    t.answers = false;
    assert_int_equal(feed("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"), 0);
    t.stream->ops->encode_1xx(t.stream, map_with("103"));
    t.stream->ops->encode_headers(t.stream, map_with("200"), false);
    send_data("body", true);
    assert_out("HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nbody");
    assert_true(t.codec->ops->should_close(t.codec));
}

static void an_older_version_is_told_so_in_our_own(void **state)
{
    server(true);
    assert_int_equal(feed("GET /a HTTP/1.0\r\nHost: h\r\n\r\n"), E_PROTOCOL);
    assert_log("E 426\nX\n");
    assert_out("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
}

static void an_upgrade_request_is_the_last(void **state)
{
    server(true);
    assert_int_equal(feed("GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
                          "Upgrade: websocket\r\n\r\n" GET_A),
                     0);
    assert_int_equal(t.streams, 1);
    assert_true(t.codec->ops->should_close(t.codec));
}

static void a_stream_that_stops_reading_gets_no_data(void **state)
{
    server(false);
    assert_int_equal(feed(POST_5), 0);
    t.stream->ops->read_disable(t.stream, true);
    t.stream->ops->read_disable(t.stream, true);
    assert_int_equal(t.read_disables, 2);
    assert_int_equal(feed("hel"), 0);
    assert_log(LOG_5);
    t.stream->ops->read_disable(t.stream, false);
    assert_int_equal(feed("lo"), 0);
    assert_log("");
    t.stream->ops->read_disable(t.stream, false);
    assert_int_equal(h1_feed(&t, "", 0, false), 0);
    assert_log("D hello\n.\n");
    t.stream->ops->read_disable(t.stream, true);
    h1_reply(&t, "200", true);
    assert_int_equal(t.read_disables, 0); /* undone with the stream */
}

static void fin_and_loss_of_the_connection(void **state)
{
    server(false);
    assert_int_equal(h1_feed(&t, "", 0, true), 0);
    assert_int_equal(h1_feed(&t, "GET", 3, true), E_CLOSED);
    t.codec->ops->connection_closed(t.codec, RESET_CONNECTION_TERMINATION);
    assert_log("R connection termination\nX\n");
}

static void counts_of_bytes(void **state)
{
    server(false);
    assert_int_equal(feed(POST_5 "he"), 0);
    assert_int_equal(feed("llo"), 0);
    assert_int_equal(t.stream->header_bytes_in, strlen("Host:h\r\nContent-Length:5\r\n"));
    assert_int_equal(t.stream->wire_bytes_in, strlen(POST_5) + 5);
    t.stream->ops->encode_headers(t.stream, map_with("200"), false);
    assert_int_equal(t.stream->header_bytes_out,
                     buf_len(&t.out) - strlen("HTTP/1.1 200 OK\r\n\r\n"));
    send_data("body", false);
    assert_int_equal(t.stream->wire_bytes_out, buf_len(&t.out));
}

static void untouched_lines_are_copied_as_they_stand(void **state)
{
    struct header_map m;

    h1_tester_init(&t, false, &limits);
    {
        struct h1_tester s;
        struct str in = STR("GET /a HTTP/1.1\r\nA: 1\r\nB: 2\r\nHost: h\r\nC: 3\r\nD:4\r\nE: 5\r\n"
                            "F: 6\r\nAccept: 7\r\n\r\n");

        h1_tester_init(&s, true, &limits);
        assert_int_equal(h1_feed(&s, in.ptr, in.len, false), 0);
        header_set_name(&s.headers, STR("e"), STR("changed"));
        (void)header_remove_name(&s.headers, STR("b"));
        header_find(&s.headers, HDR_ACCEPT)->value.len = 0; /* shortened in place */
        t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &m);
        t.stream->ops->encode_headers(t.stream, &s.headers, true);
        h1_tester_done(&s);
    }
    assert_out("GET /a HTTP/1.1\r\nhost: h\r\na: 1\r\nc: 3\r\nd: 4\r\ne: changed\r\nf: 6\r\n"
               "accept: \r\n\r\n");
}

static void heads_larger_than_a_block(void **state)
{
    char *value = NULL;
    struct header_map *m;
    char first[16];

    server(false);
    assert_int_equal(feed(GET_A), 0);
    m = map_with("200");
    value = arena_alloc(&t.arena, 40000);
    memset(value, 'v', 40000);
    header_add_name(m, STR("x"), str_n(value, 40000));
    t.stream->ops->encode_headers(t.stream, m, true);
    assert_int_equal(buf_len(&t.out), 17 + 3 + 40000 + 2 + 19 + 2);
    (void)buf_copy_out(&t.out, 0, first, sizeof(first));
    assert_memory_equal(first, "HTTP/1.1 200 OK", 15);
}

/* --- Client ----------------------------------------------------------------------------------- */

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define LOG_2 "H :status=200; content-length=2;\nD ok\n.\nX\n"

static void a_request_and_its_response(void **state)
{
    h1_tester_init(&t, false, &limits);
    h1_request(&t, "GET");
    assert_out("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_false(t.codec->ops->is_reusable(t.codec));
    assert_int_equal(feed(OK_2), 0);
    assert_log(LOG_2);
    assert_true(t.codec->ops->is_reusable(t.codec));
    h1_request(&t, "POST");
    assert_out("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(feed("HTTP/1.1 204 No Content\r\n\r\n"), 0);
    assert_log("H :status=204;.\nX\n");
    assert_true(t.codec->ops->is_reusable(t.codec));
}

static void request_bodies(void **state)
{
    struct header_map m;

    h1_tester_init(&t, false, &limits);
    header_map_init(&m, &t.arena);
    header_add(&m, HDR_METHOD, STR("POST"));
    header_add(&m, HDR_PATH, STR("/"));
    header_add(&m, HDR_AUTHORITY, STR("a"));
    t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &t.headers);
    t.stream->ops->encode_headers(t.stream, &m, false);
    send_data("ab", false);
    send_data("", true);
    assert_out(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
    assert_int_equal(feed(OK_2), 0);
    assert_true(t.codec->ops->is_reusable(t.codec));
    header_add(&m, HDR_CONTENT_LENGTH, STR("2"));
    t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &t.headers);
    t.stream->ops->encode_headers(t.stream, &m, false);
    send_data("abc", true);
    assert_out("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n");
    assert_int_equal(feed(OK_2), 0);
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void bytes_beyond_the_response_end_reuse(void **state)
{
    client("GET");
    assert_int_equal(feed(OK_2 "EXTRA"), E_PROTOCOL);
    assert_log(LOG_2);
    assert_false(t.codec->ops->is_reusable(t.codec));
    assert_int_equal(tear_down(NULL), 0);
    client("HEAD");
    assert_int_equal(feed(OK_2), E_PROTOCOL); /* the body that HEAD must not have */
    assert_log("H :status=200; content-length=2;.\nX\n");
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void what_a_response_says_about_reuse(void **state)
{
    static const struct {
        const char *response;
        bool is_reusable;
    } cases[] = {
        {OK_2, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nProxy-Connection: close\r\n\r\nok", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", true},
    };

    h1_tester_init(&t, false, &limits);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (i > 0) {
            assert_int_equal(tear_down(NULL), 0);
            h1_tester_init(&t, false, &limits);
        }
        h1_request(&t, "GET");
        assert_int_equal(feed(cases[i].response), 0);
        assert_null(t.stream);
        assert_int_equal(t.codec->ops->is_reusable(t.codec), cases[i].is_reusable);
    }
}

static void informational_responses(void **state)
{
    client("GET");
    assert_int_equal(feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                          "HTTP/1.1 150 X\r\n\r\n" OK_2),
                     0);
    assert_log("1 :status=100;\n1 :status=103; link=x;\n" LOG_2);
    assert_true(t.codec->ops->is_reusable(t.codec));
}

static void informational_responses_have_a_bound(void **state)
{
    int r = 0;
    int n = 0;

    client("GET");
    while (r == 0) {
        r = feed("HTTP/1.1 100 Continue\r\n\r\n");
        assert_true(n++ < 100);
    }
    assert_int_equal(r, E_PROTOCOL);
}

static void switching_protocols_unasked_is_an_error(void **state)
{
    client("GET");
    assert_int_equal(feed("HTTP/1.1 101 Switching Protocols\r\n\r\n"), E_PROTOCOL);
    assert_log("R protocol error\nX\n");
}

static void garbage_is_a_protocol_error(void **state)
{
    client("GET");
    assert_int_equal(feed("garbage"), E_PROTOCOL);
    assert_log("R protocol error\nX\n");
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void bad_chunks_after_good_ones(void **state)
{
    client("GET");
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz"),
                     E_PROTOCOL);
    assert_log("H :status=200; transfer-encoding=chunked;\nD ok\nR protocol error\nX\n");
}

static void fin_ends_a_body_that_nothing_else_delimits(void **state)
{
    client("GET");
    assert_int_equal(feed("HTTP/1.1 200 OK\r\n\r\nab"), 0);
    assert_int_equal(h1_feed(&t, "cd", 2, true), 0);
    assert_log("H :status=200;\nD abcd\n.\nX\n");
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void fin_in_the_middle(void **state)
{
    client("GET");
    assert_int_equal(h1_feed(&t, "", 0, true), E_CLOSED);
    t.codec->ops->connection_closed(t.codec, RESET_CONNECTION_TERMINATION);
    assert_log("R connection termination\nX\n");
    assert_int_equal(tear_down(NULL), 0);
    client("GET");
    assert_int_equal(h1_feed(&t, "HTTP/1.1 20", 11, true), E_PROTOCOL);
    assert_log("R protocol error\nX\n");
    assert_int_equal(tear_down(NULL), 0);
    client("GET");
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"), 0);
    assert_int_equal(h1_feed(&t, "", 0, true), E_PROTOCOL);
    assert_log("H :status=200; content-length=5;\nD ok\nR protocol error\nX\n");
}

static void ask_for_tunnel(bool end_stream)
{
    struct header_map m;

    h1_tester_init(&t, false, &limits);
    header_map_init(&m, &t.arena);
    header_add(&m, HDR_METHOD, STR("CONNECT"));
    header_add(&m, HDR_AUTHORITY, STR("a:1"));
    t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &t.headers);
    t.stream->ops->encode_headers(t.stream, &m, end_stream);
    assert_out("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n");
}

static void nothing_is_sent_before_a_tunnel_is_accepted(void **state)
{
    ask_for_tunnel(false);
    send_data("secret", true);
    assert_out("");
    assert_int_equal(feed("HTTP/1.1 200 OK\r\n\r\nhello"), 0);
    assert_out("secret");
    assert_log("W+\nU\nF\nW-\nH :status=200;\nD hello\n");
    assert_int_equal(h1_feed(&t, "", 0, true), 0);
    assert_log(".\nX\n");
}

static void a_tunnel_that_ends_with_its_head(void **state)
{
    ask_for_tunnel(true);
    assert_int_equal(feed("HTTP/1.1 200 OK\r\n\r\n"), 0);
    assert_out("");
    assert_log("U\nF\nH :status=200;\n");
}

static void a_refused_tunnel_sends_nothing(void **state)
{
    ask_for_tunnel(false);
    send_data("secret", false);
    assert_int_equal(feed("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"), 0);
    assert_out("");
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void bytes_without_a_request(void **state)
{
    h1_tester_init(&t, false, &limits);
    assert_int_equal(feed("H"), E_PROTOCOL);
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void a_response_before_its_request_is_complete(void **state)
{
    struct header_map m;

    h1_tester_init(&t, false, &limits);
    header_map_init(&m, &t.arena);
    header_add(&m, HDR_METHOD, STR("POST"));
    header_add(&m, HDR_PATH, STR("/"));
    header_add(&m, HDR_AUTHORITY, STR("a"));
    t.stream = t.codec->ops->new_stream(t.codec, &h1_stream_callbacks, &t, &t.arena, &t.headers);
    t.stream->ops->encode_headers(t.stream, &m, false);
    assert_int_equal(feed(OK_2), 0);
    assert_log(LOG_2);
    assert_false(t.codec->ops->is_reusable(t.codec));
}

static void a_reset_ends_reuse(void **state)
{
    client("GET");
    t.stream->ops->reset(t.stream, RESET_LOCAL);
    assert_log("X\n");
    assert_false(t.codec->ops->is_reusable(t.codec));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_teardown(f, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(requests_are_answered_in_turn),
        CASE(a_pipelined_request_waits_and_stops_reading),
        CASE(many_requests_that_come_at_once_are_read_in_pieces),
        CASE(no_new_request_while_output_is_above_its_watermark),
        CASE(empty_lines_between_requests_are_passed_over),
        CASE(chunks_and_dropped_trailers),
        CASE(trailers_when_enabled),
        CASE(body_framing_of_responses),
        CASE(responses_to_head_have_no_body),
        CASE(continue_and_other_informational_responses),
        CASE(connection_close_is_obeyed),
        CASE(the_response_may_close),
        CASE(draining_closes_after_the_next_response),
        CASE(a_response_that_overtakes_its_request_closes),
        CASE(a_body_that_breaks_its_promise_closes),
        CASE(errors_are_answered_and_close),
        CASE(an_error_in_the_body_comes_after_what_was_good),
        CASE(a_refused_stream_ends_the_connection),
        CASE(names_go_out_like_this),
        CASE(spelling_and_reason_go_through),
        CASE(a_request_may_name_its_whole_url),
        CASE(http_10_closes_unless_asked_not_to),
        CASE(an_older_version_is_told_so_in_our_own),
        CASE(an_upgrade_request_is_the_last),
        CASE(a_stream_that_stops_reading_gets_no_data),
        CASE(fin_and_loss_of_the_connection),
        CASE(counts_of_bytes),
        CASE(untouched_lines_are_copied_as_they_stand),
        CASE(heads_larger_than_a_block),
        CASE(a_request_and_its_response),
        CASE(request_bodies),
        CASE(bytes_beyond_the_response_end_reuse),
        CASE(what_a_response_says_about_reuse),
        CASE(informational_responses),
        CASE(informational_responses_have_a_bound),
        CASE(switching_protocols_unasked_is_an_error),
        CASE(garbage_is_a_protocol_error),
        CASE(bad_chunks_after_good_ones),
        CASE(fin_ends_a_body_that_nothing_else_delimits),
        CASE(fin_in_the_middle),
        CASE(nothing_is_sent_before_a_tunnel_is_accepted),
        CASE(a_tunnel_that_ends_with_its_head),
        CASE(a_refused_tunnel_sends_nothing),
        CASE(bytes_without_a_request),
        CASE(a_response_before_its_request_is_complete),
        CASE(a_reset_ends_reuse),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
