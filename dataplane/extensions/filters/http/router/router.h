#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTER_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTER_H

/* What router.c (the filter, towards the client: one request) and upstream_request.c (towards a
 * host: one attempt at it) share. A worker's thread. */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/route.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/timer.h"
#include "dataplane/extensions/filters/http/router/retry_state.h"
#include "dataplane/extensions/filters/http/router/route_series.h"
#include "dataplane/extensions/filters/http/router/timeouts.h"
#include "dataplane/extensions/filters/http/router/upstream_log.h"
#include "dataplane/http/filter.h"
#include "dataplane/upstream/upstream.h"

struct router_config {
    bool counts_codes; /* dynamic_stats */
    bool suppresses_envoy_headers;
    bool respects_expected_timeout;
    bool excludes_grpc_codes; /* suppress_grpc_request_failure_code_stats */
    struct upstream_log_config upstream_log;
};

struct router;

/* One attempt. Its memory serves the next one once this is over. */
struct upstream_request {
    struct router *router;
    struct host *host; /* referenced; NULL: none picked */
    enum pool_protocol protocol;
    struct pool_request pool_request;
    struct codec_stream *stream; /* open, else NULL */
    struct header_map response;
    struct upstream_log *log;    /* NULL: none is wanted */
    struct timer try_timer;      /* x-envoy-upstream-rq-per-try-timeout-ms */
    struct timer duration_timer; /* max_stream_duration */
    int response_status;         /* 0 before the response head */
    /* Of bodies. */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    /* Response heads as they came, informational ones too; only where the cluster tracks sizes. */
    uint32_t response_head_bytes;
    uint32_t response_head_count; /* of fields; 0: none came */
    /* Of its connection, when it got it. */
    uint64_t read_before;
    uint64_t written_before;
    bool is_kept_connection; /* an earlier request has used it */
    bool is_waiting;         /* for a connection */
    bool is_host_charged;    /* it was reached, or not: no matter of room */
    bool is_saturated;       /* holds more than it can send: the client's body waits */
    bool is_canary;
    bool has_charged_1xx;
    bool awaits_grpc_status; /* whether the host did well, its trailers say */
    bool is_timed_out;       /* it has no response when the whole request's time is up */
};

/* Of one request, in the stream's arena. */
struct router {
    struct http_filter *filter;
    const struct router_config *config;
    const struct route_forward *forward;
    struct cluster *cluster; /* referenced */
    struct upstream_request request;
    struct retry_state retry;
    struct route_series series;
    struct loop_task retry_task; /* the next attempt starts at the end of the turn */
    struct request_timeouts timeouts;
    struct timer timer;                        /* the response's */
    const struct transport_options *transport; /* of upstream connections; NULL: nothing wanted */
    struct str transport_name;                 /* override_auto_sni_header; empty: none */
    /* The request's body while there is nobody to send it to, bounded by stopping the client; and
     * what was sent, as long as it may have to be sent again. */
    struct buf body;
    const struct header_map *trailers; /* NULL: none came */
    /* Set on the stack of decode_headers: the request was answered before that has returned. */
    bool *was_answered;
    uint64_t request_done_ns; /* the client's request was received in full; 0: not yet */
    bool is_body_whole;       /* `body` is all of it that came */
    bool has_end_stream;      /* of the request, in what came so far */
    bool is_internal;         /* x-envoy-internal */
    bool is_grpc;
    bool is_tunnel; /* CONNECT or an upgrade */
    bool is_websocket;
    bool is_retry; /* this is not the first attempt */
    bool is_response_started;
    bool is_read_disabled;        /* the client's body waits */
    bool is_downstream_saturated; /* the client is slow: the response waits */
};

/* --- reply.c -----------------------------------------------------------------------------------
 */

struct loop *router_loop(const struct router *r);
/* Whether responses say x-envoy-attempt-count. */
bool router_includes_attempts(const struct router *r);
/* As text, in the stream's arena. */
struct str router_format(const struct router *r, uint64_t v);
/* A monotonic instant; `hint_ns` when that lies in this loop turn, sparing the clock. */
uint64_t router_now_ns(const struct router *r, uint64_t hint_ns);
/* Milliseconds since the request was complete; 0 before. */
uint64_t router_elapsed_ms(const struct router *r);
/* How much of the route's timeout was used when there is an outcome, where the cluster tracks it.
 */
void router_record_budget(struct router *r, uint64_t now_ns);
/* `host` NULL: none was reached. */
void router_charge_code(struct router *r, unsigned status, const struct host *host);
/* An attempt ends without (the whole of) a response; before the client is told. */
void router_charge_abort(struct router *r, unsigned status);
/* The request cannot go on: answers, or resets a response that has begun. `r` may be gone
 * afterwards. */
void router_abort(struct router *r, int status, struct str body, bool is_dropped,
                  enum response_flag flag, struct str details);
/* Towards the client's reads; at most one at a time is asked for. */
void router_read_disable(struct router *r, bool disable);

/* --- attempts.c --------------------------------------------------------------------------------
 */

void router_attempts_init(struct router *r);
/* Referenced for the caller. NULL: nobody is there to be asked. */
struct host *router_pick_host(struct router *r);
/* Counts the attempt that is about to start, in the request too where that is wanted. */
void router_write_attempt(struct router *r, struct header_map *h);
/* auto_host_rewrite. */
void router_rewrite_host(struct router *r, const struct host *host);
/* The attempt was reset before any response: true when another one follows. */
bool router_try_again(struct router *r, enum replay_cause cause);

/* --- transport.c -------------------------------------------------------------------------------
 */

/* Before the route changes headers: as Envoy, that of override_auto_sni_header counts as it came.
 */
void router_note_transport_header(struct router *r, const struct header_map *h);
/* After it has: the authority counts as the route has rewritten it. */
void router_choose_transport(struct router *r, const struct header_map *h);
/* scheme_header_transformation. */
void router_write_scheme(struct router *r, const struct host *host, struct header_map *h);
/* For a connection to `host`; NULL: nothing. */
const struct transport_options *router_transport_to(const struct router *r,
                                                    const struct host *host);

/* --- upstream_request.c ------------------------------------------------------------------------
 */

void upstream_request_init(struct upstream_request *rq, struct router *r);
/* Asks `take_host` for a connection. May answer the request before it returns (was_answered). */
void upstream_request_start(struct upstream_request *rq, struct host *take_host);
/* There is an attempt, and it has not failed. */
static inline bool upstream_request_is_active(const struct upstream_request *rq)
{
    return rq->is_waiting || rq->stream != NULL;
}
/* More of the request has come; into router.body while this waits. */
void upstream_request_data(struct upstream_request *rq, struct buf *take_data, bool end_stream);
void upstream_request_trailers(struct upstream_request *rq, const struct header_map *trailers);
/* The client's request is complete. */
void upstream_request_all_received(struct upstream_request *rq);
/* Ends what is open towards the upstream; no callback afterwards. */
void upstream_request_reset(struct upstream_request *rq);

#endif
