/* What is read into a tls_trust, and how two validations are one. */

#include "dataplane/tls/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* cmocka wants them. */
#include <cmocka.h>

#include "config/model/part.h"
#include "dataplane/tls/testing.h"

struct fixture {
    struct part *part;
    struct test_cert ca;
    struct test_cert other;
    struct error error;
};

static int set_up(void **state)
{
    static struct fixture f;

    f.part = (struct part *)part_new(sizeof(struct part), PART_SECRET, STR("test"));
    error_init(&f.error);
    test_cert_init(&f.ca, &(struct test_cert_params){.cn = "ca", .is_ca = true});
    test_cert_init(&f.other, &(struct test_cert_params){.cn = "other", .is_ca = true});
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    part_unref(f->part);
    error_done(&f->error);
    test_cert_done(&f->ca);
    test_cert_done(&f->other);
    return 0;
}

static const struct tls_trust *build(struct fixture *f, struct str ca, struct str crl)
{
    struct tls_trust_source src = {.ca = {ca, STR("<inline>")}, .crl = {crl, STR("/x.crl")}};
    const struct tls_trust *t = NULL;

    if (tls_trust_build(f->part, &src, &t, &f->error) != 0) {
        fail_msg("%s", error_message(&f->error));
    }
    return t;
}

static void assert_refused(struct fixture *f, const struct tls_trust_source *src,
                           const char *sentence)
{
    const struct tls_trust *t = NULL;

    assert_int_equal(tls_trust_build(f->part, src, &t, &f->error), E_INVALID);
    assert_string_equal(error_message(&f->error), sentence);
    error_done(&f->error);
    error_init(&f->error);
}

static void bundles_with_words_between(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    const struct tls_trust *t;
    struct strbuf pem;

    strbuf_init(&pem);
    strbuf_add_c(&pem, "# ours\n");
    strbuf_add_str(&pem, strbuf_str(&f->ca.pem));
    strbuf_add_c(&pem, "\nand theirs\n");
    strbuf_add_str(&pem, strbuf_str(&f->other.pem));
    strbuf_add_str(&pem, strbuf_str(&f->ca.pem));
    t = build(f, strbuf_str(&pem), STR_NONE);
    assert_int_equal(sk_X509_num(t->cas), 3);
    assert_int_equal(sk_CRYPTO_BUFFER_num(t->names), 2); /* each subject once */
    assert_int_equal(X509_cmp(sk_X509_value(t->cas, 1), f->other.x509), 0);
    assert_null(t->crls);
    assert_false(t->has_bundled_crls);
    strbuf_done(&pem);
}

static void revocation_lists_in_both_places(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    const struct tls_trust *t;
    struct strbuf crl;
    struct strbuf both;

    strbuf_init(&crl);
    strbuf_init(&both);
    test_crl_pem(&f->ca, NULL, 0, &crl);
    t = build(f, strbuf_str(&f->ca.pem), strbuf_str(&crl));
    assert_int_equal(sk_X509_CRL_num(t->crls), 1);
    assert_false(t->has_bundled_crls);
    strbuf_add_str(&both, strbuf_str(&f->ca.pem));
    strbuf_add_str(&both, strbuf_str(&crl));
    t = build(f, strbuf_str(&both), STR_NONE);
    assert_null(t->crls);
    assert_true(t->has_bundled_crls);
    t = build(f, STR_NONE, strbuf_str(&crl));
    assert_null(t->store);
    assert_int_equal(sk_X509_CRL_num(t->crls), 1);
    strbuf_done(&crl);
    strbuf_done(&both);
}

