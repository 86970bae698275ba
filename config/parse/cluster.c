/* Clusters: kind of discovery, endpoints, limits, sockets. Main thread. Balancing and protocol
 * options are in cluster_policy.c. */

#include "config/parse/cluster.h"

#include <string.h>

#include "config/parse/canonical.h"
#include "config/parse/check.h"
#include "config/parse/cluster_internal.h"
#include "config/parse/core.h"
#include "config/parse/endpoint.h"
#include "config/parse/extension.h"
#include "dataplane/base/hash.h"

#define CONNECT_TIMEOUT_MS 5000
#define BUFFER_LIMIT_BYTES (1 << 20)
#define DNS_REFRESH_RATE_MS 5000
#define DNS_FAILURE_MAX_FACTOR 10

typedef Envoy__Config__Cluster__V3__Cluster Cluster;

/* --- kind of discovery ---------------------------------------------------------------------- */

static int parse_discovery_enum(struct parse_context *ctx, const Cluster *m,
                                enum discovery_type *ret)
{
    switch (m->type) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC:
        *ret = DISCOVERY_STATIC;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS:
        *ret = DISCOVERY_STRICT_DNS;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS:
        *ret = DISCOVERY_LOGICAL_DNS;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__EDS:
        *ret = DISCOVERY_EDS;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST:
        return parse_fail(ctx, E_UNSUPPORTED, "type", "ORIGINAL_DST is not supported");
    default:
        return parse_fail(ctx, E_INVALID, "type", "value must be one of the defined enum values");
    }
}

/* Without typed_config the name says which: Envoy's own cluster types are found so. */
static int parse_cluster_type_name(struct parse_context *ctx, struct str name,
                                   enum discovery_type *ret)
{
    static const struct {
        const char *name;
        enum discovery_type type;
    } types[] = {
        {"envoy.cluster.static", DISCOVERY_STATIC},
        {"envoy.cluster.strict_dns", DISCOVERY_STRICT_DNS},
        {"envoy.cluster.logical_dns", DISCOVERY_LOGICAL_DNS},
        {"envoy.cluster.eds", DISCOVERY_EDS},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (str_eq(name, str_c(types[i].name))) {
            *ret = types[i].type;
            return 0;
        }
    }
    return parse_fail(ctx, E_UNSUPPORTED, NULL,
                      "Didn't find a registered cluster factory implementation for name: '%.*s'",
                      STR_ARG(name));
}

static int parse_custom_type(struct parse_context *ctx,
                             const Envoy__Config__Cluster__V3__Cluster__CustomClusterType *m,
                             struct cluster_config *ret, bool *ret_has_dns)
{
    struct filter_config c = {.name = STR_NONE};
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r < 0) {
        return r;
    }
    if (m->typed_config == NULL || m->typed_config->type_url[0] == '\0') {
        return parse_cluster_type_name(ctx, str_c(m->name), &ret->type);
    }
    r = parse_extension(ctx, EXT_CLUSTER_TYPE, m->name, "typed_config", m->typed_config, &c);
    if (r == 0) {
        ret->dns = *(const struct dns_options *)c.config;
        ret->type = ret->dns.is_logical ? DISCOVERY_LOGICAL_DNS : DISCOVERY_STRICT_DNS;
        *ret_has_dns = true;
    }
    return r;
}

/* --- DNS ------------------------------------------------------------------------------------ */

static int parse_dns_failure_refresh(struct parse_context *ctx, const Cluster *m,
                                     struct dns_options *ret)
{
    const Envoy__Config__Cluster__V3__Cluster__RefreshRate *f = m->dns_failure_refresh_rate;
    size_t at;
    int r;

