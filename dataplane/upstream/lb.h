#ifndef DATAPLANE_UPSTREAM_LB_H
#define DATAPLANE_UPSTREAM_LB_H

/*
 * Picking a host: first the priority level (by the load that its health earns it), then the
 * source within it (all hosts in panic, else healthy or degraded ones, of one locality where
 * localities are weighted), then a host by the cluster's policy. Where weights differ, every
 * choice is earliest-deadline-first. All state is one thread's, made at the first pick.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/base/heap.h"
#include "dataplane/base/rand.h"

struct host;
struct lb_context;
struct priority_set;

/* --- Earliest deadline first ------------------------------------------------------------- */

/* Weighted choice without drift: an entry of weight w comes round every 1/w. */
struct edf_entry {
    struct heap_node node;
    double deadline;
    uint64_t order; /* among equal deadlines: first come, first served */
    void *item;
};

struct edf {
    struct heap heap;
    uint64_t next_order;
    size_t count;
    struct edf_entry entries[];
};

typedef double edf_weight_fn(const void *item, const void *user);

/* Entries with weight 0 are left out; NULL when none is left. Starts at a random phase, so that
 * threads do not march in step. */
struct edf *edf_new(void *const *items, size_t count, edf_weight_fn *weight, const void *user,
                    struct rng *rng);
void edf_free(struct edf *e);
/* The item that is due; it is filed again by the weight it has now (> 0). */
void *edf_pick(struct edf *e, edf_weight_fn *weight, const void *user);

/* --- A set of hosts to choose from --------------------------------------------------------- */

enum lb_source_state { LB_SOURCE_FRESH, LB_SOURCE_EQUAL, LB_SOURCE_WEIGHTED };

struct lb_source {
    struct host **hosts;
    uint32_t count;
    uint32_t cursor;
    enum lb_source_state state;
    struct edf *edf; /* LB_SOURCE_WEIGHTED */
};

/* How a policy chooses within a source. */
struct lb_policy {
    /* All weights are equal; count > 0. */
    struct host *(*pick_equal)(struct lb_source *s, const struct lb_config *c, struct rng *rng);
    /* What a host weighs now where weights differ; NULL: weights mean nothing. */
    edf_weight_fn *weight;
};

extern const struct lb_policy lb_round_robin;
extern const struct lb_policy lb_least_request;
extern const struct lb_policy lb_random;

/* NULL when there is no host to be had; `ret_panic` says that health was ignored. */
struct host *lb_pick(struct priority_set *set, const struct lb_config *c,
                     const struct lb_context *ctx, struct rng *rng, bool *ret_panic);

#endif
