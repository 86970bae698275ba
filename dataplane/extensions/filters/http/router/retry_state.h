#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_RETRY_STATE_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_RETRY_STATE_H

/*
 * Whether a request whose attempt failed is tried once more, and what that costs: a place in the
 * cluster's retry breaker while it lasts, and the counters. Who tries, and with what, is the
 * router's. One per request, on its thread.
 *
 * There are no retry policies yet. What there is needs none: a request that the peer provably did
 * not process is replayed once, whatever its method.
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

struct retry_state {
    struct cluster *cluster; /* borrowed */
    enum routing_priority priority;
    uint32_t replays_left;
    bool replays_unprocessed; /* the rule above is on */
    bool is_retrying;         /* holds a place in the breaker */
};

void retry_state_init(struct retry_state *rs, struct cluster *c, enum routing_priority priority,
                      bool replays_unprocessed);
/* Gives back what it holds; RETRY_NO from then on. */
void retry_state_done(struct retry_state *rs);
/* Whether an attempt may still be followed by another: its request is worth keeping. */
bool retry_state_is_enabled(const struct retry_state *rs);
/* The attempt was reset before any response. `is_request_whole`: all of the request that came is
 * still there to be sent again. With RETRY_NOW the caller starts another attempt. */
enum retry_verdict retry_state_on_reset(struct retry_state *rs, enum stream_reset_reason reason,
                                        bool is_request_whole);
/* The response has begun and goes to the client. */
void retry_state_on_response(struct retry_state *rs);

#endif
