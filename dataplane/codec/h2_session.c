/*
 * One HTTP/2 connection: nghttp2's callbacks, the order in which what they wrote down is handed
 * out, windows, and the ends of streams and of the connection. A connection's thread.
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

#define FIRST_WINDOW NGHTTP2_INITIAL_WINDOW_SIZE
#define FRAME_BYTES (16 * 1024)
#define CONTINUATIONS_MIN 8

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

static void stream_drop_output(struct h2_stream *st)
{
    h2_gauge(st->conn, H2_PENDING_SEND_BYTES, -(int64_t)buf_len(&st->send));
    buf_reset(&st->send);
}

/* Nobody refers to it any more; freed when the outermost call returns. */
static void stream_bury(struct h2_stream *st)
{
    list_remove(&st->node);
    list_remove(&st->ready_node);
    list_remove(&st->closed_node);
    list_remove(&st->measured_node);
    buf_reset(&st->recv);
    stream_drop_output(st);
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
        stream_bury(st);
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

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t length, int flags,
                       void *user)
{
    struct h2_conn *h = h2_from_user(user);
    bool is_control = h->is_control_frame;

    h->is_control_frame = false;
    if (!h2_flood_queued(h, length, is_control)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    buf_add(h->base.out, data, length);
    return (ssize_t)length;
}

/* As Envoy: what a peer makes us say by asking is what it can flood us with. */
static int on_before_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    uint8_t type = frame->hd.type;

    h->is_control_frame =
        type == NGHTTP2_RST_STREAM || ((type == NGHTTP2_PING || type == NGHTTP2_SETTINGS) &&
                                       (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0);
    return 0;
}

static void stream_last_sent(struct h2_stream *st)
{
    st->is_local_end_sent = true;
    if (st->conn->is_server && !st->is_remote_end) {
        /* RFC 9113, 8.1: the response is complete, the rest of the request is not wanted. */
        h2_stream_submit_rst(st, NGHTTP2_NO_ERROR);
    }
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, frame->hd.stream_id);

    switch (frame->hd.type) {
    case NGHTTP2_GOAWAY:
        h2_count(h, H2_GOAWAY_SENT);
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR) { /* nghttp2 gave the connection up */
            h2_fail(h, frame->goaway.error_code, STR("http2.protocol_error"));
        }
        break;
    case NGHTTP2_RST_STREAM:
        h2_count(h, H2_TX_RESET);
        break;
    case NGHTTP2_HEADERS:
        if (st != NULL) {
            st->base.wire_bytes_out += H2_FRAME_HEAD_BYTES + frame->hd.length;
            st->base.header_bytes_out += H2_FRAME_HEAD_BYTES + frame->hd.length;
        }
        break;
    default:
        break;
    }
    if (st != NULL && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream_last_sent(st);
    }
    return 0;
}

static enum h2_past_end past_of(const struct h2_stream *st)
{
    if (st->is_remote_end && st->is_local_end_sent) {
        return H2_PAST_COMPLETE;
    }
    return st->is_peer_reset ? H2_PAST_PEER_RESET : H2_PAST_RESET;
}

static void stream_closed(struct h2_stream *st, uint32_t code)
{
    struct h2_conn *h = st->conn;

    h2_history_end(h, st->base.id, past_of(st));
    st->is_open = false;
    st->close_code = code;
    h->open_count--;
    stream_drop_output(st);
    if (!st->is_attached) {
        stream_bury(st);
    } else if (!list_is_linked(&st->closed_node)) {
        list_add_tail(&h->closed, &st->closed_node);
    }
}

