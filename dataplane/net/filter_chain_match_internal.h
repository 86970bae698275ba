#ifndef DATAPLANE_NET_FILTER_CHAIN_MATCH_INTERNAL_H
#define DATAPLANE_NET_FILTER_CHAIN_MATCH_INTERNAL_H

/* Shared by filter_chain_match.c and filter_chain_overlap.c. */

#include "config/model/listener.h"
#include "dataplane/base/error.h"

/* E_EXISTS, in Envoy's words, for the first chain that wants what an earlier one wants. */
int filter_chain_check_overlap(const struct listener_config *l, struct error *reterr) MUST_CHECK;

#endif
