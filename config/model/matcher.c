/*
 * Evaluates matchers as Envoy does: an inner matcher without a match does not end the search, the
 * outer one goes on with what fits less well. Depth is bounded by that of the message. No state.
 */

#include "config/model/matcher.h"

/* Nested keys of one prefix tree that fit one text: the shortest of more are left out. */
#define PREFIXES_MAX 64

static enum matcher_result follow(const struct matcher_on_match *o, const void *data,
                                  const void **ret_action)
{
    const void *action = o->action;
    enum matcher_result r =
        o->matcher != NULL ? matcher_match(o->matcher, data, &action) : MATCHER_MATCH;

    if (r != MATCHER_MATCH) {
        return r;
    }
    if (o->keep_matching) {
        return MATCHER_NO_MATCH;
    }
    *ret_action = action;
    return MATCHER_MATCH;
}

/* --- predicates --------------------------------------------------------------------------- */

static void value_get_from(const struct matcher_input *input, const void *data,
                           struct matcher_value *v)
{
    v->state = MATCHER_VALUE_ABSENT;
    v->text = STR_NONE;
    v->address = NULL;
    strbuf_init(&v->heap);
    input->get(data, input->config, v);
}

/* Of an input that is one, or reads like one. */
static bool value_address(const struct matcher_value *v, struct address *ret)
{
    if (v->address != NULL) {
        *ret = *v->address;
        return true;
    }
    return address_from_ip(v->text, 0, ret) == 0;
}

static bool ranges_hold(const struct matcher_predicate *p, const struct matcher_value *v)
{
    struct address a;

    if (!value_address(v, &a)) {
        return false;
    }
    for (size_t i = 0; i < p->range_count; i++) {
        if (cidr_contains(&p->ranges[i], &a)) {
            return true;
        }
    }
    return false;
}

static enum matcher_result test_value(const struct matcher_predicate *p, const void *data)
{
    struct matcher_value v;
    bool fits = false;

    value_get_from(&p->input, data, &v);
    if (v.state == MATCHER_VALUE_PRESENT) {
        fits = p->kind == MATCHER_PREDICATE_IP ? ranges_hold(p, &v)
                                               : string_matcher_matches(&p->string, v.text);
    }
    strbuf_done(&v.heap);
    if (v.state == MATCHER_VALUE_UNAVAILABLE) {
        return MATCHER_INSUFFICIENT_DATA;
    }
    return fits ? MATCHER_MATCH : MATCHER_NO_MATCH;
}

static enum matcher_result test_predicate(const struct matcher_predicate *p, const void *data)
{
    enum matcher_result whole = p->kind == MATCHER_PREDICATE_AND ? MATCHER_MATCH : MATCHER_NO_MATCH;

    if (p->kind == MATCHER_PREDICATE_STRING || p->kind == MATCHER_PREDICATE_IP) {
        return test_value(p, data);
    }
    for (size_t i = 0; i < p->part_count; i++) {
        enum matcher_result r = test_predicate(&p->parts[i], data);

        if (p->kind == MATCHER_PREDICATE_NOT && r != MATCHER_INSUFFICIENT_DATA) {
            return r == MATCHER_MATCH ? MATCHER_NO_MATCH : MATCHER_MATCH;
        }
        if (p->kind == MATCHER_PREDICATE_OR && r == MATCHER_INSUFFICIENT_DATA) {
            whole = r; /* another one may match all the same */
        } else if (r != (p->kind == MATCHER_PREDICATE_AND ? MATCHER_MATCH : MATCHER_NO_MATCH)) {
            return r;
        }
    }
    return whole;
}

/* --- lists and trees: NO_MATCH leads on to on_no_match ------------------------------------- */

static enum matcher_result match_list(const struct matcher *m, const void *data,
                                      const void **ret_action)
{
    for (size_t i = 0; i < m->field_count; i++) {
        enum matcher_result r = test_predicate(&m->fields[i].predicate, data);

        if (r == MATCHER_MATCH) {
            r = follow(&m->fields[i].on_match, data, ret_action);
        }
        if (r != MATCHER_NO_MATCH) {
            return r;
        }
    }
    return MATCHER_NO_MATCH;
}

