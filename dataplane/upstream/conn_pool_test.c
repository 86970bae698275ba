/* Connections and requests of a pool against an origin on loopback, in one thread. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/testing.h"

#define ANSWER "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

static struct upstream_testing u;
static struct testing_origin origin;

static int origin_accept(void)
{
    return testing_origin_accept(&origin);
}

static void origin_read_head(int fd)
{
    char head[TESTING_HEAD_MAX];

    testing_origin_read_head(&origin, fd, head);
}

static void origin_await_close(int fd)
{
    testing_origin_await_close(&origin, fd);
}

static void origin_send(int fd, const char *text)
{
    testing_origin_send(fd, text);
}

/* --- requests ------------------------------------------------------------------------------------
 */

struct request {
    struct pool_request pool;
    struct codec_stream *stream;
    struct arena arena;
    struct header_map headers;
    struct header_map response;
    bool is_post; /* its body does not end by itself */
    bool has_failed;
    bool was_reset;
    bool is_complete;
    enum pool_failure failure;
    enum stream_reset_reason reset;
    char reason[128];
    uint64_t requests_before;
};

static void request_on_headers(void *user, bool end_stream)
{
    struct request *rq = user;

    rq->is_complete = end_stream;
}

static void request_on_data(void *user, struct buf *data, bool end_stream)
{
    struct request *rq = user;

    (void)data;
    rq->is_complete = end_stream;
}

static void request_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct request *rq = user;

    (void)details;
    rq->was_reset = true;
    rq->reset = reason;
    rq->stream = NULL;
}

static const struct codec_stream_callbacks stream_callbacks = {
    .on_headers = request_on_headers,
    .on_data = request_on_data,
    .on_reset = request_on_reset,
};

static void request_on_ready(struct pool_request *p)
{
    struct request *rq = p->user;
    struct pool_connection_info info;

    pool_request_connection(p, &info);
    rq->requests_before = info.requests_before;
    rq->stream = pool_request_open_stream(p, &stream_callbacks, rq, &rq->arena, &rq->response);
    rq->stream->ops->encode_headers(rq->stream, &rq->headers, !rq->is_post);
}

static void request_on_failure(struct pool_request *p, enum pool_failure f, struct str reason)
{
    struct request *rq = p->user;

    rq->has_failed = true;
    rq->failure = f;
    (void)snprintf(rq->reason, sizeof(rq->reason), "%.*s", STR_ARG(reason));
}

static const struct pool_request_ops request_ops = {request_on_ready, request_on_failure};

static void request_start(struct request *rq, bool is_post)
{
    struct cluster *c = cluster_manager_get(u.thread.clusters, 0);
    struct host *h = cluster_pick(c, NULL);

    memset(rq, 0, sizeof(*rq));
    rq->is_post = is_post;
    arena_init(&rq->arena, NULL);
    header_map_init(&rq->headers, &rq->arena);
    header_map_init(&rq->response, &rq->arena);
    header_add(&rq->headers, HDR_METHOD, is_post ? STR("POST") : STR("GET"));
    header_add(&rq->headers, HDR_PATH, STR("/"));
    header_add(&rq->headers, HDR_AUTHORITY, STR("a"));
    header_add(&rq->headers, HDR_SCHEME, STR("http"));
    cluster_request_stream(c, h, PRIORITY_DEFAULT, POOL_HTTP1, NULL, &request_ops, rq, &rq->pool);
    host_unref(h);
}

static bool request_is_over(void *arg)
{
    const struct request *rq = arg;

    return rq->is_complete || rq->has_failed || rq->was_reset;
}

static void request_finish(struct request *rq)
{
    upstream_testing_until(&u, request_is_over, rq);
    arena_done(&rq->arena);
}

/* One request on a connection already there: returns how many came before it. */
static uint64_t exchange(int fd)
{
    struct request rq;

    request_start(&rq, false);
    origin_read_head(fd);
    origin_send(fd, ANSWER);
    request_finish(&rq);
    assert_true(rq.is_complete);
    return rq.requests_before;
}

/* The first request: its connection stays in the pool. */
static int first_exchange(void)
{
    struct request rq;
    int fd;

    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, ANSWER);
    request_finish(&rq);
    assert_true(rq.is_complete);
    return fd;
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

static void put_origin(void)
{
    const struct testing_endpoint e = {.port = origin.port};

    upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1));
}

static void put_cluster(struct cluster_config *take)
{
    upstream_testing_put_cluster(&u, 0, take);
}

