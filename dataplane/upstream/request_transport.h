#ifndef DATAPLANE_UPSTREAM_REQUEST_TRANSPORT_H
#define DATAPLANE_UPSTREAM_REQUEST_TRANSPORT_H

/*
 * What an HTTP request wants of the transport of its upstream connection: auto_sni and
 * auto_san_validation of the cluster, and what filters have left in the filter state under Envoy's
 * names. One thread; no state.
 */

#include <stdbool.h>

#include "dataplane/base/arena.h"
#include "dataplane/net/transport_socket.h"
#include "dataplane/stream_info/stream_info.h"
#include "dataplane/upstream/upstream.h"

/* Filter state, each as text: a name; lists with commas between. */
#define UPSTREAM_SERVER_NAME_KEY "envoy.network.upstream_server_name"
#define UPSTREAM_ALPN_KEY "envoy.network.application_protocols"
#define UPSTREAM_SANS_KEY "envoy.network.upstream_subject_alternative_names"

/* "host", "host:80", "1.2.3.4", "[::1]:80": without port and brackets; whether it is an IP. */
bool authority_host(struct str authority, struct str *ret_host);

/* Where auto_sni takes the name from: override_auto_sni_header where the cluster has one and the
 * request too (as Envoy: before the route changes any header); empty: from the authority. */
struct str request_transport_name_header(const struct cluster *c, const struct header_map *request);

/* `name`: that of the header, or else the authority as the route has rewritten it. `info` NULL: no
 * filters. NULL: nothing. In `a`, with its hash; without PROXY addresses. */
struct transport_options *request_transport_options(const struct cluster *c, struct str name,
                                                    const struct stream_info *info,
                                                    struct arena *a);

#endif
