/*
 * envoy.filters.network.tcp_proxy: relays a client's bytes to a host of a cluster and back. This is
 * the network filter; the work is in session.c and upstream.c, the configuration in config.c. The
 * connection's thread.
 *
 * Trust: bytes of both sides are opaque and never looked at.
 * Buffers: until the host is connected nothing, or max_early_data_bytes and one read; then what
 * the slower side has not taken, up to its connection's watermark (dataplane/flow_control.md).
 * Differs from Envoy: no metadata_match and on_demand; a client's reset is noticed while the host
 * is being connected.
 */

#include "dataplane/extensions/filters/network/tcp_proxy/session.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"
#include "proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h"

static int tcp_proxy_open(struct network_filter *f)
{
    struct tcp_session *s = tcp_session_new(f);

    s->client->is_half_close_enabled = true;
    if (!s->config->max_early_data_bytes.is_set) {
        conn_read_disable(s->client, true); /* until there is somebody to take what is read */
    }
    stat_inc(s->stats, TCP_PROXY_CX_TOTAL);
    f->state = s;
    return 0;
}

static enum network_filter_status tcp_proxy_on_new_connection(struct network_filter *f)
{
    tcp_session_start(f->state);
    return NETWORK_FILTER_STOP;
}

static void tcp_proxy_on_handshake(struct network_filter *f)
{
    tcp_session_handshaken(f->state);
}

static enum network_filter_status tcp_proxy_on_data(struct network_filter *f, struct buf *in,
                                                    bool end_stream)
{
    tcp_session_client_data(f->state, in, end_stream);
    return NETWORK_FILTER_STOP;
}

static void tcp_proxy_on_watermark(struct network_filter *f, bool is_above)
{
    struct tcp_session *s = f->state;

    if (s->state == TCP_SESSION_OPEN) {
        tcp_session_touch(s);
        tcp_upstream_stop(s, is_above);
    }
}

static void tcp_proxy_on_closed(struct network_filter *f, enum conn_close_cause cause)
{
    struct tcp_session *s = f->state;

    tcp_session_end(s, cause == CONN_CLOSED_RESET);
    tcp_session_log(s, ACCESS_LOG_TCP_CONNECTION_END);
    f->state = NULL;
    tcp_session_free(s);
}

const struct network_filter_type network_filter_tcp_proxy = {
    .ext =
        {
            .name = "envoy.filters.network.tcp_proxy",
            .category = EXT_NETWORK_FILTER,
            .is_terminal = true,
            .descriptor =
                &envoy__extensions__filters__network__tcp_proxy__v3__tcp_proxy__descriptor,
            .parse = tcp_proxy_parse,
        },
    .open = tcp_proxy_open,
    .on_new_connection = tcp_proxy_on_new_connection,
    .on_handshake = tcp_proxy_on_handshake,
    .on_data = tcp_proxy_on_data,
    .on_watermark = tcp_proxy_on_watermark,
    .on_closed = tcp_proxy_on_closed,
};
