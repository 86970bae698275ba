/*
 * The server side of HTTP/2: its descriptors, and the recognition of a client's preface. The work
 * is in h2_session.c. A connection's thread.
 */

#include <string.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h2_internal.h"

static size_t server_held_bytes(const struct codec_stream *cs)
{
    const struct h2_stream *s = (const struct h2_stream *)cs; /* its first member */

    return s->recv.len + s->send.len;
}

static const struct codec_stream_ops server_stream_ops = {
    .encode_1xx = h2_encode_1xx,
    .encode_headers = h2_encode_response,
    .encode_data = h2_encode_data,
    .encode_trailers = h2_encode_trailers,
    .reset = h2_stream_reset,
    .read_disable = h2_stream_read_disable,
    .held_bytes = server_held_bytes,
};

static const struct codec_ops server_ops = {
    .dispatch = h2_dispatch,
    .drain = h2_drain,
    .goaway = h2_goaway,
    .ping = h2_ping,
    .on_watermark = h2_on_watermark,
    .should_close = h2_should_close,
    .connection_closed = h2_connection_closed,
    .free = h2_free,
    .protocol = HTTP_2,
};

struct codec *h2_server_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits)
{
    static const struct h2_role role = {&server_ops, &server_stream_ops, true};

    return h2_codec_new(&role, callbacks, owner, out, limits);
}

enum h2_preface h2_preface_check(const struct buf *in)
{
    char first[NGHTTP2_CLIENT_MAGIC_LEN];
    size_t n = buf_copy_out(in, 0, first, sizeof(first));

    if (memcmp(first, NGHTTP2_CLIENT_MAGIC, n) != 0) {
        return H2_PREFACE_NO;
    }
    return n == sizeof(first) ? H2_PREFACE_YES : H2_PREFACE_MORE;
}
