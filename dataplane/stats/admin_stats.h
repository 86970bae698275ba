#ifndef DATAPLANE_STATS_ADMIN_STATS_H
#define DATAPLANE_STATS_ADMIN_STATS_H

/* Admin pages over a stat_store: the context of each endpoint is the store. */

#include "dataplane/base/admin_endpoint.h"

/* Lists the store's metrics as text or JSON: ?usedonly, ?filter=REGEX, ?type=, ?format=json. */
extern const struct admin_endpoint admin_stats_endpoint;
/* Prometheus text format: ?usedonly, ?filter=REGEX, ?text_readouts. */
extern const struct admin_endpoint admin_stats_prometheus_endpoint;
extern const struct admin_endpoint admin_reset_counters_endpoint;

#endif
