/* Statistics of the process as the bootstrap wants them. Main thread. */

#include "config/parse/stats_config.h"

#include <stdlib.h>

#include "config/parse/check.h"
#include "config/parse/matcher.h"
#include "dataplane/base/regex.h"

enum stats_choice { STATS_ALL, STATS_NONE, STATS_EXCEPT, STATS_ONLY };

struct bucket_setting {
    struct string_matcher match;
    const double *bounds;
    size_t count;
};

/* What the functions of struct stat_options look at. */
struct stats_rules {
    enum stats_choice choice;
    const struct string_matcher *patterns;
    size_t pattern_count;
    const struct bucket_setting *buckets;
    size_t bucket_count;
};

static bool accepts(const void *ctx, struct str name)
{
    const struct stats_rules *r = ctx;
    bool is_listed = false;

    for (size_t i = 0; i < r->pattern_count && !is_listed; i++) {
        is_listed = string_matcher_matches(&r->patterns[i], name);
    }
    switch (r->choice) {
    case STATS_NONE:
        return false;
    case STATS_EXCEPT:
        return !is_listed;
    case STATS_ONLY:
        return is_listed;
    case STATS_ALL:
        break;
    }
    return true;
}

static const double *buckets(const void *ctx, struct str name, size_t *ret_count)
{
    const struct stats_rules *r = ctx;

    for (size_t i = 0; i < r->bucket_count; i++) {
        if (r->buckets[i].count > 0 && string_matcher_matches(&r->buckets[i].match, name)) {
            *ret_count = r->buckets[i].count;
            return r->buckets[i].bounds;
        }
    }
    return NULL;
}

/* --- tags ---------------------------------------------------------------------------------------
 */

/* Tags that Envoy takes out of names by itself: one of these needs no regex. */
static bool is_default_tag(struct str name)
{
    static const char *const NAMES[] = {
        "cluster_name",
        "clientssl_prefix",
        "connection_limit_prefix",
        "dns_filter_prefix",
        "dynamo_operation",
        "dynamo_partition_id",
        "dynamo_table",
        "ext_authz_prefix",
        "fault_downstream_cluster",
        "google_grpc_client_prefix",
        "grpc_bridge_method",
        "grpc_bridge_service",
        "http_conn_manager_prefix",
        "http_user_agent",
        "listener_address",
        "local_http_ratelimit_prefix",
        "local_listener_ratelimit_prefix",
        "local_network_ratelimit_prefix",
        "mongo_callsite",
        "mongo_cmd",
        "mongo_collection",
        "mongo_prefix",
        "proxy_protocol_prefix",
        "proxy_protocol_version",
        "ratelimit_prefix",
        "rbac_http_prefix",
        "rbac_policy_name",
        "rbac_prefix",
        "rds_route_config",
        "redis_prefix",
        "response_code",
        "response_code_class",
        "route",
        "scoped_rds_config",
        "ssl_cipher",
        "ssl_cipher_suite",
        "ssl_curve",
        "ssl_sigalg",
        "ssl_version",
        "tcp_prefix",
        "tls_certificate",
        "thrift_prefix",
        "udp_prefix",
        "virtual_cluster",
        "virtual_host",
        "worker_id",
        "xds_resource_name",
    };

    if (!str_starts(name, STR("envoy."))) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (str_eq(str_sub(name, 6, name.len), str_c(NAMES[i]))) {
            return true;
        }
    }
    return false;
}

static void free_regex(void *object)
{
    regex_free(object);
}

/* Where a group that begins before `at` ends; the length when it does not. */
static size_t group_end(struct str pattern, size_t at)
{
    size_t depth = 1;

    for (; at < pattern.len; at++) {
        if (pattern.ptr[at] == '\\') {
            at++;
        } else if (pattern.ptr[at] == '(') {
            depth++;
        } else if (pattern.ptr[at] == ')' && --depth == 0) {
            return at + 1;
        }
    }
    return pattern.len;
}

/* Istio's bootstraps look ahead, which Envoy's std::regex can here and RE2 cannot: what is only
 * looked at is left out, so that a few more names may match. */
