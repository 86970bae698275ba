/* Matchers of metadata's values. Main thread. */

#include "config/parse/value_matcher.h"

#include "config/parse/check.h"
#include "config/parse/matcher.h"

typedef Envoy__Type__Matcher__V3__ValueMatcher ValueMatcher;
typedef Envoy__Type__Matcher__V3__MetadataMatcher MetadataMatcher;

static int parse_double_matcher(struct parse_context *ctx,
                                const Envoy__Type__Matcher__V3__DoubleMatcher *m,
                                struct value_matcher *ret)
{
    switch (m->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__DOUBLE_MATCHER__MATCH_PATTERN_RANGE:
        ret->kind = VALUE_MATCH_RANGE;
        ret->number = m->range->start;
        ret->range_end = m->range->end;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__DOUBLE_MATCHER__MATCH_PATTERN_EXACT:
        ret->kind = VALUE_MATCH_NUMBER;
        ret->number = m->exact;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "match_pattern", "value is required");
    }
}

static int parse_list_matcher(struct parse_context *ctx,
                              const Envoy__Type__Matcher__V3__ListMatcher *m,
                              struct value_matcher *ret)
{
    struct value_matcher *part = ARENA_NEW(parse_arena(ctx), struct value_matcher);
    size_t at;
    int r;

    if (m->match_pattern_case != ENVOY__TYPE__MATCHER__V3__LIST_MATCHER__MATCH_PATTERN_ONE_OF) {
        return parse_fail(ctx, E_INVALID, "match_pattern", "value is required");
    }
    ret->kind = VALUE_MATCH_LIST;
    ret->parts = part;
    ret->part_count = 1;
    at = path_push(ctx, "one_of");
    r = parse_value_matcher(ctx, m->one_of, part);
    path_pop(ctx, at);
    return r;
}

static int parse_or_matcher(struct parse_context *ctx, const Envoy__Type__Matcher__V3__OrMatcher *m,
                            struct value_matcher *ret)
{
    struct value_matcher *parts =
        ARENA_ARRAY(parse_arena(ctx), struct value_matcher, m->n_value_matchers);

    if (m->n_value_matchers < 2) {
        return parse_fail(ctx, E_INVALID, "value_matchers",
                          "value must contain at least 2 item(s)");
    }
    for (size_t i = 0; i < m->n_value_matchers; i++) {
        size_t at = path_push_index(ctx, "value_matchers", i);
        int r = parse_value_matcher(ctx, m->value_matchers[i], &parts[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->kind = VALUE_MATCH_OR;
    ret->parts = parts;
    ret->part_count = m->n_value_matchers;
    return 0;
}

/* Depth was bounded when the message was unpacked. */
int parse_value_matcher(struct parse_context *ctx, const ValueMatcher *m, struct value_matcher *ret)
{
    size_t at;
    int r;

    switch (m->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_NULL_MATCH:
        ret->kind = VALUE_MATCH_NULL;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_BOOL_MATCH:
        ret->kind = VALUE_MATCH_BOOL;
        ret->boolean = m->bool_match;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_PRESENT_MATCH:
        ret->kind = VALUE_MATCH_PRESENT;
        ret->boolean = m->present_match;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_DOUBLE_MATCH:
        at = path_push(ctx, "double_match");
        r = parse_double_matcher(ctx, m->double_match, ret);
        break;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_STRING_MATCH:
        ret->kind = VALUE_MATCH_STRING;
        at = path_push(ctx, "string_match");
        r = parse_string_matcher(ctx, m->string_match, &ret->string);
        break;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_LIST_MATCH:
        at = path_push(ctx, "list_match");
        r = parse_list_matcher(ctx, m->list_match, ret);
        break;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_OR_MATCH:
        at = path_push(ctx, "or_match");
        r = parse_or_matcher(ctx, m->or_match, ret);
        break;
    default:
        return parse_fail(ctx, E_INVALID, "match_pattern", "value is required");
    }
    path_pop(ctx, at);
    return r;
}

static int parse_metadata_path(struct parse_context *ctx, const MetadataMatcher *m,
                               struct metadata_matcher *ret)
{
    struct str *path = ARENA_ARRAY(parse_arena(ctx), struct str, m->n_path);

    if (m->n_path == 0) {
        return parse_fail(ctx, E_INVALID, "path", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_path; i++) {
        const Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment *s = m->path[i];
        size_t at = path_push_index(ctx, "path", i);
        bool has_key = s->segment_case ==
                       ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__SEGMENT_KEY;
        int r = has_key ? parse_check_not_empty(ctx, "key", s->key)
                        : parse_fail(ctx, E_INVALID, "segment", "value is required");

        if (r < 0) {
            return r;
        }
        path[i] = parse_str(ctx, s->key);
        path_pop(ctx, at);
    }
    ret->path = path;
    ret->path_count = m->n_path;
    return 0;
}

int parse_metadata_matcher(struct parse_context *ctx, const MetadataMatcher *m,
                           struct metadata_matcher *ret)
{
    size_t at;
    int r = parse_check_not_empty(ctx, "filter", m->filter);

    if (r == 0) {
        r = parse_metadata_path(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_check_present(ctx, "value", m->value);
    }
    if (r < 0) {
        return r;
    }
    ret->filter = parse_str(ctx, m->filter);
    ret->invert = m->invert;
    at = path_push(ctx, "value");
    r = parse_value_matcher(ctx, m->value, &ret->value);
    path_pop(ctx, at);
    return r;
}
