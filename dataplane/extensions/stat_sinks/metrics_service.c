/*
 * envoy.stat_sinks.metrics_service: at each flush one message (or several of batch_size families)
 * on a stream to a metrics service. Main thread.
 *
 * Trust: configuration only. Buffers: one flush, in an arena; what the connection does not take is
 * dropped by client/grpc_reporter.c.
 * Differs from Envoy: no.
 */

#include <stdlib.h>

#include "config/model/stat_sink.h"
#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "config/pb_unpack.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/client/grpc_reporter.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/config/metrics/v3/metrics_service.pb-c.h"
#include "proto/envoy/service/metrics/v3/metrics_service.pb-c.h"

#define METHOD "/envoy.service.metrics.v3.MetricsService/StreamMetrics"

struct metrics_config {
    struct stat_sink_config base;
    struct grpc_service_config grpc;
    bool counters_as_deltas;
    bool tags_as_labels;
    bool emits_summaries;
    bool emits_histograms;
    uint32_t batch_size; /* 0: everything in one message */
};

struct metrics_sink {
    const struct metrics_config *config;
    struct thread_context *thread;
    struct grpc_reporter reporter;
    uint64_t wall_ms;
    struct arena arena; /* of the message being made */
    Io__Prometheus__Client__MetricFamily **families;
    size_t count;
    size_t cap;
};

/* --- sending ------------------------------------------------------------------------------------
 */

static Envoy__Service__Metrics__V3__StreamMetricsMessage__Identifier *
new_identifier(struct metrics_sink *k)
{
    Envoy__Service__Metrics__V3__StreamMetricsMessage__Identifier *identifier =
        ARENA_NEW(&k->arena, Envoy__Service__Metrics__V3__StreamMetricsMessage__Identifier);
    struct str node = k->thread->node;
    ProtobufCMessage *m = NULL;
    struct error err;

    error_init(&err);
    envoy__service__metrics__v3__stream_metrics_message__identifier__init(identifier);
    if (pb_unpack(&envoy__config__core__v3__node__descriptor, (const uint8_t *)node.ptr, node.len,
                  &k->arena, &m, &err) == 0) { /* what we have packed ourselves */
        identifier->node = (Envoy__Config__Core__V3__Node *)m;
    }
    error_done(&err);
    return identifier;
}

static void send_message(struct metrics_sink *k)
{
    Envoy__Service__Metrics__V3__StreamMetricsMessage m;
    struct buf b;
    uint8_t *bytes;
    size_t len;

    if (k->count > 0) {
        envoy__service__metrics__v3__stream_metrics_message__init(&m);
        if (grpc_reporter_is_closed(&k->reporter)) {
            m.identifier = new_identifier(k);
        }
        m.envoy_metrics = k->families;
        m.n_envoy_metrics = k->count;
        len = envoy__service__metrics__v3__stream_metrics_message__get_packed_size(&m);
        bytes = arena_alloc(&k->arena, len + 1);
        envoy__service__metrics__v3__stream_metrics_message__pack(&m, bytes);
        buf_init(&b, &k->thread->loop->bufs);
        buf_add(&b, bytes, len);
        (void)grpc_reporter_send(&k->reporter, &b);
        buf_reset(&b);
    }
    k->count = 0;
    arena_done(&k->arena);
    arena_init(&k->arena, &k->thread->loop->arenas);
}

/* --- families -----------------------------------------------------------------------------------
 */

static char *copy(struct metrics_sink *k, struct str text)
{
    return (char *)(uintptr_t)arena_str(&k->arena, text).ptr;
}

static Io__Prometheus__Client__LabelPair *new_label(struct metrics_sink *k, struct stat_tag tag)
{
    Io__Prometheus__Client__LabelPair *l = ARENA_NEW(&k->arena, Io__Prometheus__Client__LabelPair);

    io__prometheus__client__label_pair__init(l);
    l->name = copy(k, tag.name);
    l->value = copy(k, tag.value);
    return l;
}

static void add_labels(struct metrics_sink *k, const struct stat_sample *s,
                       Io__Prometheus__Client__Metric *m)
{
    m->label = ARENA_ARRAY(&k->arena, Io__Prometheus__Client__LabelPair *, s->tag_count + 1);
    for (size_t i = 0; i < s->tag_count; i++) {
        m->label[m->n_label++] = new_label(k, s->tags[i]);
    }
}

