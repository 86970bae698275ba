#ifndef CONFIG_PARSE_OVERLOAD_H
#define CONFIG_PARSE_OVERLOAD_H

/* The bootstrap's overload_manager. Main thread. */

#include "config/model/overload.h"
#include "config/parse/context.h"
#include "proto/envoy/config/overload/v3/overload.pb-c.h"

/* The caller has pushed the path of the message. NULL: none is configured. `is_memory_limited`: the
 * control group limits memory; unless the message has a monitor of memory, nuncio's own rules are
 * added, which shed before the kernel would kill (dataplane/overload/README.md). */
int parse_overload_manager(struct parse_context *ctx,
                           const Envoy__Config__Overload__V3__OverloadManager *m,
                           bool is_memory_limited, struct overload_config *ret) MUST_CHECK;

#endif
