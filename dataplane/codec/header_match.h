#ifndef DATAPLANE_CODEC_HEADER_MATCH_H
#define DATAPLANE_CODEC_HEADER_MATCH_H

/* One header matcher (config/model/route.h) against headers, as Envoy matches. Pure; the headers'
 * thread. */

#include <stdbool.h>

#include "config/model/route.h"
#include "dataplane/codec/header_map.h"

/* Several values: see header_value.h. */
bool header_matcher_matches(const struct header_matcher *m, const struct header_map *h);

#endif
