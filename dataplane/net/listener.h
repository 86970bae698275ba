#ifndef DATAPLANE_NET_LISTENER_H
#define DATAPLANE_NET_LISTENER_H

/*
 * A worker's side of a listener: its sockets, accepting, choosing the filter chain, the
 * connections it has. Sockets are made and bound on main (listen_socket.h), so that a bind error
 * is a NACK; workers only open them.
 *
 * Update: worker_listener_update swaps the configuration under the same sockets. Connections pin
 * their filter chain; those whose chain is gone or changed are drained, the others never notice.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/listener.h"
#include "dataplane/base/list.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/filter_chain_match.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/net/network_filter.h"
#include "dataplane/stats/stats.h"

struct connection_balance;
struct overload;
struct thread_context;
struct worker_listener;

/* "listener.<address>." and per worker are Envoy's names. */
enum listener_stat {
    LISTENER_CONNECTIONS_ACCEPTED_PER_SOCKET_EVENT,
    LISTENER_DOWNSTREAM_CX_TOTAL,
    LISTENER_DOWNSTREAM_CX_DESTROY,
    LISTENER_DOWNSTREAM_CX_ACTIVE,
    LISTENER_DOWNSTREAM_CX_LENGTH_MS,
    /* nuncio's own: accepting rested because the system had no descriptor or memory for it. */
    LISTENER_DOWNSTREAM_CX_ACCEPT_PAUSED,
    LISTENER_DOWNSTREAM_CX_OVERFLOW,
    LISTENER_DOWNSTREAM_CX_OVERLOAD_REJECT,
    LISTENER_DOWNSTREAM_CX_TRANSPORT_SOCKET_CONNECT_TIMEOUT,
    LISTENER_DOWNSTREAM_GLOBAL_CX_OVERFLOW,
    LISTENER_DOWNSTREAM_LISTENER_FILTER_ERROR,
    LISTENER_DOWNSTREAM_LISTENER_FILTER_REMOTE_CLOSE,
    LISTENER_DOWNSTREAM_PRE_CX_ACTIVE,
    LISTENER_DOWNSTREAM_PRE_CX_TIMEOUT,
    LISTENER_NO_FILTER_CHAIN_MATCH,
    LISTENER_STAT_COUNT
};
extern const struct stat_schema listener_stat_schema;

/* One accepted connection with its filters. */
struct listener_connection {
    struct conn *conn;
    struct worker_listener *listener;
    struct thread_context *thread;
    const struct overload *overload; /* NULL: never overloaded */
    const struct filter_chain_config *chain;
    uint32_t buffer_limit_bytes; /* what filters may hold back: as configured, else 1 MiB */
    struct list node;            /* in the listener's connections */
    size_t filter_count;
    size_t opened_count;      /* filters that have state */
    size_t started_count;     /* filters whose on_new_connection has run */
    struct stat_block *stats; /* the listener's */
    bool is_draining;         /* has been told: filters finish what is open */
    bool is_leaving; /* its chain or listener has gone: closed when the drain time is over */
    uint64_t drain_since_ms; /* a drain has begun of which it will be told; 0: none */
    uint64_t accepted_ns;
    struct connection_info *info; /* what listener filters found; NULL: nothing */
    struct str requested_server_name;
    struct str cluster_name; /* where tcp_proxy goes instead (sni_cluster); empty: as configured */
    struct network_filter filters[];
};

/* Unwritten output that pauses the producer when per_connection_buffer_limit_bytes is not set:
 * smaller than Envoy's 1 MiB, because streaming needs no more. */
#define LISTENER_DEFAULT_WATERMARK (32u * 1024)
#define LISTENER_DEFAULT_BUFFER_LIMIT (1024u * 1024)

/* Its current version. */
const struct listener_config *worker_listener_config(const struct worker_listener *wl);

/* A connection that has ended, or never became one, for the listener's access logs. */
struct listener_log {
    const struct listener_config *config;
    struct conn *conn; /* NULL: it got no further than its socket */
    const struct address *remote;
    const struct address *local;
    const struct connection_info *info; /* NULL: nothing */
    const struct filter_chain_config *chain;
    const struct worker_listener *listener;
    uint64_t accepted_ns;
    struct str termination_details; /* why we ended it; empty: the peer did, or a filter knows */
    bool has_no_chain;              /* none matched */
};

/* What a connection that was let in counts against; its conn gives it back. */
struct admission {
    struct limit *limits[CONN_LIMITS]; /* NULL: nothing */
};

