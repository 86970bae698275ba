/*
 * Certificates as they are served: PEM or PKCS#12 in, what SSL_set_chain_and_key takes out. All
 * checks are made here, on main, so that a handshake meets none of them. Does not decide which
 * certificate answers which client, nor whether a staple must be there (context.c).
 */

#include "dataplane/tls/certificate.h"

#include <openssl/bytestring.h>
#include <openssl/crypto.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "dataplane/tls/ocsp.h"
#include "dataplane/tls/san.h"
#include "dataplane/tls/x509_text.h"

#define RSA_BITS_MIN 2048

/* id-pe-tlsfeature and its value { status_request } (RFC 7633). */
#define TLS_FEATURE_OID "1.3.6.1.5.5.7.1.24"
static const uint8_t must_staple_value[] = {0x30, 0x03, 0x02, 0x01, 0x05};

/* --- reading -------------------------------------------------------------------------------- */

/* What was read, before it is known to fit together. */
struct certificate_parts {
    X509 *leaf;
    STACK_OF(X509) * intermediates;
    EVP_PKEY *key;
};

static void certificate_parts_done(struct certificate_parts *p)
{
    X509_free(p->leaf);
    sk_X509_pop_free(p->intermediates, X509_free);
    EVP_PKEY_free(p->key);
}

/* The oldest of BoringSSL's complaints, as Envoy quotes it. */
static const char *crypto_error(char *buf, size_t bytes)
{
    uint32_t err = ERR_get_error();

    if (err == 0) {
        return "unknown";
    }
    ERR_error_string_n(err, buf, bytes);
    return buf;
}

static int private_key_error(struct str name, struct error *reterr)
{
    char buf[256];

    return error_set(reterr, E_INVALID, "Failed to load private key from %.*s, Cause: %s",
                     STR_ARG(name), crypto_error(buf, sizeof(buf)));
}

static BIO *bio_of(struct str bytes)
{
    BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);

    CHECK(bio != NULL);
    return bio;
}

/* Certificates until the text ends; anything else that is broken on the way is an error. */
static int read_chain(const struct tls_data *src, struct certificate_parts *ret,
                      struct error *reterr)
{
    BIO *bio = bio_of(src->bytes);
    uint32_t err;

    ERR_clear_error();
    ret->leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    while (ret->leaf != NULL) {
        X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);

        if (next == NULL) {
            break;
        }
        CHECK(sk_X509_push(ret->intermediates, next) > 0);
    }
    BIO_free(bio);
    err = ERR_peek_last_error();
    ERR_clear_error();
    if (ret->leaf == NULL || ERR_GET_LIB(err) != ERR_LIB_PEM ||
        ERR_GET_REASON(err) != PEM_R_NO_START_LINE) {
        return error_set(reterr, E_INVALID, "Failed to load certificate chain from %.*s",
                         STR_ARG(src->name));
    }
    return 0;
}

/* A pem_password_cb: `user` is a struct str, a C string's worth of it. */
static int certificate_on_password(char *buf, int size, int is_writing, void *user)
{
    const struct str *password = (const struct str *)user;
    size_t len = strnlen(password->ptr, password->len);

    if (size < 0 || len > (size_t)size) {
        return -1;
    }
    memcpy(buf, password->ptr, len);
    return (int)len;
}

static int read_key(const struct tls_certificate_source *src, struct certificate_parts *ret,
                    struct error *reterr)
{
    BIO *bio = bio_of(src->key.bytes);
    struct str password = src->password.bytes;

    ERR_clear_error();
    if (password.len > 0) {
        ret->key = PEM_read_bio_PrivateKey(bio, NULL, certificate_on_password, &password);
    } else {
        ret->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    return ret->key != NULL ? 0 : private_key_error(src->key.name, reterr);
}

/* The key decides which certificate of a bundle is the leaf: the last that it fits, as PKCS12_parse
 * has it. */
static void take_leaf(STACK_OF(X509) * certificates, struct certificate_parts *ret)
{
    size_t i = ret->key != NULL ? sk_X509_num(certificates) : 0;

    while (i-- > 0) {
        if (X509_check_private_key(sk_X509_value(certificates, i), ret->key)) {
            ret->leaf = sk_X509_delete(certificates, i);
            return;
        }
    }
}

static int read_pkcs12(const struct tls_certificate_source *src, struct certificate_parts *ret,
                       struct error *reterr)
{
    char *password = NULL;
    STACK_OF(X509) *others = NULL;
    X509 *next;
    CBS in;
    int ok;

