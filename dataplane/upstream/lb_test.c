/* Whom the policies pick, counted over many picks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/testing.h"

#define PORTS_MAX 16

struct picks {
    struct upstream_testing u;
    struct cluster *c;
    unsigned by_port[PORTS_MAX];
};

static void picks_init(struct picks *p, struct cluster_config *take,
                       const struct testing_endpoint *e, size_t n)
{
    memset(p, 0, sizeof(*p));
    upstream_testing_init(&p->u);
    upstream_testing_put_endpoints(&p->u, 0, testing_endpoints(e, n));
    upstream_testing_put_cluster(&p->u, 0, take);
    p->c = cluster_manager_get(p->u.thread.clusters, 0);
}

static unsigned pick_port(struct picks *p)
{
    struct host *h = cluster_pick(p->c, NULL);
    unsigned port = address_port(host_address(h));

    host_unref(h);
    return port;
}

static void picks_run(struct picks *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        p->by_port[pick_port(p)]++;
    }
}

static void assert_share(const struct picks *p, unsigned port, double share, unsigned n)
{
    double got = (double)p->by_port[port] / n;

    if (got < share - 0.02 || got > share + 0.02) {
        fail_msg("port %u: %.3f of the picks, not %.3f", port, got, share);
    }
}

static void round_robin_takes_turns(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1}, {.port = 2}, {.port = 3}};
    struct picks p;
    unsigned first;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, 3);
    first = pick_port(&p);
    for (unsigned i = 1; i < 10; i++) {
        assert_int_equal(pick_port(&p), (first - 1 + i) % 3 + 1);
    }
    upstream_testing_done(&p.u);
}

/* Exactly by weight in each full round, and smoothly: never two rounds of the light one apart. */
static void round_robin_follows_weights(void **state)
{
    const struct testing_endpoint e[] = {
        {.port = 1, .weight = 1}, {.port = 2, .weight = 3}, {.port = 3, .weight = 6}};
    struct picks p;
    unsigned since = 0;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, 3);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned port = pick_port(&p);

        p.by_port[port]++;
        since = port == 1 ? 0 : since + 1;
        assert_true(since <= 11);
    }
    assert_in_range(p.by_port[1], 99, 101);
    assert_in_range(p.by_port[2], 299, 301);
    assert_in_range(p.by_port[3], 599, 601);
    upstream_testing_done(&p.u);
}

static void unhealthy_hosts_are_passed_over(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1},
                                         {.port = 2, .health = HEALTH_UNHEALTHY},
                                         {.port = 3, .health = HEALTH_HEALTHY},
                                         {.port = 4, .health = HEALTH_TIMEOUT},
                                         {.port = 5},
                                         {.port = 6, .health = HEALTH_DRAINING}};
    struct picks p;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, ARRAY_LEN(e));
    picks_run(&p, 300);
    assert_int_equal(p.by_port[1], 100);
    assert_int_equal(p.by_port[3], 100);
    assert_int_equal(p.by_port[5], 100);
    upstream_testing_done(&p.u);
}

static void panic_takes_everybody(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1},
                                         {.port = 2, .health = HEALTH_UNHEALTHY},
                                         {.port = 3, .health = HEALTH_UNHEALTHY}};
    struct picks p;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, ARRAY_LEN(e));
    picks_run(&p, 300);
    assert_int_equal(p.by_port[2], 100);
    assert_int_equal(upstream_testing_stat(&p.u, "cluster.c.lb_healthy_panic"), 300);
    upstream_testing_done(&p.u);
}

static void no_panic_when_the_threshold_is_zero(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1, .health = HEALTH_UNHEALTHY}};
    struct cluster_config *c = testing_cluster("c", 0);
    struct picks p;

    (void)state;
    c->panic_threshold = 0;
    picks_init(&p, c, e, 1);
    assert_null(cluster_pick(p.c, NULL));
    assert_int_equal(upstream_testing_stat(&p.u, "cluster.c.upstream_cx_none_healthy"), 1);
    assert_int_equal(upstream_testing_stat(&p.u, "cluster.c.lb_healthy_panic"), 0);
    upstream_testing_done(&p.u);
}

static void priorities_share_the_load(void **state)
{
    const struct testing_endpoint e[] = {
        {.port = 1}, {.port = 2, .health = HEALTH_UNHEALTHY}, {.port = 3, .priority = 1}};
    struct picks p;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, ARRAY_LEN(e));
    picks_run(&p, 10000);
    assert_share(&p, 1, 0.70, 10000);
    assert_share(&p, 3, 0.30, 10000);
    assert_int_equal(p.by_port[2], 0);
    upstream_testing_done(&p.u);
}

