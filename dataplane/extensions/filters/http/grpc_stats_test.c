/* The filter before an origin that the test plays, through a whole connection manager. Names and
 * values are compared with Envoy's in integration/filters/http/test_grpc_stats.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/verdict_support.h"
#include "dataplane/http/http_testing.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/upstream/testing.h"

extern const struct http_filter_type http_filter_grpc_stats;

#define CALL(type, path)                                                                           \
    "POST " path " HTTP/1.1\r\nhost: h\r\ncontent-type: " type                                     \
    "\r\ntransfer-encoding: chunked\r\n\r\n"

static struct http_test t;
static struct upstream_testing u;
static struct parse_fixture fixture;

static int parse(const char *text, const void **ret_config)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&fixture, sizeof(struct part), PART_LISTENER, "l");
    assert_int_equal(
        parse_fixture_message(&fixture, http_filter_grpc_stats.ext.descriptor, str_c(text), &m), 0);
    return http_filter_grpc_stats.ext.parse(&fixture.ctx, m, ret_config);
}

static void start(const char *text)
{
    struct route route = {.path_kind = PATH_MATCH_PREFIX,
                          .case_sensitive = true,
                          .path = STR("/"),
                          .action = ROUTE_FORWARD,
                          .forward = {.cluster_name = STR("c"), .cluster_slot = 0}};
    const void *config = NULL;

    assert_int_equal(parse(text, &config), 0);
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    http_test_init(&t, 2);
    http_test_set_routes(&t, &route, 1);
    t.filters[0] = (struct http_filter_config){
        .type = &http_filter_grpc_stats, .config = config, .name = STR("stats")};
    t.thread.clusters = u.thread.clusters;
    t.answers_at_once = false;
    http_test_connect(&t);
}

static void finish(void)
{
    http_test_done(&t);
    upstream_testing_done(&u);
    parse_fixture_done(&fixture);
}

static void respond(const char *status, const char *type)
{
    struct http_filter *f = t.terminal.filter;
    struct header_map *h = arena_alloc(http_filter_arena(f), sizeof(*h));

    header_map_init(h, http_filter_arena(f));
    header_add(h, HDR_STATUS, str_c(status));
    header_add(h, HDR_CONTENT_TYPE, str_c(type));
    http_filter_respond_headers(f, h, false);
}

static void respond_message(void)
{
    struct buf data;

    buf_init(&data, &t.loop.bufs);
    buf_add(&data, "\0\0\0\0\2ab", 7);
    http_filter_respond_data(t.terminal.filter, &data, false);
    buf_reset(&data);
}

static void send_chunk(const char *bytes, size_t len)
{
    struct strbuf chunk;

    strbuf_init(&chunk);
    strbuf_addf(&chunk, "%zx\r\n", len);
    strbuf_add(&chunk, bytes, len);
    strbuf_add_c(&chunk, "\r\n");
    assert_int_equal(send(t.client_fd, chunk.ptr, chunk.len, 0), (ssize_t)chunk.len);
    strbuf_done(&chunk);
    http_test_run(&t);
}

#define STAT(name) upstream_testing_stat(&u, "cluster.c.grpc." name)

/* A call with two messages out and one back. */
static void call(const char *request, const char *status)
{
    http_test_send(&t, request);
    send_chunk("\0\0\0\0\5he", 7);
    send_chunk("llo\0\0\0\0\0", 8);
    http_test_send(&t, "0\r\n\r\n");
    respond("200", "application/grpc");
    respond_message();
    http_test_respond_trailers(&t, "grpc-status", status);
    (void)http_test_receive(&t);
}

static void methods_are_counted_by_name(void **state)
{
    (void)state;
    start("{stats_for_all_methods: true}");
    call(CALL("application/grpc+proto", "/pkg.Svc/Meth?q"), "0");
    call(CALL("application/grpc", "/pkg.Svc/Meth"), "5");
    assert_int_equal(STAT("pkg.Svc.Meth.total"), 2);
    assert_int_equal(STAT("pkg.Svc.Meth.success"), 1);
    assert_int_equal(STAT("pkg.Svc.Meth.failure"), 1);
    assert_int_equal(STAT("pkg.Svc.Meth.0"), 1);
    assert_int_equal(STAT("pkg.Svc.Meth.5"), 1);
    assert_int_equal(STAT("pkg.Svc.Meth.request_message_count"), 4);
    assert_int_equal(STAT("pkg.Svc.Meth.response_message_count"), 2);
    assert_int_equal(STAT("total"), 0);
    finish();
}

static void other_methods_than_those_named_share_their_series(void **state)
{
    (void)state;
    start("{individual_method_stats_allowlist: {services: [{name: s.B, method_names: [q, m]}, "
          "{name: s.A, method_names: [m]}]}, replace_dots_in_grpc_service_name: true}");
    call(CALL("application/grpc", "/s.A/m"), "0");
    call(CALL("application/grpc", "/s.B/q"), "0");
    call(CALL("application/grpc", "/s.A/n"), "0");
    call(CALL("application/grpc", "/s.C/m"), "0");
    assert_int_equal(STAT("s.A.m.total"), 1);
    assert_int_equal(STAT("s.B.q.total"), 1);
    assert_int_equal(STAT("s.A.n.total"), 0);
    assert_int_equal(STAT("total"), 2);
    finish();
}

