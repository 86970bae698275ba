/*
 * CAs and CRLs from PEM, made on main: each becomes one X509_STORE that all threads verify with.
 * How a peer is judged by them: verify.c and spiffe.c.
 */

#include "dataplane/tls/trust.h"

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <string.h>

#include "dataplane/tls/ca_bundle.h"
#include "dataplane/tls/verify_internal.h"

static void trust_on_free(void *object)
{
    struct tls_trust *t = (struct tls_trust *)object;

    ca_bundle_unref(t->bundle);
    sk_X509_CRL_pop_free(t->crls, X509_CRL_free);
}

STACK_OF(X509_INFO) * tls_read_pem(struct str text)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    STACK_OF(X509_INFO) * list;

    CHECK(bio != NULL);
    list = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return list;
}

static int ca_error(const struct tls_trust_source *src, struct error *reterr)
{
    if (src->trust_domain.len > 0) {
        return error_set(reterr, E_INVALID, "Failed to load trusted CA certificate for %.*s",
                         STR_ARG(src->trust_domain));
    }
    return error_set(reterr, E_INVALID, "Failed to load trusted CA certificates from %.*s",
                     STR_ARG(src->ca.name));
}

static int read_cas(struct tls_trust *t, const struct tls_trust_source *src, struct error *reterr)
{
    t->bundle = ca_bundle_of(src->ca.bytes);
    if (t->bundle == NULL) {
        return ca_error(src, reterr);
    }
    t->store = t->bundle->store;
    t->cas = t->bundle->cas;
    t->names = t->bundle->names;
    t->has_bundled_crls = t->bundle->has_crls;
    return 0;
}

/* No CRL among it is no error: then nobody is known not to be revoked (as Envoy). */
static int read_crls(struct tls_trust *t, const struct tls_trust_source *src, struct error *reterr)
{
    STACK_OF(X509_INFO) *list = tls_read_pem(src->crl.bytes);
    size_t i;

    if (list == NULL) {
        return error_set(reterr, E_INVALID, "Failed to load CRL from %.*s", STR_ARG(src->crl.name));
    }
    t->crls = sk_X509_CRL_new_null();
    CHECK(t->crls != NULL);
    for (i = 0; i < sk_X509_INFO_num(list); i++) {
        X509_CRL *crl = sk_X509_INFO_value(list, i)->crl;

        if (crl != NULL) {
            CHECK(X509_CRL_up_ref(crl) && sk_X509_CRL_push(t->crls, crl) > 0);
        }
    }
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    return 0;
}

int tls_trust_build(struct part *part, const struct tls_trust_source *src,
                    const struct tls_trust **ret, struct error *reterr)
{
    struct tls_trust *t = ARENA_NEW(&part->arena, struct tls_trust);
    SHA256_CTX hash;
    int rc = 0;

    part_on_free(part, trust_on_free, t);
    t->ca_name = arena_str(&part->arena, src->ca.name);
    if (src->ca.bytes.len > 0 || src->trust_domain.len > 0) {
        rc = read_cas(t, src, reterr);
    }
    if (rc == 0 && src->crl.bytes.len > 0) {
        rc = read_crls(t, src, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    SHA256_Init(&hash);
    SHA256_Update(&hash, src->ca.bytes.ptr, src->ca.bytes.len);
    SHA256_Update(&hash, "", 1);
    SHA256_Update(&hash, src->crl.bytes.ptr, src->crl.bytes.len);
    SHA256_Final(t->digest, &hash);
    *ret = t;
    return 0;
}

/* --- two validations as one ----------------------------------------------------------------- */

/* Protobuf's merge: repeated fields add up, of the others the second counts where it is set. */
struct validation tls_validation_merge(const struct tls_validation *const parts[2])
{
    struct validation v = {0};
    size_t i;

    for (i = 0; i < 2; i++) {
        const struct tls_validation *p = parts[i];

        if (p == NULL) {
            continue;
        }
        v.parts[v.part_count++] = p;
        if (p->has_ca) {
            v.has_ca = true;
            v.ca = p->trust;
        }
        if (p->has_crl && p->trust != NULL && p->trust->crls != NULL) {
            v.crls = p->trust->crls;
        }
        if (p->max_verify_depth.is_set) {
            v.max_verify_depth = p->max_verify_depth;
        }
        if (p->is_spiffe) {
            v.is_spiffe = true;
            v.trust_domains = p->trust_domains;
            v.trust_domain_count = p->trust_domain_count;
        }
        v.allows_expired |= p->allow_expired;
        v.accepts_untrusted |= p->accepts_untrusted;
        v.only_leaf_crl |= p->only_verify_leaf_crl;
        v.suppresses_client_ca_list |= p->suppresses_client_ca_list;
        v.has_sans |= p->san_count > 0;
        v.has_hashes |= p->certificate_hash_count > 0 || p->spki_hash_count > 0;
    }
    return v;
}

const struct tls_trust *tls_validation_ca(const struct tls_validation *const parts[2])
{
    return tls_validation_merge(parts).ca;
}

bool tls_validation_is_active(const struct tls_validation *const parts[2])
{
    return tls_validation_verify_mode(parts, false) != SSL_VERIFY_NONE;
}

int tls_validation_verify_mode(const struct tls_validation *const parts[2], bool is_required)
{
    struct validation v = tls_validation_merge(parts);

    if (v.is_spiffe || (is_required && v.has_ca)) {
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    if (v.has_sans || v.has_hashes) {
        return v.accepts_untrusted ? SSL_VERIFY_PEER
                                   : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return v.has_ca || v.accepts_untrusted ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

static void add_names(STACK_OF(CRYPTO_BUFFER) * to, const struct tls_trust *from)
{
    size_t i;

    for (i = 0; from != NULL && from->names != NULL && i < sk_CRYPTO_BUFFER_num(from->names); i++) {
        CRYPTO_BUFFER *name = sk_CRYPTO_BUFFER_value(from->names, i);

        CHECK(CRYPTO_BUFFER_up_ref(name) && sk_CRYPTO_BUFFER_push(to, name) > 0);
    }
}

STACK_OF(CRYPTO_BUFFER) * tls_validation_ca_names(const struct tls_validation *const parts[2])
{
    struct validation v = tls_validation_merge(parts);
    STACK_OF(CRYPTO_BUFFER) * names;
    size_t i;

    if (v.suppresses_client_ca_list || (v.ca == NULL && !v.is_spiffe)) {
        return NULL;
    }
    names = sk_CRYPTO_BUFFER_new_null();
    CHECK(names != NULL);
    for (i = 0; i < v.trust_domain_count; i++) {
        add_names(names, v.trust_domains[i].bundle);
    }
    if (!v.is_spiffe) {
        add_names(names, v.ca);
    }
    return names;
}
