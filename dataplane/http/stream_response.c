/*
 * The response's side of a stream: what is done to its head on the way to the codec, local
 * replies, and what happens when it is complete before the request is.
 */

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/filter_chain.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/header_rewrite.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/overload.h"
#include "dataplane/http/stream_internal.h"
#include "dataplane/http/upgrade.h"
#include "dataplane/runtime/thread_context.h"

#define NS_PER_MS UINT64_C(1000000)

static int response_status(const struct header_map *h)
{
    uint64_t status = 0;

    /* The codec and local replies see to it that it is there and a number. */
    CHECK(parse_u64(header_get(h, HDR_STATUS), &status) == 0 && status <= 999);
    return (int)status;
}

/* --- completion --------------------------------------------------------------------------- */

/* Before the last piece goes to the codec, for that may end the stream. */
static void response_mark_complete(struct http_stream *s)
{
    uint64_t now = clock_mono_ns();

    s->response = RESPONSE_COMPLETE;
    s->duration_deadline_ms = NO_DEADLINE;
    s->request_deadline_ms = NO_DEADLINE;
    stream_await_flush(s); /* the codec may have to wait for the client's window, not for ever */
    s->info.last_downstream_tx_ns = now;
    s->info.end_ns = now;
    if (!s->is_request_complete) {
        conn_manager_count(s->cm, CM_RQ_RX_RESET); /* as Envoy: the rest of it is given up */
    }
    if (s->cm->stats != NULL) {
        stat_record(s->cm->stats, CM_RQ_TIME, (now - s->info.start_mono_ns) / NS_PER_MS);
    }
}

/* As Envoy: whose fault it was, as far as HTTP/2 has a word for it. */
static enum stream_reset_reason reset_reason(const struct http_stream *s)
{
    if (s->is_upgrade && (stream_info_has_flag(&s->info, FLAG_UPSTREAM_CONNECTION_FAILURE) ||
                          stream_info_has_flag(&s->info, FLAG_UPSTREAM_CONNECTION_TERMINATION))) {
        return RESET_CONNECT_ERROR;
    }
    return stream_info_has_flag(&s->info, FLAG_UPSTREAM_PROTOCOL_ERROR) ? RESET_PROTOCOL_ERROR
                                                                        : RESET_LOCAL;
}

void stream_reset(struct http_stream *s)
{
    if (stream_has_ended(s)) {
        return;
    }
    conn_manager_count(s->cm, CM_RQ_TX_RESET);
    conn_manager_count(s->cm, CM_RQ_RX_RESET);
    s->is_decode_cut = true;
    s->is_encode_cut = true;
    if (conn_manager_is_http1(s->cm)) {
        conn_manager_set_closing(s->cm);
    }
    if (s->codec != NULL) {
        s->codec->ops->reset(s->codec, reset_reason(s));
    }
    stream_end(s);
}

void stream_read_disable(struct http_stream *s, bool disable)
{
    if (stream_has_ended(s) || s->codec == NULL || (!disable && s->read_disable_count == 0)) {
        return;
    }
    s->read_disable_count += disable ? 1U : (uint32_t)-1;
    conn_manager_count(s->cm, disable ? CM_FLOW_CONTROL_PAUSED : CM_FLOW_CONTROL_RESUMED);
    s->codec->ops->read_disable(s->codec, disable);
}

/* The last of it is with the codec. The client's window may be closed for long: as Envoy, nobody
 * works for the stream meanwhile. */
static void response_handed_over(struct http_stream *s)
{
    if (!stream_has_ended(s)) {
        filter_chain_complete(s);
    }
}

/* --- the head ----------------------------------------------------------------------------- */

static void response_add_base_headers(struct http_stream *s, struct header_map *h)
{
    const struct http_conn_manager_config *c = s->cm->config;

    if (!header_has(h, HDR_DATE)) {
        header_add(h, HDR_DATE, arena_str(&s->arena, loop_http_date(stream_loop(s))));
    }
    if (c->server_header == SERVER_OVERWRITE ||
        (c->server_header == SERVER_APPEND_IF_ABSENT && !header_has(h, HDR_SERVER))) {
        header_set(h, HDR_SERVER, c->server_name);
    }
    forwarding_mutate_response(c, s->has_head ? &s->request_headers : NULL, false, h);
}

/* Whether the connection lives on, and what the client is told about it. */
static void response_decide_connection(struct http_stream *s, struct header_map *h)
{
    struct conn_manager *cm = s->cm;

    conn_manager_check_drain(cm);
    conn_manager_check_keepalive(cm);
    if (!s->is_request_complete) { /* a tunnel's never is */
        conn_manager_count(cm, CM_RQ_RESPONSE_BEFORE_RQ_COMPLETE);
    }
    if (s->is_tunnel) {
        if (conn_manager_is_http1(cm)) {
            conn_manager_set_closing(cm); /* with its end */
        }
        return;
    }
    if (s->info.protocol == HTTP_10) {
        if (!header_has(h, HDR_CONTENT_LENGTH)) {
            s->wants_close = true; /* closing is the only way to end the body */
        }
        if (!s->wants_close) {
            header_set(h, HDR_CONNECTION, STR("keep-alive"));
        }
    }
    if ((s->wants_close || cm->is_soft_draining) && cm->drain_state == DRAIN_NONE) {
        conn_manager_set_closing(cm);
    }
    if (!s->is_request_complete && conn_manager_is_http1(cm)) {
        conn_manager_set_closing(cm);
    }
    if (cm->drain_state != DRAIN_NONE && conn_manager_is_http1(cm)) {
        header_set(h, HDR_CONNECTION, STR("close"));
    }
}

