/*
 * A connected socket on one loop: shared read block in, gathered writes out. Knows nothing of what
 * the bytes mean; TLS is behind the transport socket. Loop thread only.
 */

#include "dataplane/net/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/error.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/socket_options.h"

#define FLUSH_IOVECS 64
/* Output above this is written at once instead of at the end of the turn. */
#define FLUSH_EAGER_BYTES (64u * 1024)
#define DELAYED_CLOSE_MS 1000 /* Envoy's delayed_close_timeout */

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKING, /* connected, the transport socket is not ready */
    CONN_OPEN,
    CONN_FLUSHING,  /* closing once everything is written */
    CONN_LINGERING, /* write side shut down, waiting for the peer's FIN */
    CONN_CLOSED,    /* uv_close was called */
};

static const char *conn_state_name(enum conn_state s)
{
    static const char *const NAMES[] = {"connecting", "handshaking", "open",
                                        "flushing",   "lingering",   "closed"};

    return NAMES[s];
}

/* What uv_try_write could not take: owns its bytes until the kernel has them. */
struct conn_write_op {
    uv_write_t req;
    struct conn *conn;
    struct buf data;
};

struct conn_connect_op {
    uv_connect_t req;
    struct conn *conn;
};

static struct conn *conn_from(void *p)
{
    struct conn *c = p;

    CHECK(c->magic == CONN_MAGIC);
    return c;
}

static void conn_set_state(struct conn *c, enum conn_state s)
{
    CHECK(s >= c->state); /* only forward */
    log_debug(LOG_C_CONNECTION, "[C%llu] %s -> %s", (unsigned long long)c->id,
              conn_state_name((enum conn_state)c->state), conn_state_name(s));
    c->state = (uint8_t)s;
}

bool conn_is_closing(const struct conn *c)
{
    return c->state >= CONN_FLUSHING;
}

bool conn_is_connected(const struct conn *c)
{
    return c->state == CONN_OPEN;
}

int conn_fd(const struct conn *c)
{
    uv_os_fd_t fd = -1;

    return uv_fileno(&c->uv.handle, &fd) == 0 ? fd : -1;
}

/* --- the end ------------------------------------------------------------------------------ */

static void conn_free_deferred(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, deferred);

    buf_reset(&c->in);
    buf_reset(&c->out);
    free(c->failure_reason);
    c->magic = 0;
    free(c);
}

static void conn_tell_closed(struct conn *c, enum conn_close_cause cause)
{
    const struct conn_ops *ops = c->ops;

    c->ops = NULL;
    if (ops != NULL) {
        ops->on_closed(c, cause);
    }
}

static void conn_on_uv_closed(uv_handle_t *h)
{
    struct conn *c = conn_from(h->data);

    conn_tell_closed(c, (enum conn_close_cause)c->close_cause);
    if (c->transport_state != NULL && c->transport->free != NULL) {
        c->transport->free(c->transport_state);
    }
    deferred_free(c->loop, &c->deferred, conn_free_deferred);
}

/* Closes the socket. `tell_now`: the consumer learns at once (the peer's doing); else from the
 * loop, so that conn_close never calls back. */
static void conn_finish(struct conn *c, enum conn_close_cause cause, bool tell_now)
{
    if (c->state == CONN_CLOSED) {
        return;
    }
    conn_set_state(c, CONN_CLOSED);
    c->close_cause = (uint8_t)cause;
    timer_cancel(c->loop, &c->close_timer);
    loop_task_cancel(&c->flush_task);
    uv_close(&c->uv.handle, conn_on_uv_closed);
    if (tell_now) {
        conn_tell_closed(c, cause);
    }
}

static void conn_on_uv_reset_closed(uv_handle_t *h)
{
    conn_on_uv_closed(h);
}

static void conn_finish_with_reset(struct conn *c)
{
    if (c->is_tcp && uv_tcp_close_reset(&c->uv.tcp, conn_on_uv_reset_closed) == 0) {
        conn_set_state(c, CONN_CLOSED);
        c->close_cause = CONN_CLOSED_LOCAL;
        timer_cancel(c->loop, &c->close_timer);
        loop_task_cancel(&c->flush_task);
    } else {
        conn_finish(c, CONN_CLOSED_LOCAL, false);
    }
}

