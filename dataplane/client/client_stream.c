/*
 * One request of ours to a cluster. Its loop's thread.
 *
 * The order of things is the router's: cluster, host, pool, stream. Failures that are found inside
 * one of our own functions are told from a task at the end of the turn, so that no caller has to
 * reckon with its call being answered before it returns.
 */

#include "dataplane/client/client_stream.h"

#include "dataplane/base/clock.h"
#include "dataplane/net/transport_socket.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/upstream/circuit_breaker.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/request_transport.h"

#define NS_PER_MS 1000000u
#define KEPT_BYTES_MAX (64 * 1024)
#define HELD_LIMIT_DEFAULT (1024 * 1024) /* per_connection_buffer_limit_bytes when unset */

static struct loop *stream_loop(const struct client_stream *s)
{
    return s->thread->loop;
}

static void stream_charge_code(struct client_stream *s, unsigned status)
{
    if (s->cluster != NULL) {
        cluster_stats_charge_code(cluster_stats(s->cluster), status, s->is_internal,
                                  s->host != NULL && s->host->is_canary);
    }
}

static void stream_charge_host(struct client_stream *s, bool is_error)
{
    s->is_host_charged = true;
    host_stat_add(s->host, is_error ? HOST_RQ_ERROR : HOST_RQ_SUCCESS, 1);
}

/* --- The end -------------------------------------------------------------------------------------
 */

static void stream_release_retry(struct client_stream *s)
{
    if (s->holds_retry) {
        s->holds_retry = false;
        breaker_release(&s->cluster->breakers[PRIORITY_DEFAULT], BREAKER_RETRIES);
    }
}

/* Nothing is open towards the upstream any more. */
static void stream_finish(struct client_stream *s)
{
    struct host *host = s->host;
    struct cluster *cluster = s->cluster;

    CHECK(s->upstream == NULL);
    stream_release_retry(s);
    s->state = CLIENT_STREAM_OVER;
    s->host = NULL;
    s->cluster = NULL;
    timer_cancel(stream_loop(s), &s->timer);
    loop_task_cancel(&s->task);
    buf_reset(&s->held);
    buf_reset(&s->kept);
    host_unref(host);
    cluster_unref(cluster);
}

static void stream_tell_failure(struct client_stream *s)
{
    stream_finish(s);
    s->ops->on_failure(s, &s->failure);
}

/* Nothing is open: `s` may be gone afterwards. */
static void stream_fail(struct client_stream *s, enum client_failure_kind kind, int status,
                        struct str body, struct str details)
{
    s->failure = (struct client_failure){
        .kind = kind,
        .http_status = status,
        .body = body,
        .details = details,
        .is_response_started = s->is_response_started,
    };
    s->state = CLIENT_STREAM_FAILED;
    timer_cancel(stream_loop(s), &s->timer);
    if (!s->is_response_started && kind != CLIENT_NO_CLUSTER) {
        stream_charge_code(s, (unsigned)status);
    }
    if (s->nesting > 0) {
        loop_task_schedule(stream_loop(s), &s->task);
    } else {
        stream_tell_failure(s);
    }
}

static void stream_fail_reset(struct client_stream *s, enum client_failure_kind kind,
                              enum stream_reset_reason reason, struct str transport)
{
    const char *name = stream_reset_reason_name(reason);
    int status = reason == RESET_PROTOCOL_ERROR ? 502 : 503;

    if (!s->is_host_charged) {
        stream_charge_host(s, true);
    }
    stream_fail(s, kind, status,
                arena_printf(s->arena,
                             "upstream connect error or disconnect/reset before headers. reset "
                             "reason: %s",
                             name),
                stream_reset_details(reason, s->is_response_started, transport, s->arena));
}

static void stream_close_upstream(struct client_stream *s)
{
    struct codec_stream *upstream = s->upstream;

    if (s->state == CLIENT_STREAM_WAITING) {
        pool_request_cancel(&s->pool_request);
    }
    if (upstream != NULL) {
        s->upstream = NULL;
        upstream->ops->reset(upstream, RESET_LOCAL);
    }
}

static void stream_on_timeout(struct timer *t)
{
    struct client_stream *s = container_of(t, struct client_stream, timer);

    stat_inc(cluster_stats(s->cluster), CLUSTER_UPSTREAM_RQ_TIMEOUT);
    host_stat_add(s->host, HOST_RQ_TIMEOUT, 1);
    stream_close_upstream(s);
    stream_fail(s, CLIENT_TIMEOUT, 504, STR("upstream request timeout"), STR("response_timeout"));
}

