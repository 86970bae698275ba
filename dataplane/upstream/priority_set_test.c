/* Load of priority levels against Envoy's documented examples; hosts carried over by key. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/priority_set.h"
#include "dataplane/upstream/testing.h"

struct load_case {
    uint32_t healthy[3]; /* percent of 100 hosts */
    uint32_t degraded[3];
    uint32_t want_healthy[3];
    uint32_t want_degraded[3];
    bool want_panic[3];
};

static void check_loads(const struct load_case *c, size_t levels, double panic_threshold)
{
    struct level_health health[3] = {{0}};
    struct level_load loads[3];

    for (size_t i = 0; i < levels; i++) {
        health[i] = (struct level_health){100, 100,           c->healthy[i], c->degraded[i],
                                          100, c->healthy[i], c->degraded[i]};
    }
    priority_loads(health, levels, 140, panic_threshold, loads);
    for (size_t i = 0; i < levels; i++) {
        assert_int_equal(loads[i].healthy, c->want_healthy[i]);
        assert_int_equal(loads[i].degraded, c->want_degraded[i]);
        assert_int_equal(loads[i].is_panic, c->want_panic[i]);
    }
}

/* "Priority levels" in Envoy's documentation, panic off. */
static void load_spills_to_the_next_level_as_documented(void **state)
{
    const struct load_case two[] = {
        {{100, 100}, {0}, {100, 0}, {0}, {0}}, {{72, 100}, {0}, {100, 0}, {0}, {0}},
        {{71, 100}, {0}, {99, 1}, {0}, {0}},   {{50, 100}, {0}, {70, 30}, {0}, {0}},
        {{25, 100}, {0}, {35, 65}, {0}, {0}},  {{0, 100}, {0}, {0, 100}, {0}, {0}},
        {{72, 72}, {0}, {100, 0}, {0}, {0}},
    };
    const struct load_case three[] = {
        {{100, 100, 100}, {0}, {100, 0, 0}, {0}, {0}}, {{72, 72, 100}, {0}, {100, 0, 0}, {0}, {0}},
        {{71, 71, 100}, {0}, {99, 1, 0}, {0}, {0}},    {{50, 50, 100}, {0}, {70, 30, 0}, {0}, {0}},
        {{25, 100, 100}, {0}, {35, 65, 0}, {0}, {0}},  {{25, 25, 100}, {0}, {35, 35, 30}, {0}, {0}},
        {{25, 25, 20}, {0}, {37, 35, 28}, {0}, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(two); i++) {
        check_loads(&two[i], 2, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(three); i++) {
        check_loads(&three[i], 3, 0);
    }
}

/* Rounding errors go to the first level that is available. */
static void load_adds_up_to_100(void **state)
{
    (void)state;
    for (uint32_t a = 0; a <= 100; a += 7) {
        for (uint32_t b = 0; b <= 100; b += 3) {
            for (uint32_t d = 0; d + a <= 100; d += 11) {
                struct level_health health[2] = {{100, 100, a, d, 100, a, d},
                                                 {100, 100, b, 0, 100, b, 0}};
                struct level_load loads[2];

                priority_loads(health, 2, 140, 50, loads);
                assert_int_equal(loads[0].healthy + loads[0].degraded + loads[1].healthy +
                                     loads[1].degraded,
                                 100);
            }
        }
    }
}

/* "Panic threshold" in Envoy's documentation. */
static void panic_as_documented(void **state)
{
    const struct load_case one[] = {
        {{72}, {0}, {100}, {0}, {false}}, {{71}, {0}, {100}, {0}, {false}},
        {{50}, {0}, {100}, {0}, {false}}, {{49}, {0}, {100}, {0}, {true}},
        {{0}, {0}, {100}, {0}, {true}},
    };
    const struct load_case two[] = {
        {{72, 72}, {0}, {100, 0}, {0}, {false, false}},
        {{71, 71}, {0}, {99, 1}, {0}, {false, false}},
        {{50, 60}, {0}, {70, 30}, {0}, {false, false}},
        {{25, 100}, {0}, {35, 65}, {0}, {false, false}},
        {{25, 25}, {0}, {50, 50}, {0}, {true, true}},
        {{5, 65}, {0}, {8, 92}, {0}, {true, false}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(one); i++) {
        check_loads(&one[i], 1, 50);
    }
    for (size_t i = 0; i < ARRAY_LEN(two); i++) {
        check_loads(&two[i], 2, 50);
    }
}

static void degraded_hosts_take_what_healthy_ones_cannot(void **state)
{
    const struct load_case c = {{50, 20}, {20, 0}, {70, 28}, {2, 0}, {false, false}};

    (void)state;
    check_loads(&c, 2, 0);
}

/* As Envoy 1.40: a draining host is excluded from what could be healthy, not from panic's load. */
static void excluded_hosts_do_not_count(void **state)
{
    const struct level_health health = {
        .size = 4, .total = 2, .healthy = 2, .total_weight = 2, .healthy_weight = 2};
    struct level_load load;

    (void)state;
    priority_loads(&health, 1, 140, 50, &load);
    assert_int_equal(load.healthy, 100);
    assert_false(load.is_panic);
}

/* --- sets --------------------------------------------------------------------------------------
 */

static struct cluster *put(struct upstream_testing *u, const struct testing_endpoint *e, size_t n)
{
    upstream_testing_put_endpoints(u, 0, testing_endpoints(e, n));
    return cluster_manager_get(u->thread.clusters, 0);
}

static void hosts_are_carried_over_by_key(void **state)
{
    const struct testing_endpoint before[] = {
        {.port = 1, .weight = 5}, {.port = 2}, {.port = 3, .health = HEALTH_UNHEALTHY}};
    const struct testing_endpoint after[] = {
        {.port = 3, .weight = 7}, {.port = 4}, {.port = 1, .health = HEALTH_DRAINING}};
    struct upstream_testing u;
    struct cluster *c;
    struct host *one;
    struct host *three;

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    c = put(&u, before, ARRAY_LEN(before));
    assert_int_equal(c->set.host_count, 3);
    assert_int_equal(c->set.levels[0].healthy.count, 2);
    one = c->set.hosts[0];
    three = c->set.hosts[2];
    assert_ptr_equal(put(&u, after, ARRAY_LEN(after)), c);
    assert_int_equal(c->set.host_count, 3);
    assert_ptr_equal(c->set.hosts[0], three);
    assert_ptr_equal(c->set.hosts[2], one);
    assert_int_equal(three->weight, 7);
    assert_int_equal(three->health, HOST_HEALTHY);
    assert_int_equal(one->health, HOST_UNHEALTHY);
    assert_true(one->is_excluded);
    assert_int_equal(c->set.levels[0].healthy.count, 2);
    upstream_testing_done(&u);
}

static void duplicates_live_across_localities(void **state)
{
    const struct testing_endpoint e[] = {
        {.port = 1, .zone = "a"}, {.port = 1, .zone = "a"}, {.port = 1, .zone = "b"}};
    struct upstream_testing u;
    struct cluster_config *config = testing_cluster("c", 0);
    struct cluster *c;

    (void)state;
    upstream_testing_init(&u);
    config->type = DISCOVERY_EDS;
    upstream_testing_put_cluster(&u, 0, config);
    c = put(&u, e, ARRAY_LEN(e));
    assert_int_equal(c->set.host_count, 2); /* once in each */
    assert_ptr_not_equal(c->set.hosts[0], c->set.hosts[1]);
    (void)put(&u, e, 1);
    assert_int_equal(c->set.host_count, 1);
    upstream_testing_done(&u);
}

static void levels_are_filled_without_gaps(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1, .priority = 2}};
    struct upstream_testing u;
    struct cluster *c;

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    c = put(&u, e, 1);
    assert_int_equal(c->set.level_count, 3);
    assert_int_equal(c->set.levels[2].healthy_load, 100);
    upstream_testing_put_endpoints(&u, 0, NULL);
    assert_int_equal(c->set.level_count, 1);
    assert_int_equal(c->set.host_count, 0);
    upstream_testing_done(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_spills_to_the_next_level_as_documented),
        cmocka_unit_test(load_adds_up_to_100),
        cmocka_unit_test(panic_as_documented),
        cmocka_unit_test(degraded_hosts_take_what_healthy_ones_cannot),
        cmocka_unit_test(excluded_hosts_do_not_count),
        cmocka_unit_test(hosts_are_carried_over_by_key),
        cmocka_unit_test(duplicates_live_across_localities),
        cmocka_unit_test(levels_are_filled_without_gaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
