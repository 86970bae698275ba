/*
 * gRPC-Web: requests of browsers (application/grpc-web, also in text form) become gRPC, and the
 * responses the browser's form again: the trailers as a last frame of the body, and what is no gRPC
 * as grpc-status and grpc-message. Counts cluster.<name>.grpc-web.<service>.<method>.*. Leaves CORS
 * to its own filter, and all that is no gRPC-Web alone. Worker threads.
 *
 * Trust: the request is the client's, the response the upstream's.
 * Buffers: up to 3 bytes each way of the text form; of a response that is no gRPC the first 16 KiB.
 * Differs from Envoy: of a response that is no gRPC, never more than 16 KiB become grpc-message
 * (Envoy's limit does not hold when it arrives in one piece); messages in text form are passed on
 * as they come (Envoy holds each until it is whole); text that ends within a group of four is
 * refused also before trailers; the names in series are bounded (upstream/grpc_series.h).
 */

#include "config/parse/context.h"
#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"
#include "dataplane/extensions/filters/http/grpc_web/grpc_web_text.h"
#include "dataplane/http/filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/upstream/grpc_series.h"
#include "dataplane/upstream/upstream.h"
#include "proto/envoy/extensions/filters/http/grpc_web/v3/grpc_web.pb-c.h"

#define MESSAGE_MAX 16384

#define TYPE_GRPC "application/grpc"
#define TYPE_WEB "application/grpc-web"
#define TYPE_WEB_TEXT "application/grpc-web-text"
#define PROTO "+proto"

struct grpc_web {
    struct cluster *cluster;   /* referenced; NULL: nothing is counted */
    struct stat_block *series; /* of the cluster; NULL likewise */
    bool is_web;               /* nothing below means anything without */
    bool is_text_request;
    bool is_text_response;
    struct base64_decoder decoder;
    struct grpc_web_text_encoder encoder;
    /* A response that is no gRPC: its head, held back, and its body so far. */
    struct header_map *translated; /* NULL: it is gRPC */
    char *message;
    size_t message_len;
};

static bool is_web_text(struct str type)
{
    return str_eq(type, STR(TYPE_WEB_TEXT)) || str_eq(type, STR(TYPE_WEB_TEXT PROTO));
}

/* --- the request ------------------------------------------------------------------------------ */

static void web_find_series(struct http_filter *f, struct grpc_web *w, const struct header_map *h)
{
    const struct route *route = http_filter_route(f);
    struct grpc_method method;
    struct str name;

    if (route == NULL || route->action != ROUTE_FORWARD ||
        !grpc_method_of_path(header_get(h, HDR_PATH), &method)) {
        return;
    }
    w->cluster = cluster_manager_routed(http_filter_thread(f)->clusters, &route->forward,
                                        http_filter_weighted_cluster(f), h, &name);
    if (w->cluster != NULL) {
        cluster_ref(w->cluster);
        w->series = cluster_grpc_series(w->cluster, GRPC_FAMILY_GRPC_WEB, &method, false);
    }
}

static enum filter_status web_decode_headers(struct http_filter *f, struct header_map *h,
                                             bool end_stream)
{
    struct grpc_web *w = f->state;
    struct str type = header_get(h, HDR_CONTENT_TYPE);

    (void)end_stream;
    w->is_text_request = is_web_text(type);
    w->is_web = header_has(h, HDR_PATH) && (w->is_text_request || str_eq(type, STR(TYPE_WEB)) ||
                                            str_eq(type, STR(TYPE_WEB PROTO)));
    if (!w->is_web) {
        return FILTER_CONTINUE;
    }
    web_find_series(f, w, h);
    w->is_text_response = is_web_text(header_joined(h, STR("accept")));
    (void)header_remove(h, HDR_CONTENT_LENGTH); /* it is that of the other form */
    header_set(h, HDR_CONTENT_TYPE, STR(TYPE_GRPC));
    header_set(h, HDR_TE, STR("trailers"));
    if (header_find_name(h, STR("grpc-accept-encoding")) == NULL) {
        header_add_name(h, STR("grpc-accept-encoding"), STR("identity"));
    }
    return FILTER_CONTINUE;
}

static enum filter_status web_refuse(struct http_filter *f, struct str details)
{
    http_filter_local_reply(f, 400, STR("Bad gRPC-web request, invalid base64 data."), NULL,
                            FLAG_NONE, details);
    return FILTER_STOP;
}

static enum filter_status web_decode_data(struct http_filter *f, struct buf *data, bool end_stream)
{
    struct grpc_web *w = f->state;

    if (!w->is_text_request) {
        return FILTER_CONTINUE;
    }
    if (end_stream && (w->decoder.count + buf_len(data)) % 4 != 0) {
        return web_refuse(f, STR("grpc_base_64_decode_failed_bad_size"));
    }
    if (grpc_web_text_decode(&w->decoder, data) != 0) {
        return web_refuse(f, STR("grpc_base_64_decode_failed"));
    }
    return FILTER_CONTINUE;
}

static enum filter_status web_decode_trailers(struct http_filter *f, struct header_map *trailers)
{
    const struct grpc_web *w = f->state;

    (void)trailers;
    if (w->decoder.count != 0) {
        return web_refuse(f, STR("grpc_base_64_decode_failed_bad_size"));
    }
    return FILTER_CONTINUE;
}

/* --- a response that is no gRPC --------------------------------------------------------------- */

