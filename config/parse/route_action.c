/* What a route does: forward, redirect, answer. Main thread. */

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/format.h"
#include "config/parse/header_ops.h"
#include "config/parse/matcher.h"
#include "config/parse/route_internal.h"

#define STATUS_MIN 200
#define STATUS_END 600

/* --- clusters ------------------------------------------------------------------------------- */

static int parse_cluster_name(struct parse_context *ctx, const struct route_scope *scope,
                              const char *name, const char *what, struct str *ret_name,
                              uint32_t *ret_slot)
{
    *ret_name = parse_str(ctx, name);
    if (scope->validate_clusters && !parse_has(ctx, PART_CLUSTER, *ret_name)) {
        return parse_fail(ctx, E_INVALID, NULL, "route: unknown %s '%s'", what, name);
    }
    *ret_slot = parse_slot(ctx, PART_CLUSTER, *ret_name);
    return 0;
}

static int parse_cluster_weight(struct parse_context *ctx, const struct route_scope *scope,
                                const Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *m,
                                struct weighted_cluster *ret)
{
    struct header_ops_fields *request = HEADER_OPS_FIELDS(m, request);
    struct header_ops_fields *response = HEADER_OPS_FIELDS(m, response);
    int r = parse_check_header_text(ctx, "cluster_header", m->cluster_header);

    ret->slot = SLOT_NONE;
    if (r < 0) {
        return r;
    }
    if (m->name[0] != '\0' && m->cluster_header[0] != '\0') {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Only one of name or cluster_header can be specified");
    }
    if (m->name[0] == '\0' && m->cluster_header[0] == '\0') {
        return parse_fail(ctx, E_INVALID, NULL,
                          "At least one of name or cluster_header need to be specified");
    }
    r = parse_check_present(ctx, "weight", m->weight);
    if (r < 0) {
        return r;
    }
    ret->weight = m->weight->value;
    if (m->name[0] != '\0') {
        r = parse_cluster_name(ctx, scope, m->name, "weighted cluster", &ret->name, &ret->slot);
    } else {
        ret->cluster_header = parse_lower(ctx, m->cluster_header);
    }
    if (r == 0 &&
        m->host_rewrite_specifier_case ==
            ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL) {
        ret->host_rewrite = parse_str(ctx, m->host_rewrite_literal);
        r = parse_check_header_text(ctx, "host_rewrite_literal", m->host_rewrite_literal);
    }
    request->remove_may_be_empty = true;
    response->remove_may_be_empty = true;
    if (r == 0) {
        r = parse_header_ops(ctx, request, &ret->request_headers);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, response, &ret->response_headers);
    }
    return r == 0 ? parse_filter_overrides(ctx, FILTER_OVERRIDE_FIELDS(m), &ret->overrides) : r;
}

static int parse_weighted_clusters(struct parse_context *ctx, const struct route_scope *scope,
                                   const Envoy__Config__Route__V3__WeightedCluster *m,
                                   const char *route_name, struct route_forward *ret)
{
    struct weighted_cluster *clusters;

    if (m->n_clusters == 0) {
        return parse_fail(ctx, E_INVALID, "clusters", "value must contain at least 1 item(s)");
    }
    clusters = ARENA_ARRAY(parse_arena(ctx), struct weighted_cluster, m->n_clusters);
    for (size_t i = 0; i < m->n_clusters; i++) {
        size_t at = path_push_index(ctx, "clusters", i);
        int r = parse_cluster_weight(ctx, scope, m->clusters[i], &clusters[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        ret->total_weight += clusters[i].weight;
    }
    if (ret->total_weight > UINT32_MAX) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "The sum of weights of all weighted clusters of route %s exceeds %u",
                          route_name, UINT32_MAX);
    }
    if (ret->total_weight == 0) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Sum of weights in the weighted_cluster must be greater than 0.");
    }
    ret->weighted = clusters;
    ret->weighted_count = m->n_clusters;
    if (m->random_value_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__RANDOM_VALUE_SPECIFIER_HEADER_NAME) {
        ret->weight_header = parse_lower(ctx, m->header_name);
        return parse_check_header_text(ctx, "header_name", m->header_name);
    }
    return 0; /* total_weight is deprecated and, as in Envoy, not compared */
}

