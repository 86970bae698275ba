/*
 * Evaluates substitution formats against one stream. Owns nothing; the thread of the stream.
 * Does not parse formats (config/parse/format.c) and does not know where the text goes.
 */

#include "dataplane/stream_info/formatter.h"

#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/json.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/formatter_ops.h"

/* Envoy cuts at a byte count, whatever the encoding. */
static struct str formatter_cut(const struct format_item *item, struct str s)
{
    return item->has_max_len ? str_sub(s, 0, item->max_len) : s;
}

static void formatter_add_value(struct json_writer *w, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
        json_null(w);
        break;
    case VALUE_NUMBER:
        json_double(w, v->number);
        break;
    case VALUE_STRING:
        json_str(w, v->string);
        break;
    case VALUE_BOOL:
        json_bool(w, v->boolean);
        break;
    case VALUE_STRUCT:
        json_object_begin(w);
        for (size_t i = 0; i < v->count; i++) {
            json_key(w, v->fields[i].name);
            formatter_add_value(w, &v->fields[i].value);
        }
        json_object_end(w);
        break;
    case VALUE_LIST:
        json_array_begin(w);
        for (size_t i = 0; i < v->count; i++) {
            formatter_add_value(w, &v->items[i]);
        }
        json_array_end(w);
        break;
    }
}

/* Metadata in text: a string bare, a number as JSON prints it, everything else as JSON. */
static void formatter_add_value_text(const struct formatted *v, struct strbuf *out)
{
    struct json_writer w;

    if (v->value_text.ptr != NULL) {
        strbuf_add_str(out, v->value_text);
        return;
    }
    if (v->value->kind == VALUE_STRING) {
        strbuf_add_str(out, v->value->string);
        return;
    }
    json_init(&w, out, false);
    formatter_add_value(&w, v->value);
}

static void formatter_add_text(const struct format_item *item, const struct formatted *v,
                               struct str missing, struct strbuf *out)
{
    size_t start = out->len;

    switch (v->kind) {
    case FORMATTED_NONE:
        strbuf_add_str(out, missing);
        return;
    case FORMATTED_STRING:
        strbuf_add_str(out, formatter_cut(item, v->string));
        return;
    case FORMATTED_U64:
        strbuf_add_u64(out, v->u64);
        break;
    case FORMATTED_NEGATIVE:
        strbuf_addf(out, "-%llu", (unsigned long long)v->u64);
        break;
    case FORMATTED_VALUE:
        formatter_add_value_text(v, out);
        break;
    }
    if (item->has_max_len && out->len - start > item->max_len) {
        strbuf_truncate(out, start + item->max_len);
    }
}

/* What `item` shows, and the item whose length it is cut to: of alternatives, the one chosen. */
static const struct format_item *
formatter_eval(const struct format_item *item, const struct format_source *src, struct formatted *v)
{
    if (item->op != FORMAT_COALESCE) {
        format_item_eval(item, src, v);
        return item;
    }
    for (size_t i = 0; i < item->choice_count; i++) {
        const struct format_item *chosen = formatter_eval(&item->choices[i], src, v);

        if (v->kind != FORMATTED_NONE) {
            return chosen;
        }
    }
    return item;
}

static void formatter_items(const struct format *f, const struct format_source *src,
                            struct str missing, struct strbuf *out)
{
    struct formatted v;

    for (size_t i = 0; i < f->count; i++) {
        const struct format_item *item = &f->items[i];

        if (item->op == FORMAT_LITERAL) {
            strbuf_add_str(out, item->arg1);
            continue;
        }
        item = formatter_eval(item, src, &v);
        formatter_add_text(item, &v, missing, out);
    }
}

void formatter_text(const struct format *f, const struct access_log_entry *e,
                    struct thread_context *t, bool omit_empty, struct strbuf *out)
{
    struct format_source src = {.entry = e, .thread = t};

    if (f->is_literal) {
        strbuf_add_str(out, f->literal);
        return;
    }
    formatter_items(f, &src, omit_empty ? STR_NONE : STR("-"), out);
}

/* --- JSON --------------------------------------------------------------------------------- */

/* A leaf of one operator keeps its type; any other leaf is a string of its pieces. */
static bool formatter_leaf_is_typed(const struct format *f)
{
    return !f->is_literal && f->count == 1 && f->items[0].op != FORMAT_LITERAL;
}

/* At most so many bytes stand for one in a JSON string. */
#define JSON_ESCAPE_MAX 6

/* The pieces go to the end of the output first, and their JSON behind them: no memory of its own.
 */
static void formatter_json_string(const struct format *f, const struct format_source *src,
                                  bool omit_empty, struct json_writer *w)
{
    struct strbuf *out = w->out;
    size_t start = out->len;
    size_t raw_len;

    if (f->is_literal) {
        json_str(w, f->literal);
        return;
    }
    formatter_items(f, src, omit_empty ? STR_NONE : STR("-"), out);
    raw_len = out->len - start;
    (void)strbuf_reserve(out, raw_len * JSON_ESCAPE_MAX + 4); /* it stays where it is */
    json_str(w, str_n(out->ptr + start, raw_len));
    memmove(out->ptr + start, out->ptr + start + raw_len, out->len - start - raw_len);
    strbuf_truncate(out, out->len - raw_len);
}

