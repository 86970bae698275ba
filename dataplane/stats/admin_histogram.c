/*
 * One histogram as text, JSON or Prometheus lines. Where there are two numbers, the first is of the
 * last interval (stat_store_end_interval), the second of all time. Main thread.
 */

#include "dataplane/stats/admin_histogram.h"

#include <math.h>
#include <stddef.h>

static const char *const QUANTILE_NAMES[STAT_QUANTILE_COUNT] = {
    "P0", "P25", "P50", "P75", "P90", "P95", "P99", "P99.5", "P99.9", "P100"};

bool histogram_mode_parse(struct str value, enum histogram_mode *ret_mode)
{
    static const struct {
        const char *name;
        enum histogram_mode mode;
    } MODES[] = {
        {"none", HISTOGRAM_SUMMARY},          {"summary", HISTOGRAM_SUMMARY},
        {"cumulative", HISTOGRAM_CUMULATIVE}, {"disjoint", HISTOGRAM_DISJOINT},
        {"detailed", HISTOGRAM_DETAILED},
    };

    for (size_t i = 0; i < ARRAY_LEN(MODES); i++) {
        if (str_eq(value, str_c(MODES[i].name))) {
            *ret_mode = MODES[i].mode;
            return true;
        }
    }
    return false;
}

/* --- numbers: an interval without samples is NULL ----------------------------------------- */

static double quantile(const struct histogram *h, size_t i)
{
    return h != NULL ? histogram_quantile(h, stat_quantiles[i]) : NAN;
}

/* Samples up to a bound of the sample's buckets; disjoint: that are above the bound before it. */
static uint64_t bucket(const struct histogram *h, const struct stat_sample *s, size_t i,
                       enum histogram_mode mode)
{
    uint64_t count;

    if (h == NULL) {
        return 0;
    }
    count = histogram_count_le(h, s->buckets[i]);
    if (mode == HISTOGRAM_DISJOINT && i > 0) {
        count -= histogram_count_le(h, s->buckets[i - 1]);
    }
    return count;
}

/* --- text --------------------------------------------------------------------------------- */

static void add_number(struct strbuf *out, double v)
{
    if (isnan(v)) {
        strbuf_add_c(out, "nan");
    } else {
        strbuf_addf(out, "%.10g", v);
    }
}

static void text_quantiles(struct strbuf *out, const struct stat_sample *s)
{
    for (size_t i = 0; i < STAT_QUANTILE_COUNT; i++) {
        strbuf_addf(out, "%s%s(", i == 0 ? "" : " ", QUANTILE_NAMES[i]);
        add_number(out, quantile(s->interval, i));
        strbuf_add_char(out, ',');
        add_number(out, quantile(s->histogram, i));
        strbuf_add_char(out, ')');
    }
}

static void text_buckets(struct strbuf *out, const struct stat_sample *s, enum histogram_mode mode)
{
    for (size_t i = 0; i < s->bucket_count; i++) {
        strbuf_addf(out, "%sB%g(", i == 0 ? "" : " ", s->buckets[i]);
        strbuf_add_u64(out, bucket(s->interval, s, i, mode));
        strbuf_add_char(out, ',');
        strbuf_add_u64(out, bucket(s->histogram, s, i, mode));
        strbuf_add_char(out, ')');
    }
}

struct text_detail {
    struct strbuf *out;
    const char *separator;
};

static void add_text_detail(void *user, double left, double width, uint64_t count)
{
    struct text_detail *d = user;

    strbuf_addf(d->out, "%s%g,%g:", d->separator, left, width);
    strbuf_add_u64(d->out, count);
    d->separator = ", ";
}

static void text_details(struct strbuf *out, const struct histogram *h)
{
    struct text_detail detail = {out, ""};

    if (h != NULL) {
        histogram_visit(h, add_text_detail, &detail);
    }
}

void histogram_text(struct strbuf *out, const struct stat_sample *s, enum histogram_mode mode)
{
    if (histogram_count(s->histogram) == 0) {
        strbuf_add_c(out, ": No recorded values\n");
        return;
    }
    switch (mode) {
    case HISTOGRAM_DEFAULT:
    case HISTOGRAM_SUMMARY:
        strbuf_add_c(out, ": ");
        text_quantiles(out, s);
        break;
    case HISTOGRAM_CUMULATIVE:
    case HISTOGRAM_DISJOINT:
        strbuf_add_c(out, ": ");
        text_buckets(out, s, mode);
        break;
    case HISTOGRAM_DETAILED:
        strbuf_add_c(out, ":\n  totals=");
        text_details(out, s->histogram);
        strbuf_add_c(out, "\n  intervals=");
        text_details(out, s->interval);
        strbuf_add_c(out, "\n  summary=");
        text_quantiles(out, s);
        break;
    }
    strbuf_add_char(out, '\n');
}

/* --- JSON --------------------------------------------------------------------------------- */

static bool has_buckets(enum histogram_mode mode)
{
    return mode == HISTOGRAM_CUMULATIVE || mode == HISTOGRAM_DISJOINT;
}

void histograms_json_begin(struct json_writer *w, enum histogram_mode mode)
{
    if (!has_buckets(mode)) {
        json_object_begin(w);
        json_key(w, mode == HISTOGRAM_DETAILED ? STR("supported_percentiles")
                                               : STR("supported_quantiles"));
        json_array_begin(w);
        for (size_t i = 0; i < STAT_QUANTILE_COUNT; i++) {
            json_double(w, stat_quantiles[i] * 100);
        }
        json_array_end(w);
        json_key(w, mode == HISTOGRAM_DETAILED ? STR("details") : STR("computed_quantiles"));
    }
    json_array_begin(w);
}

