/* Dials the control plane through main's clusters. Main thread. */

#include "dataplane/server/xds_dialer.h"

#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/upstream.h"
#include "xds/transport.h"

#define DIAL_RETRY_MS 20        /* while DNS has not answered yet */
#define UNKNOWN_CLUSTER_MS 5000 /* while it waits for its secrets */

struct dial {
    struct xds_dialing *dialing;
    struct thread_context *thread;
    struct str cluster; /* own copy behind the struct */
    xds_dialed_fn *on_dialed;
    void *user;
    struct conn *conn;          /* NULL while waiting for a host */
    struct cluster *counted;    /* referenced while connecting: its counters */
    struct part_handle *config; /* and what its transport looks at */
    struct timer timer;
    uint64_t deadline_ms; /* 0 until the cluster is known */
};

static void dial_let_go(struct dial *d)
{
    if (d->counted != NULL) {
        cluster_unref(d->counted);
        d->counted = NULL;
    }
    part_handle_unref(d->config);
    d->config = NULL;
}

static void dial_finish(struct dial *d, int take_fd, struct str reason)
{
    xds_dialed_fn *on_dialed = d->on_dialed;
    void *user = d->user;

    timer_cancel(d->thread->loop, &d->timer);
    dial_let_go(d);
    free(d);
    on_dialed(user, take_fd, reason);
}

/* The socket outlives our connection: the duplicate is what gRPC gets. */
static int dial_hand_over(struct conn *c)
{
    int fd = dup(conn_fd(c));

    conn_close(c, CONN_CLOSE_NOW);
    return fd;
}

static int dial_bridge(struct dial *d, struct conn *c)
{
    xds_socket_keep_alive(conn_fd(c)); /* gRPC sees but our end */
    return xds_bridge_open(&d->dialing->bridges, c, d->config);
}

static void dial_on_connected(struct conn *c)
{
    struct dial *d = c->user;
    int fd;

    c->user = NULL;
    d->conn = NULL;
    fd = c->transport != NULL && c->transport->encrypt != NULL ? dial_bridge(d, c)
                                                               : dial_hand_over(c);
    dial_finish(d, fd, fd >= 0 ? STR_NONE : STR("out of file descriptors"));
}

static void dial_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    (void)c;
    (void)in; /* nothing is read before the connection is handed over */
    (void)end_stream;
}

static void dial_fail(struct dial *d, const struct conn *c, enum conn_close_cause cause)
{
    struct strbuf reason;

    strbuf_init(&reason);
    strbuf_add_c(&reason, cause == CONN_CLOSED_CONNECT_TIMEOUT ? "connection timeout"
                                                               : "connection failure");
    if (c->failure_reason != NULL) {
        strbuf_addf(&reason, ", transport failure reason: %s", c->failure_reason);
    }
    dial_finish(d, -1, strbuf_str(&reason));
    strbuf_done(&reason);
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
        dial_fail(d, c, cause);
    }
}

static const struct conn_ops dial_conn_ops = {
    .on_connected = dial_on_connected,
    .on_data = dial_on_data,
    .on_closed = dial_on_closed,
};

static void dial_hold(struct dial *d, struct cluster *cluster)
{
    cluster_ref(cluster);
    d->counted = cluster;
    d->config =
        part_table_get(d->thread->parts, PART_CLUSTER, cluster_config_of(cluster)->part.slot);
    if (d->config != NULL) {
        part_handle_ref(d->config);
    }
}

static void dial_connect(struct dial *d, struct cluster *cluster, struct host *host)
{
    static const struct str ALPN[] = {{"h2", 2}};
    const struct cluster_config *cc = cluster_config_of(cluster);
    const struct transport_options transport_options = {
        .host_name = host_name(host),
        .alpn_fallback = ALPN,
        .alpn_fallback_count = ARRAY_LEN(ALPN),
    };
    struct conn_connect_options o = {
        .remote = *host_address(host),
        .bind = cc->bind_address,
        .socket_options = cc->socket_options,
        .socket_option_count = cc->socket_option_count,
        .keepalive = cc->tcp_keepalive.is_enabled ? &cc->tcp_keepalive : NULL,
        .timeout_ms = cc->connect_timeout_ms,
        .transport = host_transport(host),
        .transport_config = host_transport_config(host),
        .transport_options = &transport_options,
    };

    dial_hold(d, cluster);
    stat_inc(cluster_stats(cluster), CLUSTER_UPSTREAM_CX_TOTAL);
    if (conn_connect(d->thread->loop, &o, &dial_conn_ops, d, &d->conn) != 0) {
        dial_finish(d, -1, STR("no socket"));
    }
}

static bool dial_is_available(const struct dial *d, const struct host *host)
{
    const struct transport_socket *t = host_transport(host);

    return t == NULL || t->is_available == NULL ||
           t->is_available(host_transport_config(host), d->thread->loop);
}

/* Its secrets or its names are not there yet: again soon, until `wait_ms` are over. */
static void dial_wait(struct dial *d, uint64_t wait_ms, struct str reason)
{
    uint64_t now = loop_now_ms(d->thread->loop);

    if (d->deadline_ms == 0) {
        d->deadline_ms = now + wait_ms;
    }
    if (now >= d->deadline_ms) {
        dial_finish(d, -1, reason);
    } else {
        timer_arm(d->thread->loop, &d->timer, DIAL_RETRY_MS);
    }
}

static void dial_try(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, timer);
    struct cluster *cluster = cluster_manager_find(d->thread->clusters, d->cluster);
    struct host *host;

    if (cluster == NULL) {
        dial_wait(d, UNKNOWN_CLUSTER_MS, STR("unknown cluster"));
        return;
    }
    host = cluster_pick(cluster, &(struct lb_context){.priority = PRIORITY_DEFAULT});
    if (host == NULL) {
        dial_wait(d, cluster_config_of(cluster)->connect_timeout_ms, STR("no healthy upstream"));
        return;
    }
    if (dial_is_available(d, host)) {
        dial_connect(d, cluster, host);
    } else {
        dial_wait(d, UNKNOWN_CLUSTER_MS, STR("its secrets are not there"));
    }
    host_unref(host);
}

static void *dial_start(void *ctx, struct str cluster, xds_dialed_fn *on_dialed, void *user)
{
    struct dial *d = xcalloc(1, sizeof(*d) + cluster.len);

    d->dialing = ctx;
    d->thread = d->dialing->thread;
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
    dial_let_go(d);
    free(d);
}

struct xds_dialer xds_dialing_init(struct xds_dialing *d, struct thread_context *main_thread)
{
    d->thread = main_thread;
    xds_bridges_init(&d->bridges);
    return (struct xds_dialer){.dial = dial_start, .cancel = dial_cancel, .ctx = d};
}

bool xds_dialing_close(struct xds_dialing *d, void (*on_closed)(void *user), void *user)
{
    return xds_bridges_close(&d->bridges, on_closed, user);
}
