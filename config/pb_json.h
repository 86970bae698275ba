#ifndef CONFIG_PB_JSON_H
#define CONFIG_PB_JSON_H

/*
 * protobuf-c to JSON as Envoy's admin prints it: proto field names, defaults left out, Any opened
 * with "@type", 64-bit integers as strings, Durations as "1.5s", secrets as "[redacted]". Of an Any
 * whose type is not in the subset only "@type" is printed: its bytes may hold a key. What is nested
 * too deeply to print is "...". Main thread.
 */

#include <protobuf-c/protobuf-c.h>

#include "config/field_mask.h"
#include "dataplane/base/json.h"

void pb_json(struct json_writer *w, const ProtobufCMessage *m);
/* The same from serialized bytes; an empty object when they are malformed. With a mask, only the
 * fields that it names. NULL: all. */
void pb_json_bytes(struct json_writer *w, const ProtobufCMessageDescriptor *d, const uint8_t *bytes,
                   size_t len, const struct field_mask *mask);
/* Serialized bytes of a message, printed as an opened Any with this type URL. */
void pb_json_any(struct json_writer *w, struct str type_url, const uint8_t *bytes, size_t len,
                 const struct field_mask *mask);

#endif
