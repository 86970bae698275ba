#ifndef DATAPLANE_CODEC_H1_STATS_H
#define DATAPLANE_CODEC_H1_STATS_H

/* The HTTP/1 codec's counters, "http1." for what is accepted. The two that nothing here moves are
 * Envoy's: HTTP/1 has no METADATA, and a pipelined request waits for the answer before it. */

#include "dataplane/stats/stats.h"

#define H1_STAT_LIST(X)                                                                            \
    X(H1_DROPPED_HEADERS_WITH_UNDERSCORES, "dropped_headers_with_underscores", STAT_COUNTER)       \
    X(H1_METADATA_NOT_SUPPORTED_ERROR, "metadata_not_supported_error", STAT_COUNTER)               \
    X(H1_REQUESTS_REJECTED_WITH_UNDERSCORES, "requests_rejected_with_underscores_in_headers",      \
      STAT_COUNTER)                                                                                \
    X(H1_RESPONSE_FLOOD, "response_flood", STAT_COUNTER)

enum h1_stat {
#define H1_STAT_ENUM(id, name, kind) id,
    H1_STAT_LIST(H1_STAT_ENUM)
#undef H1_STAT_ENUM
        H1_STAT_COUNT
};

extern const struct stat_schema h1_stat_schema;

#endif