    ret->failure_refresh_base_ms = ret->refresh_rate_ms;
    ret->failure_refresh_max_ms = ret->refresh_rate_ms;
    if (f == NULL) {
        return 0;
    }
    at = path_push(ctx, "dns_failure_refresh_rate");
    r = parse_check_present(ctx, "base_interval", f->base_interval);
    if (r == 0) {
        r = parse_ms_or(ctx, "base_interval", f->base_interval, DURATION_GT_1MS, 0,
                        &ret->failure_refresh_base_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "max_interval", f->max_interval, DURATION_GT_1MS,
                        ret->failure_refresh_base_ms * DNS_FAILURE_MAX_FACTOR,
                        &ret->failure_refresh_max_ms);
    }
    path_pop(ctx, at);
    if (r == 0 && ret->failure_refresh_max_ms < ret->failure_refresh_base_ms) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "dns_failure_refresh_rate must have max_interval greater than or equal "
                          "to the base_interval");
    }
    return r;
}

static int parse_dns_family(struct parse_context *ctx, const Cluster *m,
                            enum dns_lookup_family *ret)
{
    switch (m->dns_lookup_family) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__AUTO:
        *ret = DNS_AUTO;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY:
        *ret = DNS_V4_ONLY;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V6_ONLY:
        *ret = DNS_V6_ONLY;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_PREFERRED:
        *ret = DNS_V4_PREFERRED;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__ALL:
        *ret = DNS_ALL;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "dns_lookup_family",
                          "value must be one of the defined enum values");
    }
}

/* Checked for every cluster, as Envoy's rules are; used by DNS clusters. */
static int parse_dns(struct parse_context *ctx, const Cluster *m, struct dns_options *ret)
{
    int r = parse_ms_or(ctx, "dns_refresh_rate", m->dns_refresh_rate, DURATION_GT_1MS,
                        DNS_REFRESH_RATE_MS, &ret->refresh_rate_ms);

    if (r == 0) {
        r = parse_ms_or(ctx, "dns_jitter", m->dns_jitter, DURATION_ANY, 0, &ret->jitter_ms);
    }
    if (r == 0) {
        r = parse_dns_family(ctx, m, &ret->lookup_family);
    }
    ret->respect_ttl = m->respect_dns_ttl;
    return r < 0 ? r : parse_dns_failure_refresh(ctx, m, ret);
}

/* There is one resolver, c-ares; naming another is refused, its options are the extension's. */
static int parse_dns_resolver(struct parse_context *ctx, const Cluster *m)
{
    struct filter_config c = {.name = STR_NONE};
    size_t at;
    int r;

    if (m->typed_dns_resolver_config == NULL) {
        return 0;
    }
    at = path_push(ctx, "typed_dns_resolver_config");
    r = parse_typed_extension(ctx, EXT_DNS_RESOLVER, m->typed_dns_resolver_config, &c);
    path_pop(ctx, at);
    return r;
}

static int parse_discovery(struct parse_context *ctx, const Cluster *m, struct cluster_config *ret)
{
    struct dns_options dns = {.lookup_family = DNS_AUTO};
    bool has_dns = false;
    size_t at;
    int r = parse_dns(ctx, m, &dns);

    if (r < 0) {
        return r;
    }
    if (m->cluster_discovery_type_case ==
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE) {
        at = path_push(ctx, "cluster_type");
        r = parse_custom_type(ctx, m->cluster_type, ret, &has_dns);
        path_pop(ctx, at);
    } else if (m->cluster_discovery_type_case ==
               ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE) {
        r = parse_discovery_enum(ctx, m, &ret->type);
    } else {
        ret->type = DISCOVERY_STATIC;
    }
    if (r < 0 || ret->type == DISCOVERY_STATIC || ret->type == DISCOVERY_EDS) {
        return r;
    }
    if (!has_dns) {
        ret->dns = dns;
        ret->dns.is_logical = ret->type == DISCOVERY_LOGICAL_DNS;
    }
    return parse_dns_resolver(ctx, m);
}

/* --- endpoints ------------------------------------------------------------------------------ */

