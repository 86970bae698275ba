/* Descriptor-guided check of serialized protobuf. Any thread; no state. */

#include "config/wire_scan.h"

#include "dataplane/base/str.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* One open message. */
struct frame {
    const ProtobufCMessageDescriptor *descriptor;
    const ProtobufCFieldDescriptor *field; /* of the parent, that this message is the value of */
    const uint8_t *end;
};

struct scan {
    struct frame stack[WIRE_DEPTH_MAX];
    int depth;
    const uint8_t *pos;
    size_t allocation;
    size_t allocation_max;
    struct error *err;
};

/* "a.b.c: sentence". */
static int scan_fail(struct scan *s, const ProtobufCFieldDescriptor *at, int code, const char *what)
{
    struct strbuf path;
    int r;

    strbuf_init(&path);
    for (int i = 1; i < s->depth; i++) {
        strbuf_addf(&path, "%s%s", path.len > 0 ? "." : "", s->stack[i].field->name);
    }
    if (at != NULL) {
        strbuf_addf(&path, "%s%s", path.len > 0 ? "." : "", at->name);
    }
    if (path.len > 0) {
        r = error_set(s->err, code, "%.*s: %s", STR_ARG(strbuf_str(&path)), what);
    } else {
        r = error_set(s->err, code, "%s", what);
    }
    strbuf_done(&path);
    return r;
}

static bool scan_varint(struct scan *s, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;

        if (s->pos == end) {
            return false;
        }
        byte = *s->pos++;
        v |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if ((byte & 0x80) == 0) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* The wire type that a single value of this field has. */
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

static int scan_charge(struct scan *s, const ProtobufCFieldDescriptor *f, size_t bytes)
{
    s->allocation += bytes + 16; /* the allocator's own share */
    if (s->allocation > s->allocation_max) {
        return scan_fail(s, f, E_LIMIT, "message would take too much memory");
    }
    return 0;
}

static int scan_push(struct scan *s, const ProtobufCFieldDescriptor *f, const uint8_t *end,
                     int depth_used)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;

    if (s->depth + depth_used >= WIRE_DEPTH_MAX) {
        return scan_fail(s, f, E_LIMIT, "nested too deeply");
    }
    s->stack[s->depth++] = (struct frame){d, f, end};
    return scan_charge(s, f, d->sizeof_message);
}

static int scan_packed(struct scan *s, const ProtobufCFieldDescriptor *f, const uint8_t *end)
{
    size_t count = 0;

    if (wire_type_of(f->type) == WIRE_VARINT) {
        while (s->pos < end) {
            uint64_t v;

            if (!scan_varint(s, end, &v)) {
                return scan_fail(s, f, E_INVALID, "truncated");
            }
            count++;
        }
    } else {
        size_t width = wire_type_of(f->type) == WIRE_FIXED32 ? 4 : 8;

        if ((size_t)(end - s->pos) % width != 0) {
            return scan_fail(s, f, E_INVALID, "truncated");
        }
        count = (size_t)(end - s->pos) / width;
        s->pos = end;
    }
    return scan_charge(s, f, count * 8);
}

/* A length-delimited value of a known field; a message is entered, anything else passed over. */
static int scan_bytes(struct scan *s, const ProtobufCFieldDescriptor *f, size_t len, int depth_used)
{
    struct str text = str_n((const char *)s->pos, len);

    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return scan_push(s, f, s->pos + len, depth_used);
    case PROTOBUF_C_TYPE_STRING:
        if (len > 0 && memchr(s->pos, '\0', len) != NULL) {
            return scan_fail(s, f, E_INVALID, "string contains a NUL byte");
        }
        if (!str_is_utf8(text)) {
            return scan_fail(s, f, E_INVALID, "string is not valid UTF-8");
        }
        s->pos += len;
        return scan_charge(s, f, len + 1);
    case PROTOBUF_C_TYPE_BYTES:
        s->pos += len;
        return scan_charge(s, f, len);
    default:
        return scan_packed(s, f, s->pos + len);
    }
}

static int scan_field(struct scan *s, int depth_used)
{
    const struct frame *top = &s->stack[s->depth - 1];
    const ProtobufCFieldDescriptor *f;
    uint64_t tag;
    uint64_t v;
    size_t left;

    if (!scan_varint(s, top->end, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        return scan_fail(s, NULL, E_INVALID, "malformed protobuf");
    }
    f = protobuf_c_message_descriptor_get_field(top->descriptor, (unsigned)(tag >> 3));
    left = (size_t)(top->end - s->pos);
    if (f != NULL && (tag & 7) != wire_type_of(f->type) &&
        !((tag & 7) == WIRE_BYTES && f->label == PROTOBUF_C_LABEL_REPEATED)) {
        return scan_fail(s, f, E_INVALID, "wrong wire type");
    }
    if (f != NULL && f->label == PROTOBUF_C_LABEL_REPEATED &&
        scan_charge(s, f, sizeof(void *) * 2) != 0) {
        return E_LIMIT;
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        return scan_varint(s, top->end, &v) ? 0 : scan_fail(s, f, E_INVALID, "truncated");
    case WIRE_FIXED64:
    case WIRE_FIXED32: {
        size_t width = (tag & 7) == WIRE_FIXED64 ? 8 : 4;

        if (left < width) {
            return scan_fail(s, f, E_INVALID, "truncated");
        }
        s->pos += width;
        return 0;
    }
    case WIRE_BYTES:
        if (!scan_varint(s, top->end, &v) || v > (size_t)(top->end - s->pos)) {
            return scan_fail(s, f, E_INVALID, "truncated");
        }
        if (f == NULL) {
            s->pos += v;
            return scan_charge(s, NULL, (size_t)v + 32); /* kept as an unknown field */
        }
        return scan_bytes(s, f, (size_t)v, depth_used);
    default:
        return scan_fail(s, f, E_INVALID, "malformed protobuf");
    }
}

int wire_scan(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len, int depth,
              struct error *reterr)
{
    struct scan s = {.pos = bytes, .err = reterr};

    s.allocation_max = len > (SIZE_MAX - WIRE_ALLOCATION_MIN) / WIRE_AMPLIFICATION_MAX
                           ? SIZE_MAX
                           : len * WIRE_AMPLIFICATION_MAX + WIRE_ALLOCATION_MIN;
    if (depth >= WIRE_DEPTH_MAX) {
        return error_set(reterr, E_LIMIT, "nested too deeply");
    }
    if (len == 0) { /* `bytes` may be NULL */
        return 0;
    }
    s.stack[s.depth++] = (struct frame){d, NULL, bytes + len};
    while (s.depth > 0) {
        int r;

        if (s.pos == s.stack[s.depth - 1].end) {
            s.depth--;
            continue;
        }
        r = scan_field(&s, depth);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}
