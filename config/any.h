#ifndef CONFIG_ANY_H
#define CONFIG_ANY_H

/*
 * What is inside an Any: a native message, or a TypedStruct (udpa.type.v1, xds.type.v3) that holds
 * one as a Struct. Main thread.
 */

#include <protobuf-c/protobuf-c.h>

#include "config/parse/context.h"
#include "proto/google/protobuf/any.pb-c.h"

/* The full name of the message inside, seen through TypedStruct; empty for an empty Any. Points
 * into the Any. */
struct str any_type_name(const Google__Protobuf__Any *any);

/* Unpacks the inner message, which must be `d`, into `scratch`; reports its unsupported fields.
 * The path in ctx names the Any. */
int any_unpack(struct parse_context *ctx, const Google__Protobuf__Any *any,
               const ProtobufCMessageDescriptor *d, struct arena *scratch,
               ProtobufCMessage **ret_message) MUST_CHECK;

#endif
