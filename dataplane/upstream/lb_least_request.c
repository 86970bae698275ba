/*
 * Least request: the less busy of `choice_count` random hosts; where weights differ, by deadline
 * with the weight divided by (active requests + 1) ^ bias. Active requests are those of this
 * thread: threads do not look at each other's.
 */

#include <math.h>

#include "dataplane/upstream/host.h"
#include "dataplane/upstream/lb.h"

static struct host *least_request_pick_equal(struct lb_source *s, const struct lb_config *c,
                                             struct rng *rng)
{
    struct host *best = s->hosts[rng_below(rng, s->count)];

    for (uint32_t i = 1; i < c->choice_count; i++) {
        struct host *h = s->hosts[rng_below(rng, s->count)];

        if (h->active_requests < best->active_requests) {
            best = h;
        }
    }
    return best;
}

static double least_request_weight(const void *item, const void *user)
{
    const struct host *h = item;
    const struct lb_config *c = user;

    if (c->active_request_bias == 0) {
        return h->weight;
    }
    if (c->active_request_bias == 1) {
        return (double)h->weight / (h->active_requests + 1);
    }
    return h->weight / pow(h->active_requests + 1, c->active_request_bias);
}

const struct lb_policy lb_least_request = {
    .pick_equal = least_request_pick_equal,
    .weight = least_request_weight,
};
