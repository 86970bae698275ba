/*
 * Log-linear histogram with circllhist's buckets: zero, and for each power of ten the 90 buckets
 * 1.0, 1.1 ... 9.9 times it. One writer, which never locks; readers on other threads see counts
 * that may lack the latest samples. Quantiles, sum and counts below a bound are computed as Envoy's
 * library does, so that both print the same numbers for the same samples.
 */

#include "dataplane/stats/histogram.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"

#define DECADES 20 /* 10^0 .. 10^19, all of uint64_t */
#define DECADE_BUCKETS 90

struct decade {
    _Atomic uint64_t counts[DECADE_BUCKETS]; /* [d]: (10 + d) / 10 times the power */
};

struct histogram {
    _Atomic uint64_t zeros;
    _Atomic(struct decade *) decades[DECADES]; /* NULL until hit; published with release */
};

static const uint64_t power_of_ten[DECADES] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

struct histogram *histogram_new(void)
{
    return xcalloc(1, sizeof(struct histogram));
}

void histogram_free(struct histogram *h)
{
    if (h == NULL) {
        return;
    }
    for (size_t i = 0; i < DECADES; i++) {
        free(atomic_load_explicit(&h->decades[i], memory_order_relaxed));
    }
    free(h);
}

/* The writer's own: another thread never stores. */
static void count_add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static struct decade *decade_of_writer(struct histogram *h, size_t power)
{
    struct decade *d = atomic_load_explicit(&h->decades[power], memory_order_relaxed);

    if (NUNCIO_UNLIKELY(d == NULL)) {
        d = xcalloc(1, sizeof(*d));
        atomic_store_explicit(&h->decades[power], d, memory_order_release);
    }
    return d;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    size_t power;
    uint64_t digits;

    if (value == 0) {
        count_add(&h->zeros, 1);
        return;
    }
    if (value < 10) {
        power = 0;
        digits = value * 10;
    } else if (value < 100) {
        power = 1;
        digits = value;
    } else if (value < 1000) {
        power = 2;
        digits = value / 10;
    } else {
        /* log10 from log2 (1233 / 4096), one too high for some */
        power = ((64 - (size_t)__builtin_clzll(value)) * 1233) >> 12;
        if (power == DECADES || value < power_of_ten[power]) {
            power--;
        }
        digits = value / power_of_ten[power - 1];
    }
    count_add(&decade_of_writer(h, power)->counts[digits - 10], 1);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    count_add(&into->zeros, atomic_load_explicit(&from->zeros, memory_order_relaxed));
    for (size_t power = 0; power < DECADES; power++) {
        const struct decade *d = atomic_load_explicit(&from->decades[power], memory_order_acquire);

        for (size_t i = 0; d != NULL && i < DECADE_BUCKETS; i++) {
            uint64_t n = atomic_load_explicit(&d->counts[i], memory_order_relaxed);

            if (n > 0) {
                count_add(&decade_of_writer(into, power)->counts[i], n);
            }
        }
    }
}

/* One non-empty bucket: [left, left + width). */
struct bucket {
    double left;
    double width; /* 0 for the zero bucket */
    uint64_t count;
    size_t index; /* among all, in ascending order: the zero bucket is 0 */
};

/* Walks the non-empty buckets in ascending order; starts at {0}. */
struct bucket_cursor {
    bool is_past_zero;
    size_t power;
    size_t index;
};

static bool bucket_next(const struct histogram *h, struct bucket_cursor *c,
                        struct bucket *ret_bucket)
{
    if (!c->is_past_zero) {
        uint64_t zeros = atomic_load_explicit(&h->zeros, memory_order_relaxed);

        c->is_past_zero = true;
        if (zeros > 0) {
            *ret_bucket = (struct bucket){.count = zeros};
            return true;
        }
    }
    for (; c->power < DECADES; c->power++, c->index = 0) {
        const struct decade *d = atomic_load_explicit(&h->decades[c->power], memory_order_acquire);

        while (d != NULL && c->index < DECADE_BUCKETS) {
            size_t i = c->index++;
            uint64_t n = atomic_load_explicit(&d->counts[i], memory_order_relaxed);

            if (n > 0) {
                double width = c->power == 0 ? 0.1 : (double)power_of_ten[c->power - 1];

                /* In one rounding: 11 * 0.1 would not be 1.1. */
                ret_bucket->left = c->power == 0 ? (double)(10 + i) / 10 : (double)(10 + i) * width;
                ret_bucket->width = width;
                ret_bucket->count = n;
                ret_bucket->index = 1 + c->power * DECADE_BUCKETS + i;
                return true;
            }
        }
    }
    return false;
}

