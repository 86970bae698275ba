#ifndef DATAPLANE_TLS_CERTIFICATE_H
#define DATAPLANE_TLS_CERTIFICATE_H

/*
 * A certificate chain with its key as it is served, made once on main, read by all threads
 * (BoringSSL's objects count their references atomically; none of them is changed afterwards).
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/tls.h"
#include "dataplane/base/str.h"

enum tls_key_type {
    TLS_KEY_RSA,
    TLS_KEY_ECDSA_P256,
    TLS_KEY_ECDSA_P384,
    TLS_KEY_ECDSA_P521,
    TLS_KEY_ED25519, /* Envoy chooses it as if it were RSA */
};

struct tls_certificate {
    CRYPTO_BUFFER **chain; /* leaf first */
    size_t chain_count;
    EVP_PKEY *key;
    X509 *leaf;
    enum tls_key_type key_type;
    /* What SNI is compared with: DNS SANs, or the CN when there is no SAN of any kind. Lower case,
     * as "name" or "*.suffix". */
    const struct str *names;
    size_t name_count;
    struct str chain_name;  /* of the source: a file's path or "<inline>" */
    struct str ocsp_staple; /* DER; empty: none */
    int64_t ocsp_expires_s; /* wall clock; 0: no staple; long ago when it names no end */
    bool must_staple;       /* the leaf has the TLS feature extension */
    bool has_identity;      /* a CN, or a DNS, URI or IP SAN */
    uint8_t digest[32];     /* SHA-256 of the leaf: part of the session id context */
};

/* struct tls_builder's: reads PEM (or PKCS#12), checks that key and leaf belong together, that the
 * key is one that Envoy takes (RSA of 2048 bits and more, P-256, P-384, P-521, Ed25519), that the
 * staple is the leaf's. E_INVALID in Envoy's words. Freed with the part. Main thread. */
int tls_certificate_build(struct part *part, const struct tls_certificate_source *src,
                          const struct tls_certificate **ret, struct error *reterr) MUST_CHECK;

/* What only a server's certificate must have: a name, and a staple where the certificate or the
 * context's policy (`is_staple_required`) wants one. E_INVALID in Envoy's words. */
int tls_certificate_check_served(const struct tls_certificate *c, bool is_staple_required,
                                 struct error *reterr) MUST_CHECK;

/* Days until the leaf (of a chain: whichever is first) ends, 0 when over. */
uint32_t tls_certificate_days_left(const struct tls_certificate *c, int64_t now_s);

#endif
