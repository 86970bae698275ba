/*
 * One connection of a pool: bytes between socket and codec, and what each tells. One thread. Which
 * protocol is spoken is the pool's `type`.
 *
 * A connection of a serial protocol goes back to its pool only when the codec has returned, both
 * messages were complete and not a byte is left over: what arrives beyond would be taken for the
 * answer to the next request.
 */

#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h1_codec.h"
#include "dataplane/codec/h2_codec.h"
#include "dataplane/codec/tcp_codec.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_registry.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/conn_pool_internal.h"

#define RESPONSE_HEADERS_MAX_BYTES (80 * 1024) /* as Envoy */
#define RESPONSE_HEADERS_MAX_COUNT 100
#define ALPN_HTTP2 STR("h2")

/* --- From the codec ----------------------------------------------------------------------------
 */

/* As Envoy: of HTTP/2 only, and a lost connection counts as if its requests had still waited. */
static void pool_conn_count_reset(struct pool_conn *pc, enum stream_reset_reason reason)
{
    struct stat_block *stats = pool_conn_cluster(pc)->stats;

    switch (reason) {
    case RESET_CONNECTION_TERMINATION:
    case RESET_LOCAL_CONNECTION_FAILURE:
    case RESET_REMOTE_CONNECTION_FAILURE:
    case RESET_CONNECTION_TIMEOUT:
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_PENDING_FAILURE_EJECT);
        break;
    case RESET_LOCAL:
    case RESET_PROTOCOL_ERROR:
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_TX_RESET);
        break;
    case RESET_REMOTE:
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_RX_RESET);
        break;
    case RESET_REMOTE_REFUSED:
    case RESET_OVERFLOW:
    case RESET_CONNECT_ERROR:
    case RESET_NO_ERROR:
        break;
    }
}

/* How a connection that was one stream's alone ends with it. */
static enum conn_close_mode pool_conn_close_mode(const struct codec_stream *s)
{
    switch (s->end_reason) {
    case RESET_NO_ERROR:
        return CONN_CLOSE_FLUSH;
    case RESET_CONNECT_ERROR:
        return CONN_CLOSE_RESET;
    default:
        return CONN_CLOSE_NOW;
    }
}

static void pool_conn_on_stream_end(void *owner, struct codec_stream *s)
{
    struct pool_conn *pc = pool_conn_from(owner);

    if (pc->pool->protocol == POOL_TCP) {
        pc->close_mode = pool_conn_close_mode(s);
    }
    if (pc->http2 != NULL) {
        pool_conn_count_reset(pc, s->end_reason);
    } else if (s->end_reason != RESET_NO_ERROR) {
        pc->has_cut_request = pc->pool->protocol != POOL_TCP;
        if (pc->state == POOL_CONN_CLOSED && s->end_reason == RESET_PROTOCOL_ERROR) {
            stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_PROTOCOL_ERROR);
        }
    }
    if (s->says_close) {
        stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_CLOSE_NOTIFY);
    }
    pool_conn_request_done(pc, s);
    if (!pc->is_dispatching) {
        pool_conn_settle(pc);
    }
}

static void pool_conn_on_output(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    if (pc->state != POOL_CONN_CLOSED) {
        conn_output_added(pc->conn);
    }
}

static void pool_conn_on_read_disable(void *owner, bool disable)
{
    struct pool_conn *pc = pool_conn_from(owner);

    if (pc->state != POOL_CONN_CLOSED) {
        conn_read_disable(pc->conn, disable);
    }
}

static void pool_conn_protocol_error(struct pool_conn *pc)
{
    stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_PROTOCOL_ERROR);
    pool_conn_close(pc);
}

static void pool_conn_on_error(void *owner, const struct codec_error *e)
{
    struct pool_conn *pc = pool_conn_from(owner);

    pc->is_broken = true;
    stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_PROTOCOL_ERROR);
    pool_conn_drain(pc);
    conn_close(pc->conn, e->is_outbound_flood ? CONN_CLOSE_NOW : CONN_CLOSE_FLUSH);
}

static void pool_conn_on_goaway(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_CLOSE_NOTIFY);
    pool_conn_drain(pc);
    if (!pc->is_dispatching) {
        pool_conn_settle(pc);
    }
}

