/* protobuf-c messages in arenas. The arena's own thread. */

#include "config/pb_arena.h"

ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a)
{
    ProtobufCMessage *m = arena_alloc(a, d->sizeof_message);

    protobuf_c_message_init(d, m);
    return m;
}

uint8_t *pb_pack(const ProtobufCMessage *m, struct arena *a, size_t *ret_len)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = arena_alloc(a, len + 1);

    *ret_len = protobuf_c_message_pack(m, bytes);
    return bytes;
}
