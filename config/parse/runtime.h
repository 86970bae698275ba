#ifndef CONFIG_PARSE_RUNTIME_H
#define CONFIG_PARSE_RUNTIME_H

/* The bootstrap's layered_runtime: the keys that nuncio has, as its static layers set them. Main
 * thread. */

#include "config/parse/context.h"
#include "dataplane/runtime/runtime.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"

/* The caller has pushed the path of the message; NULL gives the defaults. Keys that mean nothing
 * here are reported as unsupported. */
int parse_layered_runtime(struct parse_context *ctx,
                          const Envoy__Config__Bootstrap__V3__LayeredRuntime *m,
                          struct runtime *ret) MUST_CHECK;

#endif
