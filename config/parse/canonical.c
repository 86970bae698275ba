/* The canonical hash: a walk over the wire beside the descriptors. Nothing is unpacked, nothing is
 * sorted: what a map holds is summed. */

#include "config/parse/canonical.h"

#include <stdlib.h>
#include <string.h>

#include "config/pb_registry.h"
#include "config/pb_unpack.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

/* One field on the wire. For WIRE_BYTES `at` and `len` are the content, else the raw value. */
struct wire_field {
    uint64_t tag;
    const uint8_t *at;
    size_t len;
};

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;

        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool take_field(const uint8_t **p, const uint8_t *end, struct wire_field *ret)
{
    uint64_t value = 0;

    if (!take_varint(p, end, &ret->tag)) {
        return false;
    }
    ret->at = *p;
    switch (ret->tag & 7) {
    case WIRE_VARINT:
        if (!take_varint(p, end, &value)) {
            return false;
        }
        ret->len = (size_t)(*p - ret->at);
        return true;
    case WIRE_64BIT:
        ret->len = 8;
        break;
    case WIRE_32BIT:
        ret->len = 4;
        break;
    case WIRE_BYTES:
        if (!take_varint(p, end, &value) || value > (uint64_t)(end - *p)) {
            return false;
        }
        ret->at = *p;
        ret->len = (size_t)value;
        break;
    default:
        return false;
    }
    if (ret->len > (size_t)(end - *p)) {
        return false;
    }
    *p += ret->len;
    return true;
}

static uint64_t mix_u64(uint64_t h, uint64_t v)
{
    return hash_mix(h, &v, sizeof(v));
}

static bool is_map_entry(const ProtobufCFieldDescriptor *f, const ProtobufCMessageDescriptor *d)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED && d->n_fields == 2 &&
           strcmp(d->fields[0].name, "key") == 0 && strcmp(d->fields[1].name, "value") == 0 &&
           str_ends(str_c(d->short_name), STR("Entry"));
}

static uint64_t hash_message(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len,
                             int depth);

/* By the last type_url and value, as a reader would take them. */
static uint64_t hash_any(const uint8_t *bytes, size_t len, int depth)
{
    const uint8_t *p = bytes;
    const uint8_t *end = bytes + len;
    struct wire_field f;
    struct str type_url = STR("");
    struct str value = STR("");
    uint64_t h;

    while (p < end) {
        if (!take_field(&p, end, &f)) {
            return hash_mix(0, bytes, len);
        }
        if (f.tag == (1 << 3 | WIRE_BYTES)) {
            type_url = str_n((const char *)f.at, f.len);
        } else if (f.tag == (2 << 3 | WIRE_BYTES)) {
            value = str_n((const char *)f.at, f.len);
        }
    }
    h = hash_mix(1, type_url.ptr, type_url.len);
    return mix_u64(h, hash_message(pb_find_message(pb_type_name(type_url)),
                                   (const uint8_t *)value.ptr, value.len, depth + 1));
}

static uint64_t hash_field(const ProtobufCFieldDescriptor *fd, const struct wire_field *f,
                           int depth)
{
    const ProtobufCMessageDescriptor *sub;

    if (fd == NULL || fd->type != PROTOBUF_C_TYPE_MESSAGE || (f->tag & 7) != WIRE_BYTES) {
        return hash_mix(f->tag, f->at, f->len);
    }
    sub = fd->descriptor;
    if (strcmp(sub->name, "google.protobuf.Any") == 0) {
        return mix_u64(f->tag, hash_any(f->at, f->len, depth));
    }
    return mix_u64(f->tag, hash_message(sub, f->at, f->len, depth + 1));
}

/* `d` NULL: opaque. */
static uint64_t hash_message(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len,
                             int depth)
{
    const uint8_t *p = bytes;
    const uint8_t *end = bytes + len;
    uint64_t in_order = 2;
    uint64_t of_maps = 0;
    struct wire_field f;

    if (d == NULL || depth > PB_DEPTH_MAX) {
        return hash_mix(0, bytes, len);
    }
    while (p < end) {
        const ProtobufCFieldDescriptor *fd;
        uint64_t h;

        if (!take_field(&p, end, &f)) {
            return hash_mix(0, bytes, len);
        }
        fd = f.tag >> 3 <= UINT32_MAX
                 ? protobuf_c_message_descriptor_get_field(d, (unsigned)(f.tag >> 3))
                 : NULL;
        h = hash_field(fd, &f, depth);
        if (fd != NULL && fd->type == PROTOBUF_C_TYPE_MESSAGE && is_map_entry(fd, fd->descriptor)) {
            of_maps += h; /* in whatever order they come */
        } else {
            in_order = mix_u64(in_order, h);
        }
    }
    return mix_u64(in_order, of_maps);
}

uint64_t config_canonical_hash(const ProtobufCMessageDescriptor *d, const uint8_t *bytes,
                               size_t len)
{
    return hash_message(d, bytes, len, 0);
}

uint64_t config_message_hash(const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = xmalloc(len + 1);
    uint64_t h;

    protobuf_c_message_pack(m, bytes);
    h = config_canonical_hash(m->descriptor, bytes, len);
    free(bytes);
    return h;
}

bool config_canonical_equal(const ProtobufCMessageDescriptor *d, const uint8_t *a, size_t a_len,
                            const uint8_t *b, size_t b_len)
{
    if (a_len != b_len) { /* the same entries in another order are as long */
        return false;
    }
    return memcmp(a, b, a_len) == 0 ||
           config_canonical_hash(d, a, a_len) == config_canonical_hash(d, b, b_len);
}
