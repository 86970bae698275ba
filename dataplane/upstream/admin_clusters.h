#ifndef DATAPLANE_UPSTREAM_ADMIN_CLUSTERS_H
#define DATAPLANE_UPSTREAM_ADMIN_CLUSTERS_H

#include "dataplane/base/admin_endpoint.h"

/* Clusters, their limits and their hosts with counts: text, or ?format=json. The context is the
 * cluster_registry. Main thread. */
extern const struct admin_endpoint admin_clusters_endpoint;

#endif
