#ifndef CONFIG_MODEL_VALUE_MATCHER_H
#define CONFIG_MODEL_VALUE_MATCHER_H

/* type.matcher.v3.ValueMatcher and MetadataMatcher: one value of metadata. Immutable; any thread.
 */

#include "config/model/core.h"

enum value_match_kind {
    VALUE_MATCH_NULL,
    VALUE_MATCH_RANGE, /* [start, end) */
    VALUE_MATCH_NUMBER,
    VALUE_MATCH_STRING,
    VALUE_MATCH_BOOL,
    VALUE_MATCH_PRESENT,
    VALUE_MATCH_LIST, /* one of a list's members matches `parts` */
    VALUE_MATCH_OR,
};

struct value_matcher {
    enum value_match_kind kind;
    bool boolean; /* BOOL; PRESENT: false never matches */
    double number;
    double range_end; /* from `number` */
    struct string_matcher string;
    const struct value_matcher *parts;
    size_t part_count;
};

struct metadata_matcher {
    struct str filter; /* the namespace */
    const struct str *path;
    size_t path_count;
    struct value_matcher value;
    bool invert;
};

/* `v` NULL: there is none. */
bool value_matcher_matches(const struct value_matcher *m, const struct value *v);
/* What the matcher looks at; NULL: there is none. `metadata` NULL allowed. */
const struct value *metadata_matcher_find(const struct metadata_matcher *m,
                                          const struct value *metadata);

#endif