static enum matcher_result follow_index(const struct matcher *m, uint32_t index, const void *data,
                                        const void **ret_action)
{
    return index == STR_TABLE_NONE ? MATCHER_NO_MATCH
                                   : follow(&m->on_matches[index], data, ret_action);
}

static enum matcher_result match_prefix(const struct matcher *m, struct str text, const void *data,
                                        const void **ret_action)
{
    uint32_t found[PREFIXES_MAX];
    enum matcher_result r = MATCHER_NO_MATCH;
    struct trie_walk w;
    size_t count = 0;
    uint32_t key;

    trie_walk_init(&w, m->prefixes, text, 0);
    while (trie_walk_next(&w, &key)) {
        found[count++ % PREFIXES_MAX] = key;
    }
    for (size_t tried = 0; r == MATCHER_NO_MATCH && count > 0 && tried < PREFIXES_MAX; tried++) {
        r = follow_index(m, found[--count % PREFIXES_MAX], data, ret_action);
    }
    return r;
}

static enum matcher_result match_domain(const struct matcher *m, struct str text, const void *data,
                                        const void **ret_action)
{
    enum matcher_result r;
    struct str rest = text;
    size_t dot;

    if (text.len == 0) {
        return MATCHER_NO_MATCH;
    }
    r = follow_index(m, str_table_find(&m->exact, text), data, ret_action);
    while (r == MATCHER_NO_MATCH && (dot = str_find_char(rest, '.')) != STR_NPOS) {
        rest = str_sub(rest, dot + 1, rest.len);
        r = follow_index(m, str_table_find(&m->wildcards, rest), data, ret_action);
    }
    return r == MATCHER_NO_MATCH ? follow_index(m, m->any_domain, data, ret_action) : r;
}

static enum matcher_result match_ip(const struct matcher *m, const struct matcher_value *v,
                                    const void *data, const void **ret_action)
{
    enum matcher_result r = MATCHER_NO_MATCH;
    bool is_first = true;
    size_t position = 0;
    struct address a;
    uint32_t at;

    if (!value_address(v, &a)) {
        return MATCHER_NO_MATCH;
    }
    while (r == MATCHER_NO_MATCH &&
           (at = cidr_table_next(&m->ranges, &a, &position)) != CIDR_TABLE_NONE) {
        for (; r == MATCHER_NO_MATCH && at != UINT32_MAX; at = m->range_nodes[at].next) {
            if (is_first || !m->range_nodes[at].is_exclusive) {
                r = follow(&m->range_nodes[at].on_match, data, ret_action);
            }
            is_first = false;
        }
    }
    return r;
}

static enum matcher_result match_tree(const struct matcher *m, const void *data,
                                      const void **ret_action)
{
    enum matcher_result r = MATCHER_NO_MATCH;
    struct matcher_value v;

    value_get_from(&m->input, data, &v);
    if (v.state == MATCHER_VALUE_UNAVAILABLE) {
        r = MATCHER_INSUFFICIENT_DATA;
    } else if (v.state == MATCHER_VALUE_PRESENT) {
        switch (m->kind) {
        case MATCHER_EXACT:
            r = follow_index(m, str_table_find(&m->exact, v.text), data, ret_action);
            break;
        case MATCHER_PREFIX:
            r = match_prefix(m, v.text, data, ret_action);
            break;
        case MATCHER_DOMAIN:
            r = match_domain(m, v.text, data, ret_action);
            break;
        case MATCHER_IP:
            r = match_ip(m, &v, data, ret_action);
            break;
        case MATCHER_LIST:
        case MATCHER_ANY:
            break;
        }
    }
    strbuf_done(&v.heap);
    return r;
}

enum matcher_result matcher_match(const struct matcher *m, const void *data,
                                  const void **ret_action)
{
    enum matcher_result r = MATCHER_NO_MATCH;

    if (m->kind == MATCHER_LIST) {
        r = match_list(m, data, ret_action);
    } else if (m->kind != MATCHER_ANY) {
        r = match_tree(m, data, ret_action);
    }
    return r == MATCHER_NO_MATCH && m->has_on_no_match ? follow(&m->on_no_match, data, ret_action)
                                                       : r;
}
