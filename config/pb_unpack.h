#ifndef CONFIG_PB_UNPACK_H
#define CONFIG_PB_UNPACK_H

/*
 * Serialized protobuf to protobuf-c messages in an arena, for bytes that nobody vouches for.
 *
 * Takes the place of protobuf_c_message_unpack, which recurses without a bound, takes up to 73
 * times the wire, accepts bad UTF-8, and loses fields when a message comes in two pieces. This one
 * is iterative and reads as C++ protobuf does: a field that is given twice is merged, a wire type
 * that does not fit makes an unknown field, of equal map keys the last one counts. It differs where
 * that is not safe here: a NUL in a string and groups are refused.
 */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

#define PB_DEPTH_MAX 100

/* What a message may take: a multiple of the wire plus a constant. Configuration of real control
 * planes takes 5 to 15 times its wire size. */
#define PB_AMPLIFICATION_MAX 40
#define PB_ALLOCATION_MIN (16u << 20)

/* The message lives in `a`; there is nothing to free, and `bytes` may go. E_INVALID or E_LIMIT,
 * with the path of the field. */
int pb_unpack(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len,
              struct arena *a, ProtobufCMessage **ret_message, struct error *reterr) MUST_CHECK;
/* Inside other messages (Any, TypedStruct): `depth` levels are already used. */
int pb_unpack_at(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len, int depth,
                 struct arena *a, ProtobufCMessage **ret_message, struct error *reterr) MUST_CHECK;

#endif
