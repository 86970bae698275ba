#include "dataplane/tls/info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* cmocka wants them. */
#include <cmocka.h>

#include <openssl/digest.h>
#include <openssl/evp.h>

#include "dataplane/tls/testing.h"

/* A client with a certificate below an intermediate, and what each side has to tell. */
struct talk {
    struct test_cert ca;
    struct test_cert leaf;
    struct test_cert server;
    SSL_CTX *client_ctx;
    SSL_CTX *server_ctx;
    SSL *client_ssl;
    SSL *server_ssl;
    struct tls_info *client;
    struct tls_info *other; /* the server's */
};

static int set_up(void **state)
{
    static struct talk t;

    test_cert_init(&t.ca, &(struct test_cert_params){.cn = "Test CA", .ou = "Us", .is_ca = true});
    test_cert_init(&t.leaf, &(struct test_cert_params){
                                .cn = "Leaf, the \"first\"",
                                .ou = "Us + them",
                                .issuer = &t.ca,
                                .serial = 0xf0a1,
                                .sans = "URI:spiffe://a/b,DNS:a.example,URI:https://c,IP:10.0.0.1,"
                                        "IP:2001:db8::1,email:who@a.example,DNS:b.example"});
    test_cert_init(&t.server, &(struct test_cert_params){.cn = "server", .sans = "DNS:server"});
    t.client_ctx = test_ssl_ctx(&t.leaf, &t.ca);
    t.server_ctx = test_ssl_ctx(&t.server, NULL);
    test_handshake(t.client_ctx, t.server_ctx, "a.example", "h2", &t.client_ssl, &t.server_ssl);
    t.client = tls_info_new(
        t.client_ssl, &(struct tls_info_params){.local = t.leaf.x509, .is_peer_validated = true});
    t.other = tls_info_new(t.server_ssl, &(struct tls_info_params){.local = t.server.x509});
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    struct talk *t = (struct talk *)*state;

    tls_info_unref(t->client);
    tls_info_unref(t->other);
    SSL_free(t->client_ssl);
    SSL_free(t->server_ssl);
    SSL_CTX_free(t->client_ctx);
    SSL_CTX_free(t->server_ctx);
    test_cert_done(&t->ca);
    test_cert_done(&t->leaf);
    test_cert_done(&t->server);
    return 0;
}

static void assert_str(struct str s, const char *expected)
{
    if (!str_eq(s, str_c(expected))) {
        fail_msg("\"%.*s\", not \"%s\"", STR_ARG(s), expected);
    }
}

static void the_connection(void **state)
{
    struct talk *t = (struct talk *)*state;

    assert_str(tls_info_version(t->other), "TLSv1.3");
    assert_true(str_starts(tls_info_cipher(t->other), STR("TLS_")));
    assert_int_equal(tls_info_cipher_id(t->other) >> 8, 0x13);
    assert_str(tls_info_sni(t->other), "a.example");
    assert_str(tls_info_alpn(t->other), "h2");
    assert_str(tls_info_alpn(t->client), "h2");
    assert_true(tls_info_is_peer_validated(t->client));
    assert_false(tls_info_is_peer_validated(t->other));
    assert_true(tls_info_has_peer_certificate(t->other));
}

static void session_ids_are_hex(void **state)
{
    struct talk *t = (struct talk *)*state;
    const SSL_SESSION *session = SSL_get_session(t->server_ssl);
    unsigned len;
    const uint8_t *id = SSL_SESSION_get_id(session, &len);
    struct str text = tls_info_session_id(t->other);
    unsigned i;

    assert_int_equal(text.len, 2 * len);
    for (i = 0; i < len; i++) {
        char pair[3];

        (void)snprintf(pair, sizeof(pair), "%02x", (unsigned)id[i]); /* always fits */
        assert_memory_equal(text.ptr + 2 * i, pair, 2);
    }
}

