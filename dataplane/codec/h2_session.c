/*
 * One HTTP/2 connection: the order in which what nghttp2's callbacks wrote down is handed out,
 * windows, and the ends of streams and of the connection. A connection's thread.
 *
 * Windows: the connection's is given back on receipt and limits nothing; a stream's is given back
 * as its owner takes the body, so a stream that is not read holds at most one window, and none of
 * the others waits for it (../flow_control.md).
 *
 * Ends: a server's stream is over when nghttp2 has closed it, which is after its last frame went to
 * the output; a client's when the response was handed out. The struct goes when both its owner and
 * nghttp2 are done with it.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h2_internal.h"

/* --- streams ---------------------------------------------------------------------------------- */

struct h2_stream *h2_find(struct h2_conn *h, int32_t id)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(h->session, id);

    CHECK(st == NULL || st->magic == H2_STREAM_MAGIC);
    return st;
}

struct h2_stream *h2_stream_new(struct h2_conn *h)
{
    struct h2_stream *st = xcalloc(1, sizeof(*st));

    st->magic = H2_STREAM_MAGIC;
    st->conn = h;
    st->base.ops = h->stream_ops;
    st->base.protocol = HTTP_2;
    list_init(&st->ready_node);
    list_init(&st->closed_node);
    list_init(&st->measured_node);
    list_add_tail(&h->streams, &st->node);
    buf_init(&st->recv, h->base.out->pool);
    buf_init(&st->send, h->base.out->pool);
    st->window = h->options->initial_stream_window_size;
    return st;
}

void h2_stream_attach(struct h2_stream *st)
{
    st->is_attached = true;
    h2_gauge(st->conn, H2_STREAMS_ACTIVE, 1);
}

void h2_stream_opened(struct h2_stream *st, int32_t id)
{
    st->base.id = (uint32_t)id;
    st->is_open = true;
    st->conn->open_count++;
    st->conn->flood.opened_streams++;
}

void h2_stream_drop_output(struct h2_stream *st)
{
    h2_gauge(st->conn, H2_PENDING_SEND_BYTES, -(int64_t)buf_len(&st->send));
    buf_reset(&st->send);
}

void h2_stream_bury(struct h2_stream *st)
{
    list_remove(&st->node);
    list_remove(&st->ready_node);
    list_remove(&st->closed_node);
    list_remove(&st->measured_node);
    buf_reset(&st->recv);
    h2_stream_drop_output(st);
    list_add_tail(&st->conn->dead, &st->closed_node);
}

static void free_dead(struct h2_conn *h)
{
    struct h2_stream *st;

    while ((st = list_first(&h->dead, struct h2_stream, closed_node)) != NULL) {
        list_remove(&st->closed_node);
        st->magic = 0;
        free(st);
    }
}

void h2_stream_mark_ready(struct h2_stream *st)
{
    if (st->is_attached && !list_is_linked(&st->ready_node)) {
        list_add_tail(&st->conn->ready, &st->ready_node);
    }
}

void h2_stream_submit_rst(struct h2_stream *st, uint32_t code)
{
    if (st->is_open) {
        (void)nghttp2_submit_rst_stream(st->conn->session, NGHTTP2_FLAG_NONE, (int32_t)st->base.id,
                                        code); /* out of memory is all that can go wrong */
    }
}

