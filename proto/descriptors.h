#ifndef PROTO_DESCRIPTORS_H
#define PROTO_DESCRIPTORS_H

/* All messages of the subset, sorted by full name; written by descriptors.py at build time. */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

extern const ProtobufCMessageDescriptor *const proto_descriptors[];
extern const size_t proto_descriptor_count;

#endif
