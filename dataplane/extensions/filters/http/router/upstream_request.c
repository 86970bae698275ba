/*
 * One attempt at a request, towards one host: the wait for a connection, the request out, the
 * response back, and what each kind of failure means. A worker's thread.
 *
 * After a call that ends the client's stream (an answer, the last of a response) the router may be
 * gone: such calls come last.
 */

#include "dataplane/extensions/filters/http/router/router.h"

#include "dataplane/base/clock.h"
#include "dataplane/net/connection.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/host.h"

#define NS_PER_MS 1000000u

static struct stream_info *request_info(const struct upstream_request *rq)
{
    return http_filter_info(rq->router->filter);
}

static struct arena *request_arena(const struct upstream_request *rq)
{
    return http_filter_arena(rq->router->filter);
}

static struct loop *request_loop(const struct upstream_request *rq)
{
    return router_loop(rq->router);
}

static void request_cancel_timers(struct upstream_request *rq)
{
    timer_cancel(request_loop(rq), &rq->try_timer);
    timer_cancel(request_loop(rq), &rq->duration_timer);
}

/* --- What an attempt took ------------------------------------------------------------------------
 */

static uint32_t header_count(const struct header_map *h)
{
    uint32_t n = 0;

    header_for_each(e, h)
    {
        (void)e;
        n++;
    }
    return n;
}

static void request_note_head(struct upstream_request *rq, const struct header_map *h)
{
    if (NUNCIO_UNLIKELY(cluster_config_of(rq->router->cluster)->tracks_sizes)) {
        rq->response_head_bytes += h->byte_size;
        rq->response_head_count += header_count(h);
    }
}

static void request_record_sizes(const struct upstream_request *rq, struct stat_block *b)
{
    const struct header_map *h = http_filter_request_headers(rq->router->filter);

    stat_record(b, CLUSTER_RQ_HEADERS_SIZE, h->byte_size);
    stat_record(b, CLUSTER_RQ_HEADERS_COUNT, header_count(h));
    stat_record(b, CLUSTER_RQ_BODY_SIZE, rq->bytes_sent);
    if (rq->response_head_count > 0) {
        stat_record(b, CLUSTER_RS_HEADERS_SIZE, rq->response_head_bytes);
        stat_record(b, CLUSTER_RS_HEADERS_COUNT, rq->response_head_count);
        stat_record(b, CLUSTER_RS_BODY_SIZE, rq->bytes_received);
    }
}

/* The attempt is over, and its stream, if it has got one, not let go yet. */
static void request_end(struct upstream_request *rq)
{
    struct router *r = rq->router;
    struct stat_block *sizes = cluster_size_stats(r->cluster);
    struct stat_block *budgets = cluster_budget_stats(r->cluster);

    if (NUNCIO_UNLIKELY(sizes != NULL)) {
        request_record_sizes(rq, sizes);
    }
    if (NUNCIO_UNLIKELY(budgets != NULL && !rq->is_timed_out)) { /* as Envoy */
        uint64_t ms = (clock_mono_ns() - request_info(rq)->upstream_request_ns) / NS_PER_MS;

        cluster_stats_charge_budget(budgets, CLUSTER_BUDGET_PER_TRY_USED, ms,
                                    r->timeouts.per_try_ms);
    }
    upstream_log_end(rq->log);
}

/* --- Failures ------------------------------------------------------------------------------------
 */

static enum response_flag flag_of_reset(enum stream_reset_reason reason)
{
    switch (reason) {
    case RESET_LOCAL:
    case RESET_NO_ERROR:
        return FLAG_LOCAL_RESET;
    case RESET_REMOTE:
    case RESET_REMOTE_REFUSED:
    case RESET_CONNECT_ERROR:
        return FLAG_UPSTREAM_REMOTE_RESET;
    case RESET_LOCAL_CONNECTION_FAILURE:
    case RESET_REMOTE_CONNECTION_FAILURE:
    case RESET_CONNECTION_TIMEOUT:
        return FLAG_UPSTREAM_CONNECTION_FAILURE;
    case RESET_CONNECTION_TERMINATION:
        return FLAG_UPSTREAM_CONNECTION_TERMINATION;
    case RESET_OVERFLOW:
        return FLAG_UPSTREAM_OVERFLOW;
    case RESET_PROTOCOL_ERROR:
        return FLAG_UPSTREAM_PROTOCOL_ERROR;
    }
    return FLAG_LOCAL_RESET;
}

