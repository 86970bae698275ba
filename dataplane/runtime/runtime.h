#ifndef DATAPLANE_RUNTIME_RUNTIME_H
#define DATAPLANE_RUNTIME_RUNTIME_H

/*
 * Fractions of traffic, as the configuration's RuntimeFractionalPercent gives them, and the
 * switches that the bootstrap's layered_runtime sets (its static layers). Fractions have no runtime
 * key yet: the default value in the configuration is the value.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/rand.h"
#include "dataplane/runtime/thread_context.h"

/* Immutable once the workers run; owned by server/. */
struct runtime {
    /* nuncio.replay_unprocessed_streams, true unless a layer says false: a request that its
     * upstream provably did not process is sent once more without a retry policy. */
    bool replays_unprocessed_streams;
};

/* Any thread. A thread without runtime (tests) has the defaults. */
static inline bool runtime_replays_unprocessed_streams(const struct thread_context *t)
{
    return t->runtime == NULL || t->runtime->replays_unprocessed_streams;
}

/* Whether this request is among `numerator` of `denominator` (100, 10000 or 1000000). As Envoy: a
 * numerator beyond the denominator means always. Takes no random number where none is needed. */
static inline bool runtime_fraction_enabled(struct rng *rng, uint64_t numerator,
                                            uint64_t denominator)
{
    if (numerator == 0) {
        return false;
    }
    return numerator >= denominator || rng_below(rng, denominator) < numerator;
}

#endif
