#ifndef DATAPLANE_NET_FILTER_CHAIN_MATCH_H
#define DATAPLANE_NET_FILTER_CHAIN_MATCH_H

/*
 * Chooses a filter chain with Envoy's precedence: destination port, destination prefix, server
 * name, transport protocol, application protocols, direct source prefix, source type, source
 * prefix, source port; each level takes the most specific group and never goes back. Immutable
 * once built, read by all workers.
 */

#include "config/model/listener.h"
#include "dataplane/base/address.h"
#include "dataplane/base/error.h"

struct filter_chain_index;

struct filter_chain_key {
    const struct address *destination; /* local address, restored when original_dst says */
    const struct address *source;
    const struct address *direct_source;
    struct str server_name; /* lower case, empty for none */
    struct str transport_protocol;
    const struct str *application_protocols;
    size_t application_protocol_count;
};

/* Main thread. E_EXISTS when two chains have the same match (reterr in Envoy's words). */
int filter_chain_index_new(const struct listener_config *l, struct filter_chain_index **ret,
                           struct error *reterr) MUST_CHECK;
void filter_chain_index_free(struct filter_chain_index *ix);
/* The default chain when nothing matches; NULL when there is none either. */
const struct filter_chain_config *filter_chain_index_find(const struct filter_chain_index *ix,
                                                          const struct filter_chain_key *key);

#endif