static void names_of_both_sides(void **state)
{
    struct talk *t = (struct talk *)*state;

    assert_str(tls_info_subject(t->other, TLS_PEER), "CN=Leaf\\, the \\\"first\\\",OU=Us \\+ them");
    assert_str(tls_info_common_name(t->other, TLS_PEER), "Leaf, the \"first\"");
    assert_str(tls_info_issuer(t->other, TLS_PEER), "CN=Test CA,OU=Us");
    assert_str(tls_info_subject(t->other, TLS_LOCAL), "CN=server");
    assert_str(tls_info_subject(t->client, TLS_PEER), "CN=server");
    assert_str(tls_info_subject(t->client, TLS_LOCAL),
               "CN=Leaf\\, the \\\"first\\\",OU=Us \\+ them");
    assert_str(tls_info_serial(t->other, TLS_PEER), "f0a1");
}

static void hex_digest(const X509 *x509, const EVP_MD *md, char out[2 * EVP_MAX_MD_SIZE + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len;
    unsigned i;

    assert_true(X509_digest(x509, md, digest, &len));
    for (i = 0; i < len; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", (unsigned)digest[i]); /* always fits */
    }
}

static void fingerprints_of_the_whole_chain(void **state)
{
    struct talk *t = (struct talk *)*state;
    char hex[2 * EVP_MAX_MD_SIZE + 1];

    hex_digest(t->leaf.x509, EVP_sha256(), hex);
    assert_str(tls_info_sha256_fingerprint(t->other, TLS_PEER), hex);
    assert_str(tls_info_peer_chain_sha256(t->other, 0), hex);
    hex_digest(t->leaf.x509, EVP_sha1(), hex);
    assert_str(tls_info_sha1_fingerprint(t->other, TLS_PEER), hex);
    assert_int_equal(tls_info_peer_chain_length(t->other), 2);
    hex_digest(t->ca.x509, EVP_sha256(), hex);
    assert_str(tls_info_peer_chain_sha256(t->other, 1), hex);
    hex_digest(t->ca.x509, EVP_sha1(), hex);
    assert_str(tls_info_peer_chain_sha1(t->other, 1), hex);
    assert_str(tls_info_peer_chain_serial(t->other, 0), "f0a1");
    assert_str(tls_info_peer_chain_serial(t->other, 2), ""); /* there is no third */
}

static void assert_sans(struct tls_info *i, enum tls_side side, enum tls_name_kind kind,
                        const char *expected)
{
    char joined[256] = "";
    size_t count;
    size_t n;
    const struct str *sans = tls_info_sans(i, side, kind, &count);

    for (n = 0; n < count; n++) {
        (void)snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%.*s;",
                       STR_ARG(sans[n])); /* a test's names are short */
    }
    assert_string_equal(joined, expected);
}

static void alternative_names_by_kind(void **state)
{
    struct talk *t = (struct talk *)*state;

    assert_sans(t->other, TLS_PEER, TLS_NAME_URI, "spiffe://a/b;https://c;");
    assert_sans(t->other, TLS_PEER, TLS_NAME_DNS, "a.example;b.example;");
    assert_sans(t->other, TLS_PEER, TLS_NAME_IP, "10.0.0.1;2001:db8::1;");
    assert_sans(t->other, TLS_PEER, TLS_NAME_EMAIL, "who@a.example;");
    assert_sans(t->other, TLS_PEER, TLS_NAME_OTHER, "");
    assert_sans(t->other, TLS_LOCAL, TLS_NAME_DNS, "server;");
    assert_sans(t->other, TLS_LOCAL, TLS_NAME_URI, "");
}

static void pem_in_a_header(void **state)
{
    struct talk *t = (struct talk *)*state;
    struct str one = tls_info_url_encoded_pem(t->other);
    struct str all = tls_info_url_encoded_pem_chain(t->other);
    struct str begin = STR("-----BEGIN%20CERTIFICATE-----%0A");
    struct str end = STR("%0A-----END%20CERTIFICATE-----%0A");
    size_t i;

    assert_true(str_starts(one, begin) && str_ends(one, end));
    assert_true(str_starts(all, one) && str_ends(all, end));
    assert_true(all.len > one.len + begin.len + end.len);
    for (i = 0; i < all.len; i++) {
        assert_null(memchr("\n +/=", all.ptr[i], 5));
    }
}

