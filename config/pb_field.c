/* Facts about descriptors. Any thread. */

#include "config/pb_field.h"

#include <string.h>

size_t pb_value_bytes(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

/* Whether `entry` is `field` in CamelCase followed by "Entry", as protoc names the type of a map
 * field. A message of the API that merely has a key and a value is not one. */
static bool is_entry_name(const char *entry, const char *field)
{
    bool is_word_start = true;

    for (; *field != '\0'; field++) {
        char c = *field;

        if (c == '_') {
            is_word_start = true;
            continue;
        }
        if (is_word_start && c >= 'a' && c <= 'z') {
            c = (char)(c - 'a' + 'A');
        }
        is_word_start = false;
        if (*entry++ != c) {
            return false;
        }
    }
    return strcmp(entry, "Entry") == 0;
}

bool pb_field_is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d;
    const char *dot;

    if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    d = f->descriptor;
    dot = strrchr(d->name, '.');
    return d->n_fields == 2 && d->fields[0].id == 1 && d->fields[1].id == 2 && dot != NULL &&
           is_entry_name(dot + 1, f->name);
}
