/* Requests against a scripted origin on loopback, in one thread. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "dataplane/client/http_client.h"
#include "dataplane/net/transport_socket.h"
#include "dataplane/upstream/testing.h"

static struct upstream_testing u;
static struct testing_origin origin;
static struct http_client_options options;

struct told {
    struct http_client_request *request; /* NULL once it is over */
    int calls;
    enum http_client_outcome outcome;
    int status;
    char body[64];
    char type[64]; /* content-type */
    enum client_failure_kind failure;
    char details[128];
};

static void told_on_done(void *user, const struct http_client_result *r)
{
    struct told *t = user;

    assert_non_null(t->request);
    t->request = NULL;
    t->calls++;
    t->outcome = r->outcome;
    t->status = r->status;
    assert_int_equal(r->headers != NULL, r->outcome == HTTP_CLIENT_RESPONSE);
    assert_int_equal(r->body != NULL, r->outcome == HTTP_CLIENT_RESPONSE);
    assert_int_equal(r->failure != NULL, r->outcome == HTTP_CLIENT_FAILURE);
    if (r->headers != NULL) {
        (void)buf_copy_out(r->body, 0, t->body, sizeof(t->body) - 1);
        (void)snprintf(t->type, sizeof(t->type), "%.*s",
                       STR_ARG(header_get(r->headers, HDR_CONTENT_TYPE)));
    }
    if (r->failure != NULL) {
        t->failure = r->failure->kind;
        (void)snprintf(t->details, sizeof(t->details), "%.*s", STR_ARG(r->failure->details));
    }
}

static void told_start(struct told *t, const char *method, const char *authority, const char *body)
{
    struct arena arena;
    struct header_map headers;
    struct buf bytes;

    *t = (struct told){.request = NULL};
    arena_init(&arena, NULL);
    header_map_init(&headers, &arena);
    buf_init(&bytes, &u.loop.bufs);
    header_add(&headers, HDR_METHOD, str_c(method));
    header_add(&headers, HDR_PATH, STR("/keys?x"));
    header_add(&headers, HDR_AUTHORITY, str_c(authority));
    header_add_name(&headers, STR("x-own"), STR("1"));
    buf_add_str(&bytes, str_c(body));
    t->request = http_client_start(&u.thread, &options, &headers, body != NULL ? &bytes : NULL,
                                   told_on_done, t);
    assert_int_equal(t->calls, 0);
    arena_done(&arena); /* all of it was copied */
}

static bool told_is_over(void *arg)
{
    return ((const struct told *)arg)->calls > 0;
}

static void await_done(struct told *t)
{
    upstream_testing_until(&u, told_is_over, t);
    assert_int_equal(t->calls, 1);
}

/* A GET that is answered so. */
static void exchange(struct told *t, const char *response)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    told_start(t, "GET", "keys.example", NULL);
    fd = testing_origin_accept(&origin);
    testing_origin_read_head(&origin, fd, head);
    testing_origin_send(fd, response);
    close(fd);
    await_done(t);
    upstream_testing_until_stat(&u, "cluster.c.upstream_cx_active", 0); /* not to be used again */
}

static int setup(void **state)
{
    (void)state;
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    upstream_testing_put_endpoints(
        &u, 0, testing_endpoints(&(struct testing_endpoint){.port = origin.port}, 1));
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    options = (struct http_client_options){.cluster = {STR("c"), 0}};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upstream_testing_done(&u);
    testing_origin_close(&origin);
    return 0;
}

/* --- requests ------------------------------------------------------------------------------------
 */

static void a_request_without_a_body(void **state)
{
    char head[TESTING_HEAD_MAX];
    struct told t;
    int fd;

    (void)state;
    options.forwarded_for = STR("192.0.2.7");
    options.timeout_ms = 4000;
    told_start(&t, "GET", "keys.example", NULL);
    fd = testing_origin_accept(&origin);
    testing_origin_read_head(&origin, fd, head);
    assert_string_equal(head, "GET /keys?x HTTP/1.1\r\n"
                              "host: keys.example\r\n"
                              "x-own: 1\r\n"
                              "x-envoy-internal: true\r\n"
                              "x-forwarded-for: 192.0.2.7\r\n"
                              "x-envoy-expected-rq-timeout-ms: 4000\r\n"
                              "\r\n");
    close(fd);
    await_done(&t);
}

static void a_request_with_a_body(void **state)
{
    char text[TESTING_HEAD_MAX];
    struct told t;
    int fd;

    (void)state;
    options.skips_envoy_headers = true;
    options.cluster = (struct client_cluster){STR("c"), SLOT_NONE};
    told_start(&t, "POST", "", "hello");
    fd = testing_origin_accept(&origin);
    testing_origin_read_until(&origin, fd, "hello", text);
    assert_string_equal(text, "POST /keys?x HTTP/1.1\r\n"
                              "host: c\r\n"
                              "x-own: 1\r\n"
                              "content-length: 5\r\n"
                              "\r\n"
                              "hello");
    close(fd);
    await_done(&t);
}

/* --- TLS, whose place a transport takes that changes no byte -------------------------------------
 */

static char asked_server_name[64];

