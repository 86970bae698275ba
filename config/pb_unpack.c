/*
 * The protobuf wire format, reading side, driven by descriptors. One loop over an explicit stack of
 * open messages; every allocation is charged against a bound first. Any thread; no state.
 */

#include "config/pb_unpack.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "config/pb_arena.h"
#include "config/pb_field.h"
#include "dataplane/base/str.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

#define NOT_REPEATED SIZE_MAX

/* One open message. */
struct frame {
    ProtobufCMessage *message;
    const uint8_t *end;
    const ProtobufCFieldDescriptor *field; /* of the frame below, that this message is a value of */
    size_t index;                          /* which one, or NOT_REPEATED */
};

/* A map field with more than one entry. */
struct seen_map {
    struct seen_map *next;
    ProtobufCMessage *message;
    const ProtobufCFieldDescriptor *field;
};

struct decoder {
    struct frame stack[PB_DEPTH_MAX];
    int depth;
    int depth_max;
    const uint8_t *pos;
    size_t bytes_left; /* that may still be allocated */
    struct arena *arena;
    struct seen_map *maps;
    struct error *err;
};

/* "a.b[0].c: sentence". */
static int decode_fail(struct decoder *d, const ProtobufCFieldDescriptor *at, int code,
                       const char *what)
{
    struct strbuf line;
    int r;

    strbuf_init(&line);
    for (int i = 1; i < d->depth; i++) {
        strbuf_addf(&line, "%s%s", i > 1 ? "." : "", d->stack[i].field->name);
        if (d->stack[i].index != NOT_REPEATED) {
            strbuf_addf(&line, "[%zu]", d->stack[i].index);
        }
    }
    if (at != NULL) {
        strbuf_addf(&line, "%s%s", line.len > 0 ? "." : "", at->name);
    }
    strbuf_addf(&line, "%s%s", line.len > 0 ? ": " : "", what);
    r = error_set(d->err, code, "%.*s", STR_ARG(strbuf_str(&line)));
    strbuf_done(&line);
    return r;
}

static int truncated(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    return decode_fail(d, f, E_INVALID, "malformed or truncated protobuf");
}

/* NULL when the bound is reached; the error is set. */
static void *decode_alloc(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t bytes)
{
    size_t cost = bytes + 16; /* rounding */

    if (cost > d->bytes_left) {
        (void)decode_fail(d, f, E_LIMIT, "message would take too much memory");
        return NULL;
    }
    d->bytes_left -= cost;
    return arena_alloc(d->arena, bytes);
}

/* --- wire --------------------------------------------------------------------------------- */

static bool read_varint(struct decoder *d, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70 && d->pos < end; shift += 7) {
        uint8_t byte = *d->pos++;

        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct decoder *d, const uint8_t *end, size_t width, uint64_t *ret)
{
    uint64_t v = 0;

    if ((size_t)(end - d->pos) < width) {
        return false;
    }
    memcpy(&v, d->pos, width);
    d->pos += width;
    *ret = le64toh(v);
    return true;
}

/* The number that a scalar of this wire type is written as. */
static bool read_number(struct decoder *d, unsigned wire, const uint8_t *end, uint64_t *ret)
{
    if (wire == WIRE_VARINT) {
        return read_varint(d, end, ret);
    }
    return read_fixed(d, end, wire == WIRE_FIXED32 ? 4 : 8, ret);
}

/* Length, then that many bytes are there. */
static bool read_length(struct decoder *d, const uint8_t *end, size_t *ret)
{
    uint64_t len;

    if (!read_varint(d, end, &len) || len > (size_t)(end - d->pos)) {
        return false;
    }
    *ret = (size_t)len;
    return true;
}

static unsigned wire_type_of(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    default:
        return WIRE_VARINT;
    }
}

/* --- values ------------------------------------------------------------------------------- */

