/* The router with an HTTP/1 origin: what it sends, what it answers, when its time is up. */

#include "dataplane/extensions/filters/http/router/router_testing.h"

#define ANSWER "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

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
