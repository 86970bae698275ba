#ifndef CONFIG_PB_ARENA_H
#define CONFIG_PB_ARENA_H

/* Safe unpacking: wire_scan, then protobuf-c into an arena. */

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

/* The message lives in `a`; there is nothing to free. E_INVALID, E_LIMIT. */
int pb_unpack(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len,
              struct arena *a, ProtobufCMessage **ret_message, struct error *reterr) MUST_CHECK;
/* Inside other messages: `depth` levels are already used. */
int pb_unpack_at(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len, int depth,
                 struct arena *a, ProtobufCMessage **ret_message, struct error *reterr) MUST_CHECK;
/* An empty message. */
ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a);
/* Serialized, in the arena. */
uint8_t *pb_pack(const ProtobufCMessage *m, struct arena *a, size_t *ret_len);

#endif
