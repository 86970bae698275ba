#ifndef DATAPLANE_UPSTREAM_PRIORITY_SET_H
#define DATAPLANE_UPSTREAM_PRIORITY_SET_H

/*
 * The hosts of a cluster by priority, health and locality, with the share of the load that each
 * priority level gets (Envoy's arithmetic: availability times the overprovisioning factor, panic
 * below the threshold). Built from an endpoint set; replaced whole when that changes, while the
 * hosts themselves are carried over by key. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/base/arena.h"
#include "dataplane/upstream/lb.h"

struct cluster;
struct host;

struct locality_hosts {
    const struct locality *locality; /* of the endpoint set: valid while it is pinned */
    uint32_t weight;                 /* 0: gets nothing where localities are weighted */
    uint32_t host_count;
    uint32_t eligible_count; /* without excluded hosts */
    struct lb_source healthy;
    struct lb_source degraded;
    double effective_weight[2]; /* for healthy and degraded hosts */
};

struct priority_level {
    struct lb_source all;
    struct lb_source healthy;
    struct lb_source degraded;
    struct locality_hosts *localities;
    size_t locality_count;
    bool has_locality_weights;
    struct edf *locality_edf[2]; /* healthy, degraded; built at the first pick */
    bool is_locality_edf_built[2];
    /* Percent. */
    uint32_t healthy_load;
    uint32_t degraded_load;
    bool is_panic;
};

struct priority_set {
    struct arena arena;
    struct priority_level *levels; /* by priority, without gaps; at least one */
    size_t level_count;
    struct host **hosts; /* every one, holding the table's reference */
    size_t host_count;
};

/* Health of one level as the load arithmetic sees it. */
struct level_health {
    uint64_t size;  /* all hosts */
    uint64_t total; /* without those that are excluded (draining) */
    uint64_t healthy;
    uint64_t degraded;
    /* With weighted_priority_health: sums of host weights, else as above. */
    uint64_t total_weight;
    uint64_t healthy_weight;
    uint64_t degraded_weight;
};

struct level_load {
    uint32_t healthy;
    uint32_t degraded;
    bool is_panic;
};

/* Shares of 100 % for each level, by Envoy's rules. `overprovisioning` and `panic_threshold` in
 * percent; a threshold of 0 switches panic off. */
void priority_loads(const struct level_health *health, size_t count, uint32_t overprovisioning,
                    double panic_threshold, struct level_load *ret_loads);

/* Fills `set` with the hosts of `endpoints` (NULL: none), taking from `old` (NULL: none) those
 * with the same key; hosts of `old` that are not taken are detached. `old` is done afterwards. */
void priority_set_init(struct priority_set *set, struct cluster *c,
                       const struct endpoint_set *endpoints, double panic_threshold,
                       struct priority_set *old);
/* Detaches every host. */
void priority_set_done(struct priority_set *set);

#endif
