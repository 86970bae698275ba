/* The router with an HTTP/2 origin, the server codec on a socket: bodies and trailers both ways,
 * and the replay of what the origin did not process. */

#include "dataplane/extensions/filters/http/router/router_testing.h"

#include <sys/socket.h>

#include "dataplane/codec/h2_codec.h"
#include "dataplane/upstream/cluster.h"

/* --- the origin's end of a connection ------------------------------------------------------------
 */

#define PEER_STREAMS 8

struct peer_stream {
    struct codec_stream *cs; /* NULL: over */
    struct header_map headers;
    struct strbuf body;
    bool has_all; /* of the request */
    bool was_reset;
};

static struct peer {
    int fd;
    struct codec *codec;
    struct buf out;
    struct http2_options options;
    struct arena arena;
    struct peer_stream streams[PEER_STREAMS];
    size_t stream_count;
} peer;

static void peer_on_headers(void *user, bool end_stream)
{
    struct peer_stream *s = user;

    s->has_all = end_stream;
}

static void peer_on_data(void *user, struct buf *data, bool end_stream)
{
    struct peer_stream *s = user;

    while (buf_len(data) > 0) {
        struct str front = buf_front(data);

        strbuf_add_str(&s->body, front);
        buf_drain(data, front.len);
    }
    s->has_all = end_stream;
}

static void peer_on_trailers(void *user, struct header_map *trailers)
{
    struct peer_stream *s = user;

    strbuf_addf(&s->body, "|%.*s", STR_ARG(header_find_name(trailers, STR("x-t"))->value));
    s->has_all = true;
}

static void peer_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct peer_stream *s = user;

    (void)reason;
    (void)details;
    s->was_reset = true;
}

static const struct codec_stream_callbacks peer_stream_callbacks = {
    .on_headers = peer_on_headers,
    .on_data = peer_on_data,
    .on_trailers = peer_on_trailers,
    .on_reset = peer_on_reset,
};

static bool peer_on_new_stream(void *owner, struct codec_stream *cs)
{
    struct peer_stream *s = &peer.streams[peer.stream_count++];

    (void)owner;
    assert_true(peer.stream_count <= PEER_STREAMS);
    s->cs = cs;
    header_map_init(&s->headers, &peer.arena);
    strbuf_init(&s->body);
    cs->callbacks = &peer_stream_callbacks;
    cs->user = s;
    cs->arena = &peer.arena;
    cs->headers = &s->headers;
    return true;
}

static void peer_on_stream_end(void *owner, struct codec_stream *cs)
{
    struct peer_stream *s = cs->user;

    (void)owner;
    s->cs = NULL;
}

static void peer_on_error(void *owner, const struct codec_error *e)
{
    (void)owner;
    fail_msg("the router broke the protocol: %.*s", STR_ARG(e->details));
}

static void peer_on_output(void *owner)
{
    (void)owner;
}

static const struct codec_callbacks peer_callbacks = {
    .on_new_stream = peer_on_new_stream,
    .on_stream_end = peer_on_stream_end,
    .on_error = peer_on_error,
    .on_output = peer_on_output,
};

static void peer_flush(void)
{
    while (buf_len(&peer.out) > 0) {
        struct str front = buf_front(&peer.out);
        ssize_t n = send(peer.fd, front.ptr, front.len, MSG_NOSIGNAL);

        assert_true(n > 0);
        buf_drain(&peer.out, (size_t)n);
    }
}

/* Takes the next connection. Streams stay counted over all of them. */
static void peer_accept(void)
{
    const struct codec_limits limits = {
        .max_headers_bytes = 8192, .max_headers_count = 100, .http2 = &peer.options};

    peer.fd = testing_origin_accept(&origin);
    peer.options = http2_options_defaults(true);
    buf_init(&peer.out, &u.loop.bufs);
    peer.codec = h2_server_codec_new(&peer_callbacks, &peer, &peer.out, &limits);
    peer_flush();
}

static void peer_hang_up(void)
{
    if (peer.codec != NULL) {
        close(peer.fd);
        peer.codec->ops->connection_closed(peer.codec, RESET_CONNECTION_TERMINATION);
        peer.codec->ops->free(peer.codec);
        peer.codec = NULL;
        buf_reset(&peer.out);
    }
}

