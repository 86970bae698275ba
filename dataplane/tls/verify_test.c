/* The verdict on a peer's chain: the default validator, then the SPIFFE validator. */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* cmocka wants them. */
#include <cmocka.h>

#include <openssl/mem.h>
#include <openssl/sha.h>

#include "config/model/part.h"
#include "dataplane/tls/testing.h"
#include "dataplane/tls/trust.h"

#define ERROR_AT(depth, text)                                                                      \
    "verify cert failed: X509_verify_cert: certificate verification error at depth " depth ":"     \
    " " text
#define REVOCATION "certificate revocation check against provided CRLs failed: "

/* root -> intermediate -> leaf, and somebody else's root. */
struct world {
    struct part *part;
    struct test_cert root;
    struct test_cert intermediate;
    struct test_cert leaf;
    struct test_cert stranger;
    struct tls_validation first; /* with the root as CA */
    struct tls_validation second;
    struct tls_verify_params params;
    struct strbuf reason;
    uint8_t alert;
    bool is_validated;
};

#define LEAF_SERIAL 77
#define INTERMEDIATE_SERIAL 78

static const struct tls_trust *trust(struct world *w, struct str ca, struct str crl)
{
    struct tls_trust_source src = {.ca = {ca, STR("<inline>")}, .crl = {crl, STR("<inline>")}};
    const struct tls_trust *t = NULL;
    struct error error;

    error_init(&error);
    if (tls_trust_build(w->part, &src, &t, &error) != 0) {
        fail_msg("%s", error_message(&error));
    }
    error_done(&error);
    return t;
}

static int set_up(void **state)
{
    static struct world w;

    memset(&w, 0, sizeof(w));
    w.part = (struct part *)part_new(sizeof(struct part), PART_SECRET, STR("test"));
    test_cert_init(&w.root, &(struct test_cert_params){.cn = "root", .is_ca = true});
    test_cert_init(&w.intermediate, &(struct test_cert_params){.cn = "intermediate",
                                                               .issuer = &w.root,
                                                               .serial = INTERMEDIATE_SERIAL,
                                                               .is_ca = true});
    test_cert_init(&w.leaf, &(struct test_cert_params){.cn = "leaf",
                                                       .issuer = &w.intermediate,
                                                       .serial = LEAF_SERIAL,
                                                       .usage = "digitalSignature",
                                                       .sans = "DNS:a.example,URI:spiffe://td/x"});
    test_cert_init(&w.stranger, &(struct test_cert_params){.cn = "stranger", .is_ca = true});
    w.first.trust = trust(&w, strbuf_str(&w.root.pem), STR_NONE);
    w.first.has_ca = true;
    w.params.parts[0] = &w.first;
    w.params.now_s = TEST_NOW_S;
    strbuf_init(&w.reason);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = (struct world *)*state;

    strbuf_done(&w->reason);
    part_unref(w->part);
    test_cert_done(&w->root);
    test_cert_done(&w->intermediate);
    test_cert_done(&w->leaf);
    test_cert_done(&w->stranger);
    return 0;
}

static enum tls_verify_result verify(struct world *w, const struct test_cert *leaf,
                                     const struct test_cert *intermediate)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    enum tls_verify_result result;

    assert_true(leaf == NULL || sk_X509_push(chain, leaf->x509) > 0);
    assert_true(intermediate == NULL || sk_X509_push(chain, intermediate->x509) > 0);
    strbuf_reset(&w->reason);
    w->alert = 0;
    w->is_validated = false;
    result = tls_verify_chain(chain, &w->params, &w->reason, &w->alert, &w->is_validated);
    sk_X509_free(chain);
    return result;
}

static void assert_accepted(struct world *w, const struct test_cert *leaf)
{
    if (verify(w, leaf, &w->intermediate) != TLS_VERIFIED) {
        fail_msg("%.*s", STR_ARG(strbuf_str(&w->reason)));
    }
    assert_true(w->is_validated);
    assert_int_equal(w->reason.len, 0);
}

