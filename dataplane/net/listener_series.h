#ifndef DATAPLANE_NET_LISTENER_SERIES_H
#define DATAPLANE_NET_LISTENER_SERIES_H

/*
 * "listener.<address>.worker_<n>.downstream_cx_{total,active}": what each thread has counted of a
 * listener, told apart; of the admin listener "main_thread." in the place of a worker's. They are
 * made and computed when stats are about to be shown. Main thread.
 */

#include "dataplane/stats/stats.h"

struct listener_series;

/* `listener`: the scope of the listener's own series, which outlives these, known as `prefix`.
 * `address`: its tag; empty: none. `worker_count` 0: the main thread serves it. */
struct listener_series *listener_series_new(struct stat_store *stats, struct stat_scope *listener,
                                            struct str prefix, struct str address,
                                            size_t worker_count);
void listener_series_free(struct listener_series *s);
void listener_series_refresh(struct listener_series *s);

#endif
