#include "dataplane/tls/certificate.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* cmocka wants them. */
#include <cmocka.h>

#include "config/model/part.h"
#include "dataplane/tls/testing.h"

/* What a test builds goes here, and is freed with it. */
struct fixture {
    struct part *part;
    struct test_cert ca;
    struct test_cert leaf;
    struct error error;
};

static int set_up(void **state)
{
    static struct fixture f;

    f.part = (struct part *)part_new(sizeof(struct part), PART_SECRET, STR("test"));
    error_init(&f.error);
    test_cert_init(&f.ca, &(struct test_cert_params){.cn = "ca", .is_ca = true});
    test_cert_init(&f.leaf,
                   &(struct test_cert_params){.cn = "Leaf.Example",
                                              .issuer = &f.ca,
                                              .serial = 0x8000ff,
                                              .sans = "DNS:A.example,DNS:*.B.example,IP:10.0.0.1"});
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    part_unref(f->part);
    error_done(&f->error);
    test_cert_done(&f->ca);
    test_cert_done(&f->leaf);
    return 0;
}

static struct tls_certificate_source source(struct str chain, struct str key)
{
    return (struct tls_certificate_source){.chain = {chain, STR("<inline>")},
                                           .key = {key, STR("<inline>")}};
}

static struct tls_certificate_source source_of(const struct test_cert *c)
{
    return source(strbuf_str(&c->pem), strbuf_str(&c->key_pem));
}

static const struct tls_certificate *build(struct fixture *f,
                                           const struct tls_certificate_source *src)
{
    const struct tls_certificate *c = NULL;

    if (tls_certificate_build(f->part, src, &c, &f->error) != 0) {
        fail_msg("%s", error_message(&f->error));
    }
    return c;
}

static void assert_refused(struct fixture *f, const struct tls_certificate_source *src,
                           const char *sentence)
{
    const struct tls_certificate *c = NULL;

    assert_int_equal(tls_certificate_build(f->part, src, &c, &f->error), E_INVALID);
    assert_string_equal(error_message(&f->error), sentence);
    assert_null(c);
    error_done(&f->error);
    error_init(&f->error);
}

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr, expected, s.len);
}

static void leaf_and_chain_are_read(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    const struct tls_certificate *c;
    struct tls_certificate_source src;
    uint8_t digest[32];
    struct strbuf pem;

    strbuf_init(&pem);
    strbuf_add_c(&pem, "# who: us\n");
    strbuf_add_str(&pem, strbuf_str(&f->leaf.pem));
    strbuf_add_c(&pem, "between\n");
    strbuf_add_str(&pem, strbuf_str(&f->ca.pem));
    strbuf_add_c(&pem, "behind\n");
    src = source(strbuf_str(&pem), strbuf_str(&f->leaf.key_pem));
    c = build(f, &src);
    assert_int_equal(c->chain_count, 2);
    assert_int_equal(c->key_type, TLS_KEY_ECDSA_P256);
    assert_int_equal(X509_cmp(c->leaf, f->leaf.x509), 0);
    assert_int_equal(EVP_PKEY_cmp(c->key, f->leaf.key), 1);
    assert_str(c->chain_name, "<inline>");
    SHA256(CRYPTO_BUFFER_data(c->chain[0]), CRYPTO_BUFFER_len(c->chain[0]), digest);
    assert_memory_equal(c->digest, digest, sizeof(digest));
    assert_false(c->must_staple);
    assert_int_equal(c->ocsp_expires_s, 0);
    strbuf_done(&pem);
}

static void names_are_dns_sans_in_lower_case(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = source_of(&f->leaf);
    const struct tls_certificate *c = build(f, &src);

    assert_int_equal(c->name_count, 2);
    assert_str(c->names[0], "a.example");
    assert_str(c->names[1], "*.b.example");
    assert_true(c->has_identity);
}

static void the_common_name_counts_only_without_sans(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = source_of(&f->ca);
    const struct tls_certificate *c = build(f, &src);
    struct test_cert uri;
    struct test_cert nobody;

    assert_int_equal(c->name_count, 1);
    assert_str(c->names[0], "ca");
    test_cert_init(&uri, &(struct test_cert_params){.cn = "cn", .sans = "URI:spiffe://a/b"});
    src = source_of(&uri);
    c = build(f, &src);
    assert_int_equal(c->name_count, 0);
    assert_true(c->has_identity);
    test_cert_init(&nobody, &(struct test_cert_params){.sans = "email:a@b.c"});
    src = source_of(&nobody);
    c = build(f, &src);
    assert_int_equal(c->name_count, 0);
    assert_false(c->has_identity);
    test_cert_done(&uri);
    test_cert_done(&nobody);
}

