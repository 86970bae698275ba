#ifndef DATAPLANE_HTTP_CLIENT_CERT_H
#define DATAPLANE_HTTP_CLIENT_CERT_H

/*
 * x-forwarded-client-cert: what the next hop learns of the client's certificate, exactly as Envoy
 * writes it ("By=...;Hash=...;Subject=\"...\";URI=...").
 */

#include "dataplane/codec/header_map.h"
#include "dataplane/http/conn_manager_config.h"

struct tls_info;

/* `tls` NULL: the client came without TLS. */
void client_cert_mutate_request(const struct http_conn_manager_config *config, struct tls_info *tls,
                                struct header_map *headers);

#endif
