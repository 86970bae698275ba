/* Test only; see testing.h. */

#include "dataplane/tls/testing.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/check.h"

/* --- keys ----------------------------------------------------------------------------------- */

static int curve_of(const char *kind)
{
    static const struct {
        const char *name;
        int nid;
    } curves[] = {
        {"P-224", NID_secp224r1},
        {"P-256", NID_X9_62_prime256v1},
        {"P-384", NID_secp384r1},
        {"P-521", NID_secp521r1},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(curves); i++) {
        if (strcmp(kind, curves[i].name) == 0) {
            return curves[i].nid;
        }
    }
    return NID_undef;
}

static EVP_PKEY *rsa_key(unsigned bits)
{
    EVP_PKEY *key = EVP_PKEY_new();
    RSA *rsa = RSA_new();
    BIGNUM *e = BN_new();

    CHECK(key != NULL && rsa != NULL && e != NULL && BN_set_word(e, RSA_F4));
    CHECK(RSA_generate_key_ex(rsa, (int)bits, e, NULL) && EVP_PKEY_assign_RSA(key, rsa));
    BN_free(e);
    return key;
}

EVP_PKEY *test_key_new(const char *kind)
{
    EVP_PKEY *key;
    EC_KEY *ec;

    if (strcmp(kind, "RSA-2048") == 0) {
        return rsa_key(2048);
    }
    if (strcmp(kind, "RSA-1024") == 0) {
        return rsa_key(1024);
    }
    if (strcmp(kind, "Ed25519") == 0) {
        static const uint8_t seed[32] = {1, 2, 3};

        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
        CHECK(key != NULL);
        return key;
    }
    key = EVP_PKEY_new();
    ec = EC_KEY_new_by_curve_name(curve_of(kind));
    CHECK(key != NULL && ec != NULL && EC_KEY_generate_key(ec));
    CHECK(EVP_PKEY_assign_EC_KEY(key, ec));
    return key;
}

/* --- certificates --------------------------------------------------------------------------- */

static void set_name(X509_NAME *name, const struct test_cert_params *p)
{
    if (p->ou != NULL) {
        CHECK(X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8, (const uint8_t *)p->ou, -1, -1,
                                         0));
    }
    if (p->cn != NULL) {
        CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)p->cn, -1, -1,
                                         0));
    }
}

static void add_extension(X509 *x509, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    CHECK(ext != NULL && X509_add_ext(x509, ext, -1));
    X509_EXTENSION_free(ext);
}

/* The textual form cannot carry every byte. */
static void add_raw_dns(GENERAL_NAMES *names, struct str raw)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    CHECK(name != NULL && text != NULL && ASN1_STRING_set(text, raw.ptr, (int)raw.len));
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

static void add_sans(X509 *x509, const struct test_cert_params *p)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();

    CHECK(names != NULL);
    if (p->sans != NULL) {
        X509V3_CTX ctx;
        X509_EXTENSION *ext;

        X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
        ext = X509V3_EXT_nconf_nid(NULL, &ctx, NID_subject_alt_name, p->sans);
        CHECK(ext != NULL);
        GENERAL_NAMES_free(names);
        names = (GENERAL_NAMES *)X509V3_EXT_d2i(ext);
        X509_EXTENSION_free(ext);
        CHECK(names != NULL);
    }
    if (p->raw_dns.len > 0) {
        add_raw_dns(names, p->raw_dns);
    }
    if (sk_GENERAL_NAME_num(names) > 0) {
        CHECK(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) == 1);
    }
    GENERAL_NAMES_free(names);
}

static void add_must_staple(X509 *x509)
{
    static const uint8_t value[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.24", 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    X509_EXTENSION *ext;

    CHECK(oid != NULL && octets != NULL && ASN1_STRING_set(octets, value, sizeof(value)));
    ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets);
    CHECK(ext != NULL && X509_add_ext(x509, ext, -1));
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(oid);
}