static void request_log_reset(struct upstream_request *rq, enum stream_reset_reason reason)
{
    if (reason != RESET_NO_ERROR) {
        upstream_log_flag(rq->log, flag_of_reset(reason));
    }
}

static struct str reset_body(const struct upstream_request *rq, enum stream_reset_reason reason)
{
    return arena_printf(request_arena(rq),
                        "upstream connect error or disconnect/reset before headers. %sreset "
                        "reason: %s",
                        rq->router->is_retry ? "retried and the latest " : "",
                        stream_reset_reason_name(reason));
}

/* RFC 9110, 9.2.2. */
static bool request_is_idempotent(const struct upstream_request *rq)
{
    static const struct str methods[] = {{"GET", 3},   {"HEAD", 4}, {"OPTIONS", 7},
                                         {"TRACE", 5}, {"PUT", 3},  {"DELETE", 6}};
    struct str method = header_get(http_filter_request_headers(rq->router->filter), HDR_METHOD);

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (str_eq(method, methods[i])) {
            return true;
        }
    }
    return false;
}

/* Whether it would be repeated if its connection turned out to be closed already. */
static bool request_may_race(const struct upstream_request *rq)
{
    return rq->protocol == POOL_HTTP1 && rq->is_kept_connection &&
           retry_state_allows(&rq->router->retry, REPLAY_RACED) &&
           (pool_request_conn(&rq->pool_request)->bytes_written == rq->written_before ||
            request_is_idempotent(rq));
}

/* Its stream has been reset, and was not let go yet. */
static enum replay_cause request_replay_cause(const struct upstream_request *rq,
                                              enum stream_reset_reason reason)
{
    if (reason == RESET_REMOTE_REFUSED) {
        return REPLAY_UNPROCESSED;
    }
    return reason == RESET_CONNECTION_TERMINATION && request_may_race(rq) &&
                   pool_request_conn(&rq->pool_request)->bytes_read == rq->read_before
               ? REPLAY_RACED
               : REPLAY_NOT;
}

/* The upstream side is over; nothing is open there any more. */
static void request_failed(struct upstream_request *rq, enum stream_reset_reason reason,
                           enum replay_cause cause, struct str transport)
{
    struct router *r = rq->router;
    int status = reason == RESET_PROTOCOL_ERROR ? 502 : 503;

    request_cancel_timers(rq);
    if (router_try_again(r, cause)) {
        if (rq->is_host_charged) {
            host_stat_add(rq->host, HOST_RQ_ERROR, 1);
        }
        return;
    }
    router_charge_abort(r, (unsigned)status);
    router_abort(
        r, status, reset_body(rq, reason), reason == RESET_OVERFLOW, flag_of_reset(reason),
        stream_reset_details(reason, r->is_response_started, transport, request_arena(rq)));
}

/* --- Time is up ----------------------------------------------------------------------------------
 */

static void request_on_try_timeout(struct timer *t)
{
    struct upstream_request *rq = container_of(t, struct upstream_request, try_timer);
    struct router *r = rq->router;
    int status = r->timeouts.status;

    if (r->is_response_started) {
        return; /* as Envoy: then the whole request's time counts alone */
    }
    stat_inc(cluster_stats(r->cluster), CLUSTER_UPSTREAM_RQ_PER_TRY_TIMEOUT);
    host_stat_add(rq->host, HOST_RQ_TIMEOUT, 1);
    router_charge_abort(r, (unsigned)status);
    router_record_budget(r, clock_mono_ns());
    upstream_log_flag(rq->log, FLAG_UPSTREAM_REQUEST_TIMEOUT);
    upstream_request_reset(rq);
    router_abort(r, status, status == 504 ? STR("upstream request timeout") : STR(""), false,
                 FLAG_UPSTREAM_REQUEST_TIMEOUT, STR("upstream_per_try_timeout"));
}

