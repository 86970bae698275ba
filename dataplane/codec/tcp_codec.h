#ifndef DATAPLANE_CODEC_TCP_CODEC_H
#define DATAPLANE_CODEC_TCP_CODEC_H

/*
 * A byte stream in a codec's clothes: the upstream end of a CONNECT that is terminated here, or of
 * a relayed connection. The one stream's request head sends nothing and is answered with 200 at
 * once; without `headers` to put that into there are no heads at all. Data are bytes both ways,
 * end_stream is half-close (on_shutdown_write). Never reusable.
 *
 * end_reason is set: RESET_NO_ERROR when both ways had ended, RESET_CONNECT_ERROR when the peer's
 * RST ended it (during on_reset), or ours is to, through ops->reset.
 */

#include "dataplane/codec/codec.h"

struct codec *tcp_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                   struct buf *out, const struct codec_limits *limits);

#endif
