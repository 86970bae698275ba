/* Localities and their endpoints, from EDS or from a cluster itself. Main thread. */

#include "config/parse/endpoint.h"

#include "config/parse/check.h"
#include "config/parse/core.h"

#define OVERPROVISIONING_FACTOR 140
#define PRIORITY_MAX 128

static enum health_status health_status_of(int status)
{
    switch (status) {
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__HEALTHY:
        return HEALTH_HEALTHY;
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNHEALTHY:
        return HEALTH_UNHEALTHY;
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DRAINING:
        return HEALTH_DRAINING;
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__TIMEOUT:
        return HEALTH_TIMEOUT;
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DEGRADED:
        return HEALTH_DEGRADED;
    default: /* as Envoy: also what is not defined */
        return HEALTH_UNKNOWN;
    }
}

static int parse_additional_addresses(struct parse_context *ctx,
                                      const Envoy__Config__Endpoint__V3__Endpoint *m,
                                      struct endpoint *ret)
{
    struct address *addresses;

    if (m->n_additional_addresses == 0) {
        return 0;
    }
    addresses = ARENA_ARRAY(parse_arena(ctx), struct address, m->n_additional_addresses);
    for (size_t i = 0; i < m->n_additional_addresses; i++) {
        size_t at = path_push_index(ctx, "additional_addresses", i);
        int r = parse_check_present(ctx, "address", m->additional_addresses[i]->address);

        if (r == 0) {
            (void)path_push(ctx, "address"); /* popped with the index */
            r = parse_address(ctx, m->additional_addresses[i]->address, &addresses[i], NULL);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->additional = addresses;
    ret->additional_count = m->n_additional_addresses;
    return 0;
}

static int parse_endpoint_address(struct parse_context *ctx,
                                  const Envoy__Config__Endpoint__V3__LbEndpoint *m,
                                  bool may_have_names, struct endpoint *ret)
{
    const Envoy__Config__Endpoint__V3__Endpoint *e;
    size_t at;
    int r;

    if (m->host_identifier_case !=
            ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT ||
        m->endpoint->address == NULL) {
        return parse_fail(ctx, E_INVALID, "endpoint", "Address must be set");
    }
    e = m->endpoint;
    at = path_push(ctx, "endpoint.address");
    r = parse_address(ctx, e->address, &ret->address, may_have_names ? &ret->dns_name : NULL);
    path_pop(ctx, at);
    if (r < 0) {
        return r;
    }
    ret->hostname = parse_str(ctx, e->hostname);
    at = path_push(ctx, "endpoint");
    r = parse_additional_addresses(ctx, e, ret);
    path_pop(ctx, at);
    return r;
}

static int parse_weight(struct parse_context *ctx, const Google__Protobuf__UInt32Value *m,
                        struct opt_u32 *ret)
{
    if (m != NULL && m->value == 0) {
        return parse_fail(ctx, E_INVALID, "load_balancing_weight",
                          "value must be greater than or equal to 1");
    }
    *ret = parse_opt_u32(m);
    return 0;
}

static int parse_lb_endpoint(struct parse_context *ctx,
                             const Envoy__Config__Endpoint__V3__LbEndpoint *m, bool may_have_names,
                             struct endpoint *ret)
{
    struct opt_u32 weight = {.is_set = false};
    int r = parse_endpoint_address(ctx, m, may_have_names, ret);

    if (r == 0) {
        r = parse_weight(ctx, m->load_balancing_weight, &weight);
    }
    ret->weight = weight.is_set ? weight.value : 1;
    ret->health = health_status_of((int)m->health_status);
    return r < 0 ? r : parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
}

static int parse_locality_endpoints(struct parse_context *ctx,
                                    const Envoy__Config__Endpoint__V3__LocalityLbEndpoints *m,
                                    bool may_have_names, struct locality_endpoints *ret)
{
    struct endpoint *endpoints = ARENA_ARRAY(parse_arena(ctx), struct endpoint, m->n_lb_endpoints);
    int r = parse_weight(ctx, m->load_balancing_weight, &ret->weight);

    if (r == 0) {
        r = parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
    }
    if (r < 0) {
        return r;
    }
    if (m->priority > PRIORITY_MAX) {
        return parse_fail(ctx, E_INVALID, "priority", "value must be less than or equal to 128");
    }
    for (size_t i = 0; i < m->n_lb_endpoints; i++) {
        size_t at = path_push_index(ctx, "lb_endpoints", i);

        r = parse_lb_endpoint(ctx, m->lb_endpoints[i], may_have_names, &endpoints[i]);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->locality = parse_locality(ctx, m->locality);
    ret->priority = m->priority;
    ret->endpoints = endpoints;
    ret->endpoint_count = m->n_lb_endpoints;
    return 0;
}

static int parse_policy(struct parse_context *ctx,
                        const Envoy__Config__Endpoint__V3__ClusterLoadAssignment__Policy *m,
                        struct load_assignment *ret)
{
    ret->overprovisioning_factor = OVERPROVISIONING_FACTOR;
    if (m == NULL) {
        return 0;
    }
    ret->weighted_priority_health = m->weighted_priority_health;
    if (m->overprovisioning_factor == NULL) {
        return 0;
    }
    ret->overprovisioning_factor = m->overprovisioning_factor->value;
    if (ret->overprovisioning_factor == 0) {
        return parse_fail(ctx, E_INVALID, "policy.overprovisioning_factor",
                          "value must be greater than 0");
    }
    return 0;
}

int parse_load_assignment(struct parse_context *ctx,
                          const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                          bool may_have_names, struct load_assignment *ret)
{
    struct locality_endpoints *localities;
    int r = parse_check_not_empty(ctx, "cluster_name", m->cluster_name);

    if (r == 0) {
        r = parse_policy(ctx, m->policy, ret);
    }
    if (r < 0) {
        return r;
    }
    localities = ARENA_ARRAY(parse_arena(ctx), struct locality_endpoints, m->n_endpoints);
    for (size_t i = 0; i < m->n_endpoints; i++) {
        size_t at = path_push_index(ctx, "endpoints", i);

        r = parse_locality_endpoints(ctx, m->endpoints[i], may_have_names, &localities[i]);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->localities = localities;
    ret->locality_count = m->n_endpoints;
    return 0;
}

int parse_endpoints(struct parse_context *ctx,
                    const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                    struct endpoint_set *ret)
{
    struct load_assignment a = {.localities = NULL};
    int r = parse_load_assignment(ctx, m, false, &a);

    if (r < 0) {
        return r;
    }
    ret->localities = a.localities;
    ret->locality_count = a.locality_count;
    ret->overprovisioning_factor = a.overprovisioning_factor;
    ret->weighted_priority_health = a.weighted_priority_health;
    return 0;
}
