/*
 * Who gets which connection: limits, waiting requests, states of connections and their counts.
 * One thread. What happens on a connection is in pool_conn.c.
 */

#include "dataplane/upstream/conn_pool.h"

#include <stdlib.h>

#include "config/model/part_handle.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/transport_options.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/conn_pool_internal.h"
#include "dataplane/upstream/option_pools.h"

/* Streams on an HTTP/2 connection whose peer has not said how many it takes: what RFC 9113, 6.5.2
 * asks of all. Envoy opens as many as there are requests; the peer refuses what is too much. */
#define FIRST_STREAMS 100
#define IDLE_TIMEOUT_DEFAULT_MS (3600 * 1000u) /* as Envoy */

static void pool_connect_as_needed(struct conn_pool *p);

static struct cluster *pool_cluster(const struct conn_pool *p)
{
    return p->host->cluster;
}

static struct stat_block *pool_stats(const struct conn_pool *p)
{
    return pool_cluster(p)->stats;
}

static struct circuit_breaker *pool_breaker(const struct conn_pool *p)
{
    return &pool_cluster(p)->breakers[p->priority];
}

static uint32_t pool_limit(const struct conn_pool *p, enum breaker_resource r)
{
    return cluster_limit(pool_cluster(p), p->priority, r);
}

struct cluster *pool_conn_cluster(const struct pool_conn *pc)
{
    return pc->host->cluster;
}

static void pool_conn_count_bytes(struct pool_conn *pc)
{
    struct stat_block *stats = pool_stats(pc->pool);

    if (pc->conn != NULL) {
        stat_add(stats, CLUSTER_UPSTREAM_CX_RX_BYTES_TOTAL, pc->conn->bytes_read - pc->rx_counted);
        stat_add(stats, CLUSTER_UPSTREAM_CX_TX_BYTES_TOTAL,
                 pc->conn->bytes_written - pc->tx_counted);
        pc->rx_counted = pc->conn->bytes_read;
        pc->tx_counted = pc->conn->bytes_written;
    }
}

/* --- States ------------------------------------------------------------------------------------
 */

static const char *pool_conn_state_name(enum pool_conn_state s)
{
    static const char *const names[] = {"connecting", "ready", "busy", "draining", "closed"};

    return names[s];
}

static bool pool_conn_may_become(enum pool_conn_state from, enum pool_conn_state to)
{
    switch (from) {
    case POOL_CONN_CONNECTING:
        return to == POOL_CONN_READY || to == POOL_CONN_DRAINING || to == POOL_CONN_CLOSED;
    case POOL_CONN_READY:
    case POOL_CONN_BUSY:
        return to != POOL_CONN_CONNECTING;
    case POOL_CONN_DRAINING:
        return to == POOL_CONN_DRAINING || to == POOL_CONN_CLOSED;
    case POOL_CONN_CLOSED:
        break;
    }
    return false;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Brings `promised` up to date with what it follows from. */
static void pool_conn_promise(struct pool_conn *pc)
{
    bool is_coming = pc->state == POOL_CONN_CONNECTING || pc->state == POOL_CONN_BUSY;
    uint64_t room = pc->assumed > pc->active ? pc->assumed - pc->active : 0;

    pc->pool->promised -= pc->promised;
    pc->promised = is_coming ? min_u64(room, pc->requests_left) : 0;
    pc->pool->promised += pc->promised;
}

void pool_conn_set_state(struct pool_conn *pc, enum pool_conn_state s)
{
    struct conn_pool *p = pc->pool;

    if (pc->state == s) {
        pool_conn_promise(pc);
        return;
    }
    CHECK(pool_conn_may_become(pc->state, s));
    log_debug(LOG_C_POOL, "[C%llu] %s -> %s",
              (unsigned long long)(pc->conn != NULL ? pc->conn->id : 0),
              pool_conn_state_name(pc->state), pool_conn_state_name(s));
    list_remove(&pc->node);
    pc->state = s;
    pool_conn_promise(pc);
    switch (s) {
    case POOL_CONN_READY:
        list_add_head(&p->ready, &pc->node);
        break;
    case POOL_CONN_BUSY:
    case POOL_CONN_DRAINING:
        list_add_head(&p->busy, &pc->node);
        break;
    case POOL_CONN_CONNECTING:
    case POOL_CONN_CLOSED:
        break;
    }
}

/* --- Requests ----------------------------------------------------------------------------------
 */

/* The request's own references. Its memory may go in the callback that follows. */
static void request_drop(struct pool_request *rq)
{
    struct cluster *c = rq->cluster;
    struct host *h = rq->host;

    rq->pool = NULL;
    rq->host = NULL;
    rq->cluster = NULL;
    host_unref(h);
    cluster_unref(c);
}

static void request_fail(struct pool_request *rq, enum pool_failure f, struct str reason)
{
    const struct pool_request_ops *ops = rq->ops;

    request_drop(rq);
    ops->on_failure(rq, f, reason);
}

static void pool_unqueue(struct conn_pool *p, struct pool_request *rq)
{
    list_remove(&rq->node);
    p->pending_count--;
    breaker_release(pool_breaker(p), BREAKER_PENDING);
    stat_dec(pool_stats(p), CLUSTER_UPSTREAM_RQ_PENDING_ACTIVE);
    host_stat_add(p->host, HOST_RQ_PENDING_ACTIVE, (uint64_t)-1);
}

/* All that wait fail. What their callbacks queue anew is not among them. */
static void pool_fail_pending(struct conn_pool *p, enum pool_failure f, struct str reason)
{
    struct list failed;
    struct pool_request *rq;

    list_init(&failed);
    list_splice(&failed, &p->pending);
    while ((rq = list_first(&failed, struct pool_request, node)) != NULL) {
        pool_unqueue(p, rq);
        stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_PENDING_FAILURE_EJECT);
        request_fail(rq, f, reason);
    }
}