void h2_stream_end(struct h2_stream *st, bool is_reset, enum stream_reset_reason reason)
{
    struct h2_conn *h = st->conn;
    const struct codec_stream_callbacks *callbacks = st->base.callbacks;

    CHECK(st->is_attached);
    st->is_attached = false;
    st->base.end_reason = reason;
    list_remove(&st->ready_node);
    list_remove(&st->closed_node);
    list_remove(&st->measured_node);
    buf_reset(&st->recv);
    h2_gauge(h, H2_STREAMS_ACTIVE, -1);
    if (is_reset) {
        callbacks->on_reset(st->base.user, reason, st->details);
    }
    h->base.callbacks->on_stream_end(h->base.owner, &st->base);
    if (!st->is_open) {
        h2_stream_bury(st);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

void h2_fail(struct h2_conn *h, uint32_t code, struct str details)
{
    if (h->failure.len == 0) {
        h->failure = details;
        h->failure_code = code;
    }
}

void h2_send(struct h2_conn *h)
{
    size_t before = buf_len(h->base.out);
    int r;

    if (h->is_closed || (h->failure.len > 0 && h->is_outbound_flood)) {
        return;
    }
    r = nghttp2_session_send(h->session);
    if (r != 0) {
        h2_fail(h, NGHTTP2_INTERNAL_ERROR, STR("http2.send_failed"));
    }
    if (buf_len(h->base.out) != before) {
        h->base.callbacks->on_output(h->base.owner);
    }
}

/* --- handing out ------------------------------------------------------------------------------ */

/* Gives the peer back what the owner has taken; a fast stream's window grows. */
static void stream_consume(struct h2_stream *st, size_t len)
{
    struct h2_conn *h = st->conn;
    int32_t id = (int32_t)st->base.id;

    if (!st->is_open || st->is_remote_end) {
        return;
    }
    (void)nghttp2_session_consume_stream(h->session, id, len); /* it is open */
    st->window_consumed += (uint32_t)len;
    if (h->options->grows_stream_windows && st->window < HTTP2_STREAM_WINDOW_GROWN &&
        st->window_consumed > st->window / 2) {
        st->window_consumed = 0;
        st->window =
            st->window * 2 < HTTP2_STREAM_WINDOW_GROWN ? st->window * 2 : HTTP2_STREAM_WINDOW_GROWN;
        (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, id,
                                                    (int32_t)st->window);
    }
}

static void deliver_data(struct h2_stream *st, bool is_last)
{
    size_t len = buf_len(&st->recv);
    struct buf data;

    buf_init(&data, st->recv.pool);
    buf_move(&data, &st->recv);
    st->is_end_delivered = is_last;
    st->base.callbacks->on_data(st->base.user, &data, is_last);
    buf_reset(&data);
    if (!st->is_attached) {
        return;
    }
    if (st->read_disables == 0) {
        stream_consume(st, len);
    } else {
        st->unconsumed += len;
    }
}

static void deliver_informational(struct h2_stream *st)
{
    while (st->is_attached && st->informational != NULL) {
        struct h2_informational *i = st->informational;

        st->informational = i->next;
        if (st->base.callbacks->on_1xx != NULL) {
            st->base.callbacks->on_1xx(st->base.user, &i->headers);
        }
    }
}

/* The stream may be gone after each callback. */
static void deliver_message(struct h2_stream *st)
{
    bool is_whole = st->is_remote_end && st->trailers == NULL;

    deliver_informational(st);
    if (st->is_attached && st->has_head) {
        st->has_head = false;
        st->is_end_delivered = is_whole && buf_len(&st->recv) == 0;
        st->base.callbacks->on_headers(st->base.user, st->is_end_delivered);
    }
    if (!st->is_attached || st->is_held || st->read_disables > 0 || st->is_end_delivered ||
        !st->has_final) {
        return;
    }
    if (buf_len(&st->recv) > 0 || is_whole) {
        deliver_data(st, is_whole);
    }
    if (st->is_attached && st->is_remote_end && st->trailers != NULL && !st->is_end_delivered &&
        st->read_disables == 0) {
        st->is_end_delivered = true;
        st->base.callbacks->on_trailers(st->base.user, st->trailers);
    }
}

static void deliver(struct h2_stream *st)
{
    bool is_given_up = st->conn->is_server && (!st->is_open || st->is_local_end);

    if (!is_given_up) {
        deliver_message(st);
    }
    if (st->is_attached && !st->conn->is_server && st->is_end_delivered &&
        (st->is_local_end_sent || !st->base.keeps_half_open)) {
        if (!st->is_local_end_sent) {
            h2_stream_submit_rst(st, NGHTTP2_INTERNAL_ERROR); /* as Envoy: answered early */
        }
        h2_stream_end(st, false, st->is_local_end_sent ? RESET_NO_ERROR : RESET_LOCAL);
    }
}

static void deliver_ready(struct h2_conn *h)
{
    struct h2_stream *st;

    while (!h->is_closed && (st = list_first(&h->ready, struct h2_stream, ready_node)) != NULL) {
        list_remove(&st->ready_node);
        deliver(st);
    }
}

/* --- ends ------------------------------------------------------------------------------------- */

static enum stream_reset_reason reset_reason_of(struct h2_stream *st)
{
    if (st->is_invalid) {
        return st->conn->is_server ? RESET_LOCAL : RESET_PROTOCOL_ERROR;
    }
    if (st->close_code == NGHTTP2_REFUSED_STREAM) {
        st->details = STR("http2.remote_refuse");
        return RESET_REMOTE_REFUSED;
    }
    if (st->details.len == 0) {
        st->details = STR("http2.remote_reset");
        if (st->conn->is_server && !st->is_peer_reset) {
            return RESET_LOCAL; /* nghttp2's doing: the body is not as long as it said */
        }
    }
    if (st->close_code == NGHTTP2_PROTOCOL_ERROR && !st->conn->is_server) {
        return RESET_PROTOCOL_ERROR; /* as Envoy: what we sent was wrong */
    }
    return st->close_code == NGHTTP2_CONNECT_ERROR ? RESET_CONNECT_ERROR : RESET_REMOTE;
}

/* Tells owners of streams that nghttp2 has closed. A client's response that is complete but not yet
 * taken stays for its reader. */
static void finish_closed(struct h2_conn *h)
{
    struct h2_stream *st;

    while (!h->is_closed && (st = list_first(&h->closed, struct h2_stream, closed_node)) != NULL) {
        list_remove(&st->closed_node);
        if (h->is_server) {
            h2_stream_end(st, !st->is_local_end_sent, reset_reason_of(st));
        } else if (st->is_end_delivered && st->is_local_end_sent) { /* kept half open till now */
            h2_stream_end(st, false, RESET_NO_ERROR);
        } else if (!st->is_remote_end || !st->has_final || st->is_end_delivered) {
            h2_stream_end(st, true, reset_reason_of(st));
        }
    }
}

static void check_measured(struct h2_conn *h)
{
    struct h2_stream *st;

    while (!h->is_closed && (st = list_first(&h->measured, struct h2_stream, measured_node))) {
        list_remove(&st->measured_node);
        h2_stream_check_watermark(st);
    }
}

static void tell_owner(struct h2_conn *h)
{
    const struct codec_callbacks *callbacks = h->base.callbacks;

    if (h->is_closed) {
        return;
    }
    if (h->wants_capacity_call && callbacks->on_capacity != NULL) {
        callbacks->on_capacity(h->base.owner);
    }
    h->wants_capacity_call = false;
    if (h->wants_ping_ack_call && callbacks->on_ping_ack != NULL) {
        callbacks->on_ping_ack(h->base.owner);
    }
    h->wants_ping_ack_call = false;
    if (h->wants_goaway_call && callbacks->on_goaway != NULL) {
        callbacks->on_goaway(h->base.owner);
    }
    h->wants_goaway_call = false;
    if (h->wants_pending_call && callbacks->on_pending != NULL) {
        callbacks->on_pending(h->base.owner);
    }
    h->wants_pending_call = false;
}

/* Says so to the peer where it listens, then to the owner, who closes. */
static void report_failure(struct h2_conn *h)
{
    struct codec_error e = {
        .details = h->failure,
        .is_outbound_flood = h->is_outbound_flood,
    };

    h->is_failed = true;
    if (!h->is_outbound_flood) {
        (void)nghttp2_session_terminate_session(h->session, h->failure_code);
        h2_send(h);
    }
    if (h->base.callbacks->on_error != NULL) {
        h->base.callbacks->on_error(h->base.owner, &e);
    }
}

void h2_enter(struct h2_conn *h)
{
    h->depth++;
}

/* Whether telling owners has left something to send or to tell. */
static bool has_work(const struct h2_conn *h)
{
    return !h->is_closed && h->failure.len == 0 &&
           (!list_is_empty(&h->closed) || !list_is_empty(&h->measured) ||
            nghttp2_session_want_write(h->session) != 0);
}

void h2_leave(struct h2_conn *h)
{
    CHECK(h->depth > 0);
    if (h->depth > 1) {
        h->depth--;
        return;
    }
    do {
        h2_send(h);
        finish_closed(h);
        check_measured(h);
        tell_owner(h);
    } while (has_work(h));
    if (h->failure.len > 0 && !h->is_failed && !h->is_closed) {
        report_failure(h);
    }
    h->depth--;
    free_dead(h);
}

/* --- the codec -------------------------------------------------------------------------------- */

static void feed_failed(struct h2_conn *h, ssize_t error)
{
    switch (error) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        h2_fail(h, NGHTTP2_PROTOCOL_ERROR, STR("http2.bad_preface"));
        break;
    case NGHTTP2_ERR_FLOODED:
        h2_count(h, H2_OUTBOUND_CONTROL_FLOOD);
        h2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM, STR("http2.outbound_frames_flood"));
        break;
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
        h2_count(h, H2_HEADER_OVERFLOW);
        h2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM, STR("http2.too_many_headers"));
        break;
    default: /* our own callbacks have said why */
        h2_fail(h, NGHTTP2_INTERNAL_ERROR, STR("http2.unknown.nghttp2.error"));
        break;
    }
}

