#ifndef DATAPLANE_RUNTIME_RUNTIME_H
#define DATAPLANE_RUNTIME_RUNTIME_H

/*
 * Fractions of traffic, as the configuration's RuntimeFractionalPercent gives them. There are no
 * runtime layers yet: the default value in the configuration is the value.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/rand.h"

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
