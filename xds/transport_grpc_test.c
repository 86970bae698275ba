/*
 * The transport against gRPC C core's own server, over a socketpair. The server runs a scenario on
 * a thread of its own; the client's loop runs until the scenario has shown what it must.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "xds/transport.h"

#define PATIENCE_S 60
#define MAX_MESSAGE (16u << 20)

/* --- server: its own thread ------------------------------------------------------------------- */

struct server {
    pthread_t thread;
    int fd;
    void (*scenario)(struct server *s);
    grpc_server *server;
    grpc_completion_queue *cq;
    grpc_call *call;
    struct strbuf method;
    struct strbuf authority;
    struct strbuf token;    /* of the client's metadata */
    struct strbuf received; /* messages, each with a line end */
    bool is_cancelled;
};

static void server_wait(struct server *s)
{
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(PATIENCE_S, GPR_TIMESPAN));
    grpc_event e = grpc_completion_queue_next(s->cq, deadline, NULL);

    CHECK(e.type == GRPC_OP_COMPLETE);
}

static void server_batch(struct server *s, const grpc_op *op)
{
    grpc_call_error r = grpc_call_start_batch(s->call, op, 1, s, NULL);

    CHECK(r == GRPC_CALL_OK);
    server_wait(s);
}

static void add_slice(struct strbuf *out, grpc_slice slice)
{
    strbuf_add(out, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
}

static void server_accept(struct server *s)
{
    grpc_metadata_array metadata;
    grpc_call_details details;
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    grpc_call_error r;

    grpc_metadata_array_init(&metadata);
    grpc_call_details_init(&details);
    r = grpc_server_request_call(s->server, &s->call, &details, &metadata, s->cq, s->cq, s);
    CHECK(r == GRPC_CALL_OK);
    server_wait(s);
    add_slice(&s->method, details.method);
    add_slice(&s->authority, details.host);
    for (size_t i = 0; i < metadata.count; i++) {
        if (grpc_slice_str_cmp(metadata.metadata[i].key, "x-token") == 0) {
            add_slice(&s->token, metadata.metadata[i].value);
        }
    }
    grpc_metadata_array_destroy(&metadata);
    grpc_call_details_destroy(&details);
    server_batch(s, &op);
}

/* False: the client is gone. */
static bool server_receive(struct server *s)
{
    grpc_byte_buffer *message = NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    grpc_byte_buffer_reader reader;
    grpc_slice all;

    op.data.recv_message.recv_message = &message;
    server_batch(s, &op);
    if (message == NULL) {
        return false;
    }
    CHECK(grpc_byte_buffer_reader_init(&reader, message));
    all = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    add_slice(&s->received, all);
    strbuf_add_char(&s->received, '\n');
    grpc_slice_unref(all);
    grpc_byte_buffer_destroy(message);
    return true;
}

static void server_send(struct server *s, char fill, size_t len)
{
    grpc_slice slice = grpc_slice_malloc(len);
    grpc_byte_buffer *message;
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};

    memset(GRPC_SLICE_START_PTR(slice), fill, len);
    message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    op.data.send_message.send_message = message;
    server_batch(s, &op);
    grpc_byte_buffer_destroy(message);
}

static void server_finish(struct server *s, grpc_status_code code, const char *text)
{
    grpc_slice details = grpc_slice_from_copied_string(text);
    grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};

    op.data.send_status_from_server.status = code;
    op.data.send_status_from_server.status_details = &details;
    server_batch(s, &op);
    grpc_slice_unref(details);
}

static void server_wait_for_cancel(struct server *s)
{
    int cancelled = 0;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};

    op.data.recv_close_on_server.cancelled = &cancelled;
    server_batch(s, &op);
    s->is_cancelled = cancelled != 0;
}

static void *server_thread(void *arg)
{
    struct server *s = arg;
    grpc_server_credentials *creds;

    grpc_init();
    creds = grpc_insecure_server_credentials_create();
    s->server = grpc_server_create(NULL, NULL);
    s->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(s->server, s->cq, NULL);
    grpc_server_start(s->server);
    grpc_server_add_channel_from_fd(s->server, s->fd, creds);
    grpc_server_credentials_release(creds);
    s->scenario(s);
    if (s->call != NULL) {
        grpc_call_unref(s->call);
    }
    grpc_server_shutdown_and_notify(s->server, s->cq, s);
    grpc_server_cancel_all_calls(s->server);
    server_wait(s);
    grpc_server_destroy(s->server);
    grpc_completion_queue_shutdown(s->cq);
    while (grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
        continue;
    }
    grpc_completion_queue_destroy(s->cq);
    grpc_shutdown();
    return NULL;
}

