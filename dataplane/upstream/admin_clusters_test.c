/* The page against what Envoy prints for the same cluster. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/upstream/admin_clusters.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/testing.h"

static struct upstream_testing u;

static int setup(void **state)
{
    const struct testing_endpoint e = {
        .port = 8080, .weight = 3, .health = HEALTH_DRAINING, .zone = "z", .priority = 0};
    struct cluster_config *c = testing_cluster("x", 0);
    struct host *h;

    (void)state;
    upstream_testing_init(&u);
    c->stat_name = STR("y");
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1));
    upstream_testing_put_cluster(&u, 0, c);
    h = cluster_pick(cluster_manager_get(u.thread.clusters, 0), NULL);
    cluster_make_host_stats(h->cluster, h);
    host_stat_add(h, HOST_RQ_TOTAL, 7);
    host_stat_add(h, HOST_CX_ACTIVE, 2);
    host_unref(h);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upstream_testing_done(&u);
    return 0;
}

static char *render(const struct admin_request *rq)
{
    struct admin_response rs = {.status = 200};

    strbuf_init(&rs.body);
    admin_clusters_endpoint.render(u.registry, rq, &rs);
    admin_response_gather(&rs);
    return strbuf_take(&rs.body);
}

static void text_is_envoys(void **state)
{
    char *text = render(&(struct admin_request){.path = STR("/clusters")});

    (void)state;
    assert_string_equal(text, "x::observability_name::y\n"
                              "x::default_priority::max_connections::1024\n"
                              "x::default_priority::max_pending_requests::1024\n"
                              "x::default_priority::max_requests::1024\n"
                              "x::default_priority::max_retries::3\n"
                              "x::high_priority::max_connections::1024\n"
                              "x::high_priority::max_pending_requests::1024\n"
                              "x::high_priority::max_requests::1024\n"
                              "x::high_priority::max_retries::3\n"
                              "x::added_via_api::false\n"
                              "x::127.0.0.1:8080::cx_active::2\n"
                              "x::127.0.0.1:8080::cx_connect_fail::0\n"
                              "x::127.0.0.1:8080::cx_total::0\n"
                              "x::127.0.0.1:8080::rq_active::0\n"
                              "x::127.0.0.1:8080::rq_error::0\n"
                              "x::127.0.0.1:8080::rq_pending_active::0\n"
                              "x::127.0.0.1:8080::rq_success::0\n"
                              "x::127.0.0.1:8080::rq_timeout::0\n"
                              "x::127.0.0.1:8080::rq_total::7\n"
                              "x::127.0.0.1:8080::hostname::\n"
                              "x::127.0.0.1:8080::health_flags::/eds_status_draining\n"
                              "x::127.0.0.1:8080::weight::3\n"
                              "x::127.0.0.1:8080::region::\n"
                              "x::127.0.0.1:8080::zone::z\n"
                              "x::127.0.0.1:8080::sub_zone::\n"
                              "x::127.0.0.1:8080::canary::false\n"
                              "x::127.0.0.1:8080::priority::0\n"
                              "x::127.0.0.1:8080::success_rate::-1\n"
                              "x::127.0.0.1:8080::local_origin_success_rate::-1\n");
    free(text);
}

/* Without white space. */
static void squeeze(char *s)
{
    char *to = s;

    for (; *s != '\0'; s++) {
        if (*s != ' ' && *s != '\n') {
            *to++ = *s;
        }
    }
    *to = '\0';
}

static void json_is_envoys(void **state)
{
    const struct admin_param format = {STR("format"), STR("json")};
    char *text = render(
        &(struct admin_request){.path = STR("/clusters"), .params = &format, .param_count = 1});

    (void)state;
    squeeze(text);
    assert_string_equal(
        text,
        "{\"cluster_statuses\":[{\"name\":\"x\",\"host_statuses\":[{"
        "\"address\":{\"socket_address\":{\"address\":\"127.0.0.1\",\"port_value\":8080}},"
        "\"stats\":[{\"name\":\"cx_connect_fail\"},{\"name\":\"cx_total\"},{\"name\":\"rq_error\"},"
        "{\"name\":\"rq_success\"},{\"name\":\"rq_timeout\"},"
        "{\"value\":\"7\",\"name\":\"rq_total\"},"
        "{\"type\":\"GAUGE\",\"value\":\"2\",\"name\":\"cx_active\"},"
        "{\"type\":\"GAUGE\",\"name\":\"rq_active\"},"
        "{\"type\":\"GAUGE\",\"name\":\"rq_pending_active\"}],"
        "\"health_status\":{\"eds_health_status\":\"DRAINING\"},"
        "\"weight\":3,\"locality\":{\"zone\":\"z\"}}],"
        "\"circuit_breakers\":{\"thresholds\":["
        "{\"max_connections\":1024,\"max_pending_requests\":1024,\"max_requests\":1024,"
        "\"max_retries\":3},"
        "{\"priority\":\"HIGH\",\"max_connections\":1024,\"max_pending_requests\":1024,"
        "\"max_requests\":1024,\"max_retries\":3}]},"
        "\"observability_name\":\"y\"}]}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_is_envoys, setup, teardown),
        cmocka_unit_test_setup_teardown(json_is_envoys, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
