/*
 * The router between a client made of recorded calls and an origin on loopback. The filter layer
 * (http_filter_*) is the test's own: it is defined here, so the linker takes this one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/extensions/filters/http/router/router.h"
#include "dataplane/upstream/testing.h"

extern const struct http_filter_type http_filter_router;

#define ANSWER "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

/* --- the client: what the router did to it
 * --------------------------------------------------------- */

static struct upstream_testing u;
static struct testing_origin origin;

static struct client {
    struct http_filter filter;
    struct router_config config;
    struct arena arena;
    struct stream_info info;
    struct header_map headers;
    struct route route;
    struct virtual_host vhost;
    const struct weighted_cluster *weighted;
    enum route_answer route_answer;
    size_t buffer_limit;
    /* The response. */
    const struct header_map *response;
    unsigned informational;
    struct strbuf body;
    bool is_over;
    bool has_local_reply;
    int status;
    char details[256];
    bool is_overloaded;
    bool has_attempt_count;
    int read_disables;
} client;

struct thread_context *http_filter_thread(const struct http_filter *f)
{
    (void)f;
    return &u.thread;
}

struct arena *http_filter_arena(const struct http_filter *f)
{
    (void)f;
    return &client.arena;
}

struct stream_info *http_filter_info(const struct http_filter *f)
{
    (void)f;
    return &client.info;
}

struct header_map *http_filter_request_headers(const struct http_filter *f)
{
    (void)f;
    return &client.headers;
}

const struct route *http_filter_route(const struct http_filter *f)
{
    (void)f;
    return &client.route;
}

const struct virtual_host *http_filter_virtual_host(const struct http_filter *f)
{
    (void)f;
    return &client.vhost;
}

const struct weighted_cluster *http_filter_weighted_cluster(const struct http_filter *f)
{
    (void)f;
    return client.weighted;
}

void http_filter_count(struct http_filter *f, int stat)
{
    (void)f;
    (void)stat;
}

size_t http_filter_buffer_limit(const struct http_filter *f)
{
    (void)f;
    return client.buffer_limit;
}

enum route_answer http_filter_answer_from_route(struct http_filter *f)
{
    (void)f;
    return client.route_answer;
}

void http_filter_finalize_request(struct http_filter *f, bool keeps_original)
{
    (void)f;
    header_add_name(&client.headers, STR("x-finalized"), keeps_original ? STR("1") : STR("0"));
}

void http_filter_finalize_response(struct http_filter *f, struct header_map *h)
{
    (void)f;
    header_add_name(h, STR("x-finalized"), STR("1"));
}

void http_filter_rewrite_host(struct http_filter *f, struct str host, bool keeps_original)
{
    (void)f;
    (void)keeps_original;
    header_set(&client.headers, HDR_AUTHORITY, host);
}

void http_filter_local_reply(struct http_filter *f, int status, struct str body,
                             const struct header_map *extra, enum response_flag flag,
                             struct str details)
{
    (void)f;
    assert_false(client.is_over);
    client.is_over = true;
    client.has_local_reply = true;
    if (client.response == NULL) {
        client.status = status;
        strbuf_add_str(&client.body, body);
    }
    if (flag != FLAG_NONE) {
        stream_info_set_flag(&client.info, flag);
    }
    (void)snprintf(client.details, sizeof(client.details), "%.*s", STR_ARG(details));
    if (extra != NULL) {
        client.is_overloaded = header_has(extra, HDR_X_ENVOY_OVERLOADED);
        client.has_attempt_count = header_has(extra, HDR_X_ENVOY_ATTEMPT_COUNT);
    }
}

void http_filter_respond_1xx(struct http_filter *f, struct header_map *h)
{
    (void)f;
    assert_true(str_eq(header_get(h, HDR_STATUS), STR("100")));
    client.informational++;
}

void http_filter_respond_headers(struct http_filter *f, struct header_map *take_headers,
                                 bool end_stream)
{
    uint64_t status;

    (void)f;
    assert_int_equal(parse_u64(header_get(take_headers, HDR_STATUS), &status), 0);
    client.response = take_headers;
    client.status = (int)status;
    client.is_over = end_stream;
}

void http_filter_respond_data(struct http_filter *f, struct buf *take_data, bool end_stream)
{
    (void)f;
    while (buf_len(take_data) > 0) {
        struct str s = buf_front(take_data);

        strbuf_add_str(&client.body, s);
        buf_drain(take_data, s.len);
    }
    client.is_over = end_stream;
}

