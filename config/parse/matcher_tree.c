/* Generic matchers: lists, trees and the custom ones that Envoy has for addresses and domains. Main
 * thread. Depth was bounded when the message was unpacked. */

#include "config/parse/matcher_tree.h"

#include <stdlib.h>

#include "config/any.h"
#include "config/model/network_inputs.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/matcher.h"
#include "dataplane/base/map.h"
#include "proto/envoy/extensions/matching/common_inputs/network/v3/network_inputs.pb-c.h"
#include "proto/envoy/extensions/matching/input_matchers/ip/v3/ip.pb-c.h"
#include "proto/xds/type/matcher/v3/domain.pb-c.h"
#include "proto/xds/type/matcher/v3/ip.pb-c.h"

typedef Xds__Type__Matcher__V3__Matcher Matcher;
typedef Xds__Type__Matcher__V3__Matcher__OnMatch OnMatch;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList MatcherList;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList__Predicate Predicate;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList__Predicate__PredicateList PredicateList;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList__Predicate__SinglePredicate SinglePredicate;
typedef Xds__Type__Matcher__V3__Matcher__MatcherTree MatcherTree;
typedef Xds__Type__Matcher__V3__Matcher__MatcherTree__MatchMap MatchMap;
typedef Xds__Type__Matcher__V3__StringMatcher XdsStringMatcher;
typedef Xds__Type__Matcher__V3__IPMatcher IpMatcher;
typedef Xds__Type__Matcher__V3__IPMatcher__IPRangeMatcher IpRangeMatcher;
typedef Xds__Type__Matcher__V3__ServerNameMatcher DomainMatcher;
typedef Xds__Core__V3__TypedExtensionConfig TypedExtension;

#define PREDICATE(name) XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_LIST__PREDICATE__MATCH_TYPE_##name
#define SINGLE(name)                                                                               \
    XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_LIST__PREDICATE__SINGLE_PREDICATE__MATCHER_##name
#define TREE(name) XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TREE__TREE_TYPE_##name

static int parse_on_match(struct parse_context *ctx, const struct matcher_domain *d,
                          const char *field, const OnMatch *m, struct matcher_on_match *ret);

/* --- what stands in an Any ------------------------------------------------------------------ */

static int parse_unknown(struct parse_context *ctx, const TypedExtension *m)
{
    struct str type = m->typed_config != NULL ? any_type_name(m->typed_config) : STR_NONE;

    return parse_fail(ctx, E_UNSUPPORTED, NULL,
                      "Didn't find a registered implementation for '%s' with type URL: '%.*s'",
                      m->name, STR_ARG(type));
}

static bool typed_is(const TypedExtension *m, const ProtobufCMessageDescriptor *d)
{
    return m->typed_config != NULL && str_eq(any_type_name(m->typed_config), str_c(d->name));
}

/* Both fields of an extension are required. */
static int check_extension(struct parse_context *ctx, const char *field, const TypedExtension *m)
{
    size_t at;
    int r = parse_check_present(ctx, field, m);

    if (r == 0) {
        at = path_push(ctx, field);
        r = parse_check_not_empty(ctx, "name", m->name);
        if (r == 0) {
            r = parse_check_present(ctx, "typed_config", m->typed_config);
        }
        path_pop(ctx, at);
    }
    return r;
}

static int parse_known_input(struct parse_context *ctx, const struct matcher_input_type *type,
                             const Google__Protobuf__Any *any, struct matcher_input *ret)
{
    ProtobufCMessage *msg = NULL;
    struct arena scratch;
    int r;

    arena_init(&scratch, NULL);
    r = any_unpack(ctx, any, type->descriptor, &scratch, &msg);
    if (r == 0 && type->parse != NULL) {
        r = type->parse(ctx, msg, &ret->config);
    }
    arena_done(&scratch);
    ret->get = type->get;
    return r;
}

static int parse_input(struct parse_context *ctx, const struct matcher_domain *d,
                       const TypedExtension *m, struct matcher_input *ret)
{
    size_t at;
    int r = check_extension(ctx, "input", m);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "input");
    for (size_t i = 0; i < d->input_count; i++) {
        if (typed_is(m, d->inputs[i].descriptor)) {
            r = parse_known_input(ctx, &d->inputs[i], m->typed_config, ret);
            path_pop(ctx, at);
            return r;
        }
    }
    r = parse_unknown(ctx, m);
    path_pop(ctx, at);
    return r;
}