    if (src->password.bytes.len > 0) {
        password = OPENSSL_strndup(src->password.bytes.ptr, src->password.bytes.len);
    }
    others = sk_X509_new_null();
    CHECK(others != NULL);
    ERR_clear_error();
    CBS_init(&in, (const uint8_t *)src->pkcs12.bytes.ptr, src->pkcs12.bytes.len);
    ok = PKCS12_get_key_and_certs(&ret->key, others, &in, password);
    OPENSSL_free(password);
    if (!ok) {
        sk_X509_pop_free(others, X509_free);
        ERR_clear_error();
        return error_set(reterr, E_INVALID, "Failed to load pkcs12 from %.*s",
                         STR_ARG(src->pkcs12.name));
    }
    take_leaf(others, ret);
    /* The others in the order of the file, from leaf to root. (Envoy turns them round.) */
    while ((next = sk_X509_shift(others)) != NULL) {
        CHECK(sk_X509_push(ret->intermediates, next) > 0);
    }
    sk_X509_free(others);
    ERR_clear_error();
    return ret->leaf != NULL ? 0
                             : error_set(reterr, E_INVALID, "Failed to load certificate from %.*s",
                                         STR_ARG(src->pkcs12.name));
}

/* --- checks --------------------------------------------------------------------------------- */

static int chain_error(const struct tls_certificate *c, struct error *reterr)
{
    return error_set(reterr, E_INVALID, "Failed to load certificate chain from %.*s",
                     STR_ARG(c->chain_name));
}

static int check_ec_key(struct tls_certificate *c, const EC_KEY *key, struct error *reterr)
{
    const EC_GROUP *group = EC_KEY_get0_group(key);

    switch (group != NULL ? EC_GROUP_get_curve_name(group) : NID_undef) {
    case NID_X9_62_prime256v1:
        c->key_type = TLS_KEY_ECDSA_P256;
        return 0;
    case NID_secp384r1:
        c->key_type = TLS_KEY_ECDSA_P384;
        return 0;
    case NID_secp521r1:
        c->key_type = TLS_KEY_ECDSA_P521;
        return 0;
    default:
        return chain_error(c, reterr);
    }
}

static int check_public_key(struct tls_certificate *c, struct error *reterr)
{
    EVP_PKEY *key = X509_get_pubkey(c->leaf);
    int rc = 0;

    switch (key != NULL ? EVP_PKEY_id(key) : EVP_PKEY_NONE) {
    case EVP_PKEY_EC:
        rc = check_ec_key(c, EVP_PKEY_get0_EC_KEY(key), reterr);
        break;
    case EVP_PKEY_RSA:
        c->key_type = TLS_KEY_RSA;
        if (RSA_bits(EVP_PKEY_get0_RSA(key)) < RSA_BITS_MIN) {
            rc = error_set(reterr, E_INVALID,
                           "Failed to load certificate chain from %.*s, only RSA certificates with "
                           "2048-bit or larger keys are supported",
                           STR_ARG(c->chain_name));
        }
        break;
    case EVP_PKEY_ED25519:
        c->key_type = TLS_KEY_ED25519;
        break;
    default:
        rc = chain_error(c, reterr);
    }
    EVP_PKEY_free(key);
    return rc;
}

/* Puts chain and key through the very checks that a handshake's SSL_set_chain_and_key makes. */
static int check_pair(const struct tls_certificate *c, struct str key_name, struct error *reterr)
{
    SSL_CTX *probe = SSL_CTX_new(TLS_with_buffers_method());
    int rc = 0;

    CHECK(probe != NULL);
    ERR_clear_error();
    if (!SSL_CTX_set_chain_and_key(probe, c->chain, c->chain_count, c->key, NULL)) {
        rc = private_key_error(key_name, reterr);
    }
    ERR_clear_error();
    SSL_CTX_free(probe);
    return rc;
}

static bool has_must_staple(const X509 *leaf)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(TLS_FEATURE_OID, 1);
    int pos = X509_get_ext_by_OBJ(leaf, oid, -1);
    const ASN1_OCTET_STRING *value;

