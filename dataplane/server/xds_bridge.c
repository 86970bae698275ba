/* Bytes between gRPC's socketpair and a control plane's connection. Main thread. */

#include "dataplane/server/xds_bridge.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

/* What one side may be behind the other before it is waited for. */
#define BRIDGE_WATERMARK (256u * 1024)

/* One of the two connections. */
struct bridge_end {
    struct xds_bridge *bridge;
    struct conn *conn; /* NULL: closed */
    struct bridge_end *other;
};

struct xds_bridge {
    struct list node;
    struct xds_bridges *bridges;
    struct bridge_end inner; /* gRPC's */
    struct bridge_end outer; /* the control plane's */
    struct part_handle *config;
};

static void bridge_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    const struct bridge_end *e = c->user;

    (void)end_stream; /* half-close is not enabled: an end is a close */
    if (e->other->conn != NULL) {
        conn_write(e->other->conn, in);
    } else {
        buf_reset(in);
    }
}

static void bridge_on_watermark(struct conn *c, bool is_above)
{
    const struct bridge_end *e = c->user;

    if (e->other->conn != NULL) {
        conn_read_disable(e->other->conn, is_above);
    }
}

static void bridge_free(struct xds_bridge *b)
{
    struct xds_bridges *bridges = b->bridges;

    list_remove(&b->node);
    part_handle_unref(b->config);
    free(b);
    if (bridges->on_closed != NULL && list_is_empty(&bridges->open)) {
        bridges->on_closed(bridges->user);
    }
}

static void bridge_on_closed(struct conn *c, enum conn_close_cause cause)
{
    struct bridge_end *e = c->user;
    struct xds_bridge *b = e->bridge;

    (void)cause;
    if (e == &b->outer && c->failure_reason != NULL) {
        log_warn(LOG_C_CONFIG, "control plane: %s", c->failure_reason);
    }
    e->conn = NULL;
    if (e->other->conn != NULL) {
        conn_close(e->other->conn, CONN_CLOSE_FLUSH); /* what came before the end */
        return;
    }
    bridge_free(b);
}

static const struct conn_ops bridge_ops = {
    .on_data = bridge_on_data,
    .on_watermark = bridge_on_watermark,
    .on_closed = bridge_on_closed,
};

static void bridge_attach(struct xds_bridge *b, struct bridge_end *e, struct bridge_end *other,
                          struct conn *c)
{
    e->bridge = b;
    e->other = other;
    e->conn = c;
    c->ops = &bridge_ops;
    c->user = e;
    conn_set_watermark(c, BRIDGE_WATERMARK);
    conn_read_start(c);
}

int xds_bridge_open(struct xds_bridges *bridges, struct conn *take_outer,
                    struct part_handle *config)
{
    const struct address nowhere = {.len = 0};
    struct xds_bridge *b;
    struct conn *inner;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        conn_close(take_outer, CONN_CLOSE_NOW);
        return -1;
    }
    if (conn_accept(take_outer->loop, fds[0], true, &nowhere, &nowhere, &inner) != 0) {
        (void)close(fds[1]);
        conn_close(take_outer, CONN_CLOSE_NOW);
        return -1;
    }
    b = xcalloc(1, sizeof(*b));
    b->bridges = bridges;
    list_add_tail(&bridges->open, &b->node);
    if (config != NULL) {
        part_handle_ref(config);
        b->config = config;
    }
    bridge_attach(b, &b->inner, &b->outer, inner);
    bridge_attach(b, &b->outer, &b->inner, take_outer);
    return fds[1];
}

void xds_bridges_init(struct xds_bridges *bridges)
{
    *bridges = (struct xds_bridges){.on_closed = NULL};
    list_init(&bridges->open);
}

bool xds_bridges_close(struct xds_bridges *bridges, void (*on_closed)(void *user), void *user)
{
    struct xds_bridge *b;

    bridges->on_closed = on_closed;
    bridges->user = user;
    list_for_each (b, &bridges->open, struct xds_bridge, node) {
        if (b->inner.conn != NULL) {
            conn_close(b->inner.conn, CONN_CLOSE_NOW);
        }
        if (b->outer.conn != NULL) {
            conn_close(b->outer.conn, CONN_CLOSE_NOW);
        }
    }
    return !list_is_empty(&bridges->open);
}
