#ifndef DATAPLANE_CODEC_CONNECT_END_H
#define DATAPLANE_CODEC_CONNECT_END_H

/*
 * The last message of a streaming response in the Connect protocol: a JSON object, in which a
 * member "error" says that the call failed. Read as it passes; nothing of it is kept, and nothing
 * else of it is understood or checked.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"

#define CONNECT_FRAME_END 0x02 /* flag of that message in its frame's head (grpc_frames.h) */

enum connect_end_state {
    CONNECT_END_BEFORE,
    CONNECT_END_INSIDE,
    CONNECT_END_WHOLE,
    CONNECT_END_BAD
};

/* All zeroes begins. */
struct connect_end {
    enum connect_end_state state;
    uint32_t depth;     /* of braces and brackets */
    uint32_t key_bytes; /* of a member's name under way, as long as it spells "error" */
    bool is_in_string;
    bool is_escaped;
    bool is_at_key; /* in the outer object, before a ':' */
    bool is_error_key;
    bool has_error;
};

void connect_end_feed(struct connect_end *e, struct str bytes);
/* The object was there as a whole, and without an error. */
static inline bool connect_end_is_success(const struct connect_end *e)
{
    return e->state == CONNECT_END_WHOLE && !e->has_error;
}

#endif
