#ifndef CONFIG_PARSE_LISTENER_INTERNAL_H
#define CONFIG_PARSE_LISTENER_INTERNAL_H

/* Shared by listener.c and filter_chain.c. */

#include "config/parse/listener.h"

/* One chain, shared with `previous` when it stands there unchanged. `hint`: where in `previous` it
 * may be found, moved on for the next one: of ten thousand chains in order, each is found at once.
 * ctx is the listener's; its part gets the reference. */
int parse_filter_chain(struct parse_context *ctx, const Envoy__Config__Listener__V3__FilterChain *m,
                       const struct listener_config *previous, size_t *hint,
                       const struct filter_chain_config **ret) MUST_CHECK;

#endif
