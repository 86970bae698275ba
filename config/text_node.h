#ifndef CONFIG_TEXT_NODE_H
#define CONFIG_TEXT_NODE_H

/*
 * Parsed configuration text, before it meets a descriptor: what YAML, JSON and
 * google.protobuf.Struct have in common. Lives in an arena.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

enum text_kind {
    TEXT_NULL,
    TEXT_BOOL,
    TEXT_NUMBER, /* `scalar` is its text, so that 64-bit integers stay exact */
    TEXT_STRING,
    TEXT_LIST,
    TEXT_MAP,
};

const char *text_kind_name(enum text_kind k);

struct text_node;

struct text_member {
    struct str key;
    unsigned line; /* of the key */
    unsigned column;
    const struct text_node *value;
};

struct text_node {
    enum text_kind kind;
    unsigned line; /* from 1; 0: unknown */
    unsigned column;
    bool boolean;
    struct str scalar;                    /* of a string: NUL-terminated beyond its length */
    const struct text_node *const *items; /* TEXT_LIST */
    const struct text_member *members;    /* TEXT_MAP, keys unique */
    size_t count;
};

#define TEXT_DEPTH_MAX 100

/* A member of a map whose key came before; NULL: none. */
const struct text_member *text_find_duplicate(const struct text_node *map);

/* Errors: E_INVALID, "line:column: sentence" (the caller puts the file's name in front). The nodes
 * do not point into `text`. */
int yaml_parse(struct str text, struct arena *a, const struct text_node **ret_root,
               struct error *reterr) MUST_CHECK;
int json_parse(struct str text, struct arena *a, const struct text_node **ret_root,
               struct error *reterr) MUST_CHECK;

#endif
