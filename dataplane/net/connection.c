/*
 * A connected socket on one loop: shared read block in, gathered writes out. Knows nothing of what
 * the bytes mean; TLS is behind the transport socket. Loop thread only.
 *
 * The socket is ours and only watched by libuv (uv_poll): one recv per event, one send per turn.
 * That is some 5 % less per request than a uv_tcp_t, which is also 100 bytes larger, and makes TCP
 * and unix sockets the same thing.
 */

#include "dataplane/net/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/error.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/socket_options.h"

#define FLUSH_IOVECS 64
/* Output above this is written at once instead of at the end of the turn. */
#define FLUSH_EAGER_BYTES (64u * 1024)
/* What a connection without transport gives back to the heap when it ends; and with one. */
#define CONN_BYTES 1536
#define CONN_TRANSPORT_BYTES (16u * 1024)
/* While memory is short: when to look whether there is some. */
#define SHORT_OF_MEMORY_MS 50
/* What the pools must have free to read all the same: what a turn frees is there in the next. */
#define SPARE_BLOCKS 8
#define SPARE_CHUNKS 16
/* Full read windows taken in one event before others get their turn. */
#define READS_PER_EVENT 4
/* Blocks that are filled in one call while the peer sends more than a window at a time. */
#define BULK_BLOCKS 4
#define DELAYED_CLOSE_MS 1000 /* Envoy's delayed_close_timeout */
/* What a consumer may leave in `in` when no watermark is set. */
#define IN_LIMIT_BYTES (1024u * 1024)

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKING, /* connected, the transport socket is not ready */
    CONN_OPEN,
    CONN_FLUSHING,  /* closing once everything is written */
    CONN_LINGERING, /* write side shut down, waiting for the peer's FIN */
    CONN_CLOSED,    /* the socket is closed */
};

static const char *conn_state_name(enum conn_state s)
{
    static const char *const NAMES[] = {"connecting", "handshaking", "open",
                                        "flushing",   "lingering",   "closed"};

    return NAMES[s];
}

static struct conn *conn_from(void *p)
{
    struct conn *c = p;

    CHECK(c->magic == CONN_MAGIC);
    return c;
}