void client_stream_cancel(struct client_stream *s)
{
    if (s->state == CLIENT_STREAM_OVER) {
        return;
    }
    stream_close_upstream(s);
    stream_finish(s);
}

/* --- The response --------------------------------------------------------------------------------
 */

static unsigned stream_status(const struct client_stream *s)
{
    uint64_t status;

    return parse_u64(header_get(&s->response, HDR_STATUS), &status) == 0 && status <= 999
               ? (unsigned)status
               : 0;
}

/* As Envoy: with gRPC a host has done well when its grpc-status says so. */
static void stream_charge_grpc(struct client_stream *s, const struct header_map *trailers)
{
    uint64_t status;

    stream_charge_host(s, !grpc_status_of(trailers, &status) ||
                              grpc_status_to_http(status) / 100 == 5);
}

static void stream_charge_response(struct client_stream *s, bool end_stream)
{
    unsigned status = stream_status(s);

    stream_charge_code(s, status);
    if (status / 100 == 5 || !s->is_grpc) {
        stream_charge_host(s, status / 100 == 5);
    } else if (end_stream) {
        stream_charge_grpc(s, &s->response);
    }
}

/* The response is whole, about to be passed on. */
static void stream_complete(struct client_stream *s)
{
    if (s->sent_ns != 0) {
        cluster_stats_charge_time(cluster_stats(s->cluster),
                                  (clock_mono_ns() - s->sent_ns) / NS_PER_MS, s->is_internal,
                                  s->host->is_canary);
    }
    s->upstream = NULL;
    stream_finish(s);
}

static void stream_on_headers(void *user, bool end_stream)
{
    struct client_stream *s = user;

    s->is_response_started = true;
    s->is_kept_whole = false;
    buf_reset(&s->kept);
    if (s->holds_retry) {
        stat_inc(cluster_stats(s->cluster), CLUSTER_UPSTREAM_RQ_RETRY_SUCCESS);
        stream_release_retry(s);
    }
    stream_charge_response(s, end_stream);
    if (end_stream) {
        stream_complete(s);
    }
    s->ops->on_headers(s, end_stream);
}

static void stream_on_1xx(void *user, struct header_map *headers)
{
    (void)user;
    (void)headers; /* nobody here waits for one */
}

static void stream_on_data(void *user, struct buf *data, bool end_stream)
{
    struct client_stream *s = user;

    if (end_stream) {
        stream_complete(s);
    }
    s->ops->on_data(s, data, end_stream);
}

static void stream_on_trailers(void *user, struct header_map *trailers)
{
    struct client_stream *s = user;

    if (!s->is_host_charged) {
        stream_charge_grpc(s, trailers);
    }
    stream_complete(s);
    s->ops->on_trailers(s, trailers);
}

/* Nobody has looked at the request: it may go again, to whichever host, as the router's would. */
static bool stream_may_go_again(struct client_stream *s, enum stream_reset_reason reason)
{
    struct stat_block *stats = cluster_stats(s->cluster);

    if (reason != RESET_REMOTE_REFUSED || !s->is_kept_whole ||
        !runtime_replays_unprocessed_streams(s->thread)) {
        return false;
    }
    if (s->is_again) {
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED);
        return false;
    }
    if (!breaker_try_acquire(&s->cluster->breakers[PRIORITY_DEFAULT], BREAKER_RETRIES,
                             cluster_limit(s->cluster, PRIORITY_DEFAULT, BREAKER_RETRIES))) {
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_RETRY_OVERFLOW);
        return false;
    }
    stat_inc(stats, CLUSTER_UPSTREAM_RQ_RETRY);
    s->is_again = true;
    s->holds_retry = true;
    return true;
}

static void stream_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct client_stream *s = user;

    (void)details; /* of the codec; what Envoy shows is the reason */
    s->upstream = NULL;
    if (stream_may_go_again(s, reason)) {
        s->state = CLIENT_STREAM_REFUSED;
        buf_move(&s->held, &s->kept);
        loop_task_schedule(stream_loop(s), &s->task);
        return;
    }
    stream_fail_reset(s, CLIENT_RESET, reason, STR_NONE);
}

/* Told when the sum of both causes changes. */
static void stream_watermark_changed(struct client_stream *s, bool was_above)
{
    bool is_above = client_stream_is_above(s);

    if (is_above != was_above && s->ops->on_watermark != NULL) {
        s->ops->on_watermark(s, is_above);
    }
}

static void stream_on_watermark(void *user, bool is_above)
{
    struct client_stream *s = user;
    bool was_above = client_stream_is_above(s);

    s->is_codec_above = is_above;
    stream_watermark_changed(s, was_above);
}

