/* Protobuf wire format, the few shapes that discovery envelopes need. Any thread. */

#include "xds/wire.h"

#include "dataplane/base/error.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static int wire_varint(struct wire_reader *r, uint64_t *ret_value)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;

        if (r->pos == r->end) {
            return E_INVALID;
        }
        byte = *r->pos++;
        if (shift == 63 && byte > 1) {
            return E_INVALID;
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret_value = v;
            return 0;
        }
    }
    return E_INVALID;
}

static int wire_skip(struct wire_reader *r, size_t n)
{
    if ((size_t)(r->end - r->pos) < n) {
        return E_INVALID;
    }
    r->pos += n;
    return 0;
}

int wire_next(struct wire_reader *r, struct wire_field *ret_field)
{
    uint64_t tag;
    uint64_t len;

    if (r->pos == r->end) {
        return 0;
    }
    if (wire_varint(r, &tag) != 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        return E_INVALID;
    }
    *ret_field = (struct wire_field){.number = (uint32_t)(tag >> 3)};
    switch (tag & 7) {
    case WIRE_VARINT:
        return wire_varint(r, &ret_field->varint) == 0 ? 1 : E_INVALID;
    case WIRE_FIXED64:
        return wire_skip(r, 8) == 0 ? 1 : E_INVALID;
    case WIRE_FIXED32:
        return wire_skip(r, 4) == 0 ? 1 : E_INVALID;
    case WIRE_BYTES:
        if (wire_varint(r, &len) != 0 || len > (size_t)(r->end - r->pos)) {
            return E_INVALID;
        }
        ret_field->is_bytes = true;
        ret_field->bytes = str_n((const char *)r->pos, (size_t)len);
        r->pos += len;
        return 1;
    default:
        return E_INVALID;
    }
}

static size_t wire_encode_varint(uint64_t v, char out[10])
{
    size_t n = 0;

    while (v >= 0x80) {
        out[n++] = (char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (char)v;
    return n;
}

static void wire_add_varint(struct strbuf *out, uint64_t v)
{
    char bytes[10];

    strbuf_add(out, bytes, wire_encode_varint(v, bytes));
}

void wire_put_varint(struct strbuf *out, uint32_t number, uint64_t v)
{
    wire_add_varint(out, (uint64_t)number << 3 | WIRE_VARINT);
    wire_add_varint(out, v);
}

void wire_put_bytes(struct strbuf *out, uint32_t number, struct str bytes)
{
    wire_add_varint(out, (uint64_t)number << 3 | WIRE_BYTES);
    wire_add_varint(out, bytes.len);
    strbuf_add_str(out, bytes);
}

size_t wire_begin(const struct strbuf *out)
{
    return out->len;
}

void wire_end(struct strbuf *out, size_t begin, uint32_t number)
{
    char head[20];
    size_t body = out->len - begin;
    size_t n = wire_encode_varint((uint64_t)number << 3 | WIRE_BYTES, head);

    n += wire_encode_varint(body, head + n);
    (void)strbuf_reserve(out, n);
    memmove(out->ptr + begin + n, out->ptr + begin, body);
    memcpy(out->ptr + begin, head, n);
    out->len += n;
    out->ptr[out->len] = '\0';
}
