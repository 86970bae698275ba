/* How a cluster balances (in both spellings) and which HTTP it speaks. Main thread. */

#include <math.h>

#include "config/any.h"
#include "config/parse/check.h"
#include "config/parse/cluster_internal.h"
#include "config/parse/extension.h"
#include "config/parse/protocol.h"
#include "dataplane/base/str.h"

#define PANIC_THRESHOLD_PERCENT 50.0
#define CHOICE_COUNT 2

typedef Envoy__Config__Cluster__V3__Cluster Cluster;

/* --- balancing ------------------------------------------------------------------------------ */

static bool lb_is_registered(const struct parse_context *ctx, const Google__Protobuf__Any *any)
{
    return any != NULL &&
           extension_find(ctx->registry, EXT_LOAD_BALANCING_POLICY, any_type_name(any)) != NULL;
}

/* load_balancing_policy: the first policy that is there. */
static int parse_lb_policies(struct parse_context *ctx,
                             const Envoy__Config__Cluster__V3__LoadBalancingPolicy *m,
                             struct cluster_config *ret)
{
    struct strbuf names;
    int r;

    for (size_t i = 0; i < m->n_policies; i++) {
        const Envoy__Config__Core__V3__TypedExtensionConfig *t =
            m->policies[i]->typed_extension_config;
        struct filter_config c = {.name = STR_NONE};
        size_t at = path_push_index(ctx, "load_balancing_policy.policies", i);

        (void)path_push(ctx, "typed_extension_config"); /* popped with the index */
        r = t != NULL ? parse_check_not_empty(ctx, "name", t->name) : 0;
        if (r == 0 && t != NULL && lb_is_registered(ctx, t->typed_config)) {
            r = parse_typed_extension(ctx, EXT_LOAD_BALANCING_POLICY, t, &c);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        if (c.config != NULL) {
            ret->lb = *(const struct lb_config *)c.config;
            return 0;
        }
    }
    strbuf_init(&names);
    for (size_t i = 0; i < m->n_policies; i++) {
        if (m->policies[i]->typed_extension_config != NULL) {
            strbuf_addf(&names, "%s%s", names.len > 0 ? ", " : "",
                        m->policies[i]->typed_extension_config->name);
        }
    }
    r = parse_fail(ctx, E_UNSUPPORTED, "load_balancing_policy",
                   "cluster: didn't find a registered load balancer factory implementation for "
                   "cluster: '%.*s' with names from [%.*s]",
                   STR_ARG(ret->name), (int)names.len, names.len > 0 ? names.ptr : "");
    strbuf_done(&names);
    return r;
}

static int parse_least_request(struct parse_context *ctx, const Cluster *m, struct lb_config *ret)
{
    const Envoy__Config__Cluster__V3__Cluster__LeastRequestLbConfig *l;

    ret->kind = LB_LEAST_REQUEST;
    ret->choice_count = CHOICE_COUNT;
    ret->active_request_bias = 1.0;
    if (m->lb_config_case !=
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG) {
        return 0;
    }
    l = m->least_request_lb_config;
    ret->choice_count = parse_u32_or(l->choice_count, CHOICE_COUNT);
    if (ret->choice_count < 2) {
        return parse_fail(ctx, E_INVALID, "least_request_lb_config.choice_count",
                          "value must be greater than or equal to 2");
    }
    /* As Envoy: a negative bias is taken for the default. */
    if (l->active_request_bias != NULL && l->active_request_bias->default_value >= 0) {
        ret->active_request_bias = l->active_request_bias->default_value;
    }
    return 0;
}

/* The older spelling. A *_lb_config of another policy is, as in Envoy, not looked at. */
static int parse_lb_policy_enum(struct parse_context *ctx, const Cluster *m,
                                struct cluster_config *ret)
{
    switch (m->lb_policy) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__ROUND_ROBIN:
        ret->lb.kind = LB_ROUND_ROBIN;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LEAST_REQUEST:
        return parse_least_request(ctx, m, &ret->lb);
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RANDOM:
        ret->lb.kind = LB_RANDOM;
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED:
        return parse_fail(ctx, E_INVALID, "lb_policy",
                          "cluster manager: cluster provided LB specified but cluster '%.*s' did "
                          "not provide one. Check cluster documentation.",
                          STR_ARG(ret->name));
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LOAD_BALANCING_POLICY_CONFIG:
        return parse_fail(ctx, E_INVALID, "lb_policy",
                          "cluster: field load_balancing_policy need to be set");
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RING_HASH:
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__MAGLEV:
        return parse_fail(ctx, E_UNSUPPORTED, "lb_policy",
                          "RING_HASH and MAGLEV are not supported");
    default:
        return parse_fail(ctx, E_INVALID, "lb_policy",
                          "value must be one of the defined enum values");
    }
}

static int parse_panic_threshold(struct parse_context *ctx,
                                 const Envoy__Config__Cluster__V3__Cluster__CommonLbConfig *m,
                                 double *ret)
{
    *ret = PANIC_THRESHOLD_PERCENT;
    if (m == NULL || m->healthy_panic_threshold == NULL) {
        return 0;
    }
    *ret = m->healthy_panic_threshold->value;
    if (isnan(*ret) || *ret < 0 || *ret > 100) {
        return parse_fail(ctx, E_INVALID, "common_lb_config.healthy_panic_threshold",
                          "Value not in the range of 0..100 range.");
    }
    return 0;
}

