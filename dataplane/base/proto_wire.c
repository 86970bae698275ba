/* Protobuf's wire format, written. Owns nothing; any thread. */

#include "dataplane/base/proto_wire.h"

#include <string.h>

#define VARINT_MAX 10

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2 };

static size_t varint_write(char *out, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        out[n++] = (char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (char)v;
    return n;
}

static void wire_varint(struct strbuf *b, uint64_t v)
{
    char *out = strbuf_reserve(b, VARINT_MAX);

    b->len += varint_write(out, v);
    b->ptr[b->len] = '\0';
}

static void wire_tag(struct strbuf *b, uint32_t field, enum wire_type type)
{
    wire_varint(b, (uint64_t)field << 3 | type);
}

void proto_u64_always(struct strbuf *b, uint32_t field, uint64_t v)
{
    wire_tag(b, field, WIRE_VARINT);
    wire_varint(b, v);
}

void proto_u64(struct strbuf *b, uint32_t field, uint64_t v)
{
    if (v != 0) {
        proto_u64_always(b, field, v);
    }
}

void proto_bool(struct strbuf *b, uint32_t field, bool v)
{
    proto_u64(b, field, v);
}

static void proto_fixed64_always(struct strbuf *b, uint32_t field, uint64_t v)
{
    char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(v >> (8 * i));
    }
    wire_tag(b, field, WIRE_FIXED64);
    strbuf_add(b, bytes, sizeof(bytes));
}

void proto_fixed64(struct strbuf *b, uint32_t field, uint64_t v)
{
    if (v != 0) {
        proto_fixed64_always(b, field, v);
    }
}

static uint64_t double_bits(double v)
{
    uint64_t bits;

    _Static_assert(sizeof(bits) == sizeof(v), "IEEE 754");
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

void proto_double_always(struct strbuf *b, uint32_t field, double v)
{
    proto_fixed64_always(b, field, double_bits(v));
}

void proto_double(struct strbuf *b, uint32_t field, double v)
{
    proto_fixed64(b, field, double_bits(v));
}

void proto_length(struct strbuf *b, uint32_t field, size_t len)
{
    wire_tag(b, field, WIRE_LENGTH);
    wire_varint(b, len);
}

size_t proto_length_bytes(uint32_t field, size_t len)
{
    char scratch[VARINT_MAX];

    return varint_write(scratch, (uint64_t)field << 3) + varint_write(scratch, len);
}

void proto_bytes(struct strbuf *b, uint32_t field, struct str s)
{
    if (s.len > 0) {
        proto_length(b, field, s.len);
        strbuf_add_str(b, s);
    }
}

/* From `start` on: bytes that are no UTF-8 become '!'. */
static void repair_utf8(struct strbuf *b, size_t start)
{
    struct str s = str_n(b->ptr + start, b->len - start);

    if (s.len == 0 || str_is_utf8(s)) {
        return;
    }
    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(s.ptr + i, s.len - i);

        if (n == 0) {
            b->ptr[start + i] = '!';
        }
        i += n > 0 ? n : 1;
    }
}

void proto_string_always(struct strbuf *b, uint32_t field, struct str s)
{
    size_t start;

    proto_length(b, field, s.len);
    start = b->len;
    strbuf_add_str(b, s);
    repair_utf8(b, start);
}

void proto_string(struct strbuf *b, uint32_t field, struct str s)
{
    if (s.len > 0) {
        proto_string_always(b, field, s);
    }
}

/* One byte is left for the length, which nearly all of them fit; a longer one moves the content. */
size_t proto_begin(struct strbuf *b, uint32_t field)
{
    wire_tag(b, field, WIRE_LENGTH);
    strbuf_add_char(b, '\0');
    return b->len;
}

void proto_end(struct strbuf *b, size_t begun)
{
    char length[VARINT_MAX];
    size_t content = b->len - begun;
    size_t n = varint_write(length, content);

    if (n > 1) {
        (void)strbuf_reserve(b, n - 1);
        memmove(b->ptr + begun + n - 1, b->ptr + begun, content);
        b->len += n - 1;
        b->ptr[b->len] = '\0';
    }
    memcpy(b->ptr + begun - 1, length, n);
}

void proto_end_string(struct strbuf *b, size_t begun)
{
    repair_utf8(b, begun);
    proto_end(b, begun);
}

void proto_end_unless_empty(struct strbuf *b, uint32_t field, size_t begun)
{
    if (b->len > begun) {
        proto_end(b, begun);
    } else {
        strbuf_truncate(b, begun - proto_length_bytes(field, 0));
    }
}