static const EVP_MD *digest_for(const EVP_PKEY *key)
{
    return EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

static void add_bio(BIO *bio, struct strbuf *out)
{
    const uint8_t *bytes;
    size_t len;

    CHECK(BIO_mem_contents(bio, &bytes, &len));
    strbuf_add(out, bytes, len);
    BIO_free(bio);
}

static BIO *memory_bio(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(bio != NULL);
    return bio;
}

void test_cert_init(struct test_cert *c, const struct test_cert_params *p)
{
    static uint64_t next_serial = 0x1000;
    const struct test_cert *issuer = p->issuer != NULL ? p->issuer : c;
    uint64_t serial = p->serial != 0 ? p->serial : next_serial++;
    int64_t not_before = p->not_before_s != 0 ? p->not_before_s : TEST_NOW_S - TEST_DAY_S;
    int64_t not_after = p->not_after_s != 0 ? p->not_after_s : TEST_NOW_S + 365 * TEST_DAY_S;
    BIO *pem = memory_bio();
    BIO *key_pem = memory_bio();

    c->key = test_key_new(p->key_kind != NULL ? p->key_kind : "P-256");
    c->x509 = X509_new();
    CHECK(c->x509 != NULL && X509_set_version(c->x509, X509_VERSION_3));
    CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(c->x509), serial));
    CHECK(ASN1_TIME_set(X509_getm_notBefore(c->x509), (time_t)not_before) != NULL);
    CHECK(ASN1_TIME_set(X509_getm_notAfter(c->x509), (time_t)not_after) != NULL);
    set_name(X509_get_subject_name(c->x509), p);
    CHECK(X509_set_issuer_name(c->x509, X509_get_subject_name(issuer->x509)));
    CHECK(X509_set_pubkey(c->x509, c->key));
    if (p->is_ca) {
        add_extension(c->x509, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (p->usage != NULL) {
        add_extension(c->x509, NID_key_usage, p->usage);
    }
    if (p->ext_usage != NULL) {
        add_extension(c->x509, NID_ext_key_usage, p->ext_usage);
    }
    if (p->crl_points != NULL) {
        add_extension(c->x509, NID_crl_distribution_points, p->crl_points);
    }
    if (p->must_staple) {
        add_must_staple(c->x509);
    }
    add_sans(c->x509, p);
    CHECK(X509_sign(c->x509, issuer->key, digest_for(issuer->key)) > 0);
    strbuf_init(&c->pem);
    strbuf_init(&c->key_pem);
    CHECK(PEM_write_bio_X509(pem, c->x509));
    CHECK(PEM_write_bio_PrivateKey(key_pem, c->key, NULL, NULL, 0, NULL, NULL));
    add_bio(pem, &c->pem);
    add_bio(key_pem, &c->key_pem);
    ERR_clear_error();
}

void test_cert_done(struct test_cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    strbuf_done(&c->pem);
    strbuf_done(&c->key_pem);
}

/* --- what goes with them -------------------------------------------------------------------- */

void test_crl_pem(const struct test_cert *ca, const uint64_t *serials, size_t count,
                  struct strbuf *out)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, TEST_NOW_S - TEST_DAY_S);
    ASN1_TIME *to = ASN1_TIME_set(NULL, TEST_NOW_S + 30 * TEST_DAY_S);
    BIO *pem = memory_bio();
    size_t i;

    CHECK(crl != NULL && from != NULL && to != NULL);
    CHECK(X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    CHECK(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509)));
    CHECK(X509_CRL_set1_lastUpdate(crl, from) && X509_CRL_set1_nextUpdate(crl, to));
    for (i = 0; i < count; i++) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();

        CHECK(revoked != NULL && serial != NULL && ASN1_INTEGER_set_uint64(serial, serials[i]));
        CHECK(X509_REVOKED_set_serialNumber(revoked, serial));
        CHECK(X509_REVOKED_set_revocationDate(revoked, from));
        CHECK(X509_CRL_add0_revoked(crl, revoked));
        ASN1_INTEGER_free(serial);
    }
    CHECK(X509_CRL_sort(crl) && X509_CRL_sign(crl, ca->key, digest_for(ca->key)) > 0);
    CHECK(PEM_write_bio_X509_CRL(pem, crl));
    add_bio(pem, out);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_CRL_free(crl);
}

