/* A downstream HTTP connection. See conn_manager.h. */

#include "dataplane/http/conn_manager.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/error.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h1_codec.h"
#include "dataplane/codec/h2_codec.h"
#include "dataplane/codec/h2_keepalive.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/overload.h"
#include "dataplane/http/stream.h"
#include "dataplane/net/listener.h"
#include "dataplane/runtime/thread_context.h"

static struct conn_manager *conn_manager_from(void *p)
{
    struct conn_manager *cm = p;

    CHECK(cm->magic == CONN_MANAGER_MAGIC);
    return cm;
}

static const char *drain_state_name(enum drain_state d)
{
    static const char *const names[] = {"none", "started", "closing", "closed"};

    return names[d];
}

static void conn_manager_set_drain_state(struct conn_manager *cm, enum drain_state d)
{
    CHECK(d >= cm->drain_state); /* only forward */
    log_debug(LOG_C_HTTP, "[C%llu] draining: %s", (unsigned long long)cm->conn->id,
              drain_state_name(d));
    cm->drain_state = (uint8_t)d;
}

/* --- counting ----------------------------------------------------------------------------- */

static void conn_manager_gauge(struct conn_manager *cm, enum conn_manager_stat stat, int delta)
{
    if (cm->stats != NULL) {
        stat_add(cm->stats, stat, (uint64_t)(int64_t)delta);
    }
}

/* Adds what came and went since the last time, and how much waits now. */
static void conn_manager_count_bytes(struct conn_manager *cm)
{
    const struct conn *c = cm->conn;
    uint64_t rx_buffered = cm->is_closed ? 0 : c->in.len;
    uint64_t tx_buffered = cm->is_closed ? 0 : c->out.len;

    if (cm->stats == NULL) {
        return;
    }
    stat_add(cm->stats, CM_CX_RX_BYTES_TOTAL, c->bytes_read - cm->counted_rx_bytes);
    stat_add(cm->stats, CM_CX_TX_BYTES_TOTAL, c->bytes_written - cm->counted_tx_bytes);
    stat_add(cm->stats, CM_CX_RX_BYTES_BUFFERED, rx_buffered - cm->counted_rx_buffered);
    stat_add(cm->stats, CM_CX_TX_BYTES_BUFFERED, tx_buffered - cm->counted_tx_buffered);
    cm->counted_rx_bytes = c->bytes_read;
    cm->counted_tx_bytes = c->bytes_written;
    cm->counted_rx_buffered = rx_buffered;
    cm->counted_tx_buffered = tx_buffered;
}

void conn_manager_count_upgrade(struct conn_manager *cm, bool begins)
{
    if (begins) {
        conn_manager_count(cm, CM_CX_UPGRADES_TOTAL);
    }
    conn_manager_gauge(cm, CM_CX_UPGRADES_ACTIVE, begins ? 1 : -1);
}

void conn_manager_count_response(struct conn_manager *cm, int status)
{
    size_t class = (size_t)status / 100;

    bool has_class = class >= 1 && class <= 5;

    if (cm->stats == NULL) {
        return;
    }
    stat_inc(cm->stats, CM_RQ_COMPLETED);
    if (has_class) {
        stat_inc(cm->stats, CM_RQ_1XX + class - 1);
    }
    if (cm->listener_stats != NULL) {
        stat_inc(cm->listener_stats, CM_LISTENER_RQ_COMPLETED);
        if (has_class) {
            stat_inc(cm->listener_stats, CM_LISTENER_RQ_1XX + class - 1);
        }
    }
}

/* --- what streams ask --------------------------------------------------------------------- */

bool conn_manager_is_http1(const struct conn_manager *cm)
{
    return cm->codec == NULL || cm->codec->ops->protocol <= HTTP_11;
}

bool conn_manager_is_tls(const struct conn_manager *cm)
{
    return conn_is_secure(cm->conn);
}

