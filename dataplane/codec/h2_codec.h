#ifndef DATAPLANE_CODEC_H2_CODEC_H
#define DATAPLANE_CODEC_H2_CODEC_H

/*
 * HTTP/2 (RFC 9113) on nghttp2, which frames, compresses and keeps the protocol's state; what may
 * be received, how much, and who is stopped by whom is ours (h2_session.c). limits->http2 must be
 * set and outlive the codec.
 */

#include "dataplane/codec/codec.h"

/* `out`: the connection's output, borrowed. SETTINGS are written before it returns. */
struct codec *h2_server_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits);
/* Writes preface and SETTINGS before it returns. */
struct codec *h2_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits);

/* What a connection's first bytes say (RFC 9113, 3.4). */
enum h2_preface {
    H2_PREFACE_NO,
    H2_PREFACE_YES,
    H2_PREFACE_MORE, /* they agree so far */
};
enum h2_preface h2_preface_check(const struct buf *in);

#endif
