/* Calls against a scripted origin on loopback (HTTP/1 with trailers: the same to a call as HTTP/2),
 * in one thread. What a real server says is in integration/client/. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "dataplane/client/grpc_client.h"
#include "dataplane/upstream/testing.h"

#define HEAD                                                                                       \
    "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"
#define END(status) "0\r\ngrpc-status: " status "\r\n\r\n"
#define SEND(fd, literal) origin_send((fd), (literal), sizeof(literal) - 1)

static struct upstream_testing u;
static struct testing_origin origin;
static struct grpc_client_target target;

/* --- what a call was told ------------------------------------------------------------------------
 */

struct told {
    struct grpc_client_call *call; /* NULL once it is over */
    char log[256];                 /* "head m(abc) m() close" */
    int closes;
    int code;
    char message[128];
    char details[128];
    const char *acts_on; /* the word of the log after which `act` is called */
    void (*act)(struct told *t);
};

static void told_log(struct told *t, const char *word)
{
    size_t len = strlen(t->log);

    assert_non_null(t->call); /* nothing comes after on_close or a cancel */
    (void)snprintf(t->log + len, sizeof(t->log) - len, "%s%s", len > 0 ? " " : "", word);
    if (t->acts_on != NULL && strcmp(t->acts_on, word) == 0) {
        t->act(t);
    }
}

static void told_on_headers(void *user, const struct header_map *h)
{
    assert_true(str_eq(header_get(h, HDR_STATUS), STR("200")));
    told_log(user, "head");
}

static void told_on_message(void *user, struct buf *message)
{
    char text[16];
    char word[32];
    size_t n = buf_copy_out(message, 0, text, sizeof(text));

    if (buf_len(message) > sizeof(text)) {
        (void)snprintf(word, sizeof(word), "m[%zu]", buf_len(message));
    } else {
        (void)snprintf(word, sizeof(word), "m(%.*s)", (int)n, text);
    }
    told_log(user, word);
}

static void told_on_watermark(void *user, bool is_above)
{
    told_log(user, is_above ? "above" : "below");
}

static void told_on_close(void *user, const struct grpc_client_result *r)
{
    struct told *t = user;

    told_log(t, "close");
    t->closes++;
    t->call = NULL;
    t->code = (int)r->code;
    (void)snprintf(t->message, sizeof(t->message), "%.*s", STR_ARG(r->message));
    (void)snprintf(t->details, sizeof(t->details), "%.*s", STR_ARG(r->details));
}

static const struct grpc_client_ops told_ops = {
    .on_headers = told_on_headers,
    .on_message = told_on_message,
    .on_close = told_on_close,
    .on_watermark = told_on_watermark,
};

static void told_start(struct told *t)
{
    *t = (struct told){.call = NULL};
    t->call = grpc_client_start(&u.thread, &target, STR("/p.S/M"), &told_ops, t);
    assert_string_equal(t->log, "");
}

static bool told_is_over(void *arg)
{
    return ((const struct told *)arg)->closes > 0;
}

static void await_close(struct told *t)
{
    upstream_testing_until(&u, told_is_over, t);
    assert_int_equal(t->closes, 1);
}

struct word_wait {
    const struct told *told;
    const char *word;
};

static bool word_is_there(void *arg)
{
    const struct word_wait *w = arg;

    return strstr(w->told->log, w->word) != NULL;
}

static void await_word(struct told *t, const char *word)
{
    upstream_testing_until(&u, word_is_there, &(struct word_wait){t, word});
}

/* --- the origin ----------------------------------------------------------------------------------
 */

static void origin_send(int fd, const char *bytes, size_t len)
{
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

/* Accepts and reads the head of the request. */
static int origin_take_head(char ret_head[TESTING_HEAD_MAX])
{
    char head[TESTING_HEAD_MAX];
    int fd = testing_origin_accept(&origin);

    testing_origin_read_head(&origin, fd, ret_head != NULL ? ret_head : head);
    return fd;
}

/* What is due now; waits for nothing. */
static void turn(void)
{
    (void)uv_run(&u.loop.uv, UV_RUN_NOWAIT);
}

struct bytes_wait {
    int fd;
    char bytes[64];
    size_t have;
    size_t want;
};

static bool bytes_are_there(void *arg)
{
    struct bytes_wait *w = arg;
    ssize_t n = read(w->fd, w->bytes + w->have, sizeof(w->bytes) - w->have);

    w->have += n > 0 ? (size_t)n : 0;
    return w->have >= w->want;
}

/* What follows the head. */
static void origin_expect(int fd, const char *bytes, size_t len)
{
    struct bytes_wait w = {.fd = fd, .want = len};

    upstream_testing_until(&u, bytes_are_there, &w);
    assert_int_equal(w.have, len);
    assert_memory_equal(w.bytes, bytes, len);
}

static uint64_t stat_of(const char *name)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    return upstream_testing_stat(&u, full);
}

