/*
 * Random as a load balancing policy: only its configuration; the choosing is in
 * upstream/lb_random.c, which the older spelling (lb_policy) uses as well. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: the locality preference of zone_aware_lb_config is not followed (every
 * endpoint stays a right choice).
 */

#include "config/model/cluster.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/load_balancing_policies/random/v3/random.pb-c.h"

static int random_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                        const void **ret_config)
{
    const Envoy__Extensions__LoadBalancingPolicies__Random__V3__Random *m =
        (const Envoy__Extensions__LoadBalancingPolicies__Random__V3__Random *)msg;
    struct lb_config *c = ARENA_NEW(parse_arena(ctx), struct lb_config);

    c->kind = LB_RANDOM;
    c->locality_weighted =
        m->locality_lb_config != NULL &&
        m->locality_lb_config->locality_config_specifier_case ==
            ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
    *ret_config = c;
    return 0;
}

const struct extension load_balancing_policy_random = {
    .name = "envoy.load_balancing_policies.random",
    .category = EXT_LOAD_BALANCING_POLICY,
    .descriptor = &envoy__extensions__load_balancing_policies__random__v3__random__descriptor,
    .parse = random_parse,
};
