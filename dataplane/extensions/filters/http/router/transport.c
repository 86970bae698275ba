/*
 * What a request says about the transport of its upstream connections: names, protocols, and whom
 * PROXY protocol is to name. A worker's thread.
 */

#include "dataplane/extensions/filters/http/router/router.h"

#include "dataplane/net/connection.h"
#include "dataplane/net/transport_options.h"
#include "dataplane/upstream/request_transport.h"

void router_note_transport_header(struct router *r, const struct header_map *h)
{
    r->transport_name = request_transport_name_header(r->cluster, h);
}

void router_choose_transport(struct router *r, const struct header_map *h)
{
    struct str name = r->transport_name.len > 0 ? r->transport_name : header_get(h, HDR_AUTHORITY);

    r->transport = request_transport_options(r->cluster, name, http_filter_info(r->filter),
                                             http_filter_arena(r->filter));
}

void router_write_scheme(struct router *r, const struct host *host, struct header_map *h)
{
    if (http_filter_scheme_matches_upstream(r->filter)) {
        header_set(h, HDR_SCHEME, host_is_secure(host) ? STR("https") : STR("http"));
    }
}

/* With the downstream connection: for such a host no other's may be used. */
static const struct transport_options *with_proxy_addresses(const struct router *r)
{
    const struct conn *downstream = http_filter_info(r->filter)->connection;
    struct transport_options *o;

    if (downstream == NULL) {
        return r->transport;
    }
    o = ARENA_NEW(http_filter_arena(r->filter), struct transport_options);
    if (r->transport != NULL) {
        *o = *r->transport;
    }
    o->proxy_source = &downstream->remote;
    o->proxy_destination = &downstream->local;
    o->proxy_tlvs = http_filter_proxy_tlvs(r->filter);
    o->hash = transport_options_hash(o);
    return o;
}

const struct transport_options *router_transport_to(const struct router *r, const struct host *host)
{
    const struct transport_socket *transport = host_transport(host);

    return transport != NULL && transport->wants_proxy_addresses ? with_proxy_addresses(r)
                                                                 : r->transport;
}
