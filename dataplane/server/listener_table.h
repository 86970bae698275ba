#ifndef DATAPLANE_SERVER_LISTENER_TABLE_H
#define DATAPLANE_SERVER_LISTENER_TABLE_H

/*
 * A worker's listeners by their configured addresses, for connections whose destination was
 * restored (use_original_dst). Thousands of them do not bind: Istio has one per service. Worker
 * thread.
 */

#include "config/model/listener.h"
#include "dataplane/base/map.h"

struct worker_listener;

struct listener_table {
    struct map by_address;
};

void listener_table_init(struct listener_table *t);
void listener_table_done(struct listener_table *t);
/* Under all IP addresses of `l`; the later one counts where two have the same. */
void listener_table_add(struct listener_table *t, const struct listener_config *l,
                        struct worker_listener *wl);
void listener_table_remove(struct listener_table *t, const struct listener_config *l,
                           const struct worker_listener *wl);
/* As Envoy: exactly this address, else every address with its port; NULL: none. */
struct worker_listener *listener_table_find(const struct listener_table *t,
                                            const struct address *destination);

#endif
