/*
 * What a stream sends: heads and trailers as nghttp2 wants them, bodies by reference from the
 * stream's buffer into the connection's output. A connection's thread.
 *
 * Names and values are not copied: they live in the stream's arena, which outlives the frame, for
 * frames are made before the outermost call into the codec returns.
 */

#include "dataplane/base/str.h"
#include "dataplane/codec/h2_internal.h"

#define NV_ON_STACK 64

/* --- header blocks ---------------------------------------------------------------------------- */

/* Fields that mean something between two HTTP/1 peers only (RFC 9113, 8.2.2). */
static bool is_of_connection(const struct header *h)
{
    switch (h->id) {
    case HDR_CONNECTION:
    case HDR_KEEP_ALIVE:
    case HDR_PROXY_CONNECTION:
    case HDR_TRANSFER_ENCODING:
    case HDR_UPGRADE:
    case HDR_HOST:
        return true;
    case HDR_TE:
        return !str_eq_nocase(h->value, STR("trailers"));
    default:
        return false;
    }
}

static nghttp2_nv nv_of(struct str name, struct str value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.ptr,
        .namelen = name.len,
        .value = (uint8_t *)(uintptr_t)value.ptr,
        .valuelen = value.len,
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

/* Values that no other message will have: in the table that peers share they would only push out
 * what comes again, and nghttp2 compares each new one with all that are there. */
static bool is_of_one_message(enum header_id id)
{
    return id == HDR_X_REQUEST_ID || id == HDR_GRPC_TIMEOUT;
}

/* A block being put together: on the stack of the caller, or in the arena. */
struct block {
    nghttp2_nv *nv;
    size_t count;
};

static void block_add(struct block *b, struct str name, struct str value)
{
    b->nv[b->count++] = nv_of(name, value);
}

static void block_add_header(struct block *b, const struct header *f)
{
    block_add(b, f->name, f->value);
    if (is_of_one_message(f->id)) {
        b->nv[b->count - 1].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
}

static void block_add_map(struct block *b, const struct header_map *h)
{
    header_for_each(f, h)
    {
        if (!is_of_connection(f)) {
            block_add_header(b, f);
        }
    }
}

/* Room for all of `h` and one more. */
static struct block block_start(struct h2_stream *st, const struct header_map *h,
                                nghttp2_nv *on_stack)
{
    size_t most = h->count + 1;

    return (struct block){
        .nv = most <= NV_ON_STACK ? on_stack : ARENA_ARRAY(st->base.arena, nghttp2_nv, most),
    };
}

/* nghttp2 would not take the frame: the stream cannot go on. */
static void submit_failed(struct h2_stream *st)
{
    h2_stream_submit_rst(st, NGHTTP2_INTERNAL_ERROR);
}

/* --- bodies ----------------------------------------------------------------------------------- */

ssize_t h2_read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                     uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *st = source->ptr;
    struct h2_conn *h = st->conn;
    size_t ready = buf_len(&st->send);
    size_t n = ready < length ? ready : length;

    if ((ready == 0 && !st->is_local_end) || (h->is_blocked && ready > 0)) {
        st->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (st->is_local_end && n == ready) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->send_trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, st->send_trailers, st->send_trailer_count) !=
                0) {
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
            }
        }
    }
    return (ssize_t)n;
}

int h2_send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                 size_t length, nghttp2_data_source *source, void *user)
{
    struct h2_stream *st = source->ptr;
    struct h2_conn *h = st->conn;

    CHECK(length <= buf_len(&st->send));
    h->flood.data_frames_sent++;
    if (!h2_flood_queued(h, H2_FRAME_HEAD_BYTES + length, false)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    buf_add(h->base.out, frame_head, H2_FRAME_HEAD_BYTES);
    buf_move_n(h->base.out, &st->send, length);
    h2_gauge(h, H2_PENDING_SEND_BYTES, -(int64_t)length);
    st->base.wire_bytes_out += H2_FRAME_HEAD_BYTES + length;
    if (st->is_above && !list_is_linked(&st->measured_node)) {
        list_add_tail(&h->measured, &st->measured_node);
    }
    return 0;
}

void h2_stream_resume(struct h2_stream *st)
{
    if (st->is_deferred && st->is_open) {
        st->is_deferred = false;
        (void)nghttp2_session_resume_data(st->conn->session, st->base.id); /* it is deferred */
    }
}

void h2_encode_data(struct codec_stream *s, struct buf *take_data, bool end_stream)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *h = st->conn;

    if (!st->is_attached || !st->is_open || !st->is_head_sent || st->is_local_end) {
        buf_reset(take_data);
        return;
    }
    h2_enter(h);
    h2_gauge(h, H2_PENDING_SEND_BYTES, (int64_t)buf_len(take_data));
    buf_move(&st->send, take_data);
    st->is_local_end = end_stream;
    h2_stream_resume(st);
    if (h->depth == 1) {
        h2_send(h);
    }
    h2_stream_check_watermark(st);
    h2_leave(h);
}