static int setup(void **state)
{
    (void)state;
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    put_origin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upstream_testing_done(&u);
    testing_origin_close(&origin);
    return 0;
}

/* --- reuse ---------------------------------------------------------------------------------------
 */

static void a_connection_is_used_again(void **state)
{
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    fd = first_exchange();
    assert_int_equal(exchange(fd), 1);
    assert_int_equal(exchange(fd), 2);
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    assert_int_equal(stat_of("upstream_cx_active"), 1);
    assert_int_equal(stat_of("upstream_rq_total"), 3);
    assert_int_equal(stat_of("upstream_rq_active"), 0);
    assert_int_equal(stat_of("upstream_rq_pending_total"), 1);
    assert_int_equal(stat_of("upstream_cx_rx_bytes_total"), 3 * strlen(ANSWER));
    close(fd);
}

static void every_waiting_request_has_a_connection(void **state)
{
    struct request rq[3];
    int fd[3];

    (void)state;
    put_cluster(testing_cluster("c", 0));
    for (size_t i = 0; i < 3; i++) {
        request_start(&rq[i], false);
    }
    assert_int_equal(stat_of("upstream_cx_total"), 3);
    for (size_t i = 0; i < 3; i++) {
        fd[i] = origin_accept();
        origin_read_head(fd[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        origin_send(fd[i], ANSWER);
        request_finish(&rq[i]);
        assert_true(rq[i].is_complete);
    }
    assert_int_equal(exchange(fd[2]), 1); /* the last one used is taken first */
    for (size_t i = 0; i < 3; i++) {
        close(fd[i]);
    }
}

/* What is not to be used again: the next request needs a connection of its own. */
static void check_not_reused(const char *answer)
{
    struct request rq;
    int fd;

    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, answer);
    request_finish(&rq);
    assert_true(rq.is_complete);
    origin_await_close(fd);
    close(first_exchange());
    assert_int_equal(stat_of("upstream_cx_total"), 2);
}

static void extra_bytes_end_a_connection(void **state)
{
    (void)state;
    check_not_reused(ANSWER "HTTP/1.1 200 OK\r\n");
}

static void connection_close_ends_a_connection(void **state)
{
    (void)state;
    check_not_reused("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
}

static void http_10_ends_a_connection(void **state)
{
    (void)state;
    check_not_reused("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
}

static void bytes_that_nobody_asked_for_end_a_connection(void **state)
{
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    fd = first_exchange();
    origin_send(fd, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    await_stat("upstream_cx_protocol_error", 1);
    origin_await_close(fd);
    assert_int_equal(stat_of("upstream_cx_active"), 0);
}

static void a_peer_may_close_an_idle_connection(void **state)
{
    (void)state;
    put_cluster(testing_cluster("c", 0));
    close(first_exchange());
    await_stat("upstream_cx_destroy_remote", 1);
    close(first_exchange());
    assert_int_equal(stat_of("upstream_cx_total"), 2);
    assert_int_equal(stat_of("upstream_cx_destroy_with_active_rq"), 0);
}

static void an_answer_before_the_request_is_complete_ends_a_connection(void **state)
{
    struct request rq;
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, true);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, ANSWER);
    request_finish(&rq);
    assert_true(rq.is_complete);
    origin_await_close(fd);
}

static void requests_per_connection_are_limited(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    int fd;

    (void)state;
    c->max_requests_per_connection = 2;
    put_cluster(c);
    fd = first_exchange();
    assert_int_equal(exchange(fd), 1);
    origin_await_close(fd);
    assert_int_equal(stat_of("upstream_cx_max_requests"), 1);
}

static void idle_connections_are_closed(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    int fd;

    (void)state;
    c->idle_timeout = (struct opt_ms){true, 20};
    put_cluster(c);
    fd = first_exchange();
    origin_await_close(fd);
    assert_int_equal(stat_of("upstream_cx_idle_timeout"), 1);
}

static void old_connections_are_closed_after_their_request(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct request rq;
    int fd;

    (void)state;
    c->max_connection_duration = (struct opt_ms){true, 20};
    put_cluster(c);
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    await_stat("upstream_cx_max_duration_reached", 1);
    origin_send(fd, ANSWER);
    request_finish(&rq);
    assert_true(rq.is_complete);
    origin_await_close(fd);
}

/* --- failures ------------------------------------------------------------------------------------
 */

static void a_refused_connection_fails_all_that_wait(void **state)
{
    struct request rq[2];

    (void)state;
    put_cluster(testing_cluster("c", 0));
    testing_origin_close(&origin);
    for (size_t i = 0; i < 2; i++) {
        request_start(&rq[i], false);
    }
    for (size_t i = 0; i < 2; i++) {
        request_finish(&rq[i]);
        assert_true(rq[i].has_failed);
        assert_int_equal(rq[i].failure, POOL_FAILURE_REMOTE_CONNECT);
    }
    assert_string_equal(rq[0].reason, "delayed connect error: Connection refused");
    await_stat("upstream_cx_connect_fail", 2);
    assert_int_equal(stat_of("upstream_rq_pending_failure_eject"), 2);
    assert_int_equal(stat_of("upstream_rq_total"), 0);
    assert_int_equal(stat_of("upstream_cx_active"), 0);
}

static void connecting_has_a_timeout(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct cluster_config *c = testing_cluster("c", 0);
    struct request rq;
    int filler[2];

    (void)state;
    testing_origin_close(&origin);
    testing_origin_open(&origin, &u, 0);
    a.sin_port = htons(origin.port);
    for (size_t i = 0; i < 2; i++) { /* a full queue drops what comes next */
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(filler[i], (struct sockaddr *)&a, sizeof(a));
    }
    put_origin();
    c->connect_timeout_ms = 30;
    put_cluster(c);
    request_start(&rq, false);
    request_finish(&rq);
    assert_true(rq.has_failed);
    assert_int_equal(rq.failure, POOL_FAILURE_CONNECT_TIMEOUT);
    assert_int_equal(stat_of("upstream_cx_connect_timeout"), 1);
    close(filler[0]);
    close(filler[1]);
}

/* As Envoy: silence is a lost connection, half a message a protocol error. */
static void check_cut_off(const char *answer, enum stream_reset_reason want)
{
    struct request rq;
    int fd;

    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, answer);
    close(fd);
    request_finish(&rq);
    assert_true(rq.was_reset);
    assert_int_equal(rq.reset, want);
    await_stat("upstream_cx_active", 0);
    assert_int_equal(stat_of("upstream_rq_active"), 0);
    assert_int_equal(stat_of("upstream_cx_destroy_remote"), 1);
}

static void a_connection_that_dies_resets_its_request(void **state)
{
    (void)state;
    check_cut_off("", RESET_CONNECTION_TERMINATION);
}

static void half_an_answer_is_a_protocol_error(void **state)
{
    (void)state;
    check_cut_off("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", RESET_PROTOCOL_ERROR);
}

static void a_reset_inside_an_answer_is_a_protocol_error(void **state)
{
    const struct linger reset = {.l_onoff = 1};
    struct request rq;
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, "HTTP/1.1 200 OK\r\n\r\nnot all there is");
    await_stat("upstream_rq_active", 1);
    for (int i = 0; i < 3 && rq.stream->wire_bytes_in == 0; i++) {
        upstream_testing_turn(&u);
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
    request_finish(&rq);
    assert_false(rq.is_complete); /* unlike a FIN, it ends no body */
    assert_int_equal(rq.reset, RESET_PROTOCOL_ERROR);
    await_stat("upstream_cx_active", 0);
}

static void a_fin_may_end_an_answer(void **state)
{
    struct request rq;
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, "HTTP/1.1 200 OK\r\n\r\nall there is");
    close(fd);
    request_finish(&rq);
    assert_true(rq.is_complete);
    await_stat("upstream_cx_active", 0);
}

