/* The HTTP/2 codecs, back to back: what they tell, what they hold back, how much they take. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/codec/h2_internal.h"
#include "dataplane/codec/h2_testing.h"

#define GET ":method=GET :scheme=http :authority=h :path=/a"
#define POST ":method=POST :scheme=http :authority=h :path=/p"

static struct h2_pair p;

static void start_with(const struct http2_options *options)
{
    h2_pair_init(&p, options);
    h2_pump(&p);
}

static int set_up(void **state)
{
    struct http2_options options = http2_options_defaults(true);

    options.allow_connect = true;
    start_with(&options);
    return 0;
}

static int tear_down(void **state)
{
    h2_pair_done(&p);
    return 0;
}

static void restart_with(const struct http2_options *options)
{
    h2_pair_done(&p);
    start_with(options);
}

static void assert_log(struct h2_side *side, const char *want)
{
    assert_string_equal(side->log.ptr != NULL ? side->log.ptr : "", want);
    strbuf_reset(&side->log);
}

static struct codec_stream *request(const char *head, bool end_stream)
{
    struct codec_stream *cs = h2_open(&p);

    cs->ops->encode_headers(cs, h2_map(&p, head), end_stream);
    return cs;
}

static void respond(const char *head, bool end_stream)
{
    struct codec_stream *cs = p.server.last;

    cs->ops->encode_headers(cs, h2_map(&p, head), end_stream);
}

/* Bytes straight to the server, as from a client that knows no rules. */
static void inject(const void *bytes, size_t len)
{
    struct buf b;

    buf_init(&b, &p.pool);
    buf_add(&b, bytes, len);
    if (!p.server.is_dead) {
        (void)p.server.codec->ops->dispatch(p.server.codec, &b, false); /* on_error says it */
    }
    buf_reset(&b);
}

static void inject_frame(uint8_t type, uint8_t flags, uint32_t id, const void *payload, uint8_t len)
{
    uint8_t frame[9 + 255] = {0, 0, len, type, flags, 0, 0, 0, (uint8_t)id};

    memcpy(frame + 9, payload, len);
    inject(frame, 9U + len);
}

/* --- messages --------------------------------------------------------------------------------- */

static void a_request_and_its_response(void **state)
{
    (void)request(GET " x-a=1", true);
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=GET; :scheme=http; :authority=h; :path=/a; x-a=1;.\n");
    respond(":status=200 content-type=t", false);
    h2_send_text(p.server.last, &p, "hello", true);
    assert_log(&p.server, "X1\n");
    h2_pump(&p);
    assert_log(&p.client, "H1 :status=200; content-type=t;\nD1 hello.\nX1\n");
}

static void bodies_and_trailers_both_ways(void **state)
{
    struct codec_stream *cs = request(POST, false);

    h2_send_text(cs, &p, "ping", false);
    cs->ops->encode_trailers(cs, h2_map(&p, "x-t=1"));
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=POST; :scheme=http; :authority=h; :path=/p;\nD1 ping\n"
                          "T1 x-t=1;\n");
    respond(":status=200", false);
    h2_send_text(p.server.last, &p, "pong", false);
    p.server.last->ops->encode_trailers(p.server.last, h2_map(&p, "grpc-status=0"));
    h2_pump(&p);
    assert_log(&p.client, "H1 :status=200;\nD1 pong\nT1 grpc-status=0;\nX1\n");
    assert_log(&p.server, "X1\n");
    assert_int_equal(h2_stat_value(&p, H2_TRAILERS), 1);
    assert_int_equal(h2_stat_value(&p, H2_STREAMS_ACTIVE), 0);
    assert_int_equal(h2_stat_value(&p, H2_PENDING_SEND_BYTES), 0);
}

static void informational_responses_come_first(void **state)
{
    (void)request(GET, true);
    h2_pump(&p);
    p.server.last->ops->encode_1xx(p.server.last, h2_map(&p, ":status=103 link=x"));
    p.server.last->ops->encode_1xx(p.server.last, h2_map(&p, ":status=103 link=y"));
    respond(":status=204", true);
    h2_pump(&p);
    assert_log(&p.client, "I1 :status=103; link=x;\nI1 :status=103; link=y;\nH1 :status=204;.\n"
                          "X1\n");
}

