/*
 * One request towards a host: the wait for a connection, the request out, the response back, and
 * what each kind of failure means. A worker's thread.
 *
 * After a call that ends the client's stream (an answer, the last of a response) `r` may be gone:
 * such calls come last.
 */

#include "dataplane/extensions/filters/http/router/router.h"

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/host.h"

#define NS_PER_MS 1000000u

static struct stream_info *request_info(const struct router *r)
{
    return http_filter_info(r->filter);
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

/* Details hold no white space: it would break the fields of a log line. */
static struct str without_spaces(struct str s)
{
    char *p = (char *)(uintptr_t)s.ptr; /* of this request's arena, just written */

    for (size_t i = 0; i < s.len; i++) {
        if (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n') {
            p[i] = '_';
        }
    }
    return s;
}

static struct str reset_details(const struct router *r, enum stream_reset_reason reason,
                                struct str transport)
{
    return without_spaces(arena_printf(
        http_filter_arena(r->filter), "%s{%s%s%.*s}",
        r->is_response_started ? "upstream_reset_after_response_started"
                               : "upstream_reset_before_response_started",
        stream_reset_reason_name(reason), transport.len > 0 ? "|" : "", STR_ARG(transport)));
}

static struct str reset_body(const struct router *r, enum stream_reset_reason reason)
{
    return arena_printf(http_filter_arena(r->filter),
                        "upstream connect error or disconnect/reset before headers. reset reason: "
                        "%s",
                        stream_reset_reason_name(reason));
}

/* The upstream side is over; nothing is open there any more. */
static void request_failed(struct router *r, enum stream_reset_reason reason, struct str transport)
{
    int status = reason == RESET_PROTOCOL_ERROR ? 502 : 503;
    struct host *host = r->has_host_info ? r->host : NULL;

    if (!r->is_response_started) {
        router_charge_code(r, (unsigned)status, host);
        if (host != NULL) {
            host_stat_add(host, HOST_RQ_ERROR, 1);
        }
    }
    router_abort(r, status, reset_body(r, reason), reason == RESET_OVERFLOW, flag_of_reset(reason),
                 reset_details(r, reason, transport));
}

/* --- The response --------------------------------------------------------------------------------
 */

static void request_enable_reads(struct router *r)
{
    if (r->is_read_disabled) {
        r->is_read_disabled = false;
        http_filter_read_disable(r->filter, false);
    }
}

/* The open stream is over: what it counted goes to the log. */
static void request_detach(struct router *r)
{
    struct stream_info *info = request_info(r);

    info->upstream_wire_bytes_received += r->upstream->wire_bytes_in;
    info->upstream_wire_bytes_sent += r->upstream->wire_bytes_out;
    r->upstream = NULL;
    request_enable_reads(r);
}

/* The response is complete, about to be passed on. */
static void request_complete(struct router *r)
{
    struct stream_info *info = request_info(r);

    info->last_upstream_rx_ns = router_now_ns(r, info->first_upstream_rx_ns);
    if (r->request_done_ns != 0 && r->config->counts_codes && !info->is_health_check) {
        cluster_stats_charge_time(cluster_stats(r->cluster),
                                  (info->last_upstream_rx_ns - r->request_done_ns) / NS_PER_MS,
                                  r->is_internal, r->is_canary);
    }
    timer_cancel(router_loop(r), &r->timer);
    timer_cancel(router_loop(r), &r->duration_timer);
    request_detach(r);
}

static int response_status_of(const struct header_map *h)
{
    uint64_t status;

    return parse_u64(header_get(h, HDR_STATUS), &status) == 0 && status <= 999 ? (int)status : 0;
}

/* What the response head says about the host. */
static void request_charge_response(struct router *r)
{
    r->is_canary = r->host->is_canary ||
                   str_eq(header_get(&r->response, HDR_X_ENVOY_UPSTREAM_CANARY), STR("true"));
    router_charge_code(r, (unsigned)r->response_status, r->host);
    host_stat_add(r->host, r->response_status / 100 == 5 ? HOST_RQ_ERROR : HOST_RQ_SUCCESS, 1);
}

static void request_add_headers(struct router *r)
{
    const struct stream_info *info = request_info(r);
    char *digits;

    if (router_includes_attempts(r)) {
        header_set(&r->response, HDR_X_ENVOY_ATTEMPT_COUNT, STR("1"));
    }
    /* Not on an answer that came before the request was complete. */
    if (r->request_done_ns != 0 && !r->config->suppresses_envoy_headers) {
        digits = arena_alloc(http_filter_arena(r->filter), U64_DIGITS);
        header_set(
            &r->response, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME,
            str_n(digits, format_u64((info->first_upstream_rx_ns - r->request_done_ns) / NS_PER_MS,
                                     digits)));
    }
}

static void request_on_headers(void *user, bool end_stream)
{
    struct router *r = user;
    struct stream_info *info = request_info(r);

    r->response_status = response_status_of(&r->response);
    r->is_response_started = true;
    info->first_upstream_rx_ns = clock_mono_ns();
    request_add_headers(r);
    request_charge_response(r);
    info->response_code_details = STR("via_upstream");
    http_filter_finalize_response(r->filter, &r->response);
    if (end_stream) {
        request_complete(r);
    }
    http_filter_respond_headers(r->filter, &r->response, end_stream);
}

static void request_on_1xx(void *user, struct header_map *headers)
{
    struct router *r = user;

    router_charge_code(r, (unsigned)response_status_of(headers), r->host);
    r->is_response_started = true; /* as Envoy: no retries after that */
    http_filter_respond_1xx(r->filter, headers);
}

static void request_on_data(void *user, struct buf *data, bool end_stream)
{
    struct router *r = user;

    if (end_stream) {
        request_complete(r);
    }
    http_filter_respond_data(r->filter, data, end_stream);
}

static void request_on_trailers(void *user, struct header_map *trailers)
{
    struct router *r = user;

    request_complete(r);
    http_filter_respond_trailers(r->filter, trailers);
}

static void request_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct router *r = user;

