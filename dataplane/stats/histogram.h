#ifndef DATAPLANE_STATS_HISTOGRAM_H
#define DATAPLANE_STATS_HISTOGRAM_H

/*
 * Log-linear histogram (two significant digits, as circllhist that Envoy uses): exact merging,
 * pages of one decade allocated when first hit. One writer; another thread may merge from it.
 */

#include <stddef.h>
#include <stdint.h>

struct histogram;

struct histogram *histogram_new(void);
void histogram_free(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_count(const struct histogram *h);
/* As Envoy: each sample counts as the middle of its bucket. */
double histogram_sum(const struct histogram *h);
/* q in [0, 1], interpolated inside a bucket; NaN when empty. */
double histogram_quantile(const struct histogram *h, double q);
/* Samples in buckets that begin at or below `upper`, for cumulative buckets: as Envoy, the bucket
 * that holds `upper` counts whole. */
uint64_t histogram_count_le(const struct histogram *h, double upper);

/* The non-empty buckets in ascending order: samples from `left` to below `left + width`. */
typedef void histogram_bucket_fn(void *user, double left, double width, uint64_t count);
void histogram_visit(const struct histogram *h, histogram_bucket_fn *visit, void *user);
/* The counts of a histogram at one moment, in as little memory as they need. free() frees it. */
struct histogram_snapshot;

struct histogram_snapshot *histogram_snapshot_new(const struct histogram *h);
/* What came since `before` (NULL: ever), a snapshot of the same histogram; all of it once it was
 * reset since. NULL: nothing. */
struct histogram_snapshot *histogram_since(const struct histogram *h,
                                           const struct histogram_snapshot *before);
void histogram_add(struct histogram *into, const struct histogram_snapshot *s);

#endif
