#ifndef CONFIG_PARSE_STATS_CONFIG_H
#define CONFIG_PARSE_STATS_CONFIG_H

/* metrics.v3.StatsConfig: how series are tagged, which are shown, buckets of histograms. Main. */

#include "config/parse/context.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/config/metrics/v3/stats.pb-c.h"

/* NULL: the defaults. `fixed` are further tags (--stats-tag). The result lies in the part. */
int parse_stats_config(struct parse_context *ctx, const Envoy__Config__Metrics__V3__StatsConfig *m,
                       const struct stat_tag *fixed, size_t fixed_count,
                       struct stat_options *ret) MUST_CHECK;

#endif
