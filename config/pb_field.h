#ifndef CONFIG_PB_FIELD_H
#define CONFIG_PB_FIELD_H

/* Reaching into protobuf-c messages by descriptor. Only proto3 comes out of protoc-c here: a field
 * is single, a member of a oneof, or repeated. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a single value or a member of a oneof is. */
static inline void *pb_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)(uintptr_t)m + f->offset;
}

/* Number of elements of a repeated field. */
static inline size_t *pb_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (size_t *)(void *)((char *)(uintptr_t)m + f->quantifier_offset);
}

/* Elements of a repeated field, pb_value_bytes apart. */
static inline char **pb_elements(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char **)pb_at(m, f);
}

static inline bool pb_is_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* Id of the member that a oneof holds, 0: none. */
static inline uint32_t *pb_oneof_case(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (uint32_t *)(void *)((char *)(uintptr_t)m + f->quantifier_offset);
}

/* Bytes of one value of this type. */
size_t pb_value_bytes(ProtobufCType t);
/* protobuf-c has no map type: a map field is repeated <Field>Entry {key, value}. */
bool pb_field_is_map(const ProtobufCFieldDescriptor *f);

#endif