void http_filter_respond_trailers(struct http_filter *f, struct header_map *take_trailers)
{
    (void)f;
    (void)take_trailers;
    client.is_over = true;
}

void http_filter_read_disable(struct http_filter *f, bool disable)
{
    (void)f;
    client.read_disables += disable ? 1 : -1;
    assert_in_range(client.read_disables, 0, 1);
}

static bool client_is_over(void *arg)
{
    (void)arg;
    return client.is_over;
}

static void client_await(void)
{
    upstream_testing_until(&u, client_is_over, NULL);
}

/* The request's head goes in. */
static void client_send(const char *method, bool end_stream)
{
    header_add(&client.headers, HDR_METHOD, str_c(method));
    header_add(&client.headers, HDR_PATH, STR("/p"));
    header_add(&client.headers, HDR_AUTHORITY, STR("a"));
    header_add(&client.headers, HDR_SCHEME, STR("http"));
    client.info.start_mono_ns = clock_mono_ns();
    (void)http_filter_router.decode_headers(&client.filter, &client.headers, end_stream);
}

static void client_send_body(const char *text, bool end_stream)
{
    struct buf data;

    buf_init(&data, &u.loop.bufs);
    buf_add_str(&data, str_c(text));
    client.info.last_rx_byte_ns = end_stream ? clock_mono_ns() : 0;
    (void)http_filter_router.decode_data(&client.filter, &data, end_stream);
    buf_reset(&data);
}

/* --- set-up
 * ---------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    struct testing_endpoint e = {0};

    (void)state;
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    e.port = origin.port;
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1));
    memset(&client, 0, sizeof(client));
    arena_init(&client.arena, NULL);
    header_map_init(&client.headers, &client.arena);
    strbuf_init(&client.body);
    client.config = (struct router_config){.counts_codes = true};
    client.filter = (struct http_filter){
        .type = &http_filter_router,
        .config = &client.config,
        .state = arena_calloc(&client.arena, 1, http_filter_router.stream_size),
    };
    client.route.forward = (struct route_forward){.cluster_name = STR("c")};
    client.buffer_limit = 16;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_filter_router.on_destroy(&client.filter);
    strbuf_done(&client.body);
    assert_int_equal(client.read_disables, 0);
    upstream_testing_done(&u);
    arena_done(&client.arena);
    testing_origin_close(&origin);
    return 0;
}

static void put_default_cluster(void)
{
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
}

static uint64_t stat_of(const char *name)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    return upstream_testing_stat(&u, full);
}

static void assert_has(const char *text, const char *want)
{
    if (strstr(text, want) == NULL) {
        fail_msg("'%s' is not in:\n%s", want, text);
    }
}

static void assert_lacks(const char *text, const char *unwanted)
{
    if (strstr(text, unwanted) != NULL) {
        fail_msg("'%s' is in:\n%s", unwanted, text);
    }
}

static bool has_flag(enum response_flag f)
{
    return stream_info_has_flag(&client.info, f);
}

static void assert_body(const char *want)
{
    assert_string_equal(client.body.ptr != NULL ? client.body.ptr : "", want);
}

/* Takes the request at the origin. */
static int origin_take(char head[TESTING_HEAD_MAX])
{
    int fd = testing_origin_accept(&origin);

    testing_origin_read_head(&origin, fd, head);
    return fd;
}

/* --- requests and responses
 * ------------------------------------------------------------------------ */

static void a_request_is_passed_on_and_answered(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client_send("GET", true);
    fd = origin_take(head);
    assert_has(head, "GET /p HTTP/1.1\r\n");
    assert_has(head, "x-envoy-expected-rq-timeout-ms: 15000\r\n");
    assert_has(head, "x-finalized: 1\r\n");
    assert_lacks(head, "x-envoy-attempt-count");
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_int_equal(client.status, 200);
    assert_body("ok");
    assert_true(header_has(client.response, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME));
    assert_non_null(header_find_name(client.response, STR("x-finalized")));
    assert_true(str_eq(client.info.response_code_details, STR("via_upstream")));
    assert_true(str_eq(client.info.upstream_cluster, STR("c")));
    assert_int_equal(address_port(&client.info.upstream_remote), origin.port);
    assert_true(client.info.upstream_local.len > 0);
    assert_true(client.info.has_upstream_protocol);
    assert_int_equal(client.info.upstream_wire_bytes_received, strlen(ANSWER));
    assert_int_equal(client.info.upstream_wire_bytes_sent, strlen(head));
    assert_true(client.info.first_upstream_tx_ns >= client.info.start_mono_ns);
    assert_true(client.info.last_upstream_rx_ns >= client.info.first_upstream_rx_ns);
    assert_true(client.info.first_upstream_rx_ns >= client.info.last_upstream_tx_ns);
    assert_int_equal(client.info.attempt_count, 1);
    assert_int_equal(stat_of("upstream_rq_200"), 1);
    assert_int_equal(stat_of("external.upstream_rq_2xx"), 1);
    assert_int_equal(stat_of("upstream_rq_timeout"), 0);
    close(fd);
}