static void an_early_response_gives_the_request_up(void **state)
{
    struct codec_stream *cs = request(POST, false);

    h2_send_text(cs, &p, "half", false);
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=POST; :scheme=http; :authority=h; :path=/p;\nD1 half\n");
    respond(":status=413", true);
    assert_log(&p.server, "X1\n");
    h2_pump(&p);
    assert_log(&p.client, "H1 :status=413;.\nX1\n");
    (void)request(GET, true);
    h2_pump(&p);
    assert_log(&p.server, "H3 :method=GET; :scheme=http; :authority=h; :path=/a;.\n");
}

static void fields_of_one_connection_go_no_further(void **state)
{
    (void)request(GET " connection=close keep-alive=1 te=gzip proxy-connection=x te=trailers",
                  true);
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=GET; :scheme=http; :authority=h; :path=/a; te=trailers;.\n");
}

/* Bytes of the header table that the client's peer keeps for it. */
static size_t client_table_bytes(void)
{
    return nghttp2_session_get_hd_deflate_dynamic_table_size(
        h2_from_codec(p.client.codec)->session);
}

static void values_of_one_message_stay_out_of_the_table(void **state)
{
    size_t before;

    (void)request(GET " x-kept=1 x-request-id=first", true);
    before = client_table_bytes();
    (void)request(GET " x-kept=1 x-request-id=other", true);
    assert_int_equal(client_table_bytes(), before);
    (void)request(GET " x-kept=2 x-request-id=third", true);
    assert_int_equal(client_table_bytes(), before +
                                               strlen("x-kept"
                                                      "2") +
                                               32);
    h2_pump(&p);
}

static void cookie_crumbs_are_one_cookie(void **state)
{
    struct header_map *m = h2_map(&p, GET);
    struct codec_stream *cs = h2_open(&p);

    for (int i = 0; i < 90; i++) {
        header_add(m, HDR_COOKIE, arena_printf(&p.arena, "c%d=%d", i, i));
    }
    for (int i = 0; i < 15; i++) {
        header_add_name(m, arena_printf(&p.arena, "x-%d", i), STR("v"));
    }
    cs->ops->encode_headers(cs, m, true);
    h2_pump(&p);
    assert_int_equal(p.server.stream_count, 1);
    m = p.server.last->headers;
    assert_int_equal(m->count, 4 + 1 + 15);
    assert_true(str_starts(header_get(m, HDR_COOKIE), STR("c0=0; c1=1; c2=2; ")));
    assert_int_equal(str_find_char(header_get(m, HDR_COOKIE), ','), STR_NPOS);
}

static void host_is_authority(void **state)
{
    static const uint8_t head[] = {
        0x82, 0x86, 0x84,                                  /* GET, http, "/" */
        0x00, 4,    'h',  'o', 's', 't', 3, 'a', '.', 'b', /* host: a.b */
    };

    inject_frame(1 /* HEADERS */, 5, 1, head, sizeof(head));
    assert_log(&p.server, "H1 :method=GET; :scheme=http; :path=/; :authority=a.b;.\n");
}

/* --- ends ------------------------------------------------------------------------------------- */

static void resets_travel(void **state)
{
    struct codec_stream *cs = request(POST, false);

    h2_pump(&p);
    strbuf_reset(&p.server.log);
    cs->ops->reset(cs, RESET_LOCAL);
    assert_log(&p.client, "X1\n");
    h2_pump(&p);
    assert_log(&p.server, "R1 remote reset http2.remote_reset\nX1\n");
    (void)request(POST, false);
    h2_pump(&p);
    strbuf_reset(&p.server.log);
    p.server.last->ops->reset(p.server.last, RESET_CONNECT_ERROR);
    h2_pump(&p);
    assert_log(&p.server, "X3\n");
    assert_log(&p.client, "R3 remote error with CONNECT request http2.remote_reset\nX3\n");
}