static void add_without_lookahead(struct strbuf *out, struct str pattern)
{
    for (size_t i = 0; i < pattern.len;) {
        if (str_starts(str_sub(pattern, i, pattern.len), STR("(?="))) {
            i = group_end(pattern, i + 3);
        } else if (pattern.ptr[i] == '\\' && i + 1 < pattern.len) {
            strbuf_add_str(out, str_sub(pattern, i, i + 2));
            i += 2;
        } else {
            strbuf_add_char(out, pattern.ptr[i++]);
        }
    }
}

static int parse_tag_regex(struct parse_context *ctx, struct str pattern,
                           struct stat_custom_tag *ret)
{
    struct regex *regex = NULL;
    struct strbuf plain;
    struct error why;
    int r;

    error_init(&why);
    strbuf_init(&plain);
    add_without_lookahead(&plain, pattern);
    r = regex_new(strbuf_str(&plain), 0, &regex, &why);
    strbuf_done(&plain);
    if (r != 0) {
        r = parse_fail(ctx, r, "regex", "Invalid regex '%.*s': %s", STR_ARG(pattern),
                       error_message(&why));
    } else {
        part_on_free(ctx->part, free_regex, regex);
        ret->regex = regex;
    }
    error_done(&why);
    return r;
}

/* Adds nothing for a default tag, which is there anyway. */
static int parse_tag(struct parse_context *ctx, const Envoy__Config__Metrics__V3__TagSpecifier *m,
                     struct stat_custom_tag *tags, size_t *count)
{
    struct stat_custom_tag *tag = &tags[*count];
    bool has_regex =
        m->tag_value_case == ENVOY__CONFIG__METRICS__V3__TAG_SPECIFIER__TAG_VALUE_REGEX &&
        m->regex[0] != '\0';
    int r = 0;

    tag->name = parse_str(ctx, m->tag_name);
    if (tag->name.len == 0) {
        return parse_fail(ctx, E_INVALID, "tag_name", "tag_name cannot be empty");
    }
    if (m->tag_value_case == ENVOY__CONFIG__METRICS__V3__TAG_SPECIFIER__TAG_VALUE_FIXED_VALUE) {
        tag->value = parse_str(ctx, m->fixed_value);
    } else if (has_regex) {
        r = parse_tag_regex(ctx, parse_str(ctx, m->regex), tag);
    } else if (is_default_tag(tag->name)) {
        return 0;
    } else {
        return parse_fail(
            ctx, E_INVALID, NULL,
            "No regex specified for tag specifier and no default regex for name: '%.*s'",
            STR_ARG(tag->name));
    }
    (*count)++;
    return r;
}

static int parse_tags(struct parse_context *ctx, const Envoy__Config__Metrics__V3__StatsConfig *m,
                      const struct stat_tag *fixed, size_t fixed_count, struct stat_options *ret)
{
    size_t n = m != NULL ? m->n_stats_tags : 0;
    struct stat_custom_tag *tags =
        ARENA_ARRAY(parse_arena(ctx), struct stat_custom_tag, n + fixed_count + 1);
    size_t count = 0;

    if (n + fixed_count > STAT_CUSTOM_TAGS_MAX) {
        return parse_fail(ctx, E_LIMIT, "stats_tags", "more than %d tags", STAT_CUSTOM_TAGS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "stats_tags", i);
        int r = parse_tag(ctx, m->stats_tags[i], tags, &count);

        path_pop(ctx, at);
        if (r != 0) {
            return r;
        }
    }
    for (size_t i = 0; i < fixed_count; i++) {
        tags[count++] = (struct stat_custom_tag){.name = fixed[i].name, .value = fixed[i].value};
    }
    ret->tags = tags;
    ret->tag_count = count;
    ret->drops_default_tags = m != NULL && !parse_bool_or(m->use_all_default_tags, true);
    return 0;
}

/* --- which, and how fine ------------------------------------------------------------------------
 */

static int parse_patterns(struct parse_context *ctx, const char *field,
                          const Envoy__Type__Matcher__V3__ListStringMatcher *m,
                          struct stats_rules *rules)
{
    struct string_matcher *patterns;
    size_t at = path_push(ctx, field);
    int r = 0;

