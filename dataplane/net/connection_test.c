/* Connections over loopback TCP and unix sockets, both ends in one loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "dataplane/event/testing.h"
#include "dataplane/net/connection.h"

#define WATCHDOG_MS 10000

/* One end and what happened to it. */
struct end {
    struct conn *conn;
    struct strbuf got;
    bool is_connected;
    bool is_eof;
    bool is_closed;
    bool keeps;     /* leaves everything in `in` */
    bool is_inside; /* a call into the connection is under way: nothing may call back */
    enum conn_close_cause cause;
    char reason[160];
    int offers;
    int above;
    int below;
};

static struct loop loop;
static struct timer watchdog;
static struct end client;
static struct end server;

static void on_connected(struct conn *c)
{
    struct end *e = c->user;

    e->is_connected = true;
}

static void on_data(struct conn *c, struct buf *in, bool end_stream)
{
    struct end *e = c->user;

    e->offers++;
    e->is_eof = e->is_eof || end_stream;
    while (!e->keeps && buf_len(in) > 0) {
        struct str front = buf_front(in);

        strbuf_add_str(&e->got, front);
        buf_drain(in, front.len);
    }
}

static void on_watermark(struct conn *c, bool is_above)
{
    struct end *e = c->user;

    *(is_above ? &e->above : &e->below) += 1;
}

static void on_closed(struct conn *c, enum conn_close_cause cause)
{
    struct end *e = c->user;

    assert_false(e->is_inside);
    assert_false(e->is_closed);
    e->is_closed = true;
    e->cause = cause;
    (void)snprintf(e->reason, sizeof(e->reason), "%s",
                   c->failure_reason != NULL ? c->failure_reason : "");
    e->conn = NULL;
}

static const struct conn_ops ops = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_watermark = on_watermark,
    .on_closed = on_closed,
};

static void on_watchdog(struct timer *t)
{
    fail_msg("nothing happened for too long");
}

static void turn(void)
{
    loop_test_turn(&loop);
}

#define WAIT(condition) LOOP_WAIT(&loop, condition)

static int set_up(void **state)
{
    int r = loop_init(&loop, 0);

    assert_int_equal(r, 0);
    timer_init(&watchdog, on_watchdog);
    timer_arm(&loop, &watchdog, WATCHDOG_MS);
    memset(&client, 0, sizeof(client));
    memset(&server, 0, sizeof(server));
    return 0;
}

static void close_end(struct end *e)
{
    if (e->conn != NULL) {
        conn_close(e->conn, CONN_CLOSE_NOW);
        WAIT(e->is_closed);
    }
    strbuf_done(&e->got);
}

static int tear_down(void **state)
{
    close_end(&client);
    close_end(&server);
    timer_cancel(&loop, &watchdog);
    loop_done(&loop);
    return 0;
}