static void conn_set_state(struct conn *c, enum conn_state s)
{
    CHECK((uint8_t)s >= c->state); /* only forward */
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

/* Its user has not been told that it is connected. */
static bool conn_is_opening(const struct conn *c)
{
    return c->state <= CONN_HANDSHAKING && !c->is_accepted;
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

bool conn_is_secure(const struct conn *c)
{
    return c->transport != NULL && c->transport->is_secure;
}

struct str conn_alpn(const struct conn *c)
{
    return c->transport != NULL && c->transport->alpn != NULL
               ? c->transport->alpn(c, c->transport_state)
               : STR_NONE;
}

struct tls_info *conn_tls_info(const struct conn *c)
{
    return c->transport != NULL && c->transport->info != NULL
               ? c->transport->info(c, c->transport_state)
               : NULL;
}

const struct address *conn_direct_remote(const struct conn *c)
{
    return c->direct_remote != NULL ? c->direct_remote : &c->remote;
}

/* --- watching ----------------------------------------------------------------------------- */

static void conn_on_poll(uv_poll_t *poll, int status, int events);

/* Has libuv watch for what the state asks for. Each change costs system calls, so reading that is
 * disabled stays armed until something comes (is_read_held). */
static void conn_rearm(struct conn *c)
{
    int want = 0;

    if (c->state == CONN_CLOSED || c->is_poll_broken) {
        return;
    }
    if (c->is_blocked || c->state == CONN_CONNECTING) {
        want |= UV_WRITABLE;
    }
    if (c->is_reading && !c->is_read_held) {
        want |= UV_READABLE;
    } else if (c->is_read_held && c->detects_early_close && !c->is_half_close_enabled) {
        want |= UV_DISCONNECT;
    }
    if (want == c->armed) {
        return;
    }
    c->armed = (uint8_t)want;
    if (want == 0) {
        (void)uv_poll_stop(&c->poll); /* never fails */
    } else if (uv_poll_start(&c->poll, want, conn_on_poll) != 0) {
        c->is_poll_broken = true; /* only for a handle that is closing */
    }
}

/* --- the end ------------------------------------------------------------------------------ */

static void conn_free_deferred(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, deferred);

    buf_reset(&c->in);
    buf_reset(&c->out);
    if (c->wire != NULL) {
        buf_reset(c->wire);
        free(c->wire);
    }
    free(c->direct_remote);
    free(c->failure_reason);
    loop_note_freed(c->loop, c->transport_state != NULL ? CONN_TRANSPORT_BYTES : CONN_BYTES);
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

static ssize_t conn_send(struct conn *c, const struct buf *b, size_t *ret_tried);

/* The transport's last words, if they can go out at once: as Envoy, however a connection ends. */
static void conn_end_transport(struct conn *c)
{
    size_t tried;

    if (c->wire == NULL || c->transport_state == NULL || c->is_transport_ended ||
        c->transport->shutdown == NULL || c->is_write_broken || c->is_blocked ||
        buf_len(c->wire) > 0) {
        return;
    }
    c->is_transport_ended = true;
    c->transport->shutdown(c, c->transport_state, c->wire);
    if (buf_len(c->wire) > 0) {
        (void)conn_send(c, c->wire, &tried); /* the peer may have gone */
    }
}

/* Closes the socket. `tell_now`: the consumer learns at once (only from events of the socket and
 * timers); else from the loop, so that nothing called by a consumer calls back. */
static void conn_finish(struct conn *c, enum conn_close_cause cause, bool tell_now)
{
    if (c->state == CONN_CLOSED) {
        return;
    }
    conn_end_transport(c);
    conn_set_state(c, CONN_CLOSED);
    c->close_cause = (uint8_t)cause;
    timer_cancel(c->loop, &c->close_timer);
    loop_task_cancel(&c->task);
    uv_close((uv_handle_t *)&c->poll, conn_on_uv_closed); /* stops watching before the fd goes */
    (void)close(c->fd);
    c->fd = -1;
    for (size_t i = 0; i < CONN_LIMITS; i++) {
        if (c->limits[i] != NULL) {
            limit_give_back(c->limits[i]);
        }
    }
    if (tell_now) {
        conn_tell_closed(c, cause);
    }
}

static void conn_fail(struct conn *c, const char *what, int error)
{
    char text[160];
    int n = snprintf(text, sizeof(text), "%s: %s", what, strerror(error));

    if (c->failure_reason == NULL && n > 0) {
        c->failure_reason = xstrdup(text);
    }
}

static void conn_send_fin(struct conn *c)
{
    if (!c->is_fin_sent) {
        c->is_fin_sent = true;
        (void)shutdown(c->fd, SHUT_WR); /* fails only when the peer has gone: reading tells */
    }
}

/* Whether the kernel may hold bytes of the peer that nobody has read: closing would then answer
 * them with an RST, which can destroy what was just written. */
static bool conn_may_have_unread(const struct conn *c)
{
    return c->read_disable_count > 0 || c->is_read_held || !c->is_reading;
}

/* Everything is written: what the closing mode wanted next. */
static void conn_on_drained(struct conn *c, bool tell_now)
{
    if (c->state == CONN_FLUSHING) {
        bool lingers = c->is_delayed_close || conn_may_have_unread(c);

        if (!lingers || c->delayed_close_ms == 0 || c->is_eof) {
            conn_finish(c, c->is_eof_last ? CONN_CLOSED_REMOTE : CONN_CLOSED_LOCAL, tell_now);
            return;
        }
        conn_set_state(c, CONN_LINGERING);
        conn_send_fin(c);
        timer_arm(c->loop, &c->close_timer, c->delayed_close_ms);
        c->is_reading = true; /* to see the FIN */
        c->is_read_held = false;
        conn_rearm(c);
    } else if (c->wants_fin && c->state == CONN_OPEN) {
        conn_send_fin(c);
    }
}

static void conn_on_close_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, close_timer);

    if (c->state <= CONN_HANDSHAKING) {
        conn_finish(c, CONN_CLOSED_CONNECT_TIMEOUT, true);
    } else if (c->state == CONN_OPEN) {
        conn_offer_again(c); /* it waited for memory */
    } else {
        c->is_close_timed_out = c->is_delayed_close;
        conn_finish(c, CONN_CLOSED_LOCAL, true);
    }
}