static void conn_on_shutdown(uv_shutdown_t *req, int status)
{
    (void)status;
    free(req);
}

/* FIN after what is queued in libuv. */
static void conn_send_fin(struct conn *c)
{
    uv_shutdown_t *req = xcalloc(1, sizeof(*req));

    if (c->is_fin_sent || uv_shutdown(req, &c->uv.stream, conn_on_shutdown) != 0) {
        free(req);
    }
    c->is_fin_sent = true;
}

/* Everything is written: what the closing mode wanted next. */
static void conn_on_drained(struct conn *c)
{
    if (c->state == CONN_FLUSHING) {
        if (!c->is_delayed_close) {
            conn_finish(c, CONN_CLOSED_LOCAL, false);
            return;
        }
        conn_set_state(c, CONN_LINGERING);
        conn_send_fin(c);
        timer_arm(c->loop, &c->close_timer, c->delayed_close_ms);
        if (!c->is_reading) {
            conn_read_start(c); /* to see the FIN */
        }
    } else if (c->wants_fin) {
        conn_send_fin(c);
    }
}

static void conn_on_close_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, close_timer);

    if (c->state <= CONN_HANDSHAKING) {
        conn_finish(c, CONN_CLOSED_CONNECT_TIMEOUT, true);
    } else {
        c->is_close_timed_out = true;
        conn_finish(c, CONN_CLOSED_LOCAL, true);
    }
}

/* --- writing ------------------------------------------------------------------------------ */

static size_t conn_unwritten(const struct conn *c)
{
    return c->out.len + c->in_flight_bytes;
}

static void conn_check_low_watermark(struct conn *c)
{
    if (c->is_above_watermark && conn_unwritten(c) <= c->high_watermark / 2) {
        c->is_above_watermark = false;
        if (c->ops != NULL && c->ops->on_watermark != NULL) {
            c->ops->on_watermark(c, false);
        }
    }
}

static void conn_on_written(uv_write_t *req, int status)
{
    struct conn_write_op *op = container_of(req, struct conn_write_op, req);
    struct conn *c = op->conn;

    c->bytes_written += status == 0 ? op->data.len : 0;
    c->in_flight_bytes = 0;
    buf_reset(&op->data);
    free(op);
    if (c->state == CONN_CLOSED) {
        return;
    }
    if (status != 0) {
        conn_finish(c, CONN_CLOSED_RESET, true);
        return;
    }
    conn_flush(c);
    if (c->state != CONN_CLOSED) {
        conn_check_low_watermark(c);
    }
}

/* The socket is full: libuv writes the rest when it can. */
static void conn_write_later(struct conn *c)
{
    struct conn_write_op *op = xcalloc(1, sizeof(*op));
    size_t n = 0;
    uv_buf_t *bufs;

    op->conn = c;
    buf_init(&op->data, &c->loop->bufs);
    buf_move(&op->data, &c->out);
    c->in_flight_bytes = op->data.len;
    for (const struct buf_seg *s = op->data.head; s != NULL; s = s->next) {
        n++;
    }
    bufs = xcalloc(n, sizeof(*bufs));
    n = 0;
    for (const struct buf_seg *s = op->data.head; s != NULL; s = s->next) {
        bufs[n++] = uv_buf_init((char *)s->data, (unsigned)s->len);
    }
    /* libuv copies the array. An error here comes from a handle that is closing. */
    if (uv_write(&op->req, &c->uv.stream, bufs, (unsigned)n, conn_on_written) != 0) {
        c->in_flight_bytes = 0;
        buf_reset(&op->data);
        free(op);
    }
    free(bufs);
}

static bool conn_encrypt_output(struct conn *c)
{
    struct buf plain;

    if (c->transport == NULL || c->transport->encrypt == NULL || c->out.len == 0) {
        return true;
    }
    buf_init(&plain, &c->loop->bufs);
    buf_move(&plain, &c->out);
    return c->transport->encrypt(c, c->transport_state, &plain, &c->out) == 0;
}