/* A listening socket on loopback. */
static int listen_on(struct address *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(ret_address->in);

    assert_int_equal(address_from_ip(STR("127.0.0.1"), 0, ret_address), 0);
    assert_int_equal(bind(fd, &ret_address->sa, ret_address->len), 0);
    assert_int_equal(getsockname(fd, &ret_address->sa, &len), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void connect_to(const struct address *a, const struct transport_socket *transport,
                       uint64_t timeout_ms)
{
    const struct conn_connect_options o = {
        .remote = *a, .timeout_ms = timeout_ms, .transport = transport};

    client.is_inside = true;
    assert_int_equal(conn_connect(&loop, &o, &ops, &client, &client.conn), 0);
    client.is_inside = false;
    assert_false(client.is_connected);
}

static void accept_from(int listener, const struct transport_socket *transport)
{
    struct address remote = {.len = sizeof(remote.un)};
    int fd = accept4(listener, &remote.sa, &remote.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(conn_accept(&loop, fd, false, &remote, &remote, &server.conn), 0);
    server.conn->ops = &ops;
    server.conn->user = &server;
    assert_int_equal(conn_set_server_transport(server.conn, transport, NULL, 0), 0);
    conn_read_start(server.conn);
}

static void connect_both_with(const struct transport_socket *transport)
{
    struct address a;
    int listener = listen_on(&a);

    connect_to(&a, transport, 5000);
    WAIT(client.is_connected || conn_fd(client.conn) >= 0);
    WAIT(conn_is_connected(client.conn) || transport != NULL);
    accept_from(listener, transport);
    WAIT(client.is_connected);
    assert_int_equal(close(listener), 0);
}

static void connect_both(void)
{
    connect_both_with(NULL);
}

static void say(struct end *e, const char *text)
{
    struct buf b;

    buf_init(&b, &loop.bufs);
    buf_add_str(&b, str_c(text));
    e->is_inside = true;
    conn_write(e->conn, &b);
    e->is_inside = false;
    assert_int_equal(buf_len(&b), 0);
}

static void say_many(struct end *e, size_t bytes)
{
    char chunk[4096];
    struct buf b;

    memset(chunk, 'x', sizeof(chunk));
    buf_init(&b, &loop.bufs);
    while (bytes > 0) {
        size_t n = bytes < sizeof(chunk) ? bytes : sizeof(chunk);

        buf_add(&b, chunk, n);
        bytes -= n;
    }
    conn_write(e->conn, &b);
}

static void hang_up(struct end *e, enum conn_close_mode mode)
{
    e->is_inside = true;
    conn_close(e->conn, mode);
    e->is_inside = false;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void bytes_arrive_both_ways(void **state)
{
    connect_both();
    assert_true(conn_is_connected(client.conn));
    assert_true(address_eq_ip(&client.conn->local, &client.conn->remote));
    say(&client, "hello");
    say(&client, " server");
    WAIT(server.got.len == 12);
    assert_string_equal(server.got.ptr, "hello server");
    say(&server, "hello client");
    WAIT(client.got.len == 12);
    assert_int_equal(client.conn->bytes_written, 12);
    assert_int_equal(client.conn->bytes_read, 12);
    assert_ptr_equal(conn_direct_remote(server.conn), &server.conn->remote);
}

static void what_is_left_is_offered_again(void **state)
{
    connect_both();
    server.keeps = true;
    say(&client, "ab");
    WAIT(server.offers == 1);
    assert_int_equal(buf_len(&server.conn->in), 2);
    say(&client, "cd");
    WAIT(server.offers == 2);
    assert_int_equal(buf_len(&server.conn->in), 4);
    server.keeps = false;
    conn_offer_again(server.conn);
    WAIT(server.offers == 3);
    assert_string_equal(server.got.ptr, "abcd");
}

static void disabled_reads_leave_bytes_in_the_kernel(void **state)
{
    connect_both();
    conn_read_disable(server.conn, true);
    conn_read_disable(server.conn, true);
    say(&client, "ab");
    WAIT(server.conn->is_read_held);
    say(&client, "cd");
    turn();
    conn_read_disable(server.conn, false);
    assert_int_equal(server.offers, 0);
    conn_read_disable(server.conn, false);
    WAIT(server.got.len == 4);
    assert_string_equal(server.got.ptr, "abcd");
}

static void kept_bytes_come_when_reading_goes_on(void **state)
{
    connect_both();
    server.keeps = true;
    say(&client, "ab");
    WAIT(server.offers == 1);
    conn_read_disable(server.conn, true);
    server.keeps = false;
    conn_read_disable(server.conn, false);
    assert_int_equal(server.got.len, 0); /* never from inside */
    WAIT(server.got.len == 2);
}

static void watermarks_tell_of_unwritten_output(void **state)
{
    const size_t bytes = (size_t)16 << 20;

    connect_both();
    conn_set_watermark(client.conn, 32768);
    conn_read_disable(server.conn, true);
    say_many(&client, bytes);
    WAIT(server.conn->is_read_held);
    assert_int_equal(client.above, 1);
    assert_int_equal(client.below, 0);
    conn_read_disable(server.conn, false);
    WAIT(server.got.len == bytes);
    assert_int_equal(client.above, 1);
    assert_int_equal(client.below, 1);
    assert_int_equal(client.conn->bytes_written, bytes);
    say(&client, "small"); /* gone within the turn: no watermark is crossed */
    WAIT(server.got.len == bytes + 5);
    assert_int_equal(client.above, 1);
}

static void flush_writes_everything_then_ends(void **state)
{
    const size_t bytes = (size_t)8 << 20;

    connect_both();
    conn_read_disable(server.conn, true);
    say_many(&client, bytes);
    hang_up(&client, CONN_CLOSE_FLUSH);
    assert_true(conn_is_closing(client.conn));
    WAIT(server.conn->is_read_held);
    server.conn->detects_early_close = false;
    conn_read_disable(server.conn, false);
    WAIT(server.is_closed && client.is_closed);
    assert_int_equal(server.got.len, bytes);
    assert_int_equal(server.cause, CONN_CLOSED_REMOTE);
    assert_int_equal(client.cause, CONN_CLOSED_LOCAL);
}

static void delayed_close_waits_for_the_peer(void **state)
{
    connect_both();
    server.conn->is_half_close_enabled = true;
    say(&client, "bye");
    hang_up(&client, CONN_CLOSE_FLUSH_AND_DELAY);
    WAIT(server.is_eof);
    assert_string_equal(server.got.ptr, "bye");
    assert_false(client.is_closed);
    say(&server, "not read any more");
    hang_up(&server, CONN_CLOSE_FLUSH);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_LOCAL);
    assert_int_equal(client.got.len, 0);
}

static void delayed_close_has_a_bound(void **state)
{
    connect_both();
    server.conn->is_half_close_enabled = true;
    client.conn->delayed_close_ms = 5;
    hang_up(&client, CONN_CLOSE_FLUSH_AND_DELAY);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_LOCAL);
    assert_false(server.is_closed);
}

static void a_peer_that_reads_nothing_does_not_hold_a_flush(void **state)
{
    connect_both();
    conn_read_disable(server.conn, true);
    client.conn->delayed_close_ms = 20;
    say_many(&client, (size_t)16 << 20);
    hang_up(&client, CONN_CLOSE_FLUSH);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_LOCAL);
}

static void close_now_and_reset(void **state)
{
    connect_both();
    hang_up(&client, CONN_CLOSE_NOW);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_LOCAL);
    assert_int_equal(server.cause, CONN_CLOSED_REMOTE);
    assert_int_equal(tear_down(state), 0);
    assert_int_equal(set_up(state), 0);
    connect_both();
    hang_up(&client, CONN_CLOSE_RESET);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(server.cause, CONN_CLOSED_RESET);
}