struct str conn_manager_remote_ip(struct conn_manager *cm)
{
    if (cm->remote_ip_len == 0 && address_is_ip(&cm->conn->remote)) {
        char text[ADDRESS_TEXT_MAX];
        size_t len = address_format_ip(&cm->conn->remote, text);

        CHECK(len <= sizeof(cm->remote_ip));
        memcpy(cm->remote_ip, text, len);
        cm->remote_ip_len = (uint8_t)len;
    }
    return str_n(cm->remote_ip, cm->remote_ip_len);
}

/* --- closing ------------------------------------------------------------------------------ */

/* Open streams end now, as if the client had gone; nothing more is read or answered. */
static void conn_manager_close(struct conn_manager *cm, enum conn_close_mode mode)
{
    if (cm->is_closed || cm->drain_state == DRAIN_CLOSED) {
        return;
    }
    conn_manager_set_drain_state(cm, DRAIN_CLOSED);
    timer_cancel(cm->thread->loop, &cm->timer);
    if (!list_is_empty(&cm->streams)) {
        conn_manager_count(cm, CM_CX_DESTROY_LOCAL_ACTIVE_RQ);
        conn_manager_count(cm, CM_CX_DESTROY_ACTIVE_RQ);
        cm->codec->ops->connection_closed(cm->codec, RESET_CONNECTION_TERMINATION);
    }
    conn_close(cm->conn, mode);
}

void conn_manager_set_closing(struct conn_manager *cm)
{
    if (cm->drain_state >= DRAIN_CLOSING) {
        return;
    }
    conn_manager_set_drain_state(cm, DRAIN_CLOSING);
    if (cm->codec != NULL && cm->codec->ops->goaway != NULL) {
        cm->codec->ops->goaway(cm->codec, GOAWAY_NO_ERROR);
    }
}

void conn_manager_start_drain(struct conn_manager *cm)
{
    CHECK(cm->drain_state == DRAIN_NONE);
    conn_manager_set_drain_state(cm, DRAIN_STARTED);
    cm->drain_deadline_ms = loop_now_ms(cm->thread->loop) +
                            rng_jittered(&cm->thread->loop->rng, cm->config->drain_timeout_ms,
                                         cm->config->drain_timeout_jitter);
    conn_manager_watch_deadline(cm, cm->drain_deadline_ms);
    if (cm->codec != NULL) {
        cm->codec->ops->drain(cm->codec);
    }
}

static bool conn_manager_is_asked_to_drain(const struct conn_manager *cm)
{
    return cm->lc != NULL ? listener_connection_wants_drain(cm->lc) : cm->thread->drain.is_ending;
}

void conn_manager_check_drain(struct conn_manager *cm)
{
    if (cm->drain_state == DRAIN_NONE && conn_manager_is_asked_to_drain(cm)) {
        conn_manager_count(cm, CM_CX_DRAIN_CLOSE);
        conn_manager_start_drain(cm);
    }
}

void conn_manager_on_drain(struct conn_manager *cm)
{
    /* HTTP/1 is told with its next response: to close an idle connection would race with a
     * request that is on its way. The listener closes what is left in the end. */
    if (!conn_manager_is_http1(cm)) {
        conn_manager_check_drain(cm);
    }
}

/* --- resets ------------------------------------------------------------------------------- */

/* As Envoy (CVE-2023-44487): a client most of whose streams end without a response, and soon, is
 * attacking. Resets that it provokes count as its own. */
#define RESETS_STREAMS_MIN 500

void conn_manager_count_ended(struct conn_manager *cm, bool is_premature_reset)
{
    cm->ended_count++;
    cm->premature_reset_count += is_premature_reset;
}

static void conn_manager_check_resets(struct conn_manager *cm)
{
    uint64_t total = cm->ended_count > RESETS_STREAMS_MIN ? cm->ended_count : RESETS_STREAMS_MIN;

    if (cm->premature_reset_count * 2 < total || cm->is_closed || cm->drain_state == DRAIN_CLOSED) {
        return;
    }
    conn_manager_count(cm, CM_RQ_TOO_MANY_PREMATURE_RESETS);
    conn_manager_count(cm, CM_CX_PROTOCOL_ERROR);
    cm->close_details = STR("too_many_premature_resets");
    if (cm->codec->ops->goaway != NULL) {
        cm->codec->ops->goaway(cm->codec, GOAWAY_ENHANCE_YOUR_CALM);
    }
    conn_manager_close(cm, CONN_CLOSE_FLUSH);
}

