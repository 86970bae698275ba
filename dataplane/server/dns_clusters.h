#ifndef DATAPLANE_SERVER_DNS_CLUSTERS_H
#define DATAPLANE_SERVER_DNS_CLUSTERS_H

/*
 * The clusters whose endpoints come from DNS, from acceptance to removal: their answers go into
 * the store as endpoint sets. Main thread.
 */

#include "config/model/cluster.h"
#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"

struct cluster_registry;
struct config_store;
struct dns_clusters;

/* E_SYS when the resolver cannot start. `store` is set before the first cluster. */
int dns_clusters_new(struct loop *l, struct cluster_registry *registry,
                     struct dns_clusters **ret) MUST_CHECK;
void dns_clusters_set_store(struct dns_clusters *d, struct config_store *s);
/* config_store_ops.cluster_start and cluster_stop; other discovery types are ignored. */
void dns_clusters_start(struct dns_clusters *d, const struct cluster_config *c);
void dns_clusters_stop(struct dns_clusters *d, const struct cluster_config *c);
/* Stops all of them. */
void dns_clusters_close(struct dns_clusters *d);

#endif
