#ifndef DATAPLANE_UPSTREAM_CONN_POOL_H
#define DATAPLANE_UPSTREAM_CONN_POOL_H

/*
 * Connections of one thread to one host for one routing priority, protocol and transport options
 * (what makes connections differ: SNI, ALPN, whom PROXY protocol names): ready ones (the last
 * used first, so that the others may idle out), busy ones, connecting ones, and the requests that
 * wait. As in Envoy connections are started for all that wait, as many as will carry them, within
 * the limits of the circuit breakers; a request takes the first that becomes ready; when connecting
 * fails, all that wait fail.
 *
 * A pool drains when its host leaves the cluster or what shapes its connections changes: open
 * requests finish, waiting ones are still served, nothing new comes.
 */

#include <stdbool.h>

#include "dataplane/upstream/upstream.h"

struct conn_pool;

/* `options` are copied; NULL: none. A pool with options belongs to option_pools.h and goes there
 * once it is empty. */
struct conn_pool *conn_pool_new(struct host *h, enum routing_priority priority,
                                enum pool_protocol protocol,
                                const struct transport_options *options);
/* Must be empty. NULL allowed. */
void conn_pool_free(struct conn_pool *p);
bool conn_pool_is_empty(const struct conn_pool *p);
/* Closes all connections if none is in use and nobody waits; whether that was so. */
bool conn_pool_close_idle(struct conn_pool *p);
/* Attaches `rq` to a connection or queues it; may call back. */
void conn_pool_request(struct conn_pool *p, struct pool_request *rq);
void conn_pool_drain(struct conn_pool *p);

#endif
