#ifndef XDS_WIRE_H
#define XDS_WIRE_H

/*
 * Just enough protobuf wire format for the discovery envelope: responses are read in place (a push
 * of 10,000 resources copies none of them), requests are appended to a strbuf.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

struct wire_reader {
    const uint8_t *pos;
    const uint8_t *end;
};

struct wire_field {
    uint32_t number;
    bool is_bytes; /* length-delimited: `bytes`; else `varint` (or skipped fixed-size) */
    struct str bytes;
    uint64_t varint;
};

static inline struct wire_reader wire_reader_of(struct str s)
{
    const uint8_t *begin = s.len > 0 ? (const uint8_t *)s.ptr : (const uint8_t *)"";

    return (struct wire_reader){begin, begin + s.len};
}

/* 1 and a field, 0 at the end, E_INVALID for malformed bytes (groups included). */
int wire_next(struct wire_reader *r, struct wire_field *ret_field) MUST_CHECK;

void wire_put_bytes(struct strbuf *out, uint32_t number, struct str bytes);
void wire_put_varint(struct strbuf *out, uint32_t number, uint64_t v);
/* A sub-message: everything added between the two becomes field `number`. */
size_t wire_begin(const struct strbuf *out);
void wire_end(struct strbuf *out, size_t begin, uint32_t number);

#endif
