#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTER_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTER_H

/* What router.c (the filter, towards the client) and upstream_request.c (one request towards a
 * host) share. A worker's thread. */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/route.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/filter.h"
#include "dataplane/upstream/upstream.h"

struct router_config {
    bool counts_codes; /* dynamic_stats */
    bool suppresses_envoy_headers;
};

/* Of one request, in the stream's arena. */
struct router {
    struct http_filter *filter;
    const struct router_config *config;
    const struct route_forward *forward;
    struct cluster *cluster; /* referenced */
    struct host *host;       /* referenced; NULL: none picked */
    struct pool_request pool_request;
    struct codec_stream *upstream; /* open stream, else NULL */
    struct header_map response;
    /* What of the request came while there was no connection; bounded by stopping the client. */
    struct buf body;
    const struct header_map *trailers; /* NULL: none came */
    struct timer timer;                /* the response's, or the try's where that is shorter */
    struct timer duration_timer;       /* max_stream_duration */
    /* Set on the stack of decode_headers: the request was answered before that has returned. */
    bool *was_answered;
    uint64_t timeout_ms;      /* 0: none */
    uint64_t max_duration_ms; /* 0: none */
    uint64_t request_done_ns; /* the client's request was received in full; 0: not yet */
    int timeout_status;       /* 504, or 204 as the client asked */
    int response_status;      /* 0 before the response head */
    bool is_per_try_timeout;
    bool is_waiting;     /* for a connection */
    bool has_host_info;  /* the host is known to the log, and charged */
    bool has_end_stream; /* of the request, in what came so far */
    bool is_internal;    /* x-envoy-internal */
    bool is_canary;
    bool is_response_started;
    bool is_read_disabled; /* the upstream is slow: the client's body waits */
};

/* --- reply.c -----------------------------------------------------------------------------------
 */

struct loop *router_loop(const struct router *r);
/* Whether responses say x-envoy-attempt-count. */
bool router_includes_attempts(const struct router *r);
/* A monotonic instant; `hint_ns` when that lies in this loop turn, sparing the clock. */
uint64_t router_now_ns(const struct router *r, uint64_t hint_ns);
/* `host` NULL: none was reached. */
void router_charge_code(struct router *r, unsigned status, const struct host *host);
/* The request cannot go on: answers, or resets a response that has begun. `r` may be gone
 * afterwards. */
void router_abort(struct router *r, int status, struct str body, bool is_dropped,
                  enum response_flag flag, struct str details);

/* --- upstream_request.c ------------------------------------------------------------------------
 */

/* Asks for a connection. May answer the request before it returns (was_answered). */
void upstream_request_start(struct router *r);
void upstream_request_data(struct router *r, struct buf *take_data, bool end_stream);
void upstream_request_trailers(struct router *r, const struct header_map *trailers);
/* Ends what is open towards the upstream; no callback afterwards. */
void upstream_request_reset(struct router *r);

#endif