/* Who waits is seen to soon. Not from here: the caller may be in the middle of a response. */
static void pool_serve_later(struct conn_pool *p)
{
    if (!list_is_empty(&p->pending)) {
        loop_task_schedule(p->loop, &p->serve_task);
    }
}

/* What it can still carry decides where it stands. A draining pool keeps its connections while
 * requests wait for them. */
static void pool_conn_place(struct pool_conn *pc)
{
    struct conn_pool *p = pc->pool;

    if (pc->requests_left == 0 || (p->is_draining && list_is_empty(&p->pending))) {
        pool_conn_set_state(pc, POOL_CONN_DRAINING);
    } else {
        pool_conn_set_state(pc, pc->active < pc->capacity ? POOL_CONN_READY : POOL_CONN_BUSY);
    }
}

/* `rq` is in no list. */
static void pool_attach(struct conn_pool *p, struct pool_conn *pc, struct pool_request *rq)
{
    struct host *h = p->host;

    if (!breaker_try_acquire(pool_breaker(p), BREAKER_REQUESTS, pool_limit(p, BREAKER_REQUESTS))) {
        stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_ACTIVE_OVERFLOW);
        request_fail(rq, POOL_FAILURE_ACTIVE_OVERFLOW, STR_NONE);
        return;
    }
    pc->active++;
    pc->requests++;
    pc->requests_left--;
    if (pc->requests_left == 0) {
        stat_inc(pool_stats(p), CLUSTER_UPSTREAM_CX_MAX_REQUESTS);
    }
    pool_conn_place(pc);
    h->active_requests++;
    host_stat_add(h, HOST_RQ_TOTAL, 1);
    host_stat_add(h, HOST_RQ_ACTIVE, 1);
    stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_TOTAL);
    stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_ACTIVE);
    /* From here on the connection holds the host for it, and its stream the cluster. */
    rq->pool = NULL;
    rq->conn = pc;
    rq->protocol = pc->type->protocol;
    host_unref(h);
    rq->ops->on_ready(rq);
}

