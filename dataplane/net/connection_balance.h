#ifndef DATAPLANE_NET_CONNECTION_BALANCE_H
#define DATAPLANE_NET_CONNECTION_BALANCE_H

/*
 * How many connections of one listener each worker has, and which is to have the next: the one with
 * the fewest, exactly (Envoy's exact_balance). No lock: a worker's count is raised only from what
 * was seen. Any thread.
 */

#include <stddef.h>

#include "dataplane/base/limit.h"

struct connection_balance;

struct connection_balance *connection_balance_new(size_t worker_count);
void connection_balance_free(struct connection_balance *b); /* NULL allowed */
/* The worker accepts for the listener from here on, may be given connections; and not any more. */
void connection_balance_join(struct connection_balance *b, size_t worker);
void connection_balance_leave(struct connection_balance *b, size_t worker);
/* Of those that accept, the one with the fewest, `own` where it has no more than they; it has one
 * more from here on, until `*ret_share` is given back. */
size_t connection_balance_pick(struct connection_balance *b, size_t own, struct limit **ret_share);
/* What the worker's connections count against. */
struct limit *connection_balance_share(struct connection_balance *b, size_t worker);

#endif
