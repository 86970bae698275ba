#ifndef CONFIG_PB_ARENA_H
#define CONFIG_PB_ARENA_H

/* protobuf-c messages that live in an arena. From bytes: pb_unpack.h. */

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/arena.h"

/* An empty message. */
ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a);
/* Serialized, in the arena. */
uint8_t *pb_pack(const ProtobufCMessage *m, struct arena *a, size_t *ret_len);

#endif
