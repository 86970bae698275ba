/* Virtual host and route matching over the table's indexes. See route.h. */

#include "dataplane/http/route.h"

#include "config/model/route_index.h"
#include "dataplane/base/check.h"
#include "dataplane/http/path.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/stream_info/grpc_status.h"

/* Where a virtual host wants TLS and the client has none. */
static const struct route tls_redirect_route = {
    .path_kind = PATH_MATCH_PREFIX,
    .action = ROUTE_REDIRECT,
    .redirect = {.https_redirect = true, .status = 301},
};

/* --- matchers ----------------------------------------------------------------------------- */

/* The first parameter called `name`, undecoded as in Envoy's route matching. */
static bool query_find(struct str query, struct str name, struct str *ret_value)
{
    struct str pair;

    while (str_split(&query, '&', &pair)) {
        size_t eq = str_find_char(pair, '=');
        struct str key = str_sub(pair, 0, eq);

        if (str_eq(key, name)) {
            *ret_value = eq == STR_NPOS ? STR("") : str_sub(pair, eq + 1, pair.len);
            return true;
        }
    }
    return false;
}

bool query_matcher_matches(const struct query_matcher *m, struct str query)
{
    struct str value = STR("");
    bool found = query.len > 0 && query_find(query, m->name, &value);

    if (m->is_present_only) {
        return found == m->present;
    }
    return found && string_matcher_matches(&m->string, value);
}

static struct str path_query_of(struct str path)
{
    size_t start = str_find_char(path, '?');
    struct str query;

    if (start == STR_NPOS) {
        return STR_NONE;
    }
    query = str_sub(path, start + 1, path.len);
    return str_sub(query, 0, str_find_char(query, '#'));
}

/* --- routes ------------------------------------------------------------------------------- */

struct route_walk {
    const struct route_request *rq;
    struct str path; /* with the query; ptr NULL: none */
};

/* As Envoy: connect-udp too, although it has a path and, from HTTP/2, another method. */
static bool request_is_connect(const struct header_map *h)
{
    return str_eq(header_get(h, HDR_METHOD), STR("CONNECT")) ||
           (header_has(h, HDR_UPGRADE) &&
            str_eq_nocase(header_get(h, HDR_UPGRADE), STR("connect-udp")));
}

/* Called for routes whose path matches. */
static bool route_accepts(void *user, const struct route *r)
{
    const struct route_walk *w = user;

    if (r->is_grpc_only && !grpc_is_request(w->rq->headers)) {
        return false;
    }
    if (r->has_runtime_fraction &&
        !runtime_feature_enabled(w->rq->thread, r->runtime_fraction.runtime_key,
                                 r->runtime_fraction.numerator, r->runtime_fraction.denominator,
                                 w->rq->random)) {
        return false;
    }
    for (size_t i = 0; i < r->header_count; i++) {
        if (!header_matcher_matches(&r->headers[i], w->rq->headers)) {
            return false;
        }
    }
    if (r->query_count > 0) {
        struct str query = path_query_of(w->path);

        for (size_t i = 0; i < r->query_count; i++) {
            if (!query_matcher_matches(&r->queries[i], query)) {
                return false;
            }
        }
    }
    return true;
}

size_t host_port_start(struct str host)
{
    size_t colon = str_rfind_char(host, ':');
    size_t bracket = str_rfind_char(host, ']');

    return colon != STR_NPOS && bracket != STR_NPOS && bracket > colon ? STR_NPOS : colon;
}

static const struct virtual_host *route_find_vhost(const struct route_config *table,
                                                   const struct route_request *rq)
{
    struct str host = header_get(rq->headers, HDR_AUTHORITY);

    if (table->ignore_port_in_host_matching) {
        host = str_sub(host, 0, host_port_start(host));
    }
    return domain_index_find(table->domains, host);
}

static bool route_needs_tls(const struct virtual_host *vh, const struct header_map *h)
{
    if (vh->require_tls == REQUIRE_TLS_NONE ||
        str_eq(header_get(h, HDR_X_FORWARDED_PROTO), STR("https"))) {
        return false;
    }
    return vh->require_tls == REQUIRE_TLS_ALL ||
           !str_eq(header_get(h, HDR_X_ENVOY_INTERNAL), STR("true"));
}

static const struct weighted_cluster *route_pick_weighted(const struct route_forward *f,
                                                          const struct route_request *rq)
{
    uint64_t random = rq->random;
    uint64_t end = 0;

    if (f->weight_header.len > 0) {
        const struct header *h = header_find_name(rq->headers, f->weight_header);

        if (h == NULL || parse_u64(h->value, &random) != 0) {
            random = rq->random; /* not a number: the stream's own */
        }
    }
    CHECK(f->total_weight > 0);
    random %= f->total_weight;
    for (size_t i = 0; i < f->weighted_count; i++) {
        end += f->weighted[i].weight;
        if (random < end) {
            return &f->weighted[i];
        }
    }
    return &f->weighted[f->weighted_count - 1];
}

void route_find(const struct route_config *table, const struct route_request *rq,
                struct route_match *ret)
{
    struct route_walk walk = {.rq = rq, .path = header_get(rq->headers, HDR_PATH)};
    const struct virtual_host *vh = route_find_vhost(table, rq);
    struct str path;

    *ret = (struct route_match){0};
    if (vh == NULL) {
        return;
    }
    if (route_needs_tls(vh, rq->headers)) {
        ret->route = &tls_redirect_route;
        return;
    }
    ret->vhost = vh;
    path = path_only(walk.path);
    if (table->ignore_path_parameters) {
        path = str_sub(path, 0, str_find_char(path, ';'));
    }
    ret->route =
        route_index_find(vh->index, path, request_is_connect(rq->headers), route_accepts, &walk);
    if (ret->route != NULL && ret->route->action == ROUTE_FORWARD &&
        ret->route->forward.weighted_count > 0) {
        ret->weighted = route_pick_weighted(&ret->route->forward, rq);
    }
}
