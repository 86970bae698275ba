/* Header matchers of routes and of log filters. See header_match.h. */

#include "dataplane/codec/header_match.h"

#include "dataplane/codec/header_value.h"

/* As absl::SimpleAtoi, which takes a plus sign. */
static bool parse_signed(struct str s, int64_t *ret_value)
{
    if (s.len > 1 && s.ptr[0] == '+' && s.ptr[1] != '-') {
        s = str_sub(s, 1, s.len);
    }
    return parse_i64(s, ret_value) == 0;
}

static bool header_value_matches(const struct header_matcher *m, struct str value)
{
    int64_t number;

    switch (m->kind) {
    case HEADER_MATCH_PRESENT:
        return m->present;
    case HEADER_MATCH_STRING:
        return string_matcher_matches(&m->string, value);
    case HEADER_MATCH_RANGE:
        return parse_signed(value, &number) && number >= m->range_start && number < m->range_end;
    }
    return false;
}

/* `first` is there. */
static bool header_any_value_matches(const struct header_matcher *m, const struct header_map *h,
                                     const struct header *first)
{
    if (header_is_joined((enum header_id)first->id) && header_next_same(h, first) != NULL) {
        return header_value_matches(m, header_joined(h, m->name));
    }
    for (; first != NULL; first = header_next_same(h, first)) {
        if (header_value_matches(m, first->value)) {
            return true;
        }
    }
    return false;
}

bool header_matcher_matches(const struct header_matcher *m, const struct header_map *h)
{
    const struct header *first = header_find_name(h, m->name);

    if (first != NULL) {
        return header_any_value_matches(m, h, first) != m->invert;
    }
    if (m->treat_missing_as_empty) {
        return header_value_matches(m, STR("")) != m->invert;
    }
    /* As Envoy: a rule about a header that is not there fails, inverted or not, except where
     * presence is the question. */
    return m->kind == HEADER_MATCH_PRESENT && m->present == m->invert;
}