static void a_refused_stream_says_so(void **state)
{
    p.server.refuses = true;
    (void)request(GET, true);
    h2_pump(&p);
    assert_log(&p.server, "");
    assert_log(&p.client, "R1 remote refused stream reset http2.remote_refuse\nX1\n");
}

/* More streams than we take, opened before our SETTINGS arrived: those are refused one by one, and
 * what was already on its way for them is no mistake of the client's. */
static void what_follows_a_refused_stream_is_passed_over(void **state)
{
    struct http2_options options = http2_options_defaults(true);
    struct codec_stream *refused;
    struct codec_stream *first;

    options.max_concurrent_streams = 1;
    h2_pair_done(&p);
    h2_pair_init(&p, &options);
    first = request(POST, false);
    refused = request(POST, false);
    (void)side_flow(&p.client, &p.server); /* no acknowledgement of SETTINGS among it */
    assert_log(&p.server, "H1 :method=POST; :scheme=http; :authority=h; :path=/p;\n");
    h2_send_text(first, &p, "a", true);
    (void)side_flow(&p.client, &p.server);
    respond(":status=200", true);
    assert_log(&p.server, "D1 a.\nX1\n");
    (void)request(POST, false);
    h2_send_text(refused, &p, "b", true);
    (void)side_flow(&p.client, &p.server);
    assert_log(&p.server, "H5 :method=POST; :scheme=http; :authority=h; :path=/p;\n");
    h2_pump(&p);
    assert_log(&p.client, "R3 remote refused stream reset http2.remote_refuse\nX3\n"
                          "H1 :status=200;.\nX1\n");
}

static void draining_takes_streams_until_the_last_goaway(void **state)
{
    (void)request(GET, true);
    h2_pump(&p);
    p.server.codec->ops->drain(p.server.codec);
    h2_pump(&p);
    strbuf_reset(&p.server.log);
    assert_log(&p.client, "G\n");
    assert_false(p.client.codec->ops->is_reusable(p.client.codec));
    p.server.codec->ops->goaway(p.server.codec, GOAWAY_NO_ERROR);
    p.server.codec->ops->goaway(p.server.codec, GOAWAY_NO_ERROR);
    assert_int_equal(h2_stat_value(&p, H2_GOAWAY_SENT), 1);
    h2_pump(&p);
    respond(":status=200", true);
    h2_pump(&p);
    assert_log(&p.client, "H1 :status=200;.\nX1\n"); /* told once */
}

static void calming_a_peer_is_no_failure_of_ours(void **state)
{
    (void)request(GET, true);
    h2_pump(&p);
    p.server.codec->ops->goaway(p.server.codec, GOAWAY_ENHANCE_YOUR_CALM);
    h2_pump(&p);
    assert_false(p.server.is_dead);
    assert_int_equal(h2_stat_value(&p, H2_GOAWAY_SENT), 1);
}

static void a_request_that_goaway_overtook_was_not_processed(void **state)
{
    (void)request(GET, true);
    p.server.codec->ops->goaway(p.server.codec, GOAWAY_NO_ERROR); /* it has seen none yet */
    h2_pump(&p);
    assert_log(&p.server, "");
    assert_string_equal(p.client.log.ptr,
                        "R1 remote refused stream reset http2.remote_refuse\nX1\nG\n");
}

/* An owner may open one more before it is told of GOAWAY: its peer never hears of that stream. */
static void a_request_behind_goaway_is_refused_here(void **state)
{
    (void)request(GET, true);
    h2_pump(&p);
    p.server.codec->ops->goaway(p.server.codec, GOAWAY_NO_ERROR);
    h2_pump(&p);
    assert_log(&p.client, "G\n");
    (void)request(GET, true);
    h2_pump(&p);
    assert_log(&p.client, "R3 remote refused stream reset http2.remote_refuse\nX3\n");
    assert_false(p.server.is_dead);
}

/* A request that waits for the peer to allow more streams, given up meanwhile. */
static void a_request_cancelled_in_the_queue_is_never_heard_of(void **state)
{
    struct http2_options options = http2_options_defaults(true);
    struct codec_stream *second;

    options.max_concurrent_streams = 1;
    restart_with(&options);
    (void)request(GET, true);
    second = request(GET, true);
    second->ops->reset(second, RESET_LOCAL);
    h2_pump(&p);
    respond(":status=200", true);
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=GET; :scheme=http; :authority=h; :path=/a;.\nX1\n");
    assert_log(&p.client, "X3\nH1 :status=200;.\nX1\n");
    assert_false(p.server.is_dead);
}

