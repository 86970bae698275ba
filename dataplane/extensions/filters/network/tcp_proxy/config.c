/*
 * Reads and checks a TcpProxy message, with Envoy's rules and words. Main thread.
 *
 * metadata_match (there is no subset balancer) and on_demand are not in the subset of the protos:
 * they are reported as unsupported.
 */

#include "dataplane/extensions/filters/network/tcp_proxy/config.h"

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/format.h"
#include "config/parse/header_ops.h"
#include "config/parse/log_filter.h"
#include "dataplane/event/loop.h"
#include "proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h"

/* protoc-c's names are as long as the path. */
#define TCP_PROXY(suffix) Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy##suffix
#define TCP_PROXY_ENUM(suffix)                                                                     \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__##suffix

#define IDLE_TIMEOUT_DEFAULT_MS (3600 * UINT64_C(1000))
#define BACKOFF_MAX_FACTOR 10
#define EARLY_DATA_MAX (1024 * 1024)

typedef TCP_PROXY() tcp_proxy_message;

/* --- stats -------------------------------------------------------------------------------- */

static const struct stat_def tcp_proxy_stat_defs[TCP_PROXY_STAT_COUNT] = {
#define TCP_PROXY_STAT_DEF(id, name, kind) [TCP_PROXY_##id] = {name, kind},
    TCP_PROXY_STAT_LIST(TCP_PROXY_STAT_DEF)
#undef TCP_PROXY_STAT_DEF
};

const struct stat_schema tcp_proxy_stat_schema = {
    .defs = tcp_proxy_stat_defs,
    .count = TCP_PROXY_STAT_COUNT,
    .shown_untouched = true,
};

static void tcp_proxy_scope_free(void *object)
{
    stat_scope_unref(object);
}

static void tcp_proxy_make_scope(struct parse_context *ctx, struct tcp_proxy_config *c)
{
    if (ctx->stats == NULL) {
        return;
    }
    c->stats = stat_scope_ref(ctx->stats, &(struct stat_scope_spec){
                                              .prefix = arena_printf(parse_arena(ctx), "tcp.%.*s.",
                                                                     STR_ARG(c->stat_prefix)),
                                              .tagged_prefix = STR("tcp."),
                                              .tags = {{STR("envoy.tcp_prefix"), c->stat_prefix}},
                                              .tag_count = 1,
                                              .schema = &tcp_proxy_stat_schema,
                                          });
    part_on_free(ctx->part, tcp_proxy_scope_free, c->stats);
    (void)stat_scope_block(c->stats, LOOP_MAIN_INDEX); /* zeros are shown from the start */
}

/* --- clusters ----------------------------------------------------------------------------- */

static int tcp_proxy_parse_weighted(struct parse_context *ctx,
                                    const TCP_PROXY(__WeightedCluster) * m,
                                    struct tcp_proxy_config *c)
{
    struct tcp_cluster *clusters = ARENA_ARRAY(parse_arena(ctx), struct tcp_cluster, m->n_clusters);