static void garbage_is_a_protocol_error(void **state)
{
    struct request rq;
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    origin_send(fd, "garbage\r\n\r\n");
    request_finish(&rq);
    assert_int_equal(rq.reset, RESET_PROTOCOL_ERROR);
    origin_await_close(fd);
    assert_int_equal(stat_of("upstream_cx_protocol_error"), 1);
    assert_int_equal(stat_of("upstream_cx_destroy_local"), 1);
}

static void a_reset_request_closes_its_connection(void **state)
{
    struct request rq;
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    rq.stream->ops->reset(rq.stream, RESET_LOCAL);
    origin_await_close(fd);
    assert_int_equal(stat_of("upstream_rq_active"), 0);
    arena_done(&rq.arena);
}

static void a_waiting_request_can_be_cancelled(void **state)
{
    struct request rq;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    pool_request_cancel(&rq.pool);
    arena_done(&rq.arena);
    assert_int_equal(stat_of("upstream_rq_cancelled"), 1);
    assert_int_equal(stat_of("upstream_rq_pending_active"), 0);
    close(origin_accept()); /* the connection was under way and serves the next one */
    await_stat("upstream_cx_active", 0);
}

/* --- limits --------------------------------------------------------------------------------------
 */

static void connections_are_limited_but_for_the_first(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct request rq[2];
    int fd;

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_connections = 0;
    put_cluster(c);
    request_start(&rq[0], false);
    request_start(&rq[1], false);
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    assert_int_equal(stat_of("upstream_cx_overflow"), 2);
    assert_int_equal(stat_of("circuit_breakers.default.cx_open"), 1);
    fd = origin_accept();
    for (size_t i = 0; i < 2; i++) { /* the second waits for the first */
        origin_read_head(fd);
        origin_send(fd, ANSWER);
        request_finish(&rq[i]);
        assert_true(rq[i].is_complete);
        assert_int_equal(rq[i].requests_before, i);
    }
    close(fd);
}