void histograms_json_end(struct json_writer *w, enum histogram_mode mode)
{
    json_array_end(w);
    if (!has_buckets(mode)) {
        json_object_end(w);
    }
}

static void member_double(struct json_writer *w, struct str key, double v)
{
    json_key(w, key);
    if (isnan(v)) {
        json_null(w);
    } else {
        json_double(w, v);
    }
}

static void json_quantiles(struct json_writer *w, const struct stat_sample *s)
{
    json_array_begin(w);
    for (size_t i = 0; i < STAT_QUANTILE_COUNT; i++) {
        json_object_begin(w);
        member_double(w, STR("cumulative"), quantile(s->histogram, i));
        member_double(w, STR("interval"), quantile(s->interval, i));
        json_object_end(w);
    }
    json_array_end(w);
}

static void json_buckets(struct json_writer *w, const struct stat_sample *s,
                         enum histogram_mode mode)
{
    json_array_begin(w);
    for (size_t i = 0; i < s->bucket_count; i++) {
        json_object_begin(w);
        member_double(w, STR("upper_bound"), s->buckets[i]);
        json_member_u64(w, "interval", bucket(s->interval, s, i, mode));
        json_member_u64(w, "cumulative", bucket(s->histogram, s, i, mode));
        json_object_end(w);
    }
    json_array_end(w);
}

static void add_json_detail(void *user, double left, double width, uint64_t count)
{
    struct json_writer *w = user;

    json_object_begin(w);
    member_double(w, STR("lower_bound"), left);
    member_double(w, STR("width"), width);
    json_member_u64(w, "count", count);
    json_object_end(w);
}

static void json_details(struct json_writer *w, struct str key, const struct histogram *h)
{
    json_key(w, key);
    json_array_begin(w);
    if (h != NULL) {
        histogram_visit(h, add_json_detail, w);
    }
    json_array_end(w);
}

void histogram_json(struct json_writer *w, const struct stat_sample *s, enum histogram_mode mode)
{
    json_object_begin(w);
    json_member_str(w, "name", s->name);
    if (has_buckets(mode)) {
        json_key(w, STR("buckets"));
        json_buckets(w, s, mode);
    } else if (mode == HISTOGRAM_DETAILED) {
        json_details(w, STR("totals"), s->histogram);
        json_details(w, STR("intervals"), s->interval);
        json_key(w, STR("percentiles"));
        json_quantiles(w, s);
    } else {
        json_key(w, STR("values"));
        json_quantiles(w, s);
    }
    json_object_end(w);
}

/* --- Prometheus --------------------------------------------------------------------------- */

/* With all the digits that Envoy writes. */
static void add_exact(struct strbuf *out, double v)
{
    if (isnan(v)) {
        strbuf_add_c(out, "nan");
    } else {
        strbuf_addf(out, "%.32g", v);
    }
}

static void prometheus_quantiles(struct strbuf *out, struct str name, struct str labels,
                                 const struct histogram *h)
{
    for (size_t i = 0; i < STAT_QUANTILE_COUNT; i++) {
        strbuf_addf(out, "%.*s{%.*s%squantile=\"%g\"} ", STR_ARG(name), STR_ARG(labels),
                    labels.len > 0 ? "," : "", stat_quantiles[i]);
        add_exact(out, quantile(h, i));
        strbuf_add_char(out, '\n');
    }
}

static void prometheus_buckets(struct strbuf *out, struct str name, struct str labels,
                               const struct stat_sample *s)
{
    const char *comma = labels.len > 0 ? "," : "";

    for (size_t i = 0; i < s->bucket_count; i++) {
        strbuf_addf(out, "%.*s_bucket{%.*s%sle=\"%.32g\"} ", STR_ARG(name), STR_ARG(labels), comma,
                    s->buckets[i]);
        strbuf_add_u64(out, histogram_count_le(s->histogram, s->buckets[i]));
        strbuf_add_char(out, '\n');
    }
    strbuf_addf(out, "%.*s_bucket{%.*s%sle=\"+Inf\"} ", STR_ARG(name), STR_ARG(labels), comma);
    strbuf_add_u64(out, histogram_count(s->histogram));
    strbuf_add_char(out, '\n');
}

void histogram_prometheus(struct strbuf *out, struct str name, struct str labels,
                          const struct stat_sample *s, enum histogram_mode mode)
{
    /* A summary is of the last interval, as in Envoy. */
    const struct histogram *h = mode == HISTOGRAM_SUMMARY ? s->interval : s->histogram;

    if (mode == HISTOGRAM_SUMMARY) {
        prometheus_quantiles(out, name, labels, h);
    } else {
        prometheus_buckets(out, name, labels, s);
    }
    strbuf_addf(out, "%.*s_sum{%.*s} ", STR_ARG(name), STR_ARG(labels));
    add_exact(out, h != NULL ? histogram_sum(h) : 0);
    strbuf_addf(out, "\n%.*s_count{%.*s} ", STR_ARG(name), STR_ARG(labels));
    strbuf_add_u64(out, h != NULL ? histogram_count(h) : 0);
    strbuf_add_char(out, '\n');
}
