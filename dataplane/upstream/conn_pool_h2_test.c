/* HTTP/2 connections of a pool, against the server codec on a socket, in one thread. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/codec/h2_codec.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/testing.h"

#define PEER_STREAMS 32
#define REQUESTS 8

static struct upstream_testing u;
static struct testing_origin origin;

/* --- the origin's end of a connection ------------------------------------------------------------
 */

struct peer {
    int fd;
    struct codec *codec;
    struct buf out;
    struct http2_options options;
    struct arena arena;
    struct header_map headers[PEER_STREAMS]; /* by order of arrival */
    struct codec_stream *streams[PEER_STREAMS];
    size_t stream_count;
    size_t open_count;
    bool is_mute; /* answers nothing, not even PINGs */
    bool has_fin;
};

static void peer_on_headers(void *user, bool end_stream)
{
}

static void peer_on_data(void *user, struct buf *data, bool end_stream)
{
}

static void peer_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
}

static const struct codec_stream_callbacks peer_stream_callbacks = {
    .on_headers = peer_on_headers,
    .on_data = peer_on_data,
    .on_reset = peer_on_reset,
};

static bool peer_on_new_stream(void *owner, struct codec_stream *s)
{
    struct peer *peer = owner;

    assert_true(peer->stream_count < PEER_STREAMS);
    header_map_init(&peer->headers[peer->stream_count], &peer->arena);
    s->callbacks = &peer_stream_callbacks;
    s->arena = &peer->arena;
    s->headers = &peer->headers[peer->stream_count];
    peer->streams[peer->stream_count++] = s;
    peer->open_count++;
    return true;
}

static void peer_on_stream_end(void *owner, struct codec_stream *s)
{
    struct peer *peer = owner;

    peer->open_count--;
    for (size_t i = 0; i < peer->stream_count; i++) {
        if (peer->streams[i] == s) {
            peer->streams[i] = NULL;
        }
    }
}

static void peer_on_error(void *owner, const struct codec_error *e)
{
    fail_msg("the pool broke the protocol: %.*s", STR_ARG(e->details));
}

static void peer_on_output(void *owner)
{
}

static const struct codec_callbacks peer_callbacks = {
    .on_new_stream = peer_on_new_stream,
    .on_stream_end = peer_on_stream_end,
    .on_error = peer_on_error,
    .on_output = peer_on_output,
};

static void peer_flush(struct peer *peer)
{
    while (peer->fd >= 0 && !peer->is_mute && buf_len(&peer->out) > 0) {
        struct str front = buf_front(&peer->out);
        ssize_t n = send(peer->fd, front.ptr, front.len, MSG_NOSIGNAL);

        assert_true(n > 0);
        buf_drain(&peer->out, (size_t)n);
    }
}

static void peer_open(struct peer *peer, uint32_t max_concurrent_streams)
{
    struct codec_limits limits = {
        .max_headers_bytes = 8192,
        .max_headers_count = 100,
        .http2 = &peer->options,
    };

    *peer = (struct peer){.fd = testing_origin_accept(&origin)};
    peer->options = http2_options_defaults(true);
    peer->options.max_concurrent_streams = max_concurrent_streams;
    arena_init(&peer->arena, NULL);
    buf_init(&peer->out, &u.loop.bufs);
    peer->codec = h2_server_codec_new(&peer_callbacks, peer, &peer->out, &limits);
    peer_flush(peer);
}

/* Reads what there is, answers what the codec answers. */
static void peer_serve(struct peer *peer)
{
    char bytes[4096];
    ssize_t n;

    while (peer->fd >= 0 && (n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
        struct buf in;

        if (n == 0) {
            peer->has_fin = true;
            break;
        }
        buf_init(&in, &u.loop.bufs);
        buf_add(&in, bytes, (size_t)n);
        (void)peer->codec->ops->dispatch(peer->codec, &in, false); /* peer_on_error fails */
        buf_reset(&in);
    }
    peer_flush(peer);
}

static void peer_drop(struct peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
        peer->fd = -1;
    }
}

static void peer_close(struct peer *peer)
{
    peer_drop(peer);
    peer->codec->ops->connection_closed(peer->codec, RESET_CONNECTION_TERMINATION);
    peer->codec->ops->free(peer->codec);
    buf_reset(&peer->out);
    arena_done(&peer->arena);
}

struct wait_for {
    struct peer *peer;
    size_t streams;
};

static bool has_streams(void *arg)
{
    struct wait_for *w = arg;

    peer_serve(w->peer);
    return w->peer->stream_count >= w->streams;
}