void test_encrypted_key_pem(EVP_PKEY *key, const char *password, struct strbuf *out)
{
    char *copy = OPENSSL_strdup(password); /* older headers want to write to it */
    BIO *pem = memory_bio();

    CHECK(copy != NULL);
    CHECK(PEM_write_bio_PKCS8PrivateKey(pem, key, EVP_aes_256_cbc(), copy, (int)strlen(copy), NULL,
                                        NULL));
    OPENSSL_free(copy);
    add_bio(pem, out);
}

void test_pkcs12(const struct test_cert *leaf, const struct test_cert *ca, const char *password,
                 struct strbuf *out)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    BIO *bio = memory_bio();
    PKCS12 *p12;

    CHECK(others != NULL && (ca == NULL || sk_X509_push(others, ca->x509) > 0));
    p12 = PKCS12_create(password, "leaf", leaf->key, leaf->x509, others, 0, 0, 0, 0, 0);
    CHECK(p12 != NULL && i2d_PKCS12_bio(bio, p12));
    add_bio(bio, out);
    PKCS12_free(p12);
    sk_X509_free(others);
}

static void add_time(CBB *out, int64_t t)
{
    time_t seconds = (time_t)t;
    struct tm tm;
    char text[32];
    CBB element;

    CHECK(gmtime_r(&seconds, &tm) != NULL);
    CHECK(strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) > 0);
    CHECK(CBB_add_asn1(out, &element, CBS_ASN1_GENERALIZEDTIME));
    CHECK(CBB_add_bytes(&element, (const uint8_t *)text, strlen(text)) && CBB_flush(out));
}

static void add_algorithm(CBB *out)
{
    static const uint8_t sha1_oid[] = {0x2b, 0x0e, 0x03, 0x02, 0x1a};
    CBB algorithm;
    CBB oid;

    CHECK(CBB_add_asn1(out, &algorithm, CBS_ASN1_SEQUENCE));
    CHECK(CBB_add_asn1(&algorithm, &oid, CBS_ASN1_OBJECT));
    CHECK(CBB_add_bytes(&oid, sha1_oid, sizeof(sha1_oid)) && CBB_flush(out));
}

static void add_cert_id(CBB *out, const struct test_cert *c)
{
    static const uint8_t hash[20] = {0};
    uint8_t *serial = NULL;
    int len = i2d_ASN1_INTEGER(X509_get_serialNumber(c->x509), &serial);
    CBB id;

    CHECK(len > 0 && CBB_add_asn1(out, &id, CBS_ASN1_SEQUENCE));
    add_algorithm(&id);
    CHECK(CBB_add_asn1_octet_string(&id, hash, sizeof(hash)));
    CHECK(CBB_add_asn1_octet_string(&id, hash, sizeof(hash)));
    CHECK(CBB_add_bytes(&id, serial, (size_t)len) && CBB_flush(out));
    OPENSSL_free(serial);
}

static void add_single_response(CBB *out, const struct test_cert *c, int64_t this_update_s,
                                int64_t next_update_s)
{
    CBB response;
    CBB good;
    CBB next;

    CHECK(CBB_add_asn1(out, &response, CBS_ASN1_SEQUENCE));
    add_cert_id(&response, c);
    CHECK(CBB_add_asn1(&response, &good, CBS_ASN1_CONTEXT_SPECIFIC | 0));
    add_time(&response, this_update_s);
    if (next_update_s != 0) {
        CHECK(CBB_add_asn1(&response, &next, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 0));
        add_time(&next, next_update_s);
    }
    CHECK(CBB_flush(out));
}