static void half_close(void **state)
{
    connect_both();
    server.conn->is_half_close_enabled = true;
    client.conn->is_half_close_enabled = true;
    say(&client, "all");
    conn_shutdown_write(client.conn);
    WAIT(server.is_eof);
    assert_string_equal(server.got.ptr, "all");
    say(&server, "answer");
    conn_shutdown_write(server.conn);
    WAIT(client.is_eof);
    assert_string_equal(client.got.ptr, "answer");
    assert_false(client.is_closed || server.is_closed);
}

static void a_peer_that_goes_is_noticed_while_reading_is_disabled(void **state)
{
    connect_both();
    conn_read_disable(server.conn, true);
    say(&client, "unread");
    WAIT(server.conn->is_read_held);
    hang_up(&client, CONN_CLOSE_FLUSH);
    WAIT(server.is_closed);
    assert_int_equal(server.cause, CONN_CLOSED_REMOTE);
    assert_int_equal(server.offers, 0);
}

static void what_was_sent_before_a_fin_waits_for_reading(void **state)
{
    connect_both();
    conn_read_disable(client.conn, true); /* an outgoing one does not detect */
    say(&server, "last words");
    WAIT(client.conn->is_read_held);
    hang_up(&server, CONN_CLOSE_FLUSH);
    WAIT(server.is_closed);
    conn_read_disable(client.conn, false);
    WAIT(client.is_closed);
    assert_string_equal(client.got.ptr, "last words");
    assert_int_equal(client.cause, CONN_CLOSED_REMOTE);
}