/* Nearly every cluster says ADS, with Envoy's timeout or Istio's: those are not copied. */
static const struct config_source *keep_source(struct parse_context *ctx,
                                               const struct config_source *s)
{
    static const struct config_source ads = {.kind = CONFIG_SOURCE_ADS,
                                             .initial_fetch_timeout_ms = 15000};
    static const struct config_source ads_for_ever = {.kind = CONFIG_SOURCE_ADS};

    if (s->kind == CONFIG_SOURCE_ADS && s->initial_fetch_timeout_ms == 0) {
        return &ads_for_ever;
    }
    if (s->kind == CONFIG_SOURCE_ADS &&
        s->initial_fetch_timeout_ms == ads.initial_fetch_timeout_ms) {
        return &ads;
    }
    return arena_memdup(parse_arena(ctx), s, sizeof(*s));
}

static int parse_eds(struct parse_context *ctx, const Cluster *m, struct cluster_config *ret)
{
    const Envoy__Config__Cluster__V3__Cluster__EdsClusterConfig *e = m->eds_cluster_config;
    struct config_source source;
    struct str name;
    size_t at;
    int r;

    if (e == NULL) {
        return parse_fail(ctx, E_INVALID, "eds_cluster_config",
                          "cannot create an EDS cluster without an EDS config");
    }
    if (e->eds_config == NULL) {
        return parse_fail(ctx, E_INVALID, "eds_cluster_config",
                          "Missing config source specifier in envoy.config.core.v3.ConfigSource");
    }
    at = path_push(ctx, "eds_cluster_config.eds_config");
    r = parse_config_source(ctx, e->eds_config, &source);
    path_pop(ctx, at);
    if (r < 0) {
        return r;
    }
    ret->eds_source = keep_source(ctx, &source);
    ret->eds_service_name = parse_str(ctx, e->service_name);
    if (str_starts(ret->eds_service_name, STR("xdstp:"))) {
        return parse_fail(ctx, E_UNSUPPORTED, "eds_cluster_config.service_name",
                          "xdstp resource names are not supported");
    }
    name = ret->eds_service_name.len > 0 ? ret->eds_service_name : ret->name;
    ret->endpoints_slot = parse_slot(ctx, PART_ENDPOINTS, name);
    parse_subscribe(ctx, PART_ENDPOINTS, name, ret->eds_source, STR(""));
    return 0;
}

static int parse_own_endpoints(struct parse_context *ctx, const Cluster *m,
                               struct cluster_config *ret)
{
    struct load_assignment a = {.localities = NULL};
    size_t at;
    int r;

    if (m->eds_cluster_config != NULL) {
        return parse_fail(ctx, E_INVALID, "eds_cluster_config",
                          "eds_cluster_config set in a non-EDS cluster");
    }
    /* With the NUL behind it the name is one that no message can hold (strings with NUL are
     * refused), so it is never that of an EDS resource. */
    ret->endpoints_slot = parse_slot(ctx, PART_ENDPOINTS, str_n(ret->name.ptr, ret->name.len + 1));
    if (m->load_assignment == NULL) {
        return ret->type != DISCOVERY_LOGICAL_DNS
                   ? 0
                   : parse_fail(ctx, E_INVALID, NULL,
                                "LOGICAL_DNS clusters must have a single host");
    }
    at = path_push(ctx, "load_assignment");
    r = parse_load_assignment(ctx, m->load_assignment, ret->type != DISCOVERY_STATIC, &a);
    path_pop(ctx, at);
    if (r < 0) {
        return r;
    }
    if (ret->type == DISCOVERY_LOGICAL_DNS &&
        (a.locality_count != 1 || a.localities[0].endpoint_count != 1)) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a "
                          "single lb_endpoint");
    }
    ret->load_assignment = a.localities;
    ret->load_assignment_count = a.locality_count;
    ret->overprovisioning_factor = a.overprovisioning_factor;
    ret->weighted_priority_health = a.weighted_priority_health;
    return 0;
}

/* --- limits --------------------------------------------------------------------------------- */

static int parse_breakers(struct parse_context *ctx,
                          const Envoy__Config__Cluster__V3__CircuitBreakers *m,
                          struct circuit_breaker_limits breakers[PRIORITY_COUNT])
{
    bool is_given[PRIORITY_COUNT] = {false};