void conn_manager_stream_ended(struct conn_manager *cm, bool is_flush_enough)
{
    conn_manager_count_bytes(cm);
    if (!list_is_empty(&cm->streams) || cm->is_closed) {
        return;
    }
    if (cm->config->idle_timeout_ms > 0) {
        cm->idle_deadline_ms = loop_now_ms(cm->thread->loop) + cm->config->idle_timeout_ms;
        conn_manager_watch_deadline(cm, conn_manager_idle_due(cm));
    }
    if (cm->codec->ops->should_close != NULL && cm->codec->ops->should_close(cm->codec)) {
        conn_manager_set_closing(cm);
    }
    if (cm->drain_state == DRAIN_CLOSING) {
        conn_manager_close(cm, is_flush_enough || cm->config->delayed_close_timeout_ms == 0
                                   ? CONN_CLOSE_FLUSH
                                   : CONN_CLOSE_FLUSH_AND_DELAY);
    }
}

/* --- deadlines ---------------------------------------------------------------------------- */

void conn_manager_watch_deadline(struct conn_manager *cm, uint64_t deadline_ms)
{
    uint64_t now = loop_now_ms(cm->thread->loop);

    if (deadline_ms == NO_DEADLINE || cm->is_closed || cm->drain_state == DRAIN_CLOSED ||
        (timer_is_armed(&cm->timer) && cm->timer.deadline_ms <= deadline_ms)) {
        return;
    }
    timer_arm(cm->thread->loop, &cm->timer, deadline_ms > now ? deadline_ms - now : 0);
}

static void conn_manager_on_drain_timeout(struct conn_manager *cm)
{
    cm->drain_deadline_ms = NO_DEADLINE;
    conn_manager_set_closing(cm);
    if (list_is_empty(&cm->streams)) {
        conn_manager_close(cm, CONN_CLOSE_FLUSH_AND_DELAY);
    }
}

/* The connection has been open, or idle, for too long. */
static void conn_manager_on_age(struct conn_manager *cm, enum conn_manager_stat stat)
{
    conn_manager_count(cm, stat);
    if (cm->codec == NULL) {
        conn_manager_close(cm, CONN_CLOSE_FLUSH);
    } else if (stat == CM_CX_MAX_DURATION_REACHED && cm->drain_state == DRAIN_NONE &&
               cm->config->http1_safe_max_connection_duration && conn_manager_is_http1(cm)) {
        cm->is_soft_draining = true;
        conn_manager_gauge(cm, CM_CX_HTTP1_SOFT_DRAIN, 1);
    } else if (cm->drain_state == DRAIN_NONE) {
        conn_manager_start_drain(cm);
    }
}

static void conn_manager_check_own_deadlines(struct conn_manager *cm, uint64_t now)
{
    if (cm->drain_deadline_ms <= now && cm->drain_state < DRAIN_CLOSING) {
        conn_manager_on_drain_timeout(cm);
    }
    if (conn_manager_duration_due(cm) <= now && cm->drain_state < DRAIN_CLOSED) {
        cm->duration_deadline_ms = NO_DEADLINE;
        conn_manager_on_age(cm, CM_CX_MAX_DURATION_REACHED);
    }
    if (conn_manager_idle_due(cm) <= now && list_is_empty(&cm->streams) &&
        cm->drain_state < DRAIN_CLOSED) {
        cm->idle_deadline_ms = NO_DEADLINE;
        conn_manager_on_age(cm, CM_CX_IDLE_TIMEOUT);
    }
}

