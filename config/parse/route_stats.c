/* What of a route table is counted apart: virtual clusters and routes with a stat_prefix. Makes
 * their scopes, which live as long as the part; cells come with the first request. Main thread. */

#include "config/model/route_stats.h"

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/matcher.h"
#include "config/parse/route_internal.h"

static void route_scope_free(void *object)
{
    stat_scope_unref(object);
}

/* As Envoy's extractors: a tag's value ends at the first dot, what is left of a name with dots
 * stays in the series' name; and the second tag is found only behind a virtual host without. */
static struct stat_scope *make_scope(struct parse_context *ctx, struct str vhost, const char *kind,
                                     const char *tag, struct str name)
{
    struct arena *a = parse_arena(ctx);
    size_t host_end = str_find_char(vhost, '.');
    size_t name_end = str_find_char(name, '.');
    struct stat_scope_spec spec = {.schema = &route_stat_schema};
    struct stat_scope *scope;

    if (ctx->stats == NULL) {
        return NULL;
    }
    spec.prefix = arena_printf(a, "vhost.%.*s.%s.%.*s.", STR_ARG(vhost), kind, STR_ARG(name));
    spec.tags[spec.tag_count++] =
        (struct stat_tag){STR("envoy.virtual_host"), str_sub(vhost, 0, host_end)};
    if (host_end != STR_NPOS) {
        spec.tagged_prefix =
            arena_printf(a, "vhost.%.*s.%s.%.*s.", STR_ARG(str_sub(vhost, host_end + 1, vhost.len)),
                         kind, STR_ARG(name));
    } else {
        struct str rest = name_end != STR_NPOS ? str_sub(name, name_end + 1, name.len) : STR_NONE;

        spec.tags[spec.tag_count++] = (struct stat_tag){str_c(tag), str_sub(name, 0, name_end)};
        spec.tagged_prefix = arena_printf(a, "vhost.%s.%.*s%s", kind, STR_ARG(rest),
                                          name_end != STR_NPOS ? "." : "");
    }
    scope = stat_scope_ref(ctx->stats, &spec);
    part_on_free(ctx->part, route_scope_free, scope);
    return scope;
}

static int parse_virtual_cluster(struct parse_context *ctx, struct str vhost,
                                 const Envoy__Config__Route__V3__VirtualCluster *m,
                                 struct virtual_cluster *ret)
{
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0 && m->n_headers == 0) {
        return parse_fail(ctx, E_INVALID, "headers", "virtual clusters must define 'headers'");
    }
    if (r == 0) {
        r = parse_header_matchers(ctx, "headers", m->n_headers, m->headers, &ret->headers,
                                  &ret->header_count);
    }
    if (r == 0) {
        ret->name = parse_str(ctx, m->name);
        ret->stats = make_scope(ctx, vhost, "vcluster", "envoy.virtual_cluster", ret->name);
    }
    return r;
}

int parse_virtual_clusters(struct parse_context *ctx,
                           const Envoy__Config__Route__V3__VirtualHost *m, struct virtual_host *ret)
{
    size_t n = m->n_virtual_clusters;
    struct virtual_cluster *all;

    if (n == 0) {
        return 0;
    }
    all = ARENA_ARRAY(parse_arena(ctx), struct virtual_cluster, n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "virtual_clusters", i);
        int r = parse_virtual_cluster(ctx, ret->name, m->virtual_clusters[i], &all[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    all[n].stats = make_scope(ctx, ret->name, "vcluster", "envoy.virtual_cluster", STR("other"));
    ret->virtual_clusters = all;
    ret->virtual_cluster_count = n + 1;
    return 0;
}

void parse_route_stats(struct parse_context *ctx, struct str vhost,
                       const Envoy__Config__Route__V3__Route *m, struct route *ret)
{
    if (m->stat_prefix[0] != '\0') {
        ret->stats = make_scope(ctx, vhost, "route", "envoy.route", parse_str(ctx, m->stat_prefix));
    }
}