static void put_cluster(uint32_t buffer_limit)
{
    struct cluster_config *c = testing_cluster("c", 0);

    c->http1.enable_trailers = true;
    c->per_connection_buffer_limit_bytes = buffer_limit;
    upstream_testing_put_cluster(&u, 0, c);
}

static int setup(void **state)
{
    (void)state;
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    upstream_testing_put_endpoints(
        &u, 0, testing_endpoints(&(struct testing_endpoint){.port = origin.port}, 1));
    put_cluster(0);
    target = (struct grpc_client_target){.cluster = {STR("c"), SLOT_NONE}};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upstream_testing_done(&u);
    testing_origin_close(&origin);
    return 0;
}

/* A call with one message sent; the server answers with `response` and closes. */
static void exchange(struct told *t, const char *response, size_t len)
{
    int fd;

    told_start(t);
    grpc_client_send_bytes(t->call, STR("hi"), true);
    fd = origin_take_head(NULL);
    origin_send(fd, response, len);
    close(fd);
    await_close(t);
    upstream_testing_until_stat(&u, "cluster.c.upstream_cx_active", 0); /* not to be used again */
}

#define EXCHANGE(told, literal) exchange((told), (literal), sizeof(literal) - 1)

/* --- requests ------------------------------------------------------------------------------------
 */

static void the_head_is_what_envoy_sends(void **state)
{
    const struct initial_metadata metadata[] = {
        {STR("X-Team-Bin"), STR("abcd")},
        {STR("authority-like"), STR("c")},
        {STR("content-type"), STR("application/grpc+proto")},
    };
    char head[TESTING_HEAD_MAX];
    struct told t;

    (void)state;
    target.metadata = metadata;
    target.metadata_count = ARRAY_LEN(metadata);
    target.timeout = (struct opt_ms){true, 1500};
    target.forwarded_for = STR("192.0.2.7");
    told_start(&t);
    close(origin_take_head(head));
    assert_string_equal(head, "POST /p.S/M HTTP/1.1\r\n"
                              "host: c\r\n"
                              "te: trailers\r\n"
                              "grpc-timeout: 1500m\r\n"
                              "content-type: application/grpc+proto\r\n"
                              "x-team-bin: YWJjZA==\r\n"
                              "authority-like: c\r\n"
                              "x-envoy-internal: true\r\n"
                              "x-forwarded-for: 192.0.2.7\r\n"
                              "x-envoy-expected-rq-timeout-ms: 1500\r\n"
                              "transfer-encoding: chunked\r\n"
                              "\r\n");
    await_close(&t);
}

static void the_head_without_envoys_headers(void **state)
{
    char head[TESTING_HEAD_MAX];
    struct told t;

    (void)state;
    target.skips_envoy_headers = true;
    target.forwarded_for = STR("192.0.2.7");
    target.authority = STR("auth.example");
    told_start(&t);
    close(origin_take_head(head));
    assert_string_equal(head, "POST /p.S/M HTTP/1.1\r\n"
                              "host: auth.example\r\n"
                              "te: trailers\r\n"
                              "content-type: application/grpc\r\n"
                              "transfer-encoding: chunked\r\n"
                              "\r\n");
    await_close(&t);
}

static void messages_go_out_framed(void **state)
{
    static const char expected[] = "7\r\n\0\0\0\0\2hi\r\n5\r\n\0\0\0\0\0\r\n0\r\n\r\n";
    struct told t;
    int fd;

    (void)state;
    told_start(&t);
    fd = origin_take_head(NULL);
    grpc_client_send_bytes(t.call, STR("hi"), false);
    turn();
    grpc_client_send_bytes(t.call, STR(""), false);
    turn();
    grpc_client_finish(t.call);
    grpc_client_send_bytes(t.call, STR("too late"), true);
    origin_expect(fd, expected, sizeof(expected) - 1);
    SEND(fd, HEAD END("0"));
    await_close(&t);
    close(fd);
}

/* --- responses -----------------------------------------------------------------------------------
 */