static void peer_await(struct peer *peer, size_t streams)
{
    upstream_testing_until(&u, has_streams, &(struct wait_for){peer, streams});
}

static bool has_fin(void *arg)
{
    struct peer *peer = arg;

    peer_serve(peer);
    return peer->has_fin;
}

static void peer_answer(struct peer *peer, size_t i)
{
    struct header_map h;

    header_map_init(&h, &peer->arena);
    header_add(&h, HDR_STATUS, STR("200"));
    peer->streams[i]->ops->encode_headers(peer->streams[i], &h, true);
    peer_flush(peer);
}

/* --- requests ------------------------------------------------------------------------------------
 */

struct request {
    struct pool_request pool;
    struct codec_stream *stream;
    struct arena arena;
    struct header_map headers;
    struct header_map response;
    bool has_failed;
    bool was_reset;
    bool is_complete;
    enum stream_reset_reason reset;
};

static struct request rq[REQUESTS];

static void request_on_headers(void *user, bool end_stream)
{
    ((struct request *)user)->is_complete = end_stream;
}

static void request_on_data(void *user, struct buf *data, bool end_stream)
{
    ((struct request *)user)->is_complete = end_stream;
}

static void request_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct request *r = user;

    r->was_reset = true;
    r->reset = reason;
}

static const struct codec_stream_callbacks request_callbacks = {
    .on_headers = request_on_headers,
    .on_data = request_on_data,
    .on_reset = request_on_reset,
};

static void request_on_ready(struct pool_request *p)
{
    struct request *r = p->user;

    r->stream = pool_request_open_stream(p, &request_callbacks, r, &r->arena, &r->response);
    r->stream->ops->encode_headers(r->stream, &r->headers, true);
}

static void request_on_failure(struct pool_request *p, enum pool_failure f, struct str reason)
{
    ((struct request *)p->user)->has_failed = true;
}

static const struct pool_request_ops request_ops = {request_on_ready, request_on_failure};

static void request_start(struct request *r)
{
    struct cluster *c = cluster_manager_get(u.thread.clusters, 0);
    struct host *h = cluster_pick(c, NULL);

    memset(r, 0, sizeof(*r));
    arena_init(&r->arena, NULL);
    header_map_init(&r->headers, &r->arena);
    header_map_init(&r->response, &r->arena);
    header_add(&r->headers, HDR_METHOD, STR("GET"));
    header_add(&r->headers, HDR_PATH, STR("/"));
    header_add(&r->headers, HDR_AUTHORITY, STR("a"));
    header_add(&r->headers, HDR_SCHEME, STR("http"));
    cluster_request_stream(c, h, PRIORITY_DEFAULT, cluster_pool_protocol(c, HTTP_11), NULL,
                           &request_ops, r, &r->pool);
    host_unref(h);
}

static bool request_is_over(void *arg)
{
    const struct request *r = arg;

    return r->is_complete || r->has_failed || r->was_reset;
}

static void request_finish(struct request *r)
{
    upstream_testing_until(&u, request_is_over, r);
    arena_done(&r->arena);
}

static uint64_t stat_of(const char *name)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    return upstream_testing_stat(&u, full);
}

static void await_stat(const char *name, uint64_t value)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    upstream_testing_until_stat(&u, full, value);
}

/* --- set-up --------------------------------------------------------------------------------------
 */

static struct cluster_config *http2_cluster(void)
{
    struct cluster_config *c = testing_cluster("c", 0);

    c->http_protocol = UPSTREAM_HTTP2;
    c->http2 = http2_options_defaults(false);
    return c;
}

static void put_cluster(struct cluster_config *take)
{
    upstream_testing_put_cluster(&u, 0, take);
}

static int setup(void **state)
{
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    upstream_testing_put_endpoints(
        &u, 0, testing_endpoints(&(struct testing_endpoint){.port = origin.port}, 1));
    return 0;
}

