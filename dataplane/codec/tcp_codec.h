#ifndef DATAPLANE_CODEC_TCP_CODEC_H
#define DATAPLANE_CODEC_TCP_CODEC_H

/*
 * A byte stream in a codec's clothes: the upstream end of a CONNECT that is terminated here. The
 * one stream's request head sends nothing and is answered with 200 at once; data are bytes both
 * ways, end_stream is half-close (on_shutdown_write). Never reusable.
 */

#include "dataplane/codec/codec.h"

struct codec *tcp_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                   struct buf *out, const struct codec_limits *limits);

#endif