static struct http_stream *conn_manager_find_due(struct conn_manager *cm, uint64_t now,
                                                 uint64_t *ret_next)
{
    struct http_stream *s;

    *ret_next = NO_DEADLINE;
    list_for_each (s, &cm->streams, struct http_stream, node) {
        uint64_t next = stream_next_deadline(s);

        if (next <= now) {
            return s;
        }
        *ret_next = next < *ret_next ? next : *ret_next;
    }
    return NULL;
}

static void conn_manager_on_timer(struct timer *t)
{
    struct conn_manager *cm = conn_manager_from(container_of(t, struct conn_manager, timer));
    uint64_t now = loop_now_ms(cm->thread->loop);
    uint64_t next = NO_DEADLINE;
    struct http_stream *s;

    conn_manager_check_own_deadlines(cm, now);
    /* Answering one stream may end others: look again from the start each time. */
    while (!cm->is_closed && (s = conn_manager_find_due(cm, now, &next)) != NULL) {
        stream_check_deadlines(s, now);
    }
    if (cm->is_closed || cm->drain_state == DRAIN_CLOSED) {
        return;
    }
    conn_manager_watch_deadline(cm, next);
    conn_manager_watch_deadline(cm, cm->drain_deadline_ms);
    conn_manager_watch_deadline(cm, conn_manager_duration_due(cm));
    if (list_is_empty(&cm->streams)) {
        conn_manager_watch_deadline(cm, conn_manager_idle_due(cm));
    }
}

/* --- the codec ---------------------------------------------------------------------------- */

static bool conn_manager_on_new_stream(void *owner, struct codec_stream *cs)
{
    struct conn_manager *cm = conn_manager_from(owner);
    const struct http_conn_manager_config *c = cm->config;
    struct http_stream *s;

    if (cm->is_closed || cm->drain_state >= DRAIN_CLOSING) {
        return false;
    }
    cm->request_count++;
    s = stream_new(cm, cs);
    conn_manager_count(cm, CM_RQ_TOTAL);
    conn_manager_count(cm, conn_manager_is_http1(cm) ? CM_RQ_HTTP1_TOTAL : CM_RQ_HTTP2_TOTAL);
    conn_manager_gauge(cm, CM_RQ_ACTIVE, 1);
    if (c->max_requests_per_connection > 0 && cm->request_count >= c->max_requests_per_connection) {
        conn_manager_count(cm, CM_CX_MAX_REQUESTS_REACHED);
        if (conn_manager_is_http1(cm)) {
            s->wants_close = true;
        } else if (cm->drain_state == DRAIN_NONE) {
            conn_manager_start_drain(cm);
        }
    }
    return true;
}

static void conn_manager_on_stream_end(void *owner, struct codec_stream *cs)
{
    (void)conn_manager_from(owner);
    if (cs->user != NULL) {
        stream_end(cs->user);
    }
}

/* As Envoy: a broken HTTP/1 request is answered where it can be; HTTP/2 has said GOAWAY. */
static void conn_manager_on_error(void *owner, const struct codec_error *e)
{
    struct conn_manager *cm = conn_manager_from(owner);
    struct http_stream *s;

    log_debug(LOG_C_HTTP, "[C%llu] protocol error: %.*s", (unsigned long long)cm->conn->id,
              STR_ARG(e->details));
    conn_manager_count(cm, CM_CX_PROTOCOL_ERROR);
    list_for_each (s, &cm->streams, struct http_stream, node) {
        stream_info_set_flag(&s->info, FLAG_DOWNSTREAM_PROTOCOL_ERROR);
        s->info.response_code_details = e->details;
    }
    s = list_first(&cm->streams, struct http_stream, node);
    if (s != NULL && e->status != 0) {
        conn_manager_set_closing(cm);
        stream_local_reply(s, &(struct local_reply){
                                  .status = e->status,
                                  .body = e->body,
                                  .details = e->details,
                              });
    }
    conn_manager_close(cm, e->is_outbound_flood ? CONN_CLOSE_NOW : CONN_CLOSE_FLUSH_AND_DELAY);
}

static void conn_manager_on_output(void *owner)
{
    conn_output_added(conn_manager_from(owner)->conn);
}

