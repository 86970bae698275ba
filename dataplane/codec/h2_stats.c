/* Names of the HTTP/2 codec's counters. */

#include "dataplane/codec/h2_stats.h"

static const struct stat_def h2_stat_defs[] = {
#define H2_STAT_DEF(id, stat_name, stat_kind) [id] = {.name = stat_name, .kind = stat_kind},
    H2_STAT_LIST(H2_STAT_DEF)
#undef H2_STAT_DEF
};

const struct stat_schema h2_stat_schema = {
    .defs = h2_stat_defs,
    .count = H2_STAT_COUNT,
};