    if (m->n_patterns == 0) {
        r = parse_fail(ctx, E_INVALID, "patterns", "value must contain at least 1 item(s)");
    }
    patterns = ARENA_ARRAY(parse_arena(ctx), struct string_matcher, m->n_patterns + 1);
    for (size_t i = 0; r == 0 && i < m->n_patterns; i++) {
        size_t item = path_push_index(ctx, "patterns", i);

        r = parse_string_matcher(ctx, m->patterns[i], &patterns[i]);
        path_pop(ctx, item);
    }
    path_pop(ctx, at);
    rules->patterns = patterns;
    rules->pattern_count = m->n_patterns;
    return r;
}

static int parse_choice(struct parse_context *ctx,
                        const Envoy__Config__Metrics__V3__StatsMatcher *m,
                        struct stats_rules *rules)
{
    size_t at;
    int r = 0;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "stats_matcher");
    switch (m->stats_matcher_case) {
    case ENVOY__CONFIG__METRICS__V3__STATS_MATCHER__STATS_MATCHER_REJECT_ALL:
        rules->choice = m->reject_all ? STATS_NONE : STATS_ALL;
        break;
    case ENVOY__CONFIG__METRICS__V3__STATS_MATCHER__STATS_MATCHER_EXCLUSION_LIST:
        rules->choice = STATS_EXCEPT;
        r = parse_patterns(ctx, "exclusion_list", m->exclusion_list, rules);
        break;
    case ENVOY__CONFIG__METRICS__V3__STATS_MATCHER__STATS_MATCHER_INCLUSION_LIST:
        rules->choice = STATS_ONLY;
        r = parse_patterns(ctx, "inclusion_list", m->inclusion_list, rules);
        break;
    default:
        r = parse_fail(ctx, E_INVALID, "stats_matcher", "is required");
        break;
    }
    path_pop(ctx, at);
    return r;
}

static int cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int parse_buckets(struct parse_context *ctx,
                         const Envoy__Config__Metrics__V3__HistogramBucketSettings *m,
                         struct bucket_setting *ret)
{
    double *bounds = ARENA_ARRAY(parse_arena(ctx), double, m->n_buckets + 1);
    size_t at;
    int r = parse_check_present(ctx, "match", m->match);

    for (size_t i = 0; r == 0 && i < m->n_buckets; i++) {
        if (!(m->buckets[i] > 0)) {
            r = parse_fail(ctx, E_INVALID, "buckets", "value must be greater than 0");
        }
        for (size_t k = 0; r == 0 && k < i; k++) {
            if (!(m->buckets[k] < m->buckets[i]) && !(m->buckets[k] > m->buckets[i])) {
                r = parse_fail(ctx, E_INVALID, "buckets",
                               "repeated value must contain unique items");
            }
        }
        bounds[i] = m->buckets[i];
    }
    if (r != 0) {
        return r;
    }
    qsort(bounds, m->n_buckets, sizeof(*bounds), cmp_double);
    ret->bounds = bounds;
    ret->count = m->n_buckets;
    at = path_push(ctx, "match");
    r = parse_string_matcher(ctx, m->match, &ret->match);
    path_pop(ctx, at);
    return r;
}

int parse_stats_config(struct parse_context *ctx, const Envoy__Config__Metrics__V3__StatsConfig *m,
                       const struct stat_tag *fixed, size_t fixed_count, struct stat_options *ret)
{
    struct stats_rules *rules = ARENA_NEW(parse_arena(ctx), struct stats_rules);
    size_t n = m != NULL ? m->n_histogram_bucket_settings : 0;
    struct bucket_setting *settings = ARENA_ARRAY(parse_arena(ctx), struct bucket_setting, n + 1);
    size_t at = path_push(ctx, "stats_config");
    int r = parse_tags(ctx, m, fixed, fixed_count, ret);

    if (r == 0) {
        r = parse_choice(ctx, m != NULL ? m->stats_matcher : NULL, rules);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        size_t item = path_push_index(ctx, "histogram_bucket_settings", i);

        r = parse_buckets(ctx, m->histogram_bucket_settings[i], &settings[i]);
        path_pop(ctx, item);
    }
    path_pop(ctx, at);
    rules->buckets = settings;
    rules->bucket_count = n;
    ret->ctx = rules;
    ret->accepts = rules->choice != STATS_ALL ? accepts : NULL;
    ret->buckets = n > 0 ? buckets : NULL;
    return r;
}