static void messages_come_in_and_then_the_status(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t, HEAD "d\r\n\0\0\0\0\3abc\0\0\0\0\0\r\n6\r\n\0\0\0\0\1z\r\n" END("0"));
    assert_string_equal(t.log, "head m(abc) m() m(z) close");
    assert_int_equal(t.code, GRPC_OK);
    assert_string_equal(t.details, "via_upstream");
    assert_int_equal(stat_of("upstream_rq_200"), 1);
    assert_int_equal(stat_of("internal.upstream_rq_200"), 1);
}

static void an_error_status_has_its_message(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t, HEAD "0\r\ngrpc-status: 5\r\ngrpc-message: b%C3%B6se %25 %2x\r\n\r\n");
    assert_string_equal(t.log, "head close");
    assert_int_equal(t.code, GRPC_NOT_FOUND);
    assert_string_equal(t.message, "b\xc3\xb6se % %2x");
}

static void a_head_with_a_status_is_all(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t,
             "HTTP/1.1 200 OK\r\ngrpc-status: 7\r\ngrpc-message: no\r\ncontent-length: 0\r\n\r\n");
    assert_string_equal(t.log, "close");
    assert_int_equal(t.code, GRPC_PERMISSION_DENIED);
    assert_string_equal(t.message, "no");
    EXCHANGE(&t, "HTTP/1.1 503 No\r\ngrpc-status: 8\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.code, GRPC_RESOURCE_EXHAUSTED);
    EXCHANGE(&t, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.code, GRPC_UNKNOWN);
}

static void an_http_status_becomes_a_grpc_one(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t, "HTTP/1.1 401 No\r\ncontent-length: 4\r\n\r\nbody");
    assert_string_equal(t.log, "close");
    assert_int_equal(t.code, GRPC_UNAUTHENTICATED);
    EXCHANGE(&t, "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.code, GRPC_UNIMPLEMENTED);
    EXCHANGE(&t, "HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.code, GRPC_UNAVAILABLE);
    EXCHANGE(&t, "HTTP/1.1 418 No\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.code, GRPC_UNKNOWN);
}

static void an_odd_status_is_unknown(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t, HEAD END("17"));
    assert_int_equal(t.code, GRPC_UNKNOWN);
    EXCHANGE(&t, HEAD END("-1"));
    assert_int_equal(t.code, GRPC_UNKNOWN);
    EXCHANGE(&t, HEAD "0\r\n\r\n"); /* none */
    assert_string_equal(t.log, "head close");
    assert_int_equal(t.code, GRPC_UNKNOWN);
}

static void bad_framing_is_internal(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t, HEAD "7\r\n\0\0\0\0\1a\2\r\n" END("0"));
    assert_string_equal(t.log, "head m(a) close");
    assert_int_equal(t.code, GRPC_INTERNAL);
    assert_string_equal(t.details, "grpc_bad_frame");
    EXCHANGE(&t, HEAD "6\r\n\1\0\0\0\1a\r\n" END("0")); /* compressed */
    assert_string_equal(t.log, "head close");
    assert_int_equal(t.code, GRPC_INTERNAL);
    EXCHANGE(&t, HEAD "5\r\n\1\0\0\0\0\r\n" END("0")); /* nothing, compressed: as Envoy */
    assert_string_equal(t.log, "head m() close");
    assert_int_equal(t.code, GRPC_OK);
}

static void a_message_over_the_bound_ends_the_call(void **state)
{
    struct told t;

    (void)state;
    target.max_message_bytes = 3;
    EXCHANGE(&t, HEAD "8\r\n\0\0\0\0\3abc\r\n5\r\n\0\0\0\0\4\r\n");
    assert_string_equal(t.log, "head m(abc) close");
    assert_int_equal(t.code, GRPC_RESOURCE_EXHAUSTED);
}

/* --- what goes wrong -----------------------------------------------------------------------------
 */

static void no_cluster_is_told_later(void **state)
{
    struct told t;

    (void)state;
    target.cluster.name = STR("nobody");
    told_start(&t);
    grpc_client_send_bytes(t.call, STR("hi"), true);
    assert_string_equal(t.log, "");
    await_close(&t);
    assert_int_equal(t.code, GRPC_UNAVAILABLE);
    assert_string_equal(t.message, "Cluster not available");
}

static void no_host_is_told_later(void **state)
{
    struct told t;

    (void)state;
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(NULL, 0));
    told_start(&t);
    await_close(&t);
    assert_int_equal(t.code, GRPC_UNAVAILABLE);
    assert_string_equal(t.message, "no healthy upstream");
    assert_string_equal(t.details, "no_healthy_upstream");
}