static void envoy_headers_can_be_suppressed(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client.config.suppresses_envoy_headers = true;
    client_send("GET", true);
    fd = origin_take(head);
    assert_has(head, "x-finalized: 0\r\n");
    assert_lacks(head, "x-envoy-");
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_false(header_has(client.response, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME));
    close(fd);
}

static void the_routers_own_headers_go_no_further(void **state)
{
    const char *const ours[] = {"x-envoy-retry-on",
                                "x-envoy-retry-grpc-on",
                                "x-envoy-max-retries",
                                "x-envoy-retriable-status-codes",
                                "x-envoy-retriable-header-names",
                                "x-envoy-hedge-on-per-try-timeout",
                                "x-envoy-upstream-alt-stat-name",
                                "x-envoy-upstream-rq-timeout-alt-response",
                                "x-envoy-upstream-rq-timeout-ms",
                                "x-envoy-upstream-rq-per-try-timeout-ms",
                                "x-envoy-upstream-stream-duration-ms"};
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        header_add_name(&client.headers, str_c(ours[i]), STR("7000"));
    }
    client_send("GET", true);
    close(origin_take(head));
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        assert_lacks(head, ours[i]);
    }
    assert_has(head, "x-envoy-expected-rq-timeout-ms: 7000\r\n");
    client_await();
}

static void attempts_are_told_where_asked_for(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client.vhost.include_request_attempt_count = true;
    client.vhost.include_attempt_count_in_response = true;
    client_send("GET", true);
    fd = origin_take(head);
    assert_has(head, "x-envoy-attempt-count: 1\r\n");
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_true(str_eq(header_get(client.response, HDR_X_ENVOY_ATTEMPT_COUNT), STR("1")));
    close(fd);
}

static void a_body_waits_for_the_connection(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    header_add(&client.headers, HDR_CONTENT_LENGTH, STR("28"));
    client_send("POST", false);
    client_send_body("twenty-four bytes of this", false); /* more than the limit */
    assert_int_equal(client.read_disables, 1);
    fd = testing_origin_accept(&origin);
    testing_origin_read_until(&origin, fd, "of this", head);
    assert_int_equal(client.read_disables, 0);
    client_send_body("end", true);
    testing_origin_read_until(&origin, fd, "end", head);
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_int_equal(client.status, 200);
    close(fd);
}

static void a_whole_request_waits_for_the_connection(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client_send("POST", false);
    client_send_body("body", true);
    fd = testing_origin_accept(&origin);
    testing_origin_read_until(&origin, fd, "\r\n0\r\n\r\n", head);
    assert_has(head, "transfer-encoding: chunked\r\n");
    assert_has(head, "4\r\nbody\r\n");
    testing_origin_send(fd, ANSWER);
    client_await();
    assert_true(header_has(client.response, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME));
    close(fd);
}

static void an_early_answer_is_passed_on(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client_send("POST", false);
    fd = origin_take(head);
    testing_origin_send(fd, "HTTP/1.1 100 Continue\r\n\r\n" ANSWER);
    client_await();
    assert_int_equal(client.informational, 1);
    assert_int_equal(client.status, 200);
    assert_false(header_has(client.response, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME));
    client_send_body("too late", true);
    testing_origin_await_close(&origin, fd);
}

static void a_client_that_leaves_takes_the_connection_along(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client_send("GET", true);
    fd = origin_take(head);
    http_filter_router.on_destroy(&client.filter);
    testing_origin_await_close(&origin, fd);
    assert_int_equal(stat_of("upstream_rq_active"), 0);
}

/* --- where to
 * --------------------------------------------------------------------------------------- */