static void store_number(ProtobufCType t, uint64_t v, void *to)
{
    uint32_t v32 = (uint32_t)v; /* wider ones are cut, as C++ does */

    switch (t) {
    case PROTOBUF_C_TYPE_SINT32:
        v32 = v32 >> 1 ^ (0 - (v32 & 1));
        break;
    case PROTOBUF_C_TYPE_SINT64:
        v = v >> 1 ^ (0 - (v & 1));
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)to = v != 0;
        return;
    default:
        break;
    }
    if (pb_value_bytes(t) == 4) {
        memcpy(to, &v32, 4);
    } else {
        memcpy(to, &v, 8);
    }
}

static int decode_string(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t len,
                         char **to)
{
    char *copy;

    if (len > 0 && memchr(d->pos, '\0', len) != NULL) {
        return decode_fail(d, f, E_INVALID, "string contains a NUL byte");
    }
    if (!str_is_utf8(str_n((const char *)d->pos, len))) {
        return decode_fail(d, f, E_INVALID, "string is not valid UTF-8");
    }
    copy = decode_alloc(d, f, len + 1);
    if (copy == NULL) {
        return E_LIMIT;
    }
    memcpy(copy, d->pos, len);
    copy[len] = '\0';
    *to = copy;
    d->pos += len;
    return 0;
}

static int decode_bytes(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t len,
                        ProtobufCBinaryData *to)
{
    uint8_t *copy = decode_alloc(d, f, len + 1); /* never of no bytes */

    if (copy == NULL) {
        return E_LIMIT;
    }
    memcpy(copy, d->pos, len);
    *to = (ProtobufCBinaryData){.len = len, .data = copy};
    d->pos += len;
    return 0;
}

/* Opens the message at `*to`, making it first if there is none: pieces of one message merge. */
static int decode_open(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t index,
                       size_t len, ProtobufCMessage **to)
{
    const ProtobufCMessageDescriptor *type = f->descriptor;

    if (d->depth == d->depth_max) {
        return decode_fail(d, f, E_LIMIT, "nested too deeply");
    }
    if (*to == NULL) {
        *to = decode_alloc(d, f, type->sizeof_message);
        if (*to == NULL) {
            return E_LIMIT;
        }
        protobuf_c_message_init(type, *to);
    }
    d->stack[d->depth++] = (struct frame){*to, d->pos + len, f, index};
    return 0;
}

/* One value of the field's own wire type, to `to`. */
static int decode_value(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t index,
                        const uint8_t *end, void *to)
{
    unsigned wire = wire_type_of(f->type);
    uint64_t v;
    size_t len;

    if (wire != WIRE_BYTES) {
        if (!read_number(d, wire, end, &v)) {
            return truncated(d, f);
        }
        store_number(f->type, v, to);
        return 0;
    }
    if (!read_length(d, end, &len)) {
        return truncated(d, f);
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        return decode_open(d, f, index, len, to);
    }
    return f->type == PROTOBUF_C_TYPE_STRING ? decode_string(d, f, len, to)
                                             : decode_bytes(d, f, len, to);
}

/* --- fields ------------------------------------------------------------------------------- */

/* Room for one more of `n` elements: capacity is the next power of two. */
static void *grow(struct decoder *d, const ProtobufCFieldDescriptor *f, void *old, size_t n,
                  size_t width)
{
    void *bigger;

    if (n > 0 && (n & (n - 1)) != 0) {
        return old;
    }
    bigger = decode_alloc(d, f, (n > 0 ? n * 2 : 1) * width);
    if (bigger != NULL && n > 0) {
        memcpy(bigger, old, n * width);
    }
    return bigger;
}

static int note_map(struct decoder *d, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    struct seen_map *seen = decode_alloc(d, f, sizeof(*seen));

    if (seen == NULL) {
        return E_LIMIT;
    }
    *seen = (struct seen_map){d->maps, m, f};
    d->maps = seen;
    return 0;
}