    if (m->n_clusters == 0) {
        return parse_fail(ctx, E_INVALID, "clusters", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_clusters; i++) {
        size_t at = path_push_index(ctx, "clusters", i);
        int r = parse_check_not_empty(ctx, "name", m->clusters[i]->name);

        if (r == 0 && m->clusters[i]->weight == 0) {
            r = parse_fail(ctx, E_INVALID, "weight", "value must be greater than or equal to 1");
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        clusters[i].name = parse_str(ctx, m->clusters[i]->name);
        clusters[i].slot = parse_slot(ctx, PART_CLUSTER, clusters[i].name);
        clusters[i].weight = m->clusters[i]->weight;
        c->total_weight += clusters[i].weight;
    }
    c->clusters = clusters;
    c->cluster_count = m->n_clusters;
    c->is_weighted = true;
    return 0;
}

static int tcp_proxy_parse_clusters(struct parse_context *ctx, const tcp_proxy_message *m,
                                    struct tcp_proxy_config *c)
{
    struct tcp_cluster *one;
    size_t at;
    int r;

    switch (m->cluster_specifier_case) {
    case TCP_PROXY_ENUM(CLUSTER_SPECIFIER_CLUSTER):
        if (m->cluster[0] == '\0') {
            return 0; /* as Envoy: accepted, and leads nowhere */
        }
        one = ARENA_NEW(parse_arena(ctx), struct tcp_cluster);
        one->name = parse_str(ctx, m->cluster);
        one->slot = parse_slot(ctx, PART_CLUSTER, one->name);
        one->weight = 1;
        c->clusters = one;
        c->cluster_count = 1;
        c->total_weight = 1;
        return 0;
    case TCP_PROXY_ENUM(CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS):
        at = path_push(ctx, "weighted_clusters");
        r = tcp_proxy_parse_weighted(ctx, m->weighted_clusters, c);
        path_pop(ctx, at);
        return r;
    default:
        return parse_fail(ctx, E_INVALID, "cluster_specifier", "value is required");
    }
}

static int tcp_proxy_parse_hash(struct parse_context *ctx, const tcp_proxy_message *m,
                                struct tcp_proxy_config *c)
{
    const Envoy__Type__V3__HashPolicy *policy;
    size_t at;
    int r = 0;

    if (m->n_hash_policy == 0) {
        return 0;
    }
    if (m->n_hash_policy > 1) {
        return parse_fail(ctx, E_INVALID, "hash_policy",
                          "value must contain no more than 1 item(s)");
    }
    at = path_push_index(ctx, "hash_policy", 0);
    policy = m->hash_policy[0];
    switch (policy->policy_specifier_case) {
    case ENVOY__TYPE__V3__HASH_POLICY__POLICY_SPECIFIER_SOURCE_IP:
        c->hash_policy = TCP_HASH_SOURCE_IP;
        break;
    case ENVOY__TYPE__V3__HASH_POLICY__POLICY_SPECIFIER_FILTER_STATE:
        c->hash_policy = TCP_HASH_FILTER_STATE;
        c->hash_key = parse_str(ctx, policy->filter_state->key);
        r = parse_check_not_empty(ctx, "filter_state.key", policy->filter_state->key);
        break;
    default:
        r = parse_fail(ctx, E_INVALID, "policy_specifier", "value is required");
    }
    path_pop(ctx, at);
    return r;
}

/* --- times -------------------------------------------------------------------------------- */

static int tcp_proxy_parse_duration(struct parse_context *ctx, const tcp_proxy_message *m,
                                    struct tcp_proxy_config *c)
{
    const Envoy__Type__V3__Percent *jitter =
        m->max_downstream_connection_duration_jitter_percentage;
    int r = parse_ms_or(ctx, "idle_timeout", m->idle_timeout, DURATION_ANY, IDLE_TIMEOUT_DEFAULT_MS,
                        &c->idle_timeout_ms);

    if (r == 0) {
        r = parse_ms_or(ctx, "max_downstream_connection_duration",
                        m->max_downstream_connection_duration, DURATION_GTE_1MS, 0,
                        &c->max_duration_ms);
    }
    if (r < 0 || jitter == NULL) {
        return r;
    }
    if (!(jitter->value >= 0 && jitter->value <= 100)) {
        return parse_fail(ctx, E_INVALID,
                          "max_downstream_connection_duration_jitter_percentage.value",
                          "value must be inside range [0, 100]");
    }
    c->max_duration_jitter = jitter->value;
    return 0;
}

static int tcp_proxy_parse_backoff(struct parse_context *ctx,
                                   const Envoy__Config__Core__V3__BackoffStrategy *m,
                                   struct tcp_proxy_config *c)
{
    int r = parse_check_present(ctx, "base_interval", m->base_interval);

    if (r == 0) {
        r = parse_ms_or(ctx, "base_interval", m->base_interval, DURATION_GTE_1MS, 0,
                        &c->backoff_base_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "max_interval", m->max_interval, DURATION_GT_ZERO,
                        c->backoff_base_ms * BACKOFF_MAX_FACTOR, &c->backoff_max_ms);
    }
    if (r == 0 && c->backoff_max_ms < c->backoff_base_ms) {
        r = parse_fail(ctx, E_INVALID, NULL,
                       "max_backoff_interval must be greater or equal to base_backoff_interval");
    }
    return r;
}

static int tcp_proxy_parse_attempts(struct parse_context *ctx, const tcp_proxy_message *m,
                                    struct tcp_proxy_config *c)
{
    size_t at;
    int r;

    c->max_connect_attempts = 1;
    if (m->max_connect_attempts != NULL) {
        c->max_connect_attempts = m->max_connect_attempts->value;
        if (c->max_connect_attempts == 0) {
            return parse_fail(ctx, E_INVALID, "max_connect_attempts",
                              "value must be greater than or equal to 1");
        }
    }
    if (m->backoff_options == NULL) {
        return 0;
    }
    at = path_push(ctx, "backoff_options");
    r = tcp_proxy_parse_backoff(ctx, m->backoff_options, c);
    path_pop(ctx, at);
    return r;
}

/* --- tunnels ------------------------------------------------------------------------------ */

static int tcp_proxy_parse_tunnel_fields(struct parse_context *ctx,
                                         const TCP_PROXY(__TunnelingConfig) * m,
                                         struct tcp_tunnel_config *t)
{
    const struct header_ops_fields headers = {
        .add_field = "headers_to_add",
        .add_count = m->n_headers_to_add,
        .add = m->headers_to_add,
    };
    int r = parse_check_not_empty(ctx, "hostname", m->hostname);

    if (r == 0) {
        r = parse_format(ctx, "hostname", parse_str(ctx, m->hostname), &t->hostname);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, &headers, &t->headers);
    }
    if (r == 0 && m->post_path[0] != '\0' && !m->use_post) {
        r = parse_fail(ctx, E_INVALID, NULL, "Can't set a post path when POST method isn't used");
    }
    t->is_post = m->use_post;
    t->post_path = m->post_path[0] != '\0' ? parse_str(ctx, m->post_path) : STR("/");
    t->keeps_response_headers = m->propagate_response_headers;
    t->keeps_response_trailers = m->propagate_response_trailers;
    return r;
}

static int tcp_proxy_parse_tunnel(struct parse_context *ctx, const tcp_proxy_message *m,
                                  struct tcp_proxy_config *c)
{
    struct tcp_tunnel_config *t;
    size_t at;
    int r;

