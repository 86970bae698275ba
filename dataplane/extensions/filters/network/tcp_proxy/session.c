/*
 * One relayed connection as a whole, and its client's side: states, timers, the two ways that end
 * on their own. The connection's thread.
 */

#include "dataplane/extensions/filters/network/tcp_proxy/session.h"

#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/listener.h"
#include "dataplane/runtime/thread_context.h"

static const char *tcp_session_state_name(enum tcp_session_state s)
{
    static const char *const names[] = {"new", "connecting", "retrying", "open", "ended"};

    return names[s];
}

static bool tcp_session_may_become(enum tcp_session_state from, enum tcp_session_state to)
{
    switch (from) {
    case TCP_SESSION_NEW:
    case TCP_SESSION_RETRYING:
        return to == TCP_SESSION_CONNECTING || to == TCP_SESSION_ENDED;
    case TCP_SESSION_CONNECTING:
        return to == TCP_SESSION_RETRYING || to == TCP_SESSION_OPEN || to == TCP_SESSION_ENDED;
    case TCP_SESSION_OPEN:
        return to == TCP_SESSION_ENDED;
    case TCP_SESSION_ENDED:
        break;
    }
    return false;
}

void tcp_session_set_state(struct tcp_session *s, enum tcp_session_state state)
{
    CHECK(tcp_session_may_become(s->state, state));
    log_debug(LOG_C_FILTER, "[C%llu] tcp_proxy: %s -> %s", (unsigned long long)s->client->id,
              tcp_session_state_name(s->state), tcp_session_state_name(state));
    s->state = state;
}

/* --- the end ------------------------------------------------------------------------------ */

void tcp_session_end(struct tcp_session *s, bool is_reset)
{
    if (s->state != TCP_SESSION_ENDED) {
        tcp_upstream_abandon(s, is_reset);
        tcp_session_set_state(s, TCP_SESSION_ENDED);
        timer_cancel(s->loop, &s->idle_timer);
        timer_cancel(s->loop, &s->retry_timer);
        timer_cancel(s->loop, &s->duration_timer);
    }
}

void tcp_session_close(struct tcp_session *s, enum conn_close_mode mode)
{
    tcp_session_end(s, false);
    conn_close(s->client, mode);
}

/* As Envoy: once its listener drains, a connection is not left to the drain timer but closed when
 * something moves on it. */
static bool tcp_session_drain_close(struct tcp_session *s)
{
    if (!s->config->checks_drain_close || s->state == TCP_SESSION_ENDED ||
        !listener_connection_wants_drain(s->filter->lc)) {
        return false;
    }
    stat_inc(s->stats, TCP_PROXY_CX_DRAIN_CLOSE);
    tcp_session_close(s, CONN_CLOSE_FLUSH);
    return true;
}

/* Each way has ended: so has the connection. */
static void tcp_session_maybe_done(struct tcp_session *s)
{
    if (s->has_client_end && s->has_host_end && s->state == TCP_SESSION_OPEN) {
        s->upstream = NULL; /* ends by itself, once all is sent */
        tcp_session_close(s, CONN_CLOSE_FLUSH);
    }
}

/* --- time --------------------------------------------------------------------------------- */

void tcp_session_touch(struct tcp_session *s)
{
    if (s->config->idle_timeout_ms > 0) {
        timer_arm(s->loop, &s->idle_timer, s->config->idle_timeout_ms);
    }
}

static void tcp_session_on_idle(struct timer *t)
{
    struct tcp_session *s = container_of(t, struct tcp_session, idle_timer);
    uint64_t moved = s->client->wire_written + tcp_upstream_written(s);

    if (moved != s->seen_bytes) { /* a slow reader is no idle one */
        s->seen_bytes = moved;
        tcp_session_touch(s);
        return;
    }
    stat_inc(s->stats, TCP_PROXY_IDLE_TIMEOUT);
    tcp_session_close(s, CONN_CLOSE_NOW);
}

static void tcp_session_on_max_duration(struct timer *t)
{
    struct tcp_session *s = container_of(t, struct tcp_session, duration_timer);

    stat_inc(s->stats, TCP_PROXY_MAX_DURATION);
    stream_info_set_flag(&s->info, FLAG_DURATION_TIMEOUT);
    tcp_session_close(s, CONN_CLOSE_NOW);
}

static void tcp_session_arm_duration(struct tcp_session *s)
{
    const struct tcp_proxy_config *c = s->config;

    if (c->max_duration_ms > 0) {
        timer_arm(s->loop, &s->duration_timer,
                  rng_jittered(&s->loop->rng, c->max_duration_ms, c->max_duration_jitter));
    }
}

static void tcp_session_on_log_timer(struct timer *t)
{
    struct tcp_session *s = container_of(t, struct tcp_session, log_timer);

    tcp_session_log(s, ACCESS_LOG_TCP_PERIODIC);
    timer_arm(s->loop, &s->log_timer, s->config->log_interval_ms);
}

/* --- bytes -------------------------------------------------------------------------------- */

static bool reads_early(const struct tcp_session *s)
{
    return s->config->max_early_data_bytes.is_set;
}

/* To the host, which takes it. */
static void tcp_session_pass(struct tcp_session *s, struct buf *data, bool end_stream)
{
    s->info.upstream_wire_bytes_sent += buf_len(data);
    s->has_client_end = end_stream;
    tcp_upstream_send(s, data, end_stream);
    tcp_session_maybe_done(s);
}

