#ifndef DATAPLANE_UPSTREAM_CONN_POOL_INTERNAL_H
#define DATAPLANE_UPSTREAM_CONN_POOL_INTERNAL_H

/* What conn_pool.c (who gets which connection) and pool_conn.c (what happens on one) share. */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/list.h"
#include "dataplane/codec/codec.h"
#include "dataplane/codec/h2_keepalive.h"
#include "dataplane/event/deferred.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/conn_pool.h"

#define POOL_CONN_MAGIC MAGIC('P', 'C', 'O', 'N')

enum pool_conn_state {
    POOL_CONN_CONNECTING,
    POOL_CONN_READY,    /* can carry one more request */
    POOL_CONN_BUSY,     /* carries as many as it can */
    POOL_CONN_DRAINING, /* carries its last requests, or is about to close */
    POOL_CONN_CLOSED,
};

/* What differs from one protocol to another. */
struct pool_protocol_type {
    enum pool_protocol protocol;
    const struct str *alpn; /* offered where nothing else is configured */
    size_t alpn_count;
    /* NULL: not known before the connection is there. */
    struct codec *(*new_codec)(const struct codec_callbacks *callbacks, void *owner,
                               struct buf *out, const struct codec_limits *limits);
    enum cluster_stat cx_total; /* counted with upstream_cx_total, unless it is that itself */
    /* One request at a time: bytes that nobody asked for are an error, a FIN may end a message. */
    bool is_serial;
    bool is_half_close_enabled;
};

struct conn_pool {
    struct host *host; /* owns the pool */
    struct loop *loop;
    const struct pool_protocol_type *type; /* AUTO: that of the last connection */
    enum routing_priority priority;
    enum pool_protocol protocol;
    struct transport_options *options; /* NULL: none */
    struct conn_pool *next_same;       /* of equal hash of `options`, in option_pools */
    struct list used_node;             /* in option_pools */
    struct list ready;                 /* of pool_conn, last used first */
    struct list busy;                  /* BUSY and DRAINING */
    struct list connecting;
    struct list pending; /* of pool_request, oldest first */
    uint32_t pending_count;
    uint32_t max_streams; /* that the host's last connection allowed; 0: unknown, or none */
    uint64_t promised;    /* the sum over its connections */
    bool is_draining;
    struct loop_task serve_task; /* who waits is seen to at the end of a turn */
};

/* What HTTP/2 needs for one connection. */
struct pool_http2 {
    struct http2_options options; /* a copy: the cluster's configuration may be replaced */
    struct h2_keepalive keepalive;
};

struct pool_conn {
    uint32_t magic;
    enum pool_conn_state state;
    struct conn_pool *pool;
    const struct pool_protocol_type *type;
    struct host *host;                 /* referenced */
    struct part_handle *config_handle; /* what its transport was configured by */
    struct conn *conn;                 /* NULL between two attempts and once closed */
    struct codec *codec;               /* NULL before it is connected */
    struct list node;                  /* in one of the pool's lists */
    struct timer idle_timer;
    struct timer duration_timer;
    struct deferred deferred;
    struct loop_task pending_task; /* the codec holds what came, for streams that are read again */
    struct pool_http2 *http2;      /* NULL for other protocols and before it is connected */
    struct codec_stream *stream;   /* the only one, of serial protocols */
    uint32_t active;   /* requests being carried; each holds a reference on its cluster */
    uint32_t capacity; /* for `active`, as far as is known now */
    uint32_t assumed;  /* the capacity to come, while the peer has not said; else `capacity` */
    uint64_t promised; /* requests that it will take, but cannot yet */
    uint64_t started_ms;
    uint64_t started_ns;
    uint64_t requests;
    uint64_t idle_since;    /* after how many requests the idle timer was armed */
    uint64_t requests_left; /* UINT64_MAX: no limit */
    uint64_t rx_counted;    /* bytes already in the stats */
    uint64_t tx_counted;
    size_t address_index;            /* of the host's addresses: the one being tried */
    enum conn_close_mode close_mode; /* TCP: as its stream ended */
    bool is_dispatching;             /* inside the codec: what its end brings is settled after */
    bool is_broken;                  /* what came was no HTTP */
    bool has_cut_request;            /* HTTP/1: a request ended before its message or its answer */
};

static inline struct pool_conn *pool_conn_from(void *p)
{
    struct pool_conn *pc = p;

    CHECK(pc != NULL && pc->magic == POOL_CONN_MAGIC);
    return pc;
}

/* --- conn_pool.c ------------------------------------------------------------------------------ */

struct cluster *pool_conn_cluster(const struct pool_conn *pc);
void pool_conn_set_state(struct pool_conn *pc, enum pool_conn_state s);
/* AUTO: what was negotiated is known. */
void pool_conn_set_type(struct pool_conn *pc, enum pool_protocol protocol);
/* The transport is up: waiting requests may have it. */
void pool_conn_connected(struct pool_conn *pc);
/* A carried request is over: counts it off. Whether the connection stays is settled next. */
void pool_conn_request_done(struct pool_conn *pc, struct codec_stream *s);
/* The codec is at rest: back to the pool, or closed. */
void pool_conn_settle(struct pool_conn *pc);
/* The peer has said how many streams it allows. */
void pool_conn_capacity_changed(struct pool_conn *pc);
/* No more requests on it; closes when the last is over (pool_conn_settle). */
void pool_conn_drain(struct pool_conn *pc);
/* No more requests on it; closes now. With none open the peer is told first, where it can be. */
void pool_conn_close(struct pool_conn *pc);
/* The connection is gone. */
void pool_conn_closed(struct pool_conn *pc, enum conn_close_cause cause);

/* --- pool_conn.c ------------------------------------------------------------------------------ */

extern const struct conn_ops pool_conn_ops;
extern const struct pool_protocol_type pool_protocol_types[POOL_PROTOCOL_COUNT];
void pool_conn_run_pending(struct loop_task *t);

#endif
