/*
 * The store of scopes and the cells of each thread. Scopes are made, found and dropped on main; a
 * worker only makes and writes its own block. Reading them in order for pages and sinks is in
 * stats_visit.c.
 */

#include "dataplane/stats/stats.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/stats/stats_internal.h"

#define CACHE_LINE_BYTES 64
#define MAIN_THREAD (-1)
#define BUCKETS_MIN 64
#define BUCKETS_SHRINK 1024 /* smaller tables stay as they are */

static char *scope_text(const struct stat_scope *scope)
{
    return (char *)(uintptr_t)&scope->values[scope->shape->tag_count];
}

struct str stat_scope_prefix(const struct stat_scope *scope)
{
    return str_n(scope_text(scope), scope->prefix_len);
}

static struct stat_block_table *scope_table(const struct stat_scope *scope)
{
    return atomic_load_explicit(&scope->blocks, memory_order_acquire);
}

const struct stat_block *stat_scope_block_at(const struct stat_scope *scope, size_t thread)
{
    struct stat_block_table *table = scope_table(scope);

    return table != NULL ? atomic_load_explicit(&table->slots[thread], memory_order_acquire) : NULL;
}

void stat_block_next(struct stat_block_walk *w)
{
    bool is_adopted = w->next_thread > w->scope->store->thread_count;
    const struct stat_block *b = NULL;

    while (b == NULL && w->next_thread < w->scope->store->thread_count) {
        b = stat_scope_block_at(w->scope, w->next_thread++);
    }
    if (b == NULL) {
        w->next_thread = w->scope->store->thread_count + 1;
        b = is_adopted ? w->block->next_adopted : w->scope->adopted;
    }
    w->block = b;
}

struct stat_block_walk stat_block_walk(const struct stat_scope *scope)
{
    struct stat_block_walk w = {.scope = scope};

    stat_block_next(&w);
    return w;
}

void *stat_cell_ptr(const struct stat_block *b, size_t i)
{
    return (void *)(uintptr_t)atomic_load_explicit(&b->cells[i], memory_order_acquire);
}

/* Publishes what `p` points to along with it. */
static void cell_set_ptr(struct stat_block *b, size_t i, const void *p)
{
    atomic_store_explicit(&b->cells[i], (uint64_t)(uintptr_t)p, memory_order_release);
}

/* --- Blocks: one thread's cells of one scope ----------------------------------------------------
 */

/* On cache lines of its own: its neighbours on the heap may be another thread's. */
struct stat_block *stat_block_new(const struct stat_schema *schema)
{
    size_t cells = schema->count;
    size_t words = (cells + 63) / 64;
    size_t bytes = sizeof(struct stat_block) + (cells + words) * sizeof(_Atomic(uint64_t));
    struct stat_block *b = xcalloc_aligned(CACHE_LINE_BYTES, bytes);

    b->touched = &b->cells[cells];
    return b;
}

static void code_range_free(struct stat_code_range *range)
{
    for (size_t i = 0; range != NULL && i < ARRAY_LEN(range->pages); i++) {
        free(atomic_load_explicit(&range->pages[i], memory_order_relaxed));
    }
    free(range);
}

void stat_block_free(struct stat_block *b, const struct stat_schema *schema)
{
    for (size_t i = 0; i < schema->count; i++) {
        switch (schema->defs[i].kind) {
        case STAT_HISTOGRAM:
            histogram_free(stat_cell_ptr(b, i));
            break;
        case STAT_CODE_RANGE:
            code_range_free(stat_cell_ptr(b, i));
            break;
        case STAT_TEXT:
            free(stat_cell_ptr(b, i));
            break;
        case STAT_COUNTER:
        case STAT_GAUGE:
            break;
        }
    }
    free(b);
}

static struct stat_block_table *scope_table_make(struct stat_scope *scope)
{
    struct stat_block_table *none = NULL;
    struct stat_block_table *table =
        xcalloc(scope->store->thread_count, sizeof(_Atomic(struct stat_block *)));

    if (!atomic_compare_exchange_strong_explicit(&scope->blocks, &none, table, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        free(table); /* another thread was first */
        return none;
    }
    return table;
}

struct stat_block *stat_scope_block(struct stat_scope *scope, int worker)
{
    size_t thread = (size_t)(worker + 1);
    struct stat_block_table *table = scope_table(scope);
    struct stat_block *b;

