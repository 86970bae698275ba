/* Matching values of metadata. Any thread: all of it is immutable. */

#include "config/model/value_matcher.h"

static bool value_any_matches(const struct value_matcher *m, const struct value *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (value_matcher_matches(m, &list->items[i])) {
            return true;
        }
    }
    return false;
}

static bool value_matches_any(const struct value_matcher *m, const struct value *v)
{
    for (size_t i = 0; i < m->part_count; i++) {
        if (value_matcher_matches(&m->parts[i], v)) {
            return true;
        }
    }
    return false;
}

bool value_matcher_matches(const struct value_matcher *m, const struct value *v)
{
    if (v == NULL) {
        return false;
    }
    switch (m->kind) {
    case VALUE_MATCH_NULL:
        return v->kind == VALUE_NULL;
    case VALUE_MATCH_RANGE:
        return v->kind == VALUE_NUMBER && v->number >= m->number && v->number < m->range_end;
    case VALUE_MATCH_NUMBER:
        return v->kind == VALUE_NUMBER && !(v->number < m->number) && !(v->number > m->number);
    case VALUE_MATCH_STRING:
        return v->kind == VALUE_STRING && string_matcher_matches(&m->string, v->string);
    case VALUE_MATCH_BOOL:
        return v->kind == VALUE_BOOL && v->boolean == m->boolean;
    case VALUE_MATCH_PRESENT:
        return m->boolean;
    case VALUE_MATCH_LIST:
        return v->kind == VALUE_LIST && value_any_matches(m->parts, v);
    case VALUE_MATCH_OR:
        return value_matches_any(m, v);
    }
    return false;
}

const struct value *metadata_matcher_find(const struct metadata_matcher *m,
                                          const struct value *metadata)
{
    const struct value *v = value_get(metadata, m->filter);

    for (size_t i = 0; i < m->path_count; i++) {
        v = value_get(v, m->path[i]);
    }
    return v;
}