static void what_is_no_ca_is_said(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct str ca = strbuf_str(&f->ca.pem);
    struct tls_trust_source src = {.ca = {STR("hello"), STR("<inline>")}};
    struct strbuf broken;

    assert_refused(f, &src, "Failed to load trusted CA certificates from <inline>");
    src.trust_domain = STR("example.org");
    assert_refused(f, &src, "Failed to load trusted CA certificate for example.org");
    src.ca.bytes = STR_NONE;
    assert_refused(f, &src, "Failed to load trusted CA certificate for example.org");
    src.trust_domain = STR_NONE;
    src.ca = (struct tls_data){strbuf_str(&f->ca.key_pem), STR("/ca")};
    assert_refused(f, &src, "Failed to load trusted CA certificates from /ca");
    strbuf_init(&broken);
    strbuf_add_str(&broken, ca);
    strbuf_add_c(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    src.ca.bytes = strbuf_str(&broken);
    assert_refused(f, &src, "Failed to load trusted CA certificates from /ca");
    strbuf_done(&broken);
    src.ca.bytes = ca;
    src.crl = (struct tls_data){STR("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
                                STR("/x.crl")};
    assert_refused(f, &src, "Failed to load CRL from /x.crl");
}

static void digests_tell_bundles_apart(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct strbuf crl;
    const struct tls_trust *a;
    const struct tls_trust *b;
    const struct tls_trust *c;

    strbuf_init(&crl);
    test_crl_pem(&f->ca, NULL, 0, &crl);
    a = build(f, strbuf_str(&f->ca.pem), STR_NONE);
    b = build(f, strbuf_str(&f->ca.pem), strbuf_str(&crl));
    c = build(f, strbuf_str(&f->other.pem), STR_NONE);
    assert_memory_not_equal(a->digest, b->digest, sizeof(a->digest));
    assert_memory_not_equal(a->digest, c->digest, sizeof(a->digest));
    b = build(f, strbuf_str(&f->ca.pem), STR_NONE);
    assert_memory_equal(a->digest, b->digest, sizeof(a->digest));
    strbuf_done(&crl);
}

static void the_same_text_is_read_once(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct part *other = (struct part *)part_new(sizeof(struct part), PART_SECRET, STR("other"));
    struct tls_trust_source src = {.ca = {strbuf_str(&f->ca.pem), STR("/elsewhere")}};
    const struct tls_trust *first = NULL;
    const struct tls_trust *second = build(f, strbuf_str(&f->ca.pem), STR_NONE);

    assert_int_equal(tls_trust_build(other, &src, &first, &f->error), 0);
    assert_ptr_equal(first->store, second->store);
    assert_true(str_eq(first->ca_name, STR("/elsewhere")));
    assert_ptr_not_equal(build(f, strbuf_str(&f->other.pem), STR_NONE)->store, second->store);
    part_unref(other); /* the first to leave takes nothing along */
    assert_int_equal(X509_cmp(sk_X509_value(second->cas, 0), f->ca.x509), 0);
}

static int mode(const struct tls_validation *first, const struct tls_validation *second,
                bool is_required)
{
    const struct tls_validation *parts[2] = {first, second};

    return tls_validation_verify_mode(parts, is_required);
}

static void whom_a_server_asks_for_a_certificate(void **state)
{
    const int must = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    struct fixture *f = (struct fixture *)*state;
    struct tls_validation ca = {.trust = build(f, strbuf_str(&f->ca.pem), STR_NONE),
                                .has_ca = true};
    struct tls_san_matcher matcher = {.type = TLS_SAN_DNS};
    struct tls_digest digest = {{0}};
    struct tls_trust_domain domain = {STR("a"), ca.trust};
    struct tls_validation names = {.sans = &matcher, .san_count = 1};
    struct tls_validation hashes = {.spki_hashes = &digest, .spki_hash_count = 1};
    struct tls_validation spiffe = {
        .trust_domains = &domain, .is_spiffe = true, .trust_domain_count = 1};
    struct tls_validation any = {.accepts_untrusted = true};
    struct tls_validation nothing = {0};

    assert_int_equal(mode(NULL, NULL, false), SSL_VERIFY_NONE);
    assert_int_equal(mode(NULL, NULL, true), SSL_VERIFY_NONE);
    assert_int_equal(mode(&nothing, &nothing, true), SSL_VERIFY_NONE);
    assert_int_equal(mode(&ca, NULL, false), SSL_VERIFY_PEER);
    assert_int_equal(mode(&ca, NULL, true), must);
    assert_int_equal(mode(NULL, &ca, true), must);
    assert_int_equal(mode(&ca, &names, false), must);
    assert_int_equal(mode(&names, NULL, false), must);
    assert_int_equal(mode(&hashes, NULL, false), must);
    assert_int_equal(mode(&hashes, &any, false), SSL_VERIFY_PEER);
    assert_int_equal(mode(&any, NULL, false), SSL_VERIFY_PEER);
    assert_int_equal(mode(&spiffe, NULL, false), must);
}

static void the_secrets_ca_takes_the_place_of_the_defaults(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct tls_validation first = {.trust = build(f, strbuf_str(&f->ca.pem), STR_NONE),
                                   .has_ca = true};
    struct tls_validation second = {.trust = build(f, strbuf_str(&f->other.pem), STR_NONE),
                                    .has_ca = true};
    struct tls_validation none = {0};
    const struct tls_validation *both[2] = {&first, &second};
    const struct tls_validation *one[2] = {&first, &none};
    STACK_OF(CRYPTO_BUFFER) * names;

    assert_ptr_equal(tls_validation_ca(both), second.trust);
    assert_ptr_equal(tls_validation_ca(one), first.trust);
    names = tls_validation_ca_names(both);
    assert_int_equal(sk_CRYPTO_BUFFER_num(names), 1);
    assert_ptr_equal(sk_CRYPTO_BUFFER_value(names, 0),
                     sk_CRYPTO_BUFFER_value(second.trust->names, 0));
    sk_CRYPTO_BUFFER_pop_free(names, CRYPTO_BUFFER_free);
    one[0] = NULL;
    assert_null(tls_validation_ca_names(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bundles_with_words_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(revocation_lists_in_both_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_ca_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(digests_tell_bundles_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_text_is_read_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whom_a_server_asks_for_a_certificate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_secrets_ca_takes_the_place_of_the_defaults, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
