/* What is published when: holds, deadlines, removals, the order of start-up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/store_world.h"

static struct world w;

static int setup_sotw(void **state)
{
    world_init(&w, false);
    return 0;
}

static int setup_delta(void **state)
{
    world_init(&w, true);
    return 0;
}

static int teardown(void **state)
{
    world_done(&w);
    return 0;
}

/* c1, r1, l1 in service. */
static void serve(void)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ENDPOINTS, "c1=1");
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_published(&w, PART_LISTENER, "l1=r1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_published(&w, PART_CLUSTER, "c1");
}

/* --- additions wait ------------------------------------------------------------------------ */

static void test_a_cluster_waits_for_its_endpoints(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2");
    assert_published(&w, PART_CLUSTER, "c1");
    assert_string_equal(world_waits(&w, PART_CLUSTER, "c2"), "endpoints 'c2'");
    assert_string_equal(world_waits(&w, PART_CLUSTER, "c1"), "");
    world_respond(&w, PART_ENDPOINTS, "c1=1 c2=2");
    assert_published(&w, PART_CLUSTER, "c1 c2");
}

static void test_a_route_table_waits_for_its_clusters(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_string_equal(world_waits(&w, PART_ROUTE_TABLE, "r1"), "cluster 'c2'");
    world_respond(&w, PART_CLUSTER, "c1 c2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    world_respond(&w, PART_ENDPOINTS, "c1=1 c2=2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1,c2");
}

static void test_a_listener_waits_for_its_route_tables(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l1=r1,r2 l2=r1");
    assert_published(&w, PART_LISTENER, "l1=r1 l2=r1"); /* the others go on */
    assert_string_equal(world_waits(&w, PART_LISTENER, "l1"), "route configuration 'r2'");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c2");
    assert_published(&w, PART_LISTENER, "l1=r1 l2=r1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    world_respond(&w, PART_CLUSTER, "c1 c2$7");
    assert_published(&w, PART_LISTENER, "l1=r1,r2 l2=r1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1 r2=c2");
}

/* Any order of a valid update gives one visible step per resource, and no gap. */
static void test_a_whole_new_world_in_the_worst_order(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l1=r2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c2");
    world_respond(&w, PART_CLUSTER, "c2");
    assert_published(&w, PART_LISTENER, "l1=r1");
    assert_published(&w, PART_CLUSTER, "c1"); /* withdrawn, but r1 needs it */
    world_respond(&w, PART_ENDPOINTS, "c2=2");
    assert_published(&w, PART_LISTENER, "l1=r2");
    assert_published(&w, PART_ROUTE_TABLE, "r2=c2");
    assert_published(&w, PART_CLUSTER, "c2");
    assert_published(&w, PART_ENDPOINTS, "c2=2");
}

static void test_the_newest_held_version_is_the_one_published(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c3");
    world_respond(&w, PART_CLUSTER, "c1 c2$2 c3$3");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c3");
}

static void test_a_held_version_taken_back(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1#2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1#2");
    world_advance(&w, 2000);
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1#2");
}

/* --- same name, new content ---------------------------------------------------------------- */

static void test_a_changed_cluster_uses_the_stored_endpoints_at_once(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1#7");
    assert_published(&w, PART_CLUSTER, "c1#7");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
}

static void test_a_new_endpoints_name_waits_and_the_old_cluster_serves(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1@e1");
    assert_published(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ENDPOINTS, "e1=5");
    assert_published(&w, PART_CLUSTER, "c1@e1");
    assert_published(&w, PART_ENDPOINTS, "e1=5");
}

static void test_two_clusters_share_endpoints_by_name(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2@c1");
    assert_published(&w, PART_CLUSTER, "c1 c2@c1"); /* they are there */
    world_respond(&w, PART_CLUSTER, "c2@c1");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
}

/* --- missing clusters ---------------------------------------------------------------------- */

static void test_a_missing_cluster_is_waited_for_a_second(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never");
    world_advance(&w, 999);
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    world_advance(&w, 3);
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1,never");
}

static void test_a_newer_version_inherits_the_deadline(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never");
    world_advance(&w, 600);
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never#2");
    world_advance(&w, 390);
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    world_advance(&w, 15);
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1,never#2");
}

static void test_a_name_published_as_missing_is_not_waited_for_again(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never");
    world_advance(&w, 1002);
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never#2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1,never#2");
    world_respond(&w, PART_LISTENER, "l1=r1 l2=r2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never#2 r2=never");
    assert_published(&w, PART_LISTENER, "l1=r1 l2=r2");
}

static void test_a_missing_cluster_that_comes_late_is_used(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=late");
    world_advance(&w, 1002);
    assert_published(&w, PART_ROUTE_TABLE, "r1=late");
    world_respond(&w, PART_CLUSTER, "c1 late$9");
    assert_published(&w, PART_CLUSTER, "c1 late$9");
}

/* It is known, so its own waits count, not ours. */
static void test_a_cluster_that_warms_is_waited_for_as_long_as_it_warms(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    world_respond(&w, PART_CLUSTER, "c1 c2");
    world_advance(&w, 14000);
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    world_advance(&w, 1002);
    assert_published(&w, PART_CLUSTER, "c1 c2"); /* no hosts, as Envoy */
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1,c2");
}

/* --- fetch timeouts ------------------------------------------------------------------------ */

static void test_missing_endpoints_wait_their_own_fetch_timeout(void **state)
{
    w.eds_timeout = "3s";
    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2");
    world_advance(&w, 2999);
    assert_published(&w, PART_CLUSTER, "c1");
    world_advance(&w, 3);
    assert_published(&w, PART_CLUSTER, "c1 c2");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
    assert_int_equal(config_store_counters(w.store, PART_ENDPOINTS)->init_fetch_timeout, 1);
    world_respond(&w, PART_ENDPOINTS, "c1=1 c2=2");
    assert_published(&w, PART_ENDPOINTS, "c1=1 c2=2");
}

static void test_a_fetch_timeout_of_zero_waits_for_ever(void **state)
{
    serve();
    w.eds_timeout = "0s";
    world_respond(&w, PART_CLUSTER, "c1 c2");
    world_advance(&w, 100000);
    assert_published(&w, PART_CLUSTER, "c1");
    assert_string_equal(world_waits(&w, PART_CLUSTER, "c2"), "endpoints 'c2'");
}

static void test_a_missing_route_table_waits_its_own_fetch_timeout(void **state)
{
    w.rds_timeout = "2s";
    serve();
    world_respond(&w, PART_LISTENER, "l1=r1#2 l2=r2");
    world_advance(&w, 1999);
    assert_published(&w, PART_LISTENER, "l1=r1#2");
    world_advance(&w, 3);
    assert_published(&w, PART_LISTENER, "l1=r1#2 l2=r2"); /* answers 404 */
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    world_respond(&w, PART_LISTENER, "l1=r1#2 l2=r2 l3=r2"); /* not waited for again */
    assert_published(&w, PART_LISTENER, "l1=r1#2 l2=r2 l3=r2");
}

/* --- removals ------------------------------------------------------------------------------ */

static void test_a_withdrawn_cluster_stays_while_a_route_names_it(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c2$2");
    assert_published(&w, PART_CLUSTER, "c1 c2$2");
    assert_published(&w, PART_ENDPOINTS, "c1=1 c2=2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c2");
    assert_published(&w, PART_CLUSTER, "c2$2");
    assert_published(&w, PART_ENDPOINTS, "c2=2");
}

static void test_a_withdrawn_cluster_stays_fifteen_seconds_at_most(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "");
    world_advance(&w, 14998);
    assert_published(&w, PART_CLUSTER, "c1");
    world_advance(&w, 5);
    assert_published(&w, PART_CLUSTER, "");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
}

static void test_a_withdrawn_cluster_comes_back_whole(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "");
    world_advance(&w, 10000);
    world_respond(&w, PART_CLUSTER, "c1");
    world_advance(&w, 20000);
    assert_published(&w, PART_CLUSTER, "c1");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
}