static void nobody_listening_is_unavailable(void **state)
{
    struct told t;

    (void)state;
    testing_origin_close(&origin);
    told_start(&t);
    await_close(&t);
    assert_int_equal(t.code, GRPC_UNAVAILABLE);
    assert_string_equal(t.message, "upstream connect error or disconnect/reset before headers. "
                                   "reset reason: remote connection failure");
    assert_int_equal(stat_of("upstream_rq_503"), 1);
}

static void a_connection_that_breaks_is_unavailable_then_internal(void **state)
{
    struct told t;

    (void)state;
    EXCHANGE(&t, "");
    assert_int_equal(t.code, GRPC_UNAVAILABLE);
    assert_string_equal(t.details,
                        "upstream_reset_before_response_started{connection_termination}");
    EXCHANGE(&t, HEAD "6\r\n\0\0\0\0\1a\r\n");
    assert_string_equal(t.log, "head m(a) close");
    assert_int_equal(t.code, GRPC_INTERNAL);
    assert_string_equal(t.message, "");
}

static void a_deadline_ends_the_call(void **state)
{
    struct told t;
    int fd;

    (void)state;
    target.timeout = (struct opt_ms){true, 30};
    told_start(&t);
    grpc_client_send_bytes(t.call, STR("hi"), true);
    fd = origin_take_head(NULL);
    await_close(&t);
    assert_int_equal(t.code, GRPC_UNAVAILABLE); /* as Envoy */
    assert_string_equal(t.message, "upstream request timeout");
    assert_string_equal(t.details, "response_timeout");
    assert_int_equal(stat_of("upstream_rq_timeout"), 1);
    testing_origin_await_close(&origin, fd);
}

static void a_call_outlives_its_cluster(void **state)
{
    struct told t;
    int fd;

    (void)state;
    told_start(&t);
    grpc_client_send_bytes(t.call, STR("hi"), true);
    fd = origin_take_head(NULL);
    upstream_testing_put_cluster(&u, 0, NULL);
    SEND(fd, HEAD "8\r\n\0\0\0\0\3abc\r\n" END("0"));
    await_close(&t);
    assert_string_equal(t.log, "head m(abc) close");
    assert_int_equal(t.code, GRPC_OK);
    testing_origin_await_close(&origin, fd); /* the connection does not */
    told_start(&t);
    await_close(&t);
    assert_string_equal(t.message, "Cluster not available");
}

/* --- cancelling ----------------------------------------------------------------------------------
 */

static void told_cancel(struct told *t)
{
    struct grpc_client_call *c = t->call;

    t->call = NULL;
    grpc_client_cancel(c);
}

static void a_cancelled_call_says_nothing(void **state)
{
    struct told t;
    int fd;

    (void)state;
    told_start(&t); /* waits for a connection */
    told_cancel(&t);
    told_start(&t);
    fd = origin_take_head(NULL);
    told_cancel(&t); /* open */
    testing_origin_await_close(&origin, fd);
    target.cluster.name = STR("nobody");
    told_start(&t); /* has failed, not yet told */
    told_cancel(&t);
    turn();
    assert_string_equal(t.log, "");
}

static void cancel_on(const char *word)
{
    struct told t;
    int fd;

    told_start(&t);
    t.acts_on = word;
    t.act = told_cancel;
    grpc_client_send_bytes(t.call, STR("hi"), true);
    fd = origin_take_head(NULL);
    SEND(fd, HEAD "c\r\n\0\0\0\0\1a\0\0\0\0\1b\r\n" END("0"));
    await_word(&t, word);
    testing_origin_await_close(&origin, fd);
    assert_null(strstr(t.log, "m(b)"));
    assert_int_equal(t.closes, 0);
}

static void a_callback_may_cancel(void **state)
{
    (void)state;
    cancel_on("head");
    cancel_on("m(a)");
}

/* --- flow control --------------------------------------------------------------------------------
 */

static void told_pause(struct told *t)
{
    grpc_client_pause(t->call, true);
}

static void pause_and_resume(struct told *t)
{
    grpc_client_pause(t->call, true);
    grpc_client_pause(t->call, false);
}

static void a_paused_call_keeps_messages_and_status(void **state)
{
    struct told t;
    int fd;

    (void)state;
    told_start(&t);
    t.acts_on = "m(a)";
    t.act = told_pause;
    grpc_client_send_bytes(t.call, STR("hi"), true);
    fd = origin_take_head(NULL);
    SEND(fd, HEAD "c\r\n\0\0\0\0\1a\0\0\0\0\1b\r\n" END("0"));
    await_word(&t, "m(a)");
    turn();
    turn();
    assert_string_equal(t.log, "head m(a)");
    grpc_client_pause(t.call, false);
    assert_string_equal(t.log, "head m(a)");
    await_close(&t);
    assert_string_equal(t.log, "head m(a) m(b) close");
    assert_int_equal(t.code, GRPC_OK);
    close(fd);
}

