/*
 * The c-ares DNS resolver by name. There is one resolver per process (net/dns.c), and it is c-ares:
 * nothing of this configuration shapes it. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: udp_max_queries is not followed; resolvers other than the system's are
 * reported as unsupported.
 */

#include "config/parse/context.h"
#include "proto/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb-c.h"

const struct extension dns_resolver_cares = {
    .name = "envoy.network.dns_resolver.cares",
    .category = EXT_DNS_RESOLVER,
    .descriptor =
        &envoy__extensions__network__dns_resolver__cares__v3__cares_dns_resolver_config__descriptor,
};
