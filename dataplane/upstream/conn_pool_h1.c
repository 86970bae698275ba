/*
 * One HTTP/1 connection of a pool: bytes between socket and codec, one request at a time. One
 * thread. A connection goes back to the pool only when the codec has returned, both messages were
 * complete and not a byte is left over: what arrives beyond would be taken for the answer to the
 * next request.
 */

#include "dataplane/codec/h1_codec.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/conn_pool_internal.h"

#define RESPONSE_HEADERS_MAX_BYTES (80 * 1024) /* as Envoy */
#define RESPONSE_HEADERS_MAX_COUNT 100

/* --- From the codec ----------------------------------------------------------------------------
 */

static void pool_conn_on_stream_end(void *owner, struct codec_stream *s)
{
    struct pool_conn *pc = pool_conn_from(owner);

    (void)s;
    pool_conn_request_done(pc);
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

static const struct codec_callbacks pool_conn_codec_callbacks = {
    .on_stream_end = pool_conn_on_stream_end,
    .on_output = pool_conn_on_output,
    .on_read_disable = pool_conn_on_read_disable,
};

/* --- From the connection -----------------------------------------------------------------------
 */

static void pool_conn_on_connected(struct conn *c)
{
    struct pool_conn *pc = pool_conn_from(c->user);
    const struct cluster_config *config = pool_conn_cluster(pc)->config;
    const struct opt_u32 *count = &config->max_response_headers_count;
    struct codec_limits limits = {
        .max_headers_bytes = RESPONSE_HEADERS_MAX_BYTES,
        .max_headers_count = count->is_set ? count->value : RESPONSE_HEADERS_MAX_COUNT,
        .enable_trailers = config->enable_trailers,
    };

    pc->codec = h1_client_codec_new(&pool_conn_codec_callbacks, pc, &c->out, &limits);
    conn_read_start(c);
    pool_conn_connected(pc);
}

static void pool_conn_protocol_error(struct pool_conn *pc)
{
    stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_PROTOCOL_ERROR);
    pool_conn_close(pc);
}

static int pool_conn_dispatch(struct pool_conn *pc, struct buf *in, bool end_stream)
{
    int r;

    pc->is_dispatching = true;
    r = pc->codec->ops->dispatch(pc->codec, in, end_stream);
    pc->is_dispatching = false;
    return r;
}

static void pool_conn_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    struct pool_conn *pc = pool_conn_from(c->user);
    int r;

    if (pc->request_cluster == NULL) { /* an answer that nobody asked for */
        pool_conn_protocol_error(pc);
        return;
    }
    r = pool_conn_dispatch(pc, in, end_stream);
    if (pc->state == POOL_CONN_CLOSED) {
        return;
    }
    if (r == E_PROTOCOL) { /* the codec has reset its stream */
        pool_conn_protocol_error(pc);
    } else if (pc->request_cluster == NULL) {
        pool_conn_settle(pc);
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
    if (cause == CONN_CLOSED_REMOTE && pc->request_cluster != NULL &&
        pool_conn_dispatch(pc, &c->in, true) == E_PROTOCOL) {
        stat_inc(pool_conn_cluster(pc)->stats, CLUSTER_UPSTREAM_CX_PROTOCOL_ERROR);
    }
    pool_conn_closed(pc, cause);
}

const struct conn_ops pool_conn_h1_ops = {
    .on_connected = pool_conn_on_connected,
    .on_data = pool_conn_on_data,
    .on_watermark = pool_conn_on_watermark,
    .on_closed = pool_conn_on_closed,
};
