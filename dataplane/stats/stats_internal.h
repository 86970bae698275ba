#ifndef DATAPLANE_STATS_STATS_INTERNAL_H
#define DATAPLANE_STATS_STATS_INTERNAL_H

/*
 * What stats.c (scopes and cells) and stats_visit.c (reading them in order) share.
 *
 * An untouched scope is one allocation of some 60 bytes and its prefix: tag values are windows into
 * the prefix, and what thousands of scopes have in common (tag names, tagged prefix) is a shape.
 */

#include "dataplane/base/map.h"
#include "dataplane/stats/stats.h"

#define STAT_CODE_MIN 100
#define STAT_CODE_MAX 599
#define STAT_CODE_PAGE 100

/* Counters of one class of status codes, of one thread. */
struct stat_code_page {
    _Atomic uint64_t counts[STAT_CODE_PAGE];
};

/* What a STAT_CODE_RANGE cell points to: 1xx to 5xx. */
struct stat_code_range {
    _Atomic(struct stat_code_page *) pages[(STAT_CODE_MAX + 1 - STAT_CODE_MIN) / STAT_CODE_PAGE];
};

/* Tag names and tagged prefix. */
struct stat_shape {
    size_t refs;              /* one per scope */
    struct str key;           /* in the map of shapes */
    struct str tagged_prefix; /* ptr NULL: the prefix itself */
    size_t tag_count;
    struct str tag_names[STAT_TAGS_MAX];
};

/* Blocks by thread: main, then the workers. Made at the first touch by any of them. */
struct stat_block_table {
    _Atomic(struct stat_block *) slots[1]; /* worker_count + 1 */
};

/* What a histogram of a scope was when the last interval ended. Main's. */
struct stat_latch {
    struct stat_latch *next;
    size_t cell;
    struct histogram_snapshot *total;
    struct histogram_snapshot *interval; /* what came in that interval; NULL: nothing */
};

struct stat_value_at {
    uint32_t offset; /* in the scope's text */
    uint32_t len;
};

struct stat_scope {
    struct stat_store *store;
    const struct stat_schema *schema;
    struct stat_shape *shape;
    _Atomic(struct stat_block_table *) blocks;
    struct stat_block *adopted; /* through next_adopted */
    struct stat_latch *latches; /* of histograms that have taken anything in */
    struct stat_scope *next;    /* in its hash bucket */
    uint32_t hash;
    uint32_t refs;
    uint32_t prefix_len;
    struct stat_value_at values[]; /* tag_count of them, then the text: prefix, other values */
};

struct stat_store {
    size_t thread_count; /* workers and main */
    struct stat_scope **buckets;
    size_t bucket_count; /* power of two */
    size_t scope_count;
    struct map shapes;
    const struct stat_options *options; /* NULL: the defaults */
};

struct str stat_scope_prefix(const struct stat_scope *scope);
/* One thread's own block (main is 0, workers follow); NULL where there is none. */
const struct stat_block *stat_scope_block_at(const struct stat_scope *scope, size_t thread);

/* Over all blocks of a scope: those of the threads, then the adopted ones. Main thread.
 *   for (struct stat_block_walk w = stat_block_walk(scope); w.block != NULL; stat_block_next(&w))
 */
struct stat_block_walk {
    const struct stat_scope *scope;
    const struct stat_block *block;
    size_t next_thread; /* thread_count: among the adopted ones */
};

struct stat_block_walk stat_block_walk(const struct stat_scope *scope);
void stat_block_next(struct stat_block_walk *w);
bool stat_scope_is_touched(const struct stat_scope *scope, size_t i);
/* What the pointer in a cell points to, NULL for nothing yet. */
void *stat_cell_ptr(const struct stat_block *b, size_t i);

/* Of all blocks; the caller frees. */
struct histogram *stat_scope_histogram(const struct stat_scope *scope, size_t cell);

/* stats_interval.c: what the last interval took in, NULL for nothing; the caller frees. */
struct histogram *stat_scope_interval(const struct stat_scope *scope, size_t cell);
void stat_latches_free(struct stat_latch *first);

#endif
