#ifndef DATAPLANE_STATS_STATS_H
#define DATAPLANE_STATS_STATS_H

/*
 * Counters, gauges and histograms. A schema (const, one per subsystem) names the members; a scope
 * is one instance under a prefix ("cluster.foo."), owned by main; each thread that touches it gets
 * its own block of cells at first use, so an untouched scope costs nothing per worker. A cell has
 * one writer: updates are relaxed load + store (a plain mov), reads by main are relaxed loads.
 *
 *   main:    scope = stat_scope_ref(store, &(struct stat_scope_spec){...});
 *   worker:  b = stat_scope_block(scope, worker_index);  stat_inc(b, CLUSTER_UPSTREAM_RQ_TOTAL);
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/base/str.h"
#include "dataplane/stats/histogram.h"

enum stat_kind {
    STAT_COUNTER,
    STAT_GAUGE,      /* signed; the sum over threads is shown, a little below zero as 0 */
    STAT_HISTOGRAM,  /* values as Envoy records them: ms or bytes */
    STAT_TEXT,       /* set on main only */
    STAT_CODE_RANGE, /* "upstream_rq_" + three digits: a counter per HTTP status, made at first use
                      */
};

struct stat_def {
    const char *name; /* Envoy's, without the scope prefix */
    enum stat_kind kind;
};

/* Members that differ in the last part of their names, which is a tag. */
struct stat_family {
    const char *prefix; /* with the dot */
    const char *tag_name;
};

struct stat_schema {
    const struct stat_def *defs; /* index = the enum the owner declares */
    size_t count;
    /* Server, listener, connection manager, xDS: zeros are shown from the start; else once a worker
     * has counted anything in the scope. */
    bool shown_untouched;
    /* Each member is shown from its own first touch on, not from the scope's: series that traffic
     * names, of which most members never move. */
    bool shown_singly;
    const struct stat_family *families; /* ended by NULLs; NULL: none */
};

/* Tag as Envoy's extractor names it: {"envoy.cluster_name", "foo"}. */
struct stat_tag {
    struct str name;
    struct str value;
};

#define STAT_TAGS_MAX 4

struct stat_scope_spec {
    struct str prefix;        /* "cluster.foo." with the dot; "" for the root */
    struct str tagged_prefix; /* "cluster." : the prefix with the tag values taken out */
    struct stat_tag tags[STAT_TAGS_MAX];
    size_t tag_count;
    const struct stat_schema *schema;
};

/* A tag of the configuration: a fixed value, or what a regex takes out of names. */
struct stat_custom_tag {
    struct str name;
    struct str value;
    const struct regex
        *regex; /* NULL: fixed. Group 1 is taken out, group 2 (else 1) is the value */
};

#define STAT_CUSTOM_TAGS_MAX 64

/* How series are shown: stats_config. `ctx` goes to the functions; NULL for what is not wanted. */
struct stat_options {
    const struct stat_custom_tag *tags;
    size_t tag_count; /* at most STAT_CUSTOM_TAGS_MAX */
    bool drops_default_tags;
    bool (*accepts)(const void *ctx, struct str name);
    /* Upper bounds of a histogram's buckets; NULL: the default ones. */
    const double *(*buckets)(const void *ctx, struct str name, size_t *ret_count);
    const void *ctx;
};

struct stat_store; /* main's registry of scopes */
struct stat_scope;

/* A cell: counter, gauge (two's complement) or a pointer to a lazily made histogram, code page or
 * text. `touched` keeps Envoy's `usedonly`: ever written, not non-zero. */
struct stat_block {
    struct stat_scope *scope;        /* NULL while nobody's; main's to read */
    struct stat_block *next_adopted; /* main's */
    _Atomic(uint64_t) *touched;      /* bit per cell */
    _Atomic(uint64_t) cells[];
};

struct stat_store *stat_store_new(int worker_count);
void stat_store_free(struct stat_store *s);
/* Workers and main. */
size_t stat_store_thread_count(const struct stat_store *s);

/* Main thread, before anything is shown. `o` is borrowed for good. */
void stat_store_set_options(struct stat_store *s, const struct stat_options *o);

/* Main thread. Same prefix and schema give the same scope, counted. */
struct stat_scope *stat_scope_ref(struct stat_store *s, const struct stat_scope_spec *spec);
/* Main thread. The last one removes it from the pages; workers must hold no block any more. */
void stat_scope_unref(struct stat_scope *scope);

/* The calling thread's block: `worker` is its loop index (LOOP_MAIN_INDEX for main). Made at first
 * call, published with release. */