static void peer_serve(void)
{
    char bytes[16384];
    ssize_t n;

    while ((n = recv(peer.fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        struct buf in;

        buf_init(&in, &u.loop.bufs);
        buf_add(&in, bytes, (size_t)n);
        (void)peer.codec->ops->dispatch(peer.codec, &in, false); /* peer_on_error fails */
        buf_reset(&in);
    }
    peer_flush();
}

static bool peer_has_streams(void *arg)
{
    peer_serve();
    return peer.stream_count >= *(size_t *)arg;
}

static bool peer_has_all(void *arg)
{
    const struct peer_stream *s = arg;

    peer_serve();
    return s->has_all;
}

/* The `n`-th request's head. */
static struct peer_stream *peer_take(size_t n)
{
    upstream_testing_until(&u, peer_has_streams, &n);
    return &peer.streams[n - 1];
}

/* The same, and all of it. */
static struct peer_stream *peer_take_all(size_t n)
{
    struct peer_stream *s = peer_take(n);

    upstream_testing_until(&u, peer_has_all, s);
    return s;
}

static void peer_refuse(struct peer_stream *s)
{
    s->cs->ops->reset(s->cs, RESET_REMOTE_REFUSED);
    peer_flush();
}

static void peer_head(struct peer_stream *s, bool end_stream)
{
    struct header_map h;

    header_map_init(&h, &peer.arena);
    header_add(&h, HDR_STATUS, STR("200"));
    s->cs->ops->encode_headers(s->cs, &h, end_stream);
    peer_flush();
}

static void peer_body(struct peer_stream *s, const char *text, bool end_stream)
{
    struct buf data;

    buf_init(&data, &u.loop.bufs);
    buf_add_str(&data, str_c(text));
    s->cs->ops->encode_data(s->cs, &data, end_stream);
    peer_flush();
}

static void peer_trailers(struct peer_stream *s, const char *grpc_status)
{
    struct header_map h;

    header_map_init(&h, &peer.arena);
    header_add(&h, HDR_GRPC_STATUS, str_c(grpc_status));
    s->cs->ops->encode_trailers(s->cs, &h);
    peer_flush();
}

static void peer_answer(struct peer_stream *s)
{
    peer_head(s, false);
    peer_body(s, "ok", true);
}

static void assert_request(const struct peer_stream *s, const char *body)
{
    assert_true(str_eq(header_get(&s->headers, HDR_PATH), STR("/p")));
    assert_string_equal(s->body.ptr != NULL ? s->body.ptr : "", body);
}

static int setup_h2(void **state)
{
    struct cluster_config *c;

    (void)setup(state);
    memset(&peer, 0, sizeof(peer));
    arena_init(&peer.arena, NULL);
    c = testing_cluster("c", 0);
    c->http_protocol = UPSTREAM_HTTP2;
    c->http2 = http2_options_defaults(false);
    upstream_testing_put_cluster(&u, 0, c);
    client.info.protocol = HTTP_2;
    client.vhost.include_request_attempt_count = true;
    client.vhost.include_attempt_count_in_response = true;
    return 0;
}

static int teardown_h2(void **state)
{
    http_filter_router.on_destroy(&client.filter); /* the body it keeps is the loop's */
    peer_hang_up();
    for (size_t i = 0; i < peer.stream_count; i++) {
        strbuf_done(&peer.streams[i].body);
    }
    arena_done(&peer.arena);
    return teardown(state);
}

static void client_send_trailers(void)
{
    static struct header_map trailers;

    header_map_init(&trailers, &client.arena);
    header_add_name(&trailers, STR("x-t"), STR("last"));
    (void)http_filter_router.decode_trailers(&client.filter, &trailers);
}

static void assert_attempts(const char *n)
{
    assert_true(str_eq(header_get(client.response, HDR_X_ENVOY_ATTEMPT_COUNT), str_c(n)));
    assert_int_equal(client.info.attempt_count, (uint64_t)(n[0] - '0'));
}

static void assert_retries(uint64_t tried, uint64_t good, uint64_t overflow, uint64_t exceeded)
{
    assert_int_equal(stat_of("upstream_rq_retry"), tried);
    assert_int_equal(stat_of("upstream_rq_retry_success"), good);
    assert_int_equal(stat_of("upstream_rq_retry_overflow"), overflow);
    assert_int_equal(stat_of("upstream_rq_retry_limit_exceeded"), exceeded);
}

/* --- both ways -----------------------------------------------------------------------------------
 */

static void bodies_and_trailers_pass_both_ways(void **state)
{
    struct peer_stream *s;

    (void)state;
    client_send("POST", false);
    client_send_body("one", false); /* before there is a connection, and after */
    peer_accept();
    s = peer_take(1);
    client_send_body(" two", false);
    client_send_trailers();
    (void)peer_take_all(1);
    assert_request(s, "one two|last");
    peer_head(s, false);
    peer_body(s, "answer", false);
    peer_trailers(s, "0");
    client_await();
    assert_int_equal(client.status, 200);
    assert_body("answer");
    assert_true(str_eq(client.trailer, STR("0")));
    assert_int_equal(client.info.upstream_protocol, HTTP_2);
    assert_attempts("1");
    assert_retries(0, 0, 0, 0);
}

static void an_early_answer_resets_what_is_left_of_the_request(void **state)
{
    struct peer_stream *s;

    (void)state;
    client_send("POST", false);
    peer_accept();
    s = peer_take(1);
    peer_answer(s);
    client_await();
    client_send_body("too late", true);
    assert_int_equal(client.status, 200);
    assert_int_equal(stat_of("upstream_rq_active"), 0);
    assert_int_equal(stat_of("upstream_cx_active"), 1); /* the others go on */
    assert_request(s, "");
}

static void interim_answers_pass(void **state)
{
    struct header_map h;
    struct peer_stream *s;

    (void)state;
    client_send("GET", true);
    peer_accept();
    s = peer_take_all(1);
    header_map_init(&h, &peer.arena);
    header_add(&h, HDR_STATUS, STR("100"));
    s->cs->ops->encode_1xx(s->cs, &h);
    peer_answer(s);
    client_await();
    assert_int_equal(client.informational, 1);
    assert_int_equal(client.status, 200);
}

/* --- replays -------------------------------------------------------------------------------------
 */

static void what_was_refused_is_sent_again(void **state)
{
    struct peer_stream *s;

    (void)state;
    client_send("POST", false);
    client_send_body("body", false);
    client_send_trailers();
    peer_accept();
    peer_refuse(peer_take_all(1));
    s = peer_take_all(2);
    assert_request(s, "body|last");
    assert_true(str_eq(header_get(&s->headers, HDR_X_ENVOY_ATTEMPT_COUNT), STR("2")));
    peer_answer(s);
    client_await();
    assert_int_equal(client.status, 200);
    assert_attempts("2");
    assert_retries(1, 1, 0, 0);
    assert_int_equal(client.info.flags, 0);
    assert_int_equal(stat_of("upstream_rq_200"), 1);
    assert_int_equal(stat_of("upstream_rq_503"), 0);
    assert_int_equal(stat_of("upstream_rq_total"), 2);
}

static void what_comes_in_between_is_sent_once(void **state)
{
    struct peer_stream *s;

    (void)state;
    client_send("POST", false);
    client_send_body("a", false);
    peer_accept();
    s = peer_take(1);
    client_send_body("b", false);
    peer_refuse(s);
    s = peer_take(2);
    client_send_body("c", true);
    (void)peer_take_all(2);
    assert_request(s, "abc");
    peer_answer(s);
    client_await();
    assert_int_equal(client.status, 200);
}

static void a_connection_that_goes_away_is_left_for_another(void **state)
{
    struct peer_stream *s;

    (void)state;
    client_send("GET", true);
    peer_accept();
    (void)peer_take_all(1);
    peer.streams[0].cs->ops->reset(peer.streams[0].cs, RESET_REMOTE_REFUSED);
    peer.codec->ops->goaway(peer.codec, GOAWAY_NO_ERROR);
    peer_flush();
    upstream_testing_until_stat(&u, "cluster.c.upstream_cx_total", 2);
    peer_hang_up();
    peer_accept();
    s = peer_take_all(2);
    peer_answer(s);
    client_await();
    assert_int_equal(client.status, 200);
    assert_attempts("2");
}

static void it_is_sent_again_but_once(void **state)
{
    (void)state;
    client_send("GET", true);
    peer_accept();
    peer_refuse(peer_take_all(1));
    peer_refuse(peer_take_all(2));
    client_await();
    assert_int_equal(client.status, 503);
    assert_body("upstream connect error or disconnect/reset before headers. retried and the latest "
                "reset reason: remote refused stream reset");
    assert_true(has_flag(FLAG_UPSTREAM_REMOTE_RESET));
    assert_true(has_flag(FLAG_UPSTREAM_RETRY_LIMIT_EXCEEDED));
    assert_true(str_eq(client.attempts, STR("2")));
    assert_retries(1, 0, 0, 1);
    assert_int_equal(stat_of("upstream_rq_503"), 1);
}

static void more_than_can_be_kept_is_given_up(void **state)
{
    (void)state;
    client_send("POST", false);
    peer_accept();
    (void)peer_take(1);
    client_send_body("sixteen bytes...", false); /* the limit */
    client_send_body("!", true);
    peer_refuse(peer_take_all(1));
    client_await();
    assert_int_equal(client.status, 503);
    assert_false(has_flag(FLAG_UPSTREAM_RETRY_LIMIT_EXCEEDED));
    assert_retries(0, 0, 0, 0);
}

static void what_waited_beyond_the_limit_is_given_up(void **state)
{
    (void)state;
    client_send("POST", false);
    client_send_body("seventeen bytes..", false);
    assert_int_equal(client.read_disables, 1);
    peer_accept();
    (void)peer_take(1);
    client_send_body("", true);
    assert_request(peer_take_all(1), "seventeen bytes..");
    peer_refuse(&peer.streams[0]);
    client_await();
    assert_int_equal(client.status, 503);
}

static void nothing_is_sent_again_behind_an_interim_answer(void **state)
{
    struct header_map h;
    struct peer_stream *s;

    (void)state;
    client_send("GET", true);
    peer_accept();
    s = peer_take_all(1);
    header_map_init(&h, &peer.arena);
    header_add(&h, HDR_STATUS, STR("100"));
    s->cs->ops->encode_1xx(s->cs, &h);
    peer_refuse(s);
    client_await();
    assert_int_equal(client.status, 503);
    assert_retries(0, 0, 0, 0);
}

static void other_resets_are_no_refusal(void **state)
{
    struct peer_stream *s;

    (void)state;
    client_send("GET", true);
    peer_accept();
    s = peer_take_all(1);
    s->cs->ops->reset(s->cs, RESET_LOCAL);
    peer_flush();
    client_await();
    assert_int_equal(client.status, 503);
    assert_string_equal(client.details, "upstream_reset_before_response_started{remote_reset}");
    assert_retries(0, 0, 0, 0);
}

static void tunnels_are_never_sent_again(void **state)
{
    (void)state;
    client_send("CONNECT", false);
    peer_accept();
    peer_refuse(peer_take(1));
    client_await();
    assert_int_equal(client.status, 503);
    assert_retries(0, 0, 0, 0);
}

static void the_breaker_bounds_replays(void **state)
{
    struct cluster *c = cluster_manager_get(u.thread.clusters, 0);
    struct circuit_breaker *b = &c->breakers[PRIORITY_DEFAULT];

    (void)state;
    while (breaker_try_acquire(b, BREAKER_RETRIES,
                               cluster_limit(c, PRIORITY_DEFAULT, BREAKER_RETRIES))) {
    }
    client_send("GET", true);
    peer_accept();
    peer_refuse(peer_take_all(1));
    client_await();
    assert_int_equal(client.status, 503);
    assert_true(has_flag(FLAG_UPSTREAM_OVERFLOW) && has_flag(FLAG_UPSTREAM_REMOTE_RESET));
    assert_retries(0, 0, 1, 0);
    for (uint32_t i = breaker_count(b, BREAKER_RETRIES); i > 0; i--) {
        breaker_release(b, BREAKER_RETRIES);
    }
}

static bool a_retry_is_under_way(void *arg)
{
    struct cluster *c = cluster_manager_get(u.thread.clusters, 0);

    (void)arg;
    return breaker_count(&c->breakers[PRIORITY_DEFAULT], BREAKER_RETRIES) == 1;
}

static void a_client_that_leaves_gives_its_place_back(void **state)
{
    (void)state;
    client_send("GET", true);
    peer_accept();
    peer_refuse(peer_take_all(1));
    upstream_testing_until(&u, a_retry_is_under_way, NULL);
    http_filter_router.on_destroy(&client.filter);
    assert_false(a_retry_is_under_way(NULL));
    client.is_over = true;
}

static void nobody_left_is_answered(void **state)
{
    (void)state;
    client_send("GET", true);
    peer_accept();
    (void)peer_take_all(1);
    upstream_testing_put_endpoints(&u, 0, NULL);
    peer_refuse(&peer.streams[0]);
    client_await();
    assert_int_equal(client.status, 503);
    assert_body("no healthy upstream");
    assert_true(has_flag(FLAG_NO_HEALTHY_UPSTREAM));
    assert_true(str_eq(client.attempts, STR("2")));
}

static void time_goes_on_over_attempts(void **state)
{
    (void)state;
    client.route.forward.timeout = (struct opt_ms){true, 60};
    client_send("GET", true);
    peer_accept();
    peer_refuse(peer_take_all(1));
    (void)peer_take_all(2);
    client_await();
    assert_int_equal(client.status, 504);
    assert_string_equal(client.details, "response_timeout");
    assert_retries(1, 0, 0, 0);
}

/* --- gRPC: who did well ----------------------------------------------------------------------- */

static uint64_t host_count(enum host_stat s)
{
    const struct router *r = client.filter.state;

    return r->request.host->stats->cells[s];
}

static void grpc_call(const char *grpc_status)
{
    struct peer_stream *s;

    header_add(&client.headers, HDR_CONTENT_TYPE, STR("application/grpc"));
    client_send("POST", false);
    client_send_body("m", true);
    peer_accept();
    s = peer_take_all(1);
    peer_head(s, false);
    if (grpc_status != NULL) {
        peer_trailers(s, grpc_status);
    } else {
        peer_body(s, "", true);
    }
    client_await();
}

static void a_grpc_status_of_ours_is_success(void **state)
{
    (void)state;
    grpc_call("5"); /* not found: the answer to the question */
    assert_int_equal(host_count(HOST_RQ_SUCCESS), 1);
    assert_int_equal(host_count(HOST_RQ_ERROR), 0);
    assert_int_equal(stat_of("upstream_rq_200"), 1);
}

static void a_grpc_status_of_theirs_is_an_error(void **state)
{
    (void)state;
    grpc_call("14");
    assert_int_equal(host_count(HOST_RQ_SUCCESS), 0);
    assert_int_equal(host_count(HOST_RQ_ERROR), 1);
    assert_int_equal(stat_of("upstream_rq_200"), 1);
}

static void no_grpc_status_is_an_error(void **state)
{
    (void)state;
    grpc_call(NULL);
    assert_int_equal(host_count(HOST_RQ_ERROR), 1);
}

static void grpc_codes_can_be_left_out(void **state)
{
    (void)state;
    client.config.excludes_grpc_codes = true;
    grpc_call("0");
    assert_int_equal(stat_of("upstream_rq_200"), 0);
    assert_int_equal(stat_of("upstream_rq_completed"), 0);
}

#define H2_TEST(name) cmocka_unit_test_setup_teardown(name, setup_h2, teardown_h2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        H2_TEST(bodies_and_trailers_pass_both_ways),
        H2_TEST(an_early_answer_resets_what_is_left_of_the_request),
        H2_TEST(interim_answers_pass),
        H2_TEST(what_was_refused_is_sent_again),
        H2_TEST(what_comes_in_between_is_sent_once),
        H2_TEST(a_connection_that_goes_away_is_left_for_another),
        H2_TEST(it_is_sent_again_but_once),
        H2_TEST(more_than_can_be_kept_is_given_up),
        H2_TEST(what_waited_beyond_the_limit_is_given_up),
        H2_TEST(nothing_is_sent_again_behind_an_interim_answer),
        H2_TEST(other_resets_are_no_refusal),
        H2_TEST(tunnels_are_never_sent_again),
        H2_TEST(the_breaker_bounds_replays),
        H2_TEST(a_client_that_leaves_gives_its_place_back),
        H2_TEST(nobody_left_is_answered),
        H2_TEST(time_goes_on_over_attempts),
        H2_TEST(a_grpc_status_of_ours_is_success),
        H2_TEST(a_grpc_status_of_theirs_is_an_error),
        H2_TEST(no_grpc_status_is_an_error),
        H2_TEST(grpc_codes_can_be_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
