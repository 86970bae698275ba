/* Log services: sinks, and the threads' streams to them. See log_sink.h. */

#include "dataplane/access_log/log_sink.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/base/proto_wire.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/client/grpc_reporter.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"

/* Calls whose answers may be waited for at a time. */
#define CALLS_MAX 16

struct log_call {
    struct list node;
    struct log_stream *stream;
    struct grpc_client_call *call;
    uint64_t entries;
};

/* One thread's. */
struct log_stream {
    struct log_sink *sink;
    struct thread_context *thread;
    struct strbuf entries; /* as fields of the message around them */
    size_t begun;          /* of the entry being written */
    uint64_t waiting;      /* entries in it */
    struct timer timer;
    struct grpc_client_target target;
    struct grpc_reporter reporter; /* of long streams */
    struct list calls;             /* of log_call, else */
    size_t call_count;
    struct stat_block *stats; /* NULL: nobody counts */
};

struct log_scope {
    struct list node;
    struct stat_scope *scope;
};

struct log_sink {
    struct list node; /* in the hub's */
    struct log_sinks *sinks;
    struct arena arena; /* what was copied of the parameters */
    enum log_sink_kind kind;
    struct grpc_service_config service;
    uint64_t flush_interval_ms;
    uint32_t buffer_bytes;
    struct str head;
    struct str stat_prefix;
    struct stat_scope *scope;
    uint32_t opened; /* main's count of log_sink_open */
    _Atomic(bool) is_closed;
    _Atomic(uint32_t) stream_count;
    struct log_stream *streams[ACCESS_LOG_THREADS_MAX]; /* each thread touches its own only */
};

static const struct stat_def log_sink_stats[LOG_SINK_STAT_COUNT] = {
    [LOG_SINK_WRITTEN] = {"logs_written", STAT_COUNTER},
    [LOG_SINK_DROPPED] = {"logs_dropped", STAT_COUNTER},
    [LOG_SINK_FLUSHED] = {"grpc_entries_flushed", STAT_COUNTER},
    [LOG_SINK_FLUSH_FAILED] = {"grpc_entries_flush_failed", STAT_COUNTER},
};

static const struct stat_schema stream_sink_stat_schema = {
    .defs = log_sink_stats,
    .count = LOG_SINK_FLUSHED,
    .shown_untouched = true,
};

static const struct stat_schema call_sink_stat_schema = {
    .defs = log_sink_stats,
    .count = LOG_SINK_STAT_COUNT,
    .shown_untouched = true,
};

/* --- messages ----------------------------------------------------------------------------- */

/* Field numbers of StreamAccessLogsMessage. */
enum { ALS_IDENTIFIER = 1, ALS_HTTP_LOGS = 2, ALS_TCP_LOGS = 3, ALS_LOG_ENTRY = 1 };
/* Of ExportLogsServiceRequest and what it holds. */
enum { OTEL_RESOURCE_LOGS = 1, OTEL_RESOURCE = 1, OTEL_SCOPE_LOGS = 2, OTEL_LOG_RECORD = 2 };

static void stream_write_open_telemetry(const struct log_stream *s, struct strbuf *out)
{
    const struct log_sink *k = s->sink;
    size_t scope_bytes = proto_length_bytes(OTEL_SCOPE_LOGS, s->entries.len) + s->entries.len;
    size_t resource_bytes = proto_length_bytes(OTEL_RESOURCE, k->head.len) + k->head.len;

    proto_length(out, OTEL_RESOURCE_LOGS, resource_bytes + scope_bytes);
    proto_length(out, OTEL_RESOURCE, k->head.len);
    strbuf_add_str(out, k->head);
    proto_length(out, OTEL_SCOPE_LOGS, s->entries.len);
    strbuf_add_str(out, strbuf_str(&s->entries));
}

static void stream_write_access_log(const struct log_stream *s, struct strbuf *out)
{
    const struct log_sink *k = s->sink;

    if (grpc_reporter_is_closed(&s->reporter)) {
        proto_bytes(out, ALS_IDENTIFIER, k->head);
    }
    proto_bytes(out, k->kind == LOG_SINK_HTTP ? ALS_HTTP_LOGS : ALS_TCP_LOGS,
                strbuf_str(&s->entries));
}

static uint32_t entry_field(enum log_sink_kind kind)
{
    return kind == LOG_SINK_OPEN_TELEMETRY ? OTEL_LOG_RECORD : ALS_LOG_ENTRY;
}

/* --- sending ------------------------------------------------------------------------------ */

static void stream_count_stat(struct log_stream *s, enum log_sink_stat stat, uint64_t n)
{
    if (s->stats != NULL) {
        stat_add(s->stats, stat, n);
    }
}

static bool stream_can_send(const struct log_stream *s)
{
    if (s->sink->kind == LOG_SINK_OPEN_TELEMETRY) {
        return s->call_count < CALLS_MAX;
    }
    return s->reporter.call == NULL || !grpc_client_is_above(s->reporter.call);
}

