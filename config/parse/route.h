#ifndef CONFIG_PARSE_ROUTE_H
#define CONFIG_PARSE_ROUTE_H

/* RouteConfiguration to a route table, validated and indexed. Main thread. */

#include "config/model/route.h"
#include "config/parse/context.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"

/* Fills `ret` except `ret->part`: the table belongs to ctx->part, which is `ret`'s own part for
 * RDS and the filter chain's for an inline table. Clusters become slots and dependencies. In a
 * static bootstrap (ctx->is_static) a cluster that is not there is refused unless
 * validate_clusters is false. */
int parse_route_config(struct parse_context *ctx,
                       const Envoy__Config__Route__V3__RouteConfiguration *m,
                       struct route_config *ret) MUST_CHECK;

#endif