/* A head that nghttp2 cannot send. A request's (GOAWAY overtook it, or it was cancelled in the
 * queue) must not be followed by RST_STREAM: the peer has not heard of that stream, and would take
 * it for an error of the whole connection. nghttp2 closes it. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user)
{
    struct h2_stream *st = h2_find(h2_from_user(user), frame->hd.stream_id);

    if (st != NULL && frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        h2_stream_submit_rst(st, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

/* --- receiving -------------------------------------------------------------------------------- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    bool is_message = hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_DATA;
    /* A message's frames are counted when their padding is known. */
    bool is_fine =
        is_message ? h2_history_check(h, (uint32_t)hd->stream_id) : h2_flood_received(h, hd, 0);

    return is_fine ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int begin_request(struct h2_conn *h, int32_t id)
{
    struct h2_stream *st = h2_stream_new(h);

    h2_history_open(h, (uint32_t)id);
    h2_stream_opened(st, id);
    if (!h->base.callbacks->on_new_stream(h->base.owner, &st->base)) {
        h2_stream_submit_rst(st, NGHTTP2_REFUSED_STREAM);
        h2_history_end(h, (uint32_t)id, H2_PAST_RESET);
        st->is_open = false;
        h->open_count--;
        stream_bury(st);
        return 0;
    }
    h2_stream_attach(st);
    (void)nghttp2_session_set_stream_user_data(h->session, id, st); /* it is there */
    h2_block_start(st, st->base.headers);
    return 0;
}

static void begin_trailers(struct h2_stream *st)
{
    h2_count(st->conn, H2_TRAILERS);
    st->trailers = arena_alloc(st->base.arena, sizeof(*st->trailers));
    header_map_init(st->trailers, st->base.arena);
    h2_block_start(st, st->trailers);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, frame->hd.stream_id);

    if (!h2_flood_received(h, &frame->hd, frame->headers.padlen)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        return begin_request(h, frame->hd.stream_id);
    }
    if (st == NULL || !st->is_attached) {
        return 0;
    }
    if (h->is_server || st->has_final) {
        begin_trailers(st);
    } else {
        header_map_init(st->base.headers, st->base.arena);
        h2_block_start(st, st->base.headers);
    }
    return 0;
}

/* As Envoy: a broken message costs the connection, unless the configuration says its stream. */
static bool message_is_invalid(struct h2_conn *h, struct h2_stream *st, struct str details)
{
    h2_count(h, H2_RX_MESSAGING_ERROR);
    if (st != NULL) {
        st->is_invalid = true;
        st->details = details;
    }
    if (!h->options->stream_error_on_invalid_message) {
        h2_fail(h, NGHTTP2_PROTOCOL_ERROR, details);
        return false;
    }
    return true;
}

/* Without this nghttp2 would leave bad fields out and pass the rest. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, frame->hd.stream_id);

    if (!message_is_invalid(h, st, STR("http2.invalid.header.field"))) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (st != NULL) {
        h2_stream_submit_rst(st, NGHTTP2_PROTOCOL_ERROR); /* before nghttp2's own, less precise */
    }
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* As Envoy: nghttp2 lets it pass. */
static bool has_userinfo(struct str name, struct str value)
{
    return str_eq(name, STR(":authority")) && memchr(value.ptr, '@', value.len) != NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, frame->hd.stream_id);
    struct str name_str = str_n((const char *)name, name_len);
    struct str value_str = str_n((const char *)value, value_len);

    if (st == NULL) {
        h2_count(h, H2_HEADERS_CB_NO_STREAM);
        return 0;
    }
    if (!st->is_attached) {
        return 0;
    }
    if (h->is_server && has_userinfo(name_str, value_str)) {
        return on_invalid_header(session, frame, name, name_len, value, value_len, flags, user);
    }
    return h2_block_field(st, name_str, value_str);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, id);

    (void)nghttp2_session_consume_connection(session, len); /* see the head of this file */
    if (st != NULL && st->is_attached && !(h->is_server && st->is_local_end)) {
        buf_add_window(&st->recv, h->feeding->block, (uint8_t *)(uintptr_t)data, len);
        h2_stream_mark_ready(st);
    }
    return 0;
}

/* An informational head is put aside, for the final one overwrites it. */
static void keep_informational(struct h2_stream *st)
{
    struct h2_informational **last = &st->informational;
    struct h2_informational *i = arena_alloc(st->base.arena, sizeof(*i));

    *i = (struct h2_informational){.next = NULL, .headers = *st->base.headers};
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = i;
}

