#ifndef DATAPLANE_HTTP_CLIENT_ADDRESS_H
#define DATAPLANE_HTTP_CLIENT_ADDRESS_H

/*
 * Who sent a request: the peer of its connection, or whom its headers name where they are to be
 * believed; and what the next one is told of that (x-forwarded-for, -proto, -port). Envoy's rules.
 * Any thread, no state.
 */

#include <stdbool.h>

#include "config/model/extension.h"
#include "dataplane/http/forwarding.h"

struct client_address {
    struct address address; /* len 0: not known */
    bool is_trusted;        /* it may count as internal */
    bool appends_peer;      /* by a detector: the peer joins x-forwarded-for */
    int reject_status;      /* by a detector: the request is refused; 0: it is not */
};

/* An original_ip_detection extension. Leaves `ret` as it is (nothing found) or fills it in. */
struct ip_detector_type {
    struct extension ext;
    void (*detect)(const void *config, const struct header_map *h, const struct address *peer,
                   struct client_address *ret);
};

/* Changes the headers that tell of it. */
void client_address_find(const struct forwarding_request *rq, struct client_address *ret);
bool client_is_internal(const struct http_conn_manager_config *c, const struct address *a);
/* "http" or "https", as the client has connected. */
struct str client_scheme(const struct forwarding_request *rq);
/* x-forwarded-port: the port that it has connected to. */
void client_set_forwarded_port(const struct forwarding_request *rq);

/* The address that stands `skip` places before the last in x-forwarded-for; trusted when nothing
 * else stands there. */
void client_from_xff(const struct header_map *h, uint32_t skip, struct client_address *ret);
/* The last that is in none of the ranges, or the first of all. */
void client_from_xff_beyond(const struct header_map *h, const struct cidr *trusted, size_t count,
                            struct client_address *ret);

#endif
