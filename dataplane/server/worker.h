#ifndef DATAPLANE_SERVER_WORKER_H
#define DATAPLANE_SERVER_WORKER_H

/*
 * One worker thread: its loop, its view of the published configuration and its listeners. Main
 * talks to it only through posted messages; it answers the same way.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "config/model/part_handle.h"
#include "dataplane/base/map.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/server/drain.h"
#include "dataplane/server/listener_table.h"
#include "dataplane/server/release.h"

struct keep_chain;
struct overload_manager;
struct publication;
struct snapshot_change;
struct worker_listener_slot;

struct worker {
    struct loop loop;
    struct thread_context context;
    struct part_table parts;
    struct part_releaser releaser;
    struct release_batch released;
    struct worker_listener_slot *listeners; /* by slot number */
    uint32_t listener_count;
    const struct keep_chain *keep;
    struct listener_table listener_table;
    struct map chains; /* pinned filter chains, by pointer */
    pthread_t thread;
    struct loop *main_loop;
    struct overload_manager *overload;
    uint32_t closing_listeners;
    size_t worker_count;
    struct worker *peers;        /* all workers, this one too */
    _Atomic(uint32_t) arriving;  /* others that are handing a connection over */
    _Atomic(bool) takes_nothing; /* its thread is ending */
    enum drain_direction draining;
    enum drain_direction stopped; /* these accept nothing any more */
    bool is_stopping;
    _Atomic(uint64_t) seen_version; /* newest version applied; admin shows it */
};

struct worker_params {
    int index;
    struct loop *main_loop;
    const struct thread_context *context; /* template: stats, node, access logs */
    struct overload_manager *overload;    /* NULL: never overloaded */
    size_t worker_count;
    struct worker *peers; /* `worker_count` of them, this one too */
};

/* Main thread. The thread runs when this returns 0. */
int worker_start(struct worker *w, const struct worker_params *p) MUST_CHECK;
/* Main thread: posts it; the worker applies it between two callbacks. */
void worker_publish(struct worker *w, struct publication *p);
/* Main thread: keep accepting, tell every connection to finish. */
void worker_drain(struct worker *w);
/* Main thread: the listeners of this direction drain as the process does, also later ones. */
void worker_start_drain(struct worker *w, enum drain_direction direction);
/* Main thread: those listeners stop accepting; `done` comes on main when all workers have. */
void worker_stop_listeners(struct worker *workers, size_t count, struct loop *main_loop,
                           enum drain_direction direction, void (*done)(void *user), void *user);
/* Main thread: what thread_context.drain says of health checks. */
void worker_set_health(struct worker *w, bool has_failed);
/* Main thread: accepts what is queued, closes listeners and, at the latest after `grace_ms`, the
 * connections, ends the thread; then worker_join frees what is left. `owns_sockets`: no other
 * process accepts from them. */
void worker_stop(struct worker *w, uint64_t grace_ms, bool owns_sockets);
void worker_join(struct worker *w);
/* Main thread, for the overload manager: what its levels ask of a worker beyond reading them. */
void worker_take_levels(struct worker *w); /* timeouts, upstream reads */
void worker_shrink_heap(struct worker *w);
void worker_reset_streams(struct worker *w, uint64_t min_bytes);
/* Used by main itself, which has the same view without a thread. */
void part_table_apply(struct part_table *t, struct cluster_manager *cm,
                      const struct snapshot_change *c);

#endif