static void pool_conn_on_capacity(void *owner)
{
    pool_conn_capacity_changed(pool_conn_from(owner));
}

static void pool_conn_on_ping_ack(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    h2_keepalive_acknowledged(&pc->http2->keepalive);
}

static void pool_conn_on_pending(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    loop_task_schedule(pc->pool->loop, &pc->pending_task);
}

static void pool_conn_on_tunnel(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    if (pc->state != POOL_CONN_CLOSED) {
        pc->conn->is_half_close_enabled = true;
    }
}

static void pool_conn_on_shutdown_write(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    if (pc->state != POOL_CONN_CLOSED) {
        conn_shutdown_write(pc->conn);
    }
}

static const struct codec_callbacks pool_conn_codec_callbacks = {
    .on_stream_end = pool_conn_on_stream_end,
    .on_error = pool_conn_on_error,
    .on_goaway = pool_conn_on_goaway,
    .on_capacity = pool_conn_on_capacity,
    .on_pending = pool_conn_on_pending,
    .on_ping_ack = pool_conn_on_ping_ack,
    .on_output = pool_conn_on_output,
    .on_read_disable = pool_conn_on_read_disable,
    .on_shutdown_write = pool_conn_on_shutdown_write,
    .on_tunnel = pool_conn_on_tunnel,
};

/* --- From the connection -----------------------------------------------------------------------
 */

static void pool_conn_on_keepalive_timeout(void *owner)
{
    struct pool_conn *pc = pool_conn_from(owner);

    pool_conn_drain(pc);
    conn_close(pc->conn, CONN_CLOSE_NOW); /* nobody is there to be told */
}

static void pool_conn_init_http2(struct pool_conn *pc, struct codec_limits *limits)
{
    const struct cluster_config *config = pool_conn_cluster(pc)->config;

    pc->http2 = xcalloc(1, sizeof(*pc->http2));
    pc->http2->options = config->http2;
    limits->http2 = &pc->http2->options;
    limits->http2_stats = cluster_shared_http2_stats(config->shared, pc->pool->loop->index);
}

/* The configuration that the connection holds on to, whatever becomes of the cluster. */
static const struct cluster_config *pool_conn_held_config(const struct pool_conn *pc)
{
    return (const struct cluster_config *)pc->config_handle->part;
}

static void pool_conn_on_connected(struct conn *c)
{
    struct pool_conn *pc = pool_conn_from(c->user);
    const struct cluster_config *config = pool_conn_cluster(pc)->config;
    const struct opt_u32 *count = &config->max_response_headers_count;
    const struct opt_u32 *kb = &config->max_response_headers_kb;
    struct codec_limits limits = {
        .max_headers_bytes = kb->is_set ? kb->value * 1024 : RESPONSE_HEADERS_MAX_BYTES,
        .max_headers_count = count->is_set ? count->value : RESPONSE_HEADERS_MAX_COUNT,
        .http1 = &pool_conn_held_config(pc)->http1,
        .stream_buffer_bytes = config->per_connection_buffer_limit_bytes,
    };

    if (pc->pool->protocol == POOL_HTTP_AUTO) {
        /* As Envoy: a host that negotiates nothing speaks HTTP/1. */
        pool_conn_set_type(pc, str_eq(conn_alpn(c), ALPN_HTTP2) ? POOL_HTTP2 : POOL_HTTP1);
    }
    if (pc->type->protocol == POOL_HTTP2) {
        pool_conn_init_http2(pc, &limits);
    }
    c->is_half_close_enabled = pc->type->is_half_close_enabled;
    pc->codec = pc->type->new_codec(&pool_conn_codec_callbacks, pc, &c->out, &limits);
    if (pc->http2 != NULL) {
        h2_keepalive_start(&pc->http2->keepalive, pc->pool->loop, &pc->http2->options.keepalive,
                           pc->codec, pool_conn_on_keepalive_timeout, pc);
    }
    conn_read_start(c);
    pool_conn_connected(pc);
}

static int pool_conn_dispatch(struct pool_conn *pc, struct buf *in, bool end_stream)
{
    int r;

    pc->is_dispatching = true;
    r = pc->codec->ops->dispatch(pc->codec, in, end_stream);
    pc->is_dispatching = false;
    return r;
}

