/* Matchers of strings, headers and query parameters. Main thread. */

#include "config/parse/matcher.h"

#include "config/parse/check.h"
#include "config/parse/core.h"

#define QUERY_NAME_MAX_BYTES 1024

/* --- regex ---------------------------------------------------------------------------------- */

static void regex_cleanup(void *object)
{
    regex_free(object);
}

int parse_regex(struct parse_context *ctx, const Envoy__Type__Matcher__V3__RegexMatcher *m,
                struct regex **ret)
{
    uint32_t max_size = 0;
    struct error why;
    int r = parse_check_not_empty(ctx, "regex", m->regex);

    if (r < 0) {
        return r;
    }
    if (m->engine_type_case == ENVOY__TYPE__MATCHER__V3__REGEX_MATCHER__ENGINE_TYPE_GOOGLE_RE2) {
        max_size = parse_u32_or(m->google_re2->max_program_size, 0);
    }
    error_init(&why);
    r = regex_new(str_c(m->regex), max_size, ret, &why);
    if (r < 0) {
        (void)parse_fail(ctx, r, "regex", "%s", error_message(&why)); /* r is returned below */
    } else {
        part_on_free(ctx->part, regex_cleanup, *ret);
    }
    error_done(&why);
    return r;
}

int parse_regex_rewrite(struct parse_context *ctx,
                        const Envoy__Type__Matcher__V3__RegexMatchAndSubstitute *m,
                        struct regex_rewrite *ret)
{
    size_t at;
    int r = parse_check_present(ctx, "pattern", m->pattern);

    if (r == 0) {
        r = parse_check_header_text(ctx, "substitution", m->substitution);
    }
    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "pattern");
    r = parse_regex(ctx, m->pattern, &ret->regex);
    path_pop(ctx, at);
    ret->substitution = parse_str(ctx, m->substitution);
    return r;
}

/* --- strings -------------------------------------------------------------------------------- */

static void string_matcher_set(struct parse_context *ctx, struct string_matcher *m,
                               enum string_match_kind kind, const char *value)
{
    m->kind = kind;
    m->value = parse_str(ctx, value);
}

int parse_string_matcher(struct parse_context *ctx,
                         const Envoy__Type__Matcher__V3__StringMatcher *m,
                         struct string_matcher *ret)
{
    size_t at;
    int r = 0;

    *ret = (struct string_matcher){.ignore_case = m->ignore_case};
    switch (m->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        string_matcher_set(ctx, ret, STRING_MATCH_EXACT, m->exact);
        return 0;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        string_matcher_set(ctx, ret, STRING_MATCH_PREFIX, m->prefix);
        return parse_check_not_empty(ctx, "prefix", m->prefix);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        string_matcher_set(ctx, ret, STRING_MATCH_SUFFIX, m->suffix);
        return parse_check_not_empty(ctx, "suffix", m->suffix);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        string_matcher_set(ctx, ret, STRING_MATCH_CONTAINS, m->contains);
        return parse_check_not_empty(ctx, "contains", m->contains);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX:
        if (m->ignore_case) {
            return parse_fail(ctx, E_INVALID, "ignore_case",
                              "ignore_case has no effect for safe_regex.");
        }
        ret->kind = STRING_MATCH_REGEX;
        at = path_push(ctx, "safe_regex");
        r = parse_regex(ctx, m->safe_regex, &ret->regex);
        path_pop(ctx, at);
        return r;
    default:
        return parse_fail(ctx, E_INVALID, "match_pattern", "value is required");
    }
}

/* --- headers -------------------------------------------------------------------------------- */

