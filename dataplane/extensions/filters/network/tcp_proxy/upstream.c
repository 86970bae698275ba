/*
 * The host's side of a relayed connection: which cluster, attempts at a connection, the bytes once
 * there is one. The connection's thread.
 */

#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/event/loop.h"
#include "dataplane/extensions/filters/network/tcp_proxy/session.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_stats.h"

static struct thread_context *session_thread(const struct tcp_session *s)
{
    return s->filter->lc->thread;
}

/* --- failures ----------------------------------------------------------------------------- */

static void session_fail(struct tcp_session *s, enum response_flag flag)
{
    stream_info_set_flag(&s->info, flag);
    tcp_session_close(s, CONN_CLOSE_NOW);
}

static uint64_t session_next_backoff_ms(struct tcp_session *s)
{
    const struct tcp_proxy_config *c = s->config;
    uint64_t ms = s->backoff_ms;

    if (ms == 0) {
        return 0;
    }
    s->backoff_ms = ms > c->backoff_max_ms / 2 ? c->backoff_max_ms : ms * 2;
    return rng_below(&s->loop->rng, ms);
}

void tcp_upstream_attempt_failed(struct tcp_session *s)
{
    if (s->info.attempt_count >= s->config->max_connect_attempts) {
        stat_inc(cluster_stats(s->cluster), CLUSTER_UPSTREAM_CX_CONNECT_ATTEMPTS_EXCEEDED);
        session_fail(s, FLAG_UPSTREAM_RETRY_LIMIT_EXCEEDED);
        return;
    }
    tcp_session_set_state(s, TCP_SESSION_RETRYING);
    timer_arm(s->loop, &s->retry_timer, session_next_backoff_ms(s));
}

void tcp_upstream_on_retry_timer(struct timer *t)
{
    tcp_upstream_connect(container_of(t, struct tcp_session, retry_timer));
}

/* --- the open stream ---------------------------------------------------------------------- */

void tcp_upstream_on_data(void *user, struct buf *data, bool end_stream)
{
    struct tcp_session *s = user;

    tcp_session_host_data(s, data, end_stream);
    if (end_stream && s->protocol == POOL_HTTP1 && s->state == TCP_SESSION_OPEN) {
        s->upstream = NULL; /* HTTP/1 ends with its answer, as in Envoy */
        tcp_session_close(s, CONN_CLOSE_FLUSH);
    }
}

/* Whether it is the host that broke it off, which the client is told in kind. */
static bool session_is_host_reset(const struct tcp_session *s, enum stream_reset_reason reason)
{
    switch (s->protocol) {
    case POOL_TCP:
        return s->upstream->end_reason == RESET_CONNECT_ERROR;
    case POOL_HTTP2:
        return reason == RESET_REMOTE || reason == RESET_REMOTE_REFUSED ||
               reason == RESET_CONNECT_ERROR;
    default:
        return false;
    }
}

void tcp_upstream_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct tcp_session *s = user;
    bool is_rst = session_is_host_reset(s, reason);

    (void)details;
    s->upstream = NULL;
    if (is_rst) {
        stream_info_set_flag(&s->info, FLAG_UPSTREAM_REMOTE_RESET);
    }
    tcp_session_close(s, is_rst ? CONN_CLOSE_RESET : CONN_CLOSE_FLUSH);
}

void tcp_upstream_on_watermark(void *user, bool is_above)
{
    tcp_session_stop_client(user, is_above);
}

static const struct codec_stream_callbacks stream_callbacks = {
    .on_data = tcp_upstream_on_data,
    .on_reset = tcp_upstream_on_reset,
    .on_watermark = tcp_upstream_on_watermark,
};

static size_t upstream_unwritten(const struct tcp_session *s)
{
    return s->protocol == POOL_TCP ? conn_unwritten(pool_request_conn(&s->request)) : 0;
}