void conn_flush(struct conn *c)
{
    loop_task_cancel(&c->flush_task);
    if (c->state == CONN_CLOSED || c->state <= CONN_CONNECTING || c->in_flight_bytes > 0) {
        return;
    }
    if (!conn_encrypt_output(c)) {
        conn_finish(c, CONN_CLOSED_TRANSPORT, true);
        return;
    }
    while (c->out.len > 0) {
        uv_buf_t bufs[FLUSH_IOVECS];
        unsigned n = 0;
        int r;

        for (const struct buf_seg *s = c->out.head; s != NULL && n < FLUSH_IOVECS; s = s->next) {
            bufs[n++] = uv_buf_init((char *)s->data, (unsigned)s->len);
        }
        r = uv_try_write(&c->uv.stream, bufs, n);
        if (r == UV_EAGAIN) {
            conn_write_later(c);
            return;
        }
        if (r < 0) {
            /* What the peer still sent (an early response, a reason) is read first. */
            c->is_write_broken = true;
            buf_reset(&c->out);
            if (!c->is_reading || conn_is_closing(c)) {
                conn_finish(c, CONN_CLOSED_RESET, true);
            }
            return;
        }
        c->bytes_written += (uint64_t)r;
        buf_drain(&c->out, (size_t)r);
    }
    conn_on_drained(c);
}

static void conn_flush_task(struct loop_task *t)
{
    struct conn *c = container_of(t, struct conn, flush_task);

    conn_flush(c);
    if (c->state != CONN_CLOSED) {
        conn_check_low_watermark(c);
    }
}

void conn_output_added(struct conn *c)
{
    if (c->is_write_broken || c->state == CONN_CLOSED) {
        buf_reset(&c->out);
        return;
    }
    if (c->out.len >= FLUSH_EAGER_BYTES && c->in_flight_bytes == 0 && c->state == CONN_OPEN) {
        conn_flush(c);
        if (c->state == CONN_CLOSED) {
            return;
        }
    } else {
        loop_task_schedule(c->loop, &c->flush_task);
    }
    if (c->high_watermark > 0 && !c->is_above_watermark && conn_unwritten(c) > c->high_watermark) {
        c->is_above_watermark = true;
        if (c->ops != NULL && c->ops->on_watermark != NULL) {
            c->ops->on_watermark(c, true);
        }
    }
}

void conn_write(struct conn *c, struct buf *data)
{
    buf_move(&c->out, data);
    conn_output_added(c);
}

void conn_set_watermark(struct conn *c, uint32_t high)
{
    c->high_watermark = high;
}

void conn_shutdown_write(struct conn *c)
{
    if (conn_is_closing(c)) {
        return;
    }
    c->wants_fin = true;
    loop_task_schedule(c->loop, &c->flush_task);
}

/* --- reading ------------------------------------------------------------------------------ */

static void conn_on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct conn *c = conn_from(h->data);
    uint8_t *data;
    size_t len;

    (void)suggested;
    c->loop->reading_block = loop_read_window(c->loop, &data, &len);
    *ret = uv_buf_init((char *)data, (unsigned)len);
}

/* Offers what is there; what the consumer leaves is kept in c->in. */
static void conn_offer(struct conn *c, struct buf *in, bool end_stream)
{
    if (c->ops != NULL && (in->len > 0 || end_stream)) {
        c->ops->on_data(c, in, end_stream);
    }
    if (in != &c->in) {
        buf_move(&c->in, in);
    }
}

static void conn_transport_became_ready(struct conn *c)
{
    if (c->state == CONN_HANDSHAKING &&
        (c->transport->is_ready == NULL || c->transport->is_ready(c, c->transport_state))) {
        conn_set_state(c, CONN_OPEN);
        timer_cancel(c->loop, &c->close_timer);
        if (c->ops != NULL && c->ops->on_connected != NULL) {
            c->ops->on_connected(c);
        }
    }
}

