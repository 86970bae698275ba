/*
 * YAML text to nodes with libyaml, typed as Envoy's loader (yaml-cpp) does: a plain scalar is null,
 * a bool or an integer, else a string; what is quoted is a string. Integers beyond 32 bits are
 * handed on as strings of digits, as the JSON mapping wants 64-bit ones. "!ignore" before a key
 * leaves the entry out, so that it can hold anchors. Main thread.
 *
 * Stricter than Envoy, which takes the last of equal keys and the first of several documents: both
 * are errors.
 */

#include <yaml.h>

#include "config/text_node.h"

#define ALIASED_NODES_MAX 1000000 /* no billion laughs */
#define ANCHORS_MAX 10000

/* A list or map under construction. */
struct open_node {
    struct open_node *parent;
    struct text_node *node;
    struct str key; /* map: read, its value is next; ptr NULL: none */
    unsigned key_line;
    unsigned key_column;
    bool is_ignored; /* the value that comes next */
    void *elements;  /* arena arrays, doubled */
    size_t cap;
    struct str anchor;
    size_t nodes_before;
    int height; /* levels of lists and maps, this one included */
};

struct anchor {
    struct anchor *next;
    struct str name;
    const struct text_node *node;
    size_t weight; /* nodes in it */
    int height;
};

struct loader {
    yaml_parser_t parser;
    struct arena *arena;
    struct error *err;
    struct open_node *top;
    const struct text_node *root;
    struct anchor *anchors;
    size_t node_count; /* as if aliases were written out */
    size_t aliased_count;
    size_t anchor_count;
    int depth;
    int documents;
};

static int loader_fail(struct loader *l, const yaml_mark_t *at, const char *what)
{
    return error_set(l->err, E_INVALID, "%zu:%zu: %s", at->line + 1, at->column + 1, what);
}

static int loader_fail_node(struct loader *l, const struct text_node *n, const char *what)
{
    return error_set(l->err, E_INVALID, "%u:%u: %s", n->line, n->column, what);
}

/* Whether the next scalar is a key, not a value. */
static bool expects_key(const struct open_node *top)
{
    return top != NULL && top->node->kind == TEXT_MAP && top->key.ptr == NULL;
}

/* --- scalars ------------------------------------------------------------------------------ */

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

static bool parse_octal(struct str s, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '7' || v >> 61 != 0) {
            return false;
        }
        v = v * 8 + (uint64_t)(s.ptr[i] - '0');
    }
    *ret = v;
    return true;
}

