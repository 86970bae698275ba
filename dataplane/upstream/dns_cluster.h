#ifndef DATAPLANE_UPSTREAM_DNS_CLUSTER_H
#define DATAPLANE_UPSTREAM_DNS_CLUSTER_H

/*
 * STRICT_DNS and LOGICAL_DNS clusters: resolves the names of one cluster's endpoints, again and
 * again, and turns the answers into endpoint sets. Strict: every address is an endpoint. Logical:
 * one endpoint with one of the addresses (kept as long as the name still has it), or with all of
 * them as additional addresses. What cannot be resolved keeps its last addresses. Main thread.
 */

#include "config/model/cluster.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/dns.h"
#include "dataplane/upstream/cluster_registry.h"

struct dns_cluster;

struct dns_cluster_ops {
    /* The endpoints have changed (or are known for the first time): the receiver takes `take`. */
    void (*on_endpoints)(void *user, const struct cluster_config *c, struct endpoint_set *take);
    /* Every name was asked for and none had an address: nothing to wait for any more. At most
     * once, and never after on_endpoints. */
    void (*on_failed)(void *user, const struct cluster_config *c);
};

struct dns_cluster_params {
    struct loop *loop;
    struct dns_resolver *resolver;
    struct cluster_registry *registry; /* counts attempts and results; NULL: nobody does */
    const struct dns_cluster_ops *ops;
    void *user;
};

/* References `c`. Calls back from the loop only. */
struct dns_cluster *dns_cluster_start(const struct dns_cluster_params *p,
                                      const struct cluster_config *c);
/* No callback afterwards. NULL allowed. */
void dns_cluster_stop(struct dns_cluster *d);

#endif