/* As Envoy: an export that fails loses its entries. */
static void stream_on_exported(void *user, const struct grpc_client_result *r, struct buf *response)
{
    struct log_call *c = user;

    (void)response;
    stream_count_stat(c->stream, r->code == GRPC_OK ? LOG_SINK_FLUSHED : LOG_SINK_FLUSH_FAILED,
                      c->entries);
    c->stream->call_count--;
    list_remove(&c->node);
    free(c);
}

static void stream_export(struct log_stream *s, struct buf *take_message)
{
    struct log_call *c = xcalloc(1, sizeof(*c));

    c->stream = s;
    c->entries = s->waiting;
    s->call_count++;
    list_add_tail(&s->calls, &c->node);
    c->call = grpc_client_unary(s->thread, &s->target,
                                STR("/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
                                take_message, stream_on_exported, c);
}

static void stream_flush(struct log_stream *s)
{
    struct strbuf message;
    struct buf out;

    if (s->waiting == 0 || !stream_can_send(s)) {
        return;
    }
    strbuf_init(&message);
    buf_init(&out, &s->thread->loop->bufs);
    if (s->sink->kind == LOG_SINK_OPEN_TELEMETRY) {
        stream_write_open_telemetry(s, &message);
    } else {
        stream_write_access_log(s, &message);
    }
    buf_add_str(&out, strbuf_str(&message));
    strbuf_done(&message);
    if (s->sink->kind == LOG_SINK_OPEN_TELEMETRY) {
        stream_export(s, &out);
    } else {
        (void)grpc_reporter_send(&s->reporter, &out); /* stream_can_send has said so */
    }
    strbuf_reset(&s->entries);
    s->waiting = 0;
}

/* --- streams ------------------------------------------------------------------------------ */

/* Main's loop has index -1. */
static size_t thread_index(const struct thread_context *t)
{
    return (size_t)(t->loop->index + 1);
}

static void stream_free(struct log_stream *s)
{
    struct log_sink *k = s->sink;
    struct log_call *c;

    stream_count_stat(s, LOG_SINK_DROPPED, s->waiting);
    timer_cancel(s->thread->loop, &s->timer);
    grpc_reporter_done(&s->reporter);
    while ((c = list_first(&s->calls, struct log_call, node)) != NULL) {
        grpc_client_cancel(c->call);
        list_remove(&c->node);
        free(c);
    }
    strbuf_done(&s->entries);
    k->streams[thread_index(s->thread)] = NULL;
    free(s);
    atomic_fetch_sub_explicit(&k->stream_count, 1, memory_order_release); /* `k` may go now */
}

static void stream_on_timer(struct timer *t)
{
    struct log_stream *s = container_of(t, struct log_stream, timer);

    stream_flush(s);
    if (atomic_load_explicit(&s->sink->is_closed, memory_order_acquire) && s->waiting == 0 &&
        s->call_count == 0) {
        stream_free(s);
        return;
    }
    timer_arm(s->thread->loop, &s->timer, s->sink->flush_interval_ms);
}

static struct log_stream *stream_new(struct log_sink *k, struct thread_context *t)
{
    struct log_stream *s = xcalloc(1, sizeof(*s));

    s->sink = k;
    s->thread = t;
    s->target = grpc_client_target_of(&k->service);
    strbuf_init(&s->entries);
    list_init(&s->calls);
    grpc_reporter_init(&s->reporter, t, &s->target,
                       STR("/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"), NULL,
                       NULL);
    if (k->scope != NULL) {
        s->stats = stat_scope_block(k->scope, t->loop->index);
    }
    timer_init(&s->timer, stream_on_timer);
    timer_arm(t->loop, &s->timer, k->flush_interval_ms);
    atomic_fetch_add_explicit(&k->stream_count, 1, memory_order_relaxed);
    return s;
}

struct strbuf *log_sink_begin(struct log_sink *k, struct thread_context *t)
{
    size_t i = thread_index(t);
    struct log_stream *s;

    CHECK(i < ACCESS_LOG_THREADS_MAX);
    if (k->streams[i] == NULL) {
        if (k->sinks->is_stopped[i]) {
            return NULL; /* the last connections end: nothing is sent any more */
        }
        k->streams[i] = stream_new(k, t);
    }
    s = k->streams[i];
    if (s->entries.len > 0 && s->entries.len >= k->buffer_bytes) {
        stream_flush(s);
        if (s->waiting > 0) {
            stream_count_stat(s, LOG_SINK_DROPPED, 1);
            return NULL;
        }
    }
    s->begun = proto_begin(&s->entries, entry_field(k->kind));
    return &s->entries;
}

void log_sink_end(struct log_sink *k, struct thread_context *t)
{
    struct log_stream *s = k->streams[thread_index(t)];

    proto_end(&s->entries, s->begun);
    s->waiting++;
    stream_count_stat(s, LOG_SINK_WRITTEN, 1);
    if (s->entries.len >= k->buffer_bytes) {
        stream_flush(s);
    }
}

/* --- sinks -------------------------------------------------------------------------------- */

static bool service_eq(const struct grpc_service_config *a, const struct grpc_service_config *b)
{
    if (!str_eq(a->cluster_name, b->cluster_name) || !str_eq(a->authority, b->authority) ||
        a->is_google_grpc != b->is_google_grpc || a->timeout.is_set != b->timeout.is_set ||
        a->timeout.ms != b->timeout.ms || a->initial_metadata_count != b->initial_metadata_count) {
        return false;
    }
    for (size_t i = 0; i < a->initial_metadata_count; i++) {
        if (!str_eq(a->initial_metadata[i].key, b->initial_metadata[i].key) ||
            !str_eq(a->initial_metadata[i].value, b->initial_metadata[i].value)) {
            return false;
        }
    }
    return true;
}

static bool sink_matches(const struct log_sink *k, const struct log_sink_params *p)
{
    return k->opened > 0 && k->kind == p->kind && k->flush_interval_ms == p->flush_interval_ms &&
           k->buffer_bytes == p->buffer_bytes && str_eq(k->head, p->head) &&
           str_eq(k->stat_prefix, p->stat_prefix) && service_eq(&k->service, p->service);
}

static void service_copy(struct arena *a, const struct grpc_service_config *from,
                         struct grpc_service_config *to)
{
    struct initial_metadata *metadata =
        ARENA_ARRAY(a, struct initial_metadata, from->initial_metadata_count);

    *to = *from;
    to->cluster_name = arena_str(a, from->cluster_name);
    to->authority = arena_str(a, from->authority);
    for (size_t i = 0; i < from->initial_metadata_count; i++) {
        metadata[i].key = arena_str(a, from->initial_metadata[i].key);
        metadata[i].value = arena_str(a, from->initial_metadata[i].value);
    }
    to->initial_metadata = metadata;
}

static void sink_free(struct log_sink *k)
{
    list_remove(&k->node);
    arena_done(&k->arena);
    free(k);
}

/* Those that nobody logs to any more. */
static void sinks_reap(struct log_sinks *l)
{
    struct list *next;

    for (struct list *n = l->sinks.next; n != &l->sinks; n = next) {
        struct log_sink *k = container_of(n, struct log_sink, node);

        next = n->next;
        if (k->opened == 0 && atomic_load_explicit(&k->stream_count, memory_order_acquire) == 0) {
            sink_free(k);
        }
    }
}

static struct stat_scope *sinks_scope(struct log_sinks *l, struct stat_store *stats,
                                      enum log_sink_kind kind, struct str prefix)
{
    struct log_scope *s = xcalloc(1, sizeof(*s));

    s->scope = stat_scope_ref(stats, &(struct stat_scope_spec){
                                         .prefix = prefix,
                                         .tagged_prefix = prefix,
                                         .schema = kind == LOG_SINK_OPEN_TELEMETRY
                                                       ? &call_sink_stat_schema
                                                       : &stream_sink_stat_schema,
                                     });
    list_add_tail(&l->scopes, &s->node);
    return s->scope;
}

struct log_sink *log_sink_open(struct access_log_hub *hub, struct stat_store *stats,
                               const struct log_sink_params *p)
{
    struct log_sinks *l = access_log_hub_sinks(hub);
    struct log_sink *k;

    list_for_each (k, &l->sinks, struct log_sink, node) {
        if (sink_matches(k, p)) {
            k->opened++;
            return k;
        }
    }
    sinks_reap(l);
    k = xcalloc(1, sizeof(*k));
    arena_init(&k->arena, NULL);
    k->sinks = l;
    k->kind = p->kind;
    k->flush_interval_ms = p->flush_interval_ms;
    k->buffer_bytes = p->buffer_bytes;
    k->head = arena_str(&k->arena, p->head);
    k->stat_prefix = arena_str(&k->arena, p->stat_prefix);
    service_copy(&k->arena, p->service, &k->service);
    if (stats != NULL) {
        k->scope = sinks_scope(l, stats, p->kind, k->stat_prefix);
    }
    k->opened = 1;
    list_add_tail(&l->sinks, &k->node);
    return k;
}

void log_sink_close(struct log_sink *k)
{
    if (k == NULL) {
        return;
    }
    CHECK(k->opened > 0);
    k->opened--;
    if (k->opened == 0) {
        atomic_store_explicit(&k->is_closed, true, memory_order_release);
        sinks_reap(k->sinks);
    }
}

/* --- the hub's side ----------------------------------------------------------------------- */

void log_sinks_init(struct log_sinks *l)
{
    list_init(&l->sinks);
    list_init(&l->scopes);
}

void log_sinks_stop_thread(struct log_sinks *l, struct thread_context *t)
{
    struct log_sink *k;

    l->is_stopped[thread_index(t)] = true;
    list_for_each (k, &l->sinks, struct log_sink, node) {
        if (k->streams[thread_index(t)] != NULL) {
            stream_free(k->streams[thread_index(t)]);
        }
    }
}

void log_sinks_done(struct log_sinks *l)
{
    struct log_scope *s;

    sinks_reap(l);
    CHECK(list_is_empty(&l->sinks)); /* no logger is left */
    while ((s = list_first(&l->scopes, struct log_scope, node)) != NULL) {
        list_remove(&s->node);
        stat_scope_unref(s->scope);
        free(s);
    }
}