    CHECK(thread < scope->store->thread_count);
    if (table == NULL) {
        table = scope_table_make(scope);
    }
    b = atomic_load_explicit(&table->slots[thread], memory_order_relaxed);
    if (b == NULL) {
        b = stat_block_new(scope->schema);
        b->scope = scope;
        atomic_store_explicit(&table->slots[thread], b, memory_order_release);
    }
    return b;
}

void stat_scope_adopt(struct stat_scope *scope, struct stat_block *take_block)
{
    CHECK(take_block->scope == NULL);
    take_block->scope = scope;
    take_block->next_adopted = scope->adopted;
    scope->adopted = take_block;
}

/* --- Shapes: what many scopes share -------------------------------------------------------------
 */

/* Every string behind its length, so that no two shapes have the same key. */
static void shape_key(struct strbuf *key, const struct stat_scope_spec *spec, bool is_own_prefix)
{
    strbuf_addf(key, "%d %zu:", is_own_prefix, is_own_prefix ? (size_t)0 : spec->tagged_prefix.len);
    if (!is_own_prefix) {
        strbuf_add_str(key, spec->tagged_prefix);
    }
    for (size_t i = 0; i < spec->tag_count; i++) {
        strbuf_addf(key, " %zu:", spec->tags[i].name.len);
        strbuf_add_str(key, spec->tags[i].name);
    }
}

static char *put_str(char *p, struct str s, struct str *ret_copy)
{
    if (s.len > 0) {
        memcpy(p, s.ptr, s.len);
    }
    *ret_copy = str_n(p, s.len);
    return p + s.len;
}

static struct stat_shape *shape_new(struct str key, const struct stat_scope_spec *spec,
                                    bool is_own_prefix)
{
    /* The key holds all the strings, so it is as much text as they need, twice. */
    struct stat_shape *shape = xcalloc(1, sizeof(*shape) + 2 * key.len);
    char *p = put_str((char *)(shape + 1), key, &shape->key);

    if (!is_own_prefix) {
        p = put_str(p, spec->tagged_prefix, &shape->tagged_prefix);
    }
    shape->tag_count = spec->tag_count;
    for (size_t i = 0; i < spec->tag_count; i++) {
        p = put_str(p, spec->tags[i].name, &shape->tag_names[i]);
    }
    return shape;
}

/* Counted: whoever names series chooses what stays of the tagged prefix. */
static struct stat_shape *shape_ref(struct stat_store *s, const struct stat_scope_spec *spec)
{
    /* Without a tag taken out the tagged prefix is as many as there are prefixes: not shared. */
    bool is_own_prefix = str_eq(spec->tagged_prefix, spec->prefix);
    struct strbuf key;
    struct stat_shape *shape;

    strbuf_init(&key);
    shape_key(&key, spec, is_own_prefix);
    shape = map_get(&s->shapes, strbuf_str(&key));
    if (shape == NULL) {
        shape = shape_new(strbuf_str(&key), spec, is_own_prefix);
        (void)map_put(&s->shapes, shape->key, shape); /* was not there */
    }
    strbuf_done(&key);
    shape->refs++;
    return shape;
}

static void shape_unref(struct stat_store *s, struct stat_shape *shape)
{
    if (--shape->refs == 0) {
        (void)map_remove(&s->shapes, shape->key);
        free(shape);
    }
}

/* --- Scopes --------------------------------------------------------------------------------------
 */

static struct stat_scope *scope_new(struct stat_store *s, const struct stat_scope_spec *spec,
                                    uint32_t hash)
{
    size_t text_bytes = spec->prefix.len;
    struct stat_scope *scope;
    struct str copy;
    char *p;

    CHECK(spec->tag_count <= STAT_TAGS_MAX && spec->prefix.len < UINT32_MAX / 2);
    for (size_t i = 0; i < spec->tag_count; i++) {
        CHECK(spec->tags[i].value.len < UINT32_MAX / (4 * STAT_TAGS_MAX));
        if (str_find(spec->prefix, spec->tags[i].value) == STR_NPOS) {
            text_bytes += spec->tags[i].value.len;
        }
    }
    scope = xcalloc(1, sizeof(*scope) + spec->tag_count * sizeof(scope->values[0]) + text_bytes);
    scope->store = s;
    scope->schema = spec->schema;
    scope->shape = shape_ref(s, spec);
    scope->hash = hash;
    scope->refs = 1;
    scope->prefix_len = (uint32_t)spec->prefix.len;
    p = put_str(scope_text(scope), spec->prefix, &copy);
    for (size_t i = 0; i < spec->tag_count; i++) {
        struct str value = spec->tags[i].value;
        size_t at = str_find(spec->prefix, value);

        if (at == STR_NPOS) { /* the name had to be changed for the prefix */
            at = (size_t)(p - scope_text(scope));
            p = put_str(p, value, &copy);
        }
        scope->values[i] = (struct stat_value_at){(uint32_t)at, (uint32_t)value.len};
    }
    return scope;
}

static void scope_free(struct stat_scope *scope)
{
    struct stat_block_table *table = scope_table(scope);

    for (size_t i = 0; table != NULL && i < scope->store->thread_count; i++) {
        struct stat_block *b = atomic_load_explicit(&table->slots[i], memory_order_acquire);

        if (b != NULL) {
            stat_block_free(b, scope->schema);
        }
    }
    while (scope->adopted != NULL) {
        struct stat_block *b = scope->adopted;

        scope->adopted = b->next_adopted;
        stat_block_free(b, scope->schema);
    }
    stat_latches_free(scope->latches);
    free(table);
    shape_unref(scope->store, scope->shape);
    free(scope);
}

static struct stat_scope **scope_bucket(const struct stat_store *s, uint32_t hash)
{
    return &s->buckets[hash & (s->bucket_count - 1)];
}

static void store_resize(struct stat_store *s, size_t bucket_count)
{
    struct stat_scope **old = s->buckets;
    size_t old_count = s->bucket_count;

    s->bucket_count = bucket_count;
    s->buckets = xcalloc(s->bucket_count, sizeof(struct stat_scope *));
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct stat_scope *scope = old[i];
            struct stat_scope **bucket = scope_bucket(s, scope->hash);

            old[i] = scope->next;
            scope->next = *bucket;
            *bucket = scope;
        }
    }
    free(old);
}