static void assert_refused(struct world *w, const struct test_cert *leaf,
                           enum tls_verify_result result, uint8_t alert, const char *sentence)
{
    assert_int_equal(verify(w, leaf, &w->intermediate), result);
    assert_int_equal(w->reason.len, strlen(sentence));
    assert_memory_equal(w->reason.ptr, sentence, w->reason.len);
    assert_int_equal(w->alert, alert);
    assert_false(w->is_validated);
}

/* --- the chain ------------------------------------------------------------------------------ */

static void chains_end_at_a_ca(void **state)
{
    struct world *w = (struct world *)*state;

    assert_accepted(w, &w->leaf);
    assert_int_equal(verify(w, &w->leaf, NULL), TLS_FAIL_ERROR);
    assert_refused(w, &w->stranger, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("0", "self signed certificate"));
    w->first.trust = trust(w, strbuf_str(&w->stranger.pem), STR_NONE);
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("1", "unable to get local issuer certificate"));
    /* An intermediate is as good an anchor as a root. */
    w->first.trust = trust(w, strbuf_str(&w->intermediate.pem), STR_NONE);
    assert_accepted(w, &w->leaf);
    /* And so is the leaf itself. */
    w->first.trust = trust(w, strbuf_str(&w->leaf.pem), STR_NONE);
    assert_accepted(w, &w->leaf);
}

static void no_validation_accepts_everybody(void **state)
{
    struct world *w = (struct world *)*state;

    w->params.parts[0] = NULL;
    assert_int_equal(verify(w, &w->stranger, NULL), TLS_VERIFIED);
    assert_false(w->is_validated);
    w->params.parts[0] = &w->second;
    assert_int_equal(verify(w, &w->stranger, NULL), TLS_VERIFIED);
    assert_false(w->is_validated);
}

static void empty_chains(void **state)
{
    struct world *w = (struct world *)*state;

    assert_int_equal(verify(w, NULL, NULL), TLS_FAIL_ERROR);
    assert_true(str_eq(strbuf_str(&w->reason), STR("verify cert failed: empty cert chain")));
}

static void a_ca_that_is_not_there_trusts_nobody(void **state)
{
    struct world *w = (struct world *)*state;

    w->first.trust = NULL;
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: init and setup X509_STORE_CTX");
    w->first.trust = trust(w, STR_NONE, STR_NONE);
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: init and setup X509_STORE_CTX");
}

static void times(void **state)
{
    struct world *w = (struct world *)*state;
    struct test_cert old;
    struct test_cert young;

    test_cert_init(&old, &(struct test_cert_params){.cn = "old",
                                                    .issuer = &w->intermediate,
                                                    .not_before_s = TEST_NOW_S - 2 * TEST_DAY_S,
                                                    .not_after_s = TEST_NOW_S - TEST_DAY_S});
    test_cert_init(&young, &(struct test_cert_params){.cn = "young",
                                                      .issuer = &w->intermediate,
                                                      .not_before_s = TEST_NOW_S + TEST_DAY_S});
    assert_refused(w, &old, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_EXPIRED,
                   ERROR_AT("0", "certificate has expired"));
    assert_refused(w, &young, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_EXPIRED,
                   ERROR_AT("0", "certificate is not yet valid"));
    w->params.now_s = TEST_NOW_S - TEST_DAY_S - 3600;
    assert_refused(w, &old, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_EXPIRED,
                   ERROR_AT("2", "certificate is not yet valid"));
    w->params.now_s = TEST_NOW_S;
    w->first.allow_expired = true;
    assert_accepted(w, &old);
    assert_accepted(w, &young);
    /* Only the time is forgiven. */
    assert_refused(w, &w->stranger, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("0", "self signed certificate"));
    w->first.allow_expired = false;
    w->second.allow_expired = true;
    w->params.parts[1] = &w->second;
    assert_accepted(w, &old);
    test_cert_done(&old);
    test_cert_done(&young);
}