static void request_on_max_duration(struct timer *t)
{
    struct upstream_request *rq = container_of(t, struct upstream_request, duration_timer);
    struct router *r = rq->router;

    stat_inc(cluster_stats(r->cluster), CLUSTER_UPSTREAM_RQ_MAX_DURATION_REACHED);
    upstream_request_reset(rq);
    router_abort(
        r, r->request_done_ns != 0 ? 504 : 408, STR("upstream max stream duration reached"), false,
        FLAG_UPSTREAM_MAX_STREAM_DURATION_REACHED, STR("upstream_max_stream_duration_reached"));
}

static void request_arm_try_timer(struct upstream_request *rq)
{
    if (rq->router->timeouts.per_try_ms > 0) {
        timer_arm(request_loop(rq), &rq->try_timer, rq->router->timeouts.per_try_ms);
    }
}

/* --- The body that is kept -----------------------------------------------------------------------
 */

static void router_forget_body(struct router *r)
{
    buf_reset(&r->body);
    r->is_body_whole = false;
}

/* There is nobody to send it to yet. */
static void request_hold(struct router *r, struct buf *take_data)
{
    buf_move(&r->body, take_data);
    if (buf_len(&r->body) > http_filter_buffer_limit(r->filter)) {
        router_read_disable(r, true);
    }
}

/* Whether what is sent may have to be sent again, and is not too much for that. HTTP/1 does not say
 * what it did not process, but its connections close when they like. */
static bool request_may_be_repeated(const struct upstream_request *rq, size_t body_bytes)
{
    const struct router *r = rq->router;

    return r->is_body_whole && !r->is_response_started &&
           body_bytes <= http_filter_repeat_limit(r->filter) &&
           (rq->protocol == POOL_HTTP2 ? retry_state_allows(&r->retry, REPLAY_UNPROCESSED)
                                       : request_may_race(rq));
}

/* `data` is about to be sent. */
static void request_keep(struct upstream_request *rq, const struct buf *data)
{
    struct router *r = rq->router;

    if (!r->is_body_whole || buf_len(data) == 0) {
        return;
    }
    if (request_may_be_repeated(rq, buf_len(&r->body) + buf_len(data))) {
        buf_share(&r->body, data);
    } else {
        router_forget_body(r);
    }
}

/* --- The response --------------------------------------------------------------------------------
 */

/* The open stream is over: what it counted goes to the log. */
static void request_detach(struct upstream_request *rq)
{
    struct stream_info *info = request_info(rq);

    request_cancel_timers(rq);
    request_end(rq);
    info->upstream_wire_bytes_received += rq->stream->wire_bytes_in;
    info->upstream_wire_bytes_sent += rq->stream->wire_bytes_out;
    info->upstream_header_bytes_received += rq->stream->header_bytes_in;
    info->upstream_header_bytes_sent += rq->stream->header_bytes_out;
    rq->stream = NULL;
    router_read_disable(rq->router, false);
}

/* The response is complete, about to be passed on. */
static void request_complete(struct upstream_request *rq)
{
    struct router *r = rq->router;
    struct stream_info *info = request_info(rq);
    struct codec_stream *stream = rq->stream;

    info->last_upstream_rx_ns = router_now_ns(r, info->first_upstream_rx_ns);
    router_record_budget(r, info->last_upstream_rx_ns);
    if (r->request_done_ns != 0 && r->config->counts_codes && !info->is_health_check) {
        uint64_t ms = (info->last_upstream_rx_ns - r->request_done_ns) / NS_PER_MS;

        cluster_stats_charge_time(cluster_stats(r->cluster), ms, r->is_internal, rq->is_canary);
        route_series_charge_time(&r->series, ms);
    }
    timer_cancel(request_loop(rq), &r->timer);
    request_detach(rq);
    if (rq->protocol == POOL_TCP && !r->has_end_stream) {
        stream->ops->reset(stream, RESET_LOCAL); /* as Envoy: the end of one way is that of both */
    }
}