/* --- writing ------------------------------------------------------------------------------ */

/* What goes to the socket: plain output, or what the transport made of it. */
static struct buf *conn_wire(struct conn *c)
{
    return c->wire != NULL ? c->wire : &c->out;
}

size_t conn_unwritten(const struct conn *c)
{
    return c->out.len + (c->wire != NULL ? c->wire->len : 0);
}

static void conn_check_watermark(struct conn *c)
{
    size_t len = conn_unwritten(c);
    bool is_above = c->is_above_watermark ? len > c->high_watermark / 2
                                          : c->high_watermark > 0 && len > c->high_watermark;

    if (is_above != c->is_above_watermark && c->state != CONN_CLOSED) {
        c->is_above_watermark = is_above;
        if (c->ops != NULL && c->ops->on_watermark != NULL) {
            c->ops->on_watermark(c, is_above);
        }
    }
}

/* Sends from the front of `b`. Bytes sent, or a negative errno. */
static ssize_t conn_send(struct conn *c, const struct buf *b, size_t *ret_tried)
{
    struct iovec iov[FLUSH_IOVECS];
    struct msghdr msg = {.msg_iov = iov};
    ssize_t n;

    if (b->head->next == NULL) {
        *ret_tried = b->head->len;
        n = send(c->fd, b->head->data, b->head->len, MSG_NOSIGNAL);
    } else {
        msg.msg_iovlen = buf_iovec(b, iov, FLUSH_IOVECS);
        *ret_tried = 0;
        for (size_t i = 0; i < msg.msg_iovlen; i++) {
            *ret_tried += iov[i].iov_len;
        }
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    }
    return n < 0 ? -errno : n;
}

/* The peer takes nothing more. What it still sent (an early response, a reason) is read first. */
static void conn_on_write_error(struct conn *c, bool tell_now)
{
    c->is_write_broken = true;
    c->is_blocked = false;
    buf_reset(&c->out);
    if (c->wire != NULL) {
        buf_reset(c->wire);
    }
    if (!c->is_reading || conn_is_closing(c)) {
        conn_finish(c, CONN_CLOSED_RESET, tell_now);
    } else {
        conn_rearm(c);
    }
}

/* Also the transport's last words, when nothing follows. */
static bool conn_encrypt_output(struct conn *c)
{
    size_t unwritten = c->out.len;

    if (c->wire == NULL) {
        return true;
    }
    if (unwritten > 0 && c->transport->encrypt(c, c->transport_state, &c->out, c->wire) != 0) {
        return false;
    }
    c->bytes_written += unwritten - c->out.len;
    if ((c->wants_fin || c->state == CONN_FLUSHING) && c->out.len == 0 && !c->is_transport_ended) {
        c->is_transport_ended = true;
        if (c->transport->shutdown != NULL) {
            c->transport->shutdown(c, c->transport_state, c->wire);
        }
    }
    return true;
}

/* A peer that takes nothing holds a closing connection no longer than this, as in Envoy; each
 * progress starts it anew. */
static void conn_bound_flush(struct conn *c)
{
    if (c->state == CONN_FLUSHING && c->is_blocked && c->delayed_close_ms > 0) {
        timer_arm(c->loop, &c->close_timer, c->delayed_close_ms);
    }
}

