#ifndef DATAPLANE_CODEC_H1_CODEC_H
#define DATAPLANE_CODEC_H1_CODEC_H

/*
 * HTTP/1.x on one connection, one stream at a time. Server: pipelined requests wait in `in`,
 * unread, until the response before them is complete; reading is then disabled through
 * on_read_disable. The response's framing is chosen here: content-length as given, else chunked
 * (HTTP/1.1) or until close (HTTP/1.0); `connection: close` is added when the connection will
 * close, and obeyed when the headers carry it. Names go out in lower case.
 *
 * Everything a request needs lives in its stream's arena, all else in the codec: an idle connection
 * holds the codec alone.
 */

#include "dataplane/codec/codec.h"

/* `callbacks`, `out` outlive the codec; `limits` is copied (its string borrowed). */
struct codec *h1_server_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits);
struct codec *h1_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits);

#endif
