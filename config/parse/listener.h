#ifndef CONFIG_PARSE_LISTENER_H
#define CONFIG_PARSE_LISTENER_H

/* Listener to its model; each filter chain becomes a part of its own. Main thread. */

#include "config/model/listener.h"
#include "config/parse/context.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"

/*
 * Fills `ret` except `ret->part`, which is ctx->part. A chain that stands unchanged in `previous`
 * (NULL: none) is shared with it, so that its connections live on. What a chain names is among the
 * chain's own dependencies; its subscriptions are reported through ctx. The listener's part holds
 * one reference to each chain, also when this fails.
 * Whether two chains match the same is for net/filter_chain_match.h to say.
 */
int parse_listener(struct parse_context *ctx, const Envoy__Config__Listener__V3__Listener *m,
                   const struct listener_config *previous, struct listener_config *ret) MUST_CHECK;

#endif