static void the_weighted_cluster_counts(void **state)
{
    const struct weighted_cluster w = {.name = STR("c"), .slot = 0};
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    client.route.forward.cluster_slot = SLOT_NONE;
    client.weighted = &w;
    client_send("GET", true);
    close(origin_take(head));
    client_await();
}

static void a_header_may_name_the_cluster(void **state)
{
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    client.route.forward.cluster_slot = SLOT_NONE;
    client.route.forward.cluster_header = STR("x-c");
    header_add_name(&client.headers, STR("x-c"), STR("c"));
    client_send("GET", true);
    close(origin_take(head));
    client_await();
}

static void an_unknown_cluster_is_answered(void **state)
{
    (void)state;
    client.route.forward.cluster_not_found_status = 404;
    client_send("GET", true);
    assert_true(client.is_over);
    assert_int_equal(client.status, 404);
    assert_string_equal(client.details, "cluster_not_found");
    assert_true(has_flag(FLAG_NO_CLUSTER_FOUND));
}

static void no_healthy_host_is_answered(void **state)
{
    (void)state;
    put_default_cluster();
    upstream_testing_put_endpoints(&u, 0, NULL);
    client_send("GET", true);
    assert_int_equal(client.status, 503);
    assert_body("no healthy upstream");
    assert_string_equal(client.details, "no_healthy_upstream");
    assert_true(has_flag(FLAG_NO_HEALTHY_UPSTREAM));
    assert_int_equal(stat_of("upstream_rq_503"), 1);
}

static void a_route_may_answer_by_itself(void **state)
{
    (void)state;
    put_default_cluster();
    client.route_answer = ROUTE_ANSWER_DIRECT_RESPONSE;
    client_send("GET", true);
    assert_int_equal(stat_of("upstream_rq_pending_total"), 0);
}

/* --- failures
 * ---------------------------------------------------------------------------------------- */

#define RESET_BODY "upstream connect error or disconnect/reset before headers. reset reason: "

static void a_refused_connection_is_answered(void **state)
{
    (void)state;
    put_default_cluster();
    testing_origin_close(&origin);
    client_send("GET", true);
    client_await();
    assert_int_equal(client.status, 503);
    assert_body(RESET_BODY "remote connection failure");
    assert_string_equal(client.details,
                        "upstream_reset_before_response_started{remote_connection_failure|"
                        "delayed_connect_error:_Connection_refused}");
    assert_true(has_flag(FLAG_UPSTREAM_CONNECTION_FAILURE));
    assert_int_equal(address_port(&client.info.upstream_remote), origin.port);
    assert_false(client.is_overloaded);
    assert_int_equal(stat_of("upstream_rq_503"), 1);
}

static void an_overflow_is_answered(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_pending_requests = 0;
    client.vhost.include_attempt_count_in_response = true;
    upstream_testing_put_cluster(&u, 0, c);
    client_send("GET", true);
    assert_true(client.is_over);
    assert_body(RESET_BODY "overflow");
    assert_true(client.is_overloaded && client.has_attempt_count);
    assert_true(has_flag(FLAG_UPSTREAM_OVERFLOW));
    assert_int_equal(client.info.upstream_remote.len, 0);
}

static void a_lost_connection_is_answered(void **state)
{
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    client_send("GET", true);
    close(origin_take(head));
    client_await();
    assert_int_equal(client.status, 503);
    assert_body(RESET_BODY "connection termination");
    assert_string_equal(client.details,
                        "upstream_reset_before_response_started{connection_termination}");
    assert_true(has_flag(FLAG_UPSTREAM_CONNECTION_TERMINATION));
}

static void garbage_is_a_bad_gateway(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client_send("GET", true);
    fd = origin_take(head);
    testing_origin_send(fd, "garbage garbage\r\n\r\n");
    client_await();
    assert_int_equal(client.status, 502);
    assert_body(RESET_BODY "protocol error");
    assert_true(has_flag(FLAG_UPSTREAM_PROTOCOL_ERROR));
    testing_origin_await_close(&origin, fd);
}