/* A family of one metric, whose value the caller sets. */
static Io__Prometheus__Client__Metric *add_family(struct metrics_sink *k,
                                                  const struct stat_sample *s,
                                                  Io__Prometheus__Client__MetricType type)
{
    Io__Prometheus__Client__MetricFamily *f;
    Io__Prometheus__Client__Metric *m;

    if (k->config->batch_size > 0 && k->count == k->config->batch_size) {
        send_message(k);
    }
    f = ARENA_NEW(&k->arena, Io__Prometheus__Client__MetricFamily);
    m = ARENA_NEW(&k->arena, Io__Prometheus__Client__Metric);
    io__prometheus__client__metric_family__init(f);
    io__prometheus__client__metric__init(m);
    f->name = copy(k, k->config->tags_as_labels ? s->tagged_name : s->name);
    f->has_type = true;
    f->type = type;
    f->n_metric = 1;
    f->metric = ARENA_ARRAY(&k->arena, Io__Prometheus__Client__Metric *, 1);
    f->metric[0] = m;
    m->has_timestamp_ms = true;
    m->timestamp_ms = (int64_t)k->wall_ms;
    if (k->config->tags_as_labels) {
        add_labels(k, s, m);
    }
    if (k->count == k->cap) {
        k->cap = k->cap == 0 ? 256 : k->cap * 2;
        k->families = xreallocarray(k->families, k->cap, sizeof(k->families[0]));
    }
    k->families[k->count++] = f;
    return m;
}

static void add_counter(struct metrics_sink *k, const struct flushed_stat *s)
{
    Io__Prometheus__Client__Metric *m =
        add_family(k, s->sample, IO__PROMETHEUS__CLIENT__METRIC_TYPE__COUNTER);

    m->counter = ARENA_NEW(&k->arena, Io__Prometheus__Client__Counter);
    io__prometheus__client__counter__init(m->counter);
    m->counter->has_value = true;
    m->counter->value = (double)(k->config->counters_as_deltas ? s->delta : s->sample->value);
}

static void add_gauge(struct metrics_sink *k, const struct flushed_stat *s)
{
    Io__Prometheus__Client__Metric *m =
        add_family(k, s->sample, IO__PROMETHEUS__CLIENT__METRIC_TYPE__GAUGE);

    m->gauge = ARENA_NEW(&k->arena, Io__Prometheus__Client__Gauge);
    io__prometheus__client__gauge__init(m->gauge);
    m->gauge->has_value = true;
    m->gauge->value = (double)s->sample->value;
}

static void add_summary(struct metrics_sink *k, const struct flushed_stat *s)
{
    Io__Prometheus__Client__Metric *m =
        add_family(k, s->sample, IO__PROMETHEUS__CLIENT__METRIC_TYPE__SUMMARY);
    Io__Prometheus__Client__Summary *summary =
        ARENA_NEW(&k->arena, Io__Prometheus__Client__Summary);

    io__prometheus__client__summary__init(summary);
    m->summary = summary;
    summary->has_sample_count = true;
    summary->sample_count = s->interval != NULL ? histogram_count(s->interval) : 0;
    summary->has_sample_sum = true;
    summary->sample_sum = s->interval != NULL ? histogram_sum(s->interval) : 0;
    summary->quantile =
        ARENA_ARRAY(&k->arena, Io__Prometheus__Client__Quantile *, STAT_QUANTILE_COUNT);
    for (size_t i = 0; i < STAT_QUANTILE_COUNT; i++) {
        Io__Prometheus__Client__Quantile *q =
            ARENA_NEW(&k->arena, Io__Prometheus__Client__Quantile);

        io__prometheus__client__quantile__init(q);
        q->has_quantile = true;
        q->quantile = stat_quantiles[i];
        q->has_value = true;
        q->value = s->interval != NULL ? histogram_quantile(s->interval, stat_quantiles[i]) : 0;
        summary->quantile[summary->n_quantile++] = q;
    }
}

