/*
 * All samples in the order of their full names, for admin pages and sinks. Main thread.
 *
 * Names of one scope all begin with its prefix, so a scope is opened (its names made and sorted)
 * only when the walk reaches its prefix, and dropped after its last name: at any time just the
 * scopes whose prefixes contain each other are open, however many clusters there are.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/stats/stats.h"
#include "dataplane/stats/stats_internal.h"

#define GAUGE_BELOW_ZERO_MAX (1u << 31)

const double stat_quantiles[STAT_QUANTILE_COUNT] = {0,    0.25, 0.5,   0.75,  0.9,
                                                    0.95, 0.99, 0.995, 0.999, 1};
/* Milliseconds. */
const double stat_buckets[STAT_BUCKET_COUNT] = {
    0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
    2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

struct item {
    struct str name; /* full */
    uint32_t cell;
    uint32_t status; /* of a STAT_CODE_RANGE, else 0 */
};

/* An open scope. */
struct cursor {
    const struct stat_scope *scope;
    struct stat_scope_spec spec;
    struct arena arena; /* of the names */
    struct item *items; /* sorted */
    size_t count;
    size_t cap;
    size_t at;
};

struct walk {
    const struct stat_store *store;
    const struct stat_scope **scopes; /* sorted by prefix */
    size_t next;                      /* first one not opened yet */
    struct cursor **open;
    size_t open_count;
    size_t open_cap;
    struct strbuf tagged;
    struct stat_tag tags[STAT_SAMPLE_TAGS_MAX];
};

/* --- Opening a scope -----------------------------------------------------------------------------
 */

static void cursor_add(struct cursor *c, const char *name, struct str suffix, size_t cell,
                       unsigned status)
{
    struct str pieces[3] = {stat_scope_prefix(c->scope), str_c(name), suffix};

    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 16 : c->cap * 2;
        c->items = xreallocarray(c->items, c->cap, sizeof(*c->items));
    }
    c->items[c->count++] = (struct item){.name = arena_concat(&c->arena, pieces, ARRAY_LEN(pieces)),
                                         .cell = (uint32_t)cell,
                                         .status = status};
}

static void cursor_add_codes(struct cursor *c, size_t cell)
{
    const struct stat_schema *schema = c->scope->schema;

    for (unsigned status = STAT_CODE_MIN; status <= STAT_CODE_MAX; status++) {
        char digits[U64_DIGITS];
        uint64_t value;

        if (stat_scope_code(c->scope, cell, status, &value)) {
            cursor_add(c, schema->defs[cell].name, str_n(digits, format_u64(status, digits)), cell,
                       status);
        }
    }
}

static int item_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

static void cursor_free(struct cursor *c)
{
    arena_done(&c->arena);
    free(c->items);
    free(c);
}

static void spec_fill(struct stat_scope_spec *spec, const struct stat_scope *scope)
{
    const struct stat_shape *shape = scope->shape;

    spec->prefix = stat_scope_prefix(scope);
    spec->tagged_prefix = shape->tagged_prefix.ptr != NULL ? shape->tagged_prefix : spec->prefix;
    spec->tag_count = shape->tag_count;
    spec->schema = scope->schema;
    for (size_t i = 0; i < shape->tag_count; i++) {
        spec->tags[i].name = shape->tag_names[i];
        spec->tags[i].value =
            str_n(spec->prefix.ptr + scope->values[i].offset, scope->values[i].len);
    }
}

/* Whether a worker counts here: then zeros mean something and are shown like any other value. */
static bool scope_is_live(const struct stat_scope *scope)
{
    for (size_t t = 1; t < scope->store->thread_count; t++) {
        if (stat_scope_block_at(scope, t) != NULL) {
            return true;
        }
    }
    return false;
}

/* NULL when the scope has nothing to show. */
static struct cursor *cursor_new(const struct stat_scope *scope)
{
    const struct stat_schema *schema = scope->schema;
    bool shows_zeros = schema->shown_untouched || (!schema->shown_singly && scope_is_live(scope));
    struct cursor *c = xcalloc(1, sizeof(*c));

    c->scope = scope;
    arena_init(&c->arena, NULL);
    for (size_t i = 0; i < schema->count; i++) {
        if (schema->defs[i].kind == STAT_CODE_RANGE) {
            cursor_add_codes(c, i);
        } else if (shows_zeros || stat_scope_is_touched(scope, i)) {
            cursor_add(c, schema->defs[i].name, STR(""), i, 0);
        }
    }
    if (c->count == 0) {
        cursor_free(c);
        return NULL;
    }
    qsort(c->items, c->count, sizeof(*c->items), item_cmp);
    spec_fill(&c->spec, scope);
    return c;
}

