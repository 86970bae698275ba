/* /stats, /stats/prometheus and /reset_counters, in Envoy's shapes. Main thread. */

#include "dataplane/stats/admin_stats.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/json.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/stats/admin_histogram.h"
#include "dataplane/stats/admin_stats_params.h"
#include "dataplane/stats/stats.h"

/* --- selection ---------------------------------------------------------------------------- */

enum stat_type_filter { TYPE_ALL, TYPE_COUNTERS, TYPE_GAUGES, TYPE_HISTOGRAMS, TYPE_TEXT };

struct selection {
    bool used_only;
    bool inverts_filter;
    bool nothing; /* hidden=only: no series is hidden here */
    enum stat_type_filter type;
    enum histogram_mode histograms;
    struct regex *filter; /* NULL: everything */
};

static bool selection_parse_type(struct str name, enum stat_type_filter *ret_type)
{
    static const char *const NAMES[] = {"All", "Counters", "Gauges", "Histograms", "TextReadouts"};

    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (str_eq(name, str_c(NAMES[i]))) {
            *ret_type = (enum stat_type_filter)i;
            return true;
        }
    }
    return false;
}

/* NULL when absent or empty. */
static const struct str *param(const struct admin_request *rq, struct str name)
{
    const struct str *value = admin_param(rq, name);

    return value != NULL && value->len > 0 ? value : NULL;
}

/* Envoy hides series of its overload manager from the pages; here there are none such. */
static bool selection_parse_hidden(struct str mode, bool *ret_nothing)
{
    *ret_nothing = str_eq(mode, STR("only"));
    return *ret_nothing || str_eq(mode, STR("include")) || str_eq(mode, STR("exclude"));
}

/* Checks in Envoy's order: the first mistake is the one that is told. */
static int selection_parse(struct selection *s, const struct admin_request *rq,
                           struct error *reterr)
{
    const struct str *filter = param(rq, STR("filter"));
    const struct str *type = param(rq, STR("type"));
    const struct str *histograms = param(rq, STR("histogram_buckets"));
    const struct str *hidden = param(rq, STR("hidden"));
    struct error err;

    *s = (struct selection){.used_only = admin_param(rq, STR("usedonly")) != NULL,
                            .inverts_filter = admin_param(rq, STR("invert_filter")) != NULL};
    error_init(&err);
    if (filter != NULL && regex_new(*filter, 0, &s->filter, &err) != 0) {
        int r = error_set(reterr, E_INVALID, "Invalid re2 regex: %s", error_message(&err));

        error_done(&err);
        return r;
    }
    if (s->inverts_filter && filter == NULL) {
        return error_set(reterr, E_INVALID,
                         "invert_filter can only be used if filter is also provided");
    }
    if (histograms != NULL && !histogram_mode_parse(*histograms, &s->histograms)) {
        return error_set(
            reterr, E_INVALID,
            "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n");
    }
    if (type != NULL && !selection_parse_type(*type, &s->type)) {
        return error_set(reterr, E_INVALID, "invalid &type= param");
    }
    if (hidden != NULL && !selection_parse_hidden(*hidden, &s->nothing)) {
        return error_set(reterr, E_INVALID, "usage: /stats?hidden=(include|only|exclude)\n\n");
    }
    return 0;
}

/* False after having answered 400; else selection_done. */
static bool selection_init(struct selection *s, const struct admin_request *rq,
                           struct admin_response *rs)
{
    struct error err;
    bool ok;

    error_init(&err);
    ok = selection_parse(s, rq, &err) == 0;
    if (!ok) {
        rs->status = 400;
        strbuf_add_c(&rs->body, error_message(&err));
        regex_free(s->filter);
    }
    error_done(&err);
    return ok;
}

static void selection_done(struct selection *s)
{
    regex_free(s->filter);
}

