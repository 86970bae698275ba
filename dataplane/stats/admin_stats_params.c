/* Parameters of the stats pages, as told to people. */

#include "dataplane/stats/admin_stats_params.h"

#define USED_ONLY_HELP "Only include stats that have been written by system since restart"
#define FILTER_HELP "Regular expression (Google re2) for filtering stats"

static const char *const FORMATS[] = {"html", "active-html", "text", "json", NULL};
static const char *const TYPES[] = {"All",    "Counters",     "Histograms",
                                    "Gauges", "TextReadouts", NULL};
static const char *const BUCKETS[] = {"cumulative", "disjoint", "detailed", "summary", NULL};
static const char *const PROMETHEUS_BUCKETS[] = {"cumulative", "summary", NULL};

const struct admin_param_doc admin_stats_params[ADMIN_STATS_PARAM_COUNT] = {
    {.name = "usedonly", .help = USED_ONLY_HELP, .is_flag = true},
    {.name = "filter", .help = FILTER_HELP},
    {.name = "invert_filter", .help = "Invert the filter regex", .is_flag = true},
    {.name = "format", .help = "Format to use", .choices = FORMATS},
    {.name = "type", .help = "Stat types to include.", .choices = TYPES},
    {.name = "histogram_buckets", .help = "Histogram bucket display mode", .choices = BUCKETS},
};

const struct admin_param_doc admin_prometheus_params[ADMIN_PROMETHEUS_PARAM_COUNT] = {
    {.name = "usedonly", .help = USED_ONLY_HELP, .is_flag = true},
    {.name = "text_readouts",
     .help = "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)",
     .is_flag = true},
    {.name = "filter", .help = FILTER_HELP},
    {.name = "invert_filter", .help = "Invert the filter regex", .is_flag = true},
    {.name = "histogram_buckets",
     .help = "Histogram bucket display mode",
     .choices = PROMETHEUS_BUCKETS},
};
