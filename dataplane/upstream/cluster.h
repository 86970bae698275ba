#ifndef DATAPLANE_UPSTREAM_CLUSTER_H
#define DATAPLANE_UPSTREAM_CLUSTER_H

/*
 * One thread's working copy of a cluster: made at its first use, so that clusters without traffic
 * cost a thread nothing. It pins the parts it was made from. A new version of the configuration
 * makes a new one, which takes over the hosts (and with them the connections) when all that shapes
 * a connection is unchanged; the old one lives on while streams or draining hosts hold it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "config/model/part_handle.h"
#include "dataplane/stats/stats.h"
#include "dataplane/upstream/circuit_breaker.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/priority_set.h"

struct thread_context;

struct cluster {
    uint32_t refs;
    struct thread_context *thread;
    const struct cluster_config *config; /* pinned */
    struct part_handle *config_handle;
    struct part_handle *endpoints_handle; /* NULL: no endpoint set */
    struct circuit_breaker *breakers;     /* by priority, shared by all threads */
    struct stat_block *stats;
    struct priority_set set;
    struct cluster *next_user; /* of the same endpoints slot, in the manager */
    struct cluster *successor; /* what replaced it; referenced. Picks go there. */
    bool is_current;           /* in its manager's slot */
};

/* Handles are borrowed and referenced; `endpoints` may be NULL. `old` (NULL: none) gives its hosts
 * to the new one if they share pools. refs = 1: the manager's. */
struct cluster *cluster_new(struct thread_context *t, struct part_handle *config,
                            struct part_handle *endpoints, struct cluster *old);
/* A new endpoint set (NULL: none) under the same configuration. */
void cluster_set_endpoints(struct cluster *c, struct part_handle *endpoints);
/* Out of the manager, whose reference it drops. With a successor its hosts are there or drain;
 * without one (removed) it can still be picked from by the streams that hold it, and every
 * connection closes after its request. */
void cluster_retire(struct cluster *c, struct cluster *successor);

/* This thread's counts of a host, made when first needed. */
void cluster_make_host_stats(struct cluster *c, struct host *h);

static inline uint32_t cluster_limit(const struct cluster *c, enum routing_priority p,
                                     enum breaker_resource r)
{
    return breaker_limit_now(c->thread, c->config, p, r);
}

#endif
