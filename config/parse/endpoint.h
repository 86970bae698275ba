#ifndef CONFIG_PARSE_ENDPOINT_H
#define CONFIG_PARSE_ENDPOINT_H

/* ClusterLoadAssignment to localities and endpoints. Main thread. */

#include "config/model/cluster.h"
#include "config/parse/context.h"
#include "proto/envoy/config/endpoint/v3/endpoint.pb-c.h"

/* EDS: fills `ret` except `ret->part`, which is ctx->part. Addresses are IP literals or unix
 * paths. */
int parse_endpoints(struct parse_context *ctx,
                    const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                    struct endpoint_set *ret) MUST_CHECK;

/* A cluster's own load_assignment. `may_have_names`: DNS clusters. */
struct load_assignment {
    const struct locality_endpoints *localities;
    size_t locality_count;
    uint32_t overprovisioning_factor;
    bool weighted_priority_health;
};
int parse_load_assignment(struct parse_context *ctx,
                          const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                          bool may_have_names, struct load_assignment *ret) MUST_CHECK;

#endif
