#ifndef CONFIG_PARSE_ROUTE_INTERNAL_H
#define CONFIG_PARSE_ROUTE_INTERNAL_H

/* Shared by route.c (tables, hosts, matches) and route_action.c (what a route does). */

#include "config/parse/route.h"

/* What the table's own fields say about its routes. */
struct route_scope {
    size_t max_direct_body_bytes;
    bool validate_clusters;
};

/* m->action into `ret`; the caller has pushed the path of the route. */
int parse_route_action(struct parse_context *ctx, const struct route_scope *scope,
                       const Envoy__Config__Route__V3__Route *m, struct route *ret) MUST_CHECK;

#endif