uint64_t histogram_count(const struct histogram *h)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;
    uint64_t count = 0;

    while (bucket_next(h, &cursor, &b)) {
        count += b.count;
    }
    return count;
}

/* Where a sample of the bucket is taken to be: it makes the relative error equal on both sides. */
static double bucket_middle(const struct bucket *b)
{
    return b->width > 0 ? b->left + b->width * (b->left / (2 * b->left + b->width)) : 0;
}

double histogram_sum(const struct histogram *h)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;
    double sum = 0;

    while (bucket_next(h, &cursor, &b)) {
        sum += bucket_middle(&b) * (double)b.count;
    }
    return sum;
}

double histogram_quantile(const struct histogram *h, double q)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;
    double wanted = (double)histogram_count(h) * q;
    double below = 0;
    double rank;

    if (!bucket_next(h, &cursor, &b)) {
        return NAN;
    }
    while (below + (double)b.count < wanted) {
        double count = (double)b.count;

        if (!bucket_next(h, &cursor, &b)) {
            break;
        }
        below += count;
    }
    /* The bucket's n samples are taken to be evenly spread: the k-th at k / (n + 1). */
    rank = wanted > below ? ceil(wanted - below) : 1;
    return b.left + rank / ((double)b.count + 1) * b.width;
}

uint64_t histogram_count_le(const struct histogram *h, double upper)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;
    uint64_t count = 0;

    while (bucket_next(h, &cursor, &b) && b.left <= upper) {
        count += b.count;
    }
    return count;
}

void histogram_visit(const struct histogram *h, histogram_bucket_fn *visit, void *user)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;

    while (bucket_next(h, &cursor, &b)) {
        visit(user, b.left, b.width, b.count);
    }
}

/* --- snapshots ----------------------------------------------------------------------------- */

struct histogram_snapshot {
    size_t len;
    struct counted {
        uint64_t count; /* never 0 */
        uint32_t index; /* of the bucket; ascending */
    } buckets[];
};

/* The non-empty buckets of `h` less what `before` has; false when it has more somewhere. */
static bool subtract(const struct histogram *h, const struct histogram_snapshot *before,
                     struct histogram_snapshot *into, size_t cap)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;
    size_t old = 0;

    while (into->len < cap && bucket_next(h, &cursor, &b)) {
        uint64_t n = b.count;

        if (before != NULL && old < before->len && before->buckets[old].index <= b.index) {
            const struct counted *was = &before->buckets[old++];

            if (was->index < b.index || was->count > n) {
                return false;
            }
            n -= was->count;
        }
        if (n > 0) {
            into->buckets[into->len++] = (struct counted){n, (uint32_t)b.index};
        }
    }
    return before == NULL || old == before->len;
}

struct histogram_snapshot *histogram_since(const struct histogram *h,
                                           const struct histogram_snapshot *before)
{
    struct bucket_cursor cursor = {0};
    struct bucket b;
    struct histogram_snapshot *since;
    size_t cap = 0;

    while (bucket_next(h, &cursor, &b)) {
        cap++;
    }
    since = xcalloc(1, sizeof(*since) + cap * sizeof(since->buckets[0]));
    if (!subtract(h, before, since, cap)) {
        since->len = 0;
        (void)subtract(h, NULL, since, cap);
    }
    if (since->len == 0) {
        free(since);
        return NULL;
    }
    return since;
}

struct histogram_snapshot *histogram_snapshot_new(const struct histogram *h)
{
    struct histogram_snapshot *all = histogram_since(h, NULL);

    return all != NULL ? all : xcalloc(1, sizeof(*all));
}

void histogram_add(struct histogram *into, const struct histogram_snapshot *s)
{
    for (size_t i = 0; i < s->len; i++) {
        size_t index = s->buckets[i].index;

        if (index == 0) {
            count_add(&into->zeros, s->buckets[i].count);
        } else {
            size_t power = (index - 1) / DECADE_BUCKETS;

            count_add(&decade_of_writer(into, power)->counts[(index - 1) % DECADE_BUCKETS],
                      s->buckets[i].count);
        }
    }
}
