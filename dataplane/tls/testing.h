#ifndef DATAPLANE_TLS_TESTING_H
#define DATAPLANE_TLS_TESTING_H

/*
 * Test only: certificates, CRLs and OCSP responses made on the spot, and a handshake in memory.
 * Whatever goes wrong fails the test.
 */

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"

#define TEST_DAY_S 86400
/* "Now" of these certificates: 2026-01-01 00:00:00 UTC. */
#define TEST_NOW_S 1767225600

/* "P-256", "P-384", "P-521", "P-224", "RSA-2048", "RSA-1024", "Ed25519". The caller frees it. */
EVP_PKEY *test_key_new(const char *kind);

struct test_cert_params {
    const char *cn; /* NULL: an empty subject */
    const char *ou;
    const struct test_cert *issuer; /* NULL: signs itself */
    const char *key_kind;           /* NULL: "P-256" */
    uint64_t serial;                /* 0: one that is its own */
    /* "DNS:a.example,URI:spiffe://a/b,IP:10.0.0.1,email:a@b.c,otherName:1.2.3;UTF8:x"; NULL: none.
     */
    const char *sans;
    struct str raw_dns;     /* one more DNS SAN with these very bytes */
    const char *usage;      /* "digitalSignature,keyCertSign"; NULL: none */
    const char *crl_points; /* "URI:http://a/crl"; NULL: none */
    const char *ext_usage;  /* "serverAuth"; NULL: none */
    int64_t not_before_s;   /* 0: the day before TEST_NOW_S */
    int64_t not_after_s;    /* 0: a year after */
    bool is_ca;
    bool must_staple;
};

struct test_cert {
    X509 *x509;
    EVP_PKEY *key;
    struct strbuf pem;     /* the certificate alone */
    struct strbuf key_pem; /* PKCS#8 */
};

void test_cert_init(struct test_cert *c, const struct test_cert_params *p);
void test_cert_done(struct test_cert *c);

/* PEM of a CRL with these serial numbers, appended to `out`. */
void test_crl_pem(const struct test_cert *ca, const uint64_t *serials, size_t count,
                  struct strbuf *out);
/* PEM of `key`, encrypted. */
void test_encrypted_key_pem(EVP_PKEY *key, const char *password, struct strbuf *out);
/* DER of PKCS#12 with key, leaf and one more certificate (NULL: none). */
void test_pkcs12(const struct test_cert *leaf, const struct test_cert *ca, const char *password,
                 struct strbuf *out);

/* DER of an OCSP response that calls `c` good; 0 for `next_update_s` leaves that out. Its
 * signature is made up. */
void test_ocsp(const struct test_cert *c, int64_t this_update_s, int64_t next_update_s,
               struct strbuf *out);

/* A context of either side that shows `c` (NULL: nothing) and accepts everybody, asking clients
 * for a certificate. */
SSL_CTX *test_ssl_ctx(const struct test_cert *c, const struct test_cert *intermediate);
/* Both ends of a finished handshake; the caller frees them. `sni` and `alpn` may be NULL. */
void test_handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx, const char *sni, const char *alpn,
                    SSL **ret_client, SSL **ret_server);

#endif
