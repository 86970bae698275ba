/* The series of TLS: names and how a finished handshake is counted. Any thread. */

#include "dataplane/tls/tls_stats.h"

#include <string.h>

#define TLS_STAT_DEFS                                                                              \
    [TLS_CONNECTION_ERROR] = {"connection_error", STAT_COUNTER},                                   \
    [TLS_HANDSHAKE] = {"handshake", STAT_COUNTER},                                                 \
    [TLS_SESSION_REUSED] = {"session_reused", STAT_COUNTER},                                       \
    [TLS_NO_CERTIFICATE] = {"no_certificate", STAT_COUNTER},                                       \
    [TLS_FAIL_VERIFY_NO_CERT] = {"fail_verify_no_cert", STAT_COUNTER},                             \
    [TLS_FAIL_VERIFY_ERROR] = {"fail_verify_error", STAT_COUNTER},                                 \
    [TLS_FAIL_VERIFY_SAN] = {"fail_verify_san", STAT_COUNTER},                                     \
    [TLS_FAIL_VERIFY_CERT_HASH] = {"fail_verify_cert_hash", STAT_COUNTER},                         \
    [TLS_OCSP_STAPLE_FAILED] = {"ocsp_staple_failed", STAT_COUNTER},                               \
    [TLS_OCSP_STAPLE_OMITTED] = {"ocsp_staple_omitted", STAT_COUNTER},                             \
    [TLS_OCSP_STAPLE_RESPONSES] = {"ocsp_staple_responses", STAT_COUNTER},                         \
    [TLS_OCSP_STAPLE_REQUESTS] = {"ocsp_staple_requests", STAT_COUNTER},                           \
    [TLS_WAS_KEY_USAGE_INVALID] = {"was_key_usage_invalid", STAT_COUNTER}

static const struct stat_def tls_stat_defs[TLS_STAT_COUNT] = {TLS_STAT_DEFS};

const struct stat_schema tls_listener_stat_schema = {
    .defs = tls_stat_defs, .count = TLS_STAT_COUNT, .shown_untouched = true};
const struct stat_schema tls_cluster_stat_schema = {.defs = tls_stat_defs, .count = TLS_STAT_COUNT};

static const struct stat_def tls_server_factory_stat_defs[TLS_FACTORY_STAT_COUNT] = {
    [TLS_SECRETS_NOT_READY] = {"downstream_context_secrets_not_ready", STAT_COUNTER},
    [TLS_CONTEXT_UPDATE_BY_SDS] = {"ssl_context_update_by_sds", STAT_COUNTER},
};
static const struct stat_def tls_client_factory_stat_defs[TLS_FACTORY_STAT_COUNT] = {
    [TLS_SECRETS_NOT_READY] = {"upstream_context_secrets_not_ready", STAT_COUNTER},
    [TLS_CONTEXT_UPDATE_BY_SDS] = {"ssl_context_update_by_sds", STAT_COUNTER},
};

const struct stat_schema tls_server_factory_stat_schema = {
    .defs = tls_server_factory_stat_defs, .count = TLS_FACTORY_STAT_COUNT, .shown_untouched = true};
const struct stat_schema tls_client_factory_stat_schema = {.defs = tls_client_factory_stat_defs,
                                                           .count = TLS_FACTORY_STAT_COUNT};

/* --- what was negotiated ---------------------------------------------------------------------- */