static void waiting_requests_are_limited(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct request rq[2];
    int fd;

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_pending_requests = 1;
    c->breakers[PRIORITY_DEFAULT].track_remaining = true;
    put_cluster(c);
    request_start(&rq[0], false);
    assert_int_equal(stat_of("circuit_breakers.default.rq_pending_open"), 1);
    assert_int_equal(stat_of("circuit_breakers.default.remaining_pending"), 0);
    request_start(&rq[1], false);
    assert_true(rq[1].has_failed);
    assert_int_equal(rq[1].failure, POOL_FAILURE_OVERFLOW);
    assert_int_equal(stat_of("upstream_rq_pending_overflow"), 1);
    fd = origin_accept();
    origin_read_head(fd);
    assert_int_equal(stat_of("circuit_breakers.default.remaining_pending"), 1);
    origin_send(fd, ANSWER);
    request_finish(&rq[0]);
    arena_done(&rq[1].arena);
    close(fd);
}

static void open_requests_are_limited(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct request rq[2];
    int fd[2];

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_requests = 1;
    put_cluster(c);
    for (size_t i = 0; i < 2; i++) {
        request_start(&rq[i], false);
    }
    fd[0] = origin_accept();
    fd[1] = origin_accept();
    request_finish(&rq[1]);
    assert_int_equal(rq[1].failure, POOL_FAILURE_ACTIVE_OVERFLOW);
    assert_int_equal(stat_of("upstream_rq_active_overflow"), 1);
    assert_int_equal(stat_of("circuit_breakers.default.rq_open"), 1);
    origin_read_head(fd[0]);
    origin_send(fd[0], ANSWER);
    request_finish(&rq[0]);
    assert_true(rq[0].is_complete);
    assert_int_equal(stat_of("circuit_breakers.default.rq_open"), 0);
    close(fd[0]);
    close(fd[1]);
}

/* --- draining ------------------------------------------------------------------------------------
 */

static void idle_connections_of_a_removed_host_are_closed(void **state)
{
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    fd = first_exchange();
    upstream_testing_put_endpoints(&u, 0, NULL);
    origin_await_close(fd);
}

static void a_removed_host_finishes_its_requests(void **state)
{
    struct request open;
    struct request waiting;
    int fd[2];

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&open, false);
    fd[0] = origin_accept();
    origin_read_head(fd[0]);
    request_start(&waiting, false);
    upstream_testing_put_endpoints(&u, 0, NULL);
    assert_null(cluster_pick(cluster_manager_get(u.thread.clusters, 0), NULL));
    fd[1] = origin_accept();
    origin_read_head(fd[1]);
    for (size_t i = 0; i < 2; i++) {
        origin_send(fd[i], ANSWER);
        request_finish(i == 0 ? &open : &waiting);
        origin_await_close(fd[i]);
    }
    assert_true(open.is_complete && waiting.is_complete);
    await_stat("upstream_cx_active", 0);
}

static void a_removed_cluster_lives_while_a_stream_holds_it(void **state)
{
    struct cluster *c;
    struct request rq;
    struct host *h;
    int fd;

    (void)state;
    put_cluster(testing_cluster("c", 0));
    request_start(&rq, false);
    fd = origin_accept();
    origin_read_head(fd);
    c = cluster_manager_get(u.thread.clusters, 0);
    cluster_ref(c);
    put_cluster(NULL);
    assert_null(cluster_manager_get(u.thread.clusters, 0));
    h = cluster_pick(c, NULL); /* a retry of the stream that pinned it */
    assert_non_null(h);
    host_unref(h);
    origin_send(fd, ANSWER);
    request_finish(&rq);
    assert_true(rq.is_complete);
    origin_await_close(fd);
    cluster_unref(c);
}