static void add_histogram(struct metrics_sink *k, const struct flushed_stat *s)
{
    Io__Prometheus__Client__Metric *m =
        add_family(k, s->sample, IO__PROMETHEUS__CLIENT__METRIC_TYPE__HISTOGRAM);
    Io__Prometheus__Client__Histogram *h = ARENA_NEW(&k->arena, Io__Prometheus__Client__Histogram);

    io__prometheus__client__histogram__init(h);
    m->histogram = h;
    h->has_sample_count = true;
    h->sample_count = s->interval != NULL ? histogram_count(s->interval) : 0;
    h->has_sample_sum = true;
    h->sample_sum = s->interval != NULL ? histogram_sum(s->interval) : 0;
    h->bucket =
        ARENA_ARRAY(&k->arena, Io__Prometheus__Client__Bucket *, s->sample->bucket_count + 1);
    for (size_t i = 0; i < s->sample->bucket_count; i++) {
        Io__Prometheus__Client__Bucket *b = ARENA_NEW(&k->arena, Io__Prometheus__Client__Bucket);

        io__prometheus__client__bucket__init(b);
        b->has_upper_bound = true;
        b->upper_bound = s->sample->buckets[i];
        b->has_cumulative_count = true;
        b->cumulative_count =
            s->interval != NULL ? histogram_count_le(s->interval, s->sample->buckets[i]) : 0;
        h->bucket[h->n_bucket++] = b;
    }
}

/* --- the sink -----------------------------------------------------------------------------------
 */

static void *metrics_start(const void *config, struct thread_context *t)
{
    struct metrics_sink *k = xcalloc(1, sizeof(*k));
    struct grpc_client_target target;

    k->config = config;
    k->thread = t;
    target = grpc_client_target_of(&k->config->grpc);
    grpc_reporter_init(&k->reporter, t, &target, STR(METHOD), NULL, k);
    arena_init(&k->arena, &t->loop->arenas);
    return k;
}

static void metrics_begin(void *sink, uint64_t wall_ms)
{
    ((struct metrics_sink *)sink)->wall_ms = wall_ms;
}

static void metrics_take(void *sink, const struct flushed_stat *s)
{
    struct metrics_sink *k = sink;

    switch (s->sample->kind) {
    case STAT_COUNTER:
        add_counter(k, s);
        break;
    case STAT_GAUGE:
        add_gauge(k, s);
        break;
    case STAT_HISTOGRAM:
        if (k->config->emits_summaries) {
            add_summary(k, s);
        }
        if (k->config->emits_histograms) {
            add_histogram(k, s);
        }
        break;
    case STAT_TEXT:
    case STAT_CODE_RANGE:
        break;
    }
}

static void metrics_end(void *sink)
{
    send_message(sink);
}

static void metrics_stop(void *sink)
{
    struct metrics_sink *k = sink;

    grpc_reporter_done(&k->reporter);
    arena_done(&k->arena);
    free(k->families);
    free(k);
}

static int metrics_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                         const void **ret_config)
{
    const Envoy__Config__Metrics__V3__MetricsServiceConfig *m =
        (const Envoy__Config__Metrics__V3__MetricsServiceConfig *)msg;
    struct metrics_config *c = ARENA_NEW(parse_arena(ctx), struct metrics_config);
    int r = parse_check_present(ctx, "grpc_service", m->grpc_service);
    size_t at;

    if (r != 0) {
        return r;
    }
    at = path_push(ctx, "grpc_service");
    r = parse_grpc_service(ctx, m->grpc_service, &c->grpc);
    path_pop(ctx, at);
    c->base.cluster_name = c->grpc.cluster_name;
    c->base.cluster_error = "Unknown gRPC client cluster";
    c->counters_as_deltas = parse_bool_or(m->report_counters_as_deltas, false);
    c->tags_as_labels = m->emit_tags_as_labels;
    c->emits_summaries =
        m->histogram_emit_mode != ENVOY__CONFIG__METRICS__V3__HISTOGRAM_EMIT_MODE__HISTOGRAM;
    c->emits_histograms =
        m->histogram_emit_mode != ENVOY__CONFIG__METRICS__V3__HISTOGRAM_EMIT_MODE__SUMMARY;
    c->batch_size = m->batch_size;
    *ret_config = c;
    return r;
}

const struct stat_sink_type stat_sink_metrics_service = {
    .ext =
        {
            .name = "envoy.stat_sinks.metrics_service",
            .category = EXT_STAT_SINK,
            .descriptor = &envoy__config__metrics__v3__metrics_service_config__descriptor,
            .parse = metrics_parse,
        },
    .start = metrics_start,
    .begin = metrics_begin,
    .take = metrics_take,
    .end = metrics_end,
    .stop = metrics_stop,
};