static void a_lost_connection_resets_what_is_open(void **state)
{
    (void)request(GET, true);
    (void)request(GET, true);
    h2_pump(&p);
    strbuf_reset(&p.server.log);
    p.client.codec->ops->connection_closed(p.client.codec, RESET_CONNECTION_TERMINATION);
    p.client.is_dead = true;
    assert_log(&p.client, "R1 connection termination \nX1\nR3 connection termination \nX3\n");
    p.server.codec->ops->connection_closed(p.server.codec, RESET_CONNECTION_TERMINATION);
    p.server.is_dead = true;
    assert_log(&p.server, "R1 connection termination \nX1\nR3 connection termination \nX3\n");
}

static void the_peers_settings_bound_the_streams(void **state)
{
    struct http2_options options = http2_options_defaults(true);

    options.max_concurrent_streams = 7;
    restart_with(&options);
    assert_int_equal(p.client.codec->ops->max_streams(p.client.codec), 7);
    assert_int_equal(p.client.capacity_calls, 1);
    p.client.codec->ops->ping(p.client.codec);
    h2_pump(&p);
    assert_int_equal(p.client.ping_acks, 1);
}

/* Frames of SETTINGS, 6 bytes each: identifier and value. */
static void settings_by_number_are_sent_as_they_are(void **state)
{
    static const char wanted[] = {0, 6, 0, 0, 0x12, 0x34, 0x0f, 0x0f, 0, 0, 0, 5};
    struct http2_options options = http2_options_defaults(true);
    char head[256];
    size_t n;

    options.custom_settings[0] = (struct http2_setting){.id = 6, .value = 0x1234};
    options.custom_settings[1] = (struct http2_setting){.id = 0x0f0f, .value = 5};
    options.custom_setting_count = 2;
    h2_pair_done(&p);
    h2_pair_init(&p, &options);
    (void)side_flow(&p.client, &p.server);
    n = buf_copy_out(&p.server.out, 0, head, sizeof(head));
    assert_true(str_find(str_n(head, n), str_n(wanted, sizeof(wanted))) != STR_NPOS);
    h2_pump(&p);
    assert_false(p.client.is_dead || p.server.is_dead); /* unknown ones do not count */
}

/* --- flow control ----------------------------------------------------------------------------- */

static void one_slow_stream_stalls_no_other(void **state)
{
    struct codec_stream *slow = request(POST, false);
    struct codec_stream *slow_server;
    struct codec_stream *fast;

    h2_pump(&p);
    slow_server = p.server.last;
    slow_server->ops->read_disable(slow_server, true);
    p.server.is_quiet = true;
    h2_send_bytes(slow, &p, 1 << 20, true);
    h2_pump(&p);
    assert_int_equal(p.server.body_bytes, 0);
    fast = request(POST, false);
    h2_pump(&p);
    h2_send_bytes(fast, &p, 3 << 20, true);
    h2_pump(&p);
    assert_int_equal(p.server.body_bytes, 3 << 20);
    assert_true(p.client.above == 1); /* the slow one's sender was told */
    slow_server->ops->read_disable(slow_server, false);
    assert_true(p.server.is_pending);
    h2_pump(&p);
    assert_int_equal(p.server.body_bytes, 4 << 20);
    assert_int_equal(p.client.above, 0);
}

static void what_is_read_once_more_comes_in_order(void **state)
{
    struct codec_stream *cs = request(POST, false);

    h2_pump(&p);
    strbuf_reset(&p.server.log);
    p.server.last->ops->read_disable(p.server.last, true);
    p.server.last->ops->read_disable(p.server.last, true);
    h2_send_text(cs, &p, "body", false);
    cs->ops->encode_trailers(cs, h2_map(&p, "x-t=1"));
    h2_pump(&p);
    p.server.last->ops->read_disable(p.server.last, false);
    h2_pump(&p);
    assert_log(&p.server, "");
    p.server.last->ops->read_disable(p.server.last, false);
    h2_pump(&p);
    assert_log(&p.server, "D1 body\nT1 x-t=1;\n");
}