static int named_open(struct conn *c, const void *config, bool is_server,
                      const struct transport_options *o, void **ret_state)
{
    (void)c;
    (void)config;
    (void)is_server;
    (void)snprintf(asked_server_name, sizeof(asked_server_name), "%.*s", STR_ARG(o->server_name));
    *ret_state = NULL;
    return 0;
}

static const struct transport_socket named = {.is_secure = true, .open = named_open};

static void the_host_asked_for_is_the_sni(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct told t;

    (void)state;
    c->transport_socket = &named.ext;
    c->auto_sni = true;
    upstream_testing_put_cluster(&u, 0, c);
    exchange(&t, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.outcome, HTTP_CLIENT_RESPONSE);
    assert_string_equal(asked_server_name, "keys.example");
}

/* --- responses -----------------------------------------------------------------------------------
 */

static void a_response_comes_whole(void **state)
{
    struct told t;

    (void)state;
    exchange(&t, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_int_equal(t.outcome, HTTP_CLIENT_RESPONSE);
    assert_int_equal(t.status, 200);
    assert_string_equal(t.body, "abcde");
    assert_string_equal(t.type, "text/plain");
    exchange(&t, "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(t.outcome, HTTP_CLIENT_RESPONSE);
    assert_int_equal(t.status, 404);
    assert_string_equal(t.body, "");
}

static void a_response_of_the_allowed_size_is_the_largest(void **state)
{
    struct told t;

    (void)state;
    options.max_response_bytes = 4;
    exchange(&t, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd");
    assert_int_equal(t.outcome, HTTP_CLIENT_RESPONSE);
    assert_string_equal(t.body, "abcd");
    exchange(&t, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde");
    assert_int_equal(t.outcome, HTTP_CLIENT_TOO_LARGE);
    assert_int_equal(t.status, 200);
}

static void a_response_that_breaks_off_is_a_failure(void **state)
{
    struct told t;

    (void)state;
    exchange(&t, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc");
    assert_int_equal(t.outcome, HTTP_CLIENT_FAILURE);
    assert_int_equal(t.failure, CLIENT_RESET);
    assert_string_equal(t.details, "upstream_reset_after_response_started{protocol_error}");
    exchange(&t, "nonsense\r\n\r\n");
    assert_int_equal(t.status, 502);
    assert_string_equal(t.details, "upstream_reset_before_response_started{protocol_error}");
}

/* --- what goes wrong -----------------------------------------------------------------------------
 */

static void what_cannot_be_sent_is_told_later(void **state)
{
    struct told t;

    (void)state;
    options.cluster = (struct client_cluster){STR("nobody"), SLOT_NONE};
    told_start(&t, "POST", "a", "hello");
    await_done(&t);
    assert_int_equal(t.failure, CLIENT_NO_CLUSTER);
    options.cluster = (struct client_cluster){STR("c"), 0};
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(NULL, 0));
    told_start(&t, "POST", "a", "hello");
    await_done(&t);
    assert_int_equal(t.failure, CLIENT_NO_HOST);
    assert_int_equal(t.status, 503);
}

static void a_full_cluster_is_told_as_such(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct told t;

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_pending_requests = 0;
    upstream_testing_put_cluster(&u, 0, c);
    told_start(&t, "GET", "a", NULL);
    await_done(&t);
    assert_int_equal(t.failure, CLIENT_OVERFLOW);
    assert_string_equal(t.details, "upstream_reset_before_response_started{overflow}");
}

static void a_timeout_ends_it(void **state)
{
    char head[TESTING_HEAD_MAX];
    struct told t;
    int fd;

    (void)state;
    options.timeout_ms = 30;
    told_start(&t, "GET", "a", NULL);
    fd = testing_origin_accept(&origin);
    testing_origin_read_head(&origin, fd, head);
    await_done(&t);
    assert_int_equal(t.failure, CLIENT_TIMEOUT);
    assert_int_equal(t.status, 504);
    testing_origin_await_close(&origin, fd);
}

static void a_cancelled_request_says_nothing(void **state)
{
    char head[TESTING_HEAD_MAX];
    struct told t;
    int fd;

    (void)state;
    told_start(&t, "GET", "a", NULL); /* waits for a connection */
    http_client_cancel(t.request);
    told_start(&t, "GET", "a", NULL);
    fd = testing_origin_accept(&origin);
    testing_origin_read_head(&origin, fd, head);
    testing_origin_send(fd, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc");
    upstream_testing_until_stat(&u, "cluster.c.upstream_rq_200", 1); /* half a response */
    http_client_cancel(t.request);
    testing_origin_await_close(&origin, fd);
    assert_int_equal(t.calls, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_without_a_body),
        TEST(a_request_with_a_body),
        TEST(the_host_asked_for_is_the_sni),
        TEST(a_response_comes_whole),
        TEST(a_response_of_the_allowed_size_is_the_largest),
        TEST(a_response_that_breaks_off_is_a_failure),
        TEST(what_cannot_be_sent_is_told_later),
        TEST(a_full_cluster_is_told_as_such),
        TEST(a_timeout_ends_it),
        TEST(a_cancelled_request_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
