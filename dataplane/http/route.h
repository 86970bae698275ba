#ifndef DATAPLANE_HTTP_ROUTE_H
#define DATAPLANE_HTTP_ROUTE_H

/*
 * Which virtual host, route and weighted cluster a request gets. Pure: the same table, headers and
 * random number always give the same answer. The table is immutable; the worker's thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/route.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/codec/header_match.h"

struct thread_context;

struct route_request {
    const struct header_map *headers;
    const struct thread_context *thread; /* for runtime values */
    uint64_t random; /* one number for runtime fractions and weights, as Envoy */
};

struct route_match {
    const struct virtual_host *vhost;        /* NULL for none, and for a redirect to TLS */
    const struct route *route;               /* NULL: no route */
    const struct weighted_cluster *weighted; /* NULL unless the route has weighted clusters */
};

void route_find(const struct route_config *table, const struct route_request *rq,
                struct route_match *ret);

bool query_matcher_matches(const struct query_matcher *m, struct str query);

/* ":80" of "host:80" or "[::1]:80": position of the colon, or STR_NPOS. */
size_t host_port_start(struct str host);

#endif