void test_ocsp(const struct test_cert *c, int64_t this_update_s, int64_t next_update_s,
               struct strbuf *out)
{
    static const uint8_t basic_oid[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
    static const uint8_t key_hash[20] = {0};
    CBB cbb, ocsp, status, explicit_bytes, bytes, oid, octets, basic, data, by_key, list, signature;
    uint8_t *der;
    size_t len;

    CHECK(CBB_init(&cbb, 256) && CBB_add_asn1(&cbb, &ocsp, CBS_ASN1_SEQUENCE));
    CHECK(CBB_add_asn1(&ocsp, &status, CBS_ASN1_ENUMERATED) && CBB_add_u8(&status, 0));
    CHECK(CBB_add_asn1(&ocsp, &explicit_bytes, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC));
    CHECK(CBB_add_asn1(&explicit_bytes, &bytes, CBS_ASN1_SEQUENCE));
    CHECK(CBB_add_asn1(&bytes, &oid, CBS_ASN1_OBJECT));
    CHECK(CBB_add_bytes(&oid, basic_oid, sizeof(basic_oid)));
    CHECK(CBB_add_asn1(&bytes, &octets, CBS_ASN1_OCTETSTRING));
    CHECK(CBB_add_asn1(&octets, &basic, CBS_ASN1_SEQUENCE));
    CHECK(CBB_add_asn1(&basic, &data, CBS_ASN1_SEQUENCE));
    CHECK(CBB_add_asn1(&data, &by_key, CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | 2));
    CHECK(CBB_add_asn1_octet_string(&by_key, key_hash, sizeof(key_hash)));
    add_time(&data, this_update_s);
    CHECK(CBB_add_asn1(&data, &list, CBS_ASN1_SEQUENCE));
    add_single_response(&list, c, this_update_s, next_update_s);
    CHECK(CBB_flush(&basic));
    add_algorithm(&basic);
    CHECK(CBB_add_asn1(&basic, &signature, CBS_ASN1_BITSTRING) && CBB_add_u8(&signature, 0));
    CHECK(CBB_finish(&cbb, &der, &len));
    strbuf_add(out, der, len);
    OPENSSL_free(der);
}

/* --- handshakes ----------------------------------------------------------------------------- */

static enum ssl_verify_result_t test_on_verify(SSL *ssl, uint8_t *ret_alert)
{
    return ssl_verify_ok;
}

static CRYPTO_BUFFER *buffer_of(const struct test_cert *c)
{
    uint8_t *der = NULL;
    int len = i2d_X509(c->x509, &der);
    CRYPTO_BUFFER *buffer;

    CHECK(len > 0);
    buffer = CRYPTO_BUFFER_new(der, (size_t)len, NULL);
    OPENSSL_free(der);
    CHECK(buffer != NULL);
    return buffer;
}

static int test_on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                        unsigned in_len, void *user)
{
    *out = in + 1; /* whatever comes first */
    *out_len = in[0];
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *test_ssl_ctx(const struct test_cert *c, const struct test_cert *intermediate)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());

    CHECK(ctx != NULL);
    SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER, test_on_verify);
    SSL_CTX_set_alpn_select_cb(ctx, test_on_alpn, NULL);
    if (c != NULL) {
        CRYPTO_BUFFER *chain[2] = {buffer_of(c),
                                   intermediate != NULL ? buffer_of(intermediate) : NULL};

        CHECK(SSL_CTX_set_chain_and_key(ctx, chain, intermediate != NULL ? 2 : 1, c->key, NULL));
        CRYPTO_BUFFER_free(chain[0]);
        CRYPTO_BUFFER_free(chain[1]);
    }
    return ctx;
}

void test_handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx, const char *sni, const char *alpn,
                    SSL **ret_client, SSL **ret_server)
{
    SSL *client = SSL_new(client_ctx);
    SSL *server = SSL_new(server_ctx);
    BIO *client_bio;
    BIO *server_bio;
    int turns;

    CHECK(client != NULL && server != NULL);
    CHECK(BIO_new_bio_pair(&client_bio, 0, &server_bio, 0));
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    SSL_set_bio(client, client_bio, client_bio);
    SSL_set_bio(server, server_bio, server_bio);
    if (sni != NULL) {
        CHECK(SSL_set_tlsext_host_name(client, sni));
    }
    if (alpn != NULL) {
        uint8_t wire[256];
        size_t len = strlen(alpn);

        CHECK(len < sizeof(wire));
        wire[0] = (uint8_t)len;
        memcpy(wire + 1, alpn, len);
        CHECK(SSL_set_alpn_protos(client, wire, len + 1) == 0);
    }
    for (turns = 0; turns < 20 && (SSL_in_init(client) || SSL_in_init(server)); turns++) {
        (void)SSL_do_handshake(client); /* wants more until both are done */
        (void)SSL_do_handshake(server);
    }
    CHECK(!SSL_in_init(client) && !SSL_in_init(server));
    ERR_clear_error();
    *ret_client = client;
    *ret_server = server;
}