/* As a C++ stream without a base reads an int64: 17, 0x11, 021, each with a sign. */
static bool scalar_integer(struct str s, int64_t *ret)
{
    bool is_negative = str_starts(s, STR("-"));
    uint64_t v;
    bool ok;

    if (is_negative || str_starts(s, STR("+"))) {
        s = str_sub(s, 1, s.len);
    }
    if (s.len > 2 && s.ptr[0] == '0' && ascii_lower(s.ptr[1]) == 'x') {
        ok = parse_u64_hex(str_sub(s, 2, s.len), &v) == 0;
    } else if (s.len > 1 && s.ptr[0] == '0') {
        ok = parse_octal(s, &v);
    } else {
        ok = parse_u64(s, &v) == 0;
    }
    if (!ok || v > (uint64_t)INT64_MAX + is_negative) {
        return false;
    }
    *ret = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* `tag` NULL: none. A tag of any other kind does not change how the text is typed. */
static void scalar_type(struct loader *l, struct text_node *n, bool is_plain, const char *tag)
{
    int64_t i;

    n->kind = TEXT_STRING;
    if (tag != NULL ? strcmp(tag, "!") == 0 : !is_plain) {
        return;
    }
    if (tag == NULL && scalar_is_null(n->scalar)) {
        n->kind = TEXT_NULL;
    } else if (scalar_bool(n->scalar, &n->boolean)) {
        n->kind = TEXT_BOOL;
    } else if (!expects_key(l->top) && scalar_integer(n->scalar, &i)) {
        n->kind = i >= INT32_MIN && i <= INT32_MAX ? TEXT_NUMBER : TEXT_STRING;
        n->scalar = arena_printf(l->arena, "%lld", (long long)i);
    }
}

/* --- lists and maps ----------------------------------------------------------------------- */

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

static int loader_keep_anchor(struct loader *l, struct str name, const struct text_node *n,
                              size_t weight, int height)
{
    struct anchor *a;

    if (name.len == 0) {
        return 0;
    }
    if (++l->anchor_count > ANCHORS_MAX) {
        return loader_fail_node(l, n, "too many anchors");
    }
    a = ARENA_NEW(l->arena, struct anchor);
    *a = (struct anchor){l->anchors, name, n, weight, height};
    l->anchors = a;
    return 0;
}

static int loader_add_key(struct loader *l, const struct text_node *n)
{
    struct open_node *top = l->top;

    if (n->kind == TEXT_LIST || n->kind == TEXT_MAP) {
        return loader_fail_node(l, n, "a key must be a scalar");
    }
    top->key = n->kind == TEXT_NULL ? STR("null") : n->scalar;
    top->key_line = n->line;
    top->key_column = n->column;
    return 0;
}

/* Puts a finished key or value into the open list or map, or makes it the root. */
static int loader_add(struct loader *l, const struct text_node *n, int height)
{
    struct open_node *top = l->top;

    if (top == NULL) {
        if (l->documents > 1 && n->kind != TEXT_NULL) {
            return loader_fail_node(l, n, "more than one document");
        }
        l->root = l->documents > 1 ? l->root : n;
        return 0;
    }
    if (top->height <= height) {
        top->height = height + 1;
    }
    if (top->node->kind == TEXT_LIST) {
        const struct text_node **items =
            grow(l, top->elements, top->node->count, &top->cap, sizeof(struct text_node *));

        items[top->node->count++] = n;
        top->elements = (void *)items;
        top->node->items = items;
        return 0;
    }
    if (expects_key(top)) {
        return loader_add_key(l, n);
    }
    if (!top->is_ignored) {
        struct text_member *members =
            grow(l, top->elements, top->node->count, &top->cap, sizeof(struct text_member));

        members[top->node->count++] =
            (struct text_member){top->key, top->key_line, top->key_column, n};
        top->elements = members;
        top->node->members = members;
    }
    top->key = STR_NONE;
    top->is_ignored = false;
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
    int r;

    n->scalar =
        arena_str(l->arena, str_n((const char *)e->data.scalar.value, e->data.scalar.length));
    scalar_type(l, n, e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE, tag);
    if (expects_key(l->top) && tag != NULL && strcmp(tag, "!ignore") == 0) {
        l->top->is_ignored = true;
    }
    r = loader_keep_anchor(l, loader_str(l, e->data.scalar.anchor), n, 1, 0);
    return r == 0 ? loader_add(l, n, 0) : r;
}

static int loader_begin(struct loader *l, const yaml_event_t *e, enum text_kind kind,
                        const yaml_char_t *anchor)
{
    struct open_node *o = ARENA_NEW(l->arena, struct open_node);

    if (++l->depth > TEXT_DEPTH_MAX) {
        return loader_fail(l, &e->start_mark, "nested too deeply");
    }
    o->nodes_before = l->node_count;
    o->node = loader_node(l, &e->start_mark);
    o->node->kind = kind;
    o->height = 1;
    o->anchor = loader_str(l, anchor);
    o->parent = l->top;
    l->top = o;
    return 0;
}

static int loader_end(struct loader *l)
{
    struct open_node *o = l->top;
    const struct text_member *twice =
        o->node->kind == TEXT_MAP ? text_find_duplicate(o->node) : NULL;
    int r;

    if (twice != NULL) {
        return error_set(l->err, E_INVALID, "%u:%u: duplicate key '%.*s'", twice->line,
                         twice->column, STR_ARG(twice->key));
    }
    l->depth--;
    l->top = o->parent;
    r = loader_keep_anchor(l, o->anchor, o->node, l->node_count - o->nodes_before, o->height);
    return r == 0 ? loader_add(l, o->node, o->height) : r;
}

static int loader_alias(struct loader *l, const yaml_event_t *e)
{
    struct str name = str_c((const char *)e->data.alias.anchor);
    const struct anchor *a = l->anchors;

    while (a != NULL && !str_eq(a->name, name)) {
        a = a->next;
    }
    if (a == NULL) {
        return loader_fail(l, &e->start_mark, "unknown alias");
    }
    l->node_count += a->weight;
    l->aliased_count += a->weight;
    if (l->aliased_count > ALIASED_NODES_MAX) {
        return loader_fail(l, &e->start_mark, "aliases make too large a document");
    }
    if (l->depth + a->height > TEXT_DEPTH_MAX) {
        return loader_fail(l, &e->start_mark, "nested too deeply");
    }
    return loader_add(l, a->node, a->height);
}

static int loader_event(struct loader *l, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return loader_scalar(l, e);
    case YAML_SEQUENCE_START_EVENT:
        return loader_begin(l, e, TEXT_LIST, e->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return loader_begin(l, e, TEXT_MAP, e->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return loader_end(l);
    case YAML_ALIAS_EVENT:
        return loader_alias(l, e);
    case YAML_DOCUMENT_START_EVENT:
        l->documents++;
        return 0;
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
        r = loader_event(&l, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&l.parser);
    if (r == 0) {
        static const struct text_node nothing = {.kind = TEXT_NULL};

        *ret_root = l.root != NULL ? l.root : &nothing;
    }
    return r;
}