    ASN1_OBJECT_free(oid);
    if (pos < 0) {
        return false;
    }
    value = X509_EXTENSION_get_data(X509_get_ext(leaf, pos));
    return (size_t)ASN1_STRING_length(value) == sizeof(must_staple_value) &&
           memcmp(ASN1_STRING_get0_data(value), must_staple_value, sizeof(must_staple_value)) == 0;
}

static struct str without_leading_zeros(struct str integer)
{
    while (integer.len > 1 && integer.ptr[0] == 0) {
        integer = str_sub(integer, 1, integer.len);
    }
    return integer;
}

/* Only the serial number, as Envoy: it keeps an operator from mixing up files. */
static bool is_staple_of(const struct tls_ocsp *ocsp, X509 *leaf)
{
    uint8_t *der = NULL;
    int len = i2d_ASN1_INTEGER(X509_get_serialNumber(leaf), &der);
    bool is_same = false;
    CBS in;
    CBS serial;

    if (len > 0) {
        CBS_init(&in, der, (size_t)len);
        is_same =
            CBS_get_asn1(&in, &serial, CBS_ASN1_INTEGER) &&
            str_eq(without_leading_zeros(ocsp->serial),
                   without_leading_zeros(str_n((const char *)CBS_data(&serial), CBS_len(&serial))));
    }
    OPENSSL_free(der);
    return is_same;
}

static int take_staple(struct part *part, struct tls_certificate *c, struct str der,
                       struct error *reterr)
{
    struct tls_ocsp ocsp;
    int rc;

    if (der.len == 0) {
        return 0;
    }
    rc = tls_ocsp_parse(der, &ocsp, reterr);
    if (rc != 0) {
        return rc;
    }
    if (!is_staple_of(&ocsp, c->leaf)) {
        return error_set(reterr, E_INVALID, "OCSP response does not match its TLS certificate");
    }
    c->ocsp_staple = arena_str(&part->arena, der);
    /* Without nextUpdate a response is as good as expired. */
    c->ocsp_expires_s = ocsp.has_next_update ? ocsp.next_update_s : 1;
    return 0;
}

/* --- the result ----------------------------------------------------------------------------- */

static void certificate_on_free(void *object)
{
    struct tls_certificate *c = (struct tls_certificate *)object;
    size_t i;

    for (i = 0; i < c->chain_count; i++) {
        CRYPTO_BUFFER_free(c->chain[i]);
    }
    EVP_PKEY_free(c->key);
    X509_free(c->leaf);
}

static int add_buffer(struct tls_certificate *c, X509 *x509)
{
    uint8_t *der = NULL;
    int len = i2d_X509(x509, &der);

    if (len <= 0) {
        return E_INVALID;
    }
    c->chain[c->chain_count++] = CRYPTO_BUFFER_new(der, (size_t)len, NULL);
    OPENSSL_free(der);
    return 0;
}

static int take_chain(struct part *part, struct tls_certificate *c, struct certificate_parts *parts,
                      struct error *reterr)
{
    size_t count = 1 + sk_X509_num(parts->intermediates);
    size_t i;
    int rc;

    c->chain = ARENA_ARRAY(&part->arena, CRYPTO_BUFFER *, count);
    rc = add_buffer(c, parts->leaf);
    for (i = 0; rc == 0 && i + 1 < count; i++) {
        rc = add_buffer(c, sk_X509_value(parts->intermediates, i));
    }
    if (rc != 0) {
        return chain_error(c, reterr);
    }
    SHA256(CRYPTO_BUFFER_data(c->chain[0]), CRYPTO_BUFFER_len(c->chain[0]), c->digest);
    return 0;
}

static struct str lower_copy(struct arena *a, struct str s)
{
    char *copy = (char *)arena_memdup(a, s.ptr, s.len);

    str_lower_in_place(copy, s.len);
    return str_n(copy, s.len);
}

