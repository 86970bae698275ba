/*
 * gRPC for HTTP/1.1 clients: the whole response is held back, and grpc-status and grpc-message of
 * its trailers become headers; a status other than 0 becomes 503. `upgrade_protobuf_to_grpc`: a
 * request of application/x-protobuf gets its frame head, and the response loses it. Leaves clients
 * of HTTP/2 alone. Worker threads; bridge_parse: main thread.
 *
 * Trust: the request is the client's, the response the upstream's.
 * Buffers: the response's body, and the request's that gets a head, up to the stream's buffer
 * limit: 500, and 413 for the request, beyond.
 * Differs from Envoy: the frame head is put before a request's body also when trailers follow it;
 * it is taken off responses that are gRPC only, with or without trailers, and their content-length
 * says so (Envoy takes the first bytes off an error page, too, and leaves the length); a protobuf
 * request beyond the limit is answered 413 (Envoy stops reading and waits for ever).
 */

#include "config/parse/context.h"
#include "dataplane/base/buf.h"
#include "dataplane/codec/grpc_frames.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/grpc_status.h"
#include "proto/envoy/extensions/filters/http/grpc_http1_bridge/v3/config.pb-c.h"

struct bridge_config {
    bool upgrades_protobuf;
    bool ignores_query;
};

struct bridge {
    bool is_bridging;
    bool is_framing;             /* the request's body has yet to get its head */
    bool is_unframing;           /* the response's first message loses its head */
    size_t head_left;            /* of that head: bytes to take off */
    struct header_map *response; /* its head, held back; NULL: not there, or not held */
};

/* --- the request ------------------------------------------------------------------------------ */

static void bridge_cut_query(struct header_map *h)
{
    struct str path = header_get(h, HDR_PATH);
    size_t at = str_find_char(path, '?');

    if (at != STR_NPOS) {
        header_set(h, HDR_PATH, str_sub(path, 0, at));
    }
}

static enum filter_status bridge_decode_headers(struct http_filter *f, struct header_map *h,
                                                bool end_stream)
{
    const struct bridge_config *c = f->config;
    struct bridge *b = f->state;

    (void)end_stream;
    if (c->upgrades_protobuf && header_has(h, HDR_PATH) &&
        str_eq(header_get(h, HDR_CONTENT_TYPE), STR("application/x-protobuf"))) {
        b->is_framing = true;
        header_set(h, HDR_CONTENT_TYPE, STR("application/grpc"));
        (void)header_remove(h, HDR_CONTENT_LENGTH);
        http_filter_clear_route(f);
    }
    b->is_bridging = http_filter_info(f)->protocol < HTTP_2 && grpc_is_request(h);
    b->is_framing = b->is_framing && b->is_bridging;
    b->head_left = b->is_framing ? GRPC_FRAME_HEAD_BYTES : 0;
    if (b->is_bridging && c->ignores_query) {
        bridge_cut_query(h);
    }
    return FILTER_CONTINUE;
}

/* Puts the head of a message of `length` before the bytes of `b`. */
static void bridge_prepend_head(struct buf *b, size_t length)
{
    uint8_t head[GRPC_FRAME_HEAD_BYTES];
    struct buf framed;

    grpc_frame_head_write((struct grpc_frame_head){.length = (uint32_t)length}, head);
    buf_init(&framed, b->pool);
    buf_add(&framed, head, sizeof(head));
    buf_move(&framed, b);
    buf_move(b, &framed);
}

static enum filter_status bridge_decode_data(struct http_filter *f, struct buf *data,
                                             bool end_stream)
{
    struct bridge *b = f->state;
    struct buf *held = http_filter_decoding_buffer(f);

    if (!b->is_framing) {
        return FILTER_CONTINUE;
    }
    if (!end_stream) {
        return FILTER_STOP_AND_BUFFER;
    }
    if (held != NULL && buf_len(held) > 0) {
        bridge_prepend_head(held, buf_len(held) + buf_len(data));
    } else {
        bridge_prepend_head(data, buf_len(data));
    }
    b->is_framing = false;
    return FILTER_CONTINUE;
}