static bool response_can_send(const struct http_stream *s)
{
    return !stream_has_ended(s) && s->codec != NULL;
}

void stream_send_1xx(struct http_stream *s, struct header_map *h)
{
    if (!response_can_send(s) || s->response != RESPONSE_NONE) {
        return;
    }
    forwarding_mutate_response(s->cm->config, &s->request_headers, true, h);
    s->info.response_code = response_status(h);
    conn_manager_count_response(s->cm, s->info.response_code);
    stream_touch(s);
    s->codec->ops->encode_1xx(s->codec, h);
}

void stream_send_headers(struct http_stream *s, bool end_stream)
{
    struct header_map *h = s->response_headers;

    if (!response_can_send(s) || s->response != RESPONSE_NONE) {
        return;
    }
    s->info.response_code = response_status(h);
    s->is_tunnel = s->is_upgrade && upgrade_is_accepted(&s->request_headers, s->info.response_code);
    response_add_base_headers(s, h);
    response_decide_connection(s, h);
    conn_manager_count_response(s->cm, s->info.response_code);
    s->info.first_downstream_tx_ns = stream_coarse_ns(s);
    s->response = RESPONSE_STARTED;
    s->request_deadline_ms = NO_DEADLINE;
    stream_touch(s);
    if (end_stream) {
        response_mark_complete(s);
    }
    s->codec->ops->encode_headers(s->codec, h, end_stream);
    if (s->is_tunnel && s->cm->config->logs_tunnels) {
        stream_log(s, ACCESS_LOG_DOWNSTREAM_TUNNEL_SUCCESSFULLY_ESTABLISHED);
    }
    if (end_stream) {
        response_handed_over(s);
    }
}

void stream_send_data(struct http_stream *s, struct buf *take_data, bool end_stream)
{
    if (!response_can_send(s) || s->response != RESPONSE_STARTED) {
        buf_reset(take_data);
        return;
    }
    s->info.bytes_sent += take_data->len;
    stream_touch(s);
    if (end_stream) {
        response_mark_complete(s);
    }
    s->codec->ops->encode_data(s->codec, take_data, end_stream);
    if (end_stream) {
        response_handed_over(s);
    }
}

void stream_send_trailers(struct http_stream *s, struct header_map *trailers)
{
    if (!response_can_send(s) || s->response != RESPONSE_STARTED) {
        return;
    }
    response_mark_complete(s);
    s->codec->ops->encode_trailers(s->codec, trailers);
    response_handed_over(s);
}

/* --- local replies ------------------------------------------------------------------------ */

static void local_reply_apply_route(struct http_stream *s, struct header_map *h)
{
    struct access_log_entry entry = stream_log_entry(s);

    if (s->match.route == NULL) {
        return;
    }
    header_rewrite_response(
        &(struct header_rewrite){
            .table = s->table,
            .match = &s->match,
            .entry = &entry,
            .thread = s->cm->thread,
        },
        h);
}

/* As Envoy: through all filters, unless a response is already on its way through them. */
static void local_reply_send(struct http_stream *s, struct str body)
{
    bool is_direct = s->is_encode_cut;
    bool end_stream = body.len == 0;
    struct buf data;

    if (is_direct) {
        stream_send_headers(s, end_stream);
    } else {
        filter_chain_encode_headers(s, end_stream);
    }
    if (end_stream || stream_has_ended(s)) {
        return;
    }
    buf_init(&data, &stream_loop(s)->bufs);
    buf_add_str(&data, body);
    if (is_direct) {
        stream_send_data(s, &data, true);
    } else {
        filter_chain_encode_data(s, &data, true);
    }
    buf_reset(&data);
}

/* The head in s->response_headers; returns the body. */
static struct str local_reply_make(struct http_stream *s, const struct local_reply *as_asked)
{
    const struct local_reply_config *c = &s->cm->config->local_reply;
    struct header_map *h = local_reply_headers(as_asked, &s->arena);
    struct local_reply reply = *as_asked;

    /* As Envoy: the operations of a route to a cluster, whoever answers in its place. */
    if (reply.has_route_headers ||
        (s->match.route != NULL && s->match.route->action == ROUTE_FORWARD)) {
        local_reply_apply_route(s, h);
    }
    s->response_headers = h;
    if (c->mapper_count > 0 || c->format != NULL) {
        struct access_log_entry entry = stream_log_entry(s);

        local_reply_rewrite(c, &reply, &s->info, &entry, s->cm->thread, h);
    }
    return local_reply_finish(&reply, s->is_grpc_request, s->is_head_request, h);
}

void stream_local_reply(struct http_stream *s, const struct local_reply *reply)
{

    if (stream_has_ended(s) || s->response == RESPONSE_COMPLETE) {
        return;
    }
    s->info.response_code_details = reply->details;
    if (s->response == RESPONSE_STARTED) {
        stream_reset(s);
        return;
    }
    s->is_decode_cut = true;
    if (s->response_headers != NULL) {
        s->is_encode_cut = true; /* filters hold a response that nobody will see */
    }
    if (!s->has_filters) {
        filter_chain_create(s); /* as Envoy: they see every response */
    }
    if (reply->status == 400 && conn_manager_is_http1(s->cm) &&
        !s->cm->config->http1.stream_error_on_invalid_message) {
        s->wants_close = true; /* what follows on the connection cannot be trusted */
    }
    local_reply_send(s, local_reply_make(s, reply));
}
