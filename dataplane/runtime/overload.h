#ifndef DATAPLANE_RUNTIME_OVERLOAD_H
#define DATAPLANE_RUNTIME_OVERLOAD_H

/*
 * What the overload manager (overload/overload_manager.c) has decided, as every thread reads it:
 * how strongly each action and load shed point applies, and how many connections there are and may
 * be. A level is read where work begins (a connection, a request), from a cache line that is
 * written only when a level changes. A thread without one (main's, hence the admin listener; unit
 * tests) is never overloaded.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/base/limit.h"

struct stat_scope;
struct thread_context;

/* X(symbol, Envoy's name); the last is nuncio's own: upstreams are not read. */
#define OVERLOAD_ACTIONS(X)                                                                        \
    X(STOP_ACCEPTING_REQUESTS, "envoy.overload_actions.stop_accepting_requests")                   \
    X(DISABLE_HTTP_KEEPALIVE, "envoy.overload_actions.disable_http_keepalive")                     \
    X(STOP_ACCEPTING_CONNECTIONS, "envoy.overload_actions.stop_accepting_connections")             \
    X(REJECT_INCOMING_CONNECTIONS, "envoy.overload_actions.reject_incoming_connections")           \
    X(SHRINK_HEAP, "envoy.overload_actions.shrink_heap")                                           \
    X(REDUCE_TIMEOUTS, "envoy.overload_actions.reduce_timeouts")                                   \
    X(RESET_HIGH_MEMORY_STREAM, "envoy.overload_actions.reset_high_memory_stream")                 \
    X(PAUSE_UPSTREAM_READS, "nuncio.overload_actions.pause_upstream_reads")
#define LOAD_SHED_POINTS(X)                                                                        \
    X(TCP_LISTENER_ACCEPT, "envoy.load_shed_points.tcp_listener_accept")                           \
    X(HCM_ONDATA_CREATING_CODEC, "envoy.load_shed_points.hcm_ondata_creating_codec")               \
    X(HCM_DECODE_HEADERS, "envoy.load_shed_points.http_connection_manager_decode_headers")         \
    X(H1_ABORT_DISPATCH, "envoy.load_shed_points.http1_server_abort_dispatch")                     \
    X(H2_GO_AWAY_ON_DISPATCH, "envoy.load_shed_points.http2_server_go_away_on_dispatch")           \
    X(H2_GO_AWAY_AND_CLOSE, "envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch")

enum overload_point {
#define X(symbol, name) OVERLOAD_##symbol,
    OVERLOAD_ACTIONS(X)
#undef X
#define X(symbol, name) LOAD_SHED_##symbol,
        LOAD_SHED_POINTS(X)
#undef X
            OVERLOAD_POINT_COUNT
};
#define LOAD_SHED_FIRST LOAD_SHED_TCP_LISTENER_ACCEPT

/* Timeouts that OVERLOAD_REDUCE_TIMEOUTS shortens: Envoy's, in the order of its enum. */
enum scaled_timer {
    SCALED_CONNECTION_IDLE,
    SCALED_STREAM_IDLE,
    SCALED_TRANSPORT_CONNECT,
    SCALED_CONNECTION_MAX,
    SCALED_STREAM_FLUSH,
    SCALED_TIMER_COUNT
};

struct timer_scale {
    bool is_set;
    uint64_t min_ms;      /* of a timer that is cut to this, when not 0 */
    uint32_t min_percent; /* else: to so much of itself, in parts of 100 */
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
    struct timer_scale timers[SCALED_TIMER_COUNT];
    struct stat_scope *shed_counts[OVERLOAD_POINT_COUNT]; /* of load shed points; NULL: none */
    struct stat_scope *reset_count; /* streams that were reset; NULL: nobody */
    struct limit connections;       /* accepted, the admin listener's excepted */
};

static inline uint32_t overload_level(const struct overload *o, enum overload_point p)
{
    return o != NULL ? atomic_load_explicit(&o->levels[p], memory_order_relaxed) : 0;
}

static inline bool overload_is_saturated(const struct overload *o, enum overload_point p)
{
    return overload_level(o, p) >= OVERLOAD_FULL;
}

/* overload_sheds without a look at the level before. */
bool overload_draw(const struct thread_context *t, enum overload_point p);

/* Whether this one connection, request or piece of input is among those that the level takes:
 * always when saturated, in proportion below. Counts what a load shed point takes. The thread's
 * own. */
static inline bool overload_sheds(const struct thread_context *t, const struct overload *o,
                                  enum overload_point p)
{
    return NUNCIO_UNLIKELY(overload_level(o, p) != 0) && overload_draw(t, p);
}

/* By how much a timeout of `timeout_ms` is to be shortened now. */
uint64_t overload_cut_ms(const struct overload *o, enum scaled_timer timer, uint64_t timeout_ms);

#endif