/* --- client ------------------------------------------------------------------------------------
 */

struct fixture {
    struct loop loop;
    struct xds_transport_factory *transports;
    struct xds_transport *transport; /* NULL: closed by either side */
    struct server server;
    struct strbuf told;
    size_t message_bytes;
    unsigned messages;
    unsigned wanted_messages; /* the loop stops after that many */
    bool closes_on_message;
    bool is_closed;
};

static struct fixture fx;

static void on_message(void *user, struct str bytes)
{
    (void)user;
    fx.message_bytes += bytes.len;
    strbuf_add_char(&fx.told, bytes.len > 0 ? bytes.ptr[0] : '-');
    CHECK(bytes.len == 0 || bytes.ptr[bytes.len - 1] == bytes.ptr[0]);
    if (fx.closes_on_message) {
        fx.transports->close(fx.transport);
        fx.transport = NULL;
        loop_stop(&fx.loop);
    }
    if (++fx.messages == fx.wanted_messages) {
        loop_stop(&fx.loop);
    }
}

static void on_closed(void *user, struct str reason, bool too_large)
{
    (void)user;
    fx.transport = NULL;
    strbuf_addf(&fx.told, "closed(%.*s)%s", STR_ARG(reason), too_large ? " too large" : "");
    loop_stop(&fx.loop);
}

static const struct xds_transport_callbacks callbacks = {
    .on_message = on_message,
    .on_closed = on_closed,
};

static int setup(void **state)
{
    fx = (struct fixture){.wanted_messages = 0};
    assert_int_equal(loop_init(&fx.loop, LOOP_MAIN_INDEX), 0);
    fx.transports = xds_grpc_transport_new(&fx.loop);
    strbuf_init(&fx.told);
    return 0;
}

static void on_shutdown(void *user)
{
    (void)user;
    fx.is_closed = true;
    loop_stop(&fx.loop);
}

static int teardown(void **state)
{
    if (fx.transport != NULL) {
        fx.transports->close(fx.transport);
    }
    fx.transports->shutdown(fx.transports, on_shutdown, NULL);
    assert_false(fx.is_closed);
    while (!fx.is_closed) {
        loop_run(&fx.loop);
    }
    if (fx.server.scenario != NULL) {
        assert_int_equal(pthread_join(fx.server.thread, NULL), 0);
    }
    strbuf_done(&fx.server.method);
    strbuf_done(&fx.server.authority);
    strbuf_done(&fx.server.token);
    strbuf_done(&fx.server.received);
    strbuf_done(&fx.told);
    loop_done(&fx.loop);
    return 0;
}

static void start(void (*scenario)(struct server *s))
{
    static const struct xds_metadata METADATA[] = {
        {{"X-Token", 7}, {"secret", 6}},
        {{"not legal", 9}, {"x", 1}},
        {{"x-bad", 5}, {"\x01", 1}},
    };
    const struct xds_source source = {
        .kind = XDS_SOURCE_GRPC,
        .cluster_name = STR("control_plane"),
        .initial_metadata = METADATA,
        .initial_metadata_count = ARRAY_LEN(METADATA),
    };
    const struct xds_transport_params params = {
        .method = STR("/envoy.Service/Stream"),
        .source = &source,
        .max_message_bytes = MAX_MESSAGE,
    };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    fx.server.fd = fds[1];
    fx.server.scenario = scenario;
    fx.transport = fx.transports->open(fx.transports, fds[0], &params, &callbacks, &fx);
    assert_int_equal(pthread_create(&fx.server.thread, NULL, server_thread, &fx.server), 0);
}

static void join_server(void)
{
    assert_int_equal(pthread_join(fx.server.thread, NULL), 0);
    fx.server.scenario = NULL;
}

/* --- tests -------------------------------------------------------------------------------------
 */

