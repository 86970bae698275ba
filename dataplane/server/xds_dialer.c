/* Dials the control plane through main's clusters. Main thread. */

#include "dataplane/server/xds_dialer.h"

#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/upstream.h"

#define DIAL_RETRY_MS 20 /* while DNS has not answered yet */

struct dial {
    struct thread_context *thread;
    struct str cluster; /* own copy behind the struct */
    xds_dialed_fn *on_dialed;
    void *user;
    struct conn *conn;       /* NULL while waiting for a host */
    struct cluster *counted; /* referenced while connecting: its counters */
    struct timer timer;
    uint64_t deadline_ms; /* 0 until the cluster is known */
};

static void dial_stop_counting(struct dial *d)
{
    if (d->counted != NULL) {
        cluster_unref(d->counted);
        d->counted = NULL;
    }
}

static void dial_finish(struct dial *d, int take_fd, struct str reason)
{
    xds_dialed_fn *on_dialed = d->on_dialed;
    void *user = d->user;

    timer_cancel(d->thread->loop, &d->timer);
    dial_stop_counting(d);
    free(d);
    on_dialed(user, take_fd, reason);
}

/* The socket outlives our connection: the duplicate is what gRPC gets. */
static void dial_on_connected(struct conn *c)
{
    struct dial *d = c->user;
    int fd = dup(conn_fd(c));

    c->user = NULL;
    d->conn = NULL;
    conn_close(c, CONN_CLOSE_NOW);
    dial_finish(d, fd, fd >= 0 ? STR_NONE : STR("out of file descriptors"));
}

static void dial_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    (void)c;
    (void)in; /* never read: the connection is handed over when it is connected */
    (void)end_stream;
}

static void dial_on_closed(struct conn *c, enum conn_close_cause cause)
{
    struct dial *d = c->user;

    if (d != NULL) {
        d->conn = NULL;
        stat_inc(cluster_stats(d->counted), CLUSTER_UPSTREAM_CX_CONNECT_FAIL);
        if (cause == CONN_CLOSED_CONNECT_TIMEOUT) {
            stat_inc(cluster_stats(d->counted), CLUSTER_UPSTREAM_CX_CONNECT_TIMEOUT);
        }
        dial_finish(d, -1,
                    cause == CONN_CLOSED_CONNECT_TIMEOUT ? STR("connection timeout")
                                                         : STR("connection failure"));
    }
}

static const struct conn_ops dial_conn_ops = {
    .on_connected = dial_on_connected,
    .on_data = dial_on_data,
    .on_closed = dial_on_closed,
};

static void dial_connect(struct dial *d, struct cluster *cluster, struct host *host)
{
    const struct cluster_config *cc = cluster_config_of(cluster);
    struct conn_connect_options o = {
        .remote = *host_address(host),
        .bind = cc->bind_address,
        .socket_options = cc->socket_options,
        .socket_option_count = cc->socket_option_count,
        .keepalive = cc->tcp_keepalive.is_enabled ? &cc->tcp_keepalive : NULL,
        .timeout_ms = cc->connect_timeout_ms,
    };

    cluster_ref(cluster);
    d->counted = cluster;
    stat_inc(cluster_stats(cluster), CLUSTER_UPSTREAM_CX_TOTAL);
    if (conn_connect(d->thread->loop, &o, &dial_conn_ops, d, &d->conn) != 0) {
        dial_finish(d, -1, STR("no socket"));
    }
}

static void dial_try(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, timer);
    struct cluster *cluster = cluster_manager_find(d->thread->clusters, d->cluster);
    struct host *host;
    uint64_t now = loop_now_ms(d->thread->loop);

    if (cluster == NULL) {
        dial_finish(d, -1, STR("unknown cluster"));
        return;
    }
    host = cluster_pick(cluster, &(struct lb_context){.priority = PRIORITY_DEFAULT});
    if (host != NULL) {
        dial_connect(d, cluster, host);
        host_unref(host);
        return;
    }
    if (d->deadline_ms == 0) {
        d->deadline_ms = now + cluster_config_of(cluster)->connect_timeout_ms;
    }
    if (now >= d->deadline_ms) {
        dial_finish(d, -1, STR("no healthy upstream"));
    } else {
        timer_arm(d->thread->loop, &d->timer, DIAL_RETRY_MS);
    }
}

static void *dial_start(void *ctx, struct str cluster, xds_dialed_fn *on_dialed, void *user)
{
    struct dial *d = xcalloc(1, sizeof(*d) + cluster.len);

    d->thread = ctx;
    memcpy(d + 1, cluster.ptr, cluster.len);
    d->cluster = str_n((const char *)(d + 1), cluster.len);
    d->on_dialed = on_dialed;
    d->user = user;
    timer_init(&d->timer, dial_try);
    timer_arm(d->thread->loop, &d->timer, 0); /* the answer never comes from inside */
    return d;
}

static void dial_cancel(void *ctx, void *handle)
{
    struct dial *d = handle;

    (void)ctx;
    timer_cancel(d->thread->loop, &d->timer);
    if (d->conn != NULL) {
        d->conn->user = NULL;
        conn_close(d->conn, CONN_CLOSE_NOW);
    }
    dial_stop_counting(d);
    free(d);
}

struct xds_dialer xds_dialer_for(struct thread_context *main_thread)
{
    return (struct xds_dialer){.dial = dial_start, .cancel = dial_cancel, .ctx = main_thread};
}