static void conn_on_bytes(struct conn *c, struct buf *wire)
{
    struct buf plain;

    if (c->transport == NULL || c->transport->decrypt == NULL) {
        conn_offer(c, wire, false);
        return;
    }
    buf_init(&plain, &c->loop->bufs);
    if (c->transport->decrypt(c, c->transport_state, wire, &plain) != 0) {
        buf_reset(wire);
        buf_reset(&plain);
        conn_flush(c); /* the alert */
        conn_finish(c, CONN_CLOSED_TRANSPORT, true);
        return;
    }
    conn_transport_became_ready(c);
    if (c->out.len > 0) {
        loop_task_schedule(c->loop, &c->flush_task);
    }
    if (c->state != CONN_CLOSED && plain.len > 0) {
        conn_offer(c, &plain, false);
    }
    buf_reset(&plain);
}

static void conn_on_eof(struct conn *c)
{
    if (c->state == CONN_LINGERING) {
        conn_finish(c, CONN_CLOSED_LOCAL, true);
        return;
    }
    uv_read_stop(&c->uv.stream);
    c->is_reading = false;
    c->is_eof = true;
    if (c->read_disable_count > 0) {
        return; /* told when reading goes on */
    }
    if (c->is_half_close_enabled && c->state == CONN_OPEN) {
        conn_offer(c, &c->in, true);
    } else {
        conn_finish(c,
                    c->state <= CONN_HANDSHAKING ? CONN_CLOSED_CONNECT_FAILED : CONN_CLOSED_REMOTE,
                    true);
    }
}

static void conn_on_read_bytes(struct conn *c, struct buf_block *block, uint8_t *data, size_t len)
{
    struct buf now;

    c->bytes_read += len;
    if (conn_is_closing(c)) {
        return; /* lingering: what still comes is of no interest */
    }
    if (c->read_disable_count > 0) {
        /* The read that was under way when reading was disabled: the last one. */
        buf_add_window(&c->in, block, data, len);
        uv_read_stop(&c->uv.stream);
        c->is_reading = false;
        return;
    }
    if (c->in.len > 0) {
        buf_add_window(&c->in, block, data, len);
        conn_on_bytes(c, &c->in);
        return;
    }
    buf_init(&now, &c->loop->bufs);
    buf_add_window(&now, block, data, len);
    conn_on_bytes(c, &now);
    if (now.len > 0) {
        buf_move(&c->in, &now);
    }
}

static void conn_on_read(uv_stream_t *s, ssize_t nread, const uv_buf_t *uv_buf)
{
    struct conn *c = conn_from(s->data);
    struct buf_block *block = c->loop->reading_block;
    uint8_t *data = (uint8_t *)uv_buf->base;
    struct loop *l = c->loop;

    l->reading_block = NULL;
    if (nread > 0) {
        conn_on_read_bytes(c, block, data, (size_t)nread);
    } else if (nread == UV_EOF) {
        conn_on_eof(c);
    } else if (nread < 0 && nread != UV_ENOBUFS) {
        conn_finish(
            c, c->state <= CONN_HANDSHAKING ? CONN_CLOSED_CONNECT_FAILED : CONN_CLOSED_RESET, true);
    }
    if (block != NULL) {
        loop_read_done(l, block, data, nread > 0 ? (size_t)nread : 0);
    }
}

void conn_read_start(struct conn *c)
{
    if (c->state == CONN_CLOSED || c->is_reading || c->is_eof) {
        return;
    }
    c->is_reading = uv_read_start(&c->uv.stream, conn_on_alloc, conn_on_read) == 0;
}

/* Bytes kept while reading was disabled, or offered again on request. */
static void conn_offer_task(struct loop_task *t)
{
    struct conn *c = container_of(t, struct conn, offer_task);

    if (conn_is_closing(c) || c->read_disable_count > 0) {
        return;
    }
    if (c->in.len > 0) {
        conn_on_bytes(c, &c->in);
    }
    if (conn_is_closing(c) || c->read_disable_count > 0) {
        return;
    }
    if (c->is_eof) {
        conn_on_eof(c);
    } else {
        conn_read_start(c);
    }
}

void conn_offer_again(struct conn *c)
{
    if (!conn_is_closing(c)) {
        loop_task_schedule(c->loop, &c->offer_task);
    }
}

