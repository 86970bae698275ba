/* Responses to verdicts: what is accepted, refused, ignored, remembered; what is subscribed. */

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

static const struct resource *resource_of(enum part_kind kind, const char *name)
{
    const struct slot *slot = map_get(&w.store->slots[kind].by_key, str_c(name));

    return slot != NULL ? slot->resource : NULL;
}

static void drain_requests(void)
{
    struct fake_request *rq;

    while ((rq = fake_ads_take(w.ads)) != NULL) {
        fake_request_free(rq);
    }
}

static void serve(void)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ENDPOINTS, "c1=1");
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_published(&w, PART_LISTENER, "l1=r1");
    drain_requests();
}

/* --- verdicts ------------------------------------------------------------------------------ */

static void test_one_bad_resource_blocks_no_other(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1#7 bad! c2$2");
    assert_published(&w, PART_CLUSTER, "c1#7 c2$2");
    assert_string_equal(world_request(&w, PART_CLUSTER),
                        "version=1 nonce=n5 names= error=Error adding/updating cluster(s) bad: "
                        "connect_timeout: Expected positive duration");
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->update_rejected, 1);
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->update_success, 1);
    world_respond(&w, PART_CLUSTER, "c1#7 c2$2");
    assert_string_equal(world_request(&w, PART_CLUSTER), "version=6 nonce=n6 names=");
}

static void test_a_nack_names_every_refused_resource(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1!");
    assert_string_equal(world_request(&w, PART_ROUTE_TABLE),
                        "version=4 nonce=n5 names=r1 error=r1: virtual_hosts[0].domains: value "
                        "must contain at least 1 item(s)");
    world_respond(&w, PART_LISTENER, "l1! l2! l3=r1");
    assert_string_equal(world_request(&w, PART_LISTENER),
                        "version=3 nonce=n6 names= error=Error adding/updating listener(s) "
                        "l1: address: address is necessary, l2: address: address is necessary");
    assert_published(&w, PART_LISTENER, "l1=r1 l3=r1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
}

static void test_a_refused_version_is_kept_for_the_admin_page(void **state)
{
    const struct resource *r;

    serve();
    world_respond(&w, PART_CLUSTER, "c1!");
    r = resource_of(PART_CLUSTER, "c1");
    assert_non_null(r->rejection);
    assert_string_equal(r->rejection->details, "connect_timeout: Expected positive duration");
    assert_string_equal(r->rejection->version, "5");
    assert_true(r->rejection->len > 0);
    assert_string_equal(r->version, "1");
    assert_int_equal(resource_state_of(r), RESOURCE_LIVE);
    world_respond(&w, PART_CLUSTER, "c1");
    assert_null(resource_of(PART_CLUSTER, "c1")->rejection);
}

static void test_of_duplicate_names_the_first_wins(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1#7 c2$2 c1#8");
    assert_published(&w, PART_CLUSTER, "c1#7 c2$2");
    assert_string_equal(world_request(&w, PART_CLUSTER),
                        "version=1 nonce=n5 names= error=Error adding/updating cluster(s) c1: "
                        "duplicate cluster c1 found");
}

static void respond_clusters_with(const struct fake_resource *extra)
{
    struct arena a;
    struct fake_resource resources[2];

    arena_init(&a, NULL);
    resources[0] = (struct fake_resource){
        .name = w.is_delta ? STR("c2") : STR_NONE,
        .bytes = world_message(&w, PART_CLUSTER, STR("c2$2"), &a, NULL),
    };
    resources[1] = *extra;
    world_respond_with(&w, PART_CLUSTER, resources, 2);
    arena_done(&a);
}

/* Its last good version would be deleted as absent. */
static void test_a_resource_that_cannot_be_named_removes_nothing(void **state)
{
    static const struct fake_resource BROKEN[] = {
        {.bytes = {"\x0a\x7f", 2}},  /* ends too early */
        {.bytes = {"\x12\x01x", 3}}, /* no name */
        {.type_url = {"type.googleapis.com/envoy.api.v2.Cluster", 40}, .bytes = {"\x0a\x01x", 3}},
    };

    serve();
    for (size_t i = 0; i < ARRAY_LEN(BROKEN); i++) {
        respond_clusters_with(&BROKEN[i]);
        assert_published(&w, PART_CLUSTER, "c1 c2$2");
        assert_null(strstr(world_request(&w, PART_CLUSTER), "error= "));
        world_advance(&w, 20000);
        assert_published(&w, PART_CLUSTER, "c1 c2$2");
    }
    world_respond(&w, PART_CLUSTER, "c2$2");
    world_advance(&w, 20000);
    assert_published(&w, PART_CLUSTER, "c2$2");
}

/* Named, so we know who is refused; the others that are absent do go. */
static void test_a_named_resource_that_cannot_be_decoded_is_refused_alone(void **state)
{
    struct fake_resource broken = {.bytes = STR("\x0a\x02"
                                                "c1\x22\x7f")};

    serve();
    world_respond(&w, PART_CLUSTER, "c1 c3$3");
    drain_requests();
    respond_clusters_with(&broken);
    assert_published(&w, PART_CLUSTER, "c1 c2$2");
    assert_non_null(strstr(world_request(&w, PART_CLUSTER), "(s) c1: "));
    world_advance(&w, 20000);
    assert_published(&w, PART_CLUSTER, "c1 c2$2");
}

static void test_delta_removals(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c2$2 c3$3");
    assert_published(&w, PART_CLUSTER, "c1 c2$2 c3$3");
    world_respond(&w, PART_CLUSTER, "-c3 -never");
    assert_published(&w, PART_CLUSTER, "c1 c2$2");
    world_respond(&w, PART_LISTENER, "-l1 l2=r1");
    assert_published(&w, PART_LISTENER, "l2=r1");
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->removed, 1);
}

