/* What outlives versions, and what threads share while main prunes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_registry_internal.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/testing.h"

static void shared_state_outlives_versions(void **state)
{
    const struct testing_endpoint e = {.port = 1};
    struct upstream_testing u;
    struct cluster_shared *shared;
    struct circuit_breaker *breakers;
    struct cluster_config *c = testing_cluster("c", 0);

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1));
    upstream_testing_put_cluster(&u, 0, c);
    shared = c->shared;
    breakers = cluster_shared_breakers(shared);
    breaker_acquire(breakers, BREAKER_REQUESTS);
    stat_inc(cluster_stats(cluster_manager_get(u.thread.clusters, 0)), CLUSTER_UPSTREAM_RQ_TOTAL);
    c = testing_cluster("c", 0);
    upstream_testing_put_cluster(&u, 0, c);
    assert_ptr_equal(c->shared, shared);
    assert_ptr_equal(cluster_shared_breakers(c->shared), breakers);
    assert_int_equal(breaker_count(breakers, BREAKER_REQUESTS), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.upstream_rq_total"), 1);
    breaker_release(breakers, BREAKER_REQUESTS);
    upstream_testing_put_cluster(&u, 0, NULL);
    /* The series are gone. */
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.upstream_rq_total"), 0);
    upstream_testing_done(&u);
}

static void series_are_called_by_the_stat_name(void **state)
{
    struct upstream_testing u;
    struct cluster_config *c = testing_cluster("c", 0);
    struct cluster *made;

    (void)state;
    upstream_testing_init(&u);
    c->stat_name = STR("a:b");
    upstream_testing_put_cluster(&u, 0, c);
    made = cluster_manager_get(u.thread.clusters, 0);
    assert_null(cluster_pick(made, NULL));
    assert_int_equal(upstream_testing_stat(&u, "cluster.a_b.upstream_cx_none_healthy"), 1);
    upstream_testing_done(&u);
}

static void membership_is_counted(void **state)
{
    const struct testing_endpoint e[] = {{.port = 1},
                                         {.port = 2, .health = HEALTH_UNHEALTHY},
                                         {.port = 3, .health = HEALTH_DEGRADED},
                                         {.port = 4, .health = HEALTH_DRAINING}};
    struct upstream_testing u;

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_change"), 0);
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(e, ARRAY_LEN(e)));
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_total"), 4);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_healthy"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_degraded"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_excluded"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_change"), 1);
    /* The same hosts again, then a new version of the cluster: no change. */
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(e, ARRAY_LEN(e)));
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_change"), 1);
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(e, 1));
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_change"), 2);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.membership_total"), 1);
    upstream_testing_done(&u);
}

static void codes_are_charged_as_envoy_does(void **state)
{
    struct upstream_testing u;
    struct stat_block *b;

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    b = cluster_stats(cluster_manager_get(u.thread.clusters, 0));
    cluster_stats_charge_code(b, 200, true, false);
    cluster_stats_charge_code(b, 503, false, true);
    cluster_stats_charge_code(b, 100, false, false);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.upstream_rq_completed"), 3);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.upstream_rq_200"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.upstream_rq_5xx"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.internal.upstream_rq_2xx"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.external.upstream_rq_503"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.external.upstream_rq_1xx"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.canary.upstream_rq_completed"), 1);
    upstream_testing_done(&u);
}

static void clusters_cost_a_thread_nothing_until_used(void **state)
{
    struct upstream_testing u;

    (void)state;
    upstream_testing_init(&u);
    for (uint32_t i = 0; i < 100; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "c%u", i);
        upstream_testing_put_cluster(&u, i, testing_cluster(name, i));
    }
    assert_null(atomic_load(
        &((const struct cluster_config *)part_table_get(&u.parts, PART_CLUSTER, 7)->part)
             ->shared->breakers));
    assert_non_null(cluster_manager_find(u.thread.clusters, STR("c42")));
    assert_null(cluster_manager_find(u.thread.clusters, STR("c100")));
    /* The index of names follows changes. */
    upstream_testing_put_cluster(&u, 42, NULL);
    assert_null(cluster_manager_find(u.thread.clusters, STR("c42")));
    upstream_testing_put_cluster(&u, 42, testing_cluster("c42", 42));
    assert_non_null(cluster_manager_find(u.thread.clusters, STR("c42")));
    upstream_testing_done(&u);
}

