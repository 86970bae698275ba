#ifndef CONFIG_PARSE_CANONICAL_H
#define CONFIG_PARSE_CANONICAL_H

/*
 * Whether two serialized messages say the same although their maps are in another order: control
 * planes written in Go write maps in random order, also inside of Any. Safe on any bytes; bytes
 * are compared without allocating. Any thread.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Independent of the order of map entries, dependent on all else. An Any is looked into when its
 * type is known; what cannot be read counts as it stands. */
uint64_t config_canonical_hash(const ProtobufCMessageDescriptor *d, const uint8_t *bytes,
                               size_t len);

/* Of a message that is not in bytes. */
uint64_t config_message_hash(const ProtobufCMessage *m);

bool config_canonical_equal(const ProtobufCMessageDescriptor *d, const uint8_t *a, size_t a_len,
                            const uint8_t *b, size_t b_len);

#endif
