#ifndef CONFIG_PB_TEXT_H
#define CONFIG_PB_TEXT_H

/*
 * Text nodes to protobuf-c by descriptor: the proto3 JSON mapping (both name spellings, enums by
 * name or number, Duration, wrappers, bytes, 64-bit strings, Struct, Any by "@type").
 *
 * A field that Envoy has and the subset lacks is kept as an unknown field of the message, so that
 * what reports them (parse_check_tree) sees text and wire alike. A key that nobody knows is an
 * error, or with `allow_unknown` kept as field PB_UNKNOWN_KEY with its name as the value.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "config/text_node.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

#define PB_UNKNOWN_KEY 536870911 /* the highest field number: nobody's */

struct pb_text_options {
    bool allow_unknown; /* keys and enum values that nobody knows are no error */
    const char *file;   /* in front of errors; NULL: none */
    int depth;          /* levels used by the messages around this one */
};

/* Errors: E_INVALID, "file:line:column: a.b[0].c: sentence". */
int pb_from_text(const struct text_node *node, const ProtobufCMessageDescriptor *d,
                 const struct pb_text_options *o, struct arena *a, ProtobufCMessage **ret_message,
                 struct error *reterr) MUST_CHECK;

#endif