static void a_full_socket_holds_bodies_back(void **state)
{
    (void)request(GET, true);
    h2_pump(&p);
    p.server.codec->ops->on_watermark(p.server.codec, true);
    assert_int_equal(p.server.above, 1);
    respond(":status=200", false);
    h2_send_text(p.server.last, &p, "held", true);
    assert_true(buf_len(&p.server.out) < 20); /* the head alone */
    h2_pump(&p);
    assert_log(&p.client, "H1 :status=200;\n");
    p.server.codec->ops->on_watermark(p.server.codec, false);
    h2_pump(&p);
    assert_log(&p.client, "D1 held.\nX1\n");
}

static void an_unread_response_ends_when_the_window_opens(void **state)
{
    struct codec_stream *cs = request(GET, true);

    h2_pump(&p);
    cs->ops->read_disable(cs, true);
    p.client.is_quiet = true;
    strbuf_reset(&p.server.log);
    respond(":status=200", false);
    h2_send_bytes(p.server.last, &p, 200 * 1024, true);
    h2_pump(&p);
    assert_log(&p.server, ""); /* not all of it is out */
    assert_int_equal(p.server.above, 1);
    cs->ops->read_disable(cs, false);
    h2_pump(&p);
    assert_log(&p.server, "X1\n");
    assert_int_equal(p.client.body_bytes, 200 * 1024);
}

static void windows_that_are_configured_do_not_grow(void **state)
{
    struct http2_options options = http2_options_defaults(true);

    options.grows_stream_windows = false;
    restart_with(&options);
    p.server.is_quiet = true;
    h2_send_bytes(request(POST, false), &p, 1 << 20, true);
    h2_pump(&p);
    assert_int_equal(p.server.body_bytes, 1 << 20);
    p.server.last->ops->read_disable(p.server.last, true);
    strbuf_reset(&p.server.log);
}

/* --- tunnels ---------------------------------------------------------------------------------- */

static void extended_connect_is_an_upgrade(void **state)
{
    struct codec_stream *cs = request(":method=GET :scheme=http :authority=h :path=/ws "
                                      "upgrade=websocket connection=upgrade",
                                      false);

    h2_send_text(cs, &p, "early", false);
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=GET; :scheme=http; :authority=h; :path=/ws; "
                          "upgrade=websocket; connection=upgrade;\n");
    respond(":status=101 upgrade=websocket connection=upgrade", false);
    h2_pump(&p);
    assert_log(&p.server, "D1 early\n");
    assert_log(&p.client, "H1 :status=101; connection=upgrade; upgrade=websocket;\n");
    h2_send_text(p.server.last, &p, "down", true);
    h2_pump(&p);
    assert_log(&p.client, "D1 down.\nX1\n");
}

static void what_was_meant_for_a_refused_tunnel_reaches_nobody(void **state)
{
    h2_send_text(request(":method=CONNECT :authority=h:1", false), &p, "early", false);
    h2_pump(&p);
    assert_log(&p.server, "H1 :method=CONNECT; :authority=h:1;\n");
    respond(":status=403", false);
    h2_send_text(p.server.last, &p, "no", true);
    h2_pump(&p);
    assert_log(&p.server, "X1\n");
    assert_log(&p.client, "H1 :status=403;\nD1 no.\nX1\n");
}

static void an_accepted_connect_carries_bytes(void **state)
{
    h2_send_text(request(":method=CONNECT :authority=h:1", false), &p, "up", true);
    h2_pump(&p);
    strbuf_reset(&p.server.log);
    respond(":status=200", false);
    h2_pump(&p);
    assert_log(&p.server, "D1 up.\n");
}

/* --- what peers may do ------------------------------------------------------------------------ */