static int parse_cluster_specifier(struct parse_context *ctx, const struct route_scope *scope,
                                   const Envoy__Config__Route__V3__RouteAction *m,
                                   const char *route_name, struct route_forward *ret)
{
    size_t at;
    int r;

    ret->cluster_slot = SLOT_NONE;
    switch (m->cluster_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER:
        r = parse_check_not_empty(ctx, "cluster", m->cluster);
        return r < 0 ? r
                     : parse_cluster_name(ctx, scope, m->cluster, "cluster", &ret->cluster_name,
                                          &ret->cluster_slot);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_HEADER:
        ret->cluster_header = parse_lower(ctx, m->cluster_header);
        r = parse_check_not_empty(ctx, "cluster_header", m->cluster_header);
        return r < 0 ? r : parse_check_header_text(ctx, "cluster_header", m->cluster_header);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS:
        at = path_push(ctx, "weighted_clusters");
        r = parse_weighted_clusters(ctx, scope, m->weighted_clusters, route_name, ret);
        path_pop(ctx, at);
        return r;
    default:
        return parse_fail(ctx, E_INVALID, "cluster_specifier", "value is required");
    }
}

/* --- forward -------------------------------------------------------------------------------- */

static int parse_host_rewrite(struct parse_context *ctx,
                              const Envoy__Config__Route__V3__RouteAction *m,
                              struct route_forward *ret)
{
    size_t at;
    int r;

    switch (m->host_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL:
        ret->host_rewrite_literal = parse_str(ctx, m->host_rewrite_literal);
        return parse_check_header_text(ctx, "host_rewrite_literal", m->host_rewrite_literal);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_HEADER:
        ret->host_rewrite_header = parse_lower(ctx, m->host_rewrite_header);
        return parse_check_header_text(ctx, "host_rewrite_header", m->host_rewrite_header);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE:
        ret->auto_host_rewrite = m->auto_host_rewrite->value;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_PATH_REGEX:
        at = path_push(ctx, "host_rewrite_path_regex");
        r = parse_regex_rewrite(ctx, m->host_rewrite_path_regex, &ret->host_rewrite_path_regex);
        path_pop(ctx, at);
        return r;
    default:
        return 0;
    }
}

static int parse_path_rewrite(struct parse_context *ctx,
                              const Envoy__Config__Route__V3__RouteAction *m,
                              struct route_forward *ret)
{
    size_t at;
    int r = parse_check_header_text(ctx, "prefix_rewrite", m->prefix_rewrite);

    ret->prefix_rewrite = parse_str(ctx, m->prefix_rewrite);
    if (r < 0 || m->regex_rewrite == NULL) {
        return r;
    }
    if (ret->prefix_rewrite.len > 0) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Specify only one of prefix_rewrite, regex_rewrite or "
                          "path_rewrite_policy");
    }
    at = path_push(ctx, "regex_rewrite");
    r = parse_regex_rewrite(ctx, m->regex_rewrite, &ret->path_regex_rewrite);
    path_pop(ctx, at);
    return r;
}

/* As Envoy: only CONNECT and CONNECT-UDP can end here. */
static int parse_connect_config(struct parse_context *ctx,
                                const Envoy__Config__Route__V3__RouteAction__UpgradeConfig *m,
                                struct route_upgrade *ret)
{
    if (m->connect_config == NULL) {
        return 0;
    }
    if (str_eq_nocase(ret->type, STR("CONNECT-UDP"))) {
        return parse_fail(ctx, E_UNSUPPORTED, "connect_config", "CONNECT-UDP is not supported");
    }
    if (!str_eq_nocase(ret->type, STR("CONNECT"))) {
        return parse_fail(ctx, E_INVALID, NULL, "Non-CONNECT upgrade type %s has ConnectConfig",
                          m->upgrade_type);
    }
    ret->terminates_connect = true;
    ret->allow_post = m->connect_config->allow_post;
    return 0;
}