/* The newer version was waiting when the cluster was withdrawn: it is what comes back. */
static void test_a_cluster_comes_back_as_it_was_sent_last(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1@e2");
    world_respond(&w, PART_CLUSTER, "");
    world_respond(&w, PART_CLUSTER, "c1@e2");
    assert_published(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ENDPOINTS, "e2=2");
    assert_published(&w, PART_CLUSTER, "c1@e2");
}

static void test_a_withdrawn_cluster_comes_back_changed(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "");
    world_respond(&w, PART_CLUSTER, "c1#7");
    assert_published(&w, PART_CLUSTER, "c1#7");
    world_advance(&w, 20000);
    assert_published(&w, PART_CLUSTER, "c1#7");
}

/* A mention that comes after the withdrawal does not keep the cluster for ever. */
static void test_a_withdrawn_cluster_named_anew_goes_too(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2$2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    world_respond(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_published(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_CLUSTER, "c1 c2$2");
    w.keeps_snapshots = true;
    world_respond(&w, PART_ROUTE_TABLE, "r1=c2");
    world_respond(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    world_advance(&w, 15002);
    world_reclaim(&w);
    assert_published(&w, PART_CLUSTER, "c1");
}

static void test_a_withdrawn_cluster_asks_for_nothing(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2@e2");
    world_respond(&w, PART_ENDPOINTS, "c1=1 e2=2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    while (world_request(&w, PART_ENDPOINTS) != NULL) {
        continue;
    }
    world_respond(&w, PART_CLUSTER, "c1");
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "version=6 nonce=n6 names=c1");
    assert_published(&w, PART_CLUSTER, "c1 c2@e2");
    assert_published(&w, PART_ENDPOINTS, "c1=1 e2=2");
    world_respond(&w, PART_CLUSTER, "c1 c2@e2");
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "version=6 nonce=n6 names=c1,e2");
    world_respond(&w, PART_CLUSTER, "c1 c2@e2#3");
    assert_null(world_request(&w, PART_ENDPOINTS));
    assert_published(&w, PART_CLUSTER, "c1 c2@e2#3");
}

