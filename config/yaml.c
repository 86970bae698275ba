/*
 * YAML text to nodes with libyaml. One document. Plain scalars are typed as Envoy's loader does:
 * null, bool, 32-bit integers, other numbers; larger integers stay strings so that no digit is
 * lost. Quoted ones are strings. Main thread.
 */

#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "config/text_node.h"

#define NODES_MAX 4000000 /* counting each use of an alias: no billion laughs */

const char *text_kind_name(enum text_kind k)
{
    static const char *const NAMES[] = {"null", "bool", "number", "string", "list", "object"};

    return NAMES[k];
}

/* A list or map under construction. */
struct open_node {
    struct open_node *parent;
    struct text_node *node;
    struct str key; /* map: read, its value is next; ptr NULL: none */
    unsigned key_line;
    unsigned key_column;
    void *elements; /* arena arrays, doubled */
    size_t cap;
    struct str anchor;
};

struct anchor {
    struct anchor *next;
    struct str name;
    const struct text_node *node;
    size_t weight; /* nodes in it */
};

struct loader {
    yaml_parser_t parser;
    struct arena *arena;
    struct error *err;
    struct open_node *top;
    const struct text_node *root;
    struct anchor *anchors;
    size_t node_count;
    int depth;
};

static int loader_fail(struct loader *l, const yaml_mark_t *at, const char *what)
{
    return error_set(l->err, E_INVALID, "%zu:%zu: %s", at->line + 1, at->column + 1, what);
}

static bool is_one_of(struct str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(s, str_c(words[i]))) {
            return true;
        }
    }
    return false;
}

/* yaml-cpp's booleans: each word in lower case, Capitalised or UPPER CASE. */
static bool scalar_bool(struct str s, bool *ret)
{
    static const char *const TRUE[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                       "True", "TRUE", "on",  "On",  "ON"};
    static const char *const FALSE[] = {"n",     "N",     "no",  "No",  "NO", "false",
                                        "False", "FALSE", "off", "Off", "OFF"};

    if (is_one_of(s, TRUE, ARRAY_LEN(TRUE))) {
        *ret = true;
        return true;
    }
    *ret = false;
    return is_one_of(s, FALSE, ARRAY_LEN(FALSE));
}

static bool scalar_is_null(struct str s)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};

    return is_one_of(s, NULLS, ARRAY_LEN(NULLS));
}

static bool scalar_is_number(struct str s, bool *ret_is_big_integer)
{
    int64_t i;
    double d;

    *ret_is_big_integer = false;
    if (s.len > 0 && s.ptr[0] == '+') {
        return false;
    }
    if (parse_i64(s, &i) == 0) {
        *ret_is_big_integer = i < INT32_MIN || i > INT32_MAX;
        return true;
    }
    return parse_double(s, &d) == 0 && isfinite(d);
}

static void scalar_type(struct text_node *n, bool is_plain)
{
    bool is_big;

    n->kind = TEXT_STRING;
    if (!is_plain) {
        return;
    }
    if (scalar_is_null(n->scalar)) {
        n->kind = TEXT_NULL;
    } else if (scalar_bool(n->scalar, &n->boolean)) {
        n->kind = TEXT_BOOL;
    } else if (scalar_is_number(n->scalar, &is_big)) {
        n->kind = is_big ? TEXT_STRING : TEXT_NUMBER;
    }
}

static void *grow(struct loader *l, void *old, size_t count, size_t *cap, size_t size)
{
    void *bigger;

    if (count < *cap) {
        return old;
    }
    *cap = *cap == 0 ? 4 : *cap * 2;
    bigger = arena_alloc(l->arena, *cap * size);
    if (count > 0) {
        memcpy(bigger, old, count * size);
    }
    return bigger;
}

static void loader_keep_anchor(struct loader *l, struct str name, const struct text_node *n,
                               size_t weight)
{
    struct anchor *a;

    if (name.len == 0) {
        return;
    }
    a = ARENA_NEW(l->arena, struct anchor);
    a->name = name;
    a->node = n;
    a->weight = weight;
    a->next = l->anchors;
    l->anchors = a;
}

/* Puts a finished value into the open list or map, or makes it the root. */
static int loader_add(struct loader *l, const struct text_node *n, const yaml_mark_t *at)
{
    struct open_node *top = l->top;

    if (top == NULL) {
        l->root = n;
        return 0;
    }
    if (top->node->kind == TEXT_LIST) {
        const struct text_node **items =
            grow(l, top->elements, top->node->count, &top->cap, sizeof(struct text_node *));

        items[top->node->count++] = n;
        top->elements = (void *)items;
        top->node->items = items;
        return 0;
    }
    if (top->key.ptr == NULL) {
        if (n->kind == TEXT_LIST || n->kind == TEXT_MAP) {
            return loader_fail(l, at, "a key must be a scalar");
        }
        top->key = n->scalar.ptr != NULL ? n->scalar : STR("");
        top->key_line = n->line;
        top->key_column = n->column;
        return 0;
    }
    for (size_t i = 0; i < top->node->count; i++) {
        if (str_eq(top->node->members[i].key, top->key)) {
            return error_set(l->err, E_INVALID, "%u:%u: duplicate key '%.*s'", top->key_line,
                             top->key_column, STR_ARG(top->key));
        }
    }
    {
        struct text_member *members =
            grow(l, top->elements, top->node->count, &top->cap, sizeof(struct text_member));

        members[top->node->count++] =
            (struct text_member){top->key, top->key_line, top->key_column, n};
        top->elements = members;
        top->node->members = members;
    }
    top->key = STR_NONE;
    return 0;
}