    if (m->tunneling_config == NULL) {
        return 0;
    }
    t = ARENA_NEW(parse_arena(ctx), struct tcp_tunnel_config);
    at = path_push(ctx, "tunneling_config");
    r = tcp_proxy_parse_tunnel_fields(ctx, m->tunneling_config, t);
    path_pop(ctx, at);
    c->tunnel = t;
    return r;
}

/* --- what is said and read before there is a connection ----------------------------------- */

static int tcp_proxy_parse_early(struct parse_context *ctx, const tcp_proxy_message *m,
                                 struct tcp_proxy_config *c)
{
    int r = parse_check_enum(
        ctx, "upstream_connect_mode", (int)m->upstream_connect_mode,
        &envoy__extensions__filters__network__tcp_proxy__v3__upstream_connect_mode__descriptor);

    if (r < 0) {
        return r;
    }
    c->connect_mode = (enum tcp_connect_mode)m->upstream_connect_mode; /* same order */
    c->max_early_data_bytes = parse_opt_u32(m->max_early_data_bytes);
    if (c->max_early_data_bytes.value > EARLY_DATA_MAX) {
        return parse_fail(ctx, E_INVALID, "max_early_data_bytes",
                          "value must be less than or equal to %d", EARLY_DATA_MAX);
    }
    if (c->connect_mode != TCP_CONNECT_AT_ONCE && !c->max_early_data_bytes.is_set) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "max_early_data_bytes must be set when upstream_connect_mode is not "
                          "IMMEDIATE");
    }
    return 0;
}

static int tcp_proxy_parse_tlv(struct parse_context *ctx,
                               const Envoy__Config__Core__V3__TlvEntry *m, struct tcp_tlv *ret)
{
    if (m->type > UINT8_MAX) {
        return parse_fail(ctx, E_INVALID, "type", "value must be less than 256");
    }
    if ((m->value.len > 0) == (m->format_string != NULL)) {
        return parse_fail(ctx, E_INVALID, NULL, "Invalid TLV configuration: %s be set.",
                          m->value.len > 0 ? "only one of 'value' or 'format_string' may"
                                           : "one of 'value' or 'format_string' must");
    }
    ret->type = (uint8_t)m->type;
    ret->value = parse_bytes(ctx, m->value);
    return parse_optional_format(ctx, "format_string", m->format_string, &ret->format);
}