static void bytes_before_a_reset_are_read(void **state)
{
    struct address a;
    int listener = listen_on(&a);
    const struct linger drop = {.l_onoff = 1, .l_linger = 0};
    int fd;

    connect_to(&a, NULL, 0);
    WAIT(client.is_connected);
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "413", 3), 3);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
    assert_int_equal(close(fd), 0);
    WAIT(client.is_closed);
    assert_string_equal(client.got.ptr, "413");
    assert_int_equal(client.cause, CONN_CLOSED_RESET);
    assert_int_equal(close(listener), 0);
}

static void connecting_may_fail(void **state)
{
    struct address a;
    int listener = listen_on(&a);

    assert_int_equal(close(listener), 0);
    connect_to(&a, NULL, 5000);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_CONNECT_FAILED);
    assert_string_equal(client.reason, "delayed connect error: Connection refused");
}

static void output_may_be_queued_before_the_connection_is_there(void **state)
{
    struct address a;
    int listener = listen_on(&a);

    connect_to(&a, NULL, 5000);
    say(&client, "early");
    WAIT(client.is_connected);
    accept_from(listener, NULL);
    WAIT(server.got.len == 5);
    assert_int_equal(close(listener), 0);
}

static void unix_sockets(void **state)
{
    char dir[] = "/tmp/nuncio-conn-XXXXXX";
    struct strbuf path;
    struct address a;
    int listener;

    assert_non_null(mkdtemp(dir));
    strbuf_init(&path);
    strbuf_addf(&path, "%s/s", dir);
    assert_int_equal(address_from_path(strbuf_str(&path), &a), 0);
    connect_to(&a, NULL, 5000);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_CONNECT_FAILED);
    memset(&client, 0, sizeof(client));
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, &a.sa, a.len), 0);
    assert_int_equal(listen(listener, 8), 0);
    connect_to(&a, NULL, 5000);
    WAIT(client.is_connected);
    accept_from(listener, NULL);
    say(&client, "path");
    WAIT(server.got.len == 4);
    assert_int_equal(close(listener), 0);
    assert_int_equal(unlink(path.ptr), 0);
    assert_int_equal(rmdir(dir), 0);
    strbuf_done(&path);
}

/* --- A transport: each byte xor 1, ready after one byte of handshake from each side ---------- */

struct flip {
    bool is_ready;
};

static int flip_open(struct conn *c, const void *config, bool is_server,
                     const struct transport_options *options, void **ret_state)
{
    struct flip *f = calloc(1, sizeof(*f));

    buf_add(c->wire, "!", 1);
    if (is_server) {
        conn_output_added(c);
    }
    *ret_state = f;
    return 0;
}

static void flip_move(struct buf *from, struct buf *to)
{
    while (buf_len(from) > 0) {
        struct str front = buf_front(from);

        for (size_t i = 0; i < front.len; i++) {
            char flipped = (char)(front.ptr[i] ^ 1);

            buf_add(to, &flipped, 1);
        }
        buf_drain(from, front.len);
    }
}

static int flip_decrypt(struct conn *c, void *state, struct buf *wire, struct buf *plain)
{
    struct flip *f = state;

    if (!f->is_ready) {
        if (*wire->head->data != '!') {
            return E_TLS;
        }
        f->is_ready = true;
        buf_drain(wire, 1);
    }
    flip_move(wire, plain);
    return 0;
}

static int flip_encrypt(struct conn *c, void *state, struct buf *plain, struct buf *wire)
{
    flip_move(plain, wire);
    return 0;
}

static bool flip_is_ready(const struct conn *c, const void *state)
{
    return ((const struct flip *)state)->is_ready;
}

static void flip_shutdown(struct conn *c, void *state, struct buf *wire)
{
    buf_add(wire, "z" /* "{" flipped */, 1);
}

static const struct transport_socket flip = {
    .open = flip_open,
    .decrypt = flip_decrypt,
    .encrypt = flip_encrypt,
    .is_ready = flip_is_ready,
    .shutdown = flip_shutdown,
    .free = free,
};

