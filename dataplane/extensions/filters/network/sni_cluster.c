/*
 * envoy.filters.network.sni_cluster: the server name that the client asked for is the name of the
 * cluster that tcp_proxy relays to. The connection's thread.
 *
 * Trust: the name is the client's word: it chooses among all clusters there are.
 * Buffers: nothing. Differs from Envoy: no.
 */

#include "dataplane/net/listener.h"
#include "dataplane/net/network_filter.h"
#include "proto/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.pb-c.h"

static enum network_filter_status sni_cluster_on_new_connection(struct network_filter *f)
{
    struct listener_connection *lc = f->lc;

    if (lc->requested_server_name.len > 0) {
        lc->cluster_name = lc->requested_server_name;
    }
    return NETWORK_FILTER_CONTINUE;
}

const struct network_filter_type network_filter_sni_cluster = {
    .ext =
        {
            .name = "envoy.filters.network.sni_cluster",
            .category = EXT_NETWORK_FILTER,
            .descriptor =
                &envoy__extensions__filters__network__sni_cluster__v3__sni_cluster__descriptor,
        },
    .on_new_connection = sni_cluster_on_new_connection,
};
