/*
 * Intervals of histograms: at the end of each, what every histogram took in during it is kept, so
 * that pages and sinks can show the last interval beside all that ever came. Main thread. Only
 * non-empty buckets are kept, and nothing for what no traffic has touched.
 */

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/stats/stats.h"
#include "dataplane/stats/stats_internal.h"

static struct stat_latch *latch_find(const struct stat_scope *scope, size_t cell)
{
    struct stat_latch *l = scope->latches;

    while (l != NULL && l->cell != cell) {
        l = l->next;
    }
    return l;
}

static void latch_histogram(struct stat_scope *scope, size_t cell)
{
    struct stat_latch *l = latch_find(scope, cell);
    struct histogram *now;

    if (l == NULL) {
        if (!stat_scope_is_touched(scope, cell)) {
            return;
        }
        l = xcalloc(1, sizeof(*l));
        l->cell = cell;
        l->next = scope->latches;
        scope->latches = l;
    }
    now = stat_scope_histogram(scope, cell);
    free(l->interval);
    l->interval = histogram_since(now, l->total);
    if (l->interval != NULL) {
        free(l->total);
        l->total = histogram_snapshot_new(now);
    }
    histogram_free(now);
}

void stat_store_end_interval(struct stat_store *s)
{
    for (size_t i = 0; i < s->bucket_count; i++) {
        for (struct stat_scope *scope = s->buckets[i]; scope != NULL; scope = scope->next) {
            if (stat_block_walk(scope).block == NULL) {
                continue;
            }
            for (size_t cell = 0; cell < scope->schema->count; cell++) {
                if (scope->schema->defs[cell].kind == STAT_HISTOGRAM) {
                    latch_histogram(scope, cell);
                }
            }
        }
    }
}

struct histogram *stat_scope_interval(const struct stat_scope *scope, size_t cell)
{
    const struct stat_latch *l = latch_find(scope, cell);
    struct histogram *h;

    if (l == NULL || l->interval == NULL) {
        return NULL;
    }
    h = histogram_new();
    histogram_add(h, l->interval);
    return h;
}

void stat_latches_free(struct stat_latch *first)
{
    struct stat_latch *next;

    for (struct stat_latch *l = first; l != NULL; l = next) {
        next = l->next;
        free(l->total);
        free(l->interval);
        free(l);
    }
}