int parse_cluster_lb(struct parse_context *ctx, const Cluster *m, struct cluster_config *ret)
{
    const Envoy__Config__Cluster__V3__Cluster__CommonLbConfig *common = m->common_lb_config;
    bool is_locality_weighted =
        common != NULL &&
        common->locality_config_specifier_case ==
            ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
    int r = parse_panic_threshold(ctx, common, &ret->panic_threshold);

    if (r < 0) {
        return r;
    }
    if (m->load_balancing_policy == NULL) {
        r = parse_lb_policy_enum(ctx, m, ret);
        ret->lb.locality_weighted = is_locality_weighted;
        return r;
    }
    if (is_locality_weighted) {
        return parse_fail(ctx, E_INVALID, "common_lb_config",
                          "cluster: load_balancing_policy cannot be combined with partial fields "
                          "(zone_aware_lb_config, locality_weighted_lb_config, "
                          "consistent_hashing_lb_config) of common_lb_config");
    }
    return parse_lb_policies(ctx, m->load_balancing_policy, ret);
}

/* --- HTTP ----------------------------------------------------------------------------------- */

/* NULL when there are none. */
static int parse_protocol_options(struct parse_context *ctx, const Cluster *m,
                                  const struct upstream_http_options **ret)
{
    static const char http_name[] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

    for (size_t i = 0; i < m->n_typed_extension_protocol_options; i++) {
        const char *key = m->typed_extension_protocol_options[i]->key;
        struct filter_config c = {.name = STR_NONE};
        size_t at = path_push_key(ctx, "typed_extension_protocol_options", key);
        int r;

        if (!str_eq(str_c(key), str_c(http_name))) {
            return parse_fail(ctx, E_UNSUPPORTED, NULL,
                              "Didn't find a registered network or http filter or protocol "
                              "options implementation for name: '%s'",
                              key);
        }
        r = parse_extension(ctx, EXT_UPSTREAM_OPTIONS, key, "value",
                            m->typed_extension_protocol_options[i]->value, &c);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        *ret = c.config;
    }
    return 0;
}

static void use_http_options(struct cluster_config *c, const struct upstream_http_options *o)
{
    c->http_protocol = o->protocol;
    c->http2 = o->http2;
    c->http1 = o->http1;
    c->auto_sni = o->auto_sni;
    c->auto_san_validation = o->auto_san_validation;
    c->override_auto_sni_header = o->override_auto_sni_header;
    if (!o->has_common) {
        return;
    }
    c->idle_timeout = o->common.idle_timeout;
    c->max_connection_duration = o->common.max_connection_duration;
    c->max_stream_duration = o->common.max_stream_duration;
    c->max_response_headers_count = o->common.max_headers_count;
    c->max_response_headers_kb = o->common.max_response_headers_kb;
    c->max_connection_duration_jitter = o->common.max_connection_duration_jitter;
    if (o->common.max_requests_per_connection.is_set) {
        c->max_requests_per_connection = o->common.max_requests_per_connection.value;
    }
}

static int check_legacy_selection(struct parse_context *ctx, const Cluster *m)
{
    if (m->protocol_selection ==
            ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_PROTOCOL_SELECTION__USE_CONFIGURED_PROTOCOL &&
        m->http_protocol_options != NULL && m->http2_protocol_options != NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "cluster: Both HTTP1 and HTTP2 options may only be configured with "
                          "non-default 'protocol_selection' values");
    }
    return 0;
}

/* The older spelling: the same options as fields of the cluster. As Envoy, they count only where
 * the typed ones are not there. */
static int parse_legacy_options(struct parse_context *ctx, const Cluster *m,
                                struct upstream_http_options *o)
{
    bool is_downstream =
        m->protocol_selection ==
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_PROTOCOL_SELECTION__USE_DOWNSTREAM_PROTOCOL;
    int r = parse_http2_options(ctx, "http2_protocol_options", m->http2_protocol_options, false,
                                (struct opt_bool){.is_set = false}, &o->http2);

    if (r == 0) {
        r = check_legacy_selection(ctx, m);
    }
    if (r == 0) {
        r = parse_http_options(ctx, "common_http_protocol_options", m->common_http_protocol_options,
                               &o->common);
    }
    o->has_common = m->common_http_protocol_options != NULL;
    if (r == 0) {
        r = parse_http1_options(ctx, m->http_protocol_options, false, &o->http1);
    }
    o->protocol = is_downstream                       ? UPSTREAM_HTTP_DOWNSTREAM
                  : m->http2_protocol_options != NULL ? UPSTREAM_HTTP2
                                                      : UPSTREAM_HTTP1;
    return r;
}

int parse_cluster_http(struct parse_context *ctx, const Cluster *m, struct cluster_config *ret)
{
    const struct upstream_http_options *typed = NULL;
    struct upstream_http_options legacy = {.protocol = UPSTREAM_HTTP1};
    const struct upstream_http_options *o;
    int r = parse_upstream_http_options(ctx, m->upstream_http_protocol_options, &legacy);

    if (r == 0) {
        r = parse_protocol_options(ctx, m, &typed);
    }
    if (r == 0 && typed == NULL) {
        r = parse_legacy_options(ctx, m, &legacy);
    }
    if (r < 0) {
        return r;
    }
    o = typed != NULL ? typed : &legacy;
    if (m->max_requests_per_connection != NULL && o->has_common &&
        o->common.max_requests_per_connection.is_set) {
        return parse_fail(ctx, E_INVALID, "max_requests_per_connection",
                          "Only one of max_requests_per_connection from Cluster or "
                          "HttpProtocolOptions can be specified");
    }
    ret->max_requests_per_connection = parse_u32_or(m->max_requests_per_connection, 0);
    use_http_options(ret, o);
    return 0;
}
