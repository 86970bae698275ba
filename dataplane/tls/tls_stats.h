#ifndef DATAPLANE_TLS_TLS_STATS_H
#define DATAPLANE_TLS_TLS_STATS_H

/*
 * ssl.* of a listener or cluster, under Envoy's names. What was negotiated is counted by name, from
 * a fixed list: BoringSSL knows no others.
 */

#include <openssl/ssl.h>

#include "dataplane/stats/stats.h"

enum tls_stat {
    TLS_CONNECTION_ERROR,
    TLS_HANDSHAKE,
    TLS_SESSION_REUSED,
    TLS_NO_CERTIFICATE,
    TLS_FAIL_VERIFY_NO_CERT,
    TLS_FAIL_VERIFY_ERROR,
    TLS_FAIL_VERIFY_SAN,
    TLS_FAIL_VERIFY_CERT_HASH,
    TLS_OCSP_STAPLE_FAILED,
    TLS_OCSP_STAPLE_OMITTED,
    TLS_OCSP_STAPLE_RESPONSES,
    TLS_OCSP_STAPLE_REQUESTS,
    TLS_WAS_KEY_USAGE_INVALID,
    TLS_STAT_COUNT
};

extern const struct stat_schema tls_listener_stat_schema; /* zeros are shown */
extern const struct stat_schema tls_cluster_stat_schema;
extern const struct stat_schema tls_listener_negotiated_stat_schema;
extern const struct stat_schema tls_cluster_negotiated_stat_schema;

enum tls_factory_stat {
    TLS_SECRETS_NOT_READY, /* downstream_context_secrets_not_ready, upstream_... */
    TLS_CONTEXT_UPDATE_BY_SDS,
    TLS_FACTORY_STAT_COUNT
};

extern const struct stat_schema tls_server_factory_stat_schema;
extern const struct stat_schema tls_client_factory_stat_schema;

/* A finished handshake: cipher, version, curve and signature algorithm. */
void tls_stats_count_negotiated(struct stat_block *b, const SSL *ssl);

#endif