/* --- threads -------------------------------------------------------------------------------------
 */

#define THREADS 3
#define HOSTS 500

struct counting {
    struct cluster_shared *shared;
    uint64_t key;
};

/* A worker that meets hosts, counts on them, and lets half of them go. */
static void *count_hosts(void *arg)
{
    const struct counting *c = arg;

    breaker_acquire(cluster_shared_breakers(c->shared), BREAKER_CONNECTIONS);
    for (uint64_t i = 0; i < HOSTS; i++) {
        struct host_stats *h = cluster_shared_add_host_stats(c->shared, c->key + i % 2);

        atomic_store_explicit(&h->cells[HOST_RQ_TOTAL], 1, memory_order_relaxed);
        if (i % 2 == 1) {
            atomic_store_explicit(&h->is_retired, true, memory_order_release);
        }
    }
    return NULL;
}

static void threads_count_while_main_prunes(void **state)
{
    struct upstream_testing u;
    struct cluster_config *c = testing_cluster("c", 0);
    const struct testing_endpoint e = {.port = 1};
    struct counting counting;
    pthread_t threads[THREADS];
    uint64_t totals[HOST_STAT_COUNT];

    (void)state;
    upstream_testing_init(&u);
    upstream_testing_put_cluster(&u, 0, c);
    counting = (struct counting){c->shared, 100};
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_hosts, &counting), 0);
    }
    for (int i = 0; i < 50; i++) {
        upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1)); /* prunes */
        cluster_shared_host_totals(c->shared, 100, totals);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1));
    cluster_shared_host_totals(c->shared, 100, totals);
    assert_int_equal(totals[HOST_RQ_TOTAL], THREADS * HOSTS / 2);
    cluster_shared_host_totals(c->shared, 101, totals);
    assert_int_equal(totals[HOST_RQ_TOTAL], 0);
    assert_int_equal(breaker_count(cluster_shared_breakers(c->shared), BREAKER_CONNECTIONS),
                     THREADS);
    upstream_testing_done(&u);
}

static bool tell_updates(void *ctx, uint32_t slot, struct endpoint_updates *ret)
{
    const struct endpoint_updates *told = ctx;

    (void)slot;
    *ret = *told;
    return told->attempts > 0;
}

/* Of clusters that nobody uses they are told while something is the matter, so that thousands of
 * idle ones cost nothing. */
static void updates_are_told_of_clusters_in_use(void **state)
{
    struct endpoint_updates told = {.attempts = 0};
    struct cluster_config *c = testing_cluster("c", 0);
    struct upstream_testing u;

    (void)state;
    upstream_testing_init(&u);
    cluster_registry_set_updates(u.registry, tell_updates, &told);
    upstream_testing_put_cluster(&u, 0, c);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.update_attempt"), 0);
    assert_null(c->shared->eds_scope); /* no control plane tells its endpoints */
    told = (struct endpoint_updates){
        .attempts = 3, .successes = 2, .succeeded_wall_ms = 7, .version = STR("v")};
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.update_attempt"), 0);
    assert_null(c->shared->eds_scope);
    (void)cluster_shared_breakers(c->shared); /* in use */
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.update_attempt"), 3);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.update_success"), 2);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.update_time"), 7);
    c = testing_cluster("d", 1);
    upstream_testing_put_cluster(&u, 1, c);
    told.rejections = 1;
    assert_int_equal(upstream_testing_stat(&u, "cluster.d.update_rejected"), 1);
    upstream_testing_done(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_state_outlives_versions),
        cmocka_unit_test(series_are_called_by_the_stat_name),
        cmocka_unit_test(membership_is_counted),
        cmocka_unit_test(updates_are_told_of_clusters_in_use),
        cmocka_unit_test(codes_are_charged_as_envoy_does),
        cmocka_unit_test(clusters_cost_a_thread_nothing_until_used),
        cmocka_unit_test(threads_count_while_main_prunes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