/* --- One sample ----------------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* As Envoy's extractors: "..._rq_200" is "..._rq" with the code, "..._rq_2xx" is "..._rq_xx" with
 * its class. `name` lacks the prefix; what remains of it is added to `out`. */
static struct stat_tag take_code_tag(struct str name, struct strbuf *out)
{
    struct stat_tag none = {STR_NONE, STR_NONE};
    struct str code = str_sub(name, name.len - (name.len < 3 ? name.len : 3), name.len);
    struct str head = str_sub(name, 0, name.len - code.len);

    if (!str_ends(head, STR("_rq_")) || !is_digit(code.ptr[0])) {
        strbuf_add_str(out, name);
        return none;
    }
    if (is_digit(code.ptr[1]) && is_digit(code.ptr[2])) {
        strbuf_add(out, head.ptr, head.len - 1);
        return (struct stat_tag){STR("envoy.response_code"), code};
    }
    if (code.ptr[1] == 'x' && code.ptr[2] == 'x') {
        strbuf_add_str(out, head);
        strbuf_add(out, "xx", 2);
        return (struct stat_tag){STR("envoy.response_code_class"), str_sub(code, 0, 1)};
    }
    strbuf_add_str(out, name);
    return none;
}

/* As above, of a member of a family; that of the response code otherwise. */
static struct stat_tag take_member_tag(const struct stat_schema *schema, struct str name,
                                       struct strbuf *out)
{
    const struct stat_family *f = schema->families;

    for (; f != NULL && f->prefix != NULL; f++) {
        struct str prefix = str_c(f->prefix);

        if (str_starts(name, prefix)) {
            strbuf_add(out, prefix.ptr, prefix.len - 1);
            return (struct stat_tag){str_c(f->tag_name), str_sub(name, prefix.len, name.len)};
        }
    }
    return take_code_tag(name, out);
}

struct histogram *stat_scope_histogram(const struct stat_scope *scope, size_t cell)
{
    struct histogram *merged = histogram_new();

    for (struct stat_block_walk w = stat_block_walk(scope); w.block != NULL; stat_block_next(&w)) {
        const struct histogram *h = stat_cell_ptr(w.block, cell);

        if (h != NULL) {
            histogram_merge(merged, h);
        }
    }
    return merged;
}

/* Takes the first `piece` out of the text. */
static void take_out(struct strbuf *text, struct str piece)
{
    size_t at = str_find(strbuf_str(text), piece);

    if (piece.len > 0 && at != STR_NPOS) {
        memmove(text->ptr + at, text->ptr + at + piece.len, text->len - at - piece.len);
        text->len -= piece.len;
    }
}

static void add_fixed_tags(struct walk *w, const struct stat_options *o, struct stat_sample *s)
{
    for (size_t i = 0; i < o->tag_count; i++) {
        if (o->tags[i].regex == NULL) {
            w->tags[s->tag_count++] = (struct stat_tag){o->tags[i].name, o->tags[i].value};
        }
    }
}

/* What regexes of the configuration find in the name. */
static void add_found_tags(struct walk *w, const struct stat_options *o, struct stat_sample *s)
{
    for (size_t i = 0; i < o->tag_count; i++) {
        const struct stat_custom_tag *t = &o->tags[i];
        struct str groups[2];

        if (t->regex != NULL && regex_find_groups(t->regex, s->name, groups, ARRAY_LEN(groups)) &&
            groups[0].len > 0) {
            w->tags[s->tag_count++] =
                (struct stat_tag){t->name, groups[1].len > 0 ? groups[1] : groups[0]};
            take_out(&w->tagged, groups[0]);
        }
    }
}

static void add_tags(struct walk *w, const struct cursor *c, struct stat_sample *s)
{
    const struct stat_options *o = w->store->options;

    strbuf_reset(&w->tagged);
    if (o != NULL) {
        add_fixed_tags(w, o, s);
    }
    if (o != NULL && o->drops_default_tags) {
        strbuf_add_str(&w->tagged, s->name);
    } else {
        struct stat_tag code;

        strbuf_add_str(&w->tagged, c->spec.tagged_prefix);
        code = take_member_tag(c->spec.schema, str_sub(s->name, c->spec.prefix.len, s->name.len),
                               &w->tagged);
        if (code.name.len > 0) {
            w->tags[s->tag_count++] = code;
        }
        for (size_t i = 0; i < c->spec.tag_count; i++) {
            w->tags[s->tag_count++] = c->spec.tags[i];
        }
    }
    if (o != NULL) {
        add_found_tags(w, o, s);
    }
    s->tags = w->tags;
    s->tagged_name = strbuf_str(&w->tagged);
}

