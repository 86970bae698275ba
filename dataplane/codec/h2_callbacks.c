/*
 * What nghttp2 tells: frames that came or went, header fields, pieces of bodies, streams that it
 * closed. Everything is only written down, into h2_stream's fields and h2_conn's lists; owners are
 * called from h2_session.c when nghttp2 has returned. A connection's thread.
 */

#include <string.h>

#include "dataplane/codec/h2_internal.h"

/* --- sending ---------------------------------------------------------------------------------- */

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
        if (frame->goaway.error_code != h->goaway_code) { /* nghttp2 gave the connection up */
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
    h2_stream_drop_output(st);
    if (!st->is_attached) {
        h2_stream_bury(st);
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
        h2_stream_bury(st);
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

/* --- the table -------------------------------------------------------------------------------- */

nghttp2_session_callbacks *h2_callbacks_new(void)
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
