#ifndef DATAPLANE_STATS_ADMIN_STATS_PARAMS_H
#define DATAPLANE_STATS_ADMIN_STATS_PARAMS_H

/* What /stats and /stats/prometheus can be asked, in Envoy's words: for /help and the home page. */

#include "dataplane/base/admin_endpoint.h"

#define ADMIN_STATS_PARAM_COUNT 6
#define ADMIN_PROMETHEUS_PARAM_COUNT 5

extern const struct admin_param_doc admin_stats_params[ADMIN_STATS_PARAM_COUNT];
extern const struct admin_param_doc admin_prometheus_params[ADMIN_PROMETHEUS_PARAM_COUNT];

#endif
