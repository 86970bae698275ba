#ifndef PROTO_KNOWN_FIELDS_H
#define PROTO_KNOWN_FIELDS_H

/*
 * Every message and field of the official Envoy, xDS and google protos, whether or not the subset
 * in this folder has it: tells a real but unsupported field from a typo, and names it. A constant
 * table made at build time from known_fields.txt; any thread may read it. Enum values are not here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum known_kind {
    KNOWN_DOUBLE,
    KNOWN_FLOAT,
    KNOWN_INT32,
    KNOWN_INT64,
    KNOWN_UINT32,
    KNOWN_UINT64,
    KNOWN_SINT32,
    KNOWN_SINT64,
    KNOWN_FIXED32,
    KNOWN_FIXED64,
    KNOWN_SFIXED32,
    KNOWN_SFIXED64,
    KNOWN_BOOL,
    KNOWN_STRING,
    KNOWN_BYTES,
    KNOWN_ENUM,
    KNOWN_MESSAGE,
};

enum known_flags {
    KNOWN_REPEATED = 1 << 0,
    KNOWN_MAP = 1 << 1, /* kind and message type are those of the value; keys are strings or ints */
    KNOWN_DEPRECATED = 1 << 2,
    /* Left out, a match widens or a defence is gone: its resource must be refused. */
    KNOWN_NARROWING = 1 << 3,
    KNOWN_ONEOF_REQUIRED = 1 << 4, /* the official rules want one member of its oneof */
};

struct known_field {
    uint32_t name_offset; /* see known_field_name */
    uint16_t number;
    uint16_t message; /* see known_field_message */
    uint8_t kind;     /* enum known_kind */
    uint8_t flags;    /* enum known_flags */
    uint8_t oneof;    /* 0: none; members of one oneof of a message share a number from 1 */
};

struct known_message {
    uint32_t name_offset; /* see known_message_name */
    uint16_t first_field; /* its fields lie together, by number */
    uint16_t field_count;
};

/* `full_name` as in "envoy.config.core.v3.Node", no leading dot. NULL: no such message. */
const struct known_message *known_message_find(const char *full_name);

const char *known_message_name(const struct known_message *m);

/* NULL: no such field. */
const struct known_field *known_field_by_number(const struct known_message *m, uint32_t number);

/* `name` in snake_case (as in the .proto) or lowerCamelCase (as in JSON). NULL: no such field. */
const struct known_field *known_field_by_name(const struct known_message *m, const char *name,
                                              size_t len);

/* The name as in the .proto. */
const char *known_field_name(const struct known_field *f);

/* The message type of a KNOWN_MESSAGE field; NULL for every other kind. */
const struct known_message *known_field_message(const struct known_field *f);

static inline bool known_field_is_narrowing(const struct known_field *f)
{
    return (f->flags & KNOWN_NARROWING) != 0;
}

#endif
