#ifndef DATAPLANE_UPSTREAM_TRANSPORT_MATCH_H
#define DATAPLANE_UPSTREAM_TRANSPORT_MATCH_H

/* Which of a cluster's transport_socket_matches an endpoint's connections speak through. No state.
 */

#include <stdint.h>

#include "config/model/cluster.h"

/* As Envoy: the first that the endpoint's metadata satisfies, else the first that its locality's
 * does. NULL metadata: none. NULL: the cluster's own transport socket. */
const struct transport_socket_match *transport_match_find(const struct cluster_config *c,
                                                          const struct value *endpoint_metadata,
                                                          const struct value *locality_metadata);

/* Differs where connections of one may not serve the other. NULL: 0. */
static inline uint64_t transport_match_hash(const struct transport_socket_match *m)
{
    return m == NULL ? 0 : m->hash | 1;
}

#endif
