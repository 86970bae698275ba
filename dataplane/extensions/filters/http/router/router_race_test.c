/* Tests router.c, attempts.c: a request that loses the race against the end of a kept HTTP/1
 * connection is sent once more, if that can do no harm. */

#include "dataplane/extensions/filters/http/router/router_testing.h"
#include "dataplane/net/connection.h"
#include "dataplane/runtime/runtime.h"

#define ANSWER "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

static void assert_retries(uint64_t tried, uint64_t good, uint64_t overflow)
{
    assert_int_equal(stat_of("upstream_rq_retry"), tried);
    assert_int_equal(stat_of("upstream_rq_retry_success"), good);
    assert_int_equal(stat_of("upstream_rq_retry_overflow"), overflow);
}

/* Another request of another stream. */
static void client_again(void)
{
    http_filter_router.on_destroy(&client.filter);
    strbuf_reset(&client.body);
    header_map_init(&client.headers, &client.arena);
    memset(&client.info, 0, sizeof(client.info));
    memset(client.filter.state, 0, http_filter_router.stream_size);
    client.response = NULL;
    client.is_over = false;
    client.has_local_reply = false;
    client.status = 0;
}

/* A connection that has carried one request; the origin's end of it. */
static int keep_connection(void)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    put_default_cluster();
    client_send("GET", true);
    fd = origin_take(head);
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_int_equal(client.status, 200);
    client_again();
    return fd;
}

/* The origin reads the request and closes; what becomes of it, with a new connection if asked. */
static void lose(int fd, const char *body, bool is_replayed)
{
    char head[TESTING_HEAD_MAX];

    testing_origin_read_head(&origin, fd, head);
    if (body != NULL && strstr(head, body) == NULL) {
        testing_origin_read_until(&origin, fd, body, head);
    }
    close(fd);
    if (is_replayed) {
        fd = origin_take(head);
        if (body != NULL && strstr(head, body) == NULL) {
            testing_origin_read_until(&origin, fd, body, head);
        }
        testing_origin_send(fd, ANSWER);
    }
    client_await();
    assert_int_equal(client.status, is_replayed ? 200 : 503);
    if (is_replayed) {
        assert_int_equal(client.info.flags, 0);
        close(fd);
    } else {
        assert_true(has_flag(FLAG_UPSTREAM_CONNECTION_TERMINATION));
    }
    assert_retries(is_replayed ? 1 : 0, is_replayed ? 1 : 0, 0);
}

static void idempotent_requests_are_replayed(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"};

    (void)state;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        int fd = keep_connection();

        client_send(methods[i], true);
        if (i == 0) {
            lose(fd, NULL, true);
        } else {
            char head[TESTING_HEAD_MAX];

            testing_origin_read_head(&origin, fd, head);
            close(fd);
            fd = origin_take(head);
            testing_origin_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
            client_await();
            assert_int_equal(client.status, 204);
            close(fd);
        }
        assert_retries(i + 1, i + 1, 0);
        client_again();
        upstream_testing_until_stat(&u, "cluster.c.upstream_cx_active", 0);
    }
}

static void a_put_goes_with_its_body(void **state)
{
    int fd = keep_connection();

    (void)state;
    client_send("PUT", false);
    client_send_body("the-body", true);
    lose(fd, "the-body", true);
}

static void a_body_beyond_the_limit_is_not_kept(void **state)
{
    int fd = keep_connection();

    (void)state;
    client_send("PUT", false);
    client_send_body("more than sixteen", true);
    lose(fd, "sixteen", false);
}

static void a_post_is_not_guessed_about(void **state)
{
    int fd = keep_connection();

    (void)state;
    client_send("POST", false);
    client_send_body("b", true);
    lose(fd, NULL, false);
}

static void a_post_of_which_nothing_was_written_is(void **state)
{
    int fd = keep_connection();
    char head[TESTING_HEAD_MAX];

    (void)state;
    /* The end of the connection is in its socket before the request is: both meet in one turn, in
     * which the output waits until its end. */
    client_send("POST", false);
    client_send_body("b", true);
    conn_close(pool_request_conn(&((struct router *)client.filter.state)->request.pool_request),
               CONN_CLOSE_NOW);
    close(fd);
    fd = origin_take(head);
    assert_has(head, "POST /p");
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_int_equal(client.status, 200);
    assert_retries(1, 1, 0);
    close(fd);
}

static void a_new_connection_is_no_race(void **state)
{
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    client_send("GET", true);
    close(origin_take(head));
    client_await();
    assert_int_equal(client.status, 503);
    assert_retries(0, 0, 0);
}

static void what_was_half_answered_is_not_replayed(void **state)
{
    int fd = keep_connection();
    char head[TESTING_HEAD_MAX];

    (void)state;
    client_send("GET", true);
    testing_origin_read_head(&origin, fd, head);
    testing_origin_send(fd, "HTTP/1.1 200");
    close(fd);
    client_await();
    assert_in_range(client.status, 502, 503);
    assert_retries(0, 0, 0);
}

static void once_is_enough(void **state)
{
    int fd = keep_connection();
    char head[TESTING_HEAD_MAX];

    (void)state;
    client_send("GET", true);
    testing_origin_read_head(&origin, fd, head);
    close(fd);
    close(origin_take(head)); /* new, so no race any more */
    client_await();
    assert_int_equal(client.status, 503);
    assert_retries(1, 0, 0);
}

static void the_breaker_counts(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    int fd = keep_connection();
    char head[TESTING_HEAD_MAX];

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_retries = 0;
    upstream_testing_put_cluster(&u, 0, c);
    client_send("GET", true);
    testing_origin_read_head(&origin, fd, head);
    close(fd);
    client_await();
    assert_int_equal(client.status, 503);
    assert_true(has_flag(FLAG_UPSTREAM_OVERFLOW));
    assert_retries(0, 0, 1);
}

static void the_switch_turns_it_off(void **state)
{
    const struct runtime_entry off = {
        .key = STR("nuncio.replay_raced_requests"),
        .value = {.text = STR("false"), .is_bool = true},
    };
    const struct runtime_layer layer = {.name = STR("l"), .entries = &off, .count = 1};
    struct runtime *runtime = runtime_new(&layer, 1);
    int fd;

    (void)state;
    u.thread.runtime = runtime;
    fd = keep_connection();
    client_send("GET", true);
    lose(fd, NULL, false);
    u.thread.runtime = NULL;
    runtime_free(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROUTER_TEST(idempotent_requests_are_replayed),
        ROUTER_TEST(a_put_goes_with_its_body),
        ROUTER_TEST(a_body_beyond_the_limit_is_not_kept),
        ROUTER_TEST(a_post_is_not_guessed_about),
        ROUTER_TEST(a_post_of_which_nothing_was_written_is),
        ROUTER_TEST(a_new_connection_is_no_race),
        ROUTER_TEST(what_was_half_answered_is_not_replayed),
        ROUTER_TEST(once_is_enough),
        ROUTER_TEST(the_breaker_counts),
        ROUTER_TEST(the_switch_turns_it_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