/* --- predicates ----------------------------------------------------------------------------- */

static int parse_xds_regex(struct parse_context *ctx, const Xds__Type__Matcher__V3__RegexMatcher *m,
                           struct string_matcher *ret)
{
    Envoy__Type__Matcher__V3__RegexMatcher same;
    size_t at = path_push(ctx, "safe_regex");
    int r;

    envoy__type__matcher__v3__regex_matcher__init(&same);
    same.regex = m->regex;
    ret->kind = STRING_MATCH_REGEX;
    r = parse_regex(ctx, &same, &ret->regex);
    path_pop(ctx, at);
    return r;
}

static int parse_xds_string(struct parse_context *ctx, const XdsStringMatcher *m,
                            struct string_matcher *ret)
{
    *ret = (struct string_matcher){.ignore_case = m->ignore_case};
    switch (m->match_pattern_case) {
    case XDS__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        ret->kind = STRING_MATCH_EXACT;
        ret->value = parse_str(ctx, m->exact);
        return 0;
    case XDS__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        ret->kind = STRING_MATCH_PREFIX;
        ret->value = parse_str(ctx, m->prefix);
        return parse_check_not_empty(ctx, "prefix", m->prefix);
    case XDS__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        ret->kind = STRING_MATCH_SUFFIX;
        ret->value = parse_str(ctx, m->suffix);
        return parse_check_not_empty(ctx, "suffix", m->suffix);
    case XDS__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        ret->kind = STRING_MATCH_CONTAINS;
        ret->value = parse_str(ctx, m->contains);
        return parse_check_not_empty(ctx, "contains", m->contains);
    case XDS__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX:
        return parse_xds_regex(ctx, m->safe_regex, ret);
    default:
        return parse_fail(ctx, E_INVALID, "match_pattern", "value is required");
    }
}

/* envoy.extensions.matching.input_matchers.ip.v3.Ip */
static int parse_ip_predicate(struct parse_context *ctx, const TypedExtension *m,
                              struct matcher_predicate *ret)
{
    const ProtobufCMessageDescriptor *d =
        &envoy__extensions__matching__input_matchers__ip__v3__ip__descriptor;
    const Envoy__Extensions__Matching__InputMatchers__Ip__V3__Ip *ip;
    ProtobufCMessage *msg = NULL;
    struct arena scratch;
    int r;

    if (!typed_is(m, d)) {
        return parse_unknown(ctx, m);
    }
    arena_init(&scratch, NULL);
    r = any_unpack(ctx, m->typed_config, d, &scratch, &msg);
    if (r == 0) {
        ip = (const Envoy__Extensions__Matching__InputMatchers__Ip__V3__Ip *)msg;
        ret->kind = MATCHER_PREDICATE_IP;
        r = parse_check_not_empty(ctx, "stat_prefix", ip->stat_prefix);
        if (r == 0 && ip->n_cidr_ranges == 0) {
            r = parse_fail(ctx, E_INVALID, "cidr_ranges", "value must contain at least 1 item(s)");
        }
        if (r == 0) {
            r = parse_cidrs(ctx, "cidr_ranges", ip->n_cidr_ranges, ip->cidr_ranges, &ret->ranges,
                            &ret->range_count);
        }
    }
    arena_done(&scratch);
    return r;
}

static int parse_single(struct parse_context *ctx, const struct matcher_domain *d,
                        const SinglePredicate *m, struct matcher_predicate *ret)
{
    size_t at = path_push(ctx, "single_predicate");
    int r = parse_input(ctx, d, m->input, &ret->input);
    size_t inner;

    if (r < 0) {
        return r;
    }
    switch (m->matcher_case) {
    case SINGLE(VALUE_MATCH):
        inner = path_push(ctx, "value_match");
        ret->kind = MATCHER_PREDICATE_STRING;
        r = parse_xds_string(ctx, m->value_match, &ret->string);
        break;
    case SINGLE(CUSTOM_MATCH):
        r = check_extension(ctx, "custom_match", m->custom_match);
        inner = path_push(ctx, "custom_match");
        r = r == 0 ? parse_ip_predicate(ctx, m->custom_match, ret) : r;
        break;
    default:
        return parse_fail(ctx, E_INVALID, "matcher", "value is required");
    }
    path_pop(ctx, inner);
    path_pop(ctx, at);
    return r;
}