static void degraded_hosts_come_after_healthy_ones(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1},
                                         {.port = 2, .health = HEALTH_DEGRADED},
                                         {.port = 3, .health = HEALTH_DEGRADED}};
    struct picks p;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, ARRAY_LEN(e));
    picks_run(&p, 10000);
    assert_share(&p, 1, 0.46, 10000); /* 140 % of a third */
    assert_share(&p, 2, 0.27, 10000);
    assert_share(&p, 3, 0.27, 10000);
    upstream_testing_done(&p.u);
}

static void localities_share_by_weight_and_health(void **state)
{
    const struct testing_endpoint e[] = {
        {.port = 1, .zone = "a", .locality_weight = 1},
        {.port = 2, .zone = "b", .locality_weight = 2},
        {.port = 3, .zone = "b", .locality_weight = 2, .health = HEALTH_UNHEALTHY},
        {.port = 4, .zone = "c"}, /* no weight: no load */
    };
    struct cluster_config *c = testing_cluster("c", 0);
    struct picks p;
    double b = 2 * 0.7;

    (void)state;
    c->lb.locality_weighted = true;
    picks_init(&p, c, e, ARRAY_LEN(e));
    picks_run(&p, 10000);
    assert_share(&p, 1, 1 / (1 + b), 10000);
    assert_share(&p, 2, b / (1 + b), 10000);
    assert_int_equal(p.by_port[4], 0);
    upstream_testing_done(&p.u);
}

static void least_request_prefers_the_idle(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1}, {.port = 2}};
    struct cluster_config *c = testing_cluster("c", 0);
    struct picks p;

    (void)state;
    c->lb.kind = LB_LEAST_REQUEST;
    picks_init(&p, c, e, 2);
    p.c->set.hosts[0]->active_requests = 10;
    picks_run(&p, 10000);
    assert_share(&p, 1, 0.25, 10000); /* only when both choices fall on it */
    upstream_testing_done(&p.u);
}

static void least_request_weighs_by_active_requests(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1, .weight = 1}, {.port = 2, .weight = 2}};
    struct cluster_config *c = testing_cluster("c", 0);
    struct picks p;

    (void)state;
    c->lb.kind = LB_LEAST_REQUEST;
    picks_init(&p, c, e, 2);
    p.c->set.hosts[1]->active_requests = 3; /* weighs 2 / 4 against 1 */
    picks_run(&p, 9000);
    assert_share(&p, 1, 2.0 / 3, 9000);
    upstream_testing_done(&p.u);
}

static void random_heeds_no_weights(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1, .weight = 1}, {.port = 2, .weight = 9}};
    struct cluster_config *c = testing_cluster("c", 0);
    struct picks p;

    (void)state;
    c->lb.kind = LB_RANDOM;
    picks_init(&p, c, e, 2);
    picks_run(&p, 10000);
    assert_share(&p, 1, 0.5, 10000);
    upstream_testing_done(&p.u);
}

static bool avoid_port_1(void *user, const struct host *h)
{
    (*(unsigned *)user)++;
    return address_port(host_address(h)) == 1;
}

static void a_host_to_avoid_is_passed_over_once(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1}, {.port = 2}};
    unsigned asked = 0;
    struct lb_context ctx = {.avoid = avoid_port_1, .user = &asked};
    struct picks p;

    (void)state;
    picks_init(&p, testing_cluster("c", 0), e, 2);
    for (int i = 0; i < 10; i++) {
        struct host *h = cluster_pick(p.c, &ctx);

        assert_int_equal(address_port(host_address(h)), 2);
        host_unref(h);
    }
    assert_in_range(asked, 10, 20);
    upstream_testing_done(&p.u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_takes_turns),
        cmocka_unit_test(round_robin_follows_weights),
        cmocka_unit_test(unhealthy_hosts_are_passed_over),
        cmocka_unit_test(panic_takes_everybody),
        cmocka_unit_test(no_panic_when_the_threshold_is_zero),
        cmocka_unit_test(priorities_share_the_load),
        cmocka_unit_test(degraded_hosts_come_after_healthy_ones),
        cmocka_unit_test(localities_share_by_weight_and_health),
        cmocka_unit_test(least_request_prefers_the_idle),
        cmocka_unit_test(least_request_weighs_by_active_requests),
        cmocka_unit_test(random_heeds_no_weights),
        cmocka_unit_test(a_host_to_avoid_is_passed_over_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
