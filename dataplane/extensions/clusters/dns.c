/*
 * The DNS cluster as an extension (cluster_type): only its configuration; resolving is in
 * upstream/dns_cluster.c, which STRICT_DNS and LOGICAL_DNS use as well. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: names are resolved with c-ares whatever resolver is named.
 */

#include "config/model/cluster.h"
#include "config/parse/check.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/clusters/dns/v3/dns_cluster.pb-c.h"

#define REFRESH_RATE_DEFAULT_MS 5000
#define FAILURE_MAX_FACTOR 10 /* of the base interval, where no maximum is given: as Envoy */

typedef Envoy__Extensions__Clusters__Dns__V3__DnsCluster DnsCluster;

static int parse_failure_refresh(struct parse_context *ctx, const DnsCluster *m,
                                 struct dns_options *o)
{
    size_t at = path_push(ctx, "dns_failure_refresh_rate");
    int r;

    if (m->dns_failure_refresh_rate == NULL) {
        o->failure_refresh_base_ms = o->refresh_rate_ms;
        o->failure_refresh_max_ms = o->refresh_rate_ms;
        path_pop(ctx, at);
        return 0;
    }
    r = parse_check_present(ctx, "base_interval", m->dns_failure_refresh_rate->base_interval);
    if (r == 0) {
        r = parse_ms_or(ctx, "base_interval", m->dns_failure_refresh_rate->base_interval,
                        DURATION_GT_1MS, 0, &o->failure_refresh_base_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "max_interval", m->dns_failure_refresh_rate->max_interval,
                        DURATION_GT_1MS, o->failure_refresh_base_ms * FAILURE_MAX_FACTOR,
                        &o->failure_refresh_max_ms);
    }
    if (r == 0 && o->failure_refresh_max_ms < o->failure_refresh_base_ms) {
        r = parse_fail(ctx, E_INVALID, NULL,
                       "max_interval must be greater than or equal to the base_interval");
    }
    path_pop(ctx, at);
    return r;
}

static enum dns_lookup_family family_of(int f)
{
    switch (f) {
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__V4_ONLY:
        return DNS_V4_ONLY;
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__V6_ONLY:
        return DNS_V6_ONLY;
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__V4_PREFERRED:
        return DNS_V4_PREFERRED;
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__ALL:
        return DNS_ALL;
    default:
        return DNS_AUTO;
    }
}

static int dns_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                     const void **ret_config)
{
    const DnsCluster *m = (const DnsCluster *)msg;
    struct dns_options *o = ARENA_NEW(parse_arena(ctx), struct dns_options);
    int r;

    o->is_logical = m->all_addresses_in_single_endpoint;
    o->has_all_addresses = o->is_logical;
    o->respect_ttl = m->respect_dns_ttl;
    r = parse_check_enum(
        ctx, "dns_lookup_family", (int)m->dns_lookup_family,
        &envoy__extensions__clusters__common__dns__v3__dns_lookup_family__descriptor);
    if (r == 0) {
        o->lookup_family = family_of((int)m->dns_lookup_family);
        r = parse_ms_or(ctx, "dns_refresh_rate", m->dns_refresh_rate, DURATION_GT_1MS,
                        REFRESH_RATE_DEFAULT_MS, &o->refresh_rate_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "dns_jitter", m->dns_jitter, DURATION_ANY, 0, &o->jitter_ms);
    }
    if (r == 0) {
        r = parse_failure_refresh(ctx, m, o);
    }
    *ret_config = o;
    return r;
}

const struct extension cluster_dns = {
    .name = "envoy.clusters.dns",
    .category = EXT_CLUSTER_TYPE,
    .descriptor = &envoy__extensions__clusters__dns__v3__dns_cluster__descriptor,
    .parse = dns_parse,
};