/* All that BoringSSL can come to, and what to call the rest. */
static const struct stat_def negotiated_stat_defs[] = {
    {"ciphers.unknown_ssl_cipher", STAT_COUNTER},
    {"ciphers.TLS_AES_128_GCM_SHA256", STAT_COUNTER},
    {"ciphers.TLS_AES_256_GCM_SHA384", STAT_COUNTER},
    {"ciphers.TLS_CHACHA20_POLY1305_SHA256", STAT_COUNTER},
    {"ciphers.ECDHE-ECDSA-AES128-GCM-SHA256", STAT_COUNTER},
    {"ciphers.ECDHE-ECDSA-AES256-GCM-SHA384", STAT_COUNTER},
    {"ciphers.ECDHE-ECDSA-CHACHA20-POLY1305", STAT_COUNTER},
    {"ciphers.ECDHE-RSA-AES128-GCM-SHA256", STAT_COUNTER},
    {"ciphers.ECDHE-RSA-AES256-GCM-SHA384", STAT_COUNTER},
    {"ciphers.ECDHE-RSA-CHACHA20-POLY1305", STAT_COUNTER},
    {"ciphers.ECDHE-ECDSA-AES128-SHA", STAT_COUNTER},
    {"ciphers.ECDHE-ECDSA-AES256-SHA", STAT_COUNTER},
    {"ciphers.ECDHE-RSA-AES128-SHA", STAT_COUNTER},
    {"ciphers.ECDHE-RSA-AES256-SHA", STAT_COUNTER},
    {"ciphers.ECDHE-ECDSA-AES128-SHA256", STAT_COUNTER},
    {"ciphers.ECDHE-RSA-AES128-SHA256", STAT_COUNTER},
    {"ciphers.ECDHE-PSK-AES128-CBC-SHA", STAT_COUNTER},
    {"ciphers.ECDHE-PSK-AES256-CBC-SHA", STAT_COUNTER},
    {"ciphers.ECDHE-PSK-CHACHA20-POLY1305", STAT_COUNTER},
    {"ciphers.AES128-GCM-SHA256", STAT_COUNTER},
    {"ciphers.AES256-GCM-SHA384", STAT_COUNTER},
    {"ciphers.AES128-SHA", STAT_COUNTER},
    {"ciphers.AES256-SHA", STAT_COUNTER},
    {"ciphers.DES-CBC3-SHA", STAT_COUNTER},
    {"versions.unknown_ssl_version", STAT_COUNTER},
    {"versions.TLSv1", STAT_COUNTER},
    {"versions.TLSv1.1", STAT_COUNTER},
    {"versions.TLSv1.2", STAT_COUNTER},
    {"versions.TLSv1.3", STAT_COUNTER},
    {"curves.unknown_ssl_curve", STAT_COUNTER},
    {"curves.P-224", STAT_COUNTER},
    {"curves.P-256", STAT_COUNTER},
    {"curves.P-384", STAT_COUNTER},
    {"curves.P-521", STAT_COUNTER},
    {"curves.X25519", STAT_COUNTER},
    {"curves.X25519MLKEM768", STAT_COUNTER},
    {"curves.X25519Kyber768Draft00", STAT_COUNTER},
    {"curves.MLKEM1024", STAT_COUNTER},
    {"sigalgs.unknown_ssl_algorithm", STAT_COUNTER},
    {"sigalgs.rsa_pkcs1_md5_sha1", STAT_COUNTER},
    {"sigalgs.rsa_pkcs1_sha1", STAT_COUNTER},
    {"sigalgs.rsa_pkcs1_sha256", STAT_COUNTER},
    {"sigalgs.rsa_pkcs1_sha384", STAT_COUNTER},
    {"sigalgs.rsa_pkcs1_sha512", STAT_COUNTER},
    {"sigalgs.ecdsa_sha1", STAT_COUNTER},
    {"sigalgs.ecdsa_secp256r1_sha256", STAT_COUNTER},
    {"sigalgs.ecdsa_secp384r1_sha384", STAT_COUNTER},
    {"sigalgs.ecdsa_secp521r1_sha512", STAT_COUNTER},
    {"sigalgs.rsa_pss_rsae_sha256", STAT_COUNTER},
    {"sigalgs.rsa_pss_rsae_sha384", STAT_COUNTER},
    {"sigalgs.rsa_pss_rsae_sha512", STAT_COUNTER},
    {"sigalgs.ed25519", STAT_COUNTER},
};

/* As Envoy, whose extractors call the ciphers of clusters otherwise. */
static const struct stat_family listener_families[] = {{"ciphers.", "envoy.ssl_cipher"},
                                                       {"versions.", "envoy.ssl_version"},
                                                       {"curves.", "envoy.ssl_curve"},
                                                       {"sigalgs.", "envoy.ssl_sigalg"},
                                                       {NULL, NULL}};
static const struct stat_family cluster_families[] = {{"ciphers.", "cipher_suite"},
                                                      {"versions.", "envoy.ssl_version"},
                                                      {"curves.", "envoy.ssl_curve"},
                                                      {"sigalgs.", "envoy.ssl_sigalg"},
                                                      {NULL, NULL}};

const struct stat_schema tls_listener_negotiated_stat_schema = {
    .defs = negotiated_stat_defs,
    .count = ARRAY_LEN(negotiated_stat_defs),
    .shown_singly = true,
    .families = listener_families,
};
const struct stat_schema tls_cluster_negotiated_stat_schema = {
    .defs = negotiated_stat_defs,
    .count = ARRAY_LEN(negotiated_stat_defs),
    .shown_singly = true,
    .families = cluster_families,
};

/* The first of a family counts what is not on the list. */
static void count_name(struct stat_block *b, struct str family, const char *name)
{
    size_t unknown = ARRAY_LEN(negotiated_stat_defs);

    for (size_t i = 0; i < ARRAY_LEN(negotiated_stat_defs); i++) {
        const char *def = negotiated_stat_defs[i].name;

        if (strncmp(def, family.ptr, family.len) != 0) {
            continue;
        }
        if (unknown == ARRAY_LEN(negotiated_stat_defs)) {
            unknown = i;
        }
        if (name != NULL && strcmp(def + family.len, name) == 0) {
            stat_inc(b, i);
            return;
        }
    }
    stat_inc(b, unknown);
}

void tls_stats_count_negotiated(struct stat_block *b, const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    uint16_t curve = SSL_get_curve_id(ssl);
    uint16_t algorithm = SSL_get_peer_signature_algorithm(ssl);

    count_name(b, STR("ciphers."), cipher != NULL ? SSL_CIPHER_get_name(cipher) : NULL);
    count_name(b, STR("versions."), SSL_get_version(ssl));
    if (curve != 0) {
        count_name(b, STR("curves."), SSL_get_curve_name(curve));
    }
    if (algorithm != 0) {
        count_name(b, STR("sigalgs."), SSL_get_signature_algorithm_name(algorithm, 1));
    }
}