static struct cluster_config *cluster_with_hash(uint64_t pool_hash)
{
    struct cluster_config *c = testing_cluster("c", 0);

    c->pool_hash = pool_hash;
    return c;
}

static void a_new_version_keeps_connections(void **state)
{
    struct cluster *old;
    struct host *h;
    int fd;

    (void)state;
    put_cluster(cluster_with_hash(1));
    fd = first_exchange();
    old = cluster_manager_get(u.thread.clusters, 0);
    cluster_ref(old);
    put_cluster(cluster_with_hash(1));
    assert_ptr_not_equal(cluster_manager_get(u.thread.clusters, 0), old);
    assert_int_equal(exchange(fd), 1);
    /* Who still holds the old version picks among the hosts of the new one. */
    h = cluster_pick(old, NULL);
    assert_ptr_equal(h->cluster, cluster_manager_get(u.thread.clusters, 0));
    host_unref(h);
    cluster_unref(old);
    close(fd);
}

static void a_changed_pool_hash_drains(void **state)
{
    struct request rq;
    int fd[2];

    (void)state;
    put_cluster(cluster_with_hash(1));
    fd[0] = first_exchange();
    request_start(&rq, false);
    origin_read_head(fd[0]);
    put_cluster(cluster_with_hash(2));
    fd[1] = first_exchange(); /* on a connection of its own */
    origin_send(fd[0], ANSWER);
    request_finish(&rq);
    assert_true(rq.is_complete);
    origin_await_close(fd[0]);
    assert_int_equal(exchange(fd[1]), 1);
    close(fd[1]);
}

static void additional_addresses_are_tried_in_turn(void **state)
{
    struct endpoint_set *s = testing_endpoints(&(struct testing_endpoint){.port = 1}, 1);
    struct endpoint *e = (struct endpoint *)(uintptr_t)&s->localities[0].endpoints[0];
    struct address *second = ARENA_NEW(&s->part.arena, struct address);

    (void)state;
    assert_int_equal(address_from_ip(STR("127.0.0.1"), origin.port, second), 0);
    e->additional = second;
    e->additional_count = 1;
    upstream_testing_put_endpoints(&u, 0, s);
    put_cluster(testing_cluster("c", 0));
    close(first_exchange());
    assert_int_equal(stat_of("upstream_cx_connect_fail"), 0);
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_connection_is_used_again),
        POOL_TEST(every_waiting_request_has_a_connection),
        POOL_TEST(extra_bytes_end_a_connection),
        POOL_TEST(connection_close_ends_a_connection),
        POOL_TEST(http_10_ends_a_connection),
        POOL_TEST(bytes_that_nobody_asked_for_end_a_connection),
        POOL_TEST(a_peer_may_close_an_idle_connection),
        POOL_TEST(an_answer_before_the_request_is_complete_ends_a_connection),
        POOL_TEST(requests_per_connection_are_limited),
        POOL_TEST(idle_connections_are_closed),
        POOL_TEST(old_connections_are_closed_after_their_request),
        POOL_TEST(a_refused_connection_fails_all_that_wait),
        POOL_TEST(connecting_has_a_timeout),
        POOL_TEST(a_connection_that_dies_resets_its_request),
        POOL_TEST(half_an_answer_is_a_protocol_error),
        POOL_TEST(a_reset_inside_an_answer_is_a_protocol_error),
        POOL_TEST(a_fin_may_end_an_answer),
        POOL_TEST(garbage_is_a_protocol_error),
        POOL_TEST(a_reset_request_closes_its_connection),
        POOL_TEST(a_waiting_request_can_be_cancelled),
        POOL_TEST(connections_are_limited_but_for_the_first),
        POOL_TEST(waiting_requests_are_limited),
        POOL_TEST(open_requests_are_limited),
        POOL_TEST(idle_connections_of_a_removed_host_are_closed),
        POOL_TEST(a_removed_host_finishes_its_requests),
        POOL_TEST(a_removed_cluster_lives_while_a_stream_holds_it),
        POOL_TEST(a_new_version_keeps_connections),
        POOL_TEST(a_changed_pool_hash_drains),
        POOL_TEST(additional_addresses_are_tried_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
