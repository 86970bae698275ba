#ifndef DATAPLANE_UPSTREAM_CONN_POOL_H
#define DATAPLANE_UPSTREAM_CONN_POOL_H

/*
 * Connections of one thread to one host for one routing priority and protocol: ready ones (the last
 * used first, so that the others may idle out), busy ones, connecting ones, and the requests that
 * wait. As in Envoy connections are started for all that wait, as many as will carry them, within
 * the limits of the circuit breakers; a request takes the first that becomes ready; when connecting
 * fails, all that wait fail.
 *
 * A pool drains when its host leaves the cluster or what shapes its connections changes: open
 * requests finish, waiting ones are still served, nothing new comes.
 */

#include "dataplane/upstream/upstream.h"

struct conn_pool;

struct conn_pool *conn_pool_new(struct host *h, enum routing_priority priority,
                                enum pool_protocol protocol);
/* Must be empty. NULL allowed. */
void conn_pool_free(struct conn_pool *p);
/* Attaches `rq` to a connection or queues it; may call back. */
void conn_pool_request(struct conn_pool *p, struct pool_request *rq);
void conn_pool_drain(struct conn_pool *p);

#endif