static int parse_predicate(struct parse_context *ctx, const struct matcher_domain *d,
                           const Predicate *m, struct matcher_predicate *ret);

static int parse_parts(struct parse_context *ctx, const struct matcher_domain *d, const char *field,
                       const PredicateList *m, struct matcher_predicate *ret)
{
    struct matcher_predicate *parts =
        ARENA_ARRAY(parse_arena(ctx), struct matcher_predicate, m->n_predicate);
    size_t at = path_push(ctx, field);

    if (m->n_predicate < 2) {
        return parse_fail(ctx, E_INVALID, "predicate", "value must contain at least 2 item(s)");
    }
    for (size_t i = 0; i < m->n_predicate; i++) {
        size_t inner = path_push_index(ctx, "predicate", i);
        int r = parse_predicate(ctx, d, m->predicate[i], &parts[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, inner);
    }
    path_pop(ctx, at);
    ret->parts = parts;
    ret->part_count = m->n_predicate;
    return 0;
}

static int parse_negated(struct parse_context *ctx, const struct matcher_domain *d,
                         const Predicate *m, struct matcher_predicate *ret)
{
    struct matcher_predicate *part = ARENA_NEW(parse_arena(ctx), struct matcher_predicate);
    size_t at = path_push(ctx, "not_matcher");
    int r = parse_predicate(ctx, d, m, part);

    path_pop(ctx, at);
    ret->parts = part;
    ret->part_count = 1;
    return r;
}

static int parse_predicate(struct parse_context *ctx, const struct matcher_domain *d,
                           const Predicate *m, struct matcher_predicate *ret)
{
    switch (m->match_type_case) {
    case PREDICATE(SINGLE_PREDICATE):
        return parse_single(ctx, d, m->single_predicate, ret);
    case PREDICATE(OR_MATCHER):
        ret->kind = MATCHER_PREDICATE_OR;
        return parse_parts(ctx, d, "or_matcher", m->or_matcher, ret);
    case PREDICATE(AND_MATCHER):
        ret->kind = MATCHER_PREDICATE_AND;
        return parse_parts(ctx, d, "and_matcher", m->and_matcher, ret);
    case PREDICATE(NOT_MATCHER):
        ret->kind = MATCHER_PREDICATE_NOT;
        return parse_negated(ctx, d, m->not_matcher, ret);
    default:
        return parse_fail(ctx, E_INVALID, "match_type", "value is required");
    }
}

static int parse_list(struct parse_context *ctx, const struct matcher_domain *d,
                      const MatcherList *m, struct matcher *ret)
{
    struct matcher_field *fields =
        ARENA_ARRAY(parse_arena(ctx), struct matcher_field, m->n_matchers);
    size_t at = path_push(ctx, "matcher_list");

    if (m->n_matchers == 0) {
        return parse_fail(ctx, E_INVALID, "matchers", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_matchers; i++) {
        size_t inner = path_push_index(ctx, "matchers", i);
        int r = parse_check_present(ctx, "predicate", m->matchers[i]->predicate);
        size_t deeper = path_push(ctx, "predicate");

        if (r == 0) {
            r = parse_predicate(ctx, d, m->matchers[i]->predicate, &fields[i].predicate);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, deeper);
        r = parse_on_match(ctx, d, "on_match", m->matchers[i]->on_match, &fields[i].on_match);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, inner);
    }
    path_pop(ctx, at);
    ret->kind = MATCHER_LIST;
    ret->fields = fields;
    ret->field_count = m->n_matchers;
    return 0;
}

/* --- maps ----------------------------------------------------------------------------------- */

typedef Xds__Type__Matcher__V3__Matcher__MatcherTree__MatchMap__MapEntry MapEntry;

static int compare_entries(const void *a, const void *b)
{
    return str_cmp(str_c((*(const MapEntry *const *)a)->key),
                   str_c((*(const MapEntry *const *)b)->key));
}

/* Sorted, at the end of `entries`; returns how many. Of equal keys the last one counts, as in every
 * protobuf map. */
static size_t sort_entries(MapEntry **entries, size_t n)
{
    struct map seen;
    size_t kept = n;

    map_init(&seen);
    for (size_t i = n; i-- > 0;) {
        if (map_put(&seen, str_c(entries[i]->key), entries[i]) == NULL) {
            entries[--kept] = entries[i];
        }
    }
    map_done(&seen);
    if (kept < n) {
        qsort(entries + kept, n - kept, sizeof(*entries), compare_entries);
    }
    return n - kept;
}

static int parse_map(struct parse_context *ctx, const struct matcher_domain *d, const char *field,
                     const MatchMap *m, struct matcher *ret)
{
    struct arena *a = parse_arena(ctx);
    size_t at = path_push(ctx, field);
    size_t n = sort_entries(m->map, m->n_map);
    MapEntry *const *entries = m->map + (m->n_map - n);
    struct matcher_on_match *on_matches = ARENA_ARRAY(a, struct matcher_on_match, n);
    struct str *keys = ARENA_ARRAY(a, struct str, n);

    if (n == 0) {
        return parse_fail(ctx, E_INVALID, "map", "value must contain at least 1 pair(s)");
    }
    str_table_init(&ret->exact, a, n, false);
    for (size_t i = 0; i < n; i++) {
        size_t inner = path_push_key(ctx, "map", entries[i]->key);
        int r = parse_on_match(ctx, d, NULL, entries[i]->value, &on_matches[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, inner);
        keys[i] = parse_str(ctx, entries[i]->key);
        (void)str_table_add(&ret->exact, keys[i], (uint32_t)i); /* the keys differ */
    }
    path_pop(ctx, at);
    if (ret->kind == MATCHER_PREFIX) {
        ret->prefixes = path_trie_build(a, keys, n);
    }
    ret->on_matches = on_matches;
    return 0;
}

/* --- custom trees --------------------------------------------------------------------------- */

static int parse_xds_range(struct parse_context *ctx, const Xds__Core__V3__CidrRange *m,
                           const struct cidr **ret)
{
    Envoy__Config__Core__V3__CidrRange same;
    Envoy__Config__Core__V3__CidrRange *one = &same;
    size_t count;

    envoy__config__core__v3__cidr_range__init(&same);
    same.address_prefix = m->address_prefix;
    same.prefix_len = m->prefix_len;
    return parse_cidrs(ctx, "ranges", 1, &one, ret, &count);
}

/* Behind those of the same range that were declared before. */
static void add_range_node(struct matcher *ret, struct matcher_range *nodes, uint32_t index,
                           const struct cidr *range)
{
    uint32_t at = cidr_table_add(&ret->ranges, range, index);

    nodes[index].next = UINT32_MAX;
    if (at != index) {
        while (nodes[at].next != UINT32_MAX) {
            at = nodes[at].next;
        }
        nodes[at].next = index;
    }
}

static int parse_range_matcher(struct parse_context *ctx, const struct matcher_domain *d,
                               const IpRangeMatcher *m, struct matcher *ret,
                               struct matcher_range *nodes, uint32_t *count)
{
    struct matcher_on_match on_match = {0};
    int r = parse_on_match(ctx, d, "on_match", m->on_match, &on_match);

    if (r == 0 && m->n_ranges == 0) {
        r = parse_fail(ctx, E_INVALID, "ranges", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; r == 0 && i < m->n_ranges; i++) {
        const struct cidr *range;

        r = parse_xds_range(ctx, m->ranges[i], &range);
        if (r == 0) {
            nodes[*count].on_match = on_match;
            nodes[*count].is_exclusive = m->exclusive;
            add_range_node(ret, nodes, (*count)++, range);
        }
    }
    return r;
}

static int parse_ip_tree(struct parse_context *ctx, const struct matcher_domain *d,
                         const ProtobufCMessage *msg, struct matcher *ret)
{
    const IpMatcher *m = (const IpMatcher *)msg;
    struct matcher_range *nodes;
    uint32_t count = 0;
    size_t total = 0;

    for (size_t i = 0; i < m->n_range_matchers; i++) {
        total += m->range_matchers[i]->n_ranges;
    }
    nodes = ARENA_ARRAY(parse_arena(ctx), struct matcher_range, total);
    cidr_table_init(&ret->ranges, parse_arena(ctx), total);
    for (size_t i = 0; i < m->n_range_matchers; i++) {
        size_t at = path_push_index(ctx, "range_matchers", i);
        int r = parse_range_matcher(ctx, d, m->range_matchers[i], ret, nodes, &count);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->kind = MATCHER_IP;
    ret->range_nodes = nodes;
    return 0;
}

/* "*", "*.suffix" or a name. */
static int add_domain(struct parse_context *ctx, struct str domain, uint32_t index,
                      struct matcher *ret)
{
    struct str_table *table = &ret->exact;

    if (domain.len == 0) {
        return parse_fail(ctx, E_INVALID, "domains", "Empty domain in ServerNameMatcher");
    }
    if (str_eq(domain, STR("*"))) {
        if (ret->any_domain != UINT32_MAX) {
            return parse_fail(ctx, E_INVALID, "domains",
                              "Duplicate domain in ServerNameMatcher: *");
        }
        ret->any_domain = index;
        return 0;
    }
    if (str_starts(domain, STR("*."))) {
        table = &ret->wildcards;
        domain = str_sub(domain, 2, domain.len);
    }
    if (domain.len == 0 || str_find_char(domain, '*') != STR_NPOS) {
        return parse_fail(ctx, E_INVALID, "domains",
                          "Invalid wildcard domain format: only '*' and '*.domain' patterns are "
                          "supported");
    }
    if (str_table_find(table, domain) != STR_TABLE_NONE) {
        return parse_fail(ctx, E_INVALID, "domains", "Duplicate domain in ServerNameMatcher: %.*s",
                          STR_ARG(domain));
    }
    (void)str_table_add(table, domain, index); /* it was not there */
    return 0;
}

static int parse_domain_tree(struct parse_context *ctx, const struct matcher_domain *d,
                             const ProtobufCMessage *msg, struct matcher *ret)
{
    const DomainMatcher *m = (const DomainMatcher *)msg;
    struct matcher_on_match *on_matches =
        ARENA_ARRAY(parse_arena(ctx), struct matcher_on_match, m->n_domain_matchers);
    size_t total = 0;

    for (size_t i = 0; i < m->n_domain_matchers; i++) {
        total += m->domain_matchers[i]->n_domains;
    }
    str_table_init(&ret->exact, parse_arena(ctx), total, false);
    str_table_init(&ret->wildcards, parse_arena(ctx), total, false);
    for (size_t i = 0; i < m->n_domain_matchers; i++) {
        size_t at = path_push_index(ctx, "domain_matchers", i);
        int r = parse_on_match(ctx, d, "on_match", m->domain_matchers[i]->on_match, &on_matches[i]);

        if (r == 0 && m->domain_matchers[i]->n_domains == 0) {
            r = parse_fail(ctx, E_INVALID, "domains", "value must contain at least 1 item(s)");
        }
        for (size_t k = 0; r == 0 && k < m->domain_matchers[i]->n_domains; k++) {
            r = add_domain(ctx, parse_str(ctx, m->domain_matchers[i]->domains[k]), (uint32_t)i,
                           ret);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->kind = MATCHER_DOMAIN;
    ret->on_matches = on_matches;
    return 0;
}

static int parse_custom_tree(struct parse_context *ctx, const struct matcher_domain *d,
                             const TypedExtension *m, struct matcher *ret)
{
    bool is_ip = typed_is(m, &xds__type__matcher__v3__ipmatcher__descriptor);
    ProtobufCMessage *msg = NULL;
    struct arena scratch;
    int r;

    if (!is_ip && !typed_is(m, &xds__type__matcher__v3__server_name_matcher__descriptor)) {
        return parse_unknown(ctx, m);
    }
    arena_init(&scratch, NULL);
    r = any_unpack(ctx, m->typed_config,
                   is_ip ? &xds__type__matcher__v3__ipmatcher__descriptor
                         : &xds__type__matcher__v3__server_name_matcher__descriptor,
                   &scratch, &msg);
    if (r == 0) {
        r = is_ip ? parse_ip_tree(ctx, d, msg, ret) : parse_domain_tree(ctx, d, msg, ret);
    }
    arena_done(&scratch);
    return r;
}

static int parse_tree(struct parse_context *ctx, const struct matcher_domain *d,
                      const MatcherTree *m, struct matcher *ret)
{
    size_t at = path_push(ctx, "matcher_tree");
    int r = parse_input(ctx, d, m->input, &ret->input);
    size_t inner;

    if (r < 0) {
        return r;
    }
    switch (m->tree_type_case) {
    case TREE(EXACT_MATCH_MAP):
        ret->kind = MATCHER_EXACT;
        r = parse_map(ctx, d, "exact_match_map", m->exact_match_map, ret);
        break;
    case TREE(PREFIX_MATCH_MAP):
        ret->kind = MATCHER_PREFIX;
        r = parse_map(ctx, d, "prefix_match_map", m->prefix_match_map, ret);
        break;
    case TREE(CUSTOM_MATCH):
        r = check_extension(ctx, "custom_match", m->custom_match);
        inner = path_push(ctx, "custom_match");
        r = r == 0 ? parse_custom_tree(ctx, d, m->custom_match, ret) : r;
        path_pop(ctx, inner);
        break;
    default:
        return parse_fail(ctx, E_INVALID, "tree_type", "value is required");
    }
    path_pop(ctx, at);
    return r;
}

/* --- the whole ------------------------------------------------------------------------------ */

static int parse_on_match(struct parse_context *ctx, const struct matcher_domain *d,
                          const char *field, const OnMatch *m, struct matcher_on_match *ret)
{
    size_t at = ctx->path.len;
    int r = field != NULL ? parse_check_present(ctx, field, m) : 0;

    if (r < 0) {
        return r;
    }
    if (field != NULL) {
        (void)path_push(ctx, field);
    }
    if (m == NULL ||
        m->on_match_case == XDS__TYPE__MATCHER__V3__MATCHER__ON_MATCH__ON_MATCH__NOT_SET) {
        return parse_fail(ctx, E_INVALID, "on_match", "value is required");
    }
    ret->keep_matching = m->keep_matching;
    if (m->on_match_case == XDS__TYPE__MATCHER__V3__MATCHER__ON_MATCH__ON_MATCH_MATCHER) {
        (void)path_push(ctx, "matcher");
        r = parse_matcher(ctx, d, m->matcher, &ret->matcher);
    } else {
        r = check_extension(ctx, "action", m->action);
        (void)path_push(ctx, "action");
        if (r == 0) {
            r = d->parse_action(ctx, d->user, m->action->name, m->action->typed_config,
                                &ret->action);
        }
    }
    path_pop(ctx, at);
    return r;
}

int parse_matcher(struct parse_context *ctx, const struct matcher_domain *domain, const Matcher *m,
                  const struct matcher **ret)
{
    struct matcher *made = ARENA_NEW(parse_arena(ctx), struct matcher);
    int r = 0;

    made->kind = MATCHER_ANY;
    made->any_domain = UINT32_MAX;
    if (m->matcher_type_case == XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TYPE_MATCHER_LIST) {
        r = parse_list(ctx, domain, m->matcher_list, made);
    } else if (m->matcher_type_case == XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TYPE_MATCHER_TREE) {
        r = parse_tree(ctx, domain, m->matcher_tree, made);
    }
    if (r == 0 && m->on_no_match != NULL) {
        made->has_on_no_match = true;
        r = parse_on_match(ctx, domain, "on_no_match", m->on_no_match, &made->on_no_match);
    }
    *ret = made;
    return r;
}

/* --- inputs --------------------------------------------------------------------------------- */

#define NETWORK_INPUT(name)                                                                        \
    &envoy__extensions__matching__common_inputs__network__v3__##name##__descriptor

const struct matcher_input_type network_matcher_inputs[] = {
    {.descriptor = NETWORK_INPUT(destination_ipinput), .get = network_input_destination_ip},
    {.descriptor = NETWORK_INPUT(destination_port_input), .get = network_input_destination_port},
    {.descriptor = NETWORK_INPUT(source_ipinput), .get = network_input_source_ip},
    {.descriptor = NETWORK_INPUT(source_port_input), .get = network_input_source_port},
    {.descriptor = NETWORK_INPUT(direct_source_ipinput), .get = network_input_direct_source_ip},
    {.descriptor = NETWORK_INPUT(source_type_input), .get = network_input_source_type},
    {.descriptor = NETWORK_INPUT(server_name_input), .get = network_input_server_name},
    {.descriptor = NETWORK_INPUT(transport_protocol_input),
     .get = network_input_transport_protocol},
    {.descriptor = NETWORK_INPUT(application_protocol_input),
     .get = network_input_application_protocol},
};
const size_t network_matcher_input_count =
    sizeof(network_matcher_inputs) / sizeof(network_matcher_inputs[0]);
