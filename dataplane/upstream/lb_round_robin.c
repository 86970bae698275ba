/* Round robin: in turn where weights are equal, by deadline where they differ. */

#include "dataplane/upstream/host.h"
#include "dataplane/upstream/lb.h"

static struct host *round_robin_pick_equal(struct lb_source *s, const struct lb_config *c,
                                           struct rng *rng)
{
    uint32_t at = s->cursor < s->count ? s->cursor : 0;

    (void)c;
    (void)rng;
    s->cursor = at + 1;
    return s->hosts[at];
}

static double round_robin_weight(const void *item, const void *user)
{
    (void)user;
    return ((const struct host *)item)->weight;
}

const struct lb_policy lb_round_robin = {
    .pick_equal = round_robin_pick_equal,
    .weight = round_robin_weight,
};
