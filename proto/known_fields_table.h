#ifndef PROTO_KNOWN_FIELDS_TABLE_H
#define PROTO_KNOWN_FIELDS_TABLE_H

/* The generated table, for known_fields.c alone. Offsets instead of pointers: no relocations. */

#include <stddef.h>

#include "proto/known_fields.h"

extern const char known_strings[];                  /* names, each ended by NUL */
extern const struct known_message known_messages[]; /* sorted by name */
extern const size_t known_message_count;
extern const struct known_field known_fields[];

#endif
