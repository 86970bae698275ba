#ifndef DATAPLANE_SERVER_LISTENER_MANAGER_H
#define DATAPLANE_SERVER_LISTENER_MANAGER_H

/*
 * Main's side of listeners: sockets (made, bound, shared between versions and handed from a
 * removed listener to a new one on the same address), chain indexes, stat scopes, and Envoy's
 * verdicts on addresses. Main thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/listener.h"
#include "dataplane/base/error.h"
#include "dataplane/base/limit.h"
#include "dataplane/base/list.h"
#include "dataplane/net/filter_chain_match.h"
#include "dataplane/net/listen_socket.h"
#include "dataplane/server/drain.h"
#include "dataplane/stats/stats.h"

struct listener_manager;
struct config_store;
struct connection_balance;
struct hot_restart;
struct listener_series;

/* What workers need beside the model of one listener version. Counted on main: one by the manager
 * while it is the newest, one per publication, one per worker. Immutable. */
struct listener_version {
    struct list node;
    uint32_t refs;
    size_t *version_count;                /* of versions that exist */
    uint32_t opens;                       /* workers that have its sockets open, or are about to */
    const struct listener_config *config; /* its part is referenced */
    struct filter_chain_index *chains;
    struct listener_scope *scope;
    struct listener_count *count;
    size_t socket_count;
    struct listen_socket *sockets[];
};

/* The stat scope "listener.<address>." outlives the versions that share it. */
struct listener_scope {
    uint32_t refs;
    struct stat_scope *stats;
    struct listener_series *series;
};

/* How many connections a listener has, whatever its version: those share it by name. Counted by
 * versions, and by connections between two workers. */
struct listener_count {
    struct limit connections;
    struct connection_balance *balance;
    _Atomic(uint32_t) refs;
};

/* `version_count` counts the versions that exist, also after the manager is gone. */
struct listener_manager *listener_manager_new(struct stat_store *stats, size_t worker_count,
                                              size_t *version_count);
void listener_manager_free(struct listener_manager *m);
/* NULL: no sockets of a process before this one. */
void listener_manager_set_hot_restart(struct listener_manager *m, struct hot_restart *h);
/* The socket that is bound to `a`, for another process; NULL: none. It has the file names from then
 * on, unless the sockets are taken back. */
const struct listen_socket *listener_manager_hand_over(struct listener_manager *m,
                                                       const struct address *a);
void listener_manager_take_back(struct listener_manager *m);
void listener_manager_set_store(struct listener_manager *m, const struct config_store *s);

/* config_store_ops.listener_prepare and listener_discard. */
int listener_manager_prepare(struct listener_manager *m, const struct listener_config *l,
                             const struct listener_config *before, struct error *reterr);
void listener_manager_discard(struct listener_manager *m, const struct listener_config *l);
/* The prepared version of a listener that is being published: starts listening on sockets that do
 * not yet. Referenced for the caller. A listen error is logged and counted: the bind was good. */
struct listener_version *listener_manager_publish(struct listener_manager *m,
                                                  const struct listener_config *l);
/* A worker opens the sockets of a version; it has closed them, or a later version has them. The
 * last one closes main's, unless the version is the newest: the port refuses while connections
 * drain. */
void listener_version_open(struct listener_version *v);
void listener_version_close(struct listener_version *v);
void listener_version_ref(struct listener_version *v);
void listener_version_unref(struct listener_version *v); /* NULL allowed */
/* Any thread, which has a version of it. */
void listener_count_ref(struct listener_count *n);
void listener_count_unref(struct listener_count *n); /* any thread; NULL allowed */
/* From here on no listener of that direction gets sockets. */
void listener_manager_stop(struct listener_manager *m, enum drain_direction direction);
/* Once the workers have let go of them: closes the sockets of stopped listeners. How many listeners
 * there were. */
size_t listener_manager_close_sockets(struct listener_manager *m);
/* Listeners that have been replaced or removed and still have connections. */
/* Series that are computed when stats are shown. */
void listener_manager_refresh_stats(const struct listener_manager *m);
size_t listener_manager_draining(const struct listener_manager *m);
/* One reference on every chain of the listener, for one worker. */
void listener_ref_chains(const struct listener_config *l);

/* "127.0.0.1:10000" as bound (port 0 resolved), for admin. */
typedef void listener_visit_fn(void *user, const struct listener_version *v);
void listener_manager_visit(const struct listener_manager *m, listener_visit_fn *visit, void *user);
/* Connections open on all listeners, summed from the stats. */
uint64_t listener_manager_active_connections(const struct listener_manager *m);

#endif