static void names_are_left_out_by_default(void **state)
{
    (void)state;
    start("{}");
    call(CALL("application/grpc", "/s/m"), "0");
    call(CALL("application/grpc", "/no/method/here"), "0");
    assert_int_equal(STAT("total"), 1);
    assert_int_equal(STAT("request_message_count"), 2);
    finish();
}

static void what_is_no_grpc_is_not_counted(void **state)
{
    (void)state;
    start("{stats_for_all_methods: true, emit_filter_state: true}");
    call(CALL("application/grpc-web", "/s/m"), "0");
    call(CALL("application/grpc;x=y", "/s/m"), "0");
    assert_int_equal(STAT("s.m.total"), 0);
    assert_int_equal(STAT("s.m.request_message_count"), 0);
    finish();
}

static void the_cluster_may_go_while_a_call_is_on(void **state)
{
    (void)state;
    start("{stats_for_all_methods: true}");
    http_test_send(&t, CALL("application/grpc", "/s/m"));
    upstream_testing_put_cluster(&u, 0, NULL);
    send_chunk("\0\0\0\0\0", 5);
    http_test_send(&t, "0\r\n\r\n");
    respond("200", "application/grpc");
    http_test_respond_trailers(&t, "grpc-status", "0");
    assert_non_null(strstr(http_test_receive(&t), "200 OK"));
    finish();
}

static void messages_are_left_for_the_log(void **state)
{
    const struct filter_state_object *o;

    (void)state;
    start("{emit_filter_state: true}");
    http_test_send(&t, CALL("application/grpc", "/s/m"));
    assert_null(filter_state_get(http_filter_info(t.terminal.filter),
                                 STR("envoy.filters.http.grpc_stats")));
    send_chunk("\0", 1);
    o = filter_state_get(http_filter_info(t.terminal.filter), STR("envoy.filters.http.grpc_stats"));
    assert_true(str_eq(o->plain, STR("1,0")));
    assert_true(str_eq(o->text, STR("{\"requestMessageCount\":\"1\"}")));
    assert_int_equal(o->typed->count, 1);
    respond("200", "application/grpc");
    respond_message();
    assert_true(str_eq(o->plain, STR("1,1")));
    assert_true(
        str_eq(o->text, STR("{\"requestMessageCount\":\"1\",\"responseMessageCount\":\"1\"}")));
    assert_true(str_eq(value_get(o->typed, STR("response_message_count"))->string, STR("1")));
    finish();
}

struct times {
    uint64_t count;
    double sum;
};

static void times_visit(void *user, const struct stat_sample *sample)
{
    struct times *times = user;

    if (str_eq(sample->name, STR("cluster.c.grpc.upstream_rq_time"))) {
        times->count = histogram_count(sample->histogram);
        times->sum = histogram_sum(sample->histogram);
    }
}

static void time_is_counted_where_both_ends_are_known(void **state)
{
    struct times times = {.count = 0};

    (void)state;
    start("{enable_upstream_stats: true}");
    call(CALL("application/grpc", "/s/m"), "0"); /* the test's terminal filter knows no times */
    http_test_send(&t, CALL("application/grpc", "/s/m") "0\r\n\r\n");
    http_filter_info(t.terminal.filter)->last_upstream_tx_ns = 1000000;
    http_filter_info(t.terminal.filter)->last_upstream_rx_ns = 8999999;
    respond("200", "application/grpc");
    http_test_respond_trailers(&t, "grpc-status", "0");
    (void)http_test_receive(&t);
    assert_int_equal(STAT("total"), 2);
    stat_store_visit(u.stats, times_visit, &times);
    assert_int_equal(times.count, 1);
    assert_true(times.sum > 6.5 && times.sum < 7.5);
    finish();
}

static void assert_refused(const char *text, const char *why)
{
    const void *config = NULL;

    assert_true(parse(text, &config) < 0);
    assert_non_null(strstr(error_message(&fixture.err), why));
    parse_fixture_done(&fixture);
}

static void empty_lists_are_refused(void **state)
{
    (void)state;
    assert_refused("{individual_method_stats_allowlist: {services: [{method_names: [m]}]}}",
                   "individual_method_stats_allowlist.services[0].name: value length must be at "
                   "least 1 characters");
    assert_refused("{individual_method_stats_allowlist: {services: [{name: s}]}}",
                   "individual_method_stats_allowlist.services[0].method_names: value must contain "
                   "at least 1 item(s)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_counted_by_name),
        cmocka_unit_test(other_methods_than_those_named_share_their_series),
        cmocka_unit_test(names_are_left_out_by_default),
        cmocka_unit_test(what_is_no_grpc_is_not_counted),
        cmocka_unit_test(the_cluster_may_go_while_a_call_is_on),
        cmocka_unit_test(messages_are_left_for_the_log),
        cmocka_unit_test(time_is_counted_where_both_ends_are_known),
        cmocka_unit_test(empty_lists_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
