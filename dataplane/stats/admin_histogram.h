#ifndef DATAPLANE_STATS_ADMIN_HISTOGRAM_H
#define DATAPLANE_STATS_ADMIN_HISTOGRAM_H

/* How the pages show a histogram, by the parameter histogram_buckets; as Envoy. Main thread. */

#include <stdbool.h>

#include "dataplane/base/json.h"
#include "dataplane/stats/stats.h"

enum histogram_mode {
    HISTOGRAM_DEFAULT, /* quantiles; buckets for Prometheus */
    HISTOGRAM_SUMMARY, /* quantiles */
    HISTOGRAM_CUMULATIVE,
    HISTOGRAM_DISJOINT,
    HISTOGRAM_DETAILED, /* the histogram's own buckets, and quantiles */
};

/* False: there is no such mode. */
bool histogram_mode_parse(struct str value, enum histogram_mode *ret_mode);

/* What follows the name on a line of the text page, or lines, with the last line's end. */
void histogram_text(struct strbuf *out, const struct stat_sample *s, enum histogram_mode mode);

/* The value of "histograms": begin, each one, end. */
void histograms_json_begin(struct json_writer *w, enum histogram_mode mode);
void histogram_json(struct json_writer *w, const struct stat_sample *s, enum histogram_mode mode);
void histograms_json_end(struct json_writer *w, enum histogram_mode mode);

/* The lines of one sample, `labels` as they stand between braces. */
void histogram_prometheus(struct strbuf *out, struct str name, struct str labels,
                          const struct stat_sample *s, enum histogram_mode mode);

#endif
