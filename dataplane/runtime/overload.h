#ifndef DATAPLANE_RUNTIME_OVERLOAD_H
#define DATAPLANE_RUNTIME_OVERLOAD_H

/*
 * What the overload manager (server/overload_manager.c) has decided, as every thread reads it: how
 * strongly each action and load shed point applies, and how many connections there are and may be.
 * A level is read where work begins (a connection, a request), from a cache line that is written
 * only when a level changes. A thread without one (main's, hence the admin listener; unit tests) is
 * never overloaded.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/limit.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/thread_context.h"

/* X(symbol, Envoy's name) */
#define OVERLOAD_ACTIONS(X)                                                                        \
    X(STOP_ACCEPTING_REQUESTS, "envoy.overload_actions.stop_accepting_requests")                   \
    X(DISABLE_HTTP_KEEPALIVE, "envoy.overload_actions.disable_http_keepalive")                     \
    X(STOP_ACCEPTING_CONNECTIONS, "envoy.overload_actions.stop_accepting_connections")             \
    X(REJECT_INCOMING_CONNECTIONS, "envoy.overload_actions.reject_incoming_connections")           \
    X(SHRINK_HEAP, "envoy.overload_actions.shrink_heap")                                           \
    X(REDUCE_TIMEOUTS, "envoy.overload_actions.reduce_timeouts")                                   \
    X(RESET_HIGH_MEMORY_STREAM, "envoy.overload_actions.reset_high_memory_stream")
#define LOAD_SHED_POINTS(X)                                                                        \
    X(TCP_LISTENER_ACCEPT, "envoy.load_shed_points.tcp_listener_accept")                           \
    X(HCM_ONDATA_CREATING_CODEC, "envoy.load_shed_points.hcm_ondata_creating_codec")               \
    X(HCM_DECODE_HEADERS, "envoy.load_shed_points.http_connection_manager_decode_headers")         \
    X(H1_ABORT_DISPATCH, "envoy.load_shed_points.http1_server_abort_dispatch")                     \
    X(H2_GO_AWAY_ON_DISPATCH, "envoy.load_shed_points.http2_server_go_away_on_dispatch")           \
    X(H2_GO_AWAY_AND_CLOSE_ON_DISPATCH,                                                            \
      "envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch")                         \
    X(HTTP_DOWNSTREAM_FILTER_CHECK, "envoy.load_shed_points.http_downstream_filter_check")

enum overload_point {
#define X(symbol, name) OVERLOAD_##symbol,
    OVERLOAD_ACTIONS(X)
#undef X
        OVERLOAD_ACTION_COUNT,
    LOAD_SHED_BEFORE_FIRST = OVERLOAD_ACTION_COUNT - 1,
#define X(symbol, name) LOAD_SHED_##symbol,
    LOAD_SHED_POINTS(X)
#undef X
        OVERLOAD_POINT_COUNT
};

#define OVERLOAD_FULL                                                                              \
    1000000u /* a level: parts per million; full is what Envoy calls saturated                     \
              */

struct overload {
    _Alignas(64) _Atomic(uint32_t) levels[OVERLOAD_POINT_COUNT];
    /* A resource monitor limits the connections: those of listeners that ignore it do not count.
     * Else they do, as in Envoy with the runtime key; their number is then also what is left of
     * the descriptors. */
    bool has_connection_monitor;
    uint64_t max_connections;
    struct limit connections; /* accepted, the admin listener's excepted */
};

static inline uint32_t overload_level(const struct overload *o, enum overload_point p)
{
    return o != NULL ? atomic_load_explicit(&o->levels[p], memory_order_relaxed) : 0;
}

static inline bool overload_is_saturated(const struct overload *o, enum overload_point p)
{
    return overload_level(o, p) >= OVERLOAD_FULL;
}

/* Whether this one connection or request is among those that the level takes: always when
 * saturated, in proportion below. The thread's own. */
static inline bool overload_takes(const struct overload *o, enum overload_point p, struct rng *rng)
{
    uint32_t level = overload_level(o, p);

    return NUNCIO_UNLIKELY(level != 0) && runtime_fraction_enabled(rng, level, OVERLOAD_FULL);
}

#endif
