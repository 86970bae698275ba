/* Route tables, virtual hosts and what routes match. Main thread. What a route does is in
 * route_action.c, the index in config/model/route_index.c. */

#include "config/parse/route.h"

#include <string.h>

#include "config/model/route_index.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/header_ops.h"
#include "config/parse/matcher.h"
#include "config/parse/route_internal.h"

#define MAX_DIRECT_BODY_BYTES 4096

/* --- routes --------------------------------------------------------------------------------- */

/* Envoy's pattern for path_separated_prefix: ^[^?#]+[^?#/]$ */
static int parse_check_separated_prefix(struct parse_context *ctx, const char *s)
{
    size_t len = strlen(s);

    if (len < 2 || s[strcspn(s, "?#")] != '\0' || s[len - 1] == '/') {
        return parse_fail(ctx, E_INVALID, "path_separated_prefix",
                          "value does not match regex pattern \"^[^?#]+[^?#/]$\"");
    }
    return 0;
}

static int parse_path_match(struct parse_context *ctx,
                            const Envoy__Config__Route__V3__RouteMatch *m, struct route *ret)
{
    size_t at;
    int r;

    ret->case_sensitive = parse_bool_or(m->case_sensitive, true);
    switch (m->path_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
        ret->path_kind = PATH_MATCH_PREFIX;
        ret->path = parse_str(ctx, m->prefix);
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH:
        ret->path_kind = PATH_MATCH_EXACT;
        ret->path = parse_str(ctx, m->path);
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX:
        ret->path_kind = PATH_MATCH_SEPARATED_PREFIX;
        ret->path = parse_str(ctx, m->path_separated_prefix);
        return parse_check_separated_prefix(ctx, m->path_separated_prefix);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_CONNECT_MATCHER:
        ret->path_kind = PATH_MATCH_CONNECT;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
        ret->path_kind = PATH_MATCH_REGEX;
        ret->case_sensitive = true; /* as Envoy: the flag is not for regexes */
        ret->path = parse_str(ctx, m->safe_regex->regex);
        at = path_push(ctx, "safe_regex");
        r = parse_regex(ctx, m->safe_regex, &ret->path_regex);
        path_pop(ctx, at);
        return r;
    default:
        return parse_fail(ctx, E_INVALID, "path_specifier", "value is required");
    }
}

static int parse_route_match(struct parse_context *ctx,
                             const Envoy__Config__Route__V3__RouteMatch *m, struct route *ret)
{
    int r = parse_path_match(ctx, m, ret);

    ret->is_grpc_only = m->grpc != NULL;
    if (r == 0 && m->runtime_fraction != NULL) {
        size_t at = path_push(ctx, "runtime_fraction");

        ret->has_runtime_fraction = true;
        r = parse_runtime_fraction(ctx, m->runtime_fraction, &ret->runtime_fraction);
        path_pop(ctx, at);
    }
    if (r == 0) {
        r = parse_header_matchers(ctx, "headers", m->n_headers, m->headers, &ret->headers,
                                  &ret->header_count);
    }
    return r < 0 ? r
                 : parse_query_matchers(ctx, "query_parameters", m->n_query_parameters,
                                        m->query_parameters, &ret->queries, &ret->query_count);
}

static int parse_route(struct parse_context *ctx, const struct route_scope *scope,
                       const Envoy__Config__Route__V3__Route *m, struct route *ret)
{
    size_t at;
    int r = parse_check_present(ctx, "match", m->match);

    if (r < 0) {
        return r;
    }
    ret->name = parse_str(ctx, m->name);
    at = path_push(ctx, "match");
    r = parse_route_match(ctx, m->match, ret);
    if (r < 0) {
        return r;
    }
    path_pop(ctx, at);
    r = parse_route_action(ctx, scope, m, ret);
    if (r == 0 && m->decorator != NULL) {
        /* Names the span of a trace; there are no traces yet, so nothing depends on it. */
        r = parse_check_not_empty(ctx, "decorator.operation", m->decorator->operation);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, HEADER_OPS_FIELDS(m, request), &ret->request_headers);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, HEADER_OPS_FIELDS(m, response), &ret->response_headers);
    }
    if (r == 0) {
        r = parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
    }
    return r == 0 ? parse_filter_overrides(ctx, FILTER_OVERRIDE_FIELDS(m), &ret->overrides) : r;
}

