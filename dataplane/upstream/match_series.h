#ifndef DATAPLANE_UPSTREAM_MATCH_SERIES_H
#define DATAPLANE_UPSTREAM_MATCH_SERIES_H

/*
 * "cluster.<name>.<match>.total_match_count": how many endpoints of each set that came were given
 * which of transport_socket_matches; those of none are counted by CLUSTER_DEFAULT_TOTAL_MATCH_COUNT
 * of cluster_stats.h. Main thread; belongs to the cluster's shared state.
 */

#include "dataplane/base/str.h"
#include "dataplane/stats/stats.h"

struct match_series;

/* `*list` starts as NULL. */
void match_series_count(struct match_series **list, struct stat_store *stats, struct str stat_name,
                        struct str match_name);
void match_series_free(struct match_series *list);

#endif
