/*
 * envoy.filters.listener.original_dst: where a connection wanted to go before the kernel redirected
 * it (SO_ORIGINAL_DST). The connection's thread.
 *
 * Trust: the kernel's answer, which no client can forge. Buffers: nothing.
 * Differs from Envoy: addresses of internal listeners are not there.
 */

#include <sys/socket.h>

#include "dataplane/net/listener_filter.h"
#include "proto/envoy/extensions/filters/listener/original_dst/v3/original_dst.pb-c.h"

/* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST: linux/netfilter*.h does not go with netinet/in.h. */
#define ORIGINAL_DST 80

static bool original_dst_of(const struct conn *c, struct address *ret)
{
    struct address a = {.len = sizeof(a.un)};
    bool is_v6 = c->local.sa.sa_family == AF_INET6;

    if (getsockopt(conn_fd(c), is_v6 ? SOL_IPV6 : SOL_IP, ORIGINAL_DST, &a.sa, &a.len) != 0) {
        return false;
    }
    *ret = a;
    return true;
}

static enum listener_filter_status original_dst_on_accept(struct listener_filter *f)
{
    struct conn *c = f->inspection->conn;
    struct address a;

    /* What was not redirected has its own address here, and stays with its listener. */
    if (address_is_ip(&c->local) && original_dst_of(c, &a) && !address_eq(&a, &c->local)) {
        inspection_restore_local(f->inspection, &a);
    }
    return LISTENER_FILTER_CONTINUE;
}

const struct listener_filter_type listener_filter_original_dst = {
    .ext =
        {
            .name = "envoy.filters.listener.original_dst",
            .category = EXT_LISTENER_FILTER,
            .descriptor =
                &envoy__extensions__filters__listener__original_dst__v3__original_dst__descriptor,
        },
    .on_accept = original_dst_on_accept,
};
