#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_TIMEOUTS_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_TIMEOUTS_H

/* How long the upstream may take, by the route, the cluster and the request, as Envoy decides it.
 * Numbers only: who arms which timer is the router's. Any thread, no state. */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "config/model/route.h"
#include "dataplane/codec/header_map.h"

struct request_timeouts {
    uint64_t response_ms;   /* from the end of the request to that of the response; 0: none */
    uint64_t per_try_ms;    /* of one attempt, until its response begins; 0: none */
    uint64_t max_stream_ms; /* of one attempt's stream as a whole; 0: none */
    int status;             /* the answer when time is up: 504, or 204 as the client asked */
    /* The server is told in grpc-timeout too: max_grpc_timeout is configured. */
    bool writes_grpc_timeout;
};

/* Takes the x-envoy-* headers about timeouts out of the request. `respects_expected`: what a proxy
 * before this one says the client waits for counts first, and stays. */
void request_timeouts_take(struct request_timeouts *t, const struct route_forward *f,
                           const struct cluster_config *c, bool is_grpc, bool respects_expected,
                           struct header_map *h);
/* Tells the server how long it has, `elapsed_ms` after the end of the request. `writes_expected`:
 * also in x-envoy-expected-rq-timeout-ms. */
void request_timeouts_write(const struct request_timeouts *t, uint64_t elapsed_ms,
                            bool writes_expected, struct header_map *h);

#endif