static int response_status_of(const struct header_map *h)
{
    uint64_t status;

    return parse_u64(header_get(h, HDR_STATUS), &status) == 0 && status <= 999 ? (int)status : 0;
}

/* gRPC says in the last headers how it went; `last` NULL: it does not say. */
static void request_charge_grpc(struct upstream_request *rq, const struct header_map *last)
{
    uint64_t status;
    bool is_good =
        last != NULL && grpc_status_of(last, &status) && grpc_status_to_http(status) / 100 != 5;

    rq->awaits_grpc_status = false;
    host_stat_add(rq->host, is_good ? HOST_RQ_SUCCESS : HOST_RQ_ERROR, 1);
}

/* What the response head says about the host. */
static void request_charge_response(struct upstream_request *rq, bool end_stream)
{
    struct router *r = rq->router;

    rq->is_canary = rq->host->is_canary ||
                    str_eq(header_get(&rq->response, HDR_X_ENVOY_UPSTREAM_CANARY), STR("true"));
    router_charge_code(r, (unsigned)rq->response_status, rq->host);
    if (rq->response_status / 100 == 5) {
        host_stat_add(rq->host, HOST_RQ_ERROR, 1);
    } else if (!r->is_grpc) {
        host_stat_add(rq->host, HOST_RQ_SUCCESS, 1);
    } else if (end_stream) {
        request_charge_grpc(rq, &rq->response);
    } else {
        rq->awaits_grpc_status = true;
    }
}

static void request_add_headers(struct upstream_request *rq)
{
    const struct router *r = rq->router;
    const struct stream_info *info = request_info(rq);

    if (router_includes_attempts(r)) {
        header_set(&rq->response, HDR_X_ENVOY_ATTEMPT_COUNT, router_format(r, info->attempt_count));
    }
    /* Not on an answer that came before the request was complete. */
    if (r->request_done_ns != 0 && !r->config->suppresses_envoy_headers) {
        header_set(&rq->response, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME,
                   router_format(r, (info->first_upstream_rx_ns - r->request_done_ns) / NS_PER_MS));
    }
}

/* From here on there is no other attempt. */
static void request_commit(struct upstream_request *rq)
{
    struct router *r = rq->router;

    if (!r->is_response_started) {
        r->is_response_started = true;
        retry_state_on_response(&r->retry);
        router_forget_body(r);
    }
}

/* An answer to a WebSocket handshake over HTTP/1 that is neither consent nor an error. As Envoy:
 * its head alone is passed on, for a client reads no more of it. */
static bool request_is_failed_handshake(const struct upstream_request *rq)
{
    return rq->router->is_websocket && rq->protocol == POOL_HTTP1 && rq->response_status != 101 &&
           rq->response_status < 400;
}

static void request_drop_body(struct upstream_request *rq)
{
    struct codec_stream *stream = rq->stream;

    (void)header_remove(&rq->response, HDR_CONTENT_LENGTH);
    (void)header_remove(&rq->response, HDR_CONTENT_TYPE);
    request_complete(rq);
    stream->ops->reset(stream, RESET_LOCAL);
}

