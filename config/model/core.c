/* Matching and lookup in the model's small values. Any thread: all of it is immutable. */

#include "config/model/core.h"

#include <stdlib.h>

bool string_matcher_matches(const struct string_matcher *m, struct str s)
{
    switch (m->kind) {
    case STRING_MATCH_EXACT:
        return m->ignore_case ? str_eq_nocase(s, m->value) : str_eq(s, m->value);
    case STRING_MATCH_PREFIX:
        return m->ignore_case ? str_starts_nocase(s, m->value) : str_starts(s, m->value);
    case STRING_MATCH_SUFFIX:
        return m->ignore_case ? str_ends_nocase(s, m->value) : str_ends(s, m->value);
    case STRING_MATCH_CONTAINS:
        return m->ignore_case ? str_contains_nocase(s, m->value)
                              : str_find(s, m->value) != STR_NPOS;
    case STRING_MATCH_REGEX:
        return regex_full_match(m->regex, s);
    }
    return false;
}

static int value_field_cmp(const void *key, const void *field)
{
    return str_cmp(*(const struct str *)key, ((const struct value_field *)field)->name);
}

const struct value *value_get(const struct value *v, struct str name)
{
    const struct value_field *f;

    if (v == NULL || v->kind != VALUE_STRUCT || v->count == 0) {
        return NULL;
    }
    f = bsearch(&name, v->fields, v->count, sizeof(*v->fields), value_field_cmp);
    return f != NULL ? &f->value : NULL;
}