void conn_read_disable(struct conn *c, bool disable)
{
    if (disable) {
        /* Reads stay armed: stopping costs a system call, and mostly nothing comes. */
        c->read_disable_count++;
        return;
    }
    CHECK(c->read_disable_count > 0);
    if (--c->read_disable_count == 0 && (c->in.len > 0 || !c->is_reading || c->is_eof)) {
        conn_offer_again(c);
    }
}

/* --- making ------------------------------------------------------------------------------- */

static struct conn *conn_new(struct loop *l)
{
    struct conn *c = xcalloc(1, sizeof(*c));

    c->magic = CONN_MAGIC;
    c->loop = l;
    buf_init(&c->in, &l->bufs);
    buf_init(&c->out, &l->bufs);
    loop_task_init(&c->flush_task, conn_flush_task);
    loop_task_init(&c->offer_task, conn_offer_task);
    timer_init(&c->close_timer, conn_on_close_timer);
    c->delayed_close_ms = DELAYED_CLOSE_MS;
    return c;
}

/* Makes the uv handle around `fd` (taken, also on error). */
static int conn_open_handle(struct conn *c, int take_fd, bool is_unix)
{
    int r;

    c->is_tcp = !is_unix;
    if (is_unix) {
        r = uv_pipe_init(&c->loop->uv, &c->uv.pipe, 0);
        CHECK(r == 0);
        r = uv_pipe_open(&c->uv.pipe, take_fd);
    } else {
        r = uv_tcp_init(&c->loop->uv, &c->uv.tcp);
        CHECK(r == 0);
        r = uv_tcp_open(&c->uv.tcp, take_fd);
    }
    c->uv.handle.data = c;
    if (r != 0) {
        close(take_fd);
        return E_SYS;
    }
    return 0;
}

static int conn_open_transport(struct conn *c, const struct transport_socket *transport,
                               const void *config, bool is_server)
{
    c->transport = transport;
    if (transport != NULL && transport->open != NULL) {
        return transport->open(c, config, is_server, &c->transport_state);
    }
    return 0;
}

int conn_accept(struct loop *l, int take_fd, bool is_unix, const struct address *remote,
                const struct address *local, struct conn **ret_conn)
{
    struct conn *c = conn_new(l);

    c->remote = *remote;
    c->direct_remote = *remote;
    c->local = *local;
    if (conn_open_handle(c, take_fd, is_unix) != 0) {
        c->state = CONN_OPEN;
        conn_finish(c, CONN_CLOSED_LOCAL, false); /* no ops yet: nobody is told */
        return E_SYS;
    }
    if (!is_unix) {
        socket_set_no_delay(take_fd);
    }
    c->state = CONN_OPEN;
    *ret_conn = c;
    return 0;
}

int conn_set_server_transport(struct conn *c, const struct transport_socket *transport,
                              const void *config)
{
    return conn_open_transport(c, transport, config, true);
}

static void conn_read_local(struct conn *c)
{
    socklen_t len = sizeof(c->local.un);

    if (getsockname(conn_fd(c), &c->local.sa, &len) == 0) {
        c->local.len = len;
    }
}

static void conn_connected(struct conn *c)
{
    conn_read_local(c);
    if (c->transport != NULL && c->transport->is_ready != NULL &&
        !c->transport->is_ready(c, c->transport_state)) {
        conn_set_state(c, CONN_HANDSHAKING);
        conn_read_start(c);
        conn_flush(c);
        return;
    }
    timer_cancel(c->loop, &c->close_timer);
    conn_set_state(c, CONN_OPEN);
    conn_read_start(c);
    if (c->out.len > 0) {
        loop_task_schedule(c->loop, &c->flush_task);
    }
    if (c->ops != NULL && c->ops->on_connected != NULL) {
        c->ops->on_connected(c);
    }
}

/* In Envoy's words. */
static void conn_set_connect_error(struct conn *c, const char *when, int error)
{
    struct strbuf b;

    strbuf_init(&b);
    strbuf_addf(&b, "%s connect error: %s", when, strerrordesc_np(error));
    c->failure_reason = strbuf_take(&b);
}

