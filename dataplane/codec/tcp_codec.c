/* Bytes as a codec's stream. See tcp_codec.h. A connection's thread. */

#include "dataplane/codec/tcp_codec.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"

#define TCP_CODEC_MAGIC MAGIC('T', 'C', 'P', 'C')

struct tcp_codec {
    struct codec base;
    uint32_t magic;
    bool has_stream;
    bool is_used;       /* it had its stream */
    bool is_accepted;   /* 200 was handed out */
    bool is_remote_end; /* FIN came */
    bool is_local_end;
    uint32_t read_disables;
    struct codec_stream stream;
};

static struct tcp_codec *tcp_from_codec(struct codec *c)
{
    struct tcp_codec *t = container_of(c, struct tcp_codec, base);

    CHECK(t->magic == TCP_CODEC_MAGIC);
    return t;
}

static struct tcp_codec *tcp_from_stream(struct codec_stream *s)
{
    struct tcp_codec *t = container_of(s, struct tcp_codec, stream);

    CHECK(t->magic == TCP_CODEC_MAGIC);
    return t;
}

static void tcp_end(struct tcp_codec *t, enum stream_reset_reason reason)
{
    t->has_stream = false;
    t->stream.end_reason = reason;
    while (t->read_disables > 0) {
        t->read_disables--;
        t->base.callbacks->on_read_disable(t->base.owner, false);
    }
    t->base.callbacks->on_stream_end(t->base.owner, &t->stream);
}

static int tcp_dispatch(struct codec *c, struct buf *in, bool end_stream)
{
    struct tcp_codec *t = tcp_from_codec(c);
    struct codec_stream *s = &t->stream;

    if (!t->has_stream || t->read_disables > 0) {
        return 0;
    }
    if (!t->is_accepted) {
        t->is_accepted = true;
        header_add(s->headers, HDR_STATUS, STR("200"));
        s->callbacks->on_headers(s->user, false);
        if (!t->has_stream || t->read_disables > 0) {
            return 0;
        }
    }
    if (buf_len(in) > 0 || (end_stream && !t->is_remote_end)) {
        t->is_remote_end = end_stream;
        s->wire_bytes_in += buf_len(in);
        s->callbacks->on_data(s->user, in, end_stream);
        buf_reset(in);
    }
    if (t->has_stream && t->is_remote_end && t->is_local_end) {
        tcp_end(t, RESET_NO_ERROR);
    }
    return 0;
}

static struct codec_stream *tcp_new_stream(struct codec *c, const struct codec_stream_callbacks *cb,
                                           void *user, struct arena *arena,
                                           struct header_map *headers)
{
    struct tcp_codec *t = tcp_from_codec(c);
    struct codec_stream *s = &t->stream;

    CHECK(!t->is_used);
    t->is_used = true;
    t->has_stream = true;
    s->callbacks = cb;
    s->user = user;
    s->arena = arena;
    s->headers = headers;
    s->protocol = HTTP_11;
    t->is_accepted = headers == NULL;
    return s;
}

/* The request's head sends nothing: the connection itself is what was asked for. */
static void tcp_encode_headers(struct codec_stream *s, const struct header_map *h, bool end_stream)
{
    struct tcp_codec *t = tcp_from_stream(s);

    if (!t->has_stream) {
        return;
    }
    t->base.callbacks->on_tunnel(t->base.owner);
    if (end_stream) {
        t->is_local_end = true;
        t->base.callbacks->on_shutdown_write(t->base.owner);
    }
    t->base.callbacks->on_pending(t->base.owner); /* the answer comes from dispatch */
}

static void tcp_encode_data(struct codec_stream *s, struct buf *take_data, bool end_stream)
{
    struct tcp_codec *t = tcp_from_stream(s);

    if (!t->has_stream || t->is_local_end) {
        buf_reset(take_data);
        return;
    }
    s->wire_bytes_out += buf_len(take_data);
    buf_move(t->base.out, take_data);
    t->base.callbacks->on_output(t->base.owner);
    if (end_stream) {
        t->is_local_end = true;
        t->base.callbacks->on_shutdown_write(t->base.owner);
        if (t->is_remote_end) {
            tcp_end(t, RESET_NO_ERROR);
        }
    }
}

static void tcp_encode_trailers(struct codec_stream *s, const struct header_map *trailers)
{
    struct buf nothing;

    buf_init(&nothing, tcp_from_stream(s)->base.out->pool);
    tcp_encode_data(s, &nothing, true);
}

static void tcp_reset(struct codec_stream *s, enum stream_reset_reason reason)
{
    struct tcp_codec *t = tcp_from_stream(s);

    if (t->has_stream) {
        tcp_end(t, reason);
    }
}

static void tcp_read_disable(struct codec_stream *s, bool disable)
{
    struct tcp_codec *t = tcp_from_stream(s);

    if (!t->has_stream) {
        return;
    }
    CHECK(disable || t->read_disables > 0);
    t->read_disables += disable ? 1U : (uint32_t)-1;
    t->base.callbacks->on_read_disable(t->base.owner, disable);
}

static bool tcp_is_reusable(const struct codec *c)
{
    return !((const struct tcp_codec *)(const void *)c)->is_used;
}

static void tcp_drain(struct codec *c)
{
}

static void tcp_on_watermark(struct codec *c, bool is_above)
{
    struct tcp_codec *t = tcp_from_codec(c);

    if (t->has_stream && t->stream.callbacks->on_watermark != NULL) {
        t->stream.callbacks->on_watermark(t->stream.user, is_above);
    }
}

static bool tcp_should_close(const struct codec *c)
{
    return !tcp_is_reusable(c);
}

static void tcp_connection_closed(struct codec *c, enum stream_reset_reason reason)
{
    struct tcp_codec *t = tcp_from_codec(c);

    if (t->has_stream) {
        t->has_stream = false;
        t->read_disables = 0; /* the connection they stopped is gone */
        t->stream.end_reason = reason;
        t->stream.callbacks->on_reset(t->stream.user, RESET_CONNECTION_TERMINATION, STR_NONE);
        t->base.callbacks->on_stream_end(t->base.owner, &t->stream);
    }
}

static void tcp_free(struct codec *c)
{
    if (c != NULL) {
        struct tcp_codec *t = tcp_from_codec(c);

        t->magic = 0;
        free(t);
    }
}

static const struct codec_stream_ops tcp_stream_ops = {
    .encode_headers = tcp_encode_headers,
    .encode_data = tcp_encode_data,
    .encode_trailers = tcp_encode_trailers,
    .reset = tcp_reset,
    .read_disable = tcp_read_disable,
};

static const struct codec_ops tcp_ops = {
    .dispatch = tcp_dispatch,
    .new_stream = tcp_new_stream,
    .is_reusable = tcp_is_reusable,
    .drain = tcp_drain,
    .on_watermark = tcp_on_watermark,
    .should_close = tcp_should_close,
    .connection_closed = tcp_connection_closed,
    .free = tcp_free,
    .protocol = HTTP_11,
};

struct codec *tcp_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                   struct buf *out, const struct codec_limits *limits)
{
    struct tcp_codec *t = xcalloc(1, sizeof(*t));

    t->base = (struct codec){
        .ops = &tcp_ops,
        .callbacks = callbacks,
        .owner = owner,
        .out = out,
        .limits = *limits,
    };
    t->magic = TCP_CODEC_MAGIC;
    t->stream.ops = &tcp_stream_ops;
    return &t->base;
}
