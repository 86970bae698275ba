/* When a stream is told to the access logs: as it comes, in between, as its tunnel stands, and when
 * it is over. The stream's thread; what is written is the loggers' business. */

#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/stream_internal.h"

struct stream_log_timer {
    struct timer timer;
    struct http_stream *stream;
};

static void stream_take_codec_counts(struct http_stream *s)
{
    if (s->codec != NULL) {
        s->info.wire_bytes_received = s->codec->wire_bytes_in;
        s->info.wire_bytes_sent = s->codec->wire_bytes_out;
        s->info.header_bytes_received = s->codec->header_bytes_in;
        s->info.header_bytes_sent = s->codec->header_bytes_out;
    }
}

void stream_log(struct http_stream *s, enum access_log_type type)
{
    const struct http_conn_manager_config *c = s->cm->config;
    struct access_log_entry entry = stream_log_entry(s);

    if (c->access_logs.count > 0) {
        stream_take_codec_counts(s);
        entry.type = type;
        access_logs_write(&c->access_logs, s->cm->thread, &entry);
    }
}

static void stream_on_log_timer(struct timer *t)
{
    struct stream_log_timer *l = container_of(t, struct stream_log_timer, timer);
    struct http_stream *s = l->stream;

    stream_log(s, ACCESS_LOG_DOWNSTREAM_PERIODIC);
    timer_arm(stream_loop(s), &l->timer, s->cm->config->log_interval_ms);
}

/* As Envoy: the log names the route's cluster before there is a router. */
static void stream_log_new(struct http_stream *s)
{
    const struct route *r = s->match.route;
    bool has_cluster = r != NULL && r->action == ROUTE_FORWARD;

    if (has_cluster) {
        s->info.upstream_cluster = r->forward.cluster_name;
        s->info.upstream_cluster_raw = r->forward.cluster_name;
    }
    stream_log(s, ACCESS_LOG_DOWNSTREAM_START);
    if (has_cluster) {
        s->info.upstream_cluster = STR_NONE;
        s->info.upstream_cluster_raw = STR_NONE;
    }
}

void stream_log_start(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;

    if (c->logs_new_requests) {
        stream_log_new(s);
    }
    if (c->log_interval_ms > 0) {
        s->log_timer = ARENA_NEW(&s->arena, struct stream_log_timer);
        s->log_timer->stream = s;
        timer_init(&s->log_timer->timer, stream_on_log_timer);
        timer_arm(stream_loop(s), &s->log_timer->timer, c->log_interval_ms);
    }
}

void stream_log_stop(struct http_stream *s)
{
    stream_take_codec_counts(s);
    if (s->log_timer != NULL) {
        timer_cancel(stream_loop(s), &s->log_timer->timer);
    }
}