void tcp_upstream_send(struct tcp_session *s, struct buf *take_data, bool end_stream)
{
    if (end_stream && s->has_host_end && buf_len(take_data) + upstream_unwritten(s) > 0) {
        stat_inc(s->stats, TCP_PROXY_UPSTREAM_FLUSH_TOTAL);
    }
    s->upstream->ops->encode_data(s->upstream, take_data, end_stream);
    if (end_stream && s->protocol == POOL_HTTP1 && s->upstream != NULL) {
        conn_flush(pool_request_conn(&s->request)); /* as Envoy: the client's end is that of both */
        tcp_session_close(s, CONN_CLOSE_FLUSH);
    }
}

uint64_t tcp_upstream_written(const struct tcp_session *s)
{
    return s->upstream != NULL && s->protocol == POOL_TCP
               ? pool_request_conn(&s->request)->wire_written
               : 0;
}

void tcp_upstream_stop(struct tcp_session *s, bool stop)
{
    if (s->has_host_end) {
        return; /* nothing more comes */
    }
    stat_inc(cluster_stats(s->cluster), stop ? CLUSTER_UPSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL
                                             : CLUSTER_UPSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL);
    s->upstream->ops->read_disable(s->upstream, stop);
}

void tcp_upstream_abandon(struct tcp_session *s, bool is_reset)
{
    struct codec_stream *stream = s->upstream;

    if (stream != NULL) {
        s->upstream = NULL;
        stream->ops->reset(stream,
                           is_reset && s->protocol == POOL_TCP ? RESET_CONNECT_ERROR : RESET_LOCAL);
    } else if (s->state == TCP_SESSION_CONNECTING) {
        pool_request_cancel(&s->request);
    }
}

/* --- connecting --------------------------------------------------------------------------- */