/* The newer field, the older one, or what holds without them. */
static struct opt_u64 parse_body_limit(const Google__Protobuf__UInt64Value *limit,
                                       const Google__Protobuf__UInt32Value *older,
                                       struct opt_u64 otherwise)
{
    if (limit != NULL) {
        return (struct opt_u64){true, limit->value};
    }
    return older != NULL ? (struct opt_u64){true, older->value} : otherwise;
}

/* --- virtual hosts -------------------------------------------------------------------------- */

static int parse_domains(struct parse_context *ctx, const Envoy__Config__Route__V3__VirtualHost *m,
                         struct virtual_host *ret)
{
    struct str *domains = ARENA_ARRAY(parse_arena(ctx), struct str, m->n_domains);

    if (m->n_domains == 0) {
        return parse_fail(ctx, E_INVALID, "domains", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_domains; i++) {
        int r = parse_check_header_text(ctx, "domains", m->domains[i]);

        if (r < 0) {
            return r;
        }
        domains[i] = parse_lower(ctx, m->domains[i]);
    }
    ret->domains = domains;
    ret->domain_count = m->n_domains;
    return 0;
}

static int parse_require_tls(struct parse_context *ctx,
                             const Envoy__Config__Route__V3__VirtualHost *m, enum require_tls *ret)
{
    switch (m->require_tls) {
    case ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__NONE:
        *ret = REQUIRE_TLS_NONE;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__EXTERNAL_ONLY:
        *ret = REQUIRE_TLS_EXTERNAL_ONLY;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL:
        *ret = REQUIRE_TLS_ALL;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "require_tls",
                          "value must be one of the defined enum values");
    }
}

static int parse_routes(struct parse_context *ctx, const struct route_scope *scope,
                        const Envoy__Config__Route__V3__VirtualHost *m, struct virtual_host *ret)
{
    struct route *routes = ARENA_ARRAY(parse_arena(ctx), struct route, m->n_routes);
    struct opt_u64 limit =
        parse_body_limit(m->request_body_buffer_limit, m->per_request_buffer_limit_bytes,
                         (struct opt_u64){.is_set = false});

    for (size_t i = 0; i < m->n_routes; i++) {
        size_t at = path_push_index(ctx, "routes", i);
        int r;

        routes[i].index = (uint32_t)i;
        r = parse_route(ctx, scope, m->routes[i], &routes[i]);
        if (r < 0) {
            return r;
        }
        routes[i].body_buffer_limit =
            parse_body_limit(m->routes[i]->request_body_buffer_limit,
                             m->routes[i]->per_request_buffer_limit_bytes, limit);
        parse_route_stats(ctx, ret->name, m->routes[i], &routes[i]);
        path_pop(ctx, at);
    }
    ret->routes = routes;
    ret->route_count = m->n_routes;
    ret->index = route_index_build(ctx->part, routes, m->n_routes);
    return 0;
}