/* DNS SANs; the common name only of a certificate that has no SAN at all (RFC 6125 6.4.4). */
static void collect_names(struct part *part, struct tls_certificate *c)
{
    GENERAL_NAMES *sans = tls_sans_of(c->leaf);
    size_t count = sans != NULL ? sk_GENERAL_NAME_num(sans) : 0;
    struct str *names = ARENA_ARRAY(&part->arena, struct str, count + 1);
    struct strbuf common_name;
    size_t i;

    strbuf_init(&common_name);
    c->has_identity = x509_common_name(c->leaf, &common_name);
    if (sans == NULL && c->has_identity) {
        names[c->name_count++] = lower_copy(&part->arena, strbuf_str(&common_name));
    }
    for (i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(sans, i);

        if (name->type == GEN_DNS) {
            names[c->name_count++] = lower_copy(&part->arena, x509_string(name->d.dNSName));
        }
        c->has_identity |=
            name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_IPADD;
    }
    strbuf_done(&common_name);
    GENERAL_NAMES_free(sans);
    c->names = names;
}

static int check_source(const struct tls_certificate_source *src, struct error *reterr)
{
    if (src->pkcs12.bytes.len > 0) {
        return 0;
    }
    if (src->chain.bytes.len == 0) {
        return error_set(reterr, E_INVALID,
                         "Failed to load incomplete certificate from %.*s: certificate chain not "
                         "set",
                         STR_ARG(src->chain.name));
    }
    if (src->key.bytes.len == 0) {
        return error_set(reterr, E_INVALID, "Failed to load incomplete private key from path: %.*s",
                         STR_ARG(src->key.name));
    }
    return 0;
}

int tls_certificate_build(struct part *part, const struct tls_certificate_source *src,
                          const struct tls_certificate **ret, struct error *reterr)
{
    bool is_pkcs12 = src->pkcs12.bytes.len > 0;
    struct certificate_parts parts = {0};
    struct tls_certificate *c = ARENA_NEW(&part->arena, struct tls_certificate);
    int rc = check_source(src, reterr);

    if (rc != 0) {
        return rc;
    }
    part_on_free(part, certificate_on_free, c);
    parts.intermediates = sk_X509_new_null();
    CHECK(parts.intermediates != NULL);
    c->chain_name = arena_str(&part->arena, is_pkcs12 ? src->pkcs12.name : src->chain.name);
    rc = is_pkcs12 ? read_pkcs12(src, &parts, reterr) : read_chain(&src->chain, &parts, reterr);
    if (rc != 0) {
        goto done;
    }
    c->leaf = parts.leaf;
    X509_up_ref(c->leaf);
    rc = take_chain(part, c, &parts, reterr);
    if (rc == 0) {
        rc = check_public_key(c, reterr);
    }
    if (rc == 0 && !is_pkcs12) {
        rc = read_key(src, &parts, reterr);
    }
    if (rc != 0) {
        goto done;
    }
    c->key = parts.key;
    EVP_PKEY_up_ref(c->key);
    rc = check_pair(c, is_pkcs12 ? src->pkcs12.name : src->key.name, reterr);
    if (rc == 0) {
        rc = take_staple(part, c, src->ocsp_staple.bytes, reterr);
    }
    if (rc != 0) {
        goto done;
    }
    c->must_staple = has_must_staple(c->leaf);
    collect_names(part, c);
    *ret = c;
done:
    certificate_parts_done(&parts);
    ERR_clear_error();
    return rc;
}

int tls_certificate_check_served(const struct tls_certificate *c, bool is_staple_required,
                                 struct error *reterr)
{
    if (!c->has_identity) {
        return error_set(reterr, E_INVALID,
                         "Invalid TLS context has neither subject CN nor SAN names");
    }
    if (c->ocsp_staple.len == 0 && c->must_staple) {
        return error_set(reterr, E_INVALID,
                         "OCSP response is required for must-staple certificate");
    }
    if (c->ocsp_staple.len == 0 && is_staple_required) {
        return error_set(reterr, E_INVALID, "Required OCSP response is missing from TLS context");
    }
    return 0;
}

uint32_t tls_certificate_days_left(const struct tls_certificate *c, int64_t now_s)
{
    return x509_days_left(c->leaf, now_s);
}