static enum filter_status bridge_decode_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct bridge *b = f->state;
    struct buf *held = http_filter_decoding_buffer(f);

    (void)trailers;
    if (b->is_framing && held != NULL && buf_len(held) > 0) {
        bridge_prepend_head(held, buf_len(held));
        b->is_framing = false;
    }
    return FILTER_CONTINUE;
}

/* --- the response ----------------------------------------------------------------------------- */

static enum filter_status bridge_encode_headers(struct http_filter *f, struct header_map *h,
                                                bool end_stream)
{
    struct bridge *b = f->state;

    if (!b->is_bridging || end_stream) {
        return FILTER_CONTINUE;
    }
    b->response = h;
    if (!grpc_is_response(h, end_stream)) {
        b->head_left = 0;
    }
    b->is_unframing = b->head_left > 0;
    return FILTER_STOP_AND_BUFFER;
}

/* The whole body is known. */
static void bridge_set_length(struct http_filter *f, struct header_map *h, size_t last)
{
    const struct buf *held = http_filter_encoding_buffer(f);
    char *digits = arena_alloc(http_filter_arena(f), U64_DIGITS);
    size_t length = last + (held != NULL ? buf_len(held) : 0);

    header_set(h, HDR_CONTENT_LENGTH, str_n(digits, format_u64(length, digits)));
}

static enum filter_status bridge_encode_data(struct http_filter *f, struct buf *data,
                                             bool end_stream)
{
    struct bridge *b = f->state;

    size_t n = b->head_left < buf_len(data) ? b->head_left : buf_len(data);

    if (!b->is_bridging) {
        return FILTER_CONTINUE;
    }
    buf_drain(data, n);
    b->head_left -= n;
    if (!end_stream) {
        return FILTER_STOP_AND_BUFFER;
    }
    if (b->is_unframing) {
        bridge_set_length(f, b->response, buf_len(data));
    }
    return FILTER_CONTINUE;
}

static enum filter_status bridge_encode_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct bridge *b = f->state;
    struct header_map *h = b->response;
    uint64_t status;

    if (!b->is_bridging || h == NULL) {
        return FILTER_CONTINUE;
    }
    if (header_has(trailers, HDR_GRPC_STATUS)) {
        struct str text = header_get(trailers, HDR_GRPC_STATUS);

        if (parse_u64(text, &status) != 0 || status != 0) {
            header_set(h, HDR_STATUS, STR("503"));
        }
        header_set(h, HDR_GRPC_STATUS, text);
    }
    if (header_has(trailers, HDR_GRPC_MESSAGE)) {
        header_set(h, HDR_GRPC_MESSAGE, header_get(trailers, HDR_GRPC_MESSAGE));
    }
    bridge_set_length(f, h, 0);
    return FILTER_CONTINUE;
}

static int bridge_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                        const void **ret_config)
{
    const Envoy__Extensions__Filters__Http__GrpcHttp1Bridge__V3__Config *m =
        (const Envoy__Extensions__Filters__Http__GrpcHttp1Bridge__V3__Config *)msg;
    struct bridge_config *c = ARENA_NEW(parse_arena(ctx), struct bridge_config);

    c->upgrades_protobuf = m->upgrade_protobuf_to_grpc;
    c->ignores_query = m->ignore_query_parameters;
    *ret_config = c;
    return 0;
}

const struct http_filter_type http_filter_grpc_http1_bridge = {
    .ext =
        {
            .name = "envoy.filters.http.grpc_http1_bridge",
            .category = EXT_HTTP_FILTER,
            .descriptor =
                &envoy__extensions__filters__http__grpc_http1_bridge__v3__config__descriptor,
            .parse = bridge_parse,
        },
    .stream_size = sizeof(struct bridge),
    .decode_headers = bridge_decode_headers,
    .decode_data = bridge_decode_data,
    .decode_trailers = bridge_decode_trailers,
    .encode_headers = bridge_encode_headers,
    .encode_data = bridge_encode_data,
    .encode_trailers = bridge_encode_trailers,
};
