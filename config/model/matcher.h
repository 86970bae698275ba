#ifndef CONFIG_MODEL_MATCHER_H
#define CONFIG_MODEL_MATCHER_H

/*
 * The generic matcher (xds.type.matcher.v3.Matcher): lists of predicates and trees of values, from
 * what there is to know about a connection or a request to an action. What can be known and what an
 * action is, those say who use it (config/parse/matcher_tree.h). Immutable; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cidr_table.h"
#include "config/model/core.h"
#include "config/model/path_trie.h"
#include "config/model/str_table.h"

/* What an input says of the data that is matched. */
struct matcher_value {
    enum {
        MATCHER_VALUE_ABSENT,      /* there is none */
        MATCHER_VALUE_UNAVAILABLE, /* it cannot be known: nothing matches */
        MATCHER_VALUE_PRESENT,
    } state;
    struct str text;
    const struct address *address; /* of inputs that are IP addresses; NULL for others */
    char buffer[ADDRESS_TEXT_MAX]; /* for a short text */
    struct strbuf heap;            /* for a long one; done by the matcher */
};

/* `value` is absent when this is called. */
typedef void matcher_input_fn(const void *data, const void *config, struct matcher_value *value);

struct matcher_input {
    matcher_input_fn *get;
    const void *config;
};

struct matcher;

struct matcher_on_match {
    const struct matcher *matcher; /* goes on there */
    const void *action;            /* or ends here */
    bool keep_matching;            /* takes note, but goes on as if it had not matched */
};

enum matcher_predicate_kind {
    MATCHER_PREDICATE_STRING,
    MATCHER_PREDICATE_IP,
    MATCHER_PREDICATE_AND,
    MATCHER_PREDICATE_OR,
    MATCHER_PREDICATE_NOT,
};

struct matcher_predicate {
    enum matcher_predicate_kind kind;
    struct matcher_input input;
    struct string_matcher string;
    const struct cidr *ranges;
    size_t range_count;
    const struct matcher_predicate *parts; /* of AND, OR and the one of NOT */
    size_t part_count;
};

struct matcher_field {
    struct matcher_predicate predicate;
    struct matcher_on_match on_match;
};

/* Several may have the same range: they lie in order of declaration behind each other. */
struct matcher_range {
    struct matcher_on_match on_match;
    bool is_exclusive; /* only when no narrower range holds the address */
    uint32_t next;     /* of the same range; UINT32_MAX: none */
};

enum matcher_kind {
    MATCHER_LIST,
    MATCHER_EXACT,
    MATCHER_PREFIX,
    MATCHER_IP,
    MATCHER_DOMAIN,
    MATCHER_ANY, /* only on_no_match */
};

struct matcher {
    enum matcher_kind kind;
    const struct matcher_field *fields; /* LIST */
    size_t field_count;
    struct matcher_input input;                /* of trees */
    const struct matcher_on_match *on_matches; /* EXACT, PREFIX, DOMAIN */
    struct str_table exact;                    /* EXACT, DOMAIN */
    struct str_table wildcards;                /* DOMAIN: without "*." */
    uint32_t any_domain;                       /* DOMAIN: of "*"; UINT32_MAX: none */
    const struct path_trie *prefixes;          /* PREFIX */
    struct cidr_table ranges;                  /* IP: to the first matcher_range of each */
    const struct matcher_range *range_nodes;
    bool has_on_no_match;
    struct matcher_on_match on_no_match;
};

enum matcher_result { MATCHER_NO_MATCH, MATCHER_MATCH, MATCHER_INSUFFICIENT_DATA };

/* `ret_action` is set for MATCHER_MATCH only. */
enum matcher_result matcher_match(const struct matcher *m, const void *data,
                                  const void **ret_action);

#endif
