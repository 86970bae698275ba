/* See route_series.h. */

#include "dataplane/extensions/filters/http/router/route_series.h"

#include "dataplane/codec/header_match.h"
#include "dataplane/upstream/cluster_stats.h"

_Static_assert(ROUTE_STAT_RQ_CODES - ROUTE_STAT_RQ_COMPLETED ==
                       CLUSTER_UPSTREAM_RQ_CODES - CLUSTER_UPSTREAM_RQ_COMPLETED &&
                   ROUTE_STAT_RQ_TIME - ROUTE_STAT_RQ_COMPLETED ==
                       CLUSTER_UPSTREAM_RQ_TIME - CLUSTER_UPSTREAM_RQ_COMPLETED,
               "stat_family_charge_code relies on the order");

static bool virtual_cluster_matches(const struct virtual_cluster *vc, const struct header_map *h)
{
    for (size_t i = 0; i < vc->header_count; i++) {
        if (!header_matcher_matches(&vc->headers[i], h)) {
            return false;
        }
    }
    return true;
}

const struct virtual_cluster *virtual_cluster_find(const struct virtual_host *vh,
                                                   const struct header_map *h)
{
    for (size_t i = 0; i < vh->virtual_cluster_count; i++) {
        if (virtual_cluster_matches(&vh->virtual_clusters[i], h)) {
            return &vh->virtual_clusters[i];
        }
    }
    return NULL;
}

void route_series_add(struct route_series *s, struct stat_scope *scope, int worker)
{
    if (scope != NULL) {
        CHECK(s->count < ARRAY_LEN(s->blocks));
        s->blocks[s->count++] = stat_scope_block(scope, worker);
    }
}

void route_series_charge_code(const struct route_series *s, unsigned status)
{
    for (size_t i = 0; i < s->count; i++) {
        stat_family_charge_code(s->blocks[i], ROUTE_STAT_RQ_COMPLETED, status);
    }
}

void route_series_charge_time(const struct route_series *s, uint64_t ms)
{
    for (size_t i = 0; i < s->count; i++) {
        stat_record(s->blocks[i], ROUTE_STAT_RQ_TIME, ms);
    }
}
