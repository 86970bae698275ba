/*
 * "The cluster brings its own policy", which none of the cluster types here does. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: not for these cluster types: there it is refused as well.
 */

#include "config/model/extension.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.pb-c.h"

static int cluster_provided_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                  const void **ret_config)
{
    (void)msg;
    (void)ret_config;
    return parse_fail(ctx, E_INVALID, NULL,
                      "the cluster's type has no load balancing policy of its own");
}

const struct extension load_balancing_policy_cluster_provided = {
    .name = "envoy.load_balancing_policies.cluster_provided",
    .category = EXT_LOAD_BALANCING_POLICY,
    .descriptor =
        &envoy__extensions__load_balancing_policies__cluster_provided__v3__cluster_provided__descriptor,
    .parse = cluster_provided_parse,
};