/* A connection that is let in, on its way to the worker that will have it. */
struct accepted_socket {
    int fd;
    bool is_unix;
    struct address remote;
    struct address local;
    struct admission admission;
};

struct worker_listener_params {
    struct thread_context *thread;
    const struct listener_config *config; /* borrowed; pinned by the caller's part handle */
    const struct filter_chain_index *chains;
    const int *fds; /* all that this worker accepts from; duplicated, not taken over */
    size_t fd_count;
    struct stat_scope *scope;
    struct limit *limit; /* counts its connections over all workers; NULL: nobody; outlives them */
    /* Which worker is to have a connection; NULL: the one that accepts it. Outlives them. */
    struct connection_balance *balance;
    /* Takes the connection to the same listener of another worker, where it is given to
     * worker_listener_take, or accepted_socket_drop. */
    void (*hand_over)(void *user, struct worker_listener *wl, size_t worker,
                      const struct accepted_socket *take_accepted);
    /* A connection holds (delta +1) or lets go of (-1) its filter chain: server/ keeps the
     * handle. */
    void (*chain_ref)(void *user, const struct filter_chain_config *chain, int delta);
    /* The listener that takes connections to `destination`, for use_original_dst; NULL: none. NULL
     * where there is no other. */
    struct worker_listener *(*find_listener)(void *user, const struct address *destination);
    /* Only called when the listener has access logs. NULL: nobody logs. */
    void (*log)(void *user, const struct listener_log *l);
    void *user;
};

/* E_SYS. Starts accepting at once. */
int worker_listener_new(const struct worker_listener_params *p,
                        struct worker_listener **ret) MUST_CHECK;
/* A connection that another worker has accepted. */
void worker_listener_take(struct worker_listener *wl, const struct accepted_socket *take_accepted);
/* There is no such listener any more. */
void accepted_socket_drop(const struct accepted_socket *take_accepted);
/* New configuration under the same name. `keep_chain(user, chain)` says which of the old chains
 * the new version still has; connections on others drain (GOAWAY, connection: close), all at once
 * where only chains have changed, else as the process drains, and are closed at the latest after
 * `drain_ms`. fds may differ: sockets not in the new list are closed
 * after accepting what is queued on them. Connections in inspection go on with the listener
 * filters of the old version and choose among the chains of the new one. `released` comes, maybe at
 * once, when nothing of the old version but the chains that connections hold is used any more. */
int worker_listener_update(struct worker_listener *wl, const struct worker_listener_params *p,
                           bool (*keep_chain)(void *user, const struct filter_chain_config *chain),
                           uint64_t drain_ms, void (*released)(void *user),
                           void *released_user) MUST_CHECK;
/* Stops accepting, drains connections (as the process drains, unless they were told before), closes
 * them at the latest after `drain_ms`, then calls on_closed and frees itself. */
void worker_listener_close(struct worker_listener *wl, bool accept_queued, uint64_t drain_ms,
                           void (*on_closed)(void *user), void *user);
/* Before worker_listener_close when the sockets end with it (nobody else listens on them): no new
 * connection is queued from here on, so that none is cut off between the last accept and the end of
 * the socket. Clients that come now try again a second later. */
void worker_listener_stop_queueing(struct worker_listener *wl);
/* Draining as a whole (SIGTERM): keep accepting, tell every connection to finish. */
void worker_listener_drain(struct worker_listener *wl);
/* The same as the process drains (thread_context.drain.policy): gradually, where it says so. */
void worker_listener_start_drain(struct worker_listener *wl);
/* Accepts what is queued, then nothing more; connections go on. */
void worker_listener_stop_accepting(struct worker_listener *wl);
/* Whether the next response, or byte, on the connection ought to be its last: it was told to drain,
 * or is to be told by now. Asked again it may answer otherwise: gradual drains throw dice. */
bool listener_connection_wants_drain(const struct listener_connection *lc);
/* OVERLOAD_REDUCE_TIMEOUTS has another level: every connection looks at its deadlines. */
void worker_listener_scale_timeouts(struct worker_listener *wl);
/* OVERLOAD_RESET_HIGH_MEMORY_STREAM: ends at most `most` streams that hold `min_bytes` or more.
 * Returns how many. */
size_t worker_listener_reset_streams(struct worker_listener *wl, uint64_t min_bytes, size_t most);
size_t worker_listener_connections(const struct worker_listener *wl);

#endif
