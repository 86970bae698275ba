#ifndef CONFIG_PARSE_ROUTE_INTERNAL_H
#define CONFIG_PARSE_ROUTE_INTERNAL_H

/* Shared by route.c (tables, hosts, matches), route_action.c (what a route does),
 * route_stats.c (what is counted apart). */

#include "config/parse/route.h"

/* What the table's own fields say about its routes. */
struct route_scope {
    size_t max_direct_body_bytes;
    bool validate_clusters;
};

/* m->action into `ret`; the caller has pushed the path of the route. */
int parse_route_action(struct parse_context *ctx, const struct route_scope *scope,
                       const Envoy__Config__Route__V3__Route *m, struct route *ret) MUST_CHECK;

/* route_stats.c: of a virtual host whose name is in `ret`, and of one of its routes. */
int parse_virtual_clusters(struct parse_context *ctx,
                           const Envoy__Config__Route__V3__VirtualHost *m,
                           struct virtual_host *ret) MUST_CHECK;
void parse_route_stats(struct parse_context *ctx, struct str vhost,
                       const Envoy__Config__Route__V3__Route *m, struct route *ret);

#endif
