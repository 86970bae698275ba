/*
 * Least request as a load balancing policy: only its configuration; the choosing is in
 * upstream/lb_least_request.c, which the older spelling (lb_policy) uses as well. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: active requests are those of one worker; no slow start, no full scan; the
 * locality preference of zone_aware_lb_config is not followed.
 */

#include "config/model/cluster.h"
#include "config/parse/check.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb-c.h"

#define CHOICE_COUNT_DEFAULT 2

static int least_request_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    const Envoy__Extensions__LoadBalancingPolicies__LeastRequest__V3__LeastRequest *m =
        (const Envoy__Extensions__LoadBalancingPolicies__LeastRequest__V3__LeastRequest *)msg;
    struct lb_config *c = ARENA_NEW(parse_arena(ctx), struct lb_config);

    c->kind = LB_LEAST_REQUEST;
    c->choice_count = parse_u32_or(m->choice_count, CHOICE_COUNT_DEFAULT);
    if (c->choice_count < 2) {
        return parse_fail(ctx, E_INVALID, "choice_count",
                          "value must be greater than or equal to 2");
    }
    /* As Envoy: a negative bias is taken for the default. */
    c->active_request_bias = 1.0;
    if (m->active_request_bias != NULL && m->active_request_bias->default_value >= 0) {
        c->active_request_bias = m->active_request_bias->default_value;
    }
    c->locality_weighted =
        m->locality_lb_config != NULL &&
        m->locality_lb_config->locality_config_specifier_case ==
            ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
    *ret_config = c;
    return 0;
}

const struct extension load_balancing_policy_least_request = {
    .name = "envoy.load_balancing_policies.least_request",
    .category = EXT_LOAD_BALANCING_POLICY,
    .descriptor =
        &envoy__extensions__load_balancing_policies__least_request__v3__least_request__descriptor,
    .parse = least_request_parse,
};
