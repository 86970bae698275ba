/* Endpoints that need no discovery. Main thread. */

#include "config/model/cluster.h"

static void release_cluster(void *part)
{
    part_unref(part);
}

struct endpoint_set *cluster_static_endpoints(const struct cluster_config *c)
{
    struct endpoint_set *set = part_new(sizeof(*set), PART_ENDPOINTS, c->name);

    part_ref(&c->part);
    part_on_free(&set->part, release_cluster, (void *)(uintptr_t)&c->part);
    set->localities = c->load_assignment;
    set->locality_count = c->load_assignment_count;
    set->overprovisioning_factor = c->overprovisioning_factor;
    set->weighted_priority_health = c->weighted_priority_health;
    return set;
}