static void request_on_headers(void *user, bool end_stream)
{
    struct upstream_request *rq = user;
    struct router *r = rq->router;
    struct stream_info *info = request_info(rq);

    bool is_answer_only;

    rq->response_status = response_status_of(&rq->response);
    upstream_log_headers(rq->log, &rq->response);
    request_note_head(rq, &rq->response);
    is_answer_only = request_is_failed_handshake(rq);
    if (r->is_websocket && rq->response_status == 101) {
        timer_cancel(request_loop(rq), &r->timer);
        timer_cancel(request_loop(rq), &rq->try_timer);
    }
    request_commit(rq);
    info->first_upstream_rx_ns = clock_mono_ns();
    request_add_headers(rq);
    request_charge_response(rq, end_stream);
    info->response_code_details =
        is_answer_only ? STR("websocket_handshake_unsuccessful") : STR("via_upstream");
    http_filter_finalize_response(r->filter, &rq->response);
    if (is_answer_only && !end_stream) {
        request_drop_body(rq);
    } else if (end_stream) {
        request_complete(rq);
    }
    http_filter_respond_headers(r->filter, &rq->response, end_stream || is_answer_only);
}

static void request_on_1xx(void *user, struct header_map *headers)
{
    struct upstream_request *rq = user;

    if (!rq->has_charged_1xx) { /* as Envoy: the first alone */
        rq->has_charged_1xx = true;
        router_charge_code(rq->router, (unsigned)response_status_of(headers), rq->host);
    }
    request_note_head(rq, headers);
    request_commit(rq); /* as Envoy: no retries after that */
    http_filter_respond_1xx(rq->router->filter, headers);
}

static void request_on_data(void *user, struct buf *data, bool end_stream)
{
    struct upstream_request *rq = user;
    struct stream_info *info = request_info(rq);

    if (info->first_upstream_body_rx_ns == 0 && buf_len(data) > 0) {
        info->first_upstream_body_rx_ns = router_now_ns(rq->router, info->first_upstream_rx_ns);
    }
    rq->bytes_received += buf_len(data);
    if (end_stream) {
        if (rq->awaits_grpc_status) {
            request_charge_grpc(rq, NULL);
        }
        request_complete(rq);
    }
    http_filter_respond_data(rq->router->filter, data, end_stream);
}

static void request_on_trailers(void *user, struct header_map *trailers)
{
    struct upstream_request *rq = user;

    if (rq->awaits_grpc_status) {
        request_charge_grpc(rq, trailers);
    }
    upstream_log_trailers(rq->log, trailers);
    request_complete(rq);
    http_filter_respond_trailers(rq->router->filter, trailers);
}

static void request_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct upstream_request *rq = user;

    enum replay_cause cause = request_replay_cause(rq, reason);

    (void)details; /* of the codec; what Envoy shows is the reason */
    request_log_reset(rq, reason);
    request_detach(rq);
    request_failed(rq, reason, cause, STR_NONE);
}

static void request_on_watermark(void *user, bool is_above)
{
    struct upstream_request *rq = user;

    rq->is_saturated = is_above;
    router_read_disable(rq->router, is_above);
}

static const struct codec_stream_callbacks request_stream_callbacks = {
    .on_headers = request_on_headers,
    .on_1xx = request_on_1xx,
    .on_data = request_on_data,
    .on_trailers = request_on_trailers,
    .on_reset = request_on_reset,
    .on_watermark = request_on_watermark,
};

/* --- The connection ------------------------------------------------------------------------------
 */

/* As Envoy: while it is being connected, too. */
static void request_show_host(struct upstream_request *rq)
{
    struct stream_info *info = request_info(rq);

    info->upstream_remote = *host_address(rq->host);
    info->is_upstream_connected = false;
    info->upstream_host_name = arena_str(request_arena(rq), host_name(rq->host));
    info->upstream_host_metadata = host_metadata(rq->host);
}

static void request_hide_host(struct upstream_request *rq)
{
    struct stream_info *info = request_info(rq);

    info->upstream_remote.len = 0;
    info->upstream_host_name = STR_NONE;
    info->upstream_host_metadata = NULL;
}

