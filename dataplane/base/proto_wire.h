#ifndef DATAPLANE_BASE_PROTO_WIRE_H
#define DATAPLANE_BASE_PROTO_WIRE_H

/*
 * Writes protobuf's wire format into a strbuf: for messages that are made often and read elsewhere,
 * such as log entries, where building a tree of structs first would cost more than the bytes. No
 * schema: who writes knows the numbers. As proto3, values that are zero or empty are left out.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"

void proto_u64(struct strbuf *b, uint32_t field, uint64_t v);
void proto_bool(struct strbuf *b, uint32_t field, bool v);
void proto_fixed64(struct strbuf *b, uint32_t field, uint64_t v);
void proto_double(struct strbuf *b, uint32_t field, double v);
void proto_bytes(struct strbuf *b, uint32_t field, struct str s);
/* A string: bytes that are no UTF-8 become '!', as Envoy has them. */
void proto_string(struct strbuf *b, uint32_t field, struct str s);
/* The same also when it is empty: in a oneof, or among repeated ones. */
void proto_string_always(struct strbuf *b, uint32_t field, struct str s);
/* Also when they are zero, for the same places. */
void proto_u64_always(struct strbuf *b, uint32_t field, uint64_t v);
void proto_double_always(struct strbuf *b, uint32_t field, double v);
/* Tag and length alone; the caller adds the `len` bytes. */
void proto_length(struct strbuf *b, uint32_t field, size_t len);
size_t proto_length_bytes(uint32_t field, size_t len);

/* A message in a field: what is written between begin and end is its content. */
size_t proto_begin(struct strbuf *b, uint32_t field);
void proto_end(struct strbuf *b, size_t begun);
/* The same for a string: bytes that are no UTF-8 become '!'. */
void proto_end_string(struct strbuf *b, size_t begun);
/* The same, but nothing at all when it has no content. */
void proto_end_unless_empty(struct strbuf *b, uint32_t field, size_t begun);

#endif
