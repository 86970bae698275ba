/* Names of the HTTP/1 codec's counters. */

#include "dataplane/codec/h1_stats.h"

static const struct stat_def h1_stat_defs[] = {
#define H1_STAT_DEF(id, stat_name, stat_kind) [id] = {.name = stat_name, .kind = stat_kind},
    H1_STAT_LIST(H1_STAT_DEF)
#undef H1_STAT_DEF
};

const struct stat_schema h1_stat_schema = {
    .defs = h1_stat_defs,
    .count = H1_STAT_COUNT,
};