struct stat_store *stat_store_new(int worker_count)
{
    struct stat_store *s = xcalloc(1, sizeof(*s));

    CHECK(worker_count >= 0);
    s->thread_count = (size_t)worker_count + 1;
    map_init(&s->shapes);
    store_resize(s, BUCKETS_MIN);
    return s;
}

size_t stat_store_thread_count(const struct stat_store *s)
{
    return s->thread_count;
}

void stat_store_set_options(struct stat_store *s, const struct stat_options *o)
{
    CHECK(o->tag_count <= STAT_CUSTOM_TAGS_MAX);
    s->options = o;
}

void stat_store_free(struct stat_store *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->bucket_count; i++) {
        while (s->buckets[i] != NULL) {
            struct stat_scope *scope = s->buckets[i];

            s->buckets[i] = scope->next;
            scope_free(scope);
        }
    }
    map_done(&s->shapes); /* they went with the last scope of each */
    free(s->buckets);
    free(s);
}

struct stat_scope *stat_scope_ref(struct stat_store *s, const struct stat_scope_spec *spec)
{
    uint32_t hash = (uint32_t)hash_xx64(spec->prefix, (uint64_t)(uintptr_t)spec->schema);
    struct stat_scope **bucket = scope_bucket(s, hash);
    struct stat_scope *scope = *bucket;

    while (scope != NULL && !(scope->hash == hash && scope->schema == spec->schema &&
                              str_eq(stat_scope_prefix(scope), spec->prefix))) {
        scope = scope->next;
    }
    if (scope != NULL) {
        CHECK(scope->refs < UINT32_MAX);
        scope->refs++;
        return scope;
    }
    if (s->scope_count >= s->bucket_count) {
        store_resize(s, s->bucket_count * 2);
        bucket = scope_bucket(s, hash);
    }
    scope = scope_new(s, spec, hash);
    scope->next = *bucket;
    *bucket = scope;
    s->scope_count++;
    return scope;
}

void stat_scope_unref(struct stat_scope *scope)
{
    struct stat_store *store;
    struct stat_scope **link;

    if (scope == NULL) {
        return;
    }
    CHECK(scope->refs > 0);
    if (--scope->refs > 0) {
        return;
    }
    store = scope->store;
    link = scope_bucket(store, scope->hash);
    while (*link != scope) {
        link = &(*link)->next;
    }
    *link = scope->next;
    store->scope_count--;
    scope_free(scope);
    if (store->bucket_count > BUCKETS_SHRINK && store->scope_count < store->bucket_count / 8) {
        store_resize(store, store->bucket_count / 4);
    }
}

/* --- Cells ---------------------------------------------------------------------------------------
 */

void stat_record(struct stat_block *b, size_t i, uint64_t value)
{
    struct histogram *h =
        (struct histogram *)(uintptr_t)atomic_load_explicit(&b->cells[i], memory_order_relaxed);

    if (NUNCIO_UNLIKELY(h == NULL)) {
        h = histogram_new();
        cell_set_ptr(b, i, h);
        stat_touch(b, i);
    }
    histogram_record(h, value);
}

