#ifndef DATAPLANE_UPSTREAM_OPTION_POOLS_H
#define DATAPLANE_UPSTREAM_OPTION_POOLS_H

/*
 * The pools of one host for requests with transport options (an SNI of their own, ALPN, the client
 * that PROXY protocol names): made when first asked for, freed when their last connection is gone.
 * Those that are in use are as many as the circuit breakers allow; of too many, idle ones are
 * closed. One thread.
 */

#include "dataplane/upstream/upstream.h"

struct conn_pool;
struct option_pools;

/* `options->hash` is not 0. */
struct conn_pool *option_pools_get(struct host *h, enum routing_priority priority,
                                   enum pool_protocol protocol,
                                   const struct transport_options *options);
/* `p` is empty: frees it. */
void option_pools_remove(struct conn_pool *p);
/* NULL: 0. */
size_t option_pools_count(const struct option_pools *ops);
void option_pools_drain(struct option_pools *ops); /* NULL allowed */
/* All are empty. NULL allowed. */
void option_pools_free(struct option_pools *ops);

#endif