/* What is left to write when all is over may stand still for as long as anything else. */
static uint32_t delayed_close_ms(const struct tcp_session *s)
{
    uint64_t ms = s->config->idle_timeout_ms;

    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* As Envoy: not before there is an outcome. */
static void session_note_host(struct tcp_session *s)
{
    s->info.upstream_remote = *host_address(s->host);
    s->info.is_upstream_connected = false;
    s->info.upstream_host_name = host_name(s->host);
    s->info.upstream_host_metadata = host_metadata(s->host);
}

static void session_on_ready(struct pool_request *rq)
{
    struct tcp_session *s = rq->user;
    struct pool_connection_info conn;

    s->protocol = rq->protocol;
    pool_request_connection(rq, &conn);
    s->protocol = rq->protocol; /* what a tunnel's connection negotiated */
    session_note_host(s);
    s->info.upstream_ready_ns = clock_mono_ns();
    s->info.upstream_local = *conn.local;
    s->info.upstream_connection_id = conn.connection_id;
    s->info.upstream_connect_start_ns = conn.connect_start_ns;
    s->info.upstream_connect_end_ns = conn.connect_end_ns;
    s->info.upstream_remote = *conn.remote;
    s->info.is_upstream_connected = true;
    stream_info_set_upstream_tls(&s->info, conn_tls_info(pool_request_conn(rq)));
    if (s->protocol == POOL_TCP) {
        pool_request_conn(rq)->delayed_close_ms = delayed_close_ms(s);
        s->upstream = pool_request_open_stream(rq, &stream_callbacks, s, NULL, NULL);
        tcp_session_connected(s);
    } else {
        header_map_init(&s->response, &s->arena);
        s->upstream =
            pool_request_open_stream(rq, &tcp_tunnel_callbacks, s, &s->arena, &s->response);
        tcp_tunnel_open(s);
    }
}

static void session_on_failure(struct pool_request *rq, enum pool_failure failure,
                               struct str transport_reason)
{
    struct tcp_session *s = rq->user;

    session_note_host(s);
    s->info.upstream_ready_ns = clock_mono_ns(); /* as Envoy: the wait is over */
    s->info.upstream_transport_failure_reason = arena_str(&s->arena, transport_reason);
    if (failure == POOL_FAILURE_REMOTE_CONNECT || failure == POOL_FAILURE_CONNECT_TIMEOUT) {
        stream_info_set_flag(&s->info, FLAG_UPSTREAM_CONNECTION_FAILURE);
    }
    tcp_upstream_attempt_failed(s);
}

static const struct pool_request_ops request_ops = {
    .on_ready = session_on_ready,
    .on_failure = session_on_failure,
};

/* As Envoy: of the weighted clusters a new one for each attempt. */
static const struct tcp_cluster *session_pick_cluster(struct tcp_session *s)
{
    const struct tcp_proxy_config *c = s->config;
    uint64_t at;

    if (!c->is_weighted) {
        return c->clusters; /* NULL: none */
    }
    at = rng_below(&s->loop->rng, c->total_weight);
    for (size_t i = 0;; i++) {
        if (at < c->clusters[i].weight) {
            return &c->clusters[i];
        }
        at -= c->clusters[i].weight;
    }
}

static void session_hash(const struct tcp_session *s, struct lb_context *lb)
{
    char text[ADDRESS_TEXT_MAX];

    if (s->config->hash_policy == TCP_HASH_SOURCE_IP && address_is_ip(&s->client->remote)) {
        lb->has_hash = true;
        lb->hash = hash_xx64(str_n(text, address_format_ip(&s->client->remote, text)), 0);
    }
}

/* As Envoy: another filter's word counts, but not over weighted clusters. */
static struct cluster *session_route(struct tcp_session *s, struct str *ret_name)
{
    struct cluster_manager *cm = session_thread(s)->clusters;
    const struct tcp_cluster *to;

    if (s->filter->lc->cluster_name.len > 0 && !s->config->is_weighted) {
        *ret_name = s->filter->lc->cluster_name;
        return cluster_manager_find(cm, *ret_name);
    }
    to = session_pick_cluster(s);
    if (to == NULL) {
        return NULL;
    }
    *ret_name = to->name;
    return cluster_manager_get(cm, to->slot);
}

static bool session_find_cluster(struct tcp_session *s)
{
    struct str name;
    struct cluster *c = session_route(s, &name);

    if (c == NULL) {
        return false;
    }
    cluster_ref(c);
    cluster_unref(s->cluster);
    s->cluster = c;
    s->info.upstream_cluster = cluster_config_of(c)->stat_name;
    s->info.upstream_cluster_raw = name;
    s->info.cluster_metadata = cluster_config_of(c)->metadata;
    return true;
}

/* As Envoy: what does not find room is not kept waiting, for no connection ever comes back. */
static bool session_may_connect(const struct tcp_session *s)
{
    return breaker_count(&s->cluster->breakers[PRIORITY_DEFAULT], BREAKER_CONNECTIONS) <
           cluster_limit(s->cluster, PRIORITY_DEFAULT, BREAKER_CONNECTIONS);
}

void tcp_upstream_connect(struct tcp_session *s)
{
    struct lb_context lb = {.priority = PRIORITY_DEFAULT};
    struct host *host;

    if (!session_find_cluster(s)) {
        stat_inc(s->stats, TCP_PROXY_CX_NO_ROUTE);
        session_fail(s, FLAG_NO_CLUSTER_FOUND);
        return;
    }
    if (!session_may_connect(s)) {
        stat_inc(cluster_stats(s->cluster), CLUSTER_UPSTREAM_CX_OVERFLOW);
        session_fail(s, FLAG_UPSTREAM_OVERFLOW);
        return;
    }
    session_hash(s, &lb);
    host = cluster_pick(s->cluster, &lb);
    if (host == NULL) {
        session_fail(s, FLAG_NO_HEALTHY_UPSTREAM);
        return;
    }
    stream_info_next_attempt(&s->info, &s->arena);
    host_unref(s->host);
    s->host = host;
    s->info.upstream_request_ns = clock_mono_ns();
    s->info.attempt_count++;
    tcp_session_set_state(s, TCP_SESSION_CONNECTING);
    s->protocol = s->config->tunnel != NULL ? cluster_pool_protocol(s->cluster, HTTP_11) : POOL_TCP;
    cluster_request_stream(s->cluster, host, PRIORITY_DEFAULT, s->protocol,
                           tcp_transport_options(s), &request_ops, s, &s->request);
}
