#ifndef DATAPLANE_TLS_TRUST_H
#define DATAPLANE_TLS_TRUST_H

/*
 * CAs and CRLs, and the verdict on a peer's chain: what Envoy's default and SPIFFE certificate
 * validators decide, with their words. Trust is made on main and read by all threads.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/tls.h"
#include "dataplane/base/str.h"

struct ca_bundle;

struct tls_trust {
    struct ca_bundle *bundle;        /* whose the next three are; NULL: no CA */
    X509_STORE *store;               /* CAs with the CRLs among them; NULL: no CA */
    STACK_OF(X509) * cas;            /* for /certs */
    STACK_OF(CRYPTO_BUFFER) * names; /* subjects, as a server offers them to clients */
    STACK_OF(X509_CRL) * crls;       /* of the source's `crl`; NULL: none configured */
    bool has_bundled_crls;           /* the store holds CRLs: revocation is checked */
    struct str ca_name;              /* of the source */
    uint8_t digest[32];              /* of all CAs and CRLs: for session id contexts */
};

/* struct tls_builder's. E_INVALID in Envoy's words. Freed with the part. Main thread. */
int tls_trust_build(struct part *part, const struct tls_trust_source *src,
                    const struct tls_trust **ret, struct error *reterr) MUST_CHECK;

/* Which counter of ssl.* a refusal moves. */
enum tls_verify_result {
    TLS_VERIFIED,
    TLS_FAIL_NO_CERT,   /* fail_verify_no_cert */
    TLS_FAIL_ERROR,     /* fail_verify_error: the chain */
    TLS_FAIL_SAN,       /* fail_verify_san */
    TLS_FAIL_CERT_HASH, /* fail_verify_cert_hash */
};

/* Who signed a leaf that was believed: the next certificate of the chain that was built. */
struct tls_issuer {
    uint8_t sha256[32];
    struct str serial; /* lower-case hex, behind the struct */
};

struct tls_verify_params {
    /* The context's own, then the secret's; the second may be NULL. No validation at all: whatever
     * comes is accepted. */
    const struct tls_validation *parts[2];
    bool is_server;         /* the peer is a client */
    bool is_san_from_sni;   /* auto_sni_san_validation, */
    struct str server_name; /* of this SNI, as DNS name or IP */
    const struct str *sans; /* verify_subject_alt_name overrides; exact; count 0: none */
    size_t san_count;
    int64_t now_s;
    /* Gets what ACCEPT_UNTRUSTED let pass (its counter moves too), else TLS_VERIFIED. NULL:
     * nobody asks. */
    enum tls_verify_result *ret_overlooked;
    /* Gets a heap block, the caller's, or NULL: no chain was believed, or it ends with the leaf.
     * NULL: nobody asks. */
    struct tls_issuer **ret_issuer;
};

/* Whether this peer, whose chain is in `ssl`, is one to talk to. `reason` gets Envoy's sentence
 * ("verify cert failed: ..."), `ret_alert` the alert to send. `*ret_validated`: a check was made
 * and passed (not: nothing was asked for). */
enum tls_verify_result tls_verify_peer(const SSL *ssl, const struct tls_verify_params *p,
                                       struct strbuf *reason, uint8_t *ret_alert,
                                       bool *ret_validated);
/* The same for a chain at hand, leaf first. */
enum tls_verify_result tls_verify_chain(STACK_OF(X509) * chain, const struct tls_verify_params *p,
                                        struct strbuf *reason, uint8_t *ret_alert,
                                        bool *ret_validated);

/* Whether anything is checked at all, and whether a CA is: what a server asks its client for. */
bool tls_validation_is_active(const struct tls_validation *const parts[2]);
/* The CA of the two, NULL for none: of the secret's when it has one. */
const struct tls_trust *tls_validation_ca(const struct tls_validation *const parts[2]);

/* SSL_VERIFY_*: whether a peer is asked for a certificate, and whether it must have one. Envoy lets
 * a server require one (`is_required`) only where there is a CA or something to compare. */
int tls_validation_verify_mode(const struct tls_validation *const parts[2], bool is_required);
/* Subjects of the CAs, as a server sends them with its request (of all trust domains with the
 * SPIFFE validator), a new stack for SSL_set0_client_CAs; NULL: none. */
STACK_OF(CRYPTO_BUFFER) * tls_validation_ca_names(const struct tls_validation *const parts[2]);

/* One name against one pattern of a certificate ("*.a.b" stands for one label), RFC 6125 as Envoy
 * reads it. Upper and lower case are the same. */
bool tls_dns_name_matches(struct str name, struct str pattern);

/* struct tls_builder's: what the `oid` of an otherName matcher may be: "1.3.6.1.4.1.311.20.2.3" (or
 * "CN"). */
bool tls_oid_is_valid(struct str oid);

#endif