static void formatter_json_typed(const struct format_item *item, const struct formatted *v,
                                 struct json_writer *w)
{
    switch (v->kind) {
    case FORMATTED_NONE:
        json_null(w);
        break;
    case FORMATTED_STRING:
        json_str(w, formatter_cut(item, v->string));
        break;
    case FORMATTED_U64:
        json_u64(w, v->u64);
        break;
    case FORMATTED_NEGATIVE:
        json_i64(w, -(int64_t)v->u64);
        break;
    case FORMATTED_VALUE:
        if (v->value->kind == VALUE_STRING) {
            json_str(w, formatter_cut(item, v->value->string));
        } else {
            formatter_add_value(w, v->value);
        }
        break;
    }
}

static void formatter_json_node(const struct format_json *f, const struct format_source *src,
                                bool omit_empty, struct json_writer *w);

static void formatter_json_leaf(const struct format_json *f, const struct format_source *src,
                                bool omit_empty, bool has_key, struct json_writer *w)
{
    const struct format_item *item;
    struct formatted v;

    if (!formatter_leaf_is_typed(&f->leaf)) {
        if (has_key) {
            json_key(w, f->key);
        }
        formatter_json_string(&f->leaf, src, omit_empty, w);
        return;
    }
    item = formatter_eval(&f->leaf.items[0], src, &v);
    if (v.kind == FORMATTED_NONE && omit_empty) {
        return;
    }
    if (has_key) {
        json_key(w, f->key);
    }
    formatter_json_typed(item, &v, w);
}

/* As Envoy: with omit_empty_values, what has no value goes with its key, and so does an object of
 * which nothing is left. */
static void formatter_json_child(const struct format_json *f, const struct format_source *src,
                                 bool omit_empty, bool has_key, struct json_writer *w)
{
    size_t start = w->out->len;
    int depth = w->depth;
    bool had_member = w->has_member[depth];
    size_t body;

    if (f->kind == FORMAT_JSON_LEAF) {
        formatter_json_leaf(f, src, omit_empty, has_key, w);
        return;
    }
    if (f->kind == FORMAT_JSON_NULL && omit_empty) {
        return;
    }
    if (has_key) {
        json_key(w, f->key);
    }
    body = w->out->len;
    formatter_json_node(f, src, omit_empty, w);
    if (f->kind == FORMAT_JSON_OBJECT && omit_empty && w->out->ptr[w->out->len - 2] == '{') {
        CHECK(w->out->len > body);
        strbuf_truncate(w->out, start);
        w->has_member[depth] = had_member;
    }
}

static void formatter_json_children(const struct format_json *f, const struct format_source *src,
                                    bool omit_empty, bool has_keys, struct json_writer *w)
{
    for (size_t i = 0; i < f->count; i++) {
        formatter_json_child(&f->children[i], src, omit_empty, has_keys, w);
    }
}

static void formatter_json_node(const struct format_json *f, const struct format_source *src,
                                bool omit_empty, struct json_writer *w)
{
    switch (f->kind) {
    case FORMAT_JSON_LEAF:
        formatter_json_leaf(f, src, omit_empty, false, w);
        break;
    case FORMAT_JSON_NUMBER:
        json_raw(w, f->number);
        break;
    case FORMAT_JSON_BOOL:
        json_bool(w, f->boolean);
        break;
    case FORMAT_JSON_NULL:
        json_null(w);
        break;
    case FORMAT_JSON_OBJECT:
        json_object_begin(w);
        formatter_json_children(f, src, omit_empty, true, w);
        json_object_end(w);
        break;
    case FORMAT_JSON_ARRAY:
        json_array_begin(w);
        formatter_json_children(f, src, omit_empty, false, w);
        json_array_end(w);
        break;
    }
}

void formatter_json(const struct format_json *f, const struct access_log_entry *e,
                    struct thread_context *t, bool omit_empty, struct strbuf *out)
{
    struct format_source src = {.entry = e, .thread = t};
    struct json_writer w;

    json_init(&w, out, false);
    formatter_json_node(f, &src, omit_empty, &w);
    strbuf_add_char(out, '\n');
}

/* --- header values ------------------------------------------------------------------------ */

bool formatter_header(const struct format *f, const struct access_log_entry *e,
                      struct thread_context *t, struct arena *a, struct str *ret_value)
{
    struct format_source src = {.entry = e, .thread = t};
    struct strbuf text;
    struct formatted v;

    if (f->is_literal) {
        *ret_value = f->literal;
        return f->literal.len > 0;
    }
    if (formatter_leaf_is_typed(f)) {
        const struct format_item *item = formatter_eval(&f->items[0], &src, &v);

        if (v.kind == FORMATTED_NONE) {
            *ret_value = STR("");
            return false;
        }
        if (v.kind == FORMATTED_STRING) {
            struct str s = formatter_cut(item, v.string);

            *ret_value = v.is_scratch ? arena_str(a, s) : s;
            return s.len > 0;
        }
    }
    strbuf_init(&text);
    formatter_items(f, &src, STR_NONE, &text);
    *ret_value = arena_str(a, strbuf_str(&text));
    strbuf_done(&text);
    return ret_value->len > 0;
}