    for (int p = 0; p < PRIORITY_COUNT; p++) {
        breakers[p] = (struct circuit_breaker_limits){
            .max_connections = 1024,
            .max_pending_requests = 1024,
            .max_requests = 1024,
            .max_retries = 3,
        };
    }
    for (size_t i = 0; m != NULL && i < m->n_thresholds; i++) {
        const Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds *t = m->thresholds[i];
        struct circuit_breaker_limits *b = &breakers[t->priority == 0 ? 0 : 1];
        size_t at = path_push_index(ctx, "circuit_breakers.thresholds", i);
        int r = parse_check_enum(ctx, "priority", (int)t->priority,
                                 &envoy__config__core__v3__routing_priority__descriptor);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        if (is_given[b - breakers]) { /* as Envoy: of two for one priority the first counts */
            continue;
        }
        is_given[b - breakers] = true;
        b->max_connections = parse_u32_or(t->max_connections, b->max_connections);
        b->max_pending_requests = parse_u32_or(t->max_pending_requests, b->max_pending_requests);
        b->max_requests = parse_u32_or(t->max_requests, b->max_requests);
        b->max_retries = parse_u32_or(t->max_retries, b->max_retries);
        b->track_remaining = t->track_remaining;
    }
    return 0;
}

/* --- sockets -------------------------------------------------------------------------------- */

static int parse_bind_config(struct parse_context *ctx,
                             const Envoy__Config__Core__V3__BindConfig *m,
                             struct cluster_config *ret)
{
    size_t at;
    int r = 0;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "upstream_bind_config");
    if (m->source_address != NULL) {
        size_t inner = path_push(ctx, "source_address");

        r = parse_socket_address(ctx, m->source_address, &ret->bind_address, NULL);
        path_pop(ctx, inner);
    }
    if (r == 0) {
        r = parse_socket_options(ctx, "socket_options", m->n_socket_options, m->socket_options,
                                 &ret->socket_options, &ret->socket_option_count);
    }
    path_pop(ctx, at);
    return r;
}

static uint64_t hash_of_message(const ProtobufCMessage *m)
{
    return m != NULL ? config_message_hash(m) : 0;
}

static uint64_t mix_opt_ms(uint64_t h, const struct opt_ms *ms)
{
    return ms->is_set ? hash_mix(h, &ms->ms, sizeof(ms->ms)) : hash_mix(h, "-", 1);
}

static uint64_t mix_opt_u32(uint64_t h, const struct opt_u32 *v)
{
    return v->is_set ? hash_mix(h, &v->value, sizeof(v->value)) : hash_mix(h, "-", 1);
}

/* Of what counts towards a server. */
static uint64_t mix_http1(uint64_t h, const struct http1_options *o)
{
    const uint8_t flags[] = {
        o->enable_trailers,
        o->allow_chunked_length,
        o->send_fully_qualified_url,
        (uint8_t)o->header_key_format,
        o->header_case.forwards_reason_phrase,
        o->header_case.is_proper_otherwise,
    };

    return hash_mix(h, flags, sizeof(flags));
}

/* Field by field: what lies between them is not ours. */
static uint64_t mix_http2(uint64_t h, const struct http2_options *o)
{
    const uint64_t numbers[] = {
        o->hpack_table_size,
        o->max_concurrent_streams,
        o->initial_stream_window_size,
        o->initial_connection_window_size,
        o->grows_stream_windows,
        o->allow_connect,
        o->stream_error_on_invalid_message,
        o->max_outbound_frames,
        o->max_outbound_control_frames,
        o->max_consecutive_inbound_empty_frames,
        o->max_inbound_priority_frames_per_stream,
        o->max_inbound_window_update_frames_per_data_frame,
        o->keepalive.interval_ms,
        o->keepalive.timeout_ms,
        o->keepalive.interval_jitter,
        o->keepalive.idle_interval_ms,
        o->custom_setting_count,
    };

    h = hash_mix(h, numbers, sizeof(numbers));
    for (size_t i = 0; i < o->custom_setting_count; i++) {
        const uint32_t setting[] = {o->custom_settings[i].id, o->custom_settings[i].value};

        h = hash_mix(h, setting, sizeof(setting));
    }
    return h;
}