void pool_conn_request_done(struct pool_conn *pc, struct codec_stream *s)
{
    struct conn_pool *p = pc->pool;
    struct host *h = pc->host;
    struct cluster *c = s->owner_data;
    struct stat_block *stats = pool_stats(p);

    CHECK(c != NULL && pc->active > 0 && h->active_requests > 0);
    s->owner_data = NULL;
    pc->active--;
    pc->stream = NULL;
    h->active_requests--;
    host_stat_add(h, HOST_RQ_ACTIVE, (uint64_t)-1);
    stat_dec(stats, CLUSTER_UPSTREAM_RQ_ACTIVE);
    pool_conn_count_bytes(pc);
    breaker_release(pool_breaker(p), BREAKER_REQUESTS);
    cluster_unref(c);
}

static void pool_serve(struct conn_pool *p)
{
    struct host *h = p->host;

    host_ref(h); /* keeps the pool through the callbacks */
    while (!list_is_empty(&p->pending) && !list_is_empty(&p->ready)) {
        struct pool_request *rq = list_first(&p->pending, struct pool_request, node);

        pool_unqueue(p, rq);
        pool_attach(p, list_first(&p->ready, struct pool_conn, node), rq);
    }
    pool_connect_as_needed(p);
    if (p->is_draining) {
        conn_pool_drain(p);
    }
    host_unref(h);
}

static void pool_on_serve(struct loop_task *t)
{
    struct conn_pool *p = container_of(t, struct conn_pool, serve_task);
    struct host *h = p->host;

    host_ref(h);
    pool_serve(p);
    if (p->options != NULL && conn_pool_is_empty(p)) {
        option_pools_remove(p);
    }
    host_unref(h);
}

/* A pool that nothing is left in goes soon. Not from here: the caller is not done with it. */
static void pool_reap_later(struct conn_pool *p)
{
    if (p->options != NULL && conn_pool_is_empty(p)) {
        loop_task_schedule(p->loop, &p->serve_task);
    }
}

void conn_pool_request(struct conn_pool *p, struct pool_request *rq)
{
    struct pool_conn *pc = list_first(&p->ready, struct pool_conn, node);

    list_init(&rq->node);
    rq->conn = NULL;
    rq->pool = p;
    if (NUNCIO_LIKELY(pc != NULL)) {
        pool_attach(p, pc, rq);
        return;
    }
    if (!breaker_try_acquire(pool_breaker(p), BREAKER_PENDING, pool_limit(p, BREAKER_PENDING))) {
        stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_PENDING_OVERFLOW);
        pool_reap_later(p);
        request_fail(rq, POOL_FAILURE_OVERFLOW, STR_NONE);
        return;
    }
    stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_PENDING_TOTAL);
    stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_PENDING_ACTIVE);
    cluster_make_host_stats(pool_cluster(p), p->host);
    host_stat_add(p->host, HOST_RQ_PENDING_ACTIVE, 1);
    list_add_tail(&p->pending, &rq->node);
    p->pending_count++;
    pool_connect_as_needed(p);
}

enum pool_protocol cluster_pool_protocol(const struct cluster *c, enum http_protocol downstream)
{
    switch (c->config->http_protocol) {
    case UPSTREAM_HTTP2:
        return POOL_HTTP2;
    case UPSTREAM_HTTP_DOWNSTREAM:
        return downstream >= HTTP_2 ? POOL_HTTP2 : POOL_HTTP1;
    case UPSTREAM_HTTP_AUTO:
        return POOL_HTTP_AUTO;
    case UPSTREAM_HTTP1:
        break;
    }
    return POOL_HTTP1;
}

static struct conn_pool *host_pool(struct host *h, enum routing_priority priority,
                                   enum pool_protocol protocol,
                                   const struct transport_options *options)
{
    struct conn_pool **pool = &h->pools[priority][protocol];

    if (options != NULL && options->hash != 0 && h->transport != NULL &&
        h->transport->open != NULL) { /* else they mean nothing to it */
        return option_pools_get(h, priority, protocol, options);
    }
    if (NUNCIO_UNLIKELY(*pool == NULL)) {
        *pool = conn_pool_new(h, priority, protocol, NULL);
    }
    return *pool;
}