    (void)details; /* of the codec; what Envoy shows is the reason */
    request_detach(r);
    request_failed(r, reason, STR_NONE);
}

static void request_on_watermark(void *user, bool is_above)
{
    struct router *r = user;

    if (r->is_read_disabled != is_above) {
        r->is_read_disabled = is_above;
        http_filter_read_disable(r->filter, is_above);
    }
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

static void request_note_host(struct router *r)
{
    struct stream_info *info = request_info(r);

    r->has_host_info = true;
    info->upstream_remote = *host_address(r->host);
    if (host_name(r->host).len > 0) {
        info->upstream_host_name = arena_str(http_filter_arena(r->filter), host_name(r->host));
    }
}

static void request_note_connection(struct router *r)
{
    struct stream_info *info = request_info(r);
    struct pool_connection_info connection;

    pool_request_connection(&r->pool_request, &connection);
    info->upstream_local = *connection.local;
    info->upstream_protocol = connection.protocol;
    info->has_upstream_protocol = true;
}

/* What came while there was no connection. */
static void request_send_held(struct router *r)
{
    bool has_trailers = r->trailers != NULL;

    if (buf_len(&r->body) > 0 || (r->has_end_stream && !has_trailers)) {
        r->upstream->ops->encode_data(r->upstream, &r->body, r->has_end_stream && !has_trailers);
    }
    if (has_trailers) {
        r->upstream->ops->encode_trailers(r->upstream, r->trailers);
    }
    request_enable_reads(r);
}

static void request_on_ready(struct pool_request *rq)
{
    struct router *r = rq->user;
    struct stream_info *info = request_info(r);
    struct arena *arena = http_filter_arena(r->filter);
    bool is_head_all = r->has_end_stream && buf_len(&r->body) == 0 && r->trailers == NULL;
    bool is_at_once = r->was_answered != NULL; /* inside decode_headers */

    r->is_waiting = false;
    request_note_host(r);
    request_note_connection(r);
    info->first_upstream_tx_ns = router_now_ns(r, is_at_once ? info->start_mono_ns : 0);
    info->last_upstream_tx_ns = info->first_upstream_tx_ns;
    if (r->max_duration_ms > 0) {
        timer_arm(router_loop(r), &r->duration_timer, r->max_duration_ms);
    }
    header_map_init(&r->response, arena);
    r->upstream = pool_request_open_stream(rq, &request_stream_callbacks, r, arena, &r->response);
    r->upstream->ops->encode_headers(r->upstream, http_filter_request_headers(r->filter),
                                     is_head_all);
    if (!is_head_all) {
        request_send_held(r);
    }
}

static enum stream_reset_reason reset_reason_of(enum pool_failure f)
{
    switch (f) {
    case POOL_FAILURE_OVERFLOW:
    case POOL_FAILURE_ACTIVE_OVERFLOW:
        return RESET_OVERFLOW;
    case POOL_FAILURE_LOCAL_CONNECT:
        return RESET_LOCAL_CONNECTION_FAILURE;
    case POOL_FAILURE_CONNECT_TIMEOUT:
        return RESET_CONNECTION_TIMEOUT;
    case POOL_FAILURE_REMOTE_CONNECT:
        break;
    }
    return RESET_REMOTE_CONNECTION_FAILURE;
}

static void request_on_failure(struct pool_request *rq, enum pool_failure f, struct str transport)
{
    struct router *r = rq->user;
    struct str reason = arena_str(http_filter_arena(r->filter), transport);

    r->is_waiting = false;
    if (f != POOL_FAILURE_OVERFLOW) { /* else no host was reached */
        request_note_host(r);
        request_info(r)->upstream_transport_failure_reason = reason;
    }
    request_failed(r, reset_reason_of(f), reason);
}

static const struct pool_request_ops request_pool_ops = {
    .on_ready = request_on_ready,
    .on_failure = request_on_failure,
};

/* --- For router.c --------------------------------------------------------------------------------
 */

void upstream_request_start(struct router *r)
{
    r->is_waiting = true;
    cluster_request_stream(r->cluster, r->host, r->forward->priority,
                           cluster_pool_protocol(r->cluster, http_filter_info(r->filter)->protocol),
                           &request_pool_ops, r, &r->pool_request);
}

/* There is no connection yet. */
static void request_hold(struct router *r, struct buf *take_data)
{
    buf_move(&r->body, take_data);
    if (buf_len(&r->body) > http_filter_buffer_limit(r->filter) && !r->is_read_disabled) {
        r->is_read_disabled = true;
        http_filter_read_disable(r->filter, true);
    }
}

void upstream_request_data(struct router *r, struct buf *take_data, bool end_stream)
{
    struct stream_info *info = request_info(r);

    r->has_end_stream = end_stream;
    if (r->is_waiting) {
        request_hold(r, take_data);
    } else if (r->upstream != NULL) {
        if (end_stream) {
            info->last_upstream_tx_ns = router_now_ns(r, info->last_rx_byte_ns);
        }
        r->upstream->ops->encode_data(r->upstream, take_data, end_stream);
    } else { /* answered before the request was complete */
        buf_reset(take_data);
    }
}

void upstream_request_trailers(struct router *r, const struct header_map *trailers)
{
    struct stream_info *info = request_info(r);

    r->has_end_stream = true;
    if (r->is_waiting) {
        r->trailers = trailers;
    } else if (r->upstream != NULL) {
        info->last_upstream_tx_ns = router_now_ns(r, info->last_rx_byte_ns);
        r->upstream->ops->encode_trailers(r->upstream, trailers);
    }
}

void upstream_request_reset(struct router *r)
{
    struct codec_stream *upstream = r->upstream;

    if (r->is_waiting) {
        r->is_waiting = false;
        pool_request_cancel(&r->pool_request);
    }
    if (upstream != NULL) {
        request_detach(r);
        upstream->ops->reset(upstream, RESET_LOCAL);
    }
}