static int teardown(void **state)
{
    upstream_testing_done(&u);
    testing_origin_close(&origin);
    return 0;
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void one_connection_carries_many_requests(void **state)
{
    struct peer peer;

    put_cluster(http2_cluster());
    for (size_t i = 0; i < 4; i++) {
        request_start(&rq[i]);
    }
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    peer_open(&peer, 100);
    peer_await(&peer, 4);
    for (size_t i = 0; i < 4; i++) {
        peer_answer(&peer, 3 - i); /* in any order */
    }
    for (size_t i = 0; i < 4; i++) {
        request_finish(&rq[i]);
        assert_true(rq[i].is_complete);
    }
    assert_int_equal(stat_of("upstream_cx_http2_total"), 1);
    assert_int_equal(stat_of("upstream_rq_total"), 4);
    assert_int_equal(stat_of("upstream_rq_active"), 0);
    assert_int_equal(stat_of("upstream_rq_pending_active"), 0);
    peer_close(&peer);
    await_stat("upstream_cx_active", 0);
    assert_int_equal(stat_of("http2.streams_active"), 0);
}

static void another_when_its_streams_are_all_used(void **state)
{
    struct cluster_config *c = http2_cluster();
    struct peer peer[2];

    c->http2.max_concurrent_streams = 2;
    put_cluster(c);
    for (size_t i = 0; i < 3; i++) {
        request_start(&rq[i]);
    }
    assert_int_equal(stat_of("upstream_cx_total"), 2);
    for (size_t i = 0; i < 2; i++) {
        peer_open(&peer[i], 100);
    }
    upstream_testing_until_stat(&u, "cluster.c.upstream_rq_active", 3);
    for (size_t i = 0; i < 2; i++) {
        peer_await(&peer[i], i == 0 ? 2 : 1);
        for (size_t j = 0; j < peer[i].stream_count; j++) {
            peer_answer(&peer[i], j);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        request_finish(&rq[i]);
        assert_true(rq[i].is_complete);
    }
    for (size_t i = 0; i < 2; i++) {
        peer_close(&peer[i]);
    }
}

static void the_peers_limit_counts(void **state)
{
    struct peer first;
    struct peer second;

    put_cluster(http2_cluster());
    request_start(&rq[0]);
    peer_open(&first, 1);
    peer_await(&first, 1);
    peer_answer(&first, 0);
    request_finish(&rq[0]); /* by now its settings are known */
    request_start(&rq[0]);
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    request_start(&rq[1]); /* the first connection is full */
    assert_int_equal(stat_of("upstream_cx_total"), 2);
    peer_open(&second, 1);
    peer_await(&second, 1);
    peer_await(&first, 2);
    peer_answer(&first, 1);
    request_finish(&rq[0]);
    request_start(&rq[2]); /* it has room again */
    assert_int_equal(stat_of("upstream_cx_total"), 2);
    peer_await(&first, 3);
    peer_answer(&first, 2);
    peer_answer(&second, 0);
    request_finish(&rq[1]);
    request_finish(&rq[2]);
    peer_close(&first);
    peer_close(&second);
}

static void goaway_lets_open_streams_finish(void **state)
{
    struct peer old;
    struct peer new;

    put_cluster(http2_cluster());
    request_start(&rq[0]);
    peer_open(&old, 100);
    peer_await(&old, 1);
    old.codec->ops->goaway(old.codec, GOAWAY_NO_ERROR);
    peer_flush(&old);
    await_stat("upstream_cx_close_notify", 1);
    request_start(&rq[1]);
    peer_open(&new, 100);
    peer_await(&new, 1);
    peer_answer(&old, 0);
    request_finish(&rq[0]);
    assert_true(rq[0].is_complete);
    upstream_testing_until(&u, has_fin, &old);
    peer_answer(&new, 0);
    request_finish(&rq[1]);
    assert_true(rq[1].is_complete);
    peer_close(&old);
    peer_close(&new);
}

static void a_refused_stream_is_said_to_be_unprocessed(void **state)
{
    struct peer peer;

    put_cluster(http2_cluster());
    request_start(&rq[0]);
    request_start(&rq[1]);
    peer_open(&peer, 100);
    peer_await(&peer, 2);
    peer.streams[0]->ops->reset(peer.streams[0], RESET_REMOTE_REFUSED);
    peer_flush(&peer);
    request_finish(&rq[0]);
    assert_int_equal(rq[0].reset, RESET_REMOTE_REFUSED);
    peer_answer(&peer, 1);
    request_finish(&rq[1]);
    assert_true(rq[1].is_complete);
    peer_close(&peer);
}

static void a_lost_connection_resets_all(void **state)
{
    struct peer peer;

    put_cluster(http2_cluster());
    request_start(&rq[0]);
    request_start(&rq[1]);
    peer_open(&peer, 100);
    peer_await(&peer, 2);
    peer_drop(&peer);
    for (size_t i = 0; i < 2; i++) {
        request_finish(&rq[i]);
        assert_true(rq[i].was_reset);
        assert_int_equal(rq[i].reset, RESET_CONNECTION_TERMINATION);
    }
    assert_int_equal(stat_of("upstream_rq_active"), 0);
    assert_int_equal(stat_of("upstream_cx_destroy_remote_with_active_rq"), 1);
    peer_close(&peer);
}

static void a_connection_may_have_its_share_of_requests(void **state)
{
    struct cluster_config *c = http2_cluster();
    struct peer peer[2];

    c->max_requests_per_connection = 2;
    put_cluster(c);
    for (size_t i = 0; i < 2; i++) {
        request_start(&rq[i]);
    }
    peer_open(&peer[0], 100);
    peer_await(&peer[0], 2);
    assert_int_equal(stat_of("upstream_cx_max_requests"), 1);
    request_start(&rq[2]);
    peer_open(&peer[1], 100);
    peer_await(&peer[1], 1);
    peer_answer(&peer[0], 0);
    peer_answer(&peer[0], 1);
    upstream_testing_until(&u, has_fin, &peer[0]);
    peer_answer(&peer[1], 0);
    for (size_t i = 0; i < 3; i++) {
        request_finish(&rq[i]);
        assert_true(rq[i].is_complete);
    }
    peer_close(&peer[0]);
    peer_close(&peer[1]);
}

static void a_removed_host_finishes_its_streams(void **state)
{
    struct peer peer;

    put_cluster(http2_cluster());
    request_start(&rq[0]);
    request_start(&rq[1]);
    peer_open(&peer, 100);
    peer_await(&peer, 2);
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(NULL, 0));
    peer_answer(&peer, 0);
    request_finish(&rq[0]);
    assert_int_equal(stat_of("upstream_cx_active"), 1);
    peer_answer(&peer, 1);
    request_finish(&rq[1]);
    upstream_testing_until(&u, has_fin, &peer);
    peer_close(&peer);
}

static void an_idle_connection_goes(void **state)
{
    struct cluster_config *c = http2_cluster();
    struct peer peer;

    c->idle_timeout = (struct opt_ms){.is_set = true, .ms = 20};
    put_cluster(c);
    request_start(&rq[0]);
    peer_open(&peer, 100);
    peer_await(&peer, 1);
    peer_answer(&peer, 0);
    request_finish(&rq[0]);
    upstream_testing_until(&u, has_fin, &peer);
    assert_int_equal(stat_of("upstream_cx_idle_timeout"), 1);
    peer_close(&peer);
}

static void a_peer_that_answers_no_ping_is_dead(void **state)
{
    struct cluster_config *c = http2_cluster();
    struct peer peer;

    c->http2.keepalive = (struct http2_keepalive){.interval_ms = 10, .timeout_ms = 30};
    put_cluster(c);
    request_start(&rq[0]);
    peer_open(&peer, 100);
    peer_await(&peer, 1);
    await_stat("http2.streams_active", 1);
    peer.is_mute = true;
    request_finish(&rq[0]);
    assert_true(rq[0].was_reset);
    assert_int_equal(stat_of("http2.keepalive_timeout"), 1);
    peer_close(&peer);
}

static void a_peer_that_answers_pings_lives(void **state)
{
    struct cluster_config *c = http2_cluster();
    struct peer peer;

    c->http2.keepalive = (struct http2_keepalive){.interval_ms = 5, .timeout_ms = 2000};
    c->idle_timeout = (struct opt_ms){.is_set = true, .ms = 60};
    put_cluster(c);
    request_start(&rq[0]);
    peer_open(&peer, 100);
    peer_await(&peer, 1);
    peer_answer(&peer, 0);
    request_finish(&rq[0]);
    upstream_testing_until(&u, has_fin, &peer); /* idle, several PINGs later */
    assert_int_equal(stat_of("http2.keepalive_timeout"), 0);
    assert_int_equal(stat_of("upstream_cx_idle_timeout"), 1);
    peer_close(&peer);
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(one_connection_carries_many_requests),
        POOL_TEST(another_when_its_streams_are_all_used),
        POOL_TEST(the_peers_limit_counts),
        POOL_TEST(goaway_lets_open_streams_finish),
        POOL_TEST(a_refused_stream_is_said_to_be_unprocessed),
        POOL_TEST(a_lost_connection_resets_all),
        POOL_TEST(a_connection_may_have_its_share_of_requests),
        POOL_TEST(a_removed_host_finishes_its_streams),
        POOL_TEST(an_idle_connection_goes),
        POOL_TEST(a_peer_that_answers_no_ping_is_dead),
        POOL_TEST(a_peer_that_answers_pings_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
