/* A reporter against a scripted origin on loopback, in one thread. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "dataplane/client/grpc_reporter.h"
#include "dataplane/upstream/testing.h"

#define BUFFER_LIMIT 1024

static struct upstream_testing u;
static struct testing_origin origin;
static struct grpc_client_target target;
static struct grpc_reporter reporter;
static int closes;
static int last_code;

static void on_close(void *user, const struct grpc_client_result *r)
{
    assert_ptr_equal(user, &reporter);
    assert_true(grpc_reporter_is_closed(&reporter));
    closes++;
    last_code = (int)r->code;
}

static const struct grpc_reporter_ops ops = {.on_close = on_close};

static int setup(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);

    (void)state;
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    upstream_testing_put_endpoints(
        &u, 0, testing_endpoints(&(struct testing_endpoint){.port = origin.port}, 1));
    c->http1.enable_trailers = true;
    c->per_connection_buffer_limit_bytes = BUFFER_LIMIT;
    upstream_testing_put_cluster(&u, 0, c);
    target = (struct grpc_client_target){.cluster = {STR("c"), 0}, .timeout = {true, 1}};
    closes = 0;
    grpc_reporter_init(&reporter, &u.thread, &target, STR("/p.S/Report"), &ops, &reporter);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    grpc_reporter_done(&reporter);
    upstream_testing_done(&u);
    testing_origin_close(&origin);
    return 0;
}

static bool report(const char *text, size_t len)
{
    struct buf message;

    buf_init(&message, &u.loop.bufs);
    buf_add(&message, text, len);
    return grpc_reporter_send(&reporter, &message);
}

static int accept_stream(void)
{
    char head[TESTING_HEAD_MAX];
    int fd = testing_origin_accept(&origin);

    testing_origin_read_head(&origin, fd, head);
    assert_null(strstr(head, "timeout")); /* the stream is to stay */
    return fd;
}

static bool has_closed(void *arg)
{
    return closes >= *(int *)arg;
}

static void await_closes(int n)
{
    upstream_testing_until(&u, has_closed, &n);
}

static void a_stream_opens_with_a_message_and_again_after_it_broke(void **state)
{
    int fd;

    (void)state;
    assert_true(grpc_reporter_is_closed(&reporter));
    assert_true(report("one", 3));
    assert_false(grpc_reporter_is_closed(&reporter));
    fd = accept_stream();
    assert_true(report("two", 3));
    assert_int_equal(reporter.opened_streams, 1);
    close(fd);
    await_closes(1);
    assert_int_equal(last_code, GRPC_UNAVAILABLE);
    assert_true(report("three", 5));
    assert_int_equal(reporter.opened_streams, 2);
    testing_origin_send(accept_stream(), "HTTP/1.1 200 OK\r\ngrpc-status: 12\r\n"
                                         "content-length: 0\r\n\r\n");
    await_closes(2);
    assert_int_equal(last_code, GRPC_UNIMPLEMENTED);
    assert_int_equal(reporter.sent_messages, 3);
}

static void what_cannot_leave_is_dropped(void **state)
{
    char big[2 * BUFFER_LIMIT] = "";
    int fd;

    (void)state;
    assert_true(report("one", 3));
    assert_true(report(big, sizeof(big))); /* nothing is over the limit before it */
    assert_false(report("two", 3));
    assert_false(report(big, sizeof(big)));
    assert_int_equal(reporter.sent_messages, 2);
    assert_int_equal(reporter.dropped_messages, 2);
    fd = accept_stream(); /* what was held leaves */
    assert_true(report("three", 5));
    close(fd);
    await_closes(1);
}

static void a_service_that_is_not_there_costs_messages_only(void **state)
{
    (void)state;
    upstream_testing_put_cluster(&u, 0, NULL);
    assert_true(report("one", 3));
    await_closes(1);
    assert_true(report("two", 3));
    await_closes(2);
    assert_int_equal(last_code, GRPC_UNAVAILABLE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_opens_with_a_message_and_again_after_it_broke),
        TEST(what_cannot_leave_is_dropped),
        TEST(a_service_that_is_not_there_costs_messages_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