static void a_transport_stands_between(void **state)
{
    const size_t bytes = (size_t)1 << 20;

    connect_both_with(&flip);
    say(&client, "hello");
    WAIT(server.got.len == 5);
    assert_string_equal(server.got.ptr, "hello");
    say_many(&server, bytes);
    WAIT(client.got.len == bytes);
    assert_int_equal(client.got.ptr[bytes - 1], 'x');
    hang_up(&client, CONN_CLOSE_FLUSH);
    WAIT(server.is_closed);
    assert_string_equal(server.got.ptr, "hello{");
}

static void a_handshake_has_the_time_of_the_connect(void **state)
{
    struct address a;
    int listener = listen_on(&a);

    connect_to(&a, &flip, 5);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_CONNECT_TIMEOUT);
    assert_false(client.is_connected);
    assert_int_equal(close(listener), 0);
}

static void a_transport_may_refuse(void **state)
{
    struct address a;
    int listener = listen_on(&a);
    int fd;

    connect_to(&a, &flip, 5000);
    WAIT(conn_fd(client.conn) >= 0);
    turn();
    fd = accept(listener, NULL, NULL);
    assert_int_equal(write(fd, "?", 1), 1);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_TRANSPORT);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(listener), 0);
}

#define MUCH 400000 /* words */

static void much_at_a_time_comes_whole_and_in_order(void **state)
{
    const uint32_t *got;
    struct buf out;

    connect_both();
    buf_init(&out, &loop.bufs);
    for (uint32_t i = 0; i < MUCH; i++) {
        buf_add(&out, &i, sizeof(i));
    }
    conn_write(client.conn, &out);
    WAIT(server.got.len == MUCH * sizeof(*got));
    assert_true((size_t)server.offers <
                MUCH * sizeof(*got) / BUF_BLOCK_BYTES); /* several at once */
    got = (const uint32_t *)(const void *)strbuf_str(&server.got).ptr;
    for (uint32_t i = 0; i < MUCH; i++) {
        assert_int_equal(got[i], i);
    }
}

/* As Envoy counts it: who was the last to end. */
static void the_last_to_end_has_closed(void **state)
{
    connect_both();
    client.conn->is_half_close_enabled = true;
    server.conn->is_half_close_enabled = true;
    conn_shutdown_write(client.conn);
    WAIT(server.is_eof);
    conn_close(server.conn, CONN_CLOSE_FLUSH);
    WAIT(client.is_eof && server.is_closed);
    conn_close(client.conn, CONN_CLOSE_FLUSH);
    WAIT(client.is_closed);
    assert_int_equal(server.cause, CONN_CLOSED_LOCAL);
    assert_int_equal(client.cause, CONN_CLOSED_REMOTE);
}

static void an_idle_connection_is_small(void **state)
{
    assert_true(sizeof(struct conn) <= 720);
    connect_both();
    say(&client, "x");
    WAIT(server.got.len == 1);
    assert_null(server.conn->in.head);
    assert_null(client.conn->out.head);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(bytes_arrive_both_ways),
        CASE(what_is_left_is_offered_again),
        CASE(disabled_reads_leave_bytes_in_the_kernel),
        CASE(kept_bytes_come_when_reading_goes_on),
        CASE(watermarks_tell_of_unwritten_output),
        CASE(flush_writes_everything_then_ends),
        CASE(delayed_close_waits_for_the_peer),
        CASE(delayed_close_has_a_bound),
        CASE(a_peer_that_reads_nothing_does_not_hold_a_flush),
        CASE(close_now_and_reset),
        CASE(half_close),
        CASE(a_peer_that_goes_is_noticed_while_reading_is_disabled),
        CASE(what_was_sent_before_a_fin_waits_for_reading),
        CASE(bytes_before_a_reset_are_read),
        CASE(connecting_may_fail),
        CASE(output_may_be_queued_before_the_connection_is_there),
        CASE(unix_sockets),
        CASE(a_transport_stands_between),
        CASE(a_handshake_has_the_time_of_the_connect),
        CASE(a_transport_may_refuse),
        CASE(much_at_a_time_comes_whole_and_in_order),
        CASE(the_last_to_end_has_closed),
        CASE(an_idle_connection_is_small),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