static void request_note_connection(struct upstream_request *rq)
{
    struct stream_info *info = request_info(rq);
    const struct conn *conn = pool_request_conn(&rq->pool_request);
    struct pool_connection_info connection;

    pool_request_connection(&rq->pool_request, &connection);
    info->is_upstream_connected = true;
    info->upstream_local = *connection.local;
    info->upstream_connection_id = connection.connection_id;
    info->upstream_connect_start_ns = connection.connect_start_ns;
    info->upstream_connect_end_ns = connection.connect_end_ns;
    info->upstream_protocol = connection.protocol;
    info->has_upstream_protocol = rq->protocol != POOL_TCP;
    stream_info_set_upstream_tls(info, conn_tls_info(conn));
    rq->is_kept_connection = connection.requests_before > 0;
    rq->read_before = conn->bytes_read;
    rq->written_before = conn->bytes_written;
}

/* What came while there was no connection, or what an attempt before this one was sent. */
static void request_send_held(struct upstream_request *rq)
{
    struct router *r = rq->router;
    bool is_end = r->has_end_stream && r->trailers == NULL;

    if (buf_len(&r->body) > 0 || is_end) {
        struct buf data;

        buf_init(&data, &request_loop(rq)->bufs);
        if (request_may_be_repeated(rq, buf_len(&r->body))) {
            buf_share(&data, &r->body);
        } else {
            buf_move(&data, &r->body);
            r->is_body_whole = false;
        }
        rq->bytes_sent += buf_len(&data);
        rq->stream->ops->encode_data(rq->stream, &data, is_end);
    }
    if (r->trailers != NULL && rq->stream != NULL) {
        rq->stream->ops->encode_trailers(rq->stream, r->trailers);
    }
}

static void request_on_ready(struct pool_request *pool_request)
{
    struct upstream_request *rq = pool_request->user;
    struct router *r = rq->router;
    struct stream_info *info = request_info(rq);
    bool is_head_all = r->has_end_stream && buf_len(&r->body) == 0 && r->trailers == NULL;
    bool is_at_once = r->was_answered != NULL; /* inside decode_headers */

    rq->is_waiting = false;
    rq->protocol = pool_request->protocol;
    route_series_count(&r->series, ROUTE_STAT_RQ_TOTAL);
    rq->is_host_charged = true;
    request_note_connection(rq);
    info->upstream_ready_ns = router_now_ns(r, is_at_once ? info->start_mono_ns : 0);
    upstream_log_connected(rq->log);
    info->first_upstream_tx_ns = info->upstream_ready_ns;
    info->last_upstream_tx_ns = r->has_end_stream ? info->first_upstream_tx_ns : 0;
    if (r->timeouts.max_stream_ms > 0) {
        timer_arm(request_loop(rq), &rq->duration_timer, r->timeouts.max_stream_ms);
    }
    if (r->request_done_ns != 0) {
        request_arm_try_timer(rq);
    }
    header_map_init(&rq->response, request_arena(rq));
    rq->stream = pool_request_open_stream(pool_request, &request_stream_callbacks, rq,
                                          request_arena(rq), &rq->response);
    if (r->is_downstream_saturated) {
        rq->stream->ops->read_disable(rq->stream, true);
    }
    rq->stream->ops->encode_headers(rq->stream, http_filter_request_headers(r->filter),
                                    is_head_all);
    if (!is_head_all && rq->stream != NULL) {
        request_send_held(rq);
    }
    if (rq->stream != NULL) {
        router_read_disable(r, rq->is_saturated);
    }
}

static void request_on_failure(struct pool_request *pool_request, enum pool_failure f,
                               struct str transport)
{
    struct upstream_request *rq = pool_request->user;
    struct str reason = arena_str(request_arena(rq), transport);

    rq->is_waiting = false;
    request_info(rq)->upstream_ready_ns = clock_mono_ns(); /* as Envoy: the wait is over */
    if (f == POOL_FAILURE_OVERFLOW) {
        request_hide_host(rq);
    } else {
        rq->is_host_charged = true;
        request_info(rq)->upstream_transport_failure_reason = reason;
    }
    request_log_reset(rq, pool_failure_reset_reason(f));
    request_end(rq);
    request_failed(rq, pool_failure_reset_reason(f), REPLAY_NOT, reason);
}