static void test_a_removed_listener_goes_at_once(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l2=r1");
    assert_published(&w, PART_LISTENER, "l2=r1");
}

static void test_a_held_listener_that_is_removed(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l1=r1 l2=r2");
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_advance(&w, 20000);
    assert_published(&w, PART_LISTENER, "l1=r1");
}

/* --- start-up ------------------------------------------------------------------------------ */

static void test_clusters_then_listeners_then_open(void **state)
{
    world_start(&w);
    assert_non_null(world_request(&w, PART_CLUSTER));
    assert_null(world_request(&w, PART_LISTENER));
    world_respond(&w, PART_CLUSTER, "c1");
    assert_null(world_request(&w, PART_LISTENER)); /* c1 warms */
    world_respond(&w, PART_ENDPOINTS, "c1=1");
    assert_non_null(world_request(&w, PART_LISTENER));
    world_respond(&w, PART_LISTENER, "l1=r1 l2=r2");
    assert_published(&w, PART_LISTENER, "");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_published(&w, PART_LISTENER, "");
    assert_false(w.is_initialized);
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c1");
    assert_true(w.is_initialized);
    assert_published(&w, PART_LISTENER, "l1=r1 l2=r2");
}

static void test_at_start_what_cds_lacks_is_missing_at_once(void **state)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1$1");
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,never");
    assert_true(w.is_initialized);
    assert_published(&w, PART_LISTENER, "l1=r1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1,never");
}

static void test_a_silent_server_lets_start_up_go_on(void **state)
{
    world_start(&w);
    world_advance(&w, 15002);
    assert_non_null(world_request(&w, PART_LISTENER));
    world_advance(&w, 15002);
    assert_true(w.is_initialized);
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->init_fetch_timeout, 1);
    assert_int_equal(config_store_counters(w.store, PART_LISTENER)->init_fetch_timeout, 1);
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    world_respond(&w, PART_CLUSTER, "c1$1");
    assert_published(&w, PART_LISTENER, "l1=r1");
}

static void test_at_start_missing_endpoints_wait_their_timeout(void **state)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1 c2$2");
    assert_published(&w, PART_CLUSTER, "c2$2");
    world_advance(&w, 15002);
    assert_published(&w, PART_CLUSTER, "c1 c2$2");
    assert_non_null(world_request(&w, PART_LISTENER));
}

static void test_static_only(void **state)
{
    world_put_static(&w, PART_CLUSTER, "c1$1");
    config_store_start(w.store, NULL, NULL);
    world_turn(&w);
    assert_true(w.is_initialized);
    assert_published(&w, PART_CLUSTER, "c1$1");
}