void cluster_request_stream(struct cluster *c, struct host *h, enum routing_priority priority,
                            enum pool_protocol protocol, const struct transport_options *options,
                            const struct pool_request_ops *ops, void *user, struct pool_request *rq)
{
    rq->ops = ops;
    rq->user = user;
    rq->cluster = c;
    rq->host = h;
    rq->priority = priority;
    rq->protocol = protocol;
    cluster_ref(c);
    host_ref(h);
    conn_pool_request(host_pool(h, priority, protocol, options), rq);
}

/* As Envoy, of TCP: a connection that nobody waits for any more is not made. It would be made for
 * the wrong client. */
static void pool_close_excess(struct conn_pool *p)
{
    struct pool_conn *pc;

    list_for_each (pc, &p->connecting, struct pool_conn, node) {
        if (p->promised <= p->pending_count) {
            return;
        }
        pool_conn_close(pc);
    }
}

void pool_request_cancel(struct pool_request *rq)
{
    struct conn_pool *p = rq->pool;
    struct host *h;

    if (p == NULL) {
        return;
    }
    h = p->host;
    host_ref(h);
    pool_unqueue(p, rq);
    stat_inc(pool_stats(p), CLUSTER_UPSTREAM_RQ_CANCELLED);
    request_drop(rq);
    if (p->protocol == POOL_TCP) {
        pool_close_excess(p);
    }
    pool_reap_later(p);
    if (p->is_draining) {
        conn_pool_drain(p);
    }
    host_unref(h);
}

struct codec_stream *pool_request_open_stream(struct pool_request *rq,
                                              const struct codec_stream_callbacks *cb, void *user,
                                              struct arena *arena, struct header_map *headers)
{
    struct pool_conn *pc = pool_conn_from(rq->conn);
    struct codec_stream *s;

    if (pc->http2 != NULL) {
        h2_keepalive_before_stream(&pc->http2->keepalive);
    }
    s = pc->codec->ops->new_stream(pc->codec, cb, user, arena, headers);
    s->owner_data = rq->cluster; /* with the request's reference */
    rq->cluster = NULL;
    pc->stream = pc->type->is_serial ? s : NULL;
    return s;
}

struct conn *pool_request_conn(const struct pool_request *rq)
{
    return pool_conn_from(rq->conn)->conn;
}

void pool_request_connection(const struct pool_request *rq, struct pool_connection_info *ret_info)
{
    const struct pool_conn *pc = pool_conn_from(rq->conn);

    *ret_info = (struct pool_connection_info){
        .local = &pc->conn->local,
        .remote = &pc->conn->remote,
        .protocol = pc->codec->ops->protocol,
        .connection_id = pc->conn->id,
        .connect_start_ns = pc->started_ns,
        .connect_end_ns = pc->conn->connected_ns,
        .requests_before = pc->requests - 1,
    };
}

/* --- Connections -------------------------------------------------------------------------------
 */

static void pool_conn_on_idle(struct timer *t)
{
    struct pool_conn *pc = container_of(t, struct pool_conn, idle_timer);

    if (pc->active == 0) { /* else armed again when it is idle */
        stat_inc(pool_stats(pc->pool), CLUSTER_UPSTREAM_CX_IDLE_TIMEOUT);
        pool_conn_close(pc);
    }
}

static void pool_conn_on_max_duration(struct timer *t)
{
    struct pool_conn *pc = container_of(t, struct pool_conn, duration_timer);

    stat_inc(pool_stats(pc->pool), CLUSTER_UPSTREAM_CX_MAX_DURATION_REACHED);
    if (pc->active > 0) {
        pool_conn_drain(pc);
    } else {
        pool_conn_close(pc);
    }
}

static void pool_conn_arm_idle(struct pool_conn *pc)
{
    const struct opt_ms *o = &pool_conn_cluster(pc)->config->idle_timeout;
    uint64_t ms = o->is_set ? o->ms : IDLE_TIMEOUT_DEFAULT_MS;

    if (ms > 0) {
        timer_arm(pc->pool->loop, &pc->idle_timer, ms);
    }
}

static struct transport_options pool_transport_options(const struct conn_pool *p)
{
    const struct pool_protocol_type *type = &pool_protocol_types[p->protocol];
    struct transport_options o = {.hash = 0};