static int parse_virtual_host(struct parse_context *ctx, const struct route_scope *scope,
                              const Envoy__Config__Route__V3__VirtualHost *m,
                              struct virtual_host *ret)
{
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_domains(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_require_tls(ctx, m, &ret->require_tls);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, HEADER_OPS_FIELDS(m, request), &ret->request_headers);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, HEADER_OPS_FIELDS(m, response), &ret->response_headers);
    }
    if (r == 0) {
        r = parse_filter_overrides(ctx, FILTER_OVERRIDE_FIELDS(m), &ret->overrides);
    }
    if (r == 0) {
        r = parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
    }
    if (r < 0) {
        return r;
    }
    ret->name = parse_str(ctx, m->name);
    ret->include_request_attempt_count = m->include_request_attempt_count;
    ret->include_attempt_count_in_response = m->include_attempt_count_in_response;
    ret->include_is_timeout_retry_header = m->include_is_timeout_retry_header;
    r = parse_virtual_clusters(ctx, m, ret);
    return r == 0 ? parse_routes(ctx, scope, m, ret) : r;
}

/* --- the table ------------------------------------------------------------------------------ */

static int parse_virtual_hosts(struct parse_context *ctx, const struct route_scope *scope,
                               const Envoy__Config__Route__V3__RouteConfiguration *m,
                               struct route_config *ret)
{
    struct virtual_host *hosts =
        ARENA_ARRAY(parse_arena(ctx), struct virtual_host, m->n_virtual_hosts);
    struct error why;
    int r;

    for (size_t i = 0; i < m->n_virtual_hosts; i++) {
        size_t at = path_push_index(ctx, "virtual_hosts", i);

        r = parse_virtual_host(ctx, scope, m->virtual_hosts[i], &hosts[i]);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->vhosts = hosts;
    ret->vhost_count = m->n_virtual_hosts;
    error_init(&why);
    r = domain_index_build(ctx->part, hosts, m->n_virtual_hosts, &ret->domains, &why);
    if (r < 0) {
        (void)parse_fail(ctx, r, "virtual_hosts", "%s in route %s", error_message(&why), m->name);
    }
    error_done(&why);
    return r;
}

static int parse_internal_only_headers(struct parse_context *ctx,
                                       const Envoy__Config__Route__V3__RouteConfiguration *m,
                                       struct route_config *ret)
{
    struct str *names = ARENA_ARRAY(parse_arena(ctx), struct str, m->n_internal_only_headers);

    for (size_t i = 0; i < m->n_internal_only_headers; i++) {
        int r = parse_check_header_text(ctx, "internal_only_headers", m->internal_only_headers[i]);

        if (r < 0) {
            return r;
        }
        names[i] = parse_lower(ctx, m->internal_only_headers[i]);
    }
    ret->internal_only_headers = names;
    ret->internal_only_header_count = m->n_internal_only_headers;
    return 0;
}

int parse_route_config(struct parse_context *ctx,
                       const Envoy__Config__Route__V3__RouteConfiguration *m,
                       struct route_config *ret)
{
    struct header_ops_fields *request = HEADER_OPS_FIELDS(m, request);
    struct header_ops_fields *response = HEADER_OPS_FIELDS(m, response);
    struct route_scope scope = {
        .max_direct_body_bytes =
            parse_u32_or(m->max_direct_response_body_size_bytes, MAX_DIRECT_BODY_BYTES),
        .validate_clusters = ctx->is_static && parse_bool_or(m->validate_clusters, true),
    };
    int r;

    request->remove_may_be_empty = true;
    response->remove_may_be_empty = true;
    ret->name = parse_str(ctx, m->name);
    ret->most_specific_header_mutations_wins = m->most_specific_header_mutations_wins;
    ret->ignore_port_in_host_matching = m->ignore_port_in_host_matching;
    ret->ignore_path_parameters = m->ignore_path_parameters_in_path_matching;
    r = parse_internal_only_headers(ctx, m, ret);
    if (r == 0) {
        r = parse_header_ops(ctx, request, &ret->request_headers);
    }
    if (r == 0) {
        r = parse_header_ops(ctx, response, &ret->response_headers);
    }
    if (r == 0) {
        r = parse_filter_overrides(ctx, FILTER_OVERRIDE_FIELDS(m), &ret->overrides);
    }
    return r == 0 ? parse_virtual_hosts(ctx, &scope, m, ret) : r;
}