static const struct codec_stream_callbacks stream_callbacks = {
    .on_headers = stream_on_headers,
    .on_1xx = stream_on_1xx,
    .on_data = stream_on_data,
    .on_trailers = stream_on_trailers,
    .on_reset = stream_on_reset,
    .on_watermark = stream_on_watermark,
};

/* --- The request ---------------------------------------------------------------------------------
 */

static void stream_request_sent(struct client_stream *s)
{
    if (s->has_end) {
        s->sent_ns = clock_mono_ns();
    }
}

static void stream_keep(struct client_stream *s, const struct buf *data)
{
    if (!s->is_kept_whole) {
        return;
    }
    if (buf_len(data) > KEPT_BYTES_MAX - buf_len(&s->kept)) {
        s->is_kept_whole = false;
        buf_reset(&s->kept);
        return;
    }
    buf_share(&s->kept, data);
}

static void stream_send_held(struct client_stream *s)
{
    bool was_above = client_stream_is_above(s);

    s->is_held_above = false;
    stream_keep(s, &s->held);
    s->upstream->ops->encode_data(s->upstream, &s->held, s->has_end);
    if (s->state == CLIENT_STREAM_OPEN) {
        stream_watermark_changed(s, was_above);
    }
}

static void stream_apply_pause(struct client_stream *s)
{
    stat_inc(cluster_stats(s->cluster), s->is_paused
                                            ? CLUSTER_UPSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL
                                            : CLUSTER_UPSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL);
    s->upstream->ops->read_disable(s->upstream, s->is_paused);
}

static void stream_on_ready(struct pool_request *rq)
{
    struct client_stream *s = rq->user;
    bool is_head_all = s->has_end && buf_len(&s->held) == 0;

    s->state = CLIENT_STREAM_OPEN;
    s->upstream = pool_request_open_stream(rq, &stream_callbacks, s, s->arena, &s->response);
    s->nesting++;
    s->upstream->ops->encode_headers(s->upstream, &s->request, is_head_all);
    if (s->state == CLIENT_STREAM_OPEN) {
        stream_request_sent(s);
        if (s->is_paused) {
            stream_apply_pause(s);
        }
    }
    if (s->state == CLIENT_STREAM_OPEN && buf_len(&s->held) > 0) {
        stream_send_held(s);
    }
    s->nesting--;
}

static void stream_on_pool_failure(struct pool_request *rq, enum pool_failure f,
                                   struct str transport)
{
    struct client_stream *s = rq->user;
    enum stream_reset_reason reason = pool_failure_reset_reason(f);

    s->state = CLIENT_STREAM_IDLE;
    stream_fail_reset(s, reason == RESET_OVERFLOW ? CLIENT_OVERFLOW : CLIENT_CONNECT_FAILURE,
                      reason, transport);
}

static const struct pool_request_ops stream_pool_ops = {
    .on_ready = stream_on_ready,
    .on_failure = stream_on_pool_failure,
};

static struct cluster *find_cluster(struct thread_context *t, const struct client_cluster *c)
{
    return c->slot != SLOT_NONE ? cluster_manager_get(t->clusters, c->slot)
                                : cluster_manager_find(t->clusters, c->name);
}

struct str client_stream_scheme(struct thread_context *t, const struct client_cluster *c)
{
    const struct cluster *cluster = find_cluster(t, c);
    const struct cluster_config *config = cluster != NULL ? cluster_config_of(cluster) : NULL;

    return config != NULL &&
                   transport_is_secure((const struct transport_socket *)config->transport_socket,
                                       config->transport_socket_config)
               ? STR("https")
               : STR("http");
}

void client_stream_add_envoy_headers(struct client_stream *s, struct str forwarded_for)
{
    s->is_internal = true;
    header_set(&s->request, HDR_X_ENVOY_INTERNAL, STR("true"));
    if (forwarded_for.len > 0) {
        header_append_value(&s->request, HDR_X_FORWARDED_FOR, arena_str(s->arena, forwarded_for));
    }
}

/* As the router: also without the other headers of Envoy's. */
static void stream_add_timeout(struct client_stream *s, uint64_t timeout_ms)
{
    char *digits = arena_alloc(s->arena, U64_DIGITS);

    header_set(&s->request, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
               str_n(digits, format_u64(timeout_ms, digits)));
    timer_arm(stream_loop(s), &s->timer, timeout_ms);
}

