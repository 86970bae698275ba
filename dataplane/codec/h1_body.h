#ifndef DATAPLANE_CODEC_H1_BODY_H
#define DATAPLANE_CODEC_H1_BODY_H

/* Receiving the body of one HTTP/1 message, whatever delimits it. Shared by server and client. */

#include "dataplane/base/buf.h"
#include "dataplane/codec/h1_parser.h"

struct h1_body {
    struct h1_chunks chunks;     /* its `remaining` also counts a body of known length */
    struct header_map *trailers; /* NULL: none came or they are dropped */
    const struct codec_error *error;
    uint8_t framing; /* enum h1_framing */
    bool is_in_trailers;
};

void h1_body_start(struct h1_body *b, enum h1_framing framing, uint64_t content_length);
/*
 * Moves what `in` holds of the body into `data`, framing taken off. 0: the body is complete;
 * E_AGAIN: all of `in` was taken, more is to come; E_PROTOCOL: b->error. `parser` (done with the
 * head) parses trailers, which `arena` keeps when the limits enable them.
 */
int h1_body_receive(struct h1_body *b, struct h1_parser *parser, const struct codec_limits *limits,
                    struct arena *arena, struct buf *in, struct buf *data) MUST_CHECK;
/* Feeds a head or trailers from `in`, draining what is taken. */
int h1_feed_buf(struct h1_parser *p, struct buf *in) MUST_CHECK;

#endif
