/* The operators of TLS connections, over a real handshake in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/net/connection.h"
#include "dataplane/stream_info/formatter.h"
#include "dataplane/tls/info.h"
#include "dataplane/tls/testing.h"

#define MS UINT64_C(1000000)
#define START_NS (1000 * MS)

static struct test_cert ca;
static struct test_cert leaf;
static struct test_cert server;
static struct tls_info *tls; /* the server's */
static struct stream_info info;
static struct access_log_entry entry = {.info = &info};

/* A connection with that story and nothing else. */
static struct tls_info *story(const struct conn *c, void *state)
{
    return state;
}

static const struct transport_socket told = {.is_secure = true, .info = story};
static struct conn connection = {.transport = &told};

static int set_up(void **state)
{
    static const struct tls_info_params none;
    struct tls_info_params p = none;
    SSL_CTX *client_ctx;
    SSL_CTX *server_ctx;
    SSL *client_ssl;
    SSL *server_ssl;

    test_cert_init(&ca, &(struct test_cert_params){.cn = "ca", .is_ca = true, .serial = 0xca});
    test_cert_init(&leaf, &(struct test_cert_params){
                              .cn = "client, x",
                              .ou = "unit",
                              .issuer = &ca,
                              .serial = 0xbeef,
                              .sans = "DNS:a.example,DNS:b.example,URI:spiffe://a/b,IP:10.0.0.1,"
                                      "email:e@x.example,otherName:1.2.3;UTF8:other"});
    test_cert_init(&server, &(struct test_cert_params){.cn = "server", .sans = "DNS:s.example"});
    client_ctx = test_ssl_ctx(&leaf, &ca);
    server_ctx = test_ssl_ctx(&server, NULL);
    test_handshake(client_ctx, server_ctx, "s.example", NULL, &client_ssl, &server_ssl);
    p.local = server.x509;
    p.handshake_done_ns = START_NS + 7 * MS;
    tls = tls_info_new(server_ssl, &p);
    SSL_free(client_ssl);
    SSL_free(server_ssl);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    connection.transport_state = tls;
    info = (struct stream_info){.connection = &connection, .start_mono_ns = START_NS};
    return 0;
}

static int tear_down(void **state)
{
    stream_info_set_upstream_tls(&info, NULL);
    tls_info_unref(tls);
    test_cert_done(&ca);
    test_cert_done(&leaf);
    test_cert_done(&server);
    return 0;
}

static void check(const struct format_item *item, const char *want)
{
    struct format f = {.items = item, .count = 1};
    struct strbuf out;

    strbuf_init(&out);
    formatter_text(&f, &entry, NULL, false, &out);
    if (!str_eq(strbuf_str(&out), str_c(want))) {
        fail_msg("op %d, field %d: '%.*s', not '%s'", item->op, item->tls_field,
                 STR_ARG(strbuf_str(&out)), want);
    }
    strbuf_done(&out);
}

static void check_field(enum format_op op, enum format_tls_field field, const char *want)
{
    check(&(struct format_item){.op = op, .tls_field = field}, want);
}

static void fields_of_the_downstream_connection(void **state)
{
    static const struct {
        enum format_tls_field field;
        const char *want;
    } fields[] = {
        {FORMAT_TLS_VERSION, "TLSv1.3"},
        {FORMAT_TLS_PEER_SUBJECT, "CN=client\\, x,OU=unit"},
        {FORMAT_TLS_PEER_ISSUER, "CN=ca"},
        {FORMAT_TLS_PEER_CN, "client, x"},
        {FORMAT_TLS_PEER_SERIAL, "beef"},
        {FORMAT_TLS_PEER_CHAIN_SERIALS, "beef,ca"},
        {FORMAT_TLS_PEER_URI_SAN, "spiffe://a/b"},
        {FORMAT_TLS_PEER_DNS_SAN, "a.example,b.example"},
        {FORMAT_TLS_PEER_IP_SAN, "10.0.0.1"},
        {FORMAT_TLS_PEER_EMAIL_SAN, "e@x.example"},
        {FORMAT_TLS_PEER_OTHERNAME_SAN, "other"},
        {FORMAT_TLS_LOCAL_SUBJECT, "CN=server"},
        {FORMAT_TLS_LOCAL_DNS_SAN, "s.example"},
        {FORMAT_TLS_LOCAL_URI_SAN, "-"},
        {FORMAT_TLS_PEER_ISSUER_SERIAL, "-"}, /* nobody has verified it */
        {FORMAT_TLS_PEER_ISSUER_SHA256, "-"},
        {FORMAT_TLS_PEER_V_START, "2025-12-31T00:00:00.000Z"},
    };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        check_field(FORMAT_DOWNSTREAM_TLS, fields[i].field, fields[i].want);
    }
    check(&(struct format_item){.op = FORMAT_DOWNSTREAM_TLS,
                                .tls_field = FORMAT_TLS_PEER_V_START,
                                .arg1 = STR("%b %d %Y %s")},
          "Dec 31 2025 1767139200");
}