static void pool_conn_receive(struct pool_conn *pc, struct buf *in, bool end_stream)
{
    bool is_serial = pc->type->is_serial;
    int r;

    if (is_serial && pc->active == 0) { /* an answer that nobody asked for */
        pool_conn_protocol_error(pc);
        return;
    }
    r = pool_conn_dispatch(pc, in, end_stream);
    if (pc->state == POOL_CONN_CLOSED) {
        return;
    }
    if (r == E_PROTOCOL && is_serial) { /* the codec has reset its stream */
        pool_conn_protocol_error(pc);
    } else if (!is_serial || pc->active == 0) {
        pool_conn_settle(pc);
    }
}

static void pool_conn_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    struct pool_conn *pc = pool_conn_from(c->user);

    if (pc->http2 != NULL) {
        h2_keepalive_received(&pc->http2->keepalive);
    }
    pool_conn_receive(pc, in, end_stream);
}

void pool_conn_run_pending(struct loop_task *t)
{
    struct pool_conn *pc = container_of(t, struct pool_conn, pending_task);
    struct buf nothing;

    buf_init(&nothing, &pc->pool->loop->bufs);
    if (pc->state != POOL_CONN_CLOSED && !conn_is_closing(pc->conn)) {
        pool_conn_receive(pc, &nothing, false);
    }
}

static void pool_conn_on_watermark(struct conn *c, bool is_above)
{
    struct pool_conn *pc = pool_conn_from(c->user);

    stat_inc(pool_conn_cluster(pc)->stats, is_above ? CLUSTER_UPSTREAM_FLOW_CONTROL_BACKED_UP_TOTAL
                                                    : CLUSTER_UPSTREAM_FLOW_CONTROL_DRAINED_TOTAL);
    if (pc->codec != NULL) {
        pc->codec->ops->on_watermark(pc->codec, is_above);
    }
}

static void pool_conn_on_closed(struct conn *c, enum conn_close_cause cause)
{
    struct pool_conn *pc = pool_conn_from(c->user);

    /* A FIN may be what ends the response. */
    if (cause == CONN_CLOSED_REMOTE && pc->active > 0 && pc->type->is_serial &&
        pool_conn_dispatch(pc, &c->in, true) == E_PROTOCOL) {
        stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_PROTOCOL_ERROR);
    }
    pool_conn_closed(pc, cause);
}

const struct conn_ops pool_conn_ops = {
    .on_connected = pool_conn_on_connected,
    .on_data = pool_conn_on_data,
    .on_watermark = pool_conn_on_watermark,
    .on_closed = pool_conn_on_closed,
};

/* As Envoy offers them. */
static const struct str alpn_both[] = {{"h2", 2}, {"http/1.1", 8}};
static const struct str alpn_http2[] = {{"h2", 2}};
static const struct str alpn_http1[] = {{"http/1.1", 8}};

const struct pool_protocol_type pool_protocol_types[POOL_PROTOCOL_COUNT] = {
    [POOL_HTTP1] =
        {
            .protocol = POOL_HTTP1,
            .alpn = alpn_http1,
            .alpn_count = 1,
            .new_codec = h1_client_codec_new,
            .cx_total = CLUSTER_UPSTREAM_CX_HTTP1_TOTAL,
            .is_serial = true,
        },
    [POOL_HTTP2] =
        {
            .protocol = POOL_HTTP2,
            .alpn = alpn_http2,
            .alpn_count = 1,
            .new_codec = h2_client_codec_new,
            .cx_total = CLUSTER_UPSTREAM_CX_HTTP2_TOTAL,
        },
    [POOL_HTTP_AUTO] =
        {
            .protocol = POOL_HTTP_AUTO,
            .alpn = alpn_both,
            .alpn_count = 2,
        },
    [POOL_TCP] =
        {
            .protocol = POOL_TCP,
            .new_codec = tcp_client_codec_new,
            .cx_total = CLUSTER_UPSTREAM_CX_TOTAL,
            .is_serial = true,
            .is_half_close_enabled = true,
        },
};
