#ifndef DATAPLANE_HTTP_FORWARDING_H
#define DATAPLANE_HTTP_FORWARDING_H

/*
 * What a proxy does to every request and response whatever the route: who the client is
 * (x-forwarded-for, -proto, x-envoy-internal, -external-address), what it may not claim
 * (x-envoy-*), request ids, via, hop-by-hop headers, server and date. Envoy's rules.
 */

#include <stdbool.h>

#include "config/model/route.h"
#include "dataplane/base/rand.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/http/conn_manager_config.h"

struct tls_info; /* dataplane/tls/info.h */

/* The connection that a request came on. */
struct forwarding_peer {
    const struct address *remote;
    const struct address *local;
    bool is_local_restored; /* the address it meant, not the one it has reached */
    struct str remote_ip;   /* as text; empty for a unix socket; lives as long as the request */
    bool is_tls;
    struct tls_info *tls; /* NULL: not asked for, or none */
};

struct forwarding_request {
    const struct http_conn_manager_config *config;
    const struct forwarding_peer *peer;
    const struct route_config *table; /* for internal_only_headers; NULL for none */
    const char *node_id;              /* for add_user_agent, as the next one */
    const char *node_cluster;
    struct rng *rng;
    struct header_map *headers;
};

/* Changes the headers and says who the client is (client_address.h). Returns 0, or the status with
 * which the request is to be refused, for nobody could say who sent it. */
int forwarding_mutate_request(const struct forwarding_request *rq, struct address *ret_client);

/* The response's hop-by-hop headers, request id and via. `request` NULL: its head never came.
 * Informational responses get no via (`config` only). */
void forwarding_mutate_response(const struct http_conn_manager_config *config,
                                const struct header_map *request, bool is_informational,
                                struct header_map *h);

/* Whether the request asks to become another protocol (Connection: upgrade, Upgrade: ...). */
bool forwarding_is_upgrade(const struct header_map *h);

#endif