/* Each field says something, so none was forgotten where they are evaluated. */
static void every_field_is_evaluated(void **state)
{
    static const enum format_tls_field silent[] = {
        FORMAT_TLS_SESSION_ID,         FORMAT_TLS_PEER_ISSUER_SERIAL, FORMAT_TLS_PEER_ISSUER_SHA256,
        FORMAT_TLS_LOCAL_URI_SAN,      FORMAT_TLS_LOCAL_IP_SAN,       FORMAT_TLS_LOCAL_EMAIL_SAN,
        FORMAT_TLS_LOCAL_OTHERNAME_SAN};

    for (int field = 0; field < FORMAT_TLS_FIELD_COUNT; field++) {
        struct format_item item = {.op = FORMAT_DOWNSTREAM_TLS,
                                   .tls_field = (enum format_tls_field)field};
        struct format f = {.items = &item, .count = 1};
        bool is_silent = false;
        struct strbuf out;

        for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
            is_silent = is_silent || (int)silent[i] == field;
        }
        strbuf_init(&out);
        formatter_text(&f, &entry, NULL, false, &out);
        if (!is_silent && str_eq(strbuf_str(&out), STR("-"))) {
            fail_msg("field %d says nothing", field);
        }
        strbuf_done(&out);
    }
}

static void without_tls_there_is_nothing(void **state)
{
    for (int field = 0; field < FORMAT_TLS_FIELD_COUNT; field++) {
        check_field(FORMAT_UPSTREAM_TLS, (enum format_tls_field)field, "-");
    }
    info.connection = NULL;
    for (int field = 0; field < FORMAT_TLS_FIELD_COUNT; field++) {
        check_field(FORMAT_DOWNSTREAM_TLS, (enum format_tls_field)field, "-");
    }
    check(&(struct format_item){.op = FORMAT_DOWNSTREAM_HANDSHAKE_DURATION}, "-");
}

static void the_upstream_story_outlives_its_connection(void **state)
{
    stream_info_set_upstream_tls(&info, tls);
    stream_info_set_upstream_tls(&info, tls); /* another attempt, the same connection */
    tls_info_unref(tls);
    check_field(FORMAT_UPSTREAM_TLS, FORMAT_TLS_PEER_SERIAL, "beef");
    tls_info_ref(tls); /* for tear_down */
}

static void handshake_durations(void **state)
{
    const struct format_item item = {.op = FORMAT_DOWNSTREAM_HANDSHAKE_DURATION};

    check(&item, "7");
    info.start_mono_ns = START_NS + 7 * MS + MS / 2;
    check(&item, "0"); /* a request at once */
    info.start_mono_ns = START_NS + 307 * MS;
    check(&item, "-300"); /* a later one, as Envoy */
}

static void unfinished_handshakes_have_no_duration(void **state)
{
    SSL_CTX *ctx = test_ssl_ctx(&server, NULL);
    SSL *ssl = SSL_new(ctx);
    struct tls_info *early = tls_info_new(ssl, &(struct tls_info_params){.local = server.x509});

    connection.transport_state = early;
    check(&(struct format_item){.op = FORMAT_DOWNSTREAM_HANDSHAKE_DURATION}, "-");
    check_field(FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_CIPHER, "-");
    check_field(FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_PEER_SUBJECT, "-");
    check_field(FORMAT_DOWNSTREAM_TLS, FORMAT_TLS_LOCAL_SUBJECT, "CN=server");
    tls_info_unref(early);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void intervals_between_moments(void **state)
{
    struct format_item item = {
        .op = FORMAT_COMMON_DURATION,
        .interval = {.from = FORMAT_DS_RX_BEG, .to = FORMAT_US_RX_BEG, .unit_ns = 1000}};

    check(&item, "-");
    info.first_upstream_rx_ns = START_NS + 3 * MS / 2;
    check(&item, "1500");
    item.interval.unit_ns = 1;
    check(&item, "1500000");
    item.interval.to = FORMAT_NO_MOMENT;
    check(&item, "-");
}

static void bytes_of_headers(void **state)
{
    info.header_bytes_received = 1;
    info.header_bytes_sent = 2;
    info.upstream_header_bytes_received = 3;
    info.upstream_header_bytes_sent = 4;
    check(&(struct format_item){.op = FORMAT_DOWNSTREAM_HEADER_BYTES_RECEIVED}, "1");
    check(&(struct format_item){.op = FORMAT_DOWNSTREAM_HEADER_BYTES_SENT}, "2");
    check(&(struct format_item){.op = FORMAT_UPSTREAM_HEADER_BYTES_RECEIVED}, "3");
    check(&(struct format_item){.op = FORMAT_UPSTREAM_HEADER_BYTES_SENT}, "4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_of_the_downstream_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_field_is_evaluated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_tls_there_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_upstream_story_outlives_its_connection, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(handshake_durations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unfinished_handshakes_have_no_duration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(intervals_between_moments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_of_headers, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