/* auto_sni and its like, by the request's head. */
static const struct transport_options *stream_transport_options(struct client_stream *s)
{
    struct str name = request_transport_name_header(s->cluster, &s->request);

    return request_transport_options(
        s->cluster, name.len > 0 ? name : header_get(&s->request, HDR_AUTHORITY), NULL, s->arena);
}

/* Picks the host and asks for a connection to it. */
static void stream_find_host(struct client_stream *s)
{
    struct lb_context lb = {.priority = PRIORITY_DEFAULT};

    s->host = cluster_pick(s->cluster, &lb);
    if (s->host == NULL) {
        s->state = CLIENT_STREAM_IDLE;
        stream_fail(s, CLIENT_NO_HOST, 503, STR("no healthy upstream"), STR("no_healthy_upstream"));
        return;
    }
    s->state = CLIENT_STREAM_WAITING;
    /* As for any request that did not come in from a client: HTTP/1.1 where the cluster goes by
     * the client's protocol. */
    cluster_request_stream(s->cluster, s->host, PRIORITY_DEFAULT,
                           cluster_pool_protocol(s->cluster, HTTP_11), stream_transport_options(s),
                           &stream_pool_ops, s, &s->pool_request);
}

static void stream_go_again(struct client_stream *s)
{
    bool was_above = client_stream_is_above(s);

    s->is_codec_above = false;
    stream_watermark_changed(s, was_above);
    if (s->state != CLIENT_STREAM_REFUSED) {
        return; /* cancelled just now */
    }
    host_unref(s->host);
    s->host = NULL;
    s->sent_ns = 0;
    header_map_init(&s->response, s->arena);
    stream_find_host(s);
}

static void stream_on_task(struct loop_task *t)
{
    struct client_stream *s = container_of(t, struct client_stream, task);

    if (s->state == CLIENT_STREAM_REFUSED) {
        s->nesting++; /* should it fail at once, that is told in the next round of tasks */
        stream_go_again(s);
        s->nesting--;
    } else {
        stream_tell_failure(s);
    }
}

void client_stream_init(struct client_stream *s, struct thread_context *t, struct arena *arena,
                        const struct client_stream_ops *ops)
{
    *s = (struct client_stream){.ops = ops, .thread = t, .arena = arena, .is_kept_whole = true};
    header_map_init(&s->request, arena);
    header_map_init(&s->response, arena);
    buf_init(&s->held, &t->loop->bufs);
    buf_init(&s->kept, &t->loop->bufs);
    timer_init(&s->timer, stream_on_timeout);
    loop_task_init(&s->task, stream_on_task);
}

void client_stream_start(struct client_stream *s, const struct client_cluster *c,
                         uint64_t timeout_ms, bool end_stream)
{
    CHECK(s->state == CLIENT_STREAM_IDLE);
    s->has_end = end_stream;
    s->cluster = find_cluster(s->thread, c);
    s->nesting++;
    if (s->cluster == NULL) {
        stream_fail(s, CLIENT_NO_CLUSTER, 503, STR(""), STR("cluster_not_found"));
    } else {
        cluster_ref(s->cluster);
        if (timeout_ms > 0) {
            stream_add_timeout(s, timeout_ms);
        }
        stream_find_host(s);
    }
    s->nesting--;
}

/* There is no connection yet. */
static void stream_hold(struct client_stream *s, struct buf *take_data)
{
    uint32_t limit = cluster_config_of(s->cluster)->per_connection_buffer_limit_bytes;
    bool was_above = client_stream_is_above(s);

    buf_move(&s->held, take_data);
    s->is_held_above = buf_len(&s->held) > (limit > 0 ? limit : HELD_LIMIT_DEFAULT);
    stream_watermark_changed(s, was_above);
}

void client_stream_send(struct client_stream *s, struct buf *take_data, bool end_stream)
{
    bool is_open = s->state == CLIENT_STREAM_OPEN;

    if (s->has_end ||
        (!is_open && s->state != CLIENT_STREAM_WAITING && s->state != CLIENT_STREAM_REFUSED)) {
        buf_reset(take_data);
        return;
    }
    s->has_end = end_stream;
    s->nesting++;
    if (!is_open) {
        stream_hold(s, take_data);
    } else {
        stream_request_sent(s);
        stream_keep(s, take_data);
        s->upstream->ops->encode_data(s->upstream, take_data, end_stream);
    }
    s->nesting--;
}

void client_stream_pause(struct client_stream *s, bool is_paused)
{
    if (s->is_paused == is_paused) {
        return;
    }
    s->is_paused = is_paused;
    if (s->upstream != NULL) {
        s->nesting++;
        stream_apply_pause(s);
        s->nesting--;
    }
}