static void conn_manager_on_read_disable(void *owner, bool disable)
{
    struct conn_manager *cm = conn_manager_from(owner);

    if (!cm->is_closed) {
        conn_read_disable(cm->conn, disable);
    }
}

static void conn_manager_on_ping_ack(void *owner)
{
    struct conn_manager *cm = conn_manager_from(owner);

    if (cm->keepalive != NULL) {
        h2_keepalive_acknowledged(cm->keepalive);
    }
}

static void conn_manager_on_keepalive_timeout(void *owner)
{
    struct conn_manager *cm = conn_manager_from(owner);

    cm->close_details = STR("downstream_local_disconnect(http2_ping_timeout)");
    conn_close(cm->conn, CONN_CLOSE_NOW); /* streams end with it: conn_manager_on_closed */
}

static void conn_manager_on_pending(void *owner)
{
    struct conn_manager *cm = conn_manager_from(owner);

    loop_task_schedule(cm->thread->loop, &cm->pending_task);
}

/* The client wants no streams of ours, and gets none: its own are served, also new ones while one
 * is open. With the last the connection ends (the codec's should_close). */
static void conn_manager_on_goaway(void *owner)
{
    struct conn_manager *cm = conn_manager_from(owner);

    if (list_is_empty(&cm->streams)) {
        conn_manager_set_closing(cm);
        /* What it still sends must not make the end an RST. */
        conn_manager_close(cm, CONN_CLOSE_FLUSH_AND_DELAY);
    }
}

static const struct codec_callbacks conn_manager_codec_callbacks = {
    .on_new_stream = conn_manager_on_new_stream,
    .on_stream_end = conn_manager_on_stream_end,
    .on_error = conn_manager_on_error,
    .on_output = conn_manager_on_output,
    .on_read_disable = conn_manager_on_read_disable,
    .on_goaway = conn_manager_on_goaway,
    .on_pending = conn_manager_on_pending,
    .on_ping_ack = conn_manager_on_ping_ack,
};

static void conn_manager_make_codec(struct conn_manager *cm, enum http_protocol protocol)
{
    const struct http_conn_manager_config *c = cm->config;
    struct codec_limits limits = {
        .max_headers_bytes = c->max_request_headers_bytes,
        .max_headers_count = c->max_headers_count,
        .underscores = (uint8_t)c->headers_with_underscores,
        .http1 = &c->http1,
        .http2 = &c->http2,
        .http2_stats = cm->http2_stats,
        .stream_buffer_bytes = cm->buffer_limit_bytes,
    };

    _Static_assert((int)UNDERSCORE_REJECT_REQUEST == (int)UNDERSCORES_REJECT &&
                       (int)UNDERSCORE_DROP_HEADER == (int)UNDERSCORES_DROP,
                   "the model's and the codec's actions are the same");
    if (protocol == HTTP_2) {
        if (c->http2_stats != NULL) {
            limits.http2_stats = cm->http2_stats =
                stat_scope_block(c->http2_stats, cm->thread->loop->index);
        }
        cm->codec = h2_server_codec_new(&conn_manager_codec_callbacks, cm, &cm->conn->out, &limits);
        conn_manager_count(cm, CM_CX_HTTP2_TOTAL);
        conn_manager_gauge(cm, CM_CX_HTTP2_ACTIVE, 1);
        if (h2_keepalive_is_wanted(&c->http2.keepalive)) {
            cm->keepalive = xcalloc(1, sizeof(*cm->keepalive));
            h2_keepalive_start(cm->keepalive, cm->thread->loop, &c->http2.keepalive, cm->codec,
                               conn_manager_on_keepalive_timeout, cm);
        }
    } else {
        if (c->http1_stats != NULL) {
            limits.http1_stats = stat_scope_block(c->http1_stats, cm->thread->loop->index);
        }
        cm->codec = h1_server_codec_new(&conn_manager_codec_callbacks, cm, &cm->conn->out, &limits);
        conn_manager_count(cm, CM_CX_HTTP1_TOTAL);
        conn_manager_gauge(cm, CM_CX_HTTP1_ACTIVE, 1);
    }
    if (cm->drain_state != DRAIN_NONE) {
        cm->codec->ops->drain(cm->codec);
    }
}

