#ifndef DATAPLANE_CLIENT_CLIENT_STREAM_H
#define DATAPLANE_CLIENT_CLIENT_STREAM_H

/*
 * One request of ours to a cluster, as a stream: what http_client and grpc_client have in common.
 * Finds the cluster, picks the host, waits for the connection, keeps the deadline, charges the
 * cluster's counters as the router would, and says in one place how it failed. A request that the
 * server provably did not look at (GOAWAY, REFUSED_STREAM) is sent once more, while its body is
 * small enough to be kept.
 *
 * Callbacks come from the loop only, never from inside a call of this file, except on_watermark
 * (from client_stream_send). Any callback may cancel. Embedded by its owner, in the arena that it
 * hands in. Its own loop's thread, worker or main.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/part.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/buf.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/timer.h"
#include "dataplane/upstream/upstream.h"

struct thread_context;

/* Which cluster: by slot, or by name where that is SLOT_NONE. */
struct client_cluster {
    struct str name;
    uint32_t slot;
};

enum client_failure_kind {
    CLIENT_NO_CLUSTER,
    CLIENT_NO_HOST,
    CLIENT_OVERFLOW,
    CLIENT_CONNECT_FAILURE,
    CLIENT_RESET,
    CLIENT_TIMEOUT,
};

struct client_failure {
    enum client_failure_kind kind;
    int http_status;    /* what the router would have answered to a client: 502, 503, 504 */
    struct str body;    /* and with which text */
    struct str details; /* and with which response_code_details */
    bool is_response_started;
};

struct client_stream;

/* All but on_watermark are mandatory. */
struct client_stream_ops {
    /* The head is in s->response. After `end_stream`, as after on_trailers and on_failure, the
     * stream is over: no callback follows. */
    void (*on_headers)(struct client_stream *s, bool end_stream);
    /* Takes what it wants of `data`; the rest is dropped. */
    void (*on_data)(struct client_stream *s, struct buf *data, bool end_stream);
    void (*on_trailers)(struct client_stream *s, struct header_map *trailers);
    void (*on_failure)(struct client_stream *s, const struct client_failure *f);
    /* What was sent and has not left rose above the limit, or fell below. */
    void (*on_watermark)(struct client_stream *s, bool is_above);
};

enum client_stream_state {
    CLIENT_STREAM_IDLE,    /* not started */
    CLIENT_STREAM_WAITING, /* for a connection */
    CLIENT_STREAM_OPEN,
    CLIENT_STREAM_REFUSED, /* provably not processed: to be sent again at the end of this turn */
    CLIENT_STREAM_FAILED,  /* to be told at the end of this turn */
    CLIENT_STREAM_OVER,
};

struct client_stream {
    const struct client_stream_ops *ops;
    struct thread_context *thread;
    struct arena *arena;
    enum client_stream_state state;
    struct header_map request; /* filled between init and start */
    struct header_map response;
    struct cluster *cluster; /* referenced; NULL: not found */
    struct host *host;       /* referenced; NULL: none picked */
    struct pool_request pool_request;
    struct codec_stream *upstream; /* while open */
    struct buf held;               /* sent while there was no connection */
    struct buf kept;               /* sent on it, should it have to be sent again */
    struct timer timer;
    struct loop_task task; /* of the states that wait for the end of the turn */
    struct client_failure failure;
    uint64_t sent_ns;     /* the request was complete; 0: not yet */
    uint32_t nesting;     /* calls of this file under way: callbacks wait */
    bool has_end;         /* the request's end is among what was sent */
    bool is_paused;       /* wants no data */
    bool is_kept_whole;   /* `kept` is all of it */
    bool is_again;        /* this is the second time */
    bool holds_retry;     /* a slot of the retry breaker, until the response */
    bool is_held_above;   /* `held` is over the limit */
    bool is_codec_above;  /* the codec's output of this stream is */
    bool is_grpc;         /* whether the host did well is in the trailers */
    bool is_host_charged; /* with this request's success or failure */
    bool is_internal;     /* sends x-envoy-internal */
    bool is_response_started;
};

void client_stream_init(struct client_stream *s, struct thread_context *t, struct arena *arena,
                        const struct client_stream_ops *ops);
/* "https" where the cluster's connections are encrypted, else "http". Static. */
struct str client_stream_scheme(struct thread_context *t, const struct client_cluster *c);
/* x-envoy-internal, and x-forwarded-for with this machine's address (empty: not), onto the request.
 * Copies. */
void client_stream_add_envoy_headers(struct client_stream *s, struct str forwarded_for);
/* Sends s->request's head. `timeout_ms` (0: none) is for the whole of the exchange. */
void client_stream_start(struct client_stream *s, const struct client_cluster *c,
                         uint64_t timeout_ms, bool end_stream);
/* Nothing happens once the stream is over, or has_end. */
void client_stream_send(struct client_stream *s, struct buf *take_data, bool end_stream);
static inline bool client_stream_is_above(const struct client_stream *s)
{
    return s->is_held_above || s->is_codec_above;
}
/* No data is handed out while paused; the peer is held back by flow control. */
void client_stream_pause(struct client_stream *s, bool is_paused);
/* Resets what is open; no callback afterwards. At any time, also twice, also when over. Must have
 * been called, or the stream be over, before the arena goes. */
void client_stream_cancel(struct client_stream *s);

#endif