/* Of everything that an open upstream connection was shaped by. */
static uint64_t pool_hash_of(const Cluster *m, const struct cluster_config *c)
{
    uint64_t transport = hash_of_message((const ProtobufCMessage *)m->transport_socket);
    uint64_t h = address_is_set(&c->bind_address) ? address_hash(&c->bind_address) : 0;

    for (size_t i = 0; i < c->socket_option_count; i++) {
        const struct socket_option *o = &c->socket_options[i];
        int numbers[] = {o->level, o->name, o->int_value, (int)o->state};

        h = hash_mix(h, numbers, sizeof(numbers));
        h = hash_mix(h, o->buf_value.ptr, o->buf_value.len);
    }
    h = hash_mix(h, &c->tcp_keepalive.is_enabled, sizeof(c->tcp_keepalive.is_enabled));
    h = mix_opt_u32(h, &c->tcp_keepalive.probes);
    h = mix_opt_u32(h, &c->tcp_keepalive.time_s);
    h = mix_opt_u32(h, &c->tcp_keepalive.interval_s);
    h = hash_mix(h, &transport, sizeof(transport));
    h = mix_opt_ms(h, &c->idle_timeout);
    h = mix_opt_ms(h, &c->max_connection_duration);
    h = hash_mix(h, &c->max_connection_duration_jitter, sizeof(c->max_connection_duration_jitter));
    h = mix_opt_u32(h, &c->max_response_headers_count);
    h = mix_opt_u32(h, &c->max_response_headers_kb);
    h = hash_mix(h, &c->max_requests_per_connection, sizeof(c->max_requests_per_connection));
    h = hash_mix(h, &c->per_connection_buffer_limit_bytes,
                 sizeof(c->per_connection_buffer_limit_bytes));
    h = hash_mix(h, &c->http_protocol, sizeof(c->http_protocol));
    return mix_http2(mix_http1(h, &c->http1), &c->http2);
}

static int parse_transport_match(struct parse_context *ctx,
                                 const Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch *m,
                                 struct transport_socket_match *ret)
{
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0 && m->transport_socket == NULL) {
        r = parse_fail(ctx, E_INVALID, "transport_socket",
                       "Didn't find a registered implementation for '' with type URL: ''");
    }
    if (r == 0) {
        r = parse_transport_socket(ctx, EXT_UPSTREAM_TRANSPORT_SOCKET, m->transport_socket,
                                   &ret->ext, &ret->config);
    }
    if (r < 0) {
        return r;
    }
    ret->name = parse_str(ctx, m->name);
    ret->hash = config_message_hash(&m->transport_socket->base);
    if (m->match != NULL) {
        struct value *match = ARENA_NEW(parse_arena(ctx), struct value);

        parse_struct(ctx, m->match, match);
        ret->match = match;
    }
    return 0;
}

static int parse_transport_matches(struct parse_context *ctx, const Cluster *m,
                                   struct cluster_config *ret)
{
    size_t n = m->n_transport_socket_matches;
    struct transport_socket_match *matches =
        ARENA_ARRAY(parse_arena(ctx), struct transport_socket_match, n);

    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "transport_socket_matches", i);
        int r = parse_transport_match(ctx, m->transport_socket_matches[i], &matches[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->transport_socket_matches = matches;
    ret->transport_socket_match_count = n;
    return 0;
}

/* auto_config asks ALPN, wherever an endpoint may be spoken to. */
static int check_alpn(struct parse_context *ctx, const struct cluster_config *c)
{
    if (c->http_protocol != UPSTREAM_HTTP_AUTO) {
        return 0;
    }
    if (c->transport_socket == NULL || !c->transport_socket->negotiates_alpn) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "ALPN configured for cluster %.*s which has a non-ALPN transport socket",
                          STR_ARG(c->name));
    }
    for (size_t i = 0; i < c->transport_socket_match_count; i++) {
        if (!c->transport_socket_matches[i].ext->negotiates_alpn) {
            return parse_fail(ctx, E_INVALID, NULL,
                              "ALPN configured for cluster %.*s which has a non-ALPN transport "
                              "socket matcher",
                              STR_ARG(c->name));
        }
    }
    return 0;
}

