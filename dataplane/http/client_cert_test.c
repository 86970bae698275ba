/* x-forwarded-client-cert by mode, over real handshakes in memory. What Envoy writes for more kinds
 * of certificates: integration/tls/test_client_cert_headers.py. */

#include "dataplane/http/client_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/tls/info.h"
#include "dataplane/tls/testing.h"

static struct test_cert ca;
static struct test_cert leaf;
static struct test_cert server;
static struct tls_info *mutual;    /* the client showed `leaf` and its CA */
static struct tls_info *anonymous; /* it showed nothing */
static struct arena arena;
static struct header_map headers;
static struct http_conn_manager_config config;

/* What the server has to say of a handshake with a client that shows `c`. */
static struct tls_info *shake_hands(const struct test_cert *c)
{
    SSL_CTX *client_ctx = test_ssl_ctx(c, c != NULL ? &ca : NULL);
    SSL_CTX *server_ctx = test_ssl_ctx(&server, NULL);
    struct tls_info *info;
    SSL *client_ssl;
    SSL *server_ssl;

    test_handshake(client_ctx, server_ctx, NULL, NULL, &client_ssl, &server_ssl);
    info = tls_info_new(server_ssl, &(struct tls_info_params){.local = server.x509});
    SSL_free(client_ssl);
    SSL_free(server_ssl);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    return info;
}

static int set_up_all(void **state)
{
    test_cert_init(&ca, &(struct test_cert_params){.cn = "ca", .is_ca = true});
    test_cert_init(&leaf, &(struct test_cert_params){.cn = "a, \"b\"",
                                                     .issuer = &ca,
                                                     .sans = "URI:spiffe://a/b,DNS:a.example,"
                                                             "URI:urn:c,DNS:b.example"});
    test_cert_init(&server,
                   &(struct test_cert_params){.cn = "server", .sans = "URI:urn:s,URI:urn:t"});
    mutual = shake_hands(&leaf);
    anonymous = shake_hands(NULL);
    return 0;
}

static int tear_down_all(void **state)
{
    tls_info_unref(mutual);
    tls_info_unref(anonymous);
    test_cert_done(&ca);
    test_cert_done(&leaf);
    test_cert_done(&server);
    return 0;
}

static int set_up(void **state)
{
    arena_init(&arena, NULL);
    header_map_init(&headers, &arena);
    memset(&config, 0, sizeof(config));
    return 0;
}

static int tear_down(void **state)
{
    arena_done(&arena);
    return 0;
}

/* A request that came with `sent` (NULL: without the header, "a|b": with two). */
static struct str after(enum forward_client_cert mode, struct tls_info *tls, const char *sent)
{
    struct str rest = str_c(sent);
    struct str line;

    header_map_init(&headers, &arena);
    while (str_split(&rest, '|', &line)) {
        header_add(&headers, HDR_X_FORWARDED_CLIENT_CERT, line);
    }
    config.forward_client_cert = mode;
    client_cert_mutate_request(&config, tls, &headers);
    return header_joined(&headers, STR("x-forwarded-client-cert"));
}

static void assert_text(struct str got, const char *want)
{
    if (!str_eq(got, str_c(want))) {
        fail_msg("\"%.*s\", not \"%s\"", STR_ARG(got), want);
    }
}

static const char *with_hash(const char *format)
{
    struct str hash = tls_info_sha256_fingerprint(mutual, TLS_PEER);
    struct strbuf text;
    struct str copy;

    strbuf_init(&text);
    for (const char *c = format; *c != '\0'; c++) {
        if (*c == '#') {
            strbuf_add_str(&text, hash);
        } else {
            strbuf_add_char(&text, *c);
        }
    }
    strbuf_add_char(&text, '\0');
    copy = arena_str(&arena, strbuf_str(&text));
    strbuf_done(&text);
    return copy.ptr;
}

static void nobody_is_believed_without_a_certificate(void **state)
{
    static const enum forward_client_cert modes[] = {CLIENT_CERT_SANITIZE, CLIENT_CERT_FORWARD_ONLY,
                                                     CLIENT_CERT_APPEND_FORWARD,
                                                     CLIENT_CERT_SANITIZE_SET};

    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        assert_null(after(modes[i], NULL, "By=x").ptr);
        assert_null(after(modes[i], anonymous, "By=x|By=y").ptr);
        assert_null(after(modes[i], NULL, NULL).ptr);
    }
    assert_null(after(CLIENT_CERT_SANITIZE, mutual, "By=x").ptr);
}

static void what_came_goes_on_as_one_line(void **state)
{
    assert_text(after(CLIENT_CERT_ALWAYS_FORWARD_ONLY, NULL, "By=x"), "By=x");
    assert_text(after(CLIENT_CERT_ALWAYS_FORWARD_ONLY, NULL, "By=x|By=y"), "By=x,By=y");
    assert_text(after(CLIENT_CERT_FORWARD_ONLY, mutual, "By=x|By=y"), "By=x,By=y");
    assert_null(header_next_same(&headers, header_find(&headers, HDR_X_FORWARDED_CLIENT_CERT)));
    assert_null(after(CLIENT_CERT_FORWARD_ONLY, mutual, NULL).ptr);
}