static void a_response_that_breaks_off_resets_the_client(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client_send("GET", true);
    fd = origin_take(head);
    testing_origin_send(fd, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    close(fd);
    client_await();
    assert_int_equal(client.status, 200);
    assert_body("half");
    assert_string_equal(client.details, "upstream_reset_after_response_started{protocol_error}");
    assert_int_equal(stat_of("upstream_rq_502"), 0); /* it was charged as what it began as */
    assert_int_equal(stat_of("upstream_rq_200"), 1);
}

/* --- time
 * -------------------------------------------------------------------------------------------- */

static void a_silent_origin_times_out(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client.route.forward.timeout = (struct opt_ms){true, 30};
    client_send("GET", true);
    fd = origin_take(head);
    assert_has(head, "x-envoy-expected-rq-timeout-ms: 30\r\n");
    client_await();
    assert_int_equal(client.status, 504);
    assert_body("upstream request timeout");
    assert_string_equal(client.details, "response_timeout");
    assert_true(has_flag(FLAG_UPSTREAM_REQUEST_TIMEOUT));
    assert_int_equal(stat_of("upstream_rq_timeout"), 1);
    assert_int_equal(stat_of("upstream_rq_504"), 1);
    testing_origin_await_close(&origin, fd);
}

static void a_timeout_may_be_asked_for_with_another_status(void **state)
{
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    header_add(&client.headers, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, STR("30"));
    header_add(&client.headers, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE, STR("1"));
    client_send("GET", true);
    (void)origin_take(head);
    client_await();
    assert_int_equal(client.status, 204);
    assert_body("");
}

static void a_try_may_have_less_time_than_the_request(void **state)
{
    char head[TESTING_HEAD_MAX];

    (void)state;
    put_default_cluster();
    header_add(&client.headers, HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, STR("30"));
    client_send("GET", true);
    (void)origin_take(head);
    assert_has(head, "x-envoy-expected-rq-timeout-ms: 30\r\n");
    client_await();
    assert_int_equal(client.status, 504);
    assert_string_equal(client.details, "upstream_per_try_timeout");
    assert_int_equal(stat_of("upstream_rq_per_try_timeout"), 1);
}

static void no_time_runs_before_the_request_is_complete(void **state)
{
    char head[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_default_cluster();
    client.route.forward.timeout = (struct opt_ms){true, 1};
    client_send("POST", false);
    fd = origin_take(head);
    for (int i = 0; i < 3; i++) { /* turns that end by a new byte each */
        client_send_body("x", false);
        testing_origin_read_until(&origin, fd, "x", head);
    }
    assert_false(client.is_over);
    client_send_body("", true);
    client_await();
    assert_int_equal(client.status, 504);
    close(fd);
}

static void streams_have_a_longest_duration(void **state)
{
    struct cluster_config *c = testing_cluster("c", 0);
    char head[TESTING_HEAD_MAX];

    (void)state;
    c->max_stream_duration = (struct opt_ms){true, 30};
    upstream_testing_put_cluster(&u, 0, c);
    client_send("POST", false);
    (void)origin_take(head);
    client_await();
    assert_int_equal(client.status, 408);
    assert_body("upstream max stream duration reached");
    assert_true(has_flag(FLAG_UPSTREAM_MAX_STREAM_DURATION_REACHED));
}

#define ROUTER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROUTER_TEST(a_request_is_passed_on_and_answered),
        ROUTER_TEST(envoy_headers_can_be_suppressed),
        ROUTER_TEST(the_routers_own_headers_go_no_further),
        ROUTER_TEST(attempts_are_told_where_asked_for),
        ROUTER_TEST(a_body_waits_for_the_connection),
        ROUTER_TEST(a_whole_request_waits_for_the_connection),
        ROUTER_TEST(an_early_answer_is_passed_on),
        ROUTER_TEST(a_client_that_leaves_takes_the_connection_along),
        ROUTER_TEST(the_weighted_cluster_counts),
        ROUTER_TEST(a_header_may_name_the_cluster),
        ROUTER_TEST(an_unknown_cluster_is_answered),
        ROUTER_TEST(no_healthy_host_is_answered),
        ROUTER_TEST(a_route_may_answer_by_itself),
        ROUTER_TEST(a_refused_connection_is_answered),
        ROUTER_TEST(an_overflow_is_answered),
        ROUTER_TEST(a_lost_connection_is_answered),
        ROUTER_TEST(garbage_is_a_bad_gateway),
        ROUTER_TEST(a_response_that_breaks_off_resets_the_client),
        ROUTER_TEST(a_silent_origin_times_out),
        ROUTER_TEST(a_timeout_may_be_asked_for_with_another_status),
        ROUTER_TEST(a_try_may_have_less_time_than_the_request),
        ROUTER_TEST(no_time_runs_before_the_request_is_complete),
        ROUTER_TEST(streams_have_a_longest_duration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