static bool selection_wants(const struct selection *s, const struct stat_sample *sample)
{
    if (s->nothing || (s->used_only && !sample->is_used)) {
        return false;
    }
    switch (s->type) {
    case TYPE_COUNTERS:
        if (sample->kind != STAT_COUNTER) {
            return false;
        }
        break;
    case TYPE_GAUGES:
        if (sample->kind != STAT_GAUGE) {
            return false;
        }
        break;
    case TYPE_HISTOGRAMS:
        if (sample->kind != STAT_HISTOGRAM) {
            return false;
        }
        break;
    case TYPE_TEXT:
        if (sample->kind != STAT_TEXT) {
            return false;
        }
        break;
    default:
        break;
    }
    return s->filter == NULL || regex_partial_match(s->filter, sample->name) != s->inverts_filter;
}

/* --- text --------------------------------------------------------------------------------- */

struct text_page {
    struct selection selection;
    struct strbuf texts;
    struct strbuf numbers;
    struct strbuf histograms;
};

static void value_text(struct strbuf *out, const struct stat_sample *s)
{
    strbuf_add_u64(out, s->value);
}

static void text_visit(void *user, const struct stat_sample *s)
{
    struct text_page *p = user;
    struct strbuf *out = s->kind == STAT_TEXT        ? &p->texts
                         : s->kind == STAT_HISTOGRAM ? &p->histograms
                                                     : &p->numbers;

    if (!selection_wants(&p->selection, s)) {
        return;
    }
    strbuf_add_str(out, s->name);
    if (s->kind == STAT_HISTOGRAM) {
        histogram_text(out, s, p->selection.histograms);
        return;
    }
    strbuf_add_c(out, ": ");
    if (s->kind == STAT_TEXT) {
        strbuf_add_char(out, '"');
        strbuf_add_str(out, s->text);
        strbuf_add_char(out, '"');
    } else {
        value_text(out, s);
    }
    strbuf_add_char(out, '\n');
}

/* Envoy's order: text readouts, counters and gauges, histograms; by name in each. */
static void text_render(struct stat_store *store, const struct selection *sel,
                        struct admin_response *rs)
{
    struct text_page p = {.selection = *sel};

    strbuf_init(&p.texts);
    strbuf_init(&p.numbers);
    strbuf_init(&p.histograms);
    stat_store_visit(store, text_visit, &p);
    strbuf_add_str(&rs->body, strbuf_str(&p.texts));
    strbuf_add_str(&rs->body, strbuf_str(&p.numbers));
    strbuf_add_str(&rs->body, strbuf_str(&p.histograms));
    strbuf_done(&p.texts);
    strbuf_done(&p.numbers);
    strbuf_done(&p.histograms);
}

/* --- JSON --------------------------------------------------------------------------------- */

struct json_page {
    struct selection selection;
    struct json_writer numbers;
    struct json_writer histograms;
    size_t histogram_count;
};

static void json_visit(void *user, const struct stat_sample *s)
{
    struct json_page *p = user;

    if (!selection_wants(&p->selection, s)) {
        return;
    }
    if (s->kind == STAT_HISTOGRAM) {
        histogram_json(&p->histograms, s, p->selection.histograms);
        p->histogram_count++;
        return;
    }
    json_object_begin(&p->numbers);
    json_key(&p->numbers, STR("name"));
    json_str(&p->numbers, s->name);
    json_key(&p->numbers, STR("value"));
    if (s->kind == STAT_TEXT) {
        json_str(&p->numbers, s->text);
    } else {
        json_u64(&p->numbers, s->value);
    }
    json_object_end(&p->numbers);
}

static void json_render(struct stat_store *store, const struct selection *sel,
                        struct admin_response *rs)
{
    struct json_page p = {.selection = *sel};
    struct strbuf histograms;