/* This thread's counter of one status. */
static _Atomic uint64_t *code_counter(struct stat_block *b, size_t i, unsigned status)
{
    struct stat_code_range *range = stat_cell_ptr(b, i);
    size_t at = status - STAT_CODE_MIN;
    struct stat_code_page *page;

    if (NUNCIO_UNLIKELY(range == NULL)) {
        range = xcalloc(1, sizeof(*range));
        cell_set_ptr(b, i, range);
        stat_touch(b, i);
    }
    page = atomic_load_explicit(&range->pages[at / STAT_CODE_PAGE], memory_order_relaxed);
    if (NUNCIO_UNLIKELY(page == NULL)) {
        page = xcalloc(1, sizeof(*page));
        atomic_store_explicit(&range->pages[at / STAT_CODE_PAGE], page, memory_order_release);
    }
    return &page->counts[at % STAT_CODE_PAGE];
}

static void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void stat_inc_code(struct stat_block *b, size_t i, unsigned status)
{
    if (status >= STAT_CODE_MIN && status <= STAT_CODE_MAX) {
        counter_add(code_counter(b, i, status), 1);
    }
}

void stat_set_text(struct stat_scope *scope, size_t i, struct str text)
{
    struct stat_block *b = stat_scope_block(scope, MAIN_THREAD);
    char *old = stat_cell_ptr(b, i);

    CHECK(scope->schema->defs[i].kind == STAT_TEXT);
    cell_set_ptr(b, i, xstrndup(text.ptr, text.len));
    stat_touch(b, i);
    free(old);
}

bool stat_scope_is_touched(const struct stat_scope *scope, size_t i)
{
    for (struct stat_block_walk w = stat_block_walk(scope); w.block != NULL; stat_block_next(&w)) {
        uint64_t bits = atomic_load_explicit(&w.block->touched[i / 64], memory_order_relaxed);

        if ((bits >> (i % 64) & 1) != 0) {
            return true;
        }
    }
    return false;
}

uint64_t stat_scope_value(const struct stat_scope *scope, size_t i)
{
    uint64_t sum = 0;

    for (struct stat_block_walk w = stat_block_walk(scope); w.block != NULL; stat_block_next(&w)) {
        sum += atomic_load_explicit(&w.block->cells[i], memory_order_relaxed);
    }
    return sum;
}

uint64_t stat_scope_thread_value(const struct stat_scope *scope, int worker, size_t i)
{
    const struct stat_block *b = stat_scope_block_at(scope, (size_t)(worker + 1));

    return b != NULL ? atomic_load_explicit(&b->cells[i], memory_order_relaxed) : 0;
}

bool stat_scope_code(const struct stat_scope *scope, size_t i, unsigned status, uint64_t *ret_value)
{
    size_t at = status - STAT_CODE_MIN;
    uint64_t sum = 0;
    bool is_used = false;

    if (status < STAT_CODE_MIN || status > STAT_CODE_MAX) {
        return false;
    }
    for (struct stat_block_walk w = stat_block_walk(scope); w.block != NULL; stat_block_next(&w)) {
        struct stat_code_range *range = stat_cell_ptr(w.block, i);
        struct stat_code_page *page = NULL;

        if (range != NULL) {
            page = atomic_load_explicit(&range->pages[at / STAT_CODE_PAGE], memory_order_acquire);
        }
        if (page != NULL) {
            uint64_t n =
                atomic_load_explicit(&page->counts[at % STAT_CODE_PAGE], memory_order_relaxed);

            sum += n;
            is_used = is_used || n != 0;
        }
    }
    if (is_used) {
        *ret_value = sum;
    }
    return is_used;
}

/* Only a cell's own thread writes it. So main brings a sum to zero with a debt in its own cell. */
static void scope_reset_counters(struct stat_scope *scope)
{
    struct stat_block *debts;

    if (scope_table(scope) == NULL && scope->adopted == NULL) {
        return;
    }
    debts = stat_scope_block(scope, MAIN_THREAD);
    for (size_t i = 0; i < scope->schema->count; i++) {
        enum stat_kind kind = scope->schema->defs[i].kind;

        if (kind == STAT_COUNTER) {
            counter_add(&debts->cells[i], -stat_scope_value(scope, i));
        }
        for (unsigned status = STAT_CODE_MIN; kind == STAT_CODE_RANGE && status <= STAT_CODE_MAX;
             status++) {
            uint64_t value;

            if (stat_scope_code(scope, i, status, &value)) {
                counter_add(code_counter(debts, i, status), -value);
            }
        }
    }
}

void stat_store_reset_counters(struct stat_store *s)
{
    for (size_t i = 0; i < s->bucket_count; i++) {
        for (struct stat_scope *scope = s->buckets[i]; scope != NULL; scope = scope->next) {
            scope_reset_counters(scope);
        }
    }
}