    if (p->options != NULL) {
        o = *p->options;
    }
    o.host_name = p->host->hostname;
    o.alpn_fallback = type->alpn;
    o.alpn_fallback_count = type->alpn_count;
    return o;
}

/* The transport may look at its configuration until it is closed: as long that is held. */
static void pool_conn_hold_config(struct pool_conn *pc, struct part_handle *h)
{
    part_handle_ref(h);
    part_handle_unref(pc->config_handle);
    pc->config_handle = h;
}

/* Starts (or starts again, with the host's next address) connecting. */
static int pool_conn_dial(struct pool_conn *pc, uint64_t timeout_ms)
{
    struct cluster *c = pool_conn_cluster(pc);
    const struct cluster_config *config = c->config;
    struct transport_options transport_options = pool_transport_options(pc->pool);
    struct conn_connect_options o = {
        .remote = pc->host->addresses[pc->address_index],
        .bind = config->bind_address,
        .socket_options = config->socket_options,
        .socket_option_count = config->socket_option_count,
        .keepalive = &config->tcp_keepalive,
        .timeout_ms = timeout_ms,
        .transport = pc->host->transport,
        .transport_config = pc->host->transport_config,
        .transport_options = &transport_options,
    };
    int r = conn_connect(pc->pool->loop, &o, &pool_conn_ops, pc, &pc->conn);

    if (r == 0) {
        pool_conn_hold_config(pc, c->config_handle);
        pc->conn->id = c->thread->next_connection_id++;
        conn_set_watermark(pc->conn, config->per_connection_buffer_limit_bytes);
    }
    return r;
}

static void pool_conn_free(struct deferred *d)
{
    struct pool_conn *pc = container_of(d, struct pool_conn, deferred);

    if (pc->codec != NULL) {
        pc->codec->ops->free(pc->codec);
    }
    part_handle_unref(pc->config_handle);
    host_unref(pc->host);
    free(pc->http2);
    free(pc);
}

/* Before the host has said how many streams this connection may have. */
static void pool_conn_assume_capacity(struct pool_conn *pc)
{
    const struct conn_pool *p = pc->pool;
    uint32_t ours = pool_cluster(p)->config->http2.max_concurrent_streams;

    if (pc->type->is_serial) {
        pc->assumed = 1;
        pc->capacity = 1;
    } else if (p->max_streams > 0) {
        pc->assumed = p->max_streams;
        pc->capacity = p->max_streams;
    } else {
        pc->assumed = ours;
        pc->capacity = (uint32_t)min_u64(ours, FIRST_STREAMS);
    }
}

static void pool_conn_count_type(const struct pool_conn *pc)
{
    if (pc->type->cx_total != CLUSTER_UPSTREAM_CX_TOTAL) {
        stat_inc(pool_stats(pc->pool), pc->type->cx_total);
    }
}

void pool_conn_set_type(struct pool_conn *pc, enum pool_protocol protocol)
{
    pc->type = &pool_protocol_types[protocol];
    pc->pool->type = pc->type;
    pool_conn_count_type(pc);
    pool_conn_assume_capacity(pc);
    pool_conn_promise(pc);
}

static void pool_conn_start(struct conn_pool *p)
{
    struct cluster *c = pool_cluster(p);
    struct pool_conn *pc = xcalloc(1, sizeof(*pc));
    uint32_t max_requests = c->config->max_requests_per_connection;

    pc->magic = POOL_CONN_MAGIC;
    pc->state = POOL_CONN_CONNECTING;
    pc->pool = p;
    pc->type = p->type;
    pc->host = p->host;
    pc->started_ms = loop_now_ms(p->loop);
    pc->started_ns = clock_mono_ns();
    pc->requests_left = max_requests > 0 ? max_requests : UINT64_MAX;
    timer_init(&pc->idle_timer, pool_conn_on_idle);
    timer_init(&pc->duration_timer, pool_conn_on_max_duration);
    loop_task_init(&pc->pending_task, pool_conn_run_pending);
    list_init(&pc->node);
    list_add_tail(&p->connecting, &pc->node);
    pool_conn_assume_capacity(pc);
    pool_conn_promise(pc);
    host_ref(p->host);
    stat_inc(c->stats, CLUSTER_UPSTREAM_CX_TOTAL);
    if (p->protocol != POOL_HTTP_AUTO) {
        pool_conn_count_type(pc);
    }
    stat_inc(c->stats, CLUSTER_UPSTREAM_CX_ACTIVE);
    host_stat_add(p->host, HOST_CX_TOTAL, 1);
    host_stat_add(p->host, HOST_CX_ACTIVE, 1);
    if (pool_conn_dial(pc, c->config->connect_timeout_ms) != 0) {
        pc->conn = NULL;
        pool_conn_closed(pc, CONN_CLOSED_LOCAL);
    }
}