/* What the client speaks, from ALPN or, without it, its first bytes. False: they do not say yet. */
static bool conn_manager_know_protocol(struct conn_manager *cm, const struct buf *in,
                                       bool end_stream, enum http_protocol *ret_protocol)
{
    struct str alpn = conn_alpn(cm->conn);

    *ret_protocol = HTTP_11;
    switch (cm->config->codec_type) {
    case HTTP_CODEC_HTTP2:
        *ret_protocol = HTTP_2;
        return true;
    case HTTP_CODEC_HTTP1:
    case HTTP_CODEC_HTTP3:
        return true;
    case HTTP_CODEC_AUTO:
        break;
    }
    if (alpn.len > 0) {
        *ret_protocol = str_eq(alpn, STR("h2")) ? HTTP_2 : HTTP_11;
        return true;
    }
    switch (h2_preface_check(in)) {
    case H2_PREFACE_NO:
        return true;
    case H2_PREFACE_YES:
        *ret_protocol = HTTP_2;
        return true;
    case H2_PREFACE_MORE:
        break;
    }
    return end_stream;
}

/* --- the connection ----------------------------------------------------------------------- */

void conn_manager_on_data(struct conn_manager *cm, struct buf *in, bool end_stream)
{
    enum http_protocol protocol;
    struct http_stream *s;

    if (cm->drain_state == DRAIN_CLOSED) {
        buf_reset(in); /* after our last response nothing is read as HTTP */
        return;
    }
    if (NUNCIO_UNLIKELY(conn_manager_sheds_input(cm))) {
        buf_reset(in);
        return;
    }
    if (cm->codec == NULL) {
        if (!conn_manager_know_protocol(cm, in, end_stream, &protocol)) {
            return; /* offered again with what comes */
        }
        conn_manager_make_codec(cm, protocol);
    }
    if (cm->keepalive != NULL && buf_len(in) > 0) {
        h2_keepalive_received(cm->keepalive);
    }
    (void)cm->codec->ops->dispatch(cm->codec, in, end_stream); /* errors came by on_error */
    conn_manager_check_resets(cm);
    s = list_last(&cm->streams, struct http_stream, node); /* at most one head is incomplete */
    if (s != NULL && s->phase == STREAM_READING_HEAD) {
        conn_manager_watch_deadline(cm, s->head_deadline_ms);
    }
}

static void conn_manager_run_pending(struct loop_task *t)
{
    struct conn_manager *cm = container_of(t, struct conn_manager, pending_task);
    struct buf nothing;

    buf_init(&nothing, &cm->thread->loop->bufs);
    if (!cm->is_closed) {
        conn_manager_on_data(cm, &nothing, false);
    }
}

void conn_manager_on_watermark(struct conn_manager *cm, bool is_above)
{
    if (cm->codec != NULL && !cm->is_closed) {
        cm->codec->ops->on_watermark(cm->codec, is_above);
    }
}

struct conn_manager *conn_manager_new(const struct http_conn_manager_config *config,
                                      struct thread_context *t, struct conn *conn,
                                      struct listener_connection *lc, uint32_t buffer_limit_bytes)
{
    struct conn_manager *cm = xcalloc(1, sizeof(*cm));
    uint64_t now = loop_now_ms(t->loop);

