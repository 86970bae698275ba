/* TLS between two connections of one loop: handshakes, bytes, ends, refusals, resumption. */

#include "dataplane/tls/socket.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka wants the four above. */
#include <cmocka.h>

#include "config/model/part_handle.h"
#include "config/model/tls.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/testing.h"
#include "dataplane/net/connection.h"
#include "dataplane/tls/certificate.h"
#include "dataplane/tls/context.h"
#include "dataplane/tls/info.h"
#include "dataplane/tls/tls_internal.h"
#include "dataplane/tls/trust.h"

/* Self-signed, P-256, CN=a.test, DNS:a.test, DNS:*.b.test. */
static const char CERTIFICATE[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBlzCCATygAwIBAgIUb/yjHc4eN4kcsThXhdTdCbRnYNwwCgYIKoZIzj0EAwIw\n"
    "ETEPMA0GA1UEAwwGYS50ZXN0MCAXDTI2MTEyMzEwMjQzMVoYDzIxMjYxMDMwMTAy\n"
    "NDMxWjARMQ8wDQYDVQQDDAZhLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
    "AAQP+srCtrzXk+9QvMZQmq0Pt8a6Yhj/GTQ2J9MXgx0jlLryCCIa5osdXqJpJivT\n"
    "CE7O8V4FT3hDCnFVQ762Xm3Xo3AwbjAdBgNVHQ4EFgQUd1JAXpjLXV4h1HFoqHNn\n"
    "hWLeVsswHwYDVR0jBBgwFoAUd1JAXpjLXV4h1HFoqHNnhWLeVsswDwYDVR0TAQH/\n"
    "BAUwAwEB/zAbBgNVHREEFDASggZhLnRlc3SCCCouYi50ZXN0MAoGCCqGSM49BAMC\n"
    "A0kAMEYCIQCTWZveG2Q6zlyzQyqSE+LUomWZ9hSGrMR/v6VyqWNYwgIhAIDf+umK\n"
    "iHg0hahQ2mR/RsAABsNLEmO+s8DlDQPBQVRz\n"
    "-----END CERTIFICATE-----\n";
static const char KEY[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5yUojx6MQlD0tvOj\n"
                          "uIttw9RQlN/icuH5we9BdmnyQuahRANCAAQP+srCtrzXk+9QvMZQmq0Pt8a6Yhj/\n"
                          "GTQ2J9MXgx0jlLryCCIa5osdXqJpJivTCE7O8V4FT3hDCnFVQ762Xm3X\n"
                          "-----END PRIVATE KEY-----\n";

static const struct transport_socket tls = {
    .is_secure = true,
    .open = tls_socket_open,
    .decrypt = tls_socket_decrypt,
    .encrypt = tls_socket_encrypt,
    .is_ready = tls_socket_is_ready,
    .alpn = tls_socket_alpn,
    .info = tls_socket_info,
    .shutdown = tls_socket_shutdown,
    .free = tls_socket_free,
};

struct end {
    struct conn *conn;
    struct strbuf got;
    size_t got_bytes;
    bool is_connected;
    bool is_eof;
    bool is_closed;
    enum conn_close_cause cause;
    char reason[256];
};

static struct loop loop;
static struct part_table parts;
static struct part_releaser releaser;
static struct timer watchdog;
static struct part *part;
static struct tls_server_config server_config;
static struct tls_client_config client_config;
static struct tls_validation validation;
static const struct tls_certificate *certificate;
static const struct tls_context *server_context;
static const struct tls_context *client_context;
static struct end client;
static struct end server;
static int listener;
static struct address address;

/* --- two ends --------------------------------------------------------------------------------- */

static void on_connected(struct conn *c)
{
    ((struct end *)c->user)->is_connected = true;
}

static void on_data(struct conn *c, struct buf *in, bool end_stream)
{
    struct end *e = c->user;

    e->got_bytes += buf_len(in);
    while (buf_len(in) > 0) {
        struct str front = buf_front(in);

        if (e->got.len < 64) {
            strbuf_add_str(&e->got, front);
        }
        buf_drain(in, front.len);
    }
    e->is_eof |= end_stream;
}

static void on_closed(struct conn *c, enum conn_close_cause cause)
{
    struct end *e = c->user;

    e->conn = NULL;
    e->is_closed = true;
    e->cause = cause;
    if (c->failure_reason != NULL) {
        size_t len = strnlen(c->failure_reason, sizeof(e->reason) - 1);

        memcpy(e->reason, c->failure_reason, len);
        e->reason[len] = '\0';
    }
}

static const struct conn_ops ops = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_closed = on_closed,
};

static void on_watchdog(struct timer *t)
{
    (void)t;
    CHECK(!"the test hangs");
}

#define WAIT(condition) LOOP_WAIT(&loop, condition)

static void release_part(struct part_releaser *r, const struct part *p)
{
    (void)r;
    part_unref(p);
}

static int set_up(void **state)
{
    struct tls_certificate_source source = {
        .chain = {STR(CERTIFICATE), STR("<inline>")},
        .key = {STR(KEY), STR("<inline>")},
    };
    struct error err;
    int r;

    (void)state;
    assert_int_equal(loop_init(&loop, 0), 0);
    releaser.release = release_part;
    part_table_init(&parts, &releaser);
    loop.parts = &parts;
    timer_init(&watchdog, on_watchdog);
    timer_arm(&loop, &watchdog, 20000);
    part = part_new(sizeof(struct part), PART_FILTER_CHAIN, STR("test"));
    error_init(&err);
    r = tls_certificate_build(part, &source, &certificate, &err);
    if (r != 0) {
        print_error("%s\n", error_message(&err));
    }
    assert_int_equal(r, 0);
    error_done(&err);
    memset(&validation, 0, sizeof(validation));
    server_config = (struct tls_server_config){
        .common = {.min_version = TLS_1_2,
                   .max_version = TLS_1_3,
                   .certificates = &certificate,
                   .certificate_count = 1,
                   .validation_slot = SLOT_NONE},
        .ticket_keys_slot = SLOT_NONE,
    };
    client_config = (struct tls_client_config){
        .common = {.min_version = TLS_1_2, .max_version = TLS_1_3, .validation_slot = SLOT_NONE},
        .max_session_keys = 1,
    };
    return 0;
}

static void make_contexts(void)
{
    struct error err;

    error_init(&err);
    assert_int_equal(tls_context_build(part, &(struct tls_context_params){.server = &server_config},
                                       &server_context, &err),
                     0);
    assert_int_equal(tls_context_build(part, &(struct tls_context_params){.client = &client_config},
                                       &client_context, &err),
                     0);
    error_done(&err);
}

static void drop_ends(void)
{
    struct end *ends[] = {&client, &server};

    for (size_t i = 0; i < 2; i++) {
        if (ends[i]->conn != NULL) {
            conn_close(ends[i]->conn, CONN_CLOSE_NOW);
            WAIT(ends[i]->is_closed);
        }
        strbuf_done(&ends[i]->got);
        memset(ends[i], 0, sizeof(*ends[i]));
    }
}

static int tear_down(void **state)
{
    (void)state;
    drop_ends();
    timer_cancel(&loop, &watchdog);
    part_table_done(&parts);
    part_unref(part);
    loop_done(&loop);
    return 0;
}

static void start_listening(void)
{
    socklen_t len = sizeof(address.in);

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(address_from_ip(STR("127.0.0.1"), 0, &address), 0);
    assert_int_equal(bind(listener, &address.sa, address.len), 0);
    assert_int_equal(getsockname(listener, &address.sa, &len), 0);
    assert_int_equal(listen(listener, 8), 0);
}

static int accept_client(void)
{
    struct address remote = {.len = sizeof(remote.un)};
    int fd = -1;

    for (int i = 0; fd < 0 && i < 1000; i++) {
        fd = accept4(listener, &remote.sa, &remote.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    assert_true(fd >= 0);
    assert_int_equal(conn_accept(&loop, fd, false, &remote, &remote, &server.conn), 0);
    server.conn->ops = &ops;
    server.conn->user = &server;
    return conn_set_server_transport(server.conn, &tls, server_context, 0);
}

/* Both ends exist, the handshake is on its way. */
static void start_with(const struct transport_options *options)
{
    struct conn_connect_options o = {
        .timeout_ms = 5000,
        .transport = &tls,
        .transport_config = client_context,
        .transport_options = options,
    };

    start_listening();
    o.remote = address;
    strbuf_init(&client.got);
    strbuf_init(&server.got);
    assert_int_equal(conn_connect(&loop, &o, &ops, &client, &client.conn), 0);
    assert_int_equal(accept_client(), 0);
    conn_read_start(server.conn);
    assert_int_equal(close(listener), 0);
}

static void connect_both(void)
{
    make_contexts();
    start_with(NULL);
    WAIT(client.is_connected && server.is_connected);
}

static void say(struct end *e, struct str text)
{
    struct buf b;

    buf_init(&b, &loop.bufs);
    buf_add_str(&b, text);
    conn_write(e->conn, &b);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void bytes_go_both_ways(void **state)
{
    (void)state;
    connect_both();
    say(&client, STR("ping"));
    WAIT(server.got_bytes == 4);
    assert_memory_equal(server.got.ptr, "ping", 4);
    say(&server, STR("pong!"));
    WAIT(client.got_bytes == 5);
    assert_memory_equal(client.got.ptr, "pong!", 5);
    assert_int_equal(client.conn->bytes_read, 5); /* not what the records are */
    assert_int_equal(client.conn->bytes_written, 4);
    assert_int_equal(server.conn->bytes_read, 4);
    assert_int_equal(server.conn->bytes_written, 5);
}

static void megabytes_arrive_whole(void **state)
{
    size_t bytes = 3 << 20;
    char *text = xcalloc(1, bytes);

    (void)state;
    connect_both();
    say(&server, str_n(text, bytes));
    say(&client, str_n(text, bytes));
    WAIT(client.got_bytes == bytes && server.got_bytes == bytes);
    free(text);
}

static void what_was_said_early_waits_for_the_handshake(void **state)
{
    (void)state;
    make_contexts();
    start_with(NULL);
    say(&server, STR("hello"));
    say(&client, STR("hi"));
    WAIT(client.got_bytes == 5 && server.got_bytes == 2);
}

static void an_end_is_told_before_the_socket_ends(void **state)
{
    (void)state;
    connect_both();
    server.conn->is_half_close_enabled = true;
    client.conn->is_half_close_enabled = true;
    say(&client, STR("last"));
    conn_shutdown_write(client.conn);
    WAIT(server.is_eof);
    assert_int_equal(server.got_bytes, 4);
    say(&server, STR("and mine"));
    conn_shutdown_write(server.conn);
    WAIT(client.is_eof);
    assert_int_equal(client.got_bytes, 8);
}

static void a_close_flushes(void **state)
{
    char text[50000] = {0};

    (void)state;
    connect_both();
    say(&server, str_n(text, sizeof(text)));
    conn_close(server.conn, CONN_CLOSE_FLUSH);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(client.got_bytes, sizeof(text));
    assert_int_equal(client.cause, CONN_CLOSED_REMOTE);
}

static void a_protocol_is_agreed_on(void **state)
{
    static const struct str SERVER[] = {{"h2", 2}, {"http/1.1", 8}};
    static const struct str CLIENT[] = {{"http/1.1", 8}, {"h2", 2}};
    struct tls_info *info;

    (void)state;
    server_config.common.alpn = SERVER;
    server_config.common.alpn_count = 2;
    client_config.sni = STR("a.test");
    make_contexts();
    start_with(&(struct transport_options){.alpn_fallback = CLIENT, .alpn_fallback_count = 2});
    WAIT(client.is_connected && server.is_connected);
    assert_memory_equal(conn_alpn(client.conn).ptr, "h2", 2);
    assert_memory_equal(conn_alpn(server.conn).ptr, "h2", 2);
    info = conn_tls_info(server.conn);
    assert_memory_equal(tls_info_sni(info).ptr, "a.test", 6);
    assert_memory_equal(tls_info_version(info).ptr, "TLSv1.3", 7);
    assert_memory_equal(tls_info_common_name(info, TLS_LOCAL).ptr, "a.test", 6);
    assert_memory_equal(tls_info_common_name(conn_tls_info(client.conn), TLS_PEER).ptr, "a.test",
                        6);
}

static void trust_certificate(void)
{
    struct tls_trust_source source = {.ca = {STR(CERTIFICATE), STR("<inline>")}};
    struct error err;

    error_init(&err);
    assert_int_equal(tls_trust_build(part, &source, &validation.trust, &err), 0);
    error_done(&err);
    validation.has_ca = true;
}

static void a_server_that_is_not_who_it_should_be(void **state)
{
    struct tls_san_matcher san = {
        .type = TLS_SAN_DNS,
        .matcher = {.kind = STRING_MATCH_EXACT, .value = STR("c.test")},
    };

    (void)state;
    trust_certificate();
    validation.sans = &san;
    validation.san_count = 1;
    client_config.common.validation = &validation;
    make_contexts();
    start_with(NULL);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_TRANSPORT);
    assert_non_null(strstr(client.reason, "CERTIFICATE_VERIFY_FAILED"));
    assert_non_null(strstr(client.reason, "SAN"));
    assert_int_equal(server.cause, CONN_CLOSED_TRANSPORT);
}

static void both_sides_show_who_they_are(void **state)
{
    (void)state;
    trust_certificate();
    client_config.common.validation = &validation;
    client_config.common.certificates = &certificate;
    client_config.common.certificate_count = 1;
    server_config.common.validation = &validation;
    server_config.require_client_certificate = true;
    connect_both();
    assert_true(tls_info_has_peer_certificate(conn_tls_info(server.conn)));
    assert_true(tls_info_is_peer_validated(conn_tls_info(server.conn)));
}

static void a_client_without_the_certificate_that_is_asked_for(void **state)
{
    (void)state;
    trust_certificate();
    server_config.common.validation = &validation;
    server_config.require_client_certificate = true;
    make_contexts();
    start_with(NULL);
    WAIT(client.is_closed && server.is_closed);
    assert_non_null(strstr(server.reason, "PEER_DID_NOT_RETURN_A_CERTIFICATE"));
    assert_non_null(strstr(server.reason, "peer did not provide required client certificate"));
}

static bool is_resumed(const struct end *e)
{
    const struct tls_socket *s = e->conn->transport_state;

    return SSL_session_reused(s->ssl);
}

static void a_session_is_resumed(void **state)
{
    (void)state;
    connect_both();
    say(&server, STR("x")); /* the tickets are read with it */
    WAIT(client.got_bytes == 1);
    drop_ends();
    start_with(NULL);
    WAIT(client.is_connected && server.is_connected);
    assert_true(is_resumed(&client));
    assert_true(is_resumed(&server));
    say(&client, STR("again"));
    WAIT(server.got_bytes == 5);
}

static void secrets_that_are_not_there(void **state)
{
    static const uint32_t SLOT = 7;

    (void)state;
    server_config.common.certificate_count = 0;
    server_config.common.certificate_slots = &SLOT;
    server_config.common.certificate_slot_count = 1;
    client_config.common.validation_slot = SLOT;
    make_contexts();
    start_listening();
    assert_int_equal(conn_connect(&loop,
                                  &(struct conn_connect_options){
                                      .remote = address,
                                      .transport = &tls,
                                      .transport_config = client_context,
                                  },
                                  &ops, &client, &client.conn),
                     0);
    assert_int_equal(accept_client(), E_TLS);
    WAIT(client.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_TRANSPORT);
    assert_string_equal(client.reason, "TLS error: Secret is not supplied by SDS");
    assert_int_equal(close(listener), 0);
}

/* What a secret asks of clients, in the place of what it asked before. */
static void publish_validation(uint32_t slot, const struct tls_validation *v, uint64_t hash)
{
    struct secret_config *secret = part_new(sizeof(*secret), PART_SECRET, STR("ca"));

    secret->kind = SECRET_VALIDATION_CONTEXT;
    secret->validation = *v;
    secret->part.hash = hash;
    part_table_set(&parts, PART_SECRET, slot, &secret->part);
}

/* The connection is there, its first byte is not, when the secret changes. */
static void clients_are_asked_for_what_the_secret_of_their_handshake_says(void **state)
{
    static const struct tls_validation NOTHING = {.has_ca = false};
    static const uint32_t SLOT = 7;

    (void)state;
    trust_certificate();
    server_config.common.validation_slot = SLOT;
    server_config.require_client_certificate = true;
    publish_validation(SLOT, &NOTHING, 1);
    make_contexts();
    start_with(NULL);
    publish_validation(SLOT, &validation, 2);
    WAIT(client.is_closed && server.is_closed);
    assert_non_null(strstr(server.reason, "PEER_DID_NOT_RETURN_A_CERTIFICATE"));
}

/* Its context and all who named the secret are gone from the configuration; the connection is not.
 */
static void nobody_is_let_in_when_the_secret_has_gone(void **state)
{
    static const uint32_t SLOT = 7;

    (void)state;
    trust_certificate();
    server_config.common.validation_slot = SLOT;
    server_config.require_client_certificate = true;
    publish_validation(SLOT, &validation, 1);
    make_contexts();
    start_with(NULL);
    part_table_set(&parts, PART_SECRET, SLOT, NULL);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(server.cause, CONN_CLOSED_TRANSPORT);
}

static void nobody_is_believed_when_the_secret_has_gone(void **state)
{
    static const uint32_t SLOT = 7;

    (void)state;
    trust_certificate();
    client_config.common.validation_slot = SLOT;
    publish_validation(SLOT, &validation, 1);
    make_contexts();
    start_with(NULL);
    part_table_set(&parts, PART_SECRET, SLOT, NULL);
    WAIT(client.is_closed && server.is_closed);
    assert_int_equal(client.cause, CONN_CLOSED_TRANSPORT);
    assert_non_null(strstr(client.reason, "Secret is not supplied by SDS"));
}

/* What comes of a handshake is one secret's: else its session would be taken, once that secret is
 * back, from a peer that only another one believed. */
static void a_handshake_is_judged_by_the_secret_it_began_with(void **state)
{
    static const uint32_t SLOT = 7;
    struct tls_digest nobodys = {{0}};
    struct tls_validation other;

    (void)state;
    trust_certificate();
    other = validation;
    other.certificate_hashes = &nobodys;
    other.certificate_hash_count = 1;
    client_config.common.validation_slot = SLOT;
    publish_validation(SLOT, &validation, 1);
    make_contexts();
    start_with(NULL);
    publish_validation(SLOT, &other, 2);
    WAIT(client.is_closed || server.is_connected);
    assert_false(client.is_closed);
}

static void garbage_is_refused_with_a_reason(void **state)
{
    int fd;

    (void)state;
    make_contexts();
    start_listening();
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &address.sa, address.len), 0);
    assert_int_equal(accept_client(), 0);
    conn_read_start(server.conn);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    WAIT(server.is_closed);
    assert_int_equal(server.cause, CONN_CLOSED_TRANSPORT);
    assert_non_null(strstr(server.reason, "HTTP_REQUEST"));
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(listener), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(bytes_go_both_ways),
        CASE(megabytes_arrive_whole),
        CASE(what_was_said_early_waits_for_the_handshake),
        CASE(an_end_is_told_before_the_socket_ends),
        CASE(a_close_flushes),
        CASE(a_protocol_is_agreed_on),
        CASE(a_server_that_is_not_who_it_should_be),
        CASE(both_sides_show_who_they_are),
        CASE(a_client_without_the_certificate_that_is_asked_for),
        CASE(a_session_is_resumed),
        CASE(secrets_that_are_not_there),
        CASE(clients_are_asked_for_what_the_secret_of_their_handshake_says),
        CASE(nobody_is_let_in_when_the_secret_has_gone),
        CASE(nobody_is_believed_when_the_secret_has_gone),
        CASE(a_handshake_is_judged_by_the_secret_it_began_with),
        CASE(garbage_is_refused_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
#undef CASE
}
