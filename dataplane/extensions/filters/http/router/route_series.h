#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTE_SERIES_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTE_SERIES_H

/* Where one request is counted besides its cluster: its virtual cluster, and its route where that
 * has a stat_prefix. Most requests have neither. A worker's thread. */

#include <stddef.h>
#include <stdint.h>

#include "config/model/route.h"
#include "config/model/route_stats.h"
#include "dataplane/codec/header_map.h"

struct route_series {
    struct stat_block *blocks[2];
    size_t count;
};

/* NULL: the virtual host has none. As Envoy: by the headers as the router gets them. */
const struct virtual_cluster *virtual_cluster_find(const struct virtual_host *vh,
                                                   const struct header_map *h);

/* NULL counts nowhere. The calling thread's cells. */
void route_series_add(struct route_series *s, struct stat_scope *scope, int worker);

static inline void route_series_count(const struct route_series *s, enum route_stat stat)
{
    for (size_t i = 0; i < s->count; i++) {
        stat_inc(s->blocks[i], stat);
    }
}

void route_series_charge_code(const struct route_series *s, unsigned status);
void route_series_charge_time(const struct route_series *s, uint64_t ms);

#endif