static void response_head_received(struct h2_stream *st)
{
    uint64_t status = 0;
    int r = parse_u64(header_get(st->base.headers, HDR_STATUS), &status);

    if (r != 0 || status < 100) { /* nghttp2 asks for three digits, whichever */
        if (message_is_invalid(st->conn, st, STR("http2.violation.of.messaging.rule"))) {
            h2_stream_submit_rst(st, NGHTTP2_PROTOCOL_ERROR);
        }
        return;
    }
    if (status >= 200) {
        st->has_final = true;
        st->has_head = true;
        h2_response_head_done(st);
        return;
    }
    if (++st->informational_count > INFORMATIONAL_MAX) {
        st->is_invalid = true;
        st->details = STR("http2.violation.of.messaging.rule");
        h2_stream_submit_rst(st, NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (informational_is_passed_on((unsigned)status)) {
        keep_informational(st);
    }
}

static void headers_received(struct h2_stream *st, const nghttp2_frame *frame)
{
    st->base.wire_bytes_in += H2_FRAME_HEAD_BYTES + frame->hd.length;
    st->base.header_bytes_in += H2_FRAME_HEAD_BYTES + frame->hd.length;
    if (st->filling == st->trailers) {
        /* handed out after the body */
    } else if (st->conn->is_server) {
        st->has_head = true;
        st->has_final = true;
        h2_request_head_done(st);
    } else {
        response_head_received(st);
    }
    h2_stream_mark_ready(st);
}

static void connection_frame_received(struct h2_conn *h, const nghttp2_frame *frame)
{
    bool is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;

    switch (frame->hd.type) {
    case NGHTTP2_GOAWAY:
        h->wants_goaway_call |= !h->has_goaway;
        h->has_goaway = true;
        break;
    case NGHTTP2_SETTINGS:
        h->wants_capacity_call |= !is_ack;
        break;
    case NGHTTP2_PING:
        h->wants_ping_ack_call |= is_ack;
        break;
    default:
        break;
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, frame->hd.stream_id);

    if (frame->hd.type == NGHTTP2_DATA && !h2_flood_received(h, &frame->hd, frame->data.padlen)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        h2_count(h, H2_RX_RESET);
        if (st != NULL) {
            st->is_peer_reset = true;
        }
    }
    connection_frame_received(h, frame);
    if (st == NULL || !st->is_attached) {
        return 0;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        st->is_remote_end = true;
        h2_stream_mark_ready(st);
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        headers_received(st, frame);
    } else {
        st->base.wire_bytes_in += H2_FRAME_HEAD_BYTES + frame->hd.length;
    }
    return 0;
}

static struct str details_of(int error)
{
    switch (error) {
    case NGHTTP2_ERR_HTTP_HEADER:
        return STR("http2.invalid.header.field");
    case NGHTTP2_ERR_HTTP_MESSAGING:
        return STR("http2.violation.of.messaging.rule");
    default:
        return STR("http2.unknown.nghttp2.error");
    }
}

static uint32_t code_of_error(int error)
{
    switch (error) {
    case NGHTTP2_ERR_FLOW_CONTROL:
        return NGHTTP2_FLOW_CONTROL_ERROR;
    case NGHTTP2_ERR_STREAM_CLOSED:
        return NGHTTP2_STREAM_CLOSED;
    default:
        return NGHTTP2_PROTOCOL_ERROR;
    }
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user)
{
    struct h2_conn *h = h2_from_user(user);
    struct h2_stream *st = h2_find(h, frame->hd.stream_id);

    if (error == NGHTTP2_ERR_REFUSED_STREAM) { /* the client has not heard of our limit yet */
        h2_count(h, H2_STREAM_REFUSED_ERRORS);
        h2_history_open(h, (uint32_t)frame->hd.stream_id);
        h2_history_end(h, (uint32_t)frame->hd.stream_id, H2_PAST_RESET);
        return 0;
    }
    if (error == NGHTTP2_ERR_HTTP_HEADER || error == NGHTTP2_ERR_HTTP_MESSAGING) {
        return message_is_invalid(h, st, details_of(error)) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (st != NULL) {
        st->details = details_of(error);
    }
    h2_fail(h, code_of_error(error), details_of(error));
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *st = h2_find(h2_from_user(user), id);

    if (st != NULL) {
        stream_closed(st, code);
    }
    return 0;
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
    if (st->is_attached && !st->conn->is_server && st->is_end_delivered) {
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
        } else if (!st->is_remote_end || !st->has_final) {
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
            stream_bury(st);
        }
    }
    h->open_count = 0;
    h2_leave(h);
}

bool h2_should_close(const struct codec *c)
{
    const struct h2_conn *h = h2_from_const_codec(c);

    return h->failure.len > 0 || h->is_closed;
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
        stream_bury(st);
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

/* --- making ----------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *cb = NULL;
    int r = nghttp2_session_callbacks_new(&cb);

    CHECK(r == 0); /* out of memory */
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_send_body);
    nghttp2_session_callbacks_set_before_frame_send_callback(cb, on_before_frame_send);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

static nghttp2_option *make_options(const struct http2_options *o, uint32_t max_headers_bytes)
{
    nghttp2_option *options = NULL;
    int r = nghttp2_option_new(&options);

    CHECK(r == 0); /* out of memory */
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    /* As Envoy: blanks around a value are stripped elsewhere, not refused. */
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(options, 1);
    /* Ours decide (h2_flood.c, and the connection manager for resets): these never speak first. */
    nghttp2_option_set_max_outbound_ack(options, 10000);
    nghttp2_option_set_stream_reset_rate_limit(options, UINT32_MAX, UINT32_MAX);
    nghttp2_option_set_max_send_header_block_length(options, 0x2000000);
    /* CVE-2024-27919: as many as our bound needs in whole frames, and some that are small. */
    nghttp2_option_set_max_continuations(options,
                                         CONTINUATIONS_MIN + max_headers_bytes / FRAME_BYTES);
    /* A client's pool keeps to the peer's limit by itself, once it is known. */
    nghttp2_option_set_peer_max_concurrent_streams(options, INT32_MAX);
    if (o->hpack_table_size != NGHTTP2_DEFAULT_HEADER_TABLE_SIZE) {
        nghttp2_option_set_max_deflate_dynamic_table_size(options, o->hpack_table_size);
    }
    return options;
}

static void submit_settings(struct h2_conn *h)
{
    const struct http2_options *o = h->options;
    nghttp2_settings_entry entries[4 + HTTP2_CUSTOM_SETTINGS_MAX] = {
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, o->hpack_table_size},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->initial_stream_window_size},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->max_concurrent_streams},
        h->is_server
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, o->allow_connect}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t n = 4;
    int r;

    for (size_t i = 0; i < o->custom_setting_count; i++) {
        entries[n++] =
            (nghttp2_settings_entry){o->custom_settings[i].id, o->custom_settings[i].value};
    }
    r = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries, n);
    CHECK(r == 0); /* the configuration was checked */
    if (o->initial_connection_window_size > FIRST_WINDOW) {
        (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                    (int32_t)o->initial_connection_window_size);
    }
}

void h2_conn_init(struct h2_conn *h, bool is_server, const struct codec_callbacks *callbacks,
                  void *owner, struct buf *out, const struct codec_limits *limits)
{
    nghttp2_session_callbacks *cb = make_callbacks();
    nghttp2_option *options;
    int r;

    CHECK(limits->http2 != NULL);
    h->base.callbacks = callbacks;
    h->base.owner = owner;
    h->base.out = out;
    h->base.limits = *limits;
    h->magic = H2_CONN_MAGIC;
    h->is_server = is_server;
    h->options = limits->http2;
    list_init(&h->streams);
    list_init(&h->ready);
    list_init(&h->closed);
    list_init(&h->measured);
    list_init(&h->dead);
    options = make_options(h->options, limits->max_headers_bytes);
    r = is_server ? nghttp2_session_server_new2(&h->session, cb, h, options)
                  : nghttp2_session_client_new2(&h->session, cb, h, options);
    CHECK(r == 0); /* out of memory */
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(cb);
    submit_settings(h);
    h->scan.skip = is_server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
}