/* The older spellings of string_match. */
static int parse_header_string(struct parse_context *ctx,
                               const Envoy__Config__Route__V3__HeaderMatcher *m,
                               struct string_matcher *ret)
{
    switch (m->header_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH:
        /* As Envoy: an empty exact_match takes any value. */
        string_matcher_set(ctx, ret,
                           m->exact_match[0] == '\0' ? STRING_MATCH_PREFIX : STRING_MATCH_EXACT,
                           m->exact_match);
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH:
        string_matcher_set(ctx, ret, STRING_MATCH_PREFIX, m->prefix_match);
        return parse_check_not_empty(ctx, "prefix_match", m->prefix_match);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH:
        string_matcher_set(ctx, ret, STRING_MATCH_SUFFIX, m->suffix_match);
        return parse_check_not_empty(ctx, "suffix_match", m->suffix_match);
    default:
        string_matcher_set(ctx, ret, STRING_MATCH_CONTAINS, m->contains_match);
        return parse_check_not_empty(ctx, "contains_match", m->contains_match);
    }
}

static int parse_header_specifier(struct parse_context *ctx,
                                  const Envoy__Config__Route__V3__HeaderMatcher *m,
                                  struct header_matcher *ret)
{
    size_t at;
    int r;

    ret->kind = HEADER_MATCH_STRING;
    switch (m->header_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER__NOT_SET:
        ret->kind = HEADER_MATCH_PRESENT;
        ret->present = true;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH:
        ret->kind = HEADER_MATCH_PRESENT;
        ret->present = m->present_match;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH:
        ret->kind = HEADER_MATCH_RANGE;
        ret->range_start = m->range_match->start;
        ret->range_end = m->range_match->end;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH:
        at = path_push(ctx, "string_match");
        r = parse_string_matcher(ctx, m->string_match, &ret->string);
        path_pop(ctx, at);
        return r;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH:
        ret->string.kind = STRING_MATCH_REGEX;
        at = path_push(ctx, "safe_regex_match");
        r = parse_regex(ctx, m->safe_regex_match, &ret->string.regex);
        path_pop(ctx, at);
        return r;
    default:
        return parse_header_string(ctx, m, &ret->string);
    }
}

int parse_header_matcher(struct parse_context *ctx,
                         const Envoy__Config__Route__V3__HeaderMatcher *m,
                         struct header_matcher *ret)
{
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_check_header_text(ctx, "name", m->name);
    }
    if (r < 0) {
        return r;
    }
    ret->name = parse_lower(ctx, m->name);
    ret->invert = m->invert_match;
    ret->treat_missing_as_empty = m->treat_missing_header_as_empty;
    return parse_header_specifier(ctx, m, ret);
}

int parse_header_matchers(struct parse_context *ctx, const char *field, size_t n,
                          Envoy__Config__Route__V3__HeaderMatcher *const *m,
                          const struct header_matcher **ret, size_t *ret_count)
{
    struct header_matcher *matchers;

    if (n == 0) {
        return 0;
    }
    matchers = ARENA_ARRAY(parse_arena(ctx), struct header_matcher, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        int r = parse_header_matcher(ctx, m[i], &matchers[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    *ret = matchers;
    *ret_count = n;
    return 0;
}

/* --- query parameters ----------------------------------------------------------------------- */

static int parse_query_matcher(struct parse_context *ctx,
                               const Envoy__Config__Route__V3__QueryParameterMatcher *m,
                               struct query_matcher *ret)
{
    size_t at;
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_check_max_bytes(ctx, "name", m->name, QUERY_NAME_MAX_BYTES);
    }
    if (r < 0) {
        return r;
    }
    ret->name = parse_str(ctx, m->name);
    switch (m->query_parameter_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH:
        at = path_push(ctx, "string_match");
        r = parse_string_matcher(ctx, m->string_match, &ret->string);
        path_pop(ctx, at);
        return r;
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH:
        ret->is_present_only = true;
        ret->present = m->present_match;
        return 0;
    default:
        ret->is_present_only = true;
        ret->present = true;
        return 0;
    }
}

int parse_query_matchers(struct parse_context *ctx, const char *field, size_t n,
                         Envoy__Config__Route__V3__QueryParameterMatcher *const *m,
                         const struct query_matcher **ret, size_t *ret_count)
{
    struct query_matcher *matchers;

    if (n == 0) {
        return 0;
    }
    matchers = ARENA_ARRAY(parse_arena(ctx), struct query_matcher, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        int r = parse_query_matcher(ctx, m[i], &matchers[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    *ret = matchers;
    *ret_count = n;
    return 0;
}