    cm->magic = CONN_MANAGER_MAGIC;
    cm->config = config;
    cm->thread = t;
    cm->conn = conn;
    cm->lc = lc;
    cm->buffer_limit_bytes = buffer_limit_bytes;
    list_init(&cm->streams);
    timer_init(&cm->timer, conn_manager_on_timer);
    loop_task_init(&cm->pending_task, conn_manager_run_pending);
    cm->opened_ms = now;
    cm->drain_deadline_ms = NO_DEADLINE;
    cm->idle_deadline_ms =
        config->idle_timeout_ms > 0 ? now + config->idle_timeout_ms : NO_DEADLINE;
    cm->duration_deadline_ms =
        config->max_connection_duration_ms > 0
            ? now + rng_jittered(&t->loop->rng, config->max_connection_duration_ms,
                                 config->max_connection_duration_jitter)
            : NO_DEADLINE;
    if (config->stats != NULL) {
        cm->stats = stat_scope_block(config->stats, t->loop->index);
    }
    if (config->listener_stats != NULL) {
        cm->listener_stats = stat_scope_block(config->listener_stats, t->loop->index);
    }
    conn->delayed_close_ms = (uint32_t)config->delayed_close_timeout_ms;
    conn_manager_watch_deadline(cm, conn_manager_idle_due(cm));
    conn_manager_watch_deadline(cm, conn_manager_duration_due(cm));
    conn_manager_count(cm, CM_CX_TOTAL);
    conn_manager_gauge(cm, CM_CX_ACTIVE, 1);
    if (conn_manager_is_tls(cm)) {
        conn_manager_count(cm, CM_CX_SSL_TOTAL);
        conn_manager_gauge(cm, CM_CX_SSL_ACTIVE, 1);
    }
    return cm;
}

static void conn_manager_free(struct deferred *d)
{
    struct conn_manager *cm = container_of(d, struct conn_manager, deferred);

    if (cm->codec != NULL) {
        cm->codec->ops->free(cm->codec);
    }
    free(cm->keepalive);
    cm->magic = 0;
    free(cm);
}

static void conn_manager_count_closed(struct conn_manager *cm)
{
    conn_manager_count_bytes(cm);
    conn_manager_count(cm, CM_CX_DESTROY);
    conn_manager_gauge(cm, CM_CX_ACTIVE, -1);
    if (cm->codec != NULL) {
        conn_manager_gauge(cm, conn_manager_is_http1(cm) ? CM_CX_HTTP1_ACTIVE : CM_CX_HTTP2_ACTIVE,
                           -1);
    }
    if (conn_manager_is_tls(cm)) {
        conn_manager_gauge(cm, CM_CX_SSL_ACTIVE, -1);
    }
    if (cm->is_soft_draining) {
        conn_manager_gauge(cm, CM_CX_HTTP1_SOFT_DRAIN, -1);
    }
    if (cm->stats != NULL) {
        stat_record(cm->stats, CM_CX_LENGTH_MS, loop_now_ms(cm->thread->loop) - cm->opened_ms);
    }
}

void conn_manager_on_closed(struct conn_manager *cm, enum conn_close_cause cause)
{
    bool is_local = cause == CONN_CLOSED_LOCAL;

    loop_task_cancel(&cm->pending_task);
    if (cm->keepalive != NULL) {
        h2_keepalive_stop(cm->keepalive);
    }
    timer_cancel(cm->thread->loop, &cm->timer);
    conn_manager_count(cm, is_local ? CM_CX_DESTROY_LOCAL : CM_CX_DESTROY_REMOTE);
    if (cm->conn->is_close_timed_out) {
        conn_manager_count(cm, CM_CX_DELAYED_CLOSE_TIMEOUT);
    }
    cm->is_closed = true;
    if (!is_local) {
        cm->close_details = STR("downstream_remote_disconnect");
    } else if (cm->close_details.len == 0) { /* the listener's doing */
        cm->close_details = STR("downstream_local_disconnect(filter_chain_is_being_removed)");
    }
    if (!list_is_empty(&cm->streams)) {
        /* As Envoy: whoever closed it. */
        conn_manager_count(cm, CM_CX_DESTROY_REMOTE_ACTIVE_RQ);
        conn_manager_count(cm, CM_CX_DESTROY_ACTIVE_RQ);
        cm->codec->ops->connection_closed(cm->codec, RESET_CONNECTION_TERMINATION);
    }
    conn_manager_count_closed(cm);
    cm->lc = NULL;
    /* Callers further up the stack still look at it. */
    deferred_free(cm->thread->loop, &cm->deferred, conn_manager_free);
}
