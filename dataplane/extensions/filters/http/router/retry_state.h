#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_RETRY_STATE_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_RETRY_STATE_H

/*
 * Whether a request whose attempt failed is tried once more, and what that costs: a place in the
 * cluster's retry breaker while it lasts, and the counters. Who tries, and with what, is the
 * router's. One per request, on its thread.
 *
 * There are no retry policies yet. What there is needs none: a request is replayed once if the peer
 * provably did not process it, whatever its method, or if it lost the race against the end of a
 * kept connection (enum replay_cause).
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/codec/codec.h"
#include "dataplane/upstream/upstream.h"

enum retry_verdict {
    RETRY_NO, /* nothing allows it */
    RETRY_NOW,
    RETRY_OVERFLOW,       /* the breaker refuses */
    RETRY_LIMIT_EXCEEDED, /* it was tried often enough */
};

/* Why an attempt that was reset may be repeated without anybody having asked for it. */
enum replay_cause {
    REPLAY_NOT,
    REPLAY_UNPROCESSED, /* REFUSED_STREAM, beyond GOAWAY */
    REPLAY_RACED, /* the connection had been kept from an earlier request, and closed before one
                   * byte of response: this one was not written, or is idempotent */
};

struct retry_state {
    struct cluster *cluster;           /* borrowed */
    const struct route_series *series; /* borrowed */
    enum routing_priority priority;
    uint32_t replays_left;
    uint8_t causes;   /* that count here: bits of enum replay_cause */
    bool is_retrying; /* holds a place in the breaker */
};

void retry_state_init(struct retry_state *rs, struct cluster *c, enum routing_priority priority,
                      const struct route_series *series);
/* From here on it is replayed for that cause. */
static inline void retry_state_allow(struct retry_state *rs, enum replay_cause cause)
{
    rs->causes |= (uint8_t)(1u << cause);
}
static inline bool retry_state_allows(const struct retry_state *rs, enum replay_cause cause)
{
    return rs->replays_left > 0 && (rs->causes >> cause & 1) != 0;
}
/* Gives back what it holds; RETRY_NO from then on. */
void retry_state_done(struct retry_state *rs);
/* The attempt was reset before any response. `is_request_whole`: all of the request that came is
 * still there to be sent again. With RETRY_NOW the caller starts another attempt. */
enum retry_verdict retry_state_on_reset(struct retry_state *rs, enum replay_cause cause,
                                        bool is_request_whole);
/* The response has begun and goes to the client. */
void retry_state_on_response(struct retry_state *rs);

#endif