static int parse_sockets(struct parse_context *ctx, const Cluster *m, struct cluster_config *ret)
{
    int r = parse_bind_config(ctx, m->upstream_bind_config, ret);

    if (r == 0) {
        r = parse_transport_socket(ctx, EXT_UPSTREAM_TRANSPORT_SOCKET, m->transport_socket,
                                   &ret->transport_socket, &ret->transport_socket_config);
    }
    if (r == 0) {
        r = parse_transport_matches(ctx, m, ret);
    }
    if (r == 0) {
        r = check_alpn(ctx, ret);
    }
    if (m->upstream_connection_options != NULL) {
        ret->tcp_keepalive = parse_tcp_keepalive(m->upstream_connection_options->tcp_keepalive);
    }
    return r;
}

/* --- the cluster ---------------------------------------------------------------------------- */

static void parse_tracked_stats(const Envoy__Config__Cluster__V3__Cluster *m,
                                struct cluster_config *ret)
{
    const Envoy__Config__Cluster__V3__TrackClusterStats *t = m->track_cluster_stats;

    ret->tracks_endpoints = t != NULL && t->per_endpoint_stats;
    ret->tracks_sizes = t != NULL && t->request_response_sizes;
    ret->tracks_budgets = m->track_timeout_budgets || (t != NULL && t->timeout_budgets);
}

static int parse_cluster_plain(struct parse_context *ctx, const Cluster *m,
                               struct cluster_config *ret)
{
    uint64_t ignored;
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_ms_or(ctx, "connect_timeout", m->connect_timeout, DURATION_GT_ZERO,
                        CONNECT_TIMEOUT_MS, &ret->connect_timeout_ms);
    }
    if (r == 0) { /* for ORIGINAL_DST only; the rule holds for all */
        r = parse_ms_or(ctx, "cleanup_interval", m->cleanup_interval, DURATION_GT_ZERO, 0,
                        &ignored);
    }
    if (r == 0) {
        r = parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
    }
    if (r < 0) {
        return r;
    }
    /* Usually the resource's own name: not kept twice. */
    ret->name = str_eq(ctx->part->name, str_c(m->name)) ? ctx->part->name : parse_str(ctx, m->name);
    ret->stat_name = m->alt_stat_name[0] != '\0' ? parse_str(ctx, m->alt_stat_name) : ret->name;
    ctx->cluster_stat_name = ret->stat_name;
    parse_tracked_stats(m, ret);
    ret->per_connection_buffer_limit_bytes =
        parse_u32_or(m->per_connection_buffer_limit_bytes, BUFFER_LIMIT_BYTES);
    ret->added_via_api = !ctx->is_static;
    ret->overprovisioning_factor = 140;
    return parse_breakers(ctx, m->circuit_breakers, ret->breakers);
}

int parse_cluster(struct parse_context *ctx, const Cluster *m, struct cluster_config *ret)
{
    int r = parse_cluster_plain(ctx, m, ret);

    if (r == 0) {
        r = parse_discovery(ctx, m, ret);
    }
    if (r == 0) {
        r = ret->type == DISCOVERY_EDS ? parse_eds(ctx, m, ret) : parse_own_endpoints(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_cluster_lb(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_cluster_http(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_sockets(ctx, m, ret);
    }
    if (r == 0) {
        ret->pool_hash = pool_hash_of(m, ret);
    }
    return r;
}
