#ifndef CONFIG_PARSE_EXTENSION_H
#define CONFIG_PARSE_EXTENSION_H

/*
 * Finds the extension that an Any names (also one wrapped in a TypedStruct) and lets it read its
 * own message: filters, access loggers, transport sockets, per-route configuration. The result
 * lies in ctx->part's arena. Main thread.
 */

#include "config/model/extension.h"
#include "config/model/listener.h"
#include "config/model/route.h"
#include "config/parse/context.h"
#include "proto/envoy/config/core/v3/base.pb-c.h"
#include "proto/envoy/config/core/v3/extension.pb-c.h"
#include "proto/google/protobuf/any.pb-c.h"

/* `type_name` is the message's full name ("envoy.extensions...Router"). NULL when absent. */
const struct extension *extension_find(const struct extension_registry *r,
                                       enum extension_category category, struct str type_name);

/* The same by the per-route message's name. */
const struct extension *extension_find_override(const struct extension_registry *r,
                                                enum extension_category category,
                                                struct str type_name);

/* The extension of `category` for `any` and its parsed configuration. The caller has pushed the
 * path of the message that holds name and Any; `field` is the Any's ("typed_config"). `any` NULL
 * is as one without a type. E_UNSUPPORTED when no such type is registered, in Envoy's words. */
int parse_extension(struct parse_context *ctx, enum extension_category category, const char *name,
                    const char *field, const Google__Protobuf__Any *any,
                    struct filter_config *ret) MUST_CHECK;

/* Whether parse_extension would find one: for what may be missing (is_optional). */
bool parse_extension_is_known(const struct parse_context *ctx, enum extension_category category,
                              const Google__Protobuf__Any *any);

/* core.v3.TypedExtensionConfig: the name is required. */
int parse_typed_extension(struct parse_context *ctx, enum extension_category category,
                          const Envoy__Config__Core__V3__TypedExtensionConfig *m,
                          struct filter_config *ret) MUST_CHECK;

/* NULL: raw, both results NULL. `category` is one of the two transport socket categories. */
int parse_transport_socket(struct parse_context *ctx, enum extension_category category,
                           const Envoy__Config__Core__V3__TransportSocket *m,
                           const struct extension **ret_ext, const void **ret_config) MUST_CHECK;

/* typed_per_filter_config: by the filter's name; the values are per-route messages of HTTP filters
 * or FilterConfig around one. `entries` are the map entries of whatever message holds the map. */
int parse_filter_overrides(struct parse_context *ctx, size_t n, ProtobufCMessage *const *entries,
                           struct filter_overrides *ret) MUST_CHECK;

/* The middle two arguments for a message with the field typed_per_filter_config. */
#define FILTER_OVERRIDE_FIELDS(m)                                                                  \
    (m)->n_typed_per_filter_config, (ProtobufCMessage *const *)(m)->typed_per_filter_config

#endif