    strbuf_init(&histograms);
    rs->content_type = "application/json";
    json_init(&p.numbers, &rs->body, false);
    json_init(&p.histograms, &histograms, false);
    json_object_begin(&p.numbers);
    json_key(&p.numbers, STR("stats"));
    json_array_begin(&p.numbers);
    histograms_json_begin(&p.histograms, sel->histograms);
    stat_store_visit(store, json_visit, &p);
    histograms_json_end(&p.histograms, sel->histograms);
    if (p.histogram_count > 0) {
        json_object_begin(&p.numbers);
        json_key(&p.numbers, STR("histograms"));
        json_raw(&p.numbers, strbuf_str(&histograms));
        json_object_end(&p.numbers);
    }
    json_array_end(&p.numbers);
    json_object_end(&p.numbers);
    strbuf_done(&histograms);
}

static void stats_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    const struct str *format = param(rq, STR("format"));
    struct selection sel;

    if (format != NULL && str_eq(*format, STR("prometheus"))) {
        admin_stats_prometheus_endpoint.render(context, rq, rs);
        return;
    }
    if (!selection_init(&sel, rq, rs)) {
        return;
    }
    if (format == NULL || str_eq(*format, STR("text"))) {
        text_render(context, &sel, rs);
    } else if (str_eq(*format, STR("json"))) {
        json_render(context, &sel, rs);
    } else {
        rs->status = 400;
        strbuf_add_c(&rs->body, "usage: /stats?format=(text|json|prometheus)\n\n");
    }
    selection_done(&sel);
}

/* --- Prometheus --------------------------------------------------------------------------- */

/* One line group; collected first, because all samples of a metric must stand together. */
struct metric {
    struct str name; /* envoy_cluster_upstream_rq */
    enum stat_kind kind;
    size_t order; /* keeps the walk's order within a metric */
    struct str lines;
};

struct prometheus_page {
    struct selection selection;
    bool has_texts;
    struct arena arena;
    struct metric *metrics;
    size_t count;
    size_t cap;
    struct strbuf line;
    struct strbuf labels;
};

/* What else stands in names is written as an underscore. */
static void add_prometheus_word(struct strbuf *out, struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool ok =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';

        strbuf_add_char(out, ok ? c : '_');
    }
}

static void prometheus_name(struct strbuf *out, struct str name)
{
    strbuf_add_c(out, "envoy_");
    add_prometheus_word(out, name);
}

static void prometheus_label(struct strbuf *out, struct str name, struct str value)
{
    if (out->len > 0) {
        strbuf_add_char(out, ',');
    }
    add_prometheus_word(out, name);
    strbuf_add_c(out, "=\"");
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '\\' || c == '"') {
            strbuf_add_char(out, '\\');
        }
        if (c == '\n') {
            strbuf_add_c(out, "\\n");
        } else {
            strbuf_add_char(out, c);
        }
    }
    strbuf_add_char(out, '"');
}

static void prometheus_labels(struct strbuf *out, const struct stat_sample *s)
{
    strbuf_reset(out);
    for (size_t i = 0; i < s->tag_count; i++) {
        prometheus_label(out, s->tags[i].name, s->tags[i].value);
    }
    if (s->kind == STAT_TEXT) {
        prometheus_label(out, STR("text_value"), s->text);
    }
}

static void prometheus_visit(void *user, const struct stat_sample *s)
{
    struct prometheus_page *p = user;
    struct strbuf name;
    struct metric *m;

    if ((s->kind == STAT_TEXT && !p->has_texts) || !selection_wants(&p->selection, s)) {
        return;
    }
    if (p->count == p->cap) {
        p->cap = p->cap == 0 ? 256 : p->cap * 2;
        p->metrics = xreallocarray(p->metrics, p->cap, sizeof(*p->metrics));
    }
    strbuf_init(&name);
    prometheus_name(&name, s->tagged_name);
    prometheus_labels(&p->labels, s);
    strbuf_reset(&p->line);
    if (s->kind == STAT_HISTOGRAM) {
        histogram_prometheus(&p->line, strbuf_str(&name), strbuf_str(&p->labels), s,
                             p->selection.histograms);
    } else {
        strbuf_addf(&p->line, "%.*s{%.*s} ", STR_ARG(strbuf_str(&name)),
                    STR_ARG(strbuf_str(&p->labels)));
        value_text(&p->line, s);
        strbuf_add_char(&p->line, '\n');
    }
    m = &p->metrics[p->count];
    m->name = arena_str(&p->arena, strbuf_str(&name));
    m->kind = s->kind;
    m->order = p->count++;
    m->lines = arena_str(&p->arena, strbuf_str(&p->line));
    strbuf_done(&name);
}