static void choose_buckets(const struct stat_options *o, struct stat_sample *s)
{
    if (o != NULL && o->buckets != NULL) {
        s->buckets = o->buckets(o->ctx, s->name, &s->bucket_count);
    }
    if (s->buckets == NULL) {
        s->buckets = stat_buckets;
        s->bucket_count = STAT_BUCKET_COUNT;
    }
}

/* Below zero are only moments between two threads' updates; what is far off is a large number, such
 * as the hash of a version. */
static uint64_t gauge_shown(uint64_t value)
{
    return value > UINT64_MAX - GAUGE_BELOW_ZERO_MAX ? 0 : value;
}

static void visit_item(struct walk *w, const struct cursor *c, const struct item *item,
                       stat_visit_fn *visit, void *user)
{
    const struct stat_scope *scope = c->scope;
    const struct stat_options *o = w->store->options;
    struct histogram *merged = NULL;
    struct histogram *interval = NULL;
    struct stat_sample s = {
        .name = item->name,
        .kind = scope->schema->defs[item->cell].kind,
        .is_used = stat_scope_is_touched(scope, item->cell),
    };

    if (o != NULL && o->accepts != NULL && !o->accepts(o->ctx, s.name)) {
        return;
    }
    add_tags(w, c, &s);
    switch (s.kind) {
    case STAT_COUNTER:
        s.value = stat_scope_value(scope, item->cell);
        break;
    case STAT_GAUGE:
        s.value = gauge_shown(stat_scope_value(scope, item->cell));
        break;
    case STAT_CODE_RANGE:
        s.kind = STAT_COUNTER;
        s.is_used = stat_scope_code(scope, item->cell, item->status, &s.value);
        break;
    case STAT_HISTOGRAM:
        merged = stat_scope_histogram(scope, item->cell);
        s.histogram = merged;
        interval = stat_scope_interval(scope, item->cell);
        s.interval = interval;
        choose_buckets(o, &s);
        break;
    case STAT_TEXT: {
        const struct stat_block *b = stat_scope_block_at(scope, 0);

        s.text = str_c(b != NULL ? stat_cell_ptr(b, item->cell) : NULL);
        break;
    }
    }
    visit(user, &s);
    histogram_free(interval);
    histogram_free(merged);
}

/* --- The walk ------------------------------------------------------------------------------------
 */

static int scope_cmp(const void *a, const void *b)
{
    return str_cmp(stat_scope_prefix(*(const struct stat_scope *const *)a),
                   stat_scope_prefix(*(const struct stat_scope *const *)b));
}

static void walk_open_next(struct walk *w)
{
    struct cursor *c = cursor_new(w->scopes[w->next++]);

    if (c == NULL) {
        return;
    }
    if (w->open_count == w->open_cap) {
        w->open_cap = w->open_cap == 0 ? 8 : w->open_cap * 2;
        w->open = xreallocarray(w->open, w->open_cap, sizeof(struct cursor *));
    }
    w->open[w->open_count++] = c;
}

/* Index of the open scope with the least name; open_count when none is open. */
static size_t walk_least(const struct walk *w)
{
    size_t least = 0;

    for (size_t i = 1; i < w->open_count; i++) {
        const struct cursor *a = w->open[i];
        const struct cursor *b = w->open[least];

        if (item_cmp(&a->items[a->at], &b->items[b->at]) < 0) {
            least = i;
        }
    }
    return least;
}

/* Whether the next scope's names may come before all those open. */
static bool walk_must_open(const struct walk *w, size_t least)
{
    const struct cursor *c;

    if (w->next == w->store->scope_count) {
        return false;
    }
    if (w->open_count == 0) {
        return true;
    }
    c = w->open[least];
    return str_cmp(stat_scope_prefix(w->scopes[w->next]), c->items[c->at].name) <= 0;
}

void stat_store_visit(struct stat_store *s, stat_visit_fn *visit, void *user)
{
    struct walk w = {.store = s};
    size_t n = 0;

    strbuf_init(&w.tagged);
    w.scopes = xcalloc(s->scope_count, sizeof(struct stat_scope *));
    for (size_t i = 0; i < s->bucket_count; i++) {
        for (const struct stat_scope *scope = s->buckets[i]; scope != NULL; scope = scope->next) {
            w.scopes[n++] = scope;
        }
    }
    qsort(w.scopes, n, sizeof(struct stat_scope *), scope_cmp);
    for (;;) {
        size_t least = walk_least(&w);
        struct cursor *c;

        if (walk_must_open(&w, least)) {
            walk_open_next(&w);
            continue;
        }
        if (w.open_count == 0) {
            break;
        }
        c = w.open[least];
        visit_item(&w, c, &c->items[c->at], visit, user);
        c->at++;
        if (c->at == c->count) {
            cursor_free(c);
            w.open[least] = w.open[--w.open_count];
        }
    }
    free(w.open);
    free(w.scopes);
    strbuf_done(&w.tagged);
}
