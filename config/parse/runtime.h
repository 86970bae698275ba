#ifndef CONFIG_PARSE_RUNTIME_H
#define CONFIG_PARSE_RUNTIME_H

/* The bootstrap's layered_runtime, and what RTDS brings for its layers. Main thread. */

#include "config/parse/context.h"
#include "dataplane/runtime/layers.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "proto/envoy/service/runtime/v3/rtds.pb-c.h"

/* The caller has pushed the path of the message; NULL gives no layers. Keys by which Envoy is
 * tuned and that mean nothing here are reported as unsupported. The result is in the context's
 * arena. */
int parse_layered_runtime(struct parse_context *ctx,
                          const Envoy__Config__Bootstrap__V3__LayeredRuntime *m,
                          struct runtime_config *ret) MUST_CHECK;

/* Entries of distinct keys, in the context's arena. */
int parse_runtime_resource(struct parse_context *ctx, const Envoy__Service__Runtime__V3__Runtime *m,
                           const struct runtime_entry **ret_entries, size_t *ret_count) MUST_CHECK;

#endif
