#ifndef CONFIG_PARSE_TLS_SECRET_H
#define CONFIG_PARSE_TLS_SECRET_H

/*
 * Secrets: certificates, validation contexts, ticket keys. Data sources are read at once; what
 * BoringSSL makes of them comes from ctx->tls and is freed with the part. The caller has pushed the
 * path of the message itself. Main thread.
 */

#include "config/model/tls.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/transport_sockets/tls/v3/common.pb-c.h"
#include "proto/envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

/* `ret` is NULL without ctx->tls. */
int parse_tls_certificate(struct parse_context *ctx,
                          const Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate *m,
                          const struct tls_certificate **ret) MUST_CHECK;
/* As Envoy: one that says nothing of a certificate is as if it was not there. */
bool tls_certificate_is_said(const Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate *m);
int parse_validation_context(
    struct parse_context *ctx,
    const Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext *m,
    struct tls_validation *ret) MUST_CHECK;
int parse_ticket_keys(struct parse_context *ctx,
                      const Envoy__Extensions__TransportSockets__Tls__V3__TlsSessionTicketKeys *m,
                      struct tls_ticket_keys *ret) MUST_CHECK;
/* An unset one counts as a certificate; parsing it fails. */
enum secret_kind secret_message_kind(const Envoy__Extensions__TransportSockets__Tls__V3__Secret *m);
int parse_secret(struct parse_context *ctx,
                 const Envoy__Extensions__TransportSockets__Tls__V3__Secret *m,
                 struct secret_config *ret) MUST_CHECK;

#endif