static void resuming_inside_a_message_is_no_second_delivery(void **state)
{
    struct told t;
    int fd;

    (void)state;
    told_start(&t);
    t.acts_on = "m(a)";
    t.act = pause_and_resume;
    fd = origin_take_head(NULL);
    SEND(fd, HEAD "c\r\n\0\0\0\0\1a\0\0\0\0\1b\r\n" END("0"));
    await_close(&t);
    assert_string_equal(t.log, "head m(a) m(b) close");
    close(fd);
}

static void sending_more_than_leaves_is_told(void **state)
{
    char big[4096] = "";
    struct told t;

    (void)state;
    put_cluster(1024);
    told_start(&t); /* no connection yet: held */
    grpc_client_send_bytes(t.call, STR("small"), false);
    assert_false(grpc_client_is_above(t.call));
    grpc_client_send_bytes(t.call, str_n(big, sizeof(big)), false);
    assert_string_equal(t.log, "above");
    assert_true(grpc_client_is_above(t.call));
    close(origin_take_head(NULL));
    await_word(&t, "below");
    await_close(&t);
}

/* --- unary ---------------------------------------------------------------------------------------
 */

static void unary_done(void *user, const struct grpc_client_result *r, struct buf *response)
{
    struct told *t = user;

    if (response != NULL) {
        told_on_message(t, response);
    }
    told_on_close(t, r);
}

static void unary(struct told *t, const char *response, size_t len)
{
    struct buf message;
    int fd;

    *t = (struct told){.call = NULL};
    buf_init(&message, &u.loop.bufs);
    buf_add_str(&message, STR("hi"));
    t->call = grpc_client_unary(&u.thread, &target, STR("/p.S/M"), &message, unary_done, t);
    fd = origin_take_head(NULL);
    origin_send(fd, response, len);
    close(fd);
    await_close(t);
    upstream_testing_until_stat(&u, "cluster.c.upstream_cx_active", 0); /* not to be used again */
}

static void one_message_there_and_one_back(void **state)
{
    static const char one[] = HEAD "8\r\n\0\0\0\0\3abc\r\n" END("0");
    static const char two[] = HEAD "c\r\n\0\0\0\0\1a\0\0\0\0\1b\r\n" END("0");
    static const char none[] = HEAD END("0");
    static const char error[] = HEAD "8\r\n\0\0\0\0\3abc\r\n" END("3");
    struct told t;

    (void)state;
    unary(&t, one, sizeof(one) - 1);
    assert_string_equal(t.log, "m(abc) close");
    assert_int_equal(t.code, GRPC_OK);
    unary(&t, two, sizeof(two) - 1);
    assert_string_equal(t.log, "m(b) close");
    unary(&t, none, sizeof(none) - 1);
    assert_string_equal(t.log, "close");
    assert_int_equal(t.code, GRPC_INTERNAL);
    unary(&t, error, sizeof(error) - 1);
    assert_string_equal(t.log, "close");
    assert_int_equal(t.code, GRPC_INVALID_ARGUMENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_head_is_what_envoy_sends),
        TEST(the_head_without_envoys_headers),
        TEST(messages_go_out_framed),
        TEST(messages_come_in_and_then_the_status),
        TEST(an_error_status_has_its_message),
        TEST(a_head_with_a_status_is_all),
        TEST(an_http_status_becomes_a_grpc_one),
        TEST(an_odd_status_is_unknown),
        TEST(bad_framing_is_internal),
        TEST(a_message_over_the_bound_ends_the_call),
        TEST(no_cluster_is_told_later),
        TEST(no_host_is_told_later),
        TEST(nobody_listening_is_unavailable),
        TEST(a_connection_that_breaks_is_unavailable_then_internal),
        TEST(a_deadline_ends_the_call),
        TEST(a_call_outlives_its_cluster),
        TEST(a_cancelled_call_says_nothing),
        TEST(a_callback_may_cancel),
        TEST(a_paused_call_keeps_messages_and_status),
        TEST(resuming_inside_a_message_is_no_second_delivery),
        TEST(sending_more_than_leaves_is_told),
        TEST(one_message_there_and_one_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