static void answer_and_finish(struct server *s)
{
    server_accept(s);
    CHECK(server_receive(s) && server_receive(s));
    server_send(s, 'a', 10);
    server_send(s, 'b', 0);
    server_send(s, 'c', 1);
    server_finish(s, GRPC_STATUS_UNAVAILABLE, "going away");
}

static void test_messages_in_order_and_the_status(void **state)
{
    start(answer_and_finish);
    fx.transports->send(fx.transport, STR("one"));
    fx.transports->send(fx.transport, STR("two"));
    loop_run(&fx.loop);
    assert_string_equal(fx.told.ptr, "a-cclosed(gRPC status 14: going away)");
    join_server();
    assert_string_equal(fx.server.received.ptr, "one\ntwo\n");
    assert_string_equal(fx.server.method.ptr, "/envoy.Service/Stream");
    assert_string_equal(fx.server.authority.ptr, "control_plane");
    assert_string_equal(fx.server.token.ptr, "secret"); /* the illegal ones were left out */
}

static void send_large(struct server *s)
{
    server_accept(s);
    for (char c = 'a'; c < 'd'; c++) {
        server_send(s, c, 12u << 20);
    }
    server_wait_for_cancel(s);
}

static void test_large_messages(void **state)
{
    fx.wanted_messages = 3;
    start(send_large);
    loop_run(&fx.loop);
    assert_string_equal(fx.told.ptr, "abc");
    assert_int_equal(fx.message_bytes, 3 * (12u << 20));
    fx.transports->close(fx.transport);
    fx.transport = NULL;
    join_server();
    assert_true(fx.server.is_cancelled);
}

static void send_too_large(struct server *s)
{
    server_accept(s);
    server_send(s, 'a', MAX_MESSAGE);
    server_send(s, 'b', MAX_MESSAGE + 1);
    server_wait_for_cancel(s);
}

static void test_a_message_over_the_limit_ends_the_stream(void **state)
{
    start(send_too_large);
    loop_run(&fx.loop);
    assert_non_null(strstr(fx.told.ptr, "aclosed(gRPC status 8: "));
    assert_non_null(strstr(fx.told.ptr, ") too large"));
}

static void hang_up(struct server *s)
{
    server_accept(s);
    CHECK(server_receive(s));
    (void)shutdown(s->fd, SHUT_RDWR);
}

static void test_a_connection_that_breaks_is_told(void **state)
{
    start(hang_up);
    fx.transports->send(fx.transport, STR("x"));
    loop_run(&fx.loop);
    assert_non_null(strstr(fx.told.ptr, "closed(gRPC status 14: "));
}

static void wait_and_watch(struct server *s)
{
    server_accept(s);
    server_send(s, 'a', 5);
    server_send(s, 'b', 5);
    server_wait_for_cancel(s);
}

static void test_closed_from_inside_a_message(void **state)
{
    fx.closes_on_message = true;
    start(wait_and_watch);
    fx.transports->send(fx.transport, STR("x"));
    loop_run(&fx.loop);
    assert_string_equal(fx.told.ptr, "a");
    join_server();
}

static void hear_nothing(struct server *s)
{
    (void)s; /* not even the connection's preface is answered to a call */
}

static void test_closed_before_anything_came(void **state)
{
    start(hear_nothing);
    fx.transports->send(fx.transport, STR("x"));
    fx.transports->close(fx.transport);
    fx.transport = NULL;
}

static void test_shut_down_without_a_stream(void **state)
{
}

static void test_streams_one_after_another(void **state)
{
    for (int i = 0; i < 3; i++) {
        start(answer_and_finish);
        fx.transports->send(fx.transport, STR("one"));
        fx.transports->send(fx.transport, STR("two"));
        loop_run(&fx.loop);
        join_server();
        assert_null(fx.transport);
        fx.server.call = NULL;
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_messages_in_order_and_the_status),
        TEST(test_large_messages),
        TEST(test_a_message_over_the_limit_ends_the_stream),
        TEST(test_a_connection_that_breaks_is_told),
        TEST(test_closed_from_inside_a_message),
        TEST(test_closed_before_anything_came),
        TEST(test_shut_down_without_a_stream),
        TEST(test_streams_one_after_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