static void test_a_static_listener_opens_after_initialization(void **state)
{
    world_put_static(&w, PART_CLUSTER, "c1$1");
    world_put_static(&w, PART_LISTENER, "l0=r0");
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c2$2");
    world_respond(&w, PART_ROUTE_TABLE, "r0=c1,c2");
    assert_published(&w, PART_LISTENER, "");
    assert_string_equal(world_waits(&w, PART_LISTENER, "l0"), "initialization");
    world_respond(&w, PART_LISTENER, "l1=r0");
    assert_published(&w, PART_LISTENER, "l0=r0 l1=r0");
    world_respond(&w, PART_LISTENER, "");
    assert_published(&w, PART_LISTENER, "l0=r0");
}

/* As Envoy: a refused table is the end of waiting for it while nothing is in service. */
static void test_at_start_a_refused_resource_blocks_nothing(void **state)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1$1 c2");
    world_respond(&w, PART_ENDPOINTS, "c2=2!");
    assert_published(&w, PART_CLUSTER, "c1$1 c2");
    world_respond(&w, PART_LISTENER, "l1=r1 l2=r2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c1!");
    assert_true(w.is_initialized);
    assert_published(&w, PART_LISTENER, "l1=r1 l2=r2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
}

/* In service the old version has 15 s for the control plane to do better. */
static void test_later_a_refused_resource_waits_for_a_good_one(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l1=r2");
    world_respond(&w, PART_ROUTE_TABLE, "r2=c1!");
    world_advance(&w, 5000);
    assert_published(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r2=c1");
    assert_published(&w, PART_LISTENER, "l1=r2");
    world_respond(&w, PART_LISTENER, "l1=r3");
    world_respond(&w, PART_ROUTE_TABLE, "r3=c1!");
    world_advance(&w, 15002);
    assert_published(&w, PART_LISTENER, "l1=r3");
}

#define SOTW(f) cmocka_unit_test_setup_teardown(f, setup_sotw, teardown)
/* With every response a delta: the same, where the words say the same. */
#define BOTH(f)                                                                                    \
    {#f, f, setup_sotw, teardown, NULL},                                                           \
    {                                                                                              \
#f " (delta)", f, setup_delta, teardown, NULL                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_a_cluster_waits_for_its_endpoints),
        BOTH(test_a_route_table_waits_for_its_clusters),
        BOTH(test_a_listener_waits_for_its_route_tables),
        SOTW(test_a_whole_new_world_in_the_worst_order),
        BOTH(test_the_newest_held_version_is_the_one_published),
        BOTH(test_a_held_version_taken_back),
        BOTH(test_a_changed_cluster_uses_the_stored_endpoints_at_once),
        BOTH(test_a_new_endpoints_name_waits_and_the_old_cluster_serves),
        SOTW(test_two_clusters_share_endpoints_by_name),
        BOTH(test_a_missing_cluster_is_waited_for_a_second),
        BOTH(test_a_newer_version_inherits_the_deadline),
        BOTH(test_a_name_published_as_missing_is_not_waited_for_again),
        BOTH(test_a_missing_cluster_that_comes_late_is_used),
        BOTH(test_a_cluster_that_warms_is_waited_for_as_long_as_it_warms),
        BOTH(test_missing_endpoints_wait_their_own_fetch_timeout),
        BOTH(test_a_fetch_timeout_of_zero_waits_for_ever),
        BOTH(test_a_missing_route_table_waits_its_own_fetch_timeout),
        SOTW(test_a_withdrawn_cluster_stays_while_a_route_names_it),
        SOTW(test_a_withdrawn_cluster_stays_fifteen_seconds_at_most),
        SOTW(test_a_withdrawn_cluster_comes_back_whole),
        SOTW(test_a_cluster_comes_back_as_it_was_sent_last),
        SOTW(test_a_withdrawn_cluster_comes_back_changed),
        SOTW(test_a_withdrawn_cluster_named_anew_goes_too),
        SOTW(test_a_withdrawn_cluster_asks_for_nothing),
        SOTW(test_a_removed_listener_goes_at_once),
        SOTW(test_a_held_listener_that_is_removed),
        BOTH(test_clusters_then_listeners_then_open),
        BOTH(test_at_start_what_cds_lacks_is_missing_at_once),
        BOTH(test_a_silent_server_lets_start_up_go_on),
        BOTH(test_at_start_missing_endpoints_wait_their_timeout),
        SOTW(test_static_only),
        SOTW(test_a_static_listener_opens_after_initialization),
        BOTH(test_at_start_a_refused_resource_blocks_nothing),
        BOTH(test_later_a_refused_resource_waits_for_a_good_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