static void validity_of_both_sides(void **state)
{
    struct talk *t = (struct talk *)*state;
    int64_t s = 0;

    assert_true(tls_info_valid_from(t->other, TLS_PEER, &s));
    assert_int_equal(s, TEST_NOW_S - TEST_DAY_S);
    assert_true(tls_info_valid_to(t->other, TLS_LOCAL, &s));
    assert_int_equal(s, TEST_NOW_S + 365 * TEST_DAY_S);
}

static void an_answer_is_made_once(void **state)
{
    struct talk *t = (struct talk *)*state;
    struct str first = tls_info_subject(t->other, TLS_PEER);
    size_t count;

    (void)tls_info_issuer(t->other, TLS_PEER); /* others come between */
    assert_ptr_equal(tls_info_subject(t->other, TLS_PEER).ptr, first.ptr);
    assert_ptr_equal(tls_info_sans(t->other, TLS_PEER, TLS_NAME_URI, &count),
                     tls_info_sans(t->other, TLS_PEER, TLS_NAME_URI, &count));
}

static void it_outlives_its_connection(void **state)
{
    struct talk *t = (struct talk *)*state;

    tls_info_ref(t->other);
    tls_info_unref(t->other);
    SSL_free(t->server_ssl);
    t->server_ssl = NULL;
    assert_str(tls_info_serial(t->other, TLS_PEER), "f0a1");
    assert_str(tls_info_version(t->other), "TLSv1.3");
}

static void without_tls_everything_is_empty(void **state)
{
    size_t count = 1;
    int64_t s;

    assert_str(tls_info_version(NULL), "");
    assert_str(tls_info_cipher(NULL), "");
    assert_int_equal(tls_info_cipher_id(NULL), 0);
    assert_str(tls_info_session_id(NULL), "");
    assert_str(tls_info_sni(NULL), "");
    assert_str(tls_info_alpn(NULL), "");
    assert_false(tls_info_has_peer_certificate(NULL));
    assert_false(tls_info_is_peer_validated(NULL));
    assert_str(tls_info_subject(NULL, TLS_PEER), "");
    assert_str(tls_info_url_encoded_pem_chain(NULL), "");
    assert_null(tls_info_sans(NULL, TLS_PEER, TLS_NAME_DNS, &count));
    assert_int_equal(count, 0);
    assert_int_equal(tls_info_peer_chain_length(NULL), 0);
    assert_false(tls_info_valid_to(NULL, TLS_PEER, &s));
    tls_info_unref(NULL);
}

static void peers_without_a_certificate(void **state)
{
    struct talk *t = (struct talk *)*state;
    SSL_CTX *nobody = test_ssl_ctx(NULL, NULL);
    struct tls_info *i;
    SSL *client;
    SSL *server;
    size_t count;

    test_handshake(nobody, t->server_ctx, NULL, NULL, &client, &server);
    i = tls_info_new(server, &(struct tls_info_params){0});
    assert_false(tls_info_has_peer_certificate(i));
    assert_str(tls_info_subject(i, TLS_PEER), "");
    assert_str(tls_info_subject(i, TLS_LOCAL), "");
    assert_str(tls_info_url_encoded_pem(i), "");
    assert_str(tls_info_sni(i), "");
    (void)tls_info_sans(i, TLS_PEER, TLS_NAME_DNS, &count); /* only the count says it */
    assert_int_equal(count, 0);
    tls_info_unref(i);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(nobody);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_connection),
        TEST(session_ids_are_hex),
        TEST(names_of_both_sides),
        TEST(fingerprints_of_the_whole_chain),
        TEST(alternative_names_by_kind),
        TEST(pem_in_a_header),
        TEST(validity_of_both_sides),
        TEST(an_answer_is_made_once),
        TEST(it_outlives_its_connection),
        cmocka_unit_test(without_tls_everything_is_empty),
        TEST(peers_without_a_certificate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