/* As Envoy: only CDS and LDS take away. */
static void test_removals_of_by_name_resources_are_ignored(void **state)
{
    serve();
    world_respond(&w, PART_ENDPOINTS, "-c1");
    world_respond(&w, PART_ROUTE_TABLE, "-r1");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_int_equal(config_store_counters(w.store, PART_ENDPOINTS)->ignored_removals, 1);
    assert_int_equal(config_store_counters(w.store, PART_ROUTE_TABLE)->ignored_removals, 1);
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "nonce=n5");
}

static void test_by_name_resources_that_are_absent_stay(void **state)
{
    serve();
    world_respond(&w, PART_ENDPOINTS, "");
    world_respond(&w, PART_ROUTE_TABLE, "");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1");
}

static void test_what_nobody_named_is_ignored(void **state)
{
    serve();
    world_respond(&w, PART_ENDPOINTS, "c1=1 other=2 bad=3!");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
    assert_null(resource_of(PART_ENDPOINTS, "other"));
    assert_null(resource_of(PART_ENDPOINTS, "bad"));
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "version=5 nonce=n5 names=c1");
}

static void test_a_listener_that_cannot_be_bound_is_refused(void **state)
{
    serve();
    w.unbindable = "l2";
    world_respond(&w, PART_LISTENER, "l1=r1 l2=r1");
    assert_string_equal(world_request(&w, PART_LISTENER),
                        "version=3 nonce=n5 names= error=Error adding/updating listener(s) l2: "
                        "cannot bind '127.0.0.1:1': Address already in use");
    assert_published(&w, PART_LISTENER, "l1=r1");
    assert_null(map_get(&w.store->slots[PART_ROUTE_TABLE].by_key, STR("r2")));
    w.unbindable = NULL; /* what was in the way has gone: tried again, be it the same */
    world_respond(&w, PART_LISTENER, "l1=r1 l2=r1");
    assert_published(&w, PART_LISTENER, "l1=r1 l2=r1");
}

/* --- refused again ------------------------------------------------------------------------- */

/* Milliseconds until the next CDS request. */
static uint64_t wait_for_nack(void)
{
    uint64_t waited = 0;
    const char *text;

    while ((text = world_request(&w, PART_CLUSTER)) == NULL) {
        world_advance(&w, 1);
        waited++;
        assert_true(waited < 10000);
    }
    assert_non_null(strstr(text, "bad: connect_timeout"));
    return waited;
}

static void test_a_server_that_resends_what_was_refused_is_slowed_down(void **state)
{
    static const uint64_t DELAYS[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    uint64_t unsupported;

    serve();
    world_respond(&w, PART_CLUSTER, "c1 bad!");
    assert_int_equal(wait_for_nack(), 0);
    unsupported = config_store_counters(w.store, PART_CLUSTER)->update_rejected;
    for (size_t i = 0; i < ARRAY_LEN(DELAYS); i++) {
        uint64_t waited;

        world_respond(&w, PART_CLUSTER, "c1 bad!");
        waited = wait_for_nack();
        assert_in_range(waited, DELAYS[i], DELAYS[i] + 1);
    }
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->update_rejected,
                     unsupported + ARRAY_LEN(DELAYS));
    world_respond(&w, PART_CLUSTER, "c1#7 bad!"); /* another response is another matter */
    assert_int_equal(wait_for_nack(), 0);
    assert_published(&w, PART_CLUSTER, "c1#7");
}