/* Writes until nothing is left or the socket is full. */
static void conn_write_out(struct conn *c, bool tell_now)
{
    struct buf *b = conn_wire(c);

    if (!conn_encrypt_output(c)) {
        conn_finish(c, CONN_CLOSED_TRANSPORT, tell_now);
        return;
    }
    while (b->len > 0) {
        size_t tried;
        ssize_t n = conn_send(c, b, &tried);

        if (n == -EINTR) {
            continue;
        }
        if (n < 0 && n != -EAGAIN) {
            conn_on_write_error(c, tell_now);
            return;
        }
        if (n > 0) {
            c->wire_written += (uint64_t)n;
            c->bytes_written += c->wire == NULL ? (uint64_t)n : 0;
            buf_drain(b, (size_t)n);
        }
        if (n < 0 || (size_t)n < tried) {
            c->is_blocked = true;
            conn_rearm(c);
            conn_bound_flush(c);
            return;
        }
    }
    conn_on_drained(c, tell_now);
}

static bool conn_can_write(const struct conn *c)
{
    return c->state != CONN_CLOSED && c->state != CONN_CONNECTING && c->state != CONN_LINGERING &&
           !c->is_blocked && !c->is_write_broken;
}

void conn_flush(struct conn *c)
{
    if (conn_can_write(c)) {
        conn_write_out(c, false);
    }
}

static void conn_on_writable(struct conn *c)
{
    c->is_blocked = false;
    conn_write_out(c, true);
    if (c->state != CONN_CLOSED) {
        conn_rearm(c);
        conn_check_watermark(c);
    }
}

void conn_output_added(struct conn *c)
{
    size_t eager = c->high_watermark > 0 && c->high_watermark < FLUSH_EAGER_BYTES
                       ? c->high_watermark
                       : FLUSH_EAGER_BYTES;

    if (c->is_write_broken || c->state >= CONN_LINGERING) {
        buf_reset(&c->out);
        return;
    }
    if (c->out.len < eager) {
        loop_task_schedule(c->loop, &c->task); /* watermarks are looked at after the write */
        return;
    }
    conn_flush(c);
    conn_check_watermark(c);
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
    loop_task_schedule(c->loop, &c->task);
}

/* --- reading ------------------------------------------------------------------------------ */