/* As Envoy: connections for all requests that wait and have none under way that will carry them. A
 * pool that has no connection at all may have one whatever the limit, or its requests would wait
 * for ever. While a connection is ready, pool_serve comes first. */
static void pool_connect_as_needed(struct conn_pool *p)
{
    while (p->pending_count > p->promised && list_is_empty(&p->ready)) {
        bool is_within = breaker_try_acquire(pool_breaker(p), BREAKER_CONNECTIONS,
                                             pool_limit(p, BREAKER_CONNECTIONS));

        if (!is_within) {
            stat_inc(pool_stats(p), CLUSTER_UPSTREAM_CX_OVERFLOW);
            if (!list_is_empty(&p->busy) || !list_is_empty(&p->connecting)) {
                return;
            }
            breaker_acquire(pool_breaker(p), BREAKER_CONNECTIONS);
        }
        pool_conn_start(p);
    }
}

void pool_conn_connected(struct pool_conn *pc)
{
    struct conn_pool *p = pc->pool;
    const struct cluster_config *config = pool_conn_cluster(pc)->config;
    const struct opt_ms *duration = &config->max_connection_duration;

    stat_record(pool_stats(p), CLUSTER_UPSTREAM_CX_CONNECT_MS,
                loop_now_ms(p->loop) - pc->started_ms);
    if (duration->is_set && duration->ms > 0) {
        timer_arm(
            p->loop, &pc->duration_timer,
            rng_jittered(&p->loop->rng, duration->ms, config->max_connection_duration_jitter));
    }
    pool_conn_set_state(pc, POOL_CONN_READY);
    pool_conn_arm_idle(pc);
    pool_serve(p);
}

void pool_conn_drain(struct pool_conn *pc)
{
    if (pc->state == POOL_CONN_READY || pc->state == POOL_CONN_BUSY) {
        pool_conn_set_state(pc, POOL_CONN_DRAINING);
        pool_serve_later(pc->pool);
    }
}

void pool_conn_settle(struct pool_conn *pc)
{
    if (pc->state == POOL_CONN_CLOSED || conn_is_closing(pc->conn)) {
        return;
    }
    if (!pc->codec->ops->is_reusable(pc->codec) ||
        (pc->type->is_serial && pc->active == 0 && buf_len(&pc->conn->in) > 0)) {
        pool_conn_drain(pc);
    }
    if (pc->state != POOL_CONN_DRAINING) {
        pool_conn_place(pc);
    }
    if (pc->active == 0 && pc->state == POOL_CONN_DRAINING) {
        pool_conn_close(pc);
        return;
    }
    if (pc->active == 0 && pc->idle_since != pc->requests) { /* not at each PING */
        pc->idle_since = pc->requests;
        pool_conn_arm_idle(pc);
    }
    pool_serve_later(pc->pool);
}

void pool_conn_capacity_changed(struct pool_conn *pc)
{
    pc->capacity = pc->codec->ops->max_streams(pc->codec);
    pc->assumed = pc->capacity;
    pc->pool->max_streams = pc->capacity;
    if (pc->state == POOL_CONN_READY || pc->state == POOL_CONN_BUSY) {
        pool_conn_place(pc);
        pool_serve_later(pc->pool);
    }
}

void pool_conn_close(struct pool_conn *pc)
{
    if (pc->state == POOL_CONN_CLOSED) {
        return;
    }
    pool_conn_set_state(pc, POOL_CONN_DRAINING); /* nobody may pick it any more */
    if (pc->active == 0 && pc->codec != NULL && pc->codec->ops->goaway != NULL) {
        pc->codec->ops->goaway(pc->codec, GOAWAY_NO_ERROR);
        conn_flush(pc->conn); /* what the socket does not take now is not waited for */
    }
    conn_close(pc->conn, pc->close_mode);
}