static int parse_upgrade(struct parse_context *ctx,
                         const Envoy__Config__Route__V3__RouteAction__UpgradeConfig *m,
                         const struct route_upgrade *earlier, size_t earlier_count,
                         struct route_upgrade *ret)
{
    int r = parse_check_not_empty(ctx, "upgrade_type", m->upgrade_type);

    if (r == 0) {
        r = parse_check_header_text(ctx, "upgrade_type", m->upgrade_type);
    }
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < earlier_count; i++) {
        if (str_eq_nocase(earlier[i].type, str_c(m->upgrade_type))) {
            return parse_fail(ctx, E_INVALID, NULL, "Duplicate upgrade %s", m->upgrade_type);
        }
    }
    ret->type = parse_str(ctx, m->upgrade_type);
    ret->is_enabled = parse_bool_or(m->enabled, true);
    return parse_connect_config(ctx, m, ret);
}

static int parse_upgrades(struct parse_context *ctx, const Envoy__Config__Route__V3__RouteAction *m,
                          struct route_forward *ret)
{
    struct route_upgrade *upgrades;

    if (m->n_upgrade_configs == 0) {
        return 0;
    }
    upgrades = ARENA_ARRAY(parse_arena(ctx), struct route_upgrade, m->n_upgrade_configs);
    for (size_t i = 0; i < m->n_upgrade_configs; i++) {
        size_t at = path_push_index(ctx, "upgrade_configs", i);
        int r = parse_upgrade(ctx, m->upgrade_configs[i], upgrades, i, &upgrades[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->upgrades = upgrades;
    ret->upgrade_count = m->n_upgrade_configs;
    return 0;
}

static int parse_durations(struct parse_context *ctx,
                           const Envoy__Config__Route__V3__RouteAction *m,
                           struct route_forward *ret)
{
    const Envoy__Config__Route__V3__RouteAction__MaxStreamDuration *d = m->max_stream_duration;
    const struct {
        const char *field;
        const Google__Protobuf__Duration *value;
        struct opt_ms *ret;
    } durations[] = {
        {"timeout", m->timeout, &ret->timeout},
        {"idle_timeout", m->idle_timeout, &ret->idle_timeout},
        {"flush_timeout", m->flush_timeout, &ret->flush_timeout},
        {"max_grpc_timeout", m->max_grpc_timeout, &ret->max_grpc_timeout},
        {"grpc_timeout_offset", m->grpc_timeout_offset, &ret->grpc_timeout_offset},
        {"max_stream_duration.max_stream_duration", d != NULL ? d->max_stream_duration : NULL,
         &ret->max_stream_duration},
        {"max_stream_duration.grpc_timeout_header_max",
         d != NULL ? d->grpc_timeout_header_max : NULL, &ret->grpc_timeout_header_max},
        {"max_stream_duration.grpc_timeout_header_offset",
         d != NULL ? d->grpc_timeout_header_offset : NULL, &ret->grpc_timeout_header_offset},
    };

    ret->has_stream_duration = d != NULL;
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        int r = parse_opt_ms(ctx, durations[i].field, durations[i].value, DURATION_ANY,
                             durations[i].ret);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int parse_forward(struct parse_context *ctx, const struct route_scope *scope,
                         const Envoy__Config__Route__V3__RouteAction *m, const char *route_name,
                         struct route_forward *ret)
{
    static const int not_found_status[] = {503, 404, 500};
    int r = parse_check_enum(
        ctx, "cluster_not_found_response_code", (int)m->cluster_not_found_response_code,
        &envoy__config__route__v3__route_action__cluster_not_found_response_code__descriptor);

    if (r == 0) {
        r = parse_check_enum(ctx, "priority", (int)m->priority,
                             &envoy__config__core__v3__routing_priority__descriptor);
    }
    if (r == 0) {
        r = parse_cluster_specifier(ctx, scope, m, route_name, ret);
    }
    if (r == 0) {
        r = parse_path_rewrite(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_host_rewrite(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_durations(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_upgrades(ctx, m, ret);
    }
    if (r < 0) {
        return r;
    }
    ret->cluster_not_found_status = not_found_status[m->cluster_not_found_response_code];
    ret->append_x_forwarded_host = m->append_x_forwarded_host;
    ret->priority = m->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH
                        ? PRIORITY_HIGH
                        : PRIORITY_DEFAULT;
    return 0;
}

/* --- redirect ------------------------------------------------------------------------------- */

static int parse_redirect_path(struct parse_context *ctx,
                               const Envoy__Config__Route__V3__RedirectAction *m,
                               struct route_redirect *ret)
{
    size_t at;
    int r;

    switch (m->path_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT:
        ret->path = parse_str(ctx, m->path_redirect);
        return parse_check_header_text(ctx, "path_redirect", m->path_redirect);
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE:
        ret->prefix_rewrite = parse_str(ctx, m->prefix_rewrite);
        return parse_check_header_text(ctx, "prefix_rewrite", m->prefix_rewrite);
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE:
        at = path_push(ctx, "regex_rewrite");
        r = parse_regex_rewrite(ctx, m->regex_rewrite, &ret->regex_rewrite);
        path_pop(ctx, at);
        return r;
    default:
        return 0;
    }
}

static int parse_redirect(struct parse_context *ctx,
                          const Envoy__Config__Route__V3__RedirectAction *m,
                          struct route_redirect *ret)
{
    static const int status[] = {301, 302, 303, 307, 308};
    int r = parse_check_enum(
        ctx, "response_code", (int)m->response_code,
        &envoy__config__route__v3__redirect_action__redirect_response_code__descriptor);

    if (r == 0) {
        r = parse_check_header_text(ctx, "host_redirect", m->host_redirect);
    }
    if (r == 0) {
        r = parse_redirect_path(ctx, m, ret);
    }
    if (r < 0) {
        return r;
    }
    switch (m->scheme_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT:
        ret->https_redirect = m->https_redirect;
        break;
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT:
        ret->scheme = parse_str(ctx, m->scheme_redirect);
        break;
    default:
        break;
    }
    ret->host = parse_str(ctx, m->host_redirect);
    ret->port = m->port_redirect;
    ret->status = status[m->response_code];
    ret->strip_query = m->strip_query;
    return 0;
}

/* --- direct response ------------------------------------------------------------------------ */

static int parse_direct_response(struct parse_context *ctx, const struct route_scope *scope,
                                 const Envoy__Config__Route__V3__DirectResponseAction *m,
                                 struct route_direct_response *ret)
{
    size_t at;
    int r;

    if (m->status < STATUS_MIN || m->status >= STATUS_END) {
        return parse_fail(ctx, E_INVALID, "status", "value must be inside range [200, 600)");
    }
    ret->status = (int)m->status;
    r = parse_optional_format(ctx, "body_format", m->body_format, &ret->format);
    if (r < 0 || m->body == NULL) {
        return r;
    }
    at = path_push(ctx, "body");
    r = parse_data_source(ctx, m->body, scope->max_direct_body_bytes, &ret->body);
    path_pop(ctx, at);
    return r;
}

/* --- the choice ----------------------------------------------------------------------------- */

int parse_route_action(struct parse_context *ctx, const struct route_scope *scope,
                       const Envoy__Config__Route__V3__Route *m, struct route *ret)
{
    size_t at;
    int r = 0;

    switch (m->action_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE:
        ret->action = ROUTE_FORWARD;
        at = path_push(ctx, "route");
        r = parse_forward(ctx, scope, m->route, m->name, &ret->forward);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT:
        ret->action = ROUTE_REDIRECT;
        at = path_push(ctx, "redirect");
        r = parse_redirect(ctx, m->redirect, &ret->redirect);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE:
        ret->action = ROUTE_DIRECT_RESPONSE;
        at = path_push(ctx, "direct_response");
        r = parse_direct_response(ctx, scope, m->direct_response, &ret->direct);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_NON_FORWARDING_ACTION:
        ret->action = ROUTE_NON_FORWARDING;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "action", "value is required");
    }
    path_pop(ctx, at);
    return r;
}