/* Offers what is there; what the consumer leaves is kept in c->in. */
static void conn_offer(struct conn *c, struct buf *in, bool end_stream)
{
    if (c->ops != NULL && (in->len > 0 || end_stream)) {
        c->ops->on_data(c, in, end_stream);
    }
    if (in != &c->in && in->len > 0) {
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

static void conn_on_eof(struct conn *c);

static void conn_decrypt(struct conn *c, struct buf *wire)
{
    struct buf plain;
    int r;

    buf_init(&plain, &c->loop->bufs);
    r = c->transport->decrypt(c, c->transport_state, wire, &plain);
    if (r < 0 && r != E_CLOSED) {
        buf_reset(wire);
        buf_reset(&plain);
        conn_flush(c); /* the alert */
        conn_finish(c, CONN_CLOSED_TRANSPORT, true);
        return;
    }
    conn_transport_became_ready(c);
    if (c->state != CONN_CLOSED && conn_unwritten(c) > 0) {
        loop_task_schedule(c->loop, &c->task);
    }
    c->bytes_read += plain.len;
    if (!conn_is_closing(c) && plain.len > 0) {
        buf_move(&c->in, &plain);
        conn_offer(c, &c->in, false);
    }
    buf_reset(&plain);
    buf_reset(wire);
    if (r == E_CLOSED && c->state != CONN_CLOSED && !c->is_eof) {
        conn_on_eof(c);
    }
}

static void conn_on_eof(struct conn *c)
{
    c->is_eof = true;
    c->is_eof_last = c->is_fin_sent;
    c->is_reading = false;
    if (conn_is_closing(c)) {
        if (c->state == CONN_LINGERING) {
            conn_finish(c, CONN_CLOSED_LOCAL, true);
        } else {
            conn_rearm(c);
        }
        return;
    }
    if (c->is_half_close_enabled && c->state == CONN_OPEN) {
        conn_rearm(c);
        conn_offer(c, &c->in, true);
    } else {
        conn_finish(c, conn_is_opening(c) ? CONN_CLOSED_CONNECT_FAILED : CONN_CLOSED_REMOTE, true);
    }
}

/* Takes all of `now`. */
static void conn_on_bytes(struct conn *c, struct buf *now)
{
    c->bytes_read += c->wire == NULL ? now->len : 0;
    if (conn_is_closing(c)) {
        buf_reset(now); /* what still comes is of no interest */
    } else if (c->wire != NULL) {
        conn_decrypt(c, now);
    } else if (c->in.len > 0) {
        buf_move(&c->in, now);
        conn_offer(c, &c->in, false);
    } else {
        conn_offer(c, now, false);
    }
}

void conn_feed(struct conn *c, struct buf *take_bytes)
{
    if (conn_is_closing(c)) {
        buf_reset(take_bytes);
    } else if (c->wire != NULL && take_bytes->len > 0) {
        conn_decrypt(c, take_bytes);
    } else {
        buf_move(&c->in, take_bytes);
        if (c->read_disable_count == 0) {
            conn_offer(c, &c->in, false);
        }
    }
    if (c->is_read_held) {
        conn_offer_again(c); /* reading may have stopped on what was held back */
    }
}

static void conn_on_read_error(struct conn *c, int error)
{
    enum conn_close_cause cause = CONN_CLOSED_RESET;

    if (conn_is_opening(c)) {
        cause = CONN_CLOSED_CONNECT_FAILED;
        conn_fail(c, "delayed connect error", error);
    } else if (conn_is_closing(c)) {
        cause = CONN_CLOSED_LOCAL;
    }
    conn_finish(c, cause, true);
}

/* What a read brought that was no bytes. */
static void conn_on_no_bytes(struct conn *c, ssize_t n)
{
    if (n == 0) {
        conn_on_eof(c);
    } else if (errno != EAGAIN) {
        conn_on_read_error(c, errno);
    }
}

/* One recv. Whether another one may find more. */
static bool conn_read_once(struct conn *c)
{
    struct loop *l = c->loop;
    struct buf now;
    uint8_t *data;
    size_t len;
    struct buf_block *block = loop_read_window(l, &data, &len);
    ssize_t n;

    do {
        n = recv(c->fd, data, len, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        buf_init(&now, &l->bufs);
        buf_add_window(&now, block, data, (size_t)n);
        conn_on_bytes(c, &now);
    } else {
        conn_on_no_bytes(c, n);
    }
    loop_read_done(l, block, data, n > 0 ? (size_t)n : 0);
    return n > 0 && (size_t)n == len;
}

/* The same into several blocks. */
static bool conn_read_bulk(struct conn *c)
{
    struct buf_block *blocks[BULK_BLOCKS];
    struct iovec iov[BULK_BLOCKS];
    struct buf now;
    ssize_t n;
    size_t left;

    for (size_t i = 0; i < BULK_BLOCKS; i++) {
        blocks[i] = buf_block_new(&c->loop->bufs);
        iov[i] = (struct iovec){blocks[i]->data, blocks[i]->cap};
    }
    do {
        n = readv(c->fd, iov, BULK_BLOCKS);
    } while (n < 0 && errno == EINTR);
    buf_init(&now, &c->loop->bufs);
    left = n > 0 ? (size_t)n : 0;
    for (size_t i = 0; i < BULK_BLOCKS; i++) {
        size_t len = left < iov[i].iov_len ? left : iov[i].iov_len;

        blocks[i]->used = (uint32_t)len;
        buf_add_window(&now, blocks[i], blocks[i]->data, len);
        buf_block_unref(blocks[i]);
        left -= len;
    }
    if (n > 0) {
        conn_on_bytes(c, &now);
    } else {
        conn_on_no_bytes(c, n);
    }
    return n > 0 && (size_t)n == BULK_BLOCKS * iov[0].iov_len;
}

/* Whether what arrives may be read now. */
static bool conn_takes_bytes(const struct conn *c)
{
    return c->state != CONN_CLOSED && c->is_reading &&
           (c->read_disable_count == 0 || conn_is_closing(c));
}

/* The consumer has left so much that nothing more is read until it takes some. */
static bool conn_in_is_full(const struct conn *c)
{
    return c->in.len >= (c->high_watermark > 0 ? c->high_watermark : IN_LIMIT_BYTES);
}

/* While memory is short, what comes waits in the kernel, and so with the peer, for what the others
 * give back: no more is under way at a time than the pools hold. */
static bool conn_must_wait_for_memory(struct conn *c)
{
    const struct loop *l = c->loop;

    if (NUNCIO_LIKELY(!l->is_short_of_memory) || c->state != CONN_OPEN ||
        (l->bufs.free_block_count >= SPARE_BLOCKS && l->arenas.free_count >= SPARE_CHUNKS)) {
        return false;
    }
    c->is_read_held = true;
    timer_arm(c->loop, &c->close_timer, SHORT_OF_MEMORY_MS);
    conn_rearm(c);
    return true;
}

static void conn_on_readable(struct conn *c)
{
    if (conn_must_wait_for_memory(c)) {
        return;
    }
    if (!conn_takes_bytes(c)) {
        /* Reading was disabled and now something came: it waits in the kernel. */
        c->is_read_held = true;
        conn_rearm(c);
        return;
    }
    for (int i = 0; i < READS_PER_EVENT && conn_takes_bytes(c); i++) {
        bool is_bulk = c->is_bulk && !c->loop->is_short_of_memory;

        c->is_bulk = is_bulk ? conn_read_bulk(c) : conn_read_once(c);
        if (!c->is_bulk || conn_in_is_full(c) || c->loop->is_short_of_memory) {
            break;
        }
    }
    if (NUNCIO_UNLIKELY(conn_in_is_full(c)) && !conn_is_closing(c)) {
        c->is_read_held = true;
        conn_rearm(c);
    }
}

void conn_read_start(struct conn *c)
{
    if (c->state == CONN_CLOSED || c->is_eof) {
        return;
    }
    c->is_reading = true;
    conn_rearm(c);
}

void conn_offer_again(struct conn *c)
{
    if (!conn_is_closing(c)) {
        c->wants_offer = true;
        loop_task_schedule(c->loop, &c->task);
    }
}

void conn_read_disable(struct conn *c, bool disable)
{
    if (disable) {
        /* Reads stay armed: stopping costs system calls, and mostly nothing comes. */
        c->read_disable_count++;
        return;
    }
    CHECK(c->read_disable_count > 0);
    if (--c->read_disable_count == 0 && (c->in.len > 0 || c->is_read_held)) {
        conn_offer_again(c);
    }
}

/* --- events ------------------------------------------------------------------------------- */

static void conn_read_local(struct conn *c)
{
    socklen_t len = sizeof(c->local.un);

    if (getsockname(c->fd, &c->local.sa, &len) == 0) {
        c->local.len = len;
    }
}

static void conn_connected(struct conn *c)
{
    conn_read_local(c);
    c->is_reading = true;
    if (c->transport != NULL && c->transport->is_ready != NULL &&
        !c->transport->is_ready(c, c->transport_state)) {
        conn_set_state(c, CONN_HANDSHAKING);
        conn_rearm(c);
        if (c->transport->encrypt(c, c->transport_state, &c->out, c->wire) != 0) {
            conn_finish(c, CONN_CLOSED_TRANSPORT, true); /* it could not even begin */
            return;
        }
        conn_write_out(c, true);
        return;
    }
    timer_cancel(c->loop, &c->close_timer);
    conn_set_state(c, CONN_OPEN);
    conn_rearm(c);
    if (c->out.len > 0) {
        loop_task_schedule(c->loop, &c->task);
    }
    if (c->ops != NULL && c->ops->on_connected != NULL) {
        c->ops->on_connected(c);
    }
}

static void conn_on_connect_result(struct conn *c, int error)
{
    if (error == 0) {
        c->connected_ns = clock_mono_ns();
        conn_connected(c);
        return;
    }
    conn_fail(c, "delayed connect error", error);
    conn_finish(c, CONN_CLOSED_CONNECT_FAILED, true);
}

static int conn_socket_error(const struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

/* The socket is in error and no longer watched: bytes that came before the error, then the end. */
static void conn_on_poll_error(struct conn *c)
{
    c->is_poll_broken = true;
    if (c->state == CONN_CONNECTING) {
        int error = conn_socket_error(c);

        conn_on_connect_result(c, error != 0 ? error : ECONNABORTED);
        return;
    }
    if (c->state == CONN_OPEN && c->read_disable_count > 0 && !c->detects_early_close) {
        c->is_read_held = true; /* looked at when reading goes on */
        return;
    }
    while (conn_takes_bytes(c) && conn_read_once(c)) {
    }
    if (c->state != CONN_CLOSED) {
        conn_on_read_error(c, ECONNRESET);
    }
}

/* Bytes kept while reading was disabled, or offered again on request. */
static void conn_run_offer(struct conn *c)
{
    c->wants_offer = false;
    if (conn_is_closing(c) || c->read_disable_count > 0) {
        return;
    }
    if (c->in.len > 0) {
        conn_offer(c, &c->in, false);
    }
    if (c->is_read_held && !conn_is_closing(c) && c->read_disable_count == 0 &&
        !conn_in_is_full(c)) {
        c->is_read_held = false;
        if (c->is_poll_broken) {
            conn_on_poll_error(c);
        } else {
            conn_rearm(c);
        }
    }
}

static void conn_on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = conn_from(poll->data);

    if (NUNCIO_UNLIKELY(status < 0)) {
        conn_on_poll_error(c);
        return;
    }
    if (NUNCIO_UNLIKELY(c->state == CONN_CONNECTING)) {
        conn_on_connect_result(c, conn_socket_error(c));
        return;
    }
    if (NUNCIO_UNLIKELY((events & UV_WRITABLE) != 0 && c->is_blocked)) {
        conn_on_writable(c);
    }
    if (NUNCIO_LIKELY((events & UV_READABLE) != 0) && c->state != CONN_CLOSED) {
        conn_on_readable(c);
    }
    if (NUNCIO_UNLIKELY((events & UV_DISCONNECT) != 0) && c->is_read_held &&
        c->state != CONN_CLOSED) {
        /* As Envoy: a client that has gone is not waited for, whatever it left unread. */
        conn_finish(c, conn_is_closing(c) ? CONN_CLOSED_LOCAL : CONN_CLOSED_REMOTE, true);
    }
}

/* End of a turn: the outcome of a connect that was known at once, bytes to offer, output. */
static void conn_run_task(struct loop_task *t)
{
    struct conn *c = container_of(t, struct conn, task);

    if (NUNCIO_UNLIKELY(c->state == CONN_CONNECTING)) {
        if (c->has_connect_result) {
            conn_on_connect_result(c, c->connect_error);
        }
        return;
    }
    if (c->wants_offer) {
        conn_run_offer(c);
    }
    if (conn_can_write(c)) {
        conn_write_out(c, false);
    }
    if (c->state != CONN_CLOSED) {
        conn_check_watermark(c);
    }
}

/* --- making ------------------------------------------------------------------------------- */

static struct conn *conn_new(struct loop *l)
{
    struct conn *c = xcalloc(1, sizeof(*c));

    growth_add(&l->growth, CONN_BYTES);
    c->magic = CONN_MAGIC;
    c->loop = l;
    c->fd = -1;
    buf_init(&c->in, &l->bufs);
    buf_init(&c->out, &l->bufs);
    loop_task_init(&c->task, conn_run_task);
    timer_init(&c->close_timer, conn_on_close_timer);
    c->delayed_close_ms = DELAYED_CLOSE_MS;
    return c;
}

/* Watches `fd` (taken, also on error, when `c` is freed too). */
static int conn_adopt_fd(struct conn *c, int take_fd)
{
    if (uv_poll_init(&c->loop->uv, &c->poll, take_fd) != 0) {
        (void)close(take_fd);
        free(c);
        return E_SYS;
    }
    c->poll.data = c;
    c->fd = take_fd;
    return 0;
}

int conn_open_transport(struct conn *c, const struct transport_socket *transport,
                        const void *config, bool is_server, const struct transport_options *options)
{
    c->transport = transport;
    if (transport == NULL) {
        return 0;
    }
    if (transport->encrypt != NULL) {
        growth_add(&c->loop->growth, CONN_TRANSPORT_BYTES);
        c->wire = xmalloc(sizeof(*c->wire));
        buf_init(c->wire, &c->loop->bufs);
    }
    if (transport->open != NULL &&
        transport->open(c, config, is_server, options, &c->transport_state) != 0) {
        c->is_transport_ended = true; /* it never began */
        return E_TLS;
    }
    return 0;
}

int conn_accept(struct loop *l, int take_fd, bool is_unix, const struct address *remote,
                const struct address *local, struct conn **ret_conn)
{
    struct conn *c = conn_new(l);

    (void)is_unix; /* TCP_NODELAY came with the listening socket */
    if (conn_adopt_fd(c, take_fd) != 0) {
        return E_SYS;
    }
    c->remote = *remote;
    c->local = *local;
    c->detects_early_close = true;
    c->is_accepted = true;
    c->state = CONN_OPEN;
    *ret_conn = c;
    return 0;
}

int conn_set_server_transport(struct conn *c, const struct transport_socket *transport,
                              const void *config, uint64_t timeout_ms)
{
    int r = conn_open_transport(c, transport, config, true, NULL);

    if (c->wire != NULL) {
        c->bytes_read = 0; /* listener filters looked at bytes that are the transport's */
    }
    if (r == 0 && transport != NULL && transport->is_ready != NULL &&
        !transport->is_ready(c, c->transport_state)) {
        c->state = CONN_HANDSHAKING; /* nothing was told of it yet: as if it began so */
        if (timeout_ms > 0) {
            timer_arm(c->loop, &c->close_timer, timeout_ms);
        }
    }
    return r;
}

static void conn_start_connect(struct conn *c)
{
    int r;

    do {
        r = connect(c->fd, &c->remote.sa, c->remote.len);
    } while (r != 0 && errno == EINTR);
    if (r != 0 && errno == EINPROGRESS) {
        conn_rearm(c);
        return;
    }
    c->has_connect_result = true; /* told from the loop all the same */
    c->connect_error = r == 0 ? 0 : errno;
    loop_task_schedule(c->loop, &c->task);
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
        (void)close(fd);
        return E_SYS;
    }
    c = conn_new(l);
    if (conn_adopt_fd(c, fd) != 0) {
        return E_SYS;
    }
    c->remote = o->remote;
    conn_start_connect(c); /* from here on it has a local address */
    if (conn_open_transport(c, o->transport, o->transport_config, false, o->transport_options) !=
        0) {
        conn_finish(c, CONN_CLOSED_LOCAL, false); /* no ops yet: nobody is told */
        return E_SYS;
    }
    c->ops = ops;
    c->user = user;
    if (o->timeout_ms > 0) {
        timer_arm(l, &c->close_timer, o->timeout_ms);
    }
    *ret_conn = c;
    return 0;
}

static void conn_finish_with_reset(struct conn *c)
{
    const struct linger drop = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop)); /* else it is a FIN */
    c->is_transport_ended = true;                                        /* not a word */
    conn_finish(c, CONN_CLOSED_LOCAL, false);
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
        conn_set_state(c, CONN_FLUSHING);
        c->is_delayed_close = mode == CONN_CLOSE_FLUSH_AND_DELAY;
        buf_reset(&c->in);
        conn_bound_flush(c);
        loop_task_schedule(c->loop, &c->task);
        break;
    }
}