static int tcp_proxy_parse_tlvs(struct parse_context *ctx, const tcp_proxy_message *m,
                                struct tcp_proxy_config *c)
{
    struct tcp_tlv *tlvs = ARENA_ARRAY(parse_arena(ctx), struct tcp_tlv, m->n_proxy_protocol_tlvs);
    int r = parse_check_enum(
        ctx, "proxy_protocol_tlv_merge_policy", (int)m->proxy_protocol_tlv_merge_policy,
        &envoy__extensions__filters__network__tcp_proxy__v3__proxy_protocol_tlv_merge_policy__descriptor);

    for (int formatted = 0; formatted <= 1; formatted++) { /* as Envoy: fixed ones first */
        for (size_t i = 0; r == 0 && i < m->n_proxy_protocol_tlvs; i++) {
            size_t at = path_push_index(ctx, "proxy_protocol_tlvs", i);

            if ((m->proxy_protocol_tlvs[i]->format_string != NULL) == formatted) {
                r = tcp_proxy_parse_tlv(ctx, m->proxy_protocol_tlvs[i], &tlvs[c->tlv_count++]);
            }
            path_pop(ctx, at);
        }
    }
    c->tlvs = tlvs;
    c->tlv_merge = (enum tcp_tlv_merge)m->proxy_protocol_tlv_merge_policy; /* same order */
    return r;
}

/* --- access logs -------------------------------------------------------------------------- */

static int tcp_proxy_parse_log_options(struct parse_context *ctx, const tcp_proxy_message *m,
                                       struct tcp_proxy_config *c)
{
    const TCP_PROXY(__TcpAccessLogOptions) *o = m->access_log_options;
    size_t at;
    int r;

    if (o == NULL) {
        c->logs_connected = m->flush_access_log_on_connected;
        return parse_ms_or(ctx, "access_log_flush_interval", m->access_log_flush_interval,
                           DURATION_GTE_1MS, 0, &c->log_interval_ms);
    }
    if (m->flush_access_log_on_connected) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Only one of flush_access_log_on_connected or access_log_options can be "
                          "specified.");
    }
    if (m->access_log_flush_interval != NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Only one of access_log_flush_interval or access_log_options can be "
                          "specified.");
    }
    c->logs_start = o->flush_access_log_on_start;
    c->logs_connected = o->flush_access_log_on_connected;
    at = path_push(ctx, "access_log_options");
    r = parse_ms_or(ctx, "access_log_flush_interval", o->access_log_flush_interval,
                    DURATION_GTE_1MS, 0, &c->log_interval_ms);
    path_pop(ctx, at);
    return r;
}

static int tcp_proxy_parse_logs(struct parse_context *ctx, const tcp_proxy_message *m,
                                struct tcp_proxy_config *c)
{
    int r = tcp_proxy_parse_log_options(ctx, m, c);

    return r < 0 ? r
                 : parse_access_logs(ctx, "access_log", m->n_access_log, m->access_log,
                                     &c->access_logs);
}

/* --- all of it ---------------------------------------------------------------------------- */

typedef int tcp_proxy_parse_fn(struct parse_context *ctx, const tcp_proxy_message *m,
                               struct tcp_proxy_config *c);

int tcp_proxy_parse(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret_config)
{
    static tcp_proxy_parse_fn *const pieces[] = {
        tcp_proxy_parse_clusters, tcp_proxy_parse_hash,   tcp_proxy_parse_duration,
        tcp_proxy_parse_attempts, tcp_proxy_parse_tunnel, tcp_proxy_parse_early,
        tcp_proxy_parse_tlvs,     tcp_proxy_parse_logs,
    };
    const tcp_proxy_message *m = (const tcp_proxy_message *)msg;
    struct tcp_proxy_config *c = ARENA_NEW(parse_arena(ctx), struct tcp_proxy_config);
    int r = parse_check_not_empty(ctx, "stat_prefix", m->stat_prefix);

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(pieces); i++) {
        r = pieces[i](ctx, m, c);
    }
    if (r < 0) {
        return r;
    }
    c->stat_prefix = parse_str(ctx, m->stat_prefix);
    c->checks_drain_close = parse_bool_or(m->check_drain_close, false);
    tcp_proxy_make_scope(ctx, c);
    *ret_config = c;
    return 0;
}