static void too_many_headers_cost_the_stream(void **state)
{
    struct header_map *m = h2_map(&p, GET);
    struct codec_stream *cs = h2_open(&p);

    for (int i = 0; i < 120; i++) {
        header_add_name(m, arena_printf(&p.arena, "x-%d", i), STR("v"));
    }
    cs->ops->encode_headers(cs, m, true);
    h2_pump(&p);
    assert_log(&p.server, "R1 remote reset http2.too_many_headers\nX1\n");
    assert_int_equal(h2_stat_value(&p, H2_HEADER_OVERFLOW), 1);
    strbuf_reset(&p.client.log);
    (void)request(GET, true);
    h2_pump(&p);
    assert_int_equal(p.server.stream_count, 1);
}

static void a_cookie_bomb_costs_the_stream(void **state)
{
    struct header_map *m = h2_map(&p, GET);
    struct codec_stream *cs = h2_open(&p);
    char *crumb = arena_calloc(&p.arena, 1, 3000); /* one entry of the table, a byte each time */

    memset(crumb, 'c', 3000);
    for (int i = 0; i < 10000; i++) {
        header_add(m, HDR_COOKIE, str_n(crumb, 3000));
    }
    cs->ops->encode_headers(cs, m, true);
    h2_pump(&p);
    assert_log(&p.server, "R1 remote reset http2.header_list_size_too_large\nX1\n");
    assert_int_equal(h2_stat_value(&p, H2_HEADER_LIST_SIZE_TOO_LARGE), 1);
}

static void a_broken_message_costs_the_connection(void **state)
{
    (void)request(GET " content-length=5", true);
    h2_pump(&p);
    assert_log(&p.server, "R1 local reset http2.violation.of.messaging.rule\nX1\n"
                          "E http2.violation.of.messaging.rule\n");
    assert_int_equal(h2_stat_value(&p, H2_RX_MESSAGING_ERROR), 1);
    assert_int_equal(h2_stat_value(&p, H2_GOAWAY_SENT), 0);
}

static void or_only_its_stream_when_configured(void **state)
{
    struct http2_options options = http2_options_defaults(true);

    options.stream_error_on_invalid_message = true;
    restart_with(&options);
    (void)request(GET " content-length=5", true);
    h2_pump(&p);
    assert_log(&p.server, "R1 local reset http2.violation.of.messaging.rule\nX1\n");
    assert_false(p.server.is_dead);
    (void)request(GET " bad\x01name=x", true);
    h2_pump(&p);
    assert_log(&p.server, "R3 local reset http2.invalid.header.field\nX3\n");
}

