/* Bridges between a socketpair and a connection, whose far end is ours too. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/server/xds_bridge.h"

#define WATCHDOG_MS 10000
#define MANY_BYTES (8u << 20) /* more than buffers and watermarks hold */

static struct loop loop;
static struct timer watchdog;
static struct xds_bridges bridges;
static int grpc = -1;  /* the end that gRPC has */
static int plane = -1; /* the control plane's */
static bool is_all_closed;

static void on_watchdog(struct timer *t)
{
    fail_msg("nothing happened for too long");
}

static void turn(void)
{
    (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static void on_all_closed(void *user)
{
    *(bool *)user = true;
}

/* --- a transport that turns every byte over --------------------------------------------------- */

static int flip_open(struct conn *c, const void *config, bool is_server,
                     const struct transport_options *options, void **ret_state)
{
    *ret_state = xcalloc(1, 1);
    return 0;
}

static void flip_move(struct buf *from, struct buf *to)
{
    while (buf_len(from) > 0) {
        struct str front = buf_front(from);

        for (size_t i = 0; i < front.len; i++) {
            char flipped = (char)~front.ptr[i];

            buf_add(to, &flipped, 1);
        }
        buf_drain(from, front.len);
    }
}

static int flip_decrypt(struct conn *c, void *state, struct buf *wire, struct buf *plain)
{
    flip_move(wire, plain);
    return 0;
}

static int flip_encrypt(struct conn *c, void *state, struct buf *plain, struct buf *wire)
{
    flip_move(plain, wire);
    return 0;
}

static const struct transport_socket flip = {
    .open = flip_open,
    .decrypt = flip_decrypt,
    .encrypt = flip_encrypt,
    .free = free,
};

/* --- both ends -------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    const struct address nowhere = {.len = 0};
    struct conn *outer;
    int fds[2];

    assert_int_equal(loop_init(&loop, 0), 0);
    timer_init(&watchdog, on_watchdog);
    timer_arm(&loop, &watchdog, WATCHDOG_MS);
    xds_bridges_init(&bridges);
    is_all_closed = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(conn_accept(&loop, fds[0], true, &nowhere, &nowhere, &outer), 0);
    assert_int_equal(conn_set_server_transport(outer, &flip, NULL, 0), 0);
    plane = fds[1];
    grpc = xds_bridge_open(&bridges, outer, NULL);
    assert_true(grpc >= 0);
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int tear_down(void **state)
{
    close_fd(&grpc);
    close_fd(&plane);
    if (!is_all_closed && xds_bridges_close(&bridges, on_all_closed, &is_all_closed)) {
        while (!is_all_closed) {
            turn();
        }
    }
    timer_cancel(&loop, &watchdog);
    loop_done(&loop);
    return 0;
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

/* As many as the socket takes now. */
static size_t send_some(int fd, size_t from, size_t to, uint8_t mask)
{
    uint8_t piece[4096];
    size_t n = to - from < sizeof(piece) ? to - from : sizeof(piece);
    ssize_t sent;

    for (size_t i = 0; i < n; i++) {
        piece[i] = byte_at(from + i) ^ mask;
    }
    sent = n > 0 ? send(fd, piece, n, MSG_NOSIGNAL) : 0;
    assert_true(sent >= 0 || errno == EAGAIN);
    return sent > 0 ? (size_t)sent : 0;
}

static size_t receive_some(int fd, size_t from, uint8_t mask)
{
    uint8_t piece[65536];
    ssize_t n = recv(fd, piece, sizeof(piece), 0);

    assert_true(n > 0 || (n < 0 && errno == EAGAIN));
    for (ssize_t i = 0; i < n; i++) {
        assert_int_equal(piece[i] ^ mask, byte_at(from + (size_t)i));
    }
    return n > 0 ? (size_t)n : 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_bytes_both_ways(void **state)
{
    size_t up_sent = 0;
    size_t up_got = 0;
    size_t down_sent = 0;
    size_t down_got = 0;

    while (up_got < MANY_BYTES || down_got < MANY_BYTES) {
        up_sent += send_some(grpc, up_sent, MANY_BYTES, 0);
        down_sent += send_some(plane, down_sent, MANY_BYTES, 0xff);
        turn();
        up_got += receive_some(plane, up_got, 0xff);
        down_got += receive_some(grpc, down_got, 0);
    }
    assert_int_equal(up_got, MANY_BYTES);
    assert_int_equal(down_got, MANY_BYTES);
}

/* How much one side may send that nobody reads at the other. */
static size_t stuffed(int from, uint8_t mask)
{
    size_t sent = 0;
    unsigned idle = 0;

    while (idle < 100) {
        size_t n = send_some(from, sent, MANY_BYTES, mask);

        sent += n;
        idle = n > 0 ? 0 : idle + 1;
        turn();
    }
    return sent;
}

static void test_a_side_that_does_not_read_stops_the_other(void **state)
{
    size_t sent = stuffed(plane, 0xff);
    size_t got = 0;

    assert_true(sent < MANY_BYTES / 2);
    while (got < sent) { /* and goes on */
        turn();
        got += receive_some(grpc, got, 0);
    }
    sent = stuffed(grpc, 0);
    assert_true(sent < MANY_BYTES / 2);
}

/* Reads to the end. */
static size_t drain(int fd)
{
    uint8_t piece[65536];
    size_t got = 0;

    for (;;) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);

        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return got;
        }
        got += n > 0 ? (size_t)n : 0;
        turn();
    }
}

static void test_the_control_plane_ends(void **state)
{
    assert_int_equal(send_some(plane, 0, 1000, 0xff), 1000);
    close_fd(&plane);
    assert_int_equal(drain(grpc), 1000); /* what came before the end, then the end */
    turn();
    assert_false(xds_bridges_close(&bridges, on_all_closed, &is_all_closed));
}

static void test_grpc_ends(void **state)
{
    assert_int_equal(send_some(grpc, 0, 1000, 0), 1000);
    close_fd(&grpc);
    assert_int_equal(drain(plane), 1000);
}

static void test_cut_off(void **state)
{
    (void)stuffed(plane, 0xff);
    assert_true(xds_bridges_close(&bridges, on_all_closed, &is_all_closed));
    assert_false(is_all_closed); /* never from inside */
    while (!is_all_closed) {
        turn();
    }
    (void)drain(grpc);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_both_ways),
        TEST(test_a_side_that_does_not_read_stops_the_other),
        TEST(test_the_control_plane_ends),
        TEST(test_grpc_ends),
        TEST(test_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