static void conn_on_connect(uv_connect_t *req, int status)
{
    struct conn_connect_op *op = container_of(req, struct conn_connect_op, req);
    struct conn *c = op->conn;

    free(op);
    if (c->state == CONN_CLOSED) {
        return;
    }
    if (status != 0) {
        conn_set_connect_error(c, "delayed", -status);
        conn_finish(c, CONN_CLOSED_CONNECT_FAILED, true);
        return;
    }
    conn_connected(c);
}

/* A unix socket connects at once or not at all; the outcome still comes from the loop. */
static void conn_on_unix_connected(struct loop_task *t)
{
    struct conn *c = container_of(t, struct conn, flush_task);

    loop_task_init(&c->flush_task, conn_flush_task);
    if (c->state == CONN_CLOSED) {
        return;
    }
    if (c->is_eof) { /* connect(2) failed */
        conn_finish(c, CONN_CLOSED_CONNECT_FAILED, true);
    } else {
        conn_connected(c);
    }
}

static void conn_start_connect(struct conn *c, int fd, const struct conn_connect_options *o)
{
    struct conn_connect_op *op;

    if (!c->is_tcp) {
        c->is_eof = connect(fd, &o->remote.sa, o->remote.len) != 0;
        if (c->is_eof) {
            conn_set_connect_error(c, "immediate", errno);
        }
        loop_task_init(&c->flush_task, conn_on_unix_connected);
        loop_task_schedule(c->loop, &c->flush_task);
        return;
    }
    op = xcalloc(1, sizeof(*op));
    op->conn = c;
    if (uv_tcp_connect(&op->req, &c->uv.tcp, &o->remote.sa, conn_on_connect) != 0) {
        free(op);
        c->is_eof = true;
        loop_task_init(&c->flush_task, conn_on_unix_connected);
        loop_task_schedule(c->loop, &c->flush_task);
    }
}

int conn_connect(struct loop *l, const struct conn_connect_options *o, const struct conn_ops *ops,
                 void *user, struct conn **ret_conn)
{
    struct conn *c;
    int fd = socket(o->remote.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return E_SYS;
    }
    if (socket_prepare_client(fd, o) != 0) {
        close(fd);
        return E_SYS;
    }
    c = conn_new(l);
    c->remote = o->remote;
    c->direct_remote = o->remote;
    if (conn_open_handle(c, fd, o->remote.sa.sa_family == AF_UNIX) != 0 ||
        conn_open_transport(c, o->transport, o->transport_config, false) != 0) {
        conn_finish(c, CONN_CLOSED_LOCAL, false);
        return E_SYS;
    }
    c->ops = ops;
    c->user = user;
    if (o->timeout_ms > 0) {
        timer_arm(l, &c->close_timer, o->timeout_ms);
    }
    conn_start_connect(c, fd, o);
    *ret_conn = c;
    return 0;
}

void conn_close(struct conn *c, enum conn_close_mode mode)
{
    if (c->state == CONN_CLOSED || (conn_is_closing(c) && mode >= CONN_CLOSE_FLUSH)) {
        return;
    }
    if (c->state <= CONN_HANDSHAKING && mode >= CONN_CLOSE_FLUSH) {
        mode = CONN_CLOSE_NOW;
    }
    switch (mode) {
    case CONN_CLOSE_NOW:
        conn_finish(c, CONN_CLOSED_LOCAL, false);
        break;
    case CONN_CLOSE_RESET:
        conn_finish_with_reset(c);
        break;
    case CONN_CLOSE_FLUSH:
    case CONN_CLOSE_FLUSH_AND_DELAY:
        if (c->is_write_broken) {
            conn_finish(c, CONN_CLOSED_LOCAL, false);
            break;
        }
        if (c->transport != NULL && c->transport->shutdown != NULL) {
            c->transport->shutdown(c, c->transport_state, &c->out);
        }
        conn_set_state(c, CONN_FLUSHING);
        c->is_delayed_close = mode == CONN_CLOSE_FLUSH_AND_DELAY;
        buf_reset(&c->in);
        loop_task_schedule(c->loop, &c->flush_task);
        break;
    }
}