static const struct pool_request_ops request_pool_ops = {
    .on_ready = request_on_ready,
    .on_failure = request_on_failure,
};

/* --- For router.c --------------------------------------------------------------------------------
 */

/* CONNECT that ends here goes on as bytes; as Envoy, POST too where the route says so. */
static bool router_terminates_connect(const struct router *r)
{
    struct str method = header_get(http_filter_request_headers(r->filter), HDR_METHOD);

    for (size_t i = 0; i < r->forward->upgrade_count; i++) {
        const struct route_upgrade *u = &r->forward->upgrades[i];

        if (u->terminates_connect &&
            (str_eq(method, STR("CONNECT")) || (u->allow_post && str_eq(method, STR("POST"))))) {
            return true;
        }
    }
    return false;
}

void upstream_request_init(struct upstream_request *rq, struct router *r)
{
    rq->router = r;
    timer_init(&rq->try_timer, request_on_try_timeout);
    timer_init(&rq->duration_timer, request_on_max_duration);
}

void upstream_request_start(struct upstream_request *rq, struct host *take_host)
{
    struct router *r = rq->router;
    struct stream_info *info = request_info(rq);
    bool is_at_once = r->was_answered != NULL; /* inside decode_headers */

    stream_info_next_attempt(info, request_arena(rq));
    info->upstream_request_ns = router_now_ns(r, is_at_once ? info->start_mono_ns : 0);
    host_unref(rq->host);
    rq->host = take_host;
    rq->is_host_charged = false;
    request_show_host(rq);
    rq->response_status = 0;
    rq->response_head_bytes = 0;
    rq->response_head_count = 0;
    rq->bytes_sent = 0;
    rq->bytes_received = 0;
    rq->log = upstream_log_new(&r->config->upstream_log, rq);
    rq->is_waiting = true;
    rq->is_saturated = false;
    rq->protocol = router_terminates_connect(r)
                       ? POOL_TCP
                       : cluster_pool_protocol(r->cluster, request_info(rq)->protocol);
    if (r->is_websocket) {
        request_arm_try_timer(rq);
    }
    cluster_request_stream(r->cluster, rq->host, r->forward->priority, rq->protocol,
                           router_transport_to(r, rq->host), &request_pool_ops, rq,
                           &rq->pool_request);
}

void upstream_request_data(struct upstream_request *rq, struct buf *take_data, bool end_stream)
{
    struct stream_info *info = request_info(rq);

    if (rq->stream == NULL) {
        request_hold(rq->router, take_data);
        return;
    }
    if (end_stream) {
        info->last_upstream_tx_ns = router_now_ns(rq->router, info->last_rx_byte_ns);
    }
    request_keep(rq, take_data);
    rq->bytes_sent += buf_len(take_data);
    rq->stream->ops->encode_data(rq->stream, take_data, end_stream);
}

void upstream_request_trailers(struct upstream_request *rq, const struct header_map *trailers)
{
    struct stream_info *info = request_info(rq);

    if (rq->stream != NULL) {
        info->last_upstream_tx_ns = router_now_ns(rq->router, info->last_rx_byte_ns);
        rq->stream->ops->encode_trailers(rq->stream, trailers);
    }
}

void upstream_request_all_received(struct upstream_request *rq)
{
    if (rq->stream != NULL) {
        request_arm_try_timer(rq);
    }
}

void upstream_request_reset(struct upstream_request *rq)
{
    struct codec_stream *stream = rq->stream;

    if (rq->is_waiting) {
        rq->is_waiting = false;
        request_end(rq);
        pool_request_cancel(&rq->pool_request);
    }
    if (stream != NULL) {
        request_detach(rq);
        stream->ops->reset(stream, RESET_LOCAL);
    }
    request_cancel_timers(rq);
}