/* The same bytes, but by now somebody wants what was ignored in them. */
static void test_memory_ends_when_a_name_is_wanted(void **state)
{
    serve();
    world_respond(&w, PART_ENDPOINTS, "c1=1! c2=2");
    world_respond(&w, PART_CLUSTER, "c1 c2");
    world_respond(&w, PART_ENDPOINTS, "c1=1! c2=2");
    assert_published(&w, PART_CLUSTER, "c1 c2");
    assert_published(&w, PART_ENDPOINTS, "c1=1 c2=2");
}

/* --- subscriptions ------------------------------------------------------------------------- */

static void test_names_are_subscribed_at_once_also_for_held_resources(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l1=r2,r3");
    assert_string_equal(world_request(&w, PART_ROUTE_TABLE), "version=4 nonce=n4 names=r1,r2,r3");
    assert_published(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_LISTENER, "l1=r2");
    assert_string_equal(world_request(&w, PART_ROUTE_TABLE), "version=4 nonce=n4 names=r1,r2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c1");
    assert_published(&w, PART_LISTENER, "l1=r2");
    assert_string_equal(world_request(&w, PART_ROUTE_TABLE), "version=7 nonce=n7 names=r1,r2");
    assert_string_equal(world_request(&w, PART_ROUTE_TABLE), "version=7 nonce=n7 names=r2");
}

/* Both versions name it: no request in between may leave it out. */
static void test_a_name_that_both_versions_have_stays_subscribed(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1#7");
    world_respond(&w, PART_CLUSTER, "c1#8");
    assert_null(world_request(&w, PART_ENDPOINTS));
}

/* ADS is one subscription per type, whatever else the sources of its names say. */
static void test_names_with_different_fetch_timeouts_share_a_subscription(void **state)
{
    serve();
    w.eds_timeout = "1s";
    world_respond(&w, PART_CLUSTER, "c1 c2");
    w.eds_timeout = "7s";
    world_respond(&w, PART_CLUSTER, "c1 c2#2 c3");
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "version=2 nonce=n2 names=c1,c2");
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "version=2 nonce=n2 names=c1,c2,c3");
    world_advance(&w, 1002);
    assert_published(&w, PART_CLUSTER, "c1 c2#2");
    world_advance(&w, 6000);
    assert_published(&w, PART_CLUSTER, "c1 c2#2 c3");
}

static void test_the_last_good_state_serves_while_the_server_is_gone(void **state)
{
    unsigned before;

    serve();
    before = w.publications;
    fake_ads_set_reachable(w.ads, false);
    fake_stream_end(fake_ads_stream(w.ads), STR("gone"), false);
    world_advance(&w, 600000);
    assert_int_equal(w.publications, before);
    assert_published(&w, PART_LISTENER, "l1=r1");
    assert_true(config_store_counters(w.store, PART_CLUSTER)->update_failure > 10);
    fake_ads_set_reachable(w.ads, true);
    world_advance(&w, 31000);
    assert_string_equal(world_request(&w, PART_CLUSTER), "version=1 names=");
    assert_string_equal(world_request(&w, PART_ENDPOINTS), "version=2 names=c1");
    assert_string_equal(world_request(&w, PART_LISTENER), "version=3 names=");
    assert_string_equal(world_request(&w, PART_ROUTE_TABLE), "version=4 names=r1");
    world_respond(&w, PART_CLUSTER, "c1");
    assert_int_equal(w.publications, before);
}

#define SOTW(f) cmocka_unit_test_setup_teardown(f, setup_sotw, teardown)
#define DELTA(f) cmocka_unit_test_setup_teardown(f, setup_delta, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOTW(test_one_bad_resource_blocks_no_other),
        SOTW(test_a_nack_names_every_refused_resource),
        SOTW(test_a_refused_version_is_kept_for_the_admin_page),
        SOTW(test_of_duplicate_names_the_first_wins),
        SOTW(test_a_resource_that_cannot_be_named_removes_nothing),
        SOTW(test_a_named_resource_that_cannot_be_decoded_is_refused_alone),
        DELTA(test_delta_removals),
        DELTA(test_removals_of_by_name_resources_are_ignored),
        SOTW(test_by_name_resources_that_are_absent_stay),
        SOTW(test_what_nobody_named_is_ignored),
        SOTW(test_a_listener_that_cannot_be_bound_is_refused),
        SOTW(test_a_server_that_resends_what_was_refused_is_slowed_down),
        SOTW(test_memory_ends_when_a_name_is_wanted),
        SOTW(test_names_are_subscribed_at_once_also_for_held_resources),
        SOTW(test_a_name_that_both_versions_have_stays_subscribed),
        SOTW(test_names_with_different_fetch_timeouts_share_a_subscription),
        SOTW(test_the_last_good_state_serves_while_the_server_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
