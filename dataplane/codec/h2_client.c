/*
 * The client side of HTTP/2: how streams are opened, and how many. The work is in h2_session.c. A
 * connection's thread.
 */

#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h2_internal.h"

static struct codec_stream *client_new_stream(struct codec *c,
                                              const struct codec_stream_callbacks *cb, void *user,
                                              struct arena *arena, struct header_map *headers)
{
    struct h2_conn *h = h2_from_codec(c);
    struct h2_stream *st = h2_stream_new(h);

    st->base.callbacks = cb;
    st->base.user = user;
    st->base.arena = arena;
    st->base.headers = headers;
    h2_stream_attach(st);
    return &st->base;
}

static bool client_is_reusable(const struct codec *c)
{
    const struct h2_conn *h = h2_from_const_codec(c);

    return !h->has_goaway && !h->has_sent_goaway && h->failure.len == 0 && !h->is_closed &&
           nghttp2_session_check_request_allowed(h->session) != 0;
}

static uint32_t client_max_streams(const struct codec *c)
{
    const struct h2_conn *h = h2_from_const_codec(c);
    uint32_t peers =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    return peers < h->options->max_concurrent_streams ? peers : h->options->max_concurrent_streams;
}

static const struct codec_stream_ops client_stream_ops = {
    .encode_headers = h2_encode_request,
    .encode_data = h2_encode_data,
    .encode_trailers = h2_encode_trailers,
    .reset = h2_stream_reset,
    .read_disable = h2_stream_read_disable,
};

static const struct codec_ops client_ops = {
    .dispatch = h2_dispatch,
    .new_stream = client_new_stream,
    .is_reusable = client_is_reusable,
    .max_streams = client_max_streams,
    .drain = h2_drain,
    .goaway = h2_goaway,
    .ping = h2_ping,
    .on_watermark = h2_on_watermark,
    .should_close = h2_should_close,
    .connection_closed = h2_connection_closed,
    .free = h2_free,
    .protocol = HTTP_2,
};

struct codec *h2_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits)
{
    static const struct h2_role role = {&client_ops, &client_stream_ops, false};

    return h2_codec_new(&role, callbacks, owner, out, limits);
}