/* The first segment, in pieces that end where h2_history.c wants to look. */
static void feed(struct h2_conn *h, struct buf *in)
{
    const uint8_t *bytes = in->head->data;
    size_t len = in->head->len;
    size_t scanned = 0;
    size_t fed = 0;
    ssize_t n = 0;

    h->feeding = in->head;
    while (n >= 0 && fed < len && h->failure.len == 0) {
        uint32_t data_id;
        size_t cut = scanned + h2_history_scan(h, bytes + scanned, len - scanned, &data_id);

        n = nghttp2_session_mem_recv(h->session, bytes + fed, cut - fed);
        fed = cut;
        scanned = data_id != 0 ? cut + 1 : cut;
        if (n >= 0 && data_id != 0 && h->failure.len == 0) {
            (void)h2_history_check(h, data_id); /* the failure is looked at above */
        }
    }
    h->feeding = NULL;
    if (n < 0) {
        feed_failed(h, n);
        return;
    }
    buf_drain(in, len);
}

int h2_dispatch(struct codec *c, struct buf *in, bool end_stream)
{
    struct h2_conn *h = h2_from_codec(c);

    h2_enter(h);
    while (in->head != NULL && h->failure.len == 0 && !h->is_closed) {
        feed(h, in);
        deliver_ready(h);
        finish_closed(h);
        h2_send(h);
    }
    deliver_ready(h);
    if (h->failure.len > 0 || h->is_closed) {
        buf_reset(in); /* no more of it is looked at */
    }
    h2_leave(h);
    if (h->failure.len > 0) {
        return E_PROTOCOL;
    }
    return end_stream && !list_is_empty(&h->streams) ? E_CLOSED : 0;
}

