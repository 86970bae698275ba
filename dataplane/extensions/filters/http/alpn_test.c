/* What istio.alpn leaves for the router, by cluster and downstream protocol. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/verdict_support.h"
#include "dataplane/http/http_testing.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/upstream/request_transport.h"
#include "dataplane/upstream/testing.h"

extern const struct http_filter_type http_filter_alpn;

/* As Istio writes it. */
#define ISTIO                                                                                      \
    "{alpn_override: ["                                                                            \
    "{alpn_override: [istio-http/1.0, istio, http/1.0]},"                                          \
    "{upstream_protocol: HTTP11, alpn_override: [istio-http/1.1, istio, http/1.1]},"               \
    "{upstream_protocol: HTTP2, alpn_override: [istio-h2, istio, h2]}]}"
#define REQUEST "GET / HTTP/1.1\r\nhost: h\r\n\r\n"

static struct http_test t;
static struct upstream_testing u;
static struct parse_fixture fixture;

static int parse(const char *text, const void **ret_config)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&fixture, sizeof(struct part), PART_LISTENER, "l");
    assert_int_equal(
        parse_fixture_message(&fixture, http_filter_alpn.ext.descriptor, str_c(text), &m), 0);
    return http_filter_alpn.ext.parse(&fixture.ctx, m, ret_config);
}

/* What a request to `take_cluster` (NULL: there is none) offers; empty: what is configured. */
static const char *offered(const char *text, struct cluster_config *take_cluster,
                           const char *request)
{
    static char list[64];
    const struct route route = {.path_kind = PATH_MATCH_PREFIX,
                                .path = STR("/"),
                                .action = ROUTE_FORWARD,
                                .forward = {.cluster_name = STR("c"), .cluster_slot = 0}};
    const struct filter_state_object *o;
    const void *config = NULL;

    assert_int_equal(parse(text, &config), 0);
    upstream_testing_init(&u);
    if (take_cluster != NULL) {
        upstream_testing_put_cluster(&u, 0, take_cluster);
    }
    http_test_init(&t, 2);
    http_test_set_routes(&t, &route, 1);
    t.filters[0] = (struct http_filter_config){
        .type = &http_filter_alpn, .config = config, .name = STR("alpn")};
    t.config.http1.accept_http_10 = true;
    t.thread.clusters = u.thread.clusters;
    t.answers_at_once = false;
    http_test_connect(&t);
    http_test_send(&t, request);
    o = filter_state_get(http_filter_info(t.terminal.filter), STR(UPSTREAM_ALPN_KEY));
    (void)snprintf(list, sizeof(list), "%.*s", STR_ARG(o != NULL ? o->plain : STR("")));
    http_test_done(&t);
    upstream_testing_done(&u);
    parse_fixture_done(&fixture);
    return list;
}

static struct cluster_config *cluster_of(enum upstream_http_protocol protocol)
{
    struct cluster_config *c = testing_cluster("c", 0);

    c->http_protocol = protocol;
    return c;
}

static void by_the_protocol_of_the_cluster(void **state)
{
    (void)state;
    assert_string_equal(offered(ISTIO, cluster_of(UPSTREAM_HTTP1), REQUEST),
                        "istio-http/1.1,istio,http/1.1");
    assert_string_equal(offered(ISTIO, cluster_of(UPSTREAM_HTTP2), REQUEST), "istio-h2,istio,h2");
    assert_string_equal(offered(ISTIO, cluster_of(UPSTREAM_HTTP_AUTO), REQUEST),
                        "istio-h2,istio,h2");
}

static void by_the_protocol_of_the_client(void **state)
{
    (void)state;
    assert_string_equal(offered(ISTIO, cluster_of(UPSTREAM_HTTP_DOWNSTREAM), REQUEST),
                        "istio-http/1.1,istio,http/1.1");
    assert_string_equal(
        offered(ISTIO, cluster_of(UPSTREAM_HTTP_DOWNSTREAM), "GET / HTTP/1.0\r\nhost: h\r\n\r\n"),
        "istio-http/1.0,istio,http/1.0");
}

static void a_protocol_without_a_list_is_left_alone(void **state)
{
    static const char only_http2[] =
        "{alpn_override: [{upstream_protocol: HTTP2, alpn_override: [a]},"
        " {upstream_protocol: HTTP2, alpn_override: [b]}, {upstream_protocol: HTTP11}]}";

    (void)state;
    assert_string_equal(offered(only_http2, cluster_of(UPSTREAM_HTTP1), REQUEST), "");
    assert_string_equal(offered(only_http2, cluster_of(UPSTREAM_HTTP2), REQUEST), "a");
    assert_string_equal(offered("{}", cluster_of(UPSTREAM_HTTP2), REQUEST), "");
}

static void a_cluster_may_switch_it_off(void **state)
{
    const struct value_field alpn = {
        .name = STR("alpn_override"),
        .value = {.kind = VALUE_STRING, .string = STR("false")},
    };
    const struct value_field istio = {
        .name = STR("istio"),
        .value = {.kind = VALUE_STRUCT, .fields = &alpn, .count = 1},
    };
    const struct value metadata = {.kind = VALUE_STRUCT, .fields = &istio, .count = 1};
    struct cluster_config *c = cluster_of(UPSTREAM_HTTP1);

    (void)state;
    c->metadata = &metadata;
    assert_string_equal(offered(ISTIO, c, REQUEST), "");
}

static void without_a_cluster_there_is_nothing_to_say(void **state)
{
    (void)state;
    assert_string_equal(offered(ISTIO, NULL, REQUEST), "");
}

static void an_unknown_protocol_is_refused(void **state)
{
    const void *config;

    (void)state;
    assert_true(parse("{alpn_override: [{upstream_protocol: 7, alpn_override: [a]}]}", &config) <
                0);
    parse_fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_the_protocol_of_the_cluster),
        cmocka_unit_test(by_the_protocol_of_the_client),
        cmocka_unit_test(a_protocol_without_a_list_is_left_alone),
        cmocka_unit_test(a_cluster_may_switch_it_off),
        cmocka_unit_test(without_a_cluster_there_is_nothing_to_say),
        cmocka_unit_test(an_unknown_protocol_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
