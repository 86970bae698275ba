#ifndef DATAPLANE_CODEC_GRPC_FRAMES_H
#define DATAPLANE_CODEC_GRPC_FRAMES_H

/*
 * gRPC's length-prefixed messages: a flag byte, the length in four, the message. One parser for who
 * takes the messages out of a body (the gRPC client) and for who only looks on while the body
 * passes (statistics, bridges). Messages are bytes here; nothing is decompressed or decoded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/buf.h"
#include "dataplane/base/str.h"

#define GRPC_FRAME_HEAD_BYTES 5
#define GRPC_FRAME_COMPRESSED 0x01 /* the only flag there is on HTTP/2 */
#define GRPC_FRAME_TRAILERS 0x80   /* gRPC-Web: the message is the trailers */

struct grpc_frame_head {
    uint8_t flags;
    uint32_t length; /* of the message, without this head */
};

struct grpc_frame_head grpc_frame_head_read(const uint8_t bytes[GRPC_FRAME_HEAD_BYTES]);
void grpc_frame_head_write(struct grpc_frame_head h, uint8_t ret_bytes[GRPC_FRAME_HEAD_BYTES]);

/* Takes the first message of `in` out of it, without its head, onto the end of `ret_message`. The
 * rest of a message is waited for in `in`, which a length over `max_bytes` never makes grow: the
 * head alone decides. Returns 0, E_AGAIN (not there as a whole; nothing was taken), E_LIMIT (longer
 * than `max_bytes`) or E_PROTOCOL (a flag other than `allowed_flags`); after the last two `in` is
 * of no further use. */
int grpc_frame_take(struct buf *in, uint32_t max_bytes, uint8_t allowed_flags,
                    struct buf *ret_message, uint8_t *ret_flags) MUST_CHECK;

/* Looks on. All zeroes is the start of a body. */
struct grpc_frame_counter {
    uint64_t count;     /* messages that have begun: the flag byte was seen, as Envoy counts */
    uint64_t completed; /* of those, the ones seen to their end */
    uint8_t head[GRPC_FRAME_HEAD_BYTES]; /* of the message under way, or the last one */
    uint8_t head_bytes;     /* of the head under way; all of them while inside a message */
    uint32_t message_bytes; /* still to come of the message under way */
};

void grpc_frame_counter_feed(struct grpc_frame_counter *c, struct str bytes);
/* The same for all of `data`, which stays as it is. */
void grpc_frame_counter_feed_buf(struct grpc_frame_counter *c, const struct buf *data);
/* How many of the next `len` bytes belong to the same head or message: who feeds no more at once
 * sees every message end (`completed` moves). */
size_t grpc_frame_counter_run(const struct grpc_frame_counter *c, size_t len);
/* Between two messages: a body may end here. */
static inline bool grpc_frame_counter_is_between(const struct grpc_frame_counter *c)
{
    return c->head_bytes == 0;
}

#endif
