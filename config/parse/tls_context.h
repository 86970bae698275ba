#ifndef CONFIG_PARSE_TLS_CONTEXT_H
#define CONFIG_PARSE_TLS_CONTEXT_H

/*
 * DownstreamTlsContext and UpstreamTlsContext into the model, with Envoy's verdicts. Secrets that
 * come by SDS become slots and subscriptions. Main thread.
 */

#include "config/model/tls.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

int parse_downstream_tls_context(
    struct parse_context *ctx,
    const Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext *m,
    struct tls_server_config *ret) MUST_CHECK;
int parse_upstream_tls_context(
    struct parse_context *ctx,
    const Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext *m,
    struct tls_client_config *ret) MUST_CHECK;

#endif
