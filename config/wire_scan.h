#ifndef CONFIG_WIRE_SCAN_H
#define CONFIG_WIRE_SCAN_H

/*
 * Checks serialized bytes against a descriptor before protobuf-c sees them, for it is unsafe on
 * hostile input: no depth limit, memory many times the wire, strings cut at NUL, bad UTF-8
 * accepted. Iterative; allocates nothing.
 */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"

#define WIRE_DEPTH_MAX 100

/* What unpacking may take: a multiple of the wire plus a constant. Configuration of real control
 * planes takes 5 to 15 times its wire size. */
#define WIRE_AMPLIFICATION_MAX 40
#define WIRE_ALLOCATION_MIN (16u << 20)

/* `depth`: levels already used by the messages around this one (Any, TypedStruct). E_INVALID or
 * E_LIMIT, with the path of the field. */
int wire_scan(const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t len, int depth,
              struct error *reterr) MUST_CHECK;

#endif
