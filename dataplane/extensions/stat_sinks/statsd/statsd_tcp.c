/*
 * One connection to a statsd server behind a cluster, opened when there is something to send and
 * again at the next flush after it broke. Main thread.
 */

#include "dataplane/extensions/stat_sinks/statsd/statsd_tcp.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/upstream.h"

#define WAITING_BYTES_MAX ((size_t)16 * 1024 * 1024) /* as Envoy's: a server that takes nothing */

struct statsd_tcp {
    struct thread_context *thread;
    struct str cluster_name;
    struct pool_request request;
    struct codec_stream *stream; /* NULL: no connection */
    struct buf first;            /* for the connection that is being made */
    bool is_connecting;
};

static void on_data(void *user, struct buf *data, bool end_stream)
{
    struct statsd_tcp *s = user;

    buf_reset(data); /* a statsd server has nothing to say */
    if (end_stream) {
        s->stream->ops->reset(s->stream, RESET_LOCAL);
        s->stream = NULL;
    }
}

static void on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    (void)reason;
    (void)details;
    ((struct statsd_tcp *)user)->stream = NULL;
}

static void on_watermark(void *user, bool is_above)
{
    (void)user;
    (void)is_above; /* bounded by WAITING_BYTES_MAX */
}

static const struct codec_stream_callbacks stream_callbacks = {
    .on_data = on_data,
    .on_reset = on_reset,
    .on_watermark = on_watermark,
};

static void on_ready(struct pool_request *rq)
{
    struct statsd_tcp *s = rq->user;

    s->is_connecting = false;
    s->stream = pool_request_open_stream(rq, &stream_callbacks, s, NULL, NULL);
    s->stream->ops->encode_data(s->stream, &s->first, false);
}

static void on_failure(struct pool_request *rq, enum pool_failure f, struct str transport_reason)
{
    struct statsd_tcp *s = rq->user;

    (void)f;
    (void)transport_reason;
    s->is_connecting = false;
    buf_reset(&s->first);
}

static const struct pool_request_ops request_ops = {
    .on_ready = on_ready,
    .on_failure = on_failure,
};

static void connect_to(struct statsd_tcp *s, struct str lines)
{
    struct cluster *c = cluster_manager_find(s->thread->clusters, s->cluster_name);
    struct lb_context any = {.has_hash = false};
    struct host *h = c != NULL ? cluster_pick(c, &any) : NULL;

    if (h == NULL) {
        return;
    }
    buf_add_str(&s->first, lines);
    s->is_connecting = true;
    cluster_request_stream(c, h, PRIORITY_DEFAULT, POOL_TCP, NULL, &request_ops, s, &s->request);
    host_unref(h);
}

void statsd_tcp_send(struct statsd_tcp *s, struct str lines)
{
    struct buf b;

    if (lines.len == 0 || s->is_connecting) {
        return;
    }
    if (s->stream == NULL) {
        connect_to(s, lines);
        return;
    }
    if (conn_unwritten(pool_request_conn(&s->request)) > WAITING_BYTES_MAX) {
        s->stream->ops->reset(s->stream, RESET_LOCAL);
        s->stream = NULL;
        return;
    }
    buf_init(&b, &s->thread->loop->bufs);
    buf_add_str(&b, lines);
    s->stream->ops->encode_data(s->stream, &b, false);
    buf_reset(&b);
}

struct statsd_tcp *statsd_tcp_new(struct thread_context *t, struct str cluster_name)
{
    struct statsd_tcp *s = xcalloc(1, sizeof(*s));

    s->thread = t;
    s->cluster_name = cluster_name;
    buf_init(&s->first, &t->loop->bufs);
    return s;
}

void statsd_tcp_free(struct statsd_tcp *s)
{
    if (s == NULL) {
        return;
    }
    if (s->is_connecting) {
        pool_request_cancel(&s->request);
    }
    if (s->stream != NULL) {
        s->stream->ops->reset(s->stream, RESET_LOCAL);
    }
    buf_reset(&s->first);
    free(s);
}