static int decode_element(struct decoder *d, const struct frame *top,
                          const ProtobufCFieldDescriptor *f, const uint8_t *end)
{
    ProtobufCMessage *m = top->message;
    size_t *count = pb_count(m, f);
    size_t width = pb_value_bytes(f->type);
    char *elements = grow(d, f, *pb_elements(m, f), *count, width);
    char *to;

    if (elements == NULL) {
        return E_LIMIT;
    }
    *pb_elements(m, f) = elements;
    to = elements + *count * width;
    memset(to, 0, width);
    if (++*count == 2 && pb_field_is_map(f) && note_map(d, m, f) != 0) {
        return E_LIMIT;
    }
    return decode_value(d, f, *count - 1, end, to);
}

static int decode_packed(struct decoder *d, const struct frame *top,
                         const ProtobufCFieldDescriptor *f)
{
    const uint8_t *end;
    size_t len;

    if (!read_length(d, top->end, &len)) {
        return truncated(d, f);
    }
    end = d->pos + len;
    while (d->pos < end) {
        int r = decode_element(d, top, f, end);

        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int decode_single(struct decoder *d, const struct frame *top,
                         const ProtobufCFieldDescriptor *f)
{
    void *to = pb_at(top->message, f);

    if (pb_is_oneof(f) && *pb_oneof_case(top->message, f) != f->id) {
        memset(to, 0, pb_value_bytes(f->type)); /* another member's */
        *pb_oneof_case(top->message, f) = f->id;
    }
    return decode_value(d, f, NOT_REPEATED, top->end, to);
}

/* Kept as protobuf-c keeps them: the value's own bytes, its length included. */
static int decode_unknown(struct decoder *d, const struct frame *top, uint32_t number,
                          unsigned wire)
{
    ProtobufCMessage *m = top->message;
    const uint8_t *start = d->pos;
    ProtobufCMessageUnknownField *fields;
    uint8_t *data;
    uint64_t v;
    size_t len;

    switch (wire) {
    case WIRE_VARINT:
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        if (!read_number(d, wire, top->end, &v)) {
            return truncated(d, NULL);
        }
        break;
    case WIRE_BYTES:
        if (!read_length(d, top->end, &len)) {
            return truncated(d, NULL);
        }
        d->pos += len;
        break;
    default:
        return truncated(d, NULL); /* groups too: proto3 has none */
    }
    len = (size_t)(d->pos - start);
    fields = grow(d, NULL, m->unknown_fields, m->n_unknown_fields, sizeof(*fields));
    data = fields != NULL ? decode_alloc(d, NULL, len) : NULL;
    if (data == NULL) {
        return E_LIMIT;
    }
    memcpy(data, start, len);
    fields[m->n_unknown_fields++] =
        (ProtobufCMessageUnknownField){number, (ProtobufCWireType)wire, len, data};
    m->unknown_fields = fields;
    return 0;
}

static int decode_field(struct decoder *d)
{
    const struct frame *top = &d->stack[d->depth - 1];
    const ProtobufCFieldDescriptor *f;
    uint64_t tag;
    unsigned wire;

    if (!read_varint(d, top->end, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return truncated(d, NULL);
    }
    f = protobuf_c_message_descriptor_get_field(top->message->descriptor, (unsigned)(tag >> 3));
    wire = tag & 7;
    if (f != NULL && wire == wire_type_of(f->type)) {
        return f->label == PROTOBUF_C_LABEL_REPEATED ? decode_element(d, top, f, top->end)
                                                     : decode_single(d, top, f);
    }
    if (f != NULL && wire == WIRE_BYTES && f->label == PROTOBUF_C_LABEL_REPEATED) {
        return decode_packed(d, top, f);
    }
    return decode_unknown(d, top, (uint32_t)(tag >> 3), wire);
}

/* --- maps --------------------------------------------------------------------------------- */

struct map_entry {
    const ProtobufCMessage *message;
    size_t index;
};

static int compare_keys(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const ProtobufCFieldDescriptor *key = &a->descriptor->fields[0];

    if (key->type == PROTOBUF_C_TYPE_STRING) {
        return strcmp(*(char **)pb_at(a, key), *(char **)pb_at(b, key));
    }
    return memcmp(pb_at(a, key), pb_at(b, key), pb_value_bytes(key->type));
}

static int compare_entries(const void *a, const void *b)
{
    const struct map_entry *x = a;
    const struct map_entry *y = b;
    int order = compare_keys(x->message, y->message);

    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* Of equal keys the last one counts; the others go. */
static int drop_duplicates(struct decoder *d, const struct seen_map *seen)
{
    size_t *count = pb_count(seen->message, seen->field);
    ProtobufCMessage **entries = *(ProtobufCMessage ***)pb_at(seen->message, seen->field);
    struct map_entry *sorted = decode_alloc(d, seen->field, *count * sizeof(*sorted));
    size_t kept = 0;

    if (sorted == NULL) {
        return E_LIMIT;
    }
    for (size_t i = 0; i < *count; i++) {
        sorted[i] = (struct map_entry){entries[i], i};
    }
    qsort(sorted, *count, sizeof(*sorted), compare_entries);
    for (size_t i = 0; i + 1 < *count; i++) {
        if (compare_keys(sorted[i].message, sorted[i + 1].message) == 0) {
            entries[sorted[i].index] = NULL;
        }
    }
    for (size_t i = 0; i < *count; i++) {
        if (entries[i] != NULL) {
            entries[kept++] = entries[i];
        }
    }
    *count = kept;
    return 0;
}

/* An entry without a value has the default one. */
static int decode_close(struct decoder *d)
{
    const struct frame *top = &d->stack[--d->depth];
    const ProtobufCFieldDescriptor *value;
    ProtobufCMessage **to;

    if (top->index == NOT_REPEATED || !pb_field_is_map(top->field)) {
        return 0;
    }
    value = &top->message->descriptor->fields[1];
    to = pb_at(top->message, value);
    if (value->type != PROTOBUF_C_TYPE_MESSAGE || *to != NULL) {
        return 0;
    }
    *to = decode_alloc(d, value,
                       ((const ProtobufCMessageDescriptor *)value->descriptor)->sizeof_message);
    if (*to == NULL) {
        return E_LIMIT;
    }
    protobuf_c_message_init(value->descriptor, *to);
    return 0;
}

/* --- the loop ----------------------------------------------------------------------------- */

int pb_unpack_at(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                 int depth, struct arena *a, ProtobufCMessage **ret_message, struct error *reterr)
{
    struct decoder d;
    ProtobufCMessage *m;
    int r = 0;

    if (depth >= PB_DEPTH_MAX) {
        return error_set(reterr, E_LIMIT, "nested too deeply");
    }
    m = pb_new(descriptor, a);
    if (len == 0) { /* `bytes` may be NULL */
        *ret_message = m;
        return 0;
    }
    d.depth = 1;
    d.depth_max = PB_DEPTH_MAX - depth;
    d.pos = bytes;
    d.bytes_left = len > (SIZE_MAX - PB_ALLOCATION_MIN) / PB_AMPLIFICATION_MAX
                       ? SIZE_MAX
                       : len * PB_AMPLIFICATION_MAX + PB_ALLOCATION_MIN;
    d.arena = a;
    d.maps = NULL;
    d.err = reterr;
    d.stack[0] = (struct frame){m, bytes + len, NULL, NOT_REPEATED};
    while (r == 0 && d.depth > 0) {
        r = d.pos < d.stack[d.depth - 1].end ? decode_field(&d) : decode_close(&d);
    }
    for (const struct seen_map *seen = d.maps; r == 0 && seen != NULL; seen = seen->next) {
        r = drop_duplicates(&d, seen);
    }
    if (r == 0) {
        *ret_message = m;
    }
    return r;
}

int pb_unpack(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len,
              struct arena *a, ProtobufCMessage **ret_message, struct error *reterr)
{
    return pb_unpack_at(d, bytes, len, 0, a, ret_message, reterr);
}