void h2_encode_trailers(struct codec_stream *s, const struct header_map *trailers)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *h = st->conn;
    struct block b = {.nv = NULL};

    if (!st->is_attached || !st->is_open || !st->is_head_sent || st->is_local_end) {
        return;
    }
    h2_enter(h);
    b.nv = ARENA_ARRAY(st->base.arena, nghttp2_nv, trailers->count + 1);
    block_add_map(&b, trailers);
    st->send_trailers = b.nv;
    st->send_trailer_count = b.count;
    st->is_local_end = true;
    h2_stream_resume(st);
    h2_leave(h);
}

/* --- heads ------------------------------------------------------------------------------------ */

static nghttp2_data_provider body_of(struct h2_stream *st)
{
    return (nghttp2_data_provider){.source = {.ptr = st}, .read_callback = h2_read_body};
}

/* RFC 8441, 4: the upgrade's token becomes :protocol. A plain CONNECT has neither scheme nor path.
 */
static void add_connect(struct block *b, const struct header_map *h, bool is_extended)
{
    block_add(b, STR(":method"), STR("CONNECT"));
    if (is_extended) {
        block_add(b, STR(":protocol"), header_get(h, HDR_UPGRADE));
    }
    header_for_each(f, h)
    {
        bool is_left_out = f->id == HDR_METHOD || f->id == HDR_PROTOCOL ||
                           (!is_extended && (f->id == HDR_SCHEME || f->id == HDR_PATH));

        if (!is_left_out && !is_of_connection(f)) {
            block_add_header(b, f);
        }
    }
}

void h2_encode_request(struct codec_stream *s, const struct header_map *h, bool end_stream)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *c = st->conn;
    nghttp2_data_provider body = body_of(st);
    nghttp2_nv on_stack[NV_ON_STACK];
    struct block b = block_start(st, h, on_stack);
    int32_t id;

    if (!st->is_attached || st->is_head_sent) {
        return;
    }
    st->is_upgrade = header_has(h, HDR_UPGRADE);
    if (st->is_upgrade) {
        st->upgrade_type = header_get(h, HDR_UPGRADE);
        add_connect(&b, h, true);
    } else if (str_eq(header_get(h, HDR_METHOD), STR("CONNECT"))) {
        add_connect(&b, h, false);
    } else {
        block_add_map(&b, h);
    }
    h2_enter(c);
    st->is_head_sent = true;
    st->is_local_end = end_stream;
    id = c->failure.len > 0 || c->is_closed
             ? NGHTTP2_ERR_INVALID_STATE
             : nghttp2_submit_request(c->session, NULL, b.nv, b.count, end_stream ? NULL : &body,
                                      st);
    if (id > 0) {
        h2_stream_opened(st, id);
    } else { /* no ids left, or the connection is over: it was never sent */
        h2_stream_end(st, true, RESET_REMOTE_REFUSED);
    }
    h2_leave(c);
}

void h2_encode_1xx(struct codec_stream *s, const struct header_map *h)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *c = st->conn;
    nghttp2_nv on_stack[NV_ON_STACK];
    struct block b = block_start(st, h, on_stack);

    if (!st->is_attached || !st->is_open || st->is_head_sent) {
        return;
    }
    block_add_map(&b, h);
    h2_enter(c);
    if (nghttp2_submit_headers(c->session, NGHTTP2_FLAG_NONE, s->id, NULL, b.nv, b.count, NULL) !=
        0) {
        submit_failed(st);
    }
    h2_leave(c);
}

/* Whether the tunnel that this stream asked for is accepted. */
static bool is_accepted(const struct h2_stream *st, struct str status)
{
    return st->is_upgrade ? str_eq(status, STR("101")) : status.len == 3 && status.ptr[0] == '2';
}

void h2_encode_response(struct codec_stream *s, const struct header_map *h, bool end_stream)
{
    struct h2_stream *st = h2_from_stream(s);
    struct h2_conn *c = st->conn;
    nghttp2_data_provider body = body_of(st);
    struct str status = header_get(h, HDR_STATUS);
    nghttp2_nv on_stack[NV_ON_STACK];
    struct block b = block_start(st, h, on_stack);

    if (!st->is_attached || !st->is_open || st->is_head_sent) {
        return;
    }
    block_add_map(&b, h);
    if (st->is_upgrade && str_eq(status, STR("101"))) {
        CHECK(b.nv[0].namelen == header_name(HDR_STATUS).len); /* pseudo-headers come first */
        b.nv[0] = nv_of(header_name(HDR_STATUS), STR("200"));
    }
    h2_enter(c);
    if (st->is_held && is_accepted(st, status)) {
        st->is_held = false;
        h2_stream_mark_ready(st);
        c->wants_pending_call = true;
    }
    st->is_head_sent = true;
    st->is_local_end = end_stream;
    if (nghttp2_submit_response(c->session, s->id, b.nv, b.count, end_stream ? NULL : &body) != 0) {
        submit_failed(st);
    }
    h2_leave(c);
}
