#ifndef CONFIG_MODEL_EXTENSION_H
#define CONFIG_MODEL_EXTENSION_H

/*
 * The descriptor that every extension embeds as its first member `ext`. Extensions are found by
 * category and type URL; their names in configuration are free text.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;
struct parse_context; /* config/parse/context.h */

enum extension_category {
    EXT_NETWORK_FILTER,
    EXT_LISTENER_FILTER,
    EXT_HTTP_FILTER,
    EXT_DOWNSTREAM_TRANSPORT_SOCKET,
    EXT_UPSTREAM_TRANSPORT_SOCKET,
    EXT_ACCESS_LOGGER,
    EXT_CLUSTER_TYPE,
    EXT_LOAD_BALANCING_POLICY,
    EXT_UPSTREAM_OPTIONS, /* typed_extension_protocol_options */
    EXT_REQUEST_ID,
    EXT_ORIGINAL_IP_DETECTION,
    EXT_EARLY_HEADER_MUTATION,
    EXT_DNS_RESOLVER,
    EXT_HEADER_FORMATTER, /* stateful ones, of HTTP/1 */
    EXT_STAT_SINK,
    EXT_RESOURCE_MONITOR,
    EXT_CATEGORY_COUNT
};

const char *extension_category_name(enum extension_category c);

struct extension {
    const char *name; /* "envoy.filters.http.router" */
    enum extension_category category;
    bool is_terminal; /* network and HTTP filters: must stand last in its chain, and last must be so
                       */
    bool negotiates_alpn;                                         /* transport sockets */
    const struct ProtobufCMessageDescriptor *descriptor;          /* of the configuration message */
    const struct ProtobufCMessageDescriptor *override_descriptor; /* per-route message, or NULL */
    /* Validates and turns the message into the extension's own immutable struct in
     * parse_arena(ctx); the path in ctx already names the place. Reports every name it refers to
     * (parse_cluster_slot, ...). NULL `parse`: the message carries nothing to keep. */
    int (*parse)(struct parse_context *ctx, const struct ProtobufCMessage *msg,
                 const void **ret_config);
    /* Same, for the per-route message. */
    int (*parse_override)(struct parse_context *ctx, const struct ProtobufCMessage *msg,
                          const void **ret_config);
};

/* The whole table: {&http_filter_router.ext, ...}, built by dataplane/extensions/registry.c and
 * handed to config/ by main. Searched with extension_find (config/parse/extension.h). */
struct extension_registry {
    const struct extension *const *extensions;
    size_t count;
};

#endif
