/* protobuf-c messages in arenas. The arena's own thread. */

#include "config/pb_arena.h"

#include "config/wire_scan.h"

static void *pb_arena_alloc(void *data, size_t size)
{
    return arena_alloc(data, size);
}

static void pb_arena_free(void *data, void *pointer)
{
    (void)data; /* goes with the arena */
    (void)pointer;
}

int pb_unpack_at(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len, int depth,
                 struct arena *a, ProtobufCMessage **ret_message, struct error *reterr)
{
    ProtobufCAllocator allocator = {
        .alloc = pb_arena_alloc, .free = pb_arena_free, .allocator_data = a};
    ProtobufCMessage *m;
    int r = wire_scan(d, bytes, len, depth, reterr);

    if (r != 0) {
        return r;
    }
    m = protobuf_c_message_unpack(d, &allocator, len, bytes);
    if (m == NULL) {
        return error_set(reterr, E_INVALID, "malformed %s", d->name);
    }
    *ret_message = m;
    return 0;
}

int pb_unpack(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len,
              struct arena *a, ProtobufCMessage **ret_message, struct error *reterr)
{
    return pb_unpack_at(d, bytes, len, 0, a, ret_message, reterr);
}

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