static struct text_node *loader_node(struct loader *l, const yaml_mark_t *at)
{
    struct text_node *n = ARENA_NEW(l->arena, struct text_node);

    n->line = (unsigned)at->line + 1;
    n->column = (unsigned)at->column + 1;
    l->node_count++;
    return n;
}

static struct str loader_str(struct loader *l, const yaml_char_t *s)
{
    return s != NULL ? arena_str(l->arena, str_c((const char *)s)) : STR_NONE;
}

static int loader_scalar(struct loader *l, const yaml_event_t *e)
{
    struct text_node *n = loader_node(l, &e->start_mark);
    const char *tag = (const char *)e->data.scalar.tag;
    bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                    (tag == NULL || strcmp(tag, YAML_STR_TAG) != 0);

    n->scalar =
        arena_str(l->arena, str_n((const char *)e->data.scalar.value, e->data.scalar.length));
    scalar_type(n, is_plain);
    loader_keep_anchor(l, loader_str(l, e->data.scalar.anchor), n, 1);
    return loader_add(l, n, &e->start_mark);
}

static int loader_begin(struct loader *l, const yaml_event_t *e, enum text_kind kind,
                        const yaml_char_t *anchor)
{
    struct open_node *o = ARENA_NEW(l->arena, struct open_node);

    if (++l->depth > TEXT_DEPTH_MAX) {
        return loader_fail(l, &e->start_mark, "nested too deeply");
    }
    o->node = loader_node(l, &e->start_mark);
    o->node->kind = kind;
    o->anchor = loader_str(l, anchor);
    o->parent = l->top;
    l->top = o;
    return 0;
}

static int loader_end(struct loader *l, const yaml_event_t *e)
{
    struct open_node *o = l->top;

    l->depth--;
    l->top = o->parent;
    loader_keep_anchor(l, o->anchor, o->node, l->node_count);
    return loader_add(l, o->node, &e->start_mark);
}

static int loader_alias(struct loader *l, const yaml_event_t *e)
{
    struct str name = loader_str(l, e->data.alias.anchor);

    for (const struct anchor *a = l->anchors; a != NULL; a = a->next) {
        if (str_eq(a->name, name)) {
            l->node_count += a->weight;
            return loader_add(l, a->node, &e->start_mark);
        }
    }
    return loader_fail(l, &e->start_mark, "unknown alias");
}

static int loader_event(struct loader *l, const yaml_event_t *e, int *documents)
{
    if (l->node_count > NODES_MAX) {
        return loader_fail(l, &e->start_mark, "too large");
    }
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return loader_scalar(l, e);
    case YAML_SEQUENCE_START_EVENT:
        return loader_begin(l, e, TEXT_LIST, e->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return loader_begin(l, e, TEXT_MAP, e->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return loader_end(l, e);
    case YAML_ALIAS_EVENT:
        return loader_alias(l, e);
    case YAML_DOCUMENT_START_EVENT:
        return ++*documents > 1 ? loader_fail(l, &e->start_mark, "more than one document") : 0;
    default:
        return 0;
    }
}

static int loader_syntax_error(struct loader *l)
{
    const yaml_parser_t *p = &l->parser;

    return error_set(l->err, E_INVALID, "%zu:%zu: %s", p->problem_mark.line + 1,
                     p->problem_mark.column + 1,
                     p->problem != NULL ? p->problem : "malformed YAML");
}

int yaml_parse(struct str text, struct arena *a, const struct text_node **ret_root,
               struct error *reterr)
{
    struct loader l = {.arena = a, .err = reterr};
    bool is_done = false;
    int documents = 0;
    int r = 0;

    if (!yaml_parser_initialize(&l.parser)) {
        return error_set(reterr, E_INVALID, "cannot start the YAML parser");
    }
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)(text.len > 0 ? text.ptr : ""),
                                 text.len);
    while (r == 0 && !is_done) {
        yaml_event_t e;

        if (!yaml_parser_parse(&l.parser, &e)) {
            r = loader_syntax_error(&l);
            break;
        }
        is_done = e.type == YAML_STREAM_END_EVENT;
        r = loader_event(&l, &e, &documents);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&l.parser);
    if (r == 0) {
        static const struct text_node nothing = {.kind = TEXT_NULL};

        *ret_root = l.root != NULL ? l.root : &nothing;
    }
    return r;
}