void tcp_session_connected(struct tcp_session *s)
{
    tcp_session_set_state(s, TCP_SESSION_OPEN);
    tcp_session_touch(s);
    if (!reads_early(s) || s->is_early_stopped) {
        conn_read_disable(s->client, false);
    }
    if (s->config->logs_connected) {
        tcp_session_log(s, ACCESS_LOG_TCP_UPSTREAM_CONNECTED);
    }
    if (buf_len(&s->early) > 0 || s->has_early_end) {
        tcp_session_pass(s, &s->early, s->has_early_end);
    }
}

/* There is no host yet. */
static void tcp_session_hold(struct tcp_session *s, struct buf *data, bool end_stream)
{
    bool is_first = buf_len(&s->early) == 0 && !s->has_early_end;

    if (s->state == TCP_SESSION_ENDED || !reads_early(s)) {
        return;
    }
    stat_inc(s->stats, TCP_PROXY_EARLY_DATA_RECEIVED);
    buf_move(&s->early, data);
    s->has_early_end |= end_stream;
    if (buf_len(&s->early) >= s->config->max_early_data_bytes.value && !s->is_early_stopped) {
        s->is_early_stopped = true;
        conn_read_disable(s->client, true);
    }
    if (is_first && buf_len(&s->early) > 0 && s->config->connect_mode == TCP_CONNECT_ON_DATA) {
        tcp_upstream_connect(s);
    }
}

void tcp_session_handshaken(struct tcp_session *s)
{
    if (s->state == TCP_SESSION_NEW && s->config->connect_mode == TCP_CONNECT_ON_TLS_HANDSHAKE) {
        tcp_upstream_connect(s);
    }
}

void tcp_session_host_data(struct tcp_session *s, struct buf *data, bool end_stream)
{
    size_t len = buf_len(data);

    s->info.bytes_sent += len;
    s->info.wire_bytes_sent += len;
    s->info.upstream_wire_bytes_received += len;
    stat_add(s->stats, TCP_PROXY_CX_TX_BYTES_TOTAL, len);
    tcp_session_touch(s);
    s->has_host_end = end_stream;
    conn_write(s->client, data);
    if (tcp_session_drain_close(s)) {
        return;
    }
    if (end_stream) {
        conn_shutdown_write(s->client);
        tcp_session_maybe_done(s);
    }
}

void tcp_session_stop_client(struct tcp_session *s, bool stop)
{
    if (s->is_client_stopped == stop || conn_is_closing(s->client)) {
        return;
    }
    s->is_client_stopped = stop;
    stat_inc(s->stats, stop ? TCP_PROXY_FLOW_CONTROL_PAUSED : TCP_PROXY_FLOW_CONTROL_RESUMED);
    conn_read_disable(s->client, stop);
    tcp_session_touch(s);
}

void tcp_session_client_data(struct tcp_session *s, struct buf *in, bool end_stream)
{
    size_t len = buf_len(in);

    s->info.bytes_received += len;
    s->info.wire_bytes_received += len;
    stat_add(s->stats, TCP_PROXY_CX_RX_BYTES_TOTAL, len);
    if (s->state == TCP_SESSION_OPEN) {
        tcp_session_touch(s);
        tcp_session_pass(s, in, end_stream);
    } else {
        tcp_session_hold(s, in, end_stream);
    }
    (void)tcp_session_drain_close(s); /* nothing follows here */
}

/* --- the beginning and the very end ------------------------------------------------------- */

struct tcp_session *tcp_session_new(struct network_filter *f)
{
    struct listener_connection *lc = f->lc;
    struct tcp_session *s = xcalloc(1, sizeof(*s));

    s->filter = f;
    s->config = f->config;
    s->client = lc->conn;
    s->loop = lc->thread->loop;
    s->stats = stat_scope_block(s->config->stats, s->loop->index);
    s->backoff_ms = s->config->backoff_base_ms;
    arena_init(&s->arena, &s->loop->arenas);
    buf_init(&s->early, &s->loop->bufs);
    timer_init(&s->idle_timer, tcp_session_on_idle);
    timer_init(&s->duration_timer, tcp_session_on_max_duration);
    timer_init(&s->retry_timer, tcp_upstream_on_retry_timer);
    timer_init(&s->log_timer, tcp_session_on_log_timer);
    return s;
}

/* As Envoy: without TLS there is no handshake to wait for. */
static bool tcp_session_connects_at_once(const struct tcp_session *s)
{
    switch (s->config->connect_mode) {
    case TCP_CONNECT_ON_DATA:
        return false;
    case TCP_CONNECT_ON_TLS_HANDSHAKE:
        return !conn_is_secure(s->client);
    case TCP_CONNECT_AT_ONCE:
        break;
    }
    return true;
}

void tcp_session_start(struct tcp_session *s)
{
    tcp_session_init_info(s);
    tcp_session_arm_duration(s);
    if (s->config->log_interval_ms > 0) {
        timer_arm(s->loop, &s->log_timer, s->config->log_interval_ms);
    }
    tcp_session_touch(s);
    if (s->config->logs_start) {
        tcp_session_log(s, ACCESS_LOG_TCP_CONNECTION_START);
    }
    if (tcp_session_connects_at_once(s)) {
        tcp_upstream_connect(s);
    }
}

void tcp_session_free(struct tcp_session *s)
{
    timer_cancel(s->loop, &s->log_timer);
    stream_info_set_upstream_tls(&s->info, NULL);
    host_unref(s->host);
    cluster_unref(s->cluster);
    buf_reset(&s->early);
    arena_done(&s->arena);
    free(s);
}