static void pool_conn_count_closed(struct pool_conn *pc, enum conn_close_cause cause)
{
    struct stat_block *stats = pool_stats(pc->pool);
    bool is_local = cause == CONN_CLOSED_LOCAL || cause == CONN_CLOSED_CONNECT_TIMEOUT;
    /* As Envoy: what ends streams of HTTP/2 by a protocol error is no lost connection. */
    bool has_lost_requests = pc->active > 0 && !(pc->is_broken && pc->http2 != NULL);

    /* It is closed for the request's sake. */
    has_lost_requests |= pc->has_cut_request;
    /* And a TCP connection is in use to its last byte. */
    has_lost_requests |= pc->pool->protocol == POOL_TCP && pc->requests > 0;

    stat_inc(stats, CLUSTER_UPSTREAM_CX_DESTROY);
    stat_inc(stats,
             is_local ? CLUSTER_UPSTREAM_CX_DESTROY_LOCAL : CLUSTER_UPSTREAM_CX_DESTROY_REMOTE);
    if (has_lost_requests) {
        stat_inc(stats, CLUSTER_UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ);
        stat_inc(stats, is_local ? CLUSTER_UPSTREAM_CX_DESTROY_LOCAL_WITH_ACTIVE_RQ
                                 : CLUSTER_UPSTREAM_CX_DESTROY_REMOTE_WITH_ACTIVE_RQ);
    }
    if (pc->state == POOL_CONN_CONNECTING) {
        stat_inc(stats, CLUSTER_UPSTREAM_CX_CONNECT_FAIL);
        host_stat_add(pc->host, HOST_CX_CONNECT_FAIL, 1);
        if (cause == CONN_CLOSED_CONNECT_TIMEOUT) {
            stat_inc(stats, CLUSTER_UPSTREAM_CX_CONNECT_TIMEOUT);
        }
    }
    stat_record(stats, CLUSTER_UPSTREAM_RQ_PER_CX, pc->requests);
    stat_dec(stats, CLUSTER_UPSTREAM_CX_ACTIVE);
    host_stat_add(pc->host, HOST_CX_ACTIVE, (uint64_t)-1);
    stat_record(stats, CLUSTER_UPSTREAM_CX_LENGTH_MS, loop_now_ms(pc->pool->loop) - pc->started_ms);
    pool_conn_count_bytes(pc);
}

/* additional_addresses are tried one after the other within the one connect timeout. */
static bool pool_conn_try_next_address(struct pool_conn *pc, enum conn_close_cause cause)
{
    uint64_t timeout_ms = pool_conn_cluster(pc)->config->connect_timeout_ms;
    uint64_t spent_ms = loop_now_ms(pc->pool->loop) - pc->started_ms;

    if (pc->state != POOL_CONN_CONNECTING || cause != CONN_CLOSED_CONNECT_FAILED ||
        spent_ms >= timeout_ms) {
        return false;
    }
    while (++pc->address_index < pc->host->address_count) {
        if (pool_conn_dial(pc, timeout_ms - spent_ms) == 0) {
            return true;
        }
    }
    return false;
}

enum stream_reset_reason pool_failure_reset_reason(enum pool_failure f)
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

static enum pool_failure pool_failure_of(enum conn_close_cause cause)
{
    switch (cause) {
    case CONN_CLOSED_CONNECT_TIMEOUT:
        return POOL_FAILURE_CONNECT_TIMEOUT;
    case CONN_CLOSED_LOCAL:
        return POOL_FAILURE_LOCAL_CONNECT;
    case CONN_CLOSED_REMOTE:
    case CONN_CLOSED_RESET:
    case CONN_CLOSED_CONNECT_FAILED:
    case CONN_CLOSED_TRANSPORT:
        break;
    }
    return POOL_FAILURE_REMOTE_CONNECT;
}