/* Counters, gauges, text, histograms; then name; then the order of the walk. */
static int metric_rank(enum stat_kind k)
{
    return k == STAT_COUNTER ? 0 : k == STAT_GAUGE ? 1 : k == STAT_TEXT ? 2 : 3;
}

static int metric_cmp(const void *a, const void *b)
{
    const struct metric *x = a;
    const struct metric *y = b;
    int c = metric_rank(x->kind) - metric_rank(y->kind);

    if (c == 0) {
        c = str_cmp(x->name, y->name);
    }
    return c != 0 ? c : x->order < y->order ? -1 : 1;
}

static void prometheus_write(struct prometheus_page *p, struct strbuf *out)
{
    const char *const types[] = {"counter", "gauge", "gauge",
                                 p->selection.histograms == HISTOGRAM_SUMMARY ? "summary"
                                                                              : "histogram"};

    qsort(p->metrics, p->count, sizeof(*p->metrics), metric_cmp);
    for (size_t i = 0; i < p->count; i++) {
        const struct metric *m = &p->metrics[i];

        if (i == 0 || metric_rank(m->kind) != metric_rank(p->metrics[i - 1].kind) ||
            !str_eq(m->name, p->metrics[i - 1].name)) {
            strbuf_addf(out, "# TYPE %.*s %s\n", STR_ARG(m->name), types[metric_rank(m->kind)]);
        }
        strbuf_add_str(out, m->lines);
    }
}

static void prometheus_render(void *context, const struct admin_request *rq,
                              struct admin_response *rs)
{
    struct prometheus_page p = {.has_texts = admin_param(rq, STR("text_readouts")) != NULL};

    if (!selection_init(&p.selection, rq, rs)) {
        return;
    }
    if (p.selection.histograms == HISTOGRAM_DISJOINT ||
        p.selection.histograms == HISTOGRAM_DETAILED) {
        rs->status = 400;
        strbuf_add_c(&rs->body, "unsupported prometheus histogram bucket mode");
        selection_done(&p.selection);
        return;
    }
    arena_init(&p.arena, NULL);
    strbuf_init(&p.line);
    strbuf_init(&p.labels);
    stat_store_visit(context, prometheus_visit, &p);
    if (p.count > 0) {
        prometheus_write(&p, &rs->body);
    }
    strbuf_done(&p.line);
    strbuf_done(&p.labels);
    arena_done(&p.arena);
    free(p.metrics);
    selection_done(&p.selection);
}

static void reset_counters_render(void *context, const struct admin_request *rq,
                                  struct admin_response *rs)
{
    (void)rq;
    stat_store_reset_counters(context);
    strbuf_add_c(&rs->body, "OK\n");
}

const struct admin_endpoint admin_stats_endpoint = {
    .path = "/stats",
    .help = "print server stats",
    .params = admin_stats_params,
    .param_count = ADMIN_STATS_PARAM_COUNT,
    .render = stats_render,
};

const struct admin_endpoint admin_stats_prometheus_endpoint = {
    .path = "/stats/prometheus",
    .help = "print server stats in prometheus format",
    .params = admin_prometheus_params,
    .param_count = ADMIN_PROMETHEUS_PARAM_COUNT,
    .render = prometheus_render,
};

const struct admin_endpoint admin_reset_counters_endpoint = {
    .path = "/reset_counters",
    .help = "reset all counters to zero",
    .needs_post = true,
    .render = reset_counters_render,
};