static void purposes(void **state)
{
    struct world *w = (struct world *)*state;
    struct test_cert server;
    struct test_cert client;

    test_cert_init(&server, &(struct test_cert_params){.cn = "server",
                                                       .issuer = &w->intermediate,
                                                       .ext_usage = "serverAuth"});
    test_cert_init(&client, &(struct test_cert_params){.cn = "client",
                                                       .issuer = &w->intermediate,
                                                       .ext_usage = "clientAuth"});
    assert_accepted(w, &server);
    assert_refused(w, &client, TLS_FAIL_ERROR, SSL_AD_UNSUPPORTED_CERTIFICATE,
                   ERROR_AT("0", "unsupported certificate purpose"));
    w->params.is_server = true;
    assert_accepted(w, &client);
    assert_refused(w, &server, TLS_FAIL_ERROR, SSL_AD_UNSUPPORTED_CERTIFICATE,
                   ERROR_AT("0", "unsupported certificate purpose"));
    test_cert_done(&server);
    test_cert_done(&client);
}

static void certificates_of_no_ca_sign_nothing(void **state)
{
    struct world *w = (struct world *)*state;
    struct test_cert child;

    test_cert_init(&child, &(struct test_cert_params){.cn = "child", .issuer = &w->leaf});
    assert_int_equal(verify(w, &child, &w->leaf), TLS_FAIL_ERROR);
    w->first.trust = trust(w, strbuf_str(&w->intermediate.pem), STR_NONE);
    assert_int_equal(verify(w, &child, &w->leaf), TLS_FAIL_ERROR);
    assert_int_equal(w->alert, SSL_AD_UNKNOWN_CA);
    test_cert_done(&child);
}

static void depth_is_limited_for_clients(void **state)
{
    struct world *w = (struct world *)*state;

    w->params.is_server = true;
    w->first.max_verify_depth = (struct opt_u32){true, 2};
    assert_accepted(w, &w->leaf);
    w->first.max_verify_depth.value = 1;
    assert_int_equal(verify(w, &w->leaf, &w->intermediate), TLS_FAIL_ERROR);
    w->second.max_verify_depth = (struct opt_u32){true, UINT32_MAX};
    w->params.parts[1] = &w->second;
    assert_accepted(w, &w->leaf);
    w->params.parts[1] = NULL;
    w->params.is_server = false;
    assert_accepted(w, &w->leaf);
}

static void accepting_the_untrusted(void **state)
{
    struct world *w = (struct world *)*state;
    enum tls_verify_result overlooked = TLS_FAIL_SAN;

    w->first.accepts_untrusted = true;
    w->params.ret_overlooked = &overlooked;
    assert_int_equal(verify(w, &w->stranger, NULL), TLS_VERIFIED);
    assert_false(w->is_validated);
    assert_int_equal(w->reason.len, 0);
    assert_int_equal(overlooked, TLS_FAIL_ERROR);
    assert_accepted(w, &w->leaf);
    assert_int_equal(overlooked, TLS_VERIFIED);
}

/* --- revocation ----------------------------------------------------------------------------- */

static const struct tls_trust *crl_trust(struct world *w, struct str ca,
                                         const struct test_cert *issuer, uint64_t serial,
                                         const struct test_cert *other_issuer)
{
    const struct tls_trust *t;
    struct strbuf crl;

    strbuf_init(&crl);
    test_crl_pem(issuer, &serial, 1, &crl);
    if (other_issuer != NULL) {
        test_crl_pem(other_issuer, NULL, 0, &crl);
    }
    t = trust(w, ca, strbuf_str(&crl));
    strbuf_done(&crl);
    return t;
}

