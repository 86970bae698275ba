/* Any host, all alike: as in Envoy, weights of hosts mean nothing here (those of localities do). */

#include "dataplane/upstream/lb.h"

static struct host *random_pick_equal(struct lb_source *s, const struct lb_config *c,
                                      struct rng *rng)
{
    (void)c;
    return s->hosts[rng_below(rng, s->count)];
}

const struct lb_policy lb_random = {
    .pick_equal = random_pick_equal,
};
