#ifndef DATAPLANE_UPSTREAM_ENDPOINT_SERIES_H
#define DATAPLANE_UPSTREAM_ENDPOINT_SERIES_H

/*
 * "cluster.<name>.endpoint.<address>.*" of clusters with track_cluster_stats.per_endpoint_stats:
 * the counts that /clusters shows, as series. They are computed when stats are about to be shown;
 * an endpoint that has gone has none. Main thread; belongs to the cluster's shared state.
 */

#include "dataplane/upstream/cluster_registry_internal.h"

struct endpoint_series;

/* `*series` starts as NULL; becomes NULL when the cluster does not want any. */
void endpoint_series_refresh(struct endpoint_series **series, const struct registered_cluster *rc);
void endpoint_series_free(struct endpoint_series *series);

#endif