void h2_stream_check_watermark(struct h2_stream *st)
{
    struct h2_conn *h = st->conn;
    size_t high = h->base.limits.stream_buffer_bytes;
    size_t len = buf_len(&st->send);
    bool is_above = h->is_blocked || (high > 0 && (len > high || (st->is_above && len > high / 2)));

    if (!st->is_attached || is_above == st->is_above) {
        return;
    }
    st->is_above = is_above;
    if (st->base.callbacks->on_watermark != NULL) {
        st->base.callbacks->on_watermark(st->base.user, is_above);
    }
}

void h2_on_watermark(struct codec *c, bool is_above)
{
    struct h2_conn *h = h2_from_codec(c);
    struct h2_stream *st;

    h2_enter(h);
    h->is_blocked = is_above;
    list_for_each (st, &h->streams, struct h2_stream, node) {
        if (!is_above) {
            h2_stream_resume(st);
        }
        if (st->is_attached && !list_is_linked(&st->measured_node)) {
            list_add_tail(&h->measured, &st->measured_node); /* by h2_leave */
        }
    }
    h2_leave(h);
}

void h2_drain(struct codec *c)
{
    struct h2_conn *h = h2_from_codec(c);

    h2_enter(h);
    if (h->is_server) {
        (void)nghttp2_submit_shutdown_notice(h->session); /* nothing that can be mended */
    }
    h2_leave(h);
}