static void kinds_of_keys(void **state)
{
    static const struct {
        const char *kind;
        enum tls_key_type type;
        const char *refusal;
    } cases[] = {
        {"P-256", TLS_KEY_ECDSA_P256, NULL},
        {"P-384", TLS_KEY_ECDSA_P384, NULL},
        {"P-521", TLS_KEY_ECDSA_P521, NULL},
        {"RSA-2048", TLS_KEY_RSA, NULL},
        {"Ed25519", TLS_KEY_ED25519, NULL},
        {"P-224", 0, "Failed to load certificate chain from <inline>"},
        {"RSA-1024", 0,
         "Failed to load certificate chain from <inline>, only RSA certificates with 2048-bit or "
         "larger keys are supported"},
    };
    struct fixture *f = (struct fixture *)*state;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_certificate_source src;
        struct test_cert c;

        test_cert_init(&c, &(struct test_cert_params){.cn = "x", .key_kind = cases[i].kind});
        src = source_of(&c);
        if (cases[i].refusal != NULL) {
            assert_refused(f, &src, cases[i].refusal);
        } else {
            assert_int_equal(build(f, &src)->key_type, cases[i].type);
        }
        test_cert_done(&c);
    }
}

static void what_is_not_there_or_no_pem(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct str leaf = strbuf_str(&f->leaf.pem);
    struct str key = strbuf_str(&f->leaf.key_pem);
    struct tls_certificate_source src = source(STR_NONE, key);
    struct strbuf broken;

    src.chain.name = STR("/no/chain");
    assert_refused(f, &src,
                   "Failed to load incomplete certificate from /no/chain: certificate chain not "
                   "set");
    src = source(leaf, STR_NONE);
    src.key.name = STR("/no/key");
    assert_refused(f, &src, "Failed to load incomplete private key from path: /no/key");
    src = source(STR("hello"), key);
    assert_refused(f, &src, "Failed to load certificate chain from <inline>");
    src = source(leaf, STR("hello"));
    assert_refused(f, &src,
                   "Failed to load private key from <inline>, Cause: error:0900006e:PEM "
                   "routines:OPENSSL_internal:NO_START_LINE");
    strbuf_init(&broken);
    strbuf_add_str(&broken, leaf);
    strbuf_add_c(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    src = source(strbuf_str(&broken), key);
    assert_refused(f, &src, "Failed to load certificate chain from <inline>");
    strbuf_truncate(&broken, leaf.len + 30);
    src = source(strbuf_str(&broken), key);
    assert_refused(f, &src, "Failed to load certificate chain from <inline>");
    strbuf_done(&broken);
}

static void keys_of_somebody_else(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src =
        source(strbuf_str(&f->leaf.pem), strbuf_str(&f->ca.key_pem));
    struct test_cert rsa;

    assert_refused(f, &src,
                   "Failed to load private key from <inline>, Cause: error:0b000074:X.509 "
                   "certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH");
    test_cert_init(&rsa, &(struct test_cert_params){.cn = "rsa", .key_kind = "RSA-2048"});
    src = source(strbuf_str(&f->leaf.pem), strbuf_str(&rsa.key_pem));
    assert_refused(f, &src,
                   "Failed to load private key from <inline>, Cause: error:0b000073:X.509 "
                   "certificate routines:OPENSSL_internal:KEY_TYPE_MISMATCH");
    test_cert_done(&rsa);
}

static void encrypted_keys(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = source_of(&f->leaf);
    struct strbuf pem;

    strbuf_init(&pem);
    test_encrypted_key_pem(f->leaf.key, "secret", &pem);
    src.key.bytes = strbuf_str(&pem);
    assert_refused(f, &src,
                   "Failed to load private key from <inline>, Cause: error:09000068:PEM "
                   "routines:OPENSSL_internal:BAD_PASSWORD_READ");
    src.password.bytes = STR("wrong");
    assert_refused(f, &src,
                   "Failed to load private key from <inline>, Cause: error:1e000065:Cipher "
                   "functions:OPENSSL_internal:BAD_DECRYPT");
    src.password.bytes = STR("secret");
    assert_non_null(build(f, &src)->key);
    strbuf_done(&pem);
}

static void pkcs12_instead_of_pem(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = {0};
    const struct tls_certificate *c;
    struct strbuf p12;

    strbuf_init(&p12);
    test_pkcs12(&f->leaf, &f->ca, "secret", &p12);
    src.pkcs12 = (struct tls_data){strbuf_str(&p12), STR("/x.p12")};
    assert_refused(f, &src, "Failed to load pkcs12 from /x.p12");
    src.password.bytes = STR("wrong");
    assert_refused(f, &src, "Failed to load pkcs12 from /x.p12");
    src.password.bytes = STR("secret");
    c = build(f, &src);
    assert_int_equal(c->chain_count, 2);
    assert_int_equal(X509_cmp(c->leaf, f->leaf.x509), 0);
    assert_str(c->chain_name, "/x.p12");
    src.pkcs12.bytes = STR("no such thing");
    assert_refused(f, &src, "Failed to load pkcs12 from /x.p12");
    strbuf_done(&p12);
}

static void staples_belong_to_their_leaf(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = source_of(&f->leaf);
    const struct tls_certificate *c;
    struct strbuf der;

    strbuf_init(&der);
    test_ocsp(&f->leaf, TEST_NOW_S, TEST_NOW_S + TEST_DAY_S, &der);
    src.ocsp_staple.bytes = strbuf_str(&der);
    c = build(f, &src);
    assert_true(str_eq(c->ocsp_staple, strbuf_str(&der)));
    assert_int_equal(c->ocsp_expires_s, TEST_NOW_S + TEST_DAY_S);
    strbuf_reset(&der);
    test_ocsp(&f->leaf, TEST_NOW_S, 0, &der);
    src.ocsp_staple.bytes = strbuf_str(&der);
    c = build(f, &src);
    assert_true(c->ocsp_expires_s > 0 && c->ocsp_expires_s < TEST_NOW_S);
    strbuf_reset(&der);
    test_ocsp(&f->ca, TEST_NOW_S, 0, &der);
    src.ocsp_staple.bytes = strbuf_str(&der);
    assert_refused(f, &src, "OCSP response does not match its TLS certificate");
    strbuf_done(&der);
}

static void must_staple_is_seen(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src;
    struct test_cert c;

    test_cert_init(&c, &(struct test_cert_params){.cn = "must", .must_staple = true});
    src = source_of(&c);
    assert_true(build(f, &src)->must_staple);
    test_cert_done(&c);
}

static void assert_not_served(struct fixture *f, const struct tls_certificate *c,
                              bool is_staple_required, const char *sentence)
{
    assert_int_equal(tls_certificate_check_served(c, is_staple_required, &f->error), E_INVALID);
    assert_string_equal(error_message(&f->error), sentence);
    error_done(&f->error);
    error_init(&f->error);
}

static void what_a_server_may_not_show(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = source_of(&f->leaf);
    const struct tls_certificate *c = build(f, &src);
    struct test_cert other;
    struct strbuf der;

    assert_int_equal(tls_certificate_check_served(c, false, &f->error), 0);
    assert_not_served(f, c, true, "Required OCSP response is missing from TLS context");
    strbuf_init(&der);
    test_ocsp(&f->leaf, TEST_NOW_S, 0, &der);
    src.ocsp_staple.bytes = strbuf_str(&der);
    assert_int_equal(tls_certificate_check_served(build(f, &src), true, &f->error), 0);
    strbuf_done(&der);
    test_cert_init(&other, &(struct test_cert_params){.cn = "must", .must_staple = true});
    src = source_of(&other);
    assert_not_served(f, build(f, &src), false,
                      "OCSP response is required for must-staple certificate");
    test_cert_done(&other);
    test_cert_init(&other, &(struct test_cert_params){.sans = "email:a@b.c"});
    src = source_of(&other);
    assert_not_served(f, build(f, &src), false,
                      "Invalid TLS context has neither subject CN nor SAN names");
    test_cert_done(&other);
}

static void days_left_are_whole_days(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_certificate_source src = source_of(&f->leaf);
    const struct tls_certificate *c = build(f, &src);
    int64_t end_s = TEST_NOW_S + 365 * TEST_DAY_S;

    assert_int_equal(tls_certificate_days_left(c, TEST_NOW_S), 365);
    assert_int_equal(tls_certificate_days_left(c, end_s - TEST_DAY_S + 1), 0);
    assert_int_equal(tls_certificate_days_left(c, end_s - TEST_DAY_S), 1);
    assert_int_equal(tls_certificate_days_left(c, end_s), 0);
    assert_int_equal(tls_certificate_days_left(c, end_s + 10 * TEST_DAY_S), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(leaf_and_chain_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_dns_sans_in_lower_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_common_name_counts_only_without_sans, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(kinds_of_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_or_no_pem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_of_somebody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(encrypted_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pkcs12_instead_of_pem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(staples_belong_to_their_leaf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(must_staple_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_server_may_not_show, set_up, tear_down),
        cmocka_unit_test_setup_teardown(days_left_are_whole_days, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