static void garbage_is_answered_with_goaway(void **state)
{
    inject("GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(p.server.is_dead);
    assert_false(p.server.is_outbound_flood);
    assert_true(buf_len(&p.server.out) >= 17);
}

static void pings_that_nobody_reads_the_answers_of(void **state)
{
    static const uint8_t payload[8];

    for (int i = 0; i < 2000 && !p.server.is_dead; i++) {
        inject_frame(6 /* PING */, 0, 0, payload, sizeof(payload));
    }
    assert_true(p.server.is_dead && p.server.is_outbound_flood);
    assert_int_equal(h2_stat_value(&p, H2_OUTBOUND_CONTROL_FLOOD), 1);
    assert_true(buf_len(&p.server.out) < 1100 * 17);
}

static void pings_that_are_answered_and_read(void **state)
{
    static const uint8_t payload[8];

    for (int i = 0; i < 5000; i++) {
        inject_frame(6 /* PING */, 0, 0, payload, sizeof(payload));
        buf_drain(&p.server.out, buf_len(&p.server.out));
    }
    assert_false(p.server.is_dead);
}

static void frames_that_carry_nothing(void **state)
{
    (void)request(POST, false);
    h2_pump(&p);
    strbuf_reset(&p.server.log);
    inject_frame(0 /* DATA */, 0, 1, "", 0);
    assert_false(p.server.is_dead);
    inject_frame(0 /* DATA */, 0, 1, "", 0);
    assert_true(p.server.is_dead && !p.server.is_outbound_flood);
    assert_int_equal(h2_stat_value(&p, H2_INBOUND_EMPTY_FRAMES_FLOOD), 1);
    assert_int_equal(h2_stat_value(&p, H2_GOAWAY_SENT), 0);
}

static void priorities_without_end(void **state)
{
    static const uint8_t payload[5] = {0, 0, 0, 0, 16};

    for (int i = 0; i < 100; i++) {
        inject_frame(2 /* PRIORITY */, 0, 5, payload, sizeof(payload));
    }
    assert_false(p.server.is_dead);
    inject_frame(2, 0, 5, payload, sizeof(payload));
    assert_int_equal(h2_stat_value(&p, H2_INBOUND_PRIORITY_FRAMES_FLOOD), 1);
    assert_true(p.server.is_dead);
}

static void window_updates_without_end(void **state)
{
    static const uint8_t payload[4] = {0, 0, 0, 1};

    for (int i = 0; i < 20 && !p.server.is_dead; i++) {
        inject_frame(8 /* WINDOW_UPDATE */, 0, 0, payload, sizeof(payload));
    }
    assert_int_equal(h2_stat_value(&p, H2_INBOUND_WINDOW_UPDATE_FRAMES_FLOOD), 1);
    assert_true(p.server.is_dead);
}

static void prefaces(void **state)
{
    static const struct {
        const char *bytes;
        enum h2_preface want;
    } cases[] = {
        {"", H2_PREFACE_MORE},
        {"P", H2_PREFACE_MORE},
        {"POST", H2_PREFACE_NO},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", H2_PREFACE_MORE},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2_PREFACE_YES},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", H2_PREFACE_YES},
        {"GET / HTTP/1.1\r\n", H2_PREFACE_NO},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;

        buf_init(&b, &p.pool);
        buf_add_str(&b, str_c(cases[i].bytes));
        assert_int_equal(h2_preface_check(&b), cases[i].want);
        buf_reset(&b);
    }
}

#define H2_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        H2_TEST(a_request_and_its_response),
        H2_TEST(bodies_and_trailers_both_ways),
        H2_TEST(informational_responses_come_first),
        H2_TEST(an_early_response_gives_the_request_up),
        H2_TEST(fields_of_one_connection_go_no_further),
        H2_TEST(values_of_one_message_stay_out_of_the_table),
        H2_TEST(cookie_crumbs_are_one_cookie),
        H2_TEST(host_is_authority),
        H2_TEST(resets_travel),
        H2_TEST(a_refused_stream_says_so),
        H2_TEST(what_follows_a_refused_stream_is_passed_over),
        H2_TEST(draining_takes_streams_until_the_last_goaway),
        H2_TEST(calming_a_peer_is_no_failure_of_ours),
        H2_TEST(a_request_that_goaway_overtook_was_not_processed),
        H2_TEST(a_request_behind_goaway_is_refused_here),
        H2_TEST(a_request_cancelled_in_the_queue_is_never_heard_of),
        H2_TEST(a_lost_connection_resets_what_is_open),
        H2_TEST(the_peers_settings_bound_the_streams),
        H2_TEST(settings_by_number_are_sent_as_they_are),
        H2_TEST(one_slow_stream_stalls_no_other),
        H2_TEST(what_is_read_once_more_comes_in_order),
        H2_TEST(a_full_socket_holds_bodies_back),
        H2_TEST(an_unread_response_ends_when_the_window_opens),
        H2_TEST(windows_that_are_configured_do_not_grow),
        H2_TEST(extended_connect_is_an_upgrade),
        H2_TEST(what_was_meant_for_a_refused_tunnel_reaches_nobody),
        H2_TEST(an_accepted_connect_carries_bytes),
        H2_TEST(too_many_headers_cost_the_stream),
        H2_TEST(a_cookie_bomb_costs_the_stream),
        H2_TEST(a_broken_message_costs_the_connection),
        H2_TEST(or_only_its_stream_when_configured),
        H2_TEST(garbage_is_answered_with_goaway),
        H2_TEST(pings_that_nobody_reads_the_answers_of),
        H2_TEST(pings_that_are_answered_and_read),
        H2_TEST(frames_that_carry_nothing),
        H2_TEST(priorities_without_end),
        H2_TEST(window_updates_without_end),
        H2_TEST(prefaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
