#ifndef DATAPLANE_CODEC_HEADER_VALUE_H
#define DATAPLANE_CODEC_HEADER_VALUE_H

/* How Envoy sees a header that is there more than once. */

#include <stdbool.h>

#include "dataplane/codec/header_map.h"

/* Headers of which Envoy keeps one value, joined with commas: they are matched and extended as one.
 * Of all others each value stands for itself: a rule matches when one of them does. */
static inline bool header_is_joined(enum header_id id)
{
    switch (id) {
    case HDR_UNKNOWN:
    case HDR_COOKIE:
    case HDR_REFERER:
    case HDR_SET_COOKIE:
    case HDR_TRAILER:
        return false;
    default:
        return true;
    }
}

#endif