void h2_goaway(struct codec *c, enum goaway_reason reason)
{
    struct h2_conn *h = h2_from_codec(c);
    uint32_t code =
        reason == GOAWAY_ENHANCE_YOUR_CALM ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR;

    if (h->has_sent_goaway || h->is_closed) {
        return;
    }
    h2_enter(h);
    h->has_sent_goaway = true;
    h->goaway_code = code;
    h2_count(h, H2_GOAWAY_SENT); /* as Envoy: not the notice, nor what a failure says */
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h->session), code, NULL,
                                0); /* nothing that can be mended */
    if (h->feeding == NULL) {
        h2_send(h); /* what follows may be a close */
    }
    h2_leave(h);
}

void h2_ping(struct codec *c)
{
    struct h2_conn *h = h2_from_codec(c);

    h2_enter(h);
    (void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL); /* likewise */
    h2_leave(h);
}

void h2_connection_closed(struct codec *c, enum stream_reset_reason reason)
{
    struct h2_conn *h = h2_from_codec(c);
    struct h2_stream *st;
    struct list all;

    h2_enter(h);
    h->is_closed = true;
    list_init(&all);
    list_splice(&all, &h->streams);
    while ((st = list_first(&all, struct h2_stream, node)) != NULL) {
        st->is_open = false;
        if (st->is_attached) {
            bool is_reset = !(h->is_server && st->is_local_end_sent);

            h2_stream_end(st, is_reset, reason); /* buries it */
        } else {
            h2_stream_bury(st);
        }
    }
    h->open_count = 0;
    h2_leave(h);
}

bool h2_should_close(const struct codec *c)
{
    const struct h2_conn *h = h2_from_const_codec(c);

    /* Once the peer has gone away and no stream is left, nghttp2 ignores what else it opens. */
    return h->failure.len > 0 || h->is_closed || h->has_goaway;
}

void h2_free(struct codec *c)
{
    struct h2_conn *h;
    struct h2_stream *st;

    if (c == NULL) {
        return;
    }
    h = h2_from_codec(c);
    while ((st = list_first(&h->streams, struct h2_stream, node)) != NULL) {
        h2_stream_bury(st);
    }
    free_dead(h);
    nghttp2_session_del(h->session);
    h2_flood_done(h);
    h->magic = 0;
    free(h);
}

/* --- what both sides' streams can be told -------------------------------------------------------
 */

static uint32_t code_of_reset(enum stream_reset_reason reason)
{
    switch (reason) {
    case RESET_REMOTE_REFUSED:
        return NGHTTP2_REFUSED_STREAM;
    case RESET_CONNECT_ERROR:
        return NGHTTP2_CONNECT_ERROR;
    default:
        return NGHTTP2_INTERNAL_ERROR; /* as Envoy 1.40: a cut answer never looks complete */
    }
}

void h2_stream_reset(struct codec_stream *s, enum stream_reset_reason reason)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *h = st->conn;

    if (!st->is_attached) {
        return;
    }
    h2_enter(h);
    h2_stream_submit_rst(st, code_of_reset(reason));
    h2_stream_end(st, false, reason);
    h2_leave(h);
}

void h2_stream_read_disable(struct codec_stream *s, bool disable)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *h = st->conn;

    if (!st->is_attached) {
        return;
    }
    CHECK(disable || st->read_disables > 0);
    st->read_disables += disable ? 1U : (uint32_t)-1;
    if (st->read_disables > 0) {
        return;
    }
    h2_enter(h);
    if (st->unconsumed > 0) {
        size_t len = st->unconsumed;

        st->unconsumed = 0;
        stream_consume(st, len);
    }
    if (buf_len(&st->recv) > 0 || (st->is_remote_end && !st->is_end_delivered)) {
        h2_stream_mark_ready(st);
        h->wants_pending_call = true;
    }
    h2_leave(h);
}