static void revoked_leaves(void **state)
{
    struct world *w = (struct world *)*state;
    struct str ca = strbuf_str(&w->root.pem);

    w->first.has_crl = true;
    w->first.trust = crl_trust(w, ca, &w->intermediate, LEAF_SERIAL, &w->root);
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_REVOKED,
                   ERROR_AT("0", REVOCATION "certificate revoked"));
    w->first.trust = crl_trust(w, ca, &w->intermediate, 1, &w->root);
    assert_accepted(w, &w->leaf);
    /* Of every CA a list is wanted, unless only the leaf is looked at. */
    w->first.trust = crl_trust(w, ca, &w->intermediate, 1, NULL);
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("1", REVOCATION "unable to get certificate CRL"));
    w->first.only_verify_leaf_crl = true;
    assert_accepted(w, &w->leaf);
    w->first.trust = crl_trust(w, ca, &w->root, INTERMEDIATE_SERIAL, &w->intermediate);
    assert_accepted(w, &w->leaf);
    w->first.only_verify_leaf_crl = false;
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_REVOKED,
                   ERROR_AT("1", REVOCATION "certificate revoked"));
}

static void where_the_crls_would_be(void **state)
{
    struct world *w = (struct world *)*state;
    struct test_cert c;

    test_cert_init(&c, &(struct test_cert_params){.cn = "c",
                                                  .issuer = &w->intermediate,
                                                  .crl_points = "URI:http://a/1,URI:ldap://b/2"});
    w->first.has_crl = true;
    w->first.trust = crl_trust(w, strbuf_str(&w->root.pem), &w->root, 1, NULL);
    assert_refused(w, &c, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("0", REVOCATION "unable to get certificate CRL, certificate CRL "
                                            "distribution points: [http://a/1, ldap://b/2]"));
    test_cert_done(&c);
}

static void a_crl_of_the_secret_with_the_ca_of_the_default(void **state)
{
    struct world *w = (struct world *)*state;

    w->second.has_crl = true;
    w->second.trust = crl_trust(w, STR_NONE, &w->intermediate, LEAF_SERIAL, &w->root);
    w->params.parts[1] = &w->second;
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_REVOKED,
                   ERROR_AT("0", REVOCATION "certificate revoked"));
    /* It takes the place of the default's. */
    w->first.has_crl = true;
    w->first.trust =
        crl_trust(w, strbuf_str(&w->root.pem), &w->intermediate, LEAF_SERIAL, &w->root);
    w->second.trust = crl_trust(w, STR_NONE, &w->intermediate, 1, &w->root);
    assert_accepted(w, &w->leaf);
}

static void a_crl_source_without_a_crl(void **state)
{
    struct world *w = (struct world *)*state;

    w->first.has_crl = true;
    w->first.trust = trust(w, strbuf_str(&w->root.pem), STR("nothing here"));
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("0", REVOCATION "unable to get certificate CRL"));
    w->first.trust = trust(w, strbuf_str(&w->root.pem), STR_NONE);
    assert_accepted(w, &w->leaf);
}

static void crls_in_the_bundle(void **state)
{
    struct world *w = (struct world *)*state;
    uint64_t serial = LEAF_SERIAL;
    struct strbuf pem;

    strbuf_init(&pem);
    strbuf_add_str(&pem, strbuf_str(&w->intermediate.pem));
    test_crl_pem(&w->intermediate, &serial, 1, &pem);
    w->first.trust = trust(w, strbuf_str(&pem), STR_NONE);
    w->first.only_verify_leaf_crl = true;
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_REVOKED,
                   ERROR_AT("0", REVOCATION "certificate revoked"));
    strbuf_done(&pem);
}

/* --- the leaf ------------------------------------------------------------------------------- */

static struct tls_san_matcher exact(enum tls_san_type type, const char *value)
{
    return (struct tls_san_matcher){.type = type,
                                    .matcher = {.kind = STRING_MATCH_EXACT, .value = str_c(value)}};
}