struct stat_block *stat_scope_block(struct stat_scope *scope, int worker);

/* For series that traffic names: a worker cannot make the scope, and main's answer would come too
 * late for the first counts. So the worker makes the cells and counts in them at once, and main
 * takes them into the scope whenever it gets to it. Any thread. */
struct stat_block *stat_block_new(const struct stat_schema *schema);
/* One that was never adopted. */
void stat_block_free(struct stat_block *b, const struct stat_schema *schema);
/* Main thread: the scope's from now on, freed with it; its one thread goes on counting in it. A
 * scope may adopt any number, of any thread. */
void stat_scope_adopt(struct stat_scope *scope, struct stat_block *take_block);

static inline void stat_touch(struct stat_block *b, size_t i)
{
    _Atomic(uint64_t) *word = &b->touched[i / 64];
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    uint64_t bit = (uint64_t)1 << (i % 64);

    if (NUNCIO_UNLIKELY((old & bit) == 0)) {
        atomic_store_explicit(word, old | bit, memory_order_relaxed);
    }
}

static inline void stat_add(struct stat_block *b, size_t i, uint64_t n)
{
    _Atomic(uint64_t) *cell = &b->cells[i];

    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
    stat_touch(b, i);
}

static inline void stat_inc(struct stat_block *b, size_t i)
{
    stat_add(b, i, 1);
}

/* Gauges only. */
static inline void stat_dec(struct stat_block *b, size_t i)
{
    stat_add(b, i, (uint64_t)-1);
}

static inline void stat_set(struct stat_block *b, size_t i, uint64_t v)
{
    atomic_store_explicit(&b->cells[i], v, memory_order_relaxed);
    stat_touch(b, i);
}

/* For what is counted elsewhere and copied: an unchanged value is no touch. */
static inline void stat_follow(struct stat_block *b, size_t i, uint64_t v)
{
    if (atomic_load_explicit(&b->cells[i], memory_order_relaxed) != v) {
        stat_set(b, i, v);
    }
}

void stat_record(struct stat_block *b, size_t i, uint64_t value);
/* For a STAT_CODE_RANGE cell; codes outside 100..599 are ignored. */
void stat_inc_code(struct stat_block *b, size_t i, unsigned status);
/* Main thread. Copies. */
void stat_set_text(struct stat_scope *scope, size_t i, struct str text);

/* Main thread: the sum over all threads; counters and gauges. */
uint64_t stat_scope_value(const struct stat_scope *scope, size_t i);
/* Main thread: what one thread alone has counted (`worker` as above); counters and gauges. */
uint64_t stat_scope_thread_value(const struct stat_scope *scope, int worker, size_t i);
/* Main thread: one counter of a STAT_CODE_RANGE; false when that status was never counted. */
bool stat_scope_code(const struct stat_scope *scope, size_t i, unsigned status,
                     uint64_t *ret_value);

#define STAT_SAMPLE_TAGS_MAX (STAT_TAGS_MAX + 1 + STAT_CUSTOM_TAGS_MAX)

/* One sample as the admin pages and sinks see it. */
struct stat_sample {
    const struct stat_tag *tags; /* fixed ones, the code's, the scope's, found ones */
    size_t tag_count;
    struct str name;        /* full: "cluster.foo.upstream_rq_200" */
    struct str tagged_name; /* "cluster.upstream_rq": with the values of tags taken out */
    enum stat_kind kind;    /* STAT_COUNTER for those of a code range */
    bool is_used;
    uint64_t value;
    struct str text;
    const struct histogram *histogram; /* merged, valid during the call */
    const struct histogram *interval;  /* the part of the last interval; NULL: none */
    const double *buckets;             /* of the histogram: upper bounds */
    size_t bucket_count;
};

typedef void stat_visit_fn(void *user, const struct stat_sample *s);
/* Main thread; sorted by full name. `visit` must not make or drop scopes. Untouched lazily shown
 * cells are passed over. */
void stat_store_visit(struct stat_store *s, stat_visit_fn *visit, void *user);
/* What is told of histograms: Envoy's quantiles, and the upper bounds of its default buckets. */
#define STAT_QUANTILE_COUNT 10
#define STAT_BUCKET_COUNT 19
extern const double stat_quantiles[STAT_QUANTILE_COUNT];
extern const double stat_buckets[STAT_BUCKET_COUNT];

/* Main thread: what histograms took in since the last call is from now on what samples show as the
 * interval. */
void stat_store_end_interval(struct stat_store *s);
/* POST /reset_counters. */
void stat_store_reset_counters(struct stat_store *s);

#endif