static void hash_and_own_uris_are_always_said(void **state)
{
    assert_text(after(CLIENT_CERT_SANITIZE_SET, mutual, "By=x"),
                with_hash("By=urn:s;By=urn:t;Hash=#"));
    assert_text(after(CLIENT_CERT_APPEND_FORWARD, mutual, "By=x|By=y"),
                with_hash("By=x,By=y,By=urn:s;By=urn:t;Hash=#"));
    assert_text(after(CLIENT_CERT_APPEND_FORWARD, mutual, ""),
                with_hash("By=urn:s;By=urn:t;Hash=#"));
}

static void details_in_their_order(void **state)
{
    struct str text;

    config.client_cert_details =
        (struct client_cert_details){.subject = true, .uri = true, .dns = true, .issuer = true};
    assert_text(after(CLIENT_CERT_SANITIZE_SET, mutual, NULL),
                with_hash("By=urn:s;By=urn:t;Hash=#;Subject=\"CN=a\\, \\\"b\\\"\";"
                          "URI=spiffe://a/b;URI=urn:c;DNS=a.example;DNS=b.example;"
                          "Issuer=\"CN=ca\""));
    config.client_cert_details = (struct client_cert_details){.cert = true, .chain = true};
    text = after(CLIENT_CERT_SANITIZE_SET, mutual, NULL);
    assert_true(str_find(text, STR(";Cert=\"-----BEGIN%20CERTIFICATE-----%0A")) != STR_NPOS);
    assert_true(str_find(text, STR("\";Chain=\"-----BEGIN%20CERTIFICATE-----%0A")) != STR_NPOS);
    assert_true(str_ends(text, STR("-----END%20CERTIFICATE-----%0A\"")));
}

static void subject_and_uri_are_named_even_empty(void **state)
{
    struct test_cert nameless;
    struct tls_info *tls;
    struct str text;

    test_cert_init(&nameless, &(struct test_cert_params){.issuer = &ca, .sans = "DNS:x.example"});
    tls = shake_hands(&nameless);
    config.client_cert_details = (struct client_cert_details){.subject = true, .uri = true};
    text = after(CLIENT_CERT_SANITIZE_SET, tls, NULL);
    assert_true(str_ends(text, STR(";Subject=\"\";URI=")));
    config.client_cert_details.is_json = true;
    text = after(CLIENT_CERT_SANITIZE_SET, tls, NULL);
    assert_true(str_find(text, STR("subject")) == STR_NPOS);
    assert_true(str_find(text, STR("uri")) == STR_NPOS);
    tls_info_unref(tls);
    test_cert_done(&nameless);
}

static void json(void **state)
{
    config.client_cert_details = (struct client_cert_details){
        .subject = true, .uri = true, .dns = true, .issuer = true, .is_json = true};
    assert_text(after(CLIENT_CERT_SANITIZE_SET, mutual, "By=x"),
                with_hash("[{\"by\":[\"urn:s\",\"urn:t\"],\"hash\":\"#\","
                          "\"subject\":\"CN=a\\\\, \\\\\\\"b\\\\\\\"\","
                          "\"uri\":[\"spiffe://a/b\",\"urn:c\"],"
                          "\"dns\":[\"a.example\",\"b.example\"],\"issuer\":\"CN=ca\"}]"));
}

static void what_is_there_decides_on_the_format(void **state)
{
    assert_text(after(CLIENT_CERT_APPEND_FORWARD, mutual, "[{\"hash\":\"x\"}]"),
                with_hash("[{\"hash\":\"x\"},{\"by\":[\"urn:s\",\"urn:t\"],\"hash\":\"#\"}]"));
    config.client_cert_details.is_json = true;
    assert_text(after(CLIENT_CERT_APPEND_FORWARD, mutual, "By=x"),
                with_hash("By=x,By=urn:s;By=urn:t;Hash=#"));
    assert_text(after(CLIENT_CERT_APPEND_FORWARD, mutual, "["),
                with_hash("[,By=urn:s;By=urn:t;Hash=#"));
    assert_text(after(CLIENT_CERT_APPEND_FORWARD, mutual, NULL),
                with_hash("[{\"by\":[\"urn:s\",\"urn:t\"],\"hash\":\"#\"}]"));
}

/* The router refuses such a request: nothing of it may reach an upstream. */
static void names_that_no_header_may_hold(void **state)
{
    struct test_cert evil;
    struct tls_info *tls;

    test_cert_init(&evil, &(struct test_cert_params){.issuer = &ca,
                                                     .raw_dns = STR("a\r\n\r\nGET / HTTP/1.1")});
    tls = shake_hands(&evil);
    (void)after(CLIENT_CERT_SANITIZE_SET, tls, NULL); /* it is not named */
    assert_null(header_find_invalid(&headers));
    config.client_cert_details.dns = true;
    (void)after(CLIENT_CERT_SANITIZE_SET, tls, NULL);
    assert_int_equal(header_find_invalid(&headers)->id, HDR_X_FORWARDED_CLIENT_CERT);
    config.client_cert_details.is_json = true;
    (void)after(CLIENT_CERT_SANITIZE_SET, tls, NULL); /* JSON escapes it */
    assert_null(header_find_invalid(&headers));
    tls_info_unref(tls);
    test_cert_done(&evil);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_is_believed_without_a_certificate, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_came_goes_on_as_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hash_and_own_uris_are_always_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(details_in_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(subject_and_uri_are_named_even_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_no_header_may_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_decides_on_the_format, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
