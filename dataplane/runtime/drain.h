#ifndef DATAPLANE_RUNTIME_DRAIN_H
#define DATAPLANE_RUNTIME_DRAIN_H

/*
 * What a thread knows of draining: how the process drains (--drain-time-s, --drain-strategy) and
 * what was asked of it as a whole. What a listener or a connection was asked is kept there
 * (net/listener.h). Written by server/, on the thread that it belongs to.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/rand.h"

struct drain_policy {
    uint64_t time_ms; /* 0: whoever drains is told at once */
    bool is_gradual;  /* as Envoy: told with a probability that rises over the time; else at once */
};

struct thread_drain {
    struct drain_policy policy;
    /* /healthcheck/fail: every response closes, but those of MODIFY_ONLY listeners. */
    bool has_failed_health_check;
    /* SIGTERM: the process ends as soon as it may. */
    bool is_ending;
};

/* Whether a response `elapsed_ms` after the drain began says so: as Envoy, who decides by whole
 * seconds of which the one that has begun counts. */
static inline bool drain_is_due(const struct drain_policy *p, uint64_t elapsed_ms, struct rng *rng)
{
    if (!p->is_gradual || elapsed_ms >= p->time_ms) {
        return true;
    }
    return rng_below(rng, p->time_ms / 1000) < (elapsed_ms + 999) / 1000;
}

#endif