static enum stream_reset_reason pool_conn_reset_reason(const struct pool_conn *pc,
                                                       enum conn_close_cause cause)
{
    if (pc->pool->protocol == POOL_TCP && cause == CONN_CLOSED_RESET) {
        return RESET_CONNECT_ERROR;
    }
    return pc->is_broken ? RESET_PROTOCOL_ERROR : RESET_CONNECTION_TERMINATION;
}

void pool_conn_closed(struct pool_conn *pc, enum conn_close_cause cause)
{
    struct conn_pool *p = pc->pool;
    bool was_connecting = pc->state == POOL_CONN_CONNECTING;
    struct str reason = pc->conn != NULL ? str_c(pc->conn->failure_reason) : STR_NONE;

    if (pool_conn_try_next_address(pc, cause)) {
        return;
    }
    pool_conn_count_closed(pc, cause);
    timer_cancel(p->loop, &pc->idle_timer);
    timer_cancel(p->loop, &pc->duration_timer);
    loop_task_cancel(&pc->pending_task);
    if (pc->http2 != NULL) {
        h2_keepalive_stop(&pc->http2->keepalive);
    }
    pool_conn_set_state(pc, POOL_CONN_CLOSED);
    breaker_release(pool_breaker(p), BREAKER_CONNECTIONS);
    if (pc->codec != NULL) {
        pc->codec->ops->connection_closed(pc->codec, pool_conn_reset_reason(pc, cause));
        CHECK(pc->active == 0); /* the codec ended its streams */
    }
    if (was_connecting) {
        pool_fail_pending(p, pool_failure_of(cause), reason);
    }
    pc->conn = NULL;
    pool_connect_as_needed(p);
    pool_reap_later(p);
    deferred_free(p->loop, &pc->deferred, pool_conn_free);
}

/* --- Pools -------------------------------------------------------------------------------------
 */

struct conn_pool *conn_pool_new(struct host *h, enum routing_priority priority,
                                enum pool_protocol protocol,
                                const struct transport_options *options)
{
    struct conn_pool *p = xcalloc(1, sizeof(*p));

    p->host = h;
    p->loop = h->cluster->thread->loop;
    p->priority = priority;
    p->protocol = protocol;
    p->type = &pool_protocol_types[protocol];
    p->options = options != NULL ? transport_options_copy(options) : NULL;
    p->is_draining = h->is_detached || !h->cluster->is_current;
    list_init(&p->ready);
    list_init(&p->busy);
    list_init(&p->connecting);
    list_init(&p->pending);
    list_init(&p->used_node);
    loop_task_init(&p->serve_task, pool_on_serve);
    return p;
}

void conn_pool_free(struct conn_pool *p)
{
    if (p == NULL) {
        return;
    }
    CHECK(conn_pool_is_empty(p));
    loop_task_cancel(&p->serve_task);
    free(p->options);
    free(p);
}

bool conn_pool_is_empty(const struct conn_pool *p)
{
    return list_is_empty(&p->ready) && list_is_empty(&p->busy) && list_is_empty(&p->connecting) &&
           list_is_empty(&p->pending);
}

bool conn_pool_close_idle(struct conn_pool *p)
{
    struct pool_conn *pc;

    if (!list_is_empty(&p->busy) || !list_is_empty(&p->connecting) || !list_is_empty(&p->pending)) {
        return false;
    }
    list_for_each (pc, &p->ready, struct pool_conn, node) {
        if (pc->active > 0) {
            return false;
        }
    }
    list_for_each (pc, &p->ready, struct pool_conn, node) {
        pool_conn_close(pc);
    }
    return true;
}

static void pool_drain_all(struct list *l)
{
    struct pool_conn *pc;

    list_for_each (pc, l, struct pool_conn, node) {
        if (pc->active > 0) {
            pool_conn_drain(pc);
        } else {
            pool_conn_close(pc);
        }
    }
}

void conn_pool_drain(struct conn_pool *p)
{
    p->is_draining = true;
    if (list_is_empty(&p->pending)) { /* else pool_serve does it after those that wait */
        pool_drain_all(&p->busy);
        pool_drain_all(&p->ready);
        pool_drain_all(&p->connecting);
    }
}
