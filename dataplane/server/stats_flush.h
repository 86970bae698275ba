#ifndef DATAPLANE_SERVER_STATS_FLUSH_H
#define DATAPLANE_SERVER_STATS_FLUSH_H

/*
 * Flushes statistics to the sinks of the bootstrap: at an interval, or whenever an admin looks at
 * them; histograms then begin a new interval, with sinks or without. Main thread.
 */

#include "config/bootstrap.h"

struct stat_store;
struct stats_flusher;
struct thread_context;

/* `refresh` brings up to date what is only counted when somebody looks. Never NULL. */
struct stats_flusher *stats_flusher_new(const struct stats_flush_config *c,
                                        struct thread_context *t, struct stat_store *stats,
                                        void (*refresh)(void *ctx), void *ctx);
/* The first flush is one interval away. Clusters are there from now on. */
void stats_flusher_start(struct stats_flusher *f);
/* With stats_flush_on_admin, else nothing. */
void stats_flusher_on_admin(struct stats_flusher *f);
/* A last flush, then no more; before the thread's clusters go. */
void stats_flusher_stop(struct stats_flusher *f);
/* NULL allowed. */
void stats_flusher_free(struct stats_flusher *f);

#endif
