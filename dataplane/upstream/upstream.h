#ifndef DATAPLANE_UPSTREAM_UPSTREAM_H
#define DATAPLANE_UPSTREAM_UPSTREAM_H

/*
 * What the router (and tcp_proxy, and the small clients) use of upstream/: find a cluster, pick a
 * host, get a stream on a pooled connection. All on one thread, all without locks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/base/list.h"
#include "dataplane/codec/codec.h"
#include "dataplane/stats/stats.h"

struct conn;
struct transport_options;
struct transport_socket;
struct cluster; /* a worker's cluster: config handle, hosts, pools, stats; plainly counted */
struct host;
struct cluster_manager;
struct thread_context;
struct route_forward;
struct snapshot_change;
struct weighted_cluster;

/* --- cluster manager: server/ drives it ------------------------------------------------- */
struct cluster_manager *cluster_manager_new(struct thread_context *t);
void cluster_manager_free(struct cluster_manager *cm);
/* Applies one change of kind PART_CLUSTER or PART_ENDPOINTS. The caller keeps part_handles. */
void cluster_manager_apply(struct cluster_manager *cm, const struct snapshot_change *c);

/* NULL: no such cluster in the version this thread has. Not counted: ref it to keep it. */
struct cluster *cluster_manager_get(struct cluster_manager *cm, uint32_t slot);
struct cluster *cluster_manager_find(struct cluster_manager *cm, struct str name);
/* That of a route: of its weighted cluster `w` where there is one (else NULL), or named by a header
 * of the request. `ret_name` lives as long as route and request. NULL as above. */
struct cluster *cluster_manager_routed(struct cluster_manager *cm, const struct route_forward *fwd,
                                       const struct weighted_cluster *w,
                                       const struct header_map *request, struct str *ret_name);
void cluster_ref(struct cluster *c);
void cluster_unref(struct cluster *c);
const struct cluster_config *cluster_config_of(const struct cluster *c);
struct stat_block *cluster_stats(struct cluster *c);
/* track_cluster_stats: enum cluster_size_stat, enum cluster_budget_stat; NULL: not tracked. */
struct stat_block *cluster_size_stats(struct cluster *c);
struct stat_block *cluster_budget_stats(struct cluster *c);

/* --- hosts and load balancing ----------------------------------------------------------- */
struct lb_context {
    uint64_t hash; /* for consistent hashing */
    bool has_hash;
    enum routing_priority priority;
    /* Retries: hosts to avoid; NULL for none. */
    bool (*avoid)(void *user, const struct host *h);
    void *user;
};

/* NULL: no healthy host (counted as upstream_cx_none_healthy by the caller's pool request).
 * Referenced for the caller. */
struct host *cluster_pick(struct cluster *c, const struct lb_context *ctx);
void host_ref(struct host *h);
void host_unref(struct host *h);
const struct address *host_address(const struct host *h);
struct str host_name(const struct host *h); /* Endpoint.hostname or the DNS name */
/* Where its metadata stands, for as long as the host is held. */
const struct value *const *host_metadata(const struct host *h);
/* What its connections speak through: that of the first of transport_socket_matches that is its,
 * else the cluster's; NULL: raw. */
const struct transport_socket *host_transport(const struct host *h);
/* Lives as long as the version of the cluster. */
const void *host_transport_config(const struct host *h);
/* Whether in the end they are encrypted. */
bool host_is_secure(const struct host *h);

/* --- streams on pooled connections -------------------------------------------------------- */
enum pool_failure {
    POOL_FAILURE_OVERFLOW,        /* too many waiting: UO */
    POOL_FAILURE_ACTIVE_OVERFLOW, /* too many open, with a connection at hand: UO */
    POOL_FAILURE_LOCAL_CONNECT,   /* UF, could not even try */
    POOL_FAILURE_REMOTE_CONNECT,  /* UF */
    POOL_FAILURE_CONNECT_TIMEOUT, /* UF */
};

/* As what kind of reset a stream that got no connection shows itself. */
enum stream_reset_reason pool_failure_reset_reason(enum pool_failure f);

/* What is spoken on a pooled connection; each has pools of its own. */
enum pool_protocol {
    POOL_HTTP1,
    POOL_HTTP2,
    POOL_HTTP_AUTO, /* one of these two, as each connection negotiates */
    POOL_TCP,
    POOL_PROTOCOL_COUNT
};

/* For a request that came in as `downstream`: what the cluster's configuration says. */
enum pool_protocol cluster_pool_protocol(const struct cluster *c, enum http_protocol downstream);

struct pool_request;

struct pool_request_ops {
    /* A connection is there. The stream is opened by the callee with pool_request_open_stream
     * before it returns. `conn` details: see pool_connection_info. */
    void (*on_ready)(struct pool_request *rq);
    void (*on_failure)(struct pool_request *rq, enum pool_failure f, struct str transport_reason);
};

/* Embedded by the caller (in the stream's arena). */
struct pool_request {
    const struct pool_request_ops *ops;
    void *user;
    struct list node; /* while pending */
    struct cluster *cluster;
    struct host *host;
    void *pool;
    void *conn; /* set at on_ready */
    enum routing_priority priority;
    enum pool_protocol protocol; /* from on_ready on: that of the connection, never AUTO */
};

/* May call on_ready or on_failure before it returns. Refs cluster and host until done. Only
 * connections that were made with the same `options` serve it (NULL: with none); they are read
 * during the call. */
void cluster_request_stream(struct cluster *c, struct host *h, enum routing_priority priority,
                            enum pool_protocol protocol, const struct transport_options *options,
                            const struct pool_request_ops *ops, void *user,
                            struct pool_request *rq);
/* While pending: no callback afterwards. */
void pool_request_cancel(struct pool_request *rq);
/* Inside on_ready: the encoder for this request. POOL_TCP: `arena` and `headers` may be NULL, there
 * is then no answer to wait for. When the stream is complete in both directions
 * (or reset) the connection goes back to its pool by itself. */
struct codec_stream *pool_request_open_stream(struct pool_request *rq,
                                              const struct codec_stream_callbacks *cb, void *user,
                                              struct arena *arena, struct header_map *headers);

struct pool_connection_info {
    const struct address *local;
    const struct address *remote;
    enum http_protocol protocol;
    uint64_t connection_id;
    uint64_t connect_start_ns;
    uint64_t connect_end_ns;  /* of the socket, not of its transport */
    uint64_t requests_before; /* on this connection: 0 means fresh */
};
void pool_request_connection(const struct pool_request *rq, struct pool_connection_info *ret_info);
/* The connection, while the stream is open, to look at. POOL_TCP: and to set its delayed_close_ms,
 * for how long what is unwritten when both ways have ended may make no progress. */
struct conn *pool_request_conn(const struct pool_request *rq);

#endif