static void names_any_of_which_will_do(void **state)
{
    struct world *w = (struct world *)*state;
    struct tls_san_matcher wrong = exact(TLS_SAN_DNS, "b.example");
    struct tls_san_matcher right = exact(TLS_SAN_URI, "spiffe://td/x");
    struct tls_san_matcher untyped = exact(TLS_SAN_ANY, "a.example");

    w->first.sans = &wrong;
    w->first.san_count = 1;
    assert_refused(w, &w->leaf, TLS_FAIL_SAN, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: SAN matcher, certificate SANs are [a.example, "
                   "spiffe://td/x]");
    w->second.sans = &right;
    w->second.san_count = 1;
    w->params.parts[1] = &w->second;
    assert_accepted(w, &w->leaf);
    /* The deprecated kind counts only where there is no other. */
    w->second.sans = &untyped;
    assert_refused(w, &w->leaf, TLS_FAIL_SAN, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: SAN matcher, certificate SANs are [a.example, "
                   "spiffe://td/x]");
    w->first.san_count = 0;
    assert_accepted(w, &w->leaf);
    assert_refused(w, &w->root, TLS_FAIL_SAN, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: SAN matcher, certificate SANs are []");
}

static void a_list_for_this_connection(void **state)
{
    struct world *w = (struct world *)*state;
    struct tls_san_matcher wrong = exact(TLS_SAN_DNS, "b.example");
    struct str expected[] = {STR("x.example"), STR("spiffe://td/x")};

    w->params.sans = expected;
    w->params.san_count = 1;
    assert_refused(w, &w->leaf, TLS_FAIL_SAN, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: verify SAN list, expected SANs: [x.example], certificate "
                   "SANs: [a.example, spiffe://td/x]");
    w->params.san_count = 2;
    assert_accepted(w, &w->leaf);
    /* The configured matchers have to be content, too. */
    w->first.sans = &wrong;
    w->first.san_count = 1;
    assert_int_equal(verify(w, &w->leaf, &w->intermediate), TLS_FAIL_SAN);
    /* Without a CA nobody is who he says. */
    w->params.parts[0] = NULL;
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_UNKNOWN_CA,
                   ERROR_AT("1", "unable to get local issuer certificate"));
}

static void the_server_name_takes_the_place_of_matchers(void **state)
{
    struct world *w = (struct world *)*state;
    struct tls_san_matcher wrong = exact(TLS_SAN_DNS, "b.example");

    w->first.sans = &wrong;
    w->first.san_count = 1;
    w->params.is_san_from_sni = true;
    w->params.server_name = STR("a.example");
    assert_accepted(w, &w->leaf);
    w->params.server_name = STR("b.example");
    assert_int_equal(verify(w, &w->leaf, &w->intermediate), TLS_FAIL_SAN);
    w->params.server_name = STR("spiffe://td/x"); /* names of hosts only */
    assert_int_equal(verify(w, &w->leaf, &w->intermediate), TLS_FAIL_SAN);
    w->params.server_name = STR_NONE;
    assert_int_equal(verify(w, &w->leaf, &w->intermediate), TLS_FAIL_SAN);
}

static void either_hash_will_do(void **state)
{
    struct world *w = (struct world *)*state;
    struct tls_digest certificate = {{0}};
    struct tls_digest spki = {{0}};
    uint8_t *der = NULL;
    int len = i2d_X509(w->leaf.x509, &der);

    w->first =
        (struct tls_validation){.certificate_hashes = &certificate, .certificate_hash_count = 1};
    w->second = (struct tls_validation){.spki_hashes = &spki, .spki_hash_count = 1};
    w->params.parts[1] = &w->second;
    assert_refused(w, &w->leaf, TLS_FAIL_CERT_HASH, SSL_AD_BAD_CERTIFICATE_HASH_VALUE,
                   "verify cert failed: cert hash and spki");
    SHA256(der, (size_t)len, certificate.bytes);
    OPENSSL_free(der);
    assert_accepted(w, &w->leaf);
    certificate.bytes[31] ^= 1;
    der = NULL;
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(w->leaf.x509), &der);
    SHA256(der, (size_t)len, spki.bytes);
    OPENSSL_free(der);
    assert_accepted(w, &w->leaf);
    spki.bytes[0] ^= 1;
    assert_int_equal(verify(w, &w->leaf, NULL), TLS_FAIL_CERT_HASH);
}

/* --- SPIFFE --------------------------------------------------------------------------------- */

struct svids {
    struct tls_trust_domain domains[2];
};

static void use_spiffe(struct world *w, struct svids *s)
{
    s->domains[0] = (struct tls_trust_domain){STR("td"), w->first.trust};
    s->domains[1] = (struct tls_trust_domain){STR("elsewhere"),
                                              trust(w, strbuf_str(&w->stranger.pem), STR_NONE)};
    w->first = (struct tls_validation){
        .trust_domains = s->domains, .is_spiffe = true, .trust_domain_count = 2};
    w->params.is_server = true;
}

static void svids_are_judged_by_their_own_domain(void **state)
{
    struct world *w = (struct world *)*state;
    struct test_cert foreign;
    struct test_cert thief;
    struct svids s;

    use_spiffe(w, &s);
    test_cert_init(&foreign, &(struct test_cert_params){.issuer = &w->stranger,
                                                        .usage = "digitalSignature",
                                                        .sans = "URI:spiffe://elsewhere/x"});
    test_cert_init(&thief, &(struct test_cert_params){.issuer = &w->stranger,
                                                      .usage = "digitalSignature",
                                                      .sans = "URI:spiffe://td/x"});
    assert_accepted(w, &w->leaf);
    assert_accepted(w, &foreign);
    assert_refused(w, &thief, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   ERROR_AT("0", "unable to get local issuer certificate"));
    test_cert_done(&foreign);
    test_cert_done(&thief);
}

static void what_is_no_svid(void **state)
{
    static const char *const sans[] = {NULL,
                                       "DNS:td",
                                       "URI:https://td/x",
                                       "URI:spiffe://td",
                                       "URI:spiffe:///x",
                                       "URI:spiffe://unknown/x",
                                       "URI:SPIFFE://td/x",
                                       "URI:https://a/b,URI:spiffe://td/x"};
    struct world *w = (struct world *)*state;
    struct test_cert signer;
    struct test_cert silent;
    struct svids s;
    size_t i;

    use_spiffe(w, &s);
    for (i = 0; i < sizeof(sans) / sizeof(sans[0]); i++) {
        struct test_cert c;

        test_cert_init(&c, &(struct test_cert_params){.cn = "spiffe://td/x",
                                                      .issuer = &w->intermediate,
                                                      .usage = "digitalSignature",
                                                      .sans = sans[i]});
        assert_refused(w, &c, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                       "verify cert failed: no trust bundle store");
        test_cert_done(&c);
    }
    assert_refused(w, &w->root, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: cert precheck");
    test_cert_init(&signer, &(struct test_cert_params){.issuer = &w->intermediate,
                                                       .sans = "URI:spiffe://td/x",
                                                       .usage = "keyCertSign"});
    assert_refused(w, &signer, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: cert precheck");
    test_cert_done(&signer);
    /* Whoever does not say what his key is for may do everything with it. */
    test_cert_init(&silent, &(struct test_cert_params){.issuer = &w->intermediate,
                                                       .sans = "URI:spiffe://td/x"});
    assert_refused(w, &silent, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: cert precheck");
    test_cert_done(&silent);
}

static void of_several_uris_the_first_is_the_name(void **state)
{
    struct world *w = (struct world *)*state;
    struct test_cert c;
    struct svids s;

    use_spiffe(w, &s);
    test_cert_init(&c, &(struct test_cert_params){.issuer = &w->intermediate,
                                                  .usage = "digitalSignature",
                                                  .sans = "URI:spiffe://td/x,URI:https://y"});
    assert_accepted(w, &c);
    test_cert_done(&c);
    test_cert_init(
        &c, &(struct test_cert_params){.issuer = &w->intermediate,
                                       .usage = "digitalSignature",
                                       .sans = "URI:spiffe://elsewhere/x,URI:spiffe://td/y"});
    assert_int_equal(verify(w, &c, &w->intermediate), TLS_FAIL_ERROR);
    test_cert_done(&c);
}

static void svids_and_matchers(void **state)
{
    struct world *w = (struct world *)*state;
    struct tls_san_matcher matchers[] = {exact(TLS_SAN_URI, "spiffe://td/other"),
                                         exact(TLS_SAN_DNS, "b.example")};
    struct svids s;

    use_spiffe(w, &s);
    w->first.sans = matchers;
    w->first.san_count = 2;
    assert_refused(w, &w->leaf, TLS_FAIL_SAN, SSL_AD_CERTIFICATE_UNKNOWN,
                   "verify cert failed: SAN match");
    matchers[0] = exact(TLS_SAN_URI, "spiffe://td/x");
    assert_accepted(w, &w->leaf);
    /* Matchers for other kinds are none. */
    w->first.sans = &matchers[1];
    w->first.san_count = 1;
    assert_accepted(w, &w->leaf);
}

static void svids_over_time(void **state)
{
    struct world *w = (struct world *)*state;
    struct svids s;

    use_spiffe(w, &s);
    w->params.now_s = TEST_NOW_S + 1000 * (int64_t)TEST_DAY_S;
    assert_refused(w, &w->leaf, TLS_FAIL_ERROR, SSL_AD_CERTIFICATE_UNKNOWN,
                   ERROR_AT("2", "certificate has expired"));
    w->first.allow_expired = true;
    assert_accepted(w, &w->leaf);
}

static void a_peer_of_a_real_handshake(void **state)
{
    struct world *w = (struct world *)*state;
    SSL_CTX *client_ctx = test_ssl_ctx(&w->leaf, &w->intermediate);
    SSL_CTX *server_ctx = test_ssl_ctx(&w->leaf, NULL);
    SSL *client;
    SSL *server;

    test_handshake(client_ctx, server_ctx, NULL, NULL, &client, &server);
    w->params.is_server = true;
    assert_int_equal(tls_verify_peer(server, &w->params, &w->reason, &w->alert, &w->is_validated),
                     TLS_VERIFIED);
    assert_true(w->is_validated);
    w->params.is_server = false; /* the server left the intermediate out */
    assert_int_equal(tls_verify_peer(client, &w->params, &w->reason, &w->alert, &w->is_validated),
                     TLS_FAIL_ERROR);
    assert_false(w->is_validated);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chains_end_at_a_ca),
        TEST(no_validation_accepts_everybody),
        TEST(empty_chains),
        TEST(a_ca_that_is_not_there_trusts_nobody),
        TEST(times),
        TEST(purposes),
        TEST(certificates_of_no_ca_sign_nothing),
        TEST(depth_is_limited_for_clients),
        TEST(accepting_the_untrusted),
        TEST(revoked_leaves),
        TEST(where_the_crls_would_be),
        TEST(a_crl_of_the_secret_with_the_ca_of_the_default),
        TEST(a_crl_source_without_a_crl),
        TEST(crls_in_the_bundle),
        TEST(names_any_of_which_will_do),
        TEST(a_list_for_this_connection),
        TEST(the_server_name_takes_the_place_of_matchers),
        TEST(either_hash_will_do),
        TEST(svids_are_judged_by_their_own_domain),
        TEST(what_is_no_svid),
        TEST(of_several_uris_the_first_is_the_name),
        TEST(svids_and_matchers),
        TEST(svids_over_time),
        TEST(a_peer_of_a_real_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