/* A 200 in gRPC-Web's binary form, whatever parameters follow. */
static bool is_web_response(const struct header_map *h)
{
    struct str type = header_get(h, HDR_CONTENT_TYPE);

    type = str_trim(str_sub(type, 0, str_find_char(type, ';')));
    return str_eq(header_get(h, HDR_STATUS), STR("200")) &&
           (str_eq_nocase(type, STR(TYPE_WEB PROTO)) || str_eq_nocase(type, STR(TYPE_WEB)));
}

/* Collects what becomes grpc-message; nothing of it is passed on as body. */
static void web_take_message(struct http_filter *f, struct grpc_web *w, struct buf *data)
{
    if (w->message == NULL && buf_len(data) > 0) {
        w->message = arena_alloc(http_filter_arena(f), MESSAGE_MAX);
    }
    if (w->message_len < MESSAGE_MAX) {
        w->message_len +=
            buf_copy_out(data, 0, w->message + w->message_len, MESSAGE_MAX - w->message_len);
    }
    buf_reset(data);
}

/* The head is complete and may go. */
static void web_finish_translation(struct http_filter *f, struct grpc_web *w)
{
    struct arena *a = http_filter_arena(f);
    struct header_map *h = w->translated;
    char *digits = arena_alloc(a, U64_DIGITS);
    uint64_t status;

    if (parse_u64(header_get(h, HDR_STATUS), &status) != 0) {
        status = 0; /* unknown */
    }
    header_set(h, HDR_GRPC_MESSAGE, grpc_message_encode(a, str_n(w->message, w->message_len)));
    header_set(h, HDR_GRPC_STATUS,
               str_n(digits, format_u64(grpc_status_of_http((int)status), digits)));
    header_set(h, HDR_CONTENT_LENGTH, STR("0"));
    w->translated = NULL;
}

/* --- the response ----------------------------------------------------------------------------- */

static void web_count_status(const struct grpc_web *w, const struct header_map *h)
{
    if (w->series != NULL && header_has(h, HDR_GRPC_STATUS)) {
        grpc_series_count_status(w->series, header_get(h, HDR_GRPC_STATUS));
    }
}

static enum filter_status web_encode_headers(struct http_filter *f, struct header_map *h,
                                             bool end_stream)
{
    struct grpc_web *w = f->state;
    bool is_translated;

    if (!w->is_web) {
        return FILTER_CONTINUE;
    }
    web_count_status(w, h);
    is_translated = !grpc_is_response(h, end_stream) && !is_web_response(h);
    (void)header_remove(h, HDR_CONTENT_LENGTH);
    header_set(h, HDR_CONTENT_TYPE,
               w->is_text_response ? STR(TYPE_WEB_TEXT PROTO) : STR(TYPE_WEB PROTO));
    if (end_stream || !is_translated) {
        return FILTER_CONTINUE;
    }
    w->translated = h;
    return FILTER_STOP_AND_BUFFER;
}

static enum filter_status web_encode_data(struct http_filter *f, struct buf *data, bool end_stream)
{
    struct grpc_web *w = f->state;

    if (w->translated != NULL) {
        web_take_message(f, w, data);
        if (!end_stream) {
            return FILTER_STOP_AND_BUFFER;
        }
        web_finish_translation(f, w);
    } else if (w->is_text_response) {
        grpc_web_text_encode(&w->encoder, data, end_stream);
    }
    return FILTER_CONTINUE;
}

/* Takes the trailers out, as the last frame of the body. */
static void web_frame_trailers(struct grpc_web *w, struct header_map *trailers, struct buf *out)
{
    uint8_t head[GRPC_FRAME_HEAD_BYTES];
    struct grpc_frame_head frame = {.flags = GRPC_FRAME_TRAILERS};

    header_for_each(h, trailers)
    {
        frame.length += (uint32_t)(h->name.len + h->value.len + sizeof(":\r\n") - 1);
    }
    grpc_frame_head_write(frame, head);
    buf_add(out, head, sizeof(head));
    header_for_each(h, trailers)
    {
        buf_add_str(out, h->name);
        buf_add_str(out, STR(":"));
        buf_add_str(out, h->value);
        buf_add_str(out, STR("\r\n"));
        header_remove_entry(trailers, h);
    }
    if (w->is_text_response) {
        /* A message that never became whole ends here. */
        w->encoder.frames = (struct grpc_frame_counter){.count = 0};
        grpc_web_text_encode(&w->encoder, out, true);
    }
}

static enum filter_status web_encode_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct grpc_web *w = f->state;
    struct buf frame;

    if (!w->is_web) {
        return FILTER_CONTINUE;
    }
    web_count_status(w, trailers);
    if (w->translated != NULL) {
        web_finish_translation(f, w);
        return FILTER_CONTINUE;
    }
    buf_init(&frame, &http_filter_thread(f)->loop->bufs);
    web_frame_trailers(w, trailers, &frame);
    http_filter_add_encoded_data(f, &frame);
    return FILTER_CONTINUE;
}

static void web_on_destroy(struct http_filter *f)
{
    struct grpc_web *w = f->state;

    cluster_unref(w->cluster);
}

const struct http_filter_type http_filter_grpc_web = {
    .ext =
        {
            .name = "envoy.filters.http.grpc_web",
            .category = EXT_HTTP_FILTER,
            .descriptor = &envoy__extensions__filters__http__grpc_web__v3__grpc_web__descriptor,
        },
    .stream_size = sizeof(struct grpc_web),
    .decode_headers = web_decode_headers,
    .decode_data = web_decode_data,
    .decode_trailers = web_decode_trailers,
    .encode_headers = web_encode_headers,
    .encode_data = web_encode_data,
    .encode_trailers = web_encode_trailers,
    .on_destroy = web_on_destroy,
};
