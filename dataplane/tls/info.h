#ifndef DATAPLANE_TLS_INFO_H
#define DATAPLANE_TLS_INFO_H

/*
 * What a finished handshake says about a connection: for formatters, x-forwarded-client-cert, RBAC.
 * Taken when the handshake is done, counted (plainly, one thread), so that an access log can read
 * it when the connection has gone. Texts of certificates are made when first asked for.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

struct tls_info;
struct tls_issuer; /* trust.h */

struct tls_info_params {
    X509 *local;                    /* the leaf that we showed (a reference is taken), or NULL */
    struct tls_issuer *take_issuer; /* of tls_verify_peer, or NULL */
    bool is_peer_validated;         /* tls_verify_peer said so */
    uint64_t handshake_done_ns;     /* monotonic */
};

/* Takes what it needs from `ssl`. refs = 1. */
struct tls_info *tls_info_new(const SSL *ssl, const struct tls_info_params *p);
void tls_info_ref(struct tls_info *i);
void tls_info_unref(struct tls_info *i); /* NULL allowed */

enum tls_side { TLS_LOCAL, TLS_PEER };

/* NULL `i` answers as a connection without TLS: empty texts, false, 0. Strings live as long as `i`.
 */
struct str tls_info_version(const struct tls_info *i); /* "TLSv1.3" */
struct str tls_info_cipher(const struct tls_info *i);  /* "TLS_AES_128_GCM_SHA256" */
uint16_t tls_info_cipher_id(const struct tls_info *i);
struct str tls_info_group(const struct tls_info *i); /* of the key exchange: "X25519" */
struct str tls_info_session_id(struct tls_info *i);  /* hex */
struct str tls_info_sni(const struct tls_info *i);
struct str tls_info_alpn(const struct tls_info *i);
uint64_t tls_info_handshake_done_ns(const struct tls_info *i); /* monotonic */
bool tls_info_has_peer_certificate(const struct tls_info *i);  /* presented */
bool tls_info_is_peer_validated(const struct tls_info *i);

/* RFC 2253, as Envoy writes it: "CN=Test,OU=Lyft,..." */
struct str tls_info_subject(struct tls_info *i, enum tls_side side);
struct str tls_info_common_name(struct tls_info *i, enum tls_side side);
struct str tls_info_issuer(struct tls_info *i, enum tls_side side);
struct str tls_info_serial(struct tls_info *i, enum tls_side side);             /* lower-case hex */
struct str tls_info_sha256_fingerprint(struct tls_info *i, enum tls_side side); /* hex */
struct str tls_info_sha1_fingerprint(struct tls_info *i, enum tls_side side);
struct str tls_info_peer_pem(struct tls_info *i, size_t at); /* of the peer's chain */
struct str tls_info_url_encoded_pem(struct tls_info *i);     /* the peer's leaf */
struct str tls_info_url_encoded_pem_chain(struct tls_info *i);
bool tls_info_valid_from(struct tls_info *i, enum tls_side side, int64_t *ret_s);
bool tls_info_valid_to(struct tls_info *i, enum tls_side side, int64_t *ret_s);

enum tls_name_kind { TLS_NAME_DNS, TLS_NAME_URI, TLS_NAME_IP, TLS_NAME_EMAIL, TLS_NAME_OTHER };
/* Those of the leaf, in its order. */
const struct str *tls_info_sans(struct tls_info *i, enum tls_side side, enum tls_name_kind kind,
                                size_t *ret_count);
/* Fingerprints and serials of the peer's whole chain, leaf first. */
size_t tls_info_peer_chain_length(const struct tls_info *i);
struct str tls_info_peer_chain_sha256(struct tls_info *i, size_t at);
struct str tls_info_peer_chain_sha1(struct tls_info *i, size_t at);
struct str tls_info_peer_chain_serial(struct tls_info *i, size_t at);
/* Of whoever signed the peer's leaf, by the chain that was believed when it was verified on this
 * very connection; else empty. */
struct str tls_info_peer_issuer_sha256(struct tls_info *i);
struct str tls_info_peer_issuer_serial(struct tls_info *i);
/* Names, and what the chain has, as one text with commas between. */
struct str tls_info_sans_joined(struct tls_info *i, enum tls_side side, enum tls_name_kind kind);
struct str tls_info_peer_chain_sha256_joined(struct tls_info *i);
struct str tls_info_peer_chain_sha1_joined(struct tls_info *i);
struct str tls_info_peer_chain_serials_joined(struct tls_info *i);

#endif
