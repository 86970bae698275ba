/* Names, slots and versions: what is stored, what is shared, what is forgotten. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/store_world.h"

static struct world w;

static int setup(void **state)
{
    world_init(&w, false);
    return 0;
}

static int teardown(void **state)
{
    world_done(&w);
    return 0;
}

static const struct slot *slot_of(enum part_kind kind, const char *name)
{
    return map_get(&w.store->slots[kind].by_key, str_c(name));
}

static const struct resource *resource_of(enum part_kind kind, const char *name)
{
    const struct slot *slot = slot_of(kind, name);

    return slot != NULL ? slot->resource : NULL;
}

/* c1 with endpoints, r1, l1: all in service. */
static void serve(void)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ENDPOINTS, "c1=1");
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_published(&w, PART_LISTENER, "l1=r1");
    assert_true(w.is_initialized);
}

static void test_unchanged_publishes_nothing(void **state)
{
    unsigned before;
    const struct part *cluster;

    serve();
    before = w.publications;
    cluster = resource_of(PART_CLUSTER, "c1")->published;
    world_respond(&w, PART_CLUSTER, "c1");
    world_respond(&w, PART_ENDPOINTS, "c1=1");
    world_respond(&w, PART_LISTENER, "l1=r1");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    assert_int_equal(w.publications, before);
    assert_ptr_equal(resource_of(PART_CLUSTER, "c1")->published, cluster);
    assert_string_equal(resource_of(PART_CLUSTER, "c1")->version, "5");
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->added, 1);
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->modified, 0);
    assert_int_equal(config_store_counters(w.store, PART_CLUSTER)->update_success, 2);
}

static void test_a_change_publishes_one_part(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1#2");
    assert_published(&w, PART_ROUTE_TABLE, "r1=c1#2");
    assert_int_equal(w.last_change_count, 1);
    assert_int_equal(config_store_counters(w.store, PART_ROUTE_TABLE)->modified, 1);
}

static void test_one_response_is_one_version(void **state)
{
    unsigned before;

    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2 c3");
    before = w.publications;
    world_respond(&w, PART_ENDPOINTS, "c1=1 c2=2 c3=3");
    assert_int_equal(w.publications, before + 1);
    assert_published(&w, PART_CLUSTER, "c1 c2 c3");
}

static void test_slots_are_stable(void **state)
{
    uint32_t cluster;
    uint32_t endpoints;

    serve();
    cluster = slot_of(PART_CLUSTER, "c1")->index;
    endpoints = slot_of(PART_ENDPOINTS, "c1")->index;
    world_respond(&w, PART_CLUSTER, "c1#3 c2$7");
    world_respond(&w, PART_ENDPOINTS, "c1=4");
    world_respond(&w, PART_CLUSTER, "c2$7 c1#4");
    assert_int_equal(slot_of(PART_CLUSTER, "c1")->index, cluster);
    assert_int_equal(slot_of(PART_ENDPOINTS, "c1")->index, endpoints);
    assert_published(&w, PART_CLUSTER, "c1#4 c2$7");
}

static void test_a_slot_is_recycled_when_nothing_mentions_it(void **state)
{
    uint32_t index;

    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2$7");
    index = slot_of(PART_CLUSTER, "c2")->index;
    world_respond(&w, PART_CLUSTER, "c1");
    assert_published(&w, PART_CLUSTER, "c1");
    assert_null(slot_of(PART_CLUSTER, "c2"));
    world_respond(&w, PART_CLUSTER, "c1 c3$7");
    assert_int_equal(slot_of(PART_CLUSTER, "c3")->index, index);
}

/* A worker's old version, a draining connection's chain: they still look the number up. */
static void test_a_slot_is_kept_while_an_old_part_mentions_it(void **state)
{
    uint32_t index;

    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2$7");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1,c2");
    index = slot_of(PART_CLUSTER, "c2")->index;
    w.keeps_snapshots = true;
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1");
    world_respond(&w, PART_CLUSTER, "c1");
    world_advance(&w, 15001); /* the longest that a withdrawn cluster stays */
    assert_published(&w, PART_CLUSTER, "c1");
    assert_non_null(slot_of(PART_CLUSTER, "c2"));
    world_respond(&w, PART_CLUSTER, "c1 c3$7");
    assert_int_not_equal(slot_of(PART_CLUSTER, "c3")->index, index);
    world_reclaim(&w);
    assert_null(slot_of(PART_CLUSTER, "c2"));
}

static void test_a_refused_first_version_leaves_no_names_behind(void **state)
{
    serve();
    world_respond(&w, PART_ROUTE_TABLE, "r1=unheard-of!");
    assert_null(slot_of(PART_CLUSTER, "unheard-of"));
    world_respond(&w, PART_CLUSTER, "c1 c2@other!");
    assert_null(slot_of(PART_ENDPOINTS, "other"));
    assert_non_null(resource_of(PART_CLUSTER, "c2")->rejection);
    assert_int_equal(resource_state_of(resource_of(PART_CLUSTER, "c2")), RESOURCE_REFUSED);
    world_respond(&w, PART_CLUSTER, "c1");
    assert_null(slot_of(PART_CLUSTER, "c2"));
}

static void test_by_name_resources_go_with_their_last_user(void **state)
{
    serve();
    world_respond(&w, PART_CLUSTER, "c1 c2");
    world_respond(&w, PART_ENDPOINTS, "c1=1 c2=2");
    assert_published(&w, PART_ENDPOINTS, "c1=1 c2=2");
    world_respond(&w, PART_CLUSTER, "c1");
    assert_published(&w, PART_ENDPOINTS, "c1=1");
    assert_null(slot_of(PART_ENDPOINTS, "c2"));
    world_respond(&w, PART_LISTENER, "");
    assert_published(&w, PART_LISTENER, "");
    assert_published(&w, PART_ROUTE_TABLE, "");
}

static void test_static_resources_are_not_replaced(void **state)
{
    world_put_static(&w, PART_CLUSTER, "c0$9");
    world_start(&w);
    assert_published(&w, PART_CLUSTER, "c0$9");
    assert_published(&w, PART_ENDPOINTS, "c0=9");
    world_respond(&w, PART_CLUSTER, "c0$8 c1$7");
    assert_published(&w, PART_CLUSTER, "c0$9 c1$7");
    assert_null(resource_of(PART_CLUSTER, "c0")->rejection);
    world_respond(&w, PART_CLUSTER, "c1$7");
    assert_published(&w, PART_CLUSTER, "c0$9 c1$7");
    world_respond(&w, PART_CLUSTER, "");
    assert_published(&w, PART_CLUSTER, "c0$9");
}

static void test_two_static_resources_of_one_name(void **state)
{
    struct arena a;
    struct error err;
    struct str name;
    struct str bytes;
    ProtobufCMessage *m = NULL;

    world_put_static(&w, PART_CLUSTER, "c0$9");
    arena_init(&a, NULL);
    error_init(&err);
    bytes = world_message(&w, PART_CLUSTER, STR("c0$8"), &a, &name);
    m = protobuf_c_message_unpack(resource_type_of(PART_CLUSTER)->descriptor, NULL, bytes.len,
                                  (const uint8_t *)bytes.ptr);
    assert_non_null(m);
    assert_int_equal(config_store_put_static(w.store, PART_CLUSTER, m, &err), E_EXISTS);
    assert_string_equal(error_message(&err), "duplicate cluster name 'c0'");
    protobuf_c_message_free_unpacked(m, NULL);
    error_done(&err);
    arena_done(&a);
}

/* A STATIC cluster's endpoints are its own, whatever EDS says of that name. */
static void test_static_and_discovered_endpoints_of_one_name_are_two(void **state)
{
    world_start(&w);
    world_respond(&w, PART_CLUSTER, "c1$1 c2@c1");
    world_respond(&w, PART_ENDPOINTS, "c1=2");
    assert_published(&w, PART_CLUSTER, "c1$1 c2@c1");
    assert_published(&w, PART_ENDPOINTS, "c1=1 c1=2");
    world_respond(&w, PART_CLUSTER, "c1 c2@c1"); /* and takes them when it becomes EDS */
    assert_published(&w, PART_CLUSTER, "c1 c2@c1");
    assert_published(&w, PART_ENDPOINTS, "c1=2");
}

static void test_only_filter_chains_changed(void **state)
{
    serve();
    world_respond(&w, PART_LISTENER, "l1=r1,r2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c1");
    assert_published(&w, PART_LISTENER, "l1=r1,r2");
    assert_int_equal(config_store_counters(w.store, PART_LISTENER)->in_place_updated, 1);
    assert_int_equal(config_store_counters(w.store, PART_LISTENER)->modified, 1); /* as Envoy */
    world_respond(&w, PART_LISTENER, "l1=r1,r2#x");
    assert_published(&w, PART_LISTENER, "l1=r1,r2#x");
    assert_int_equal(config_store_counters(w.store, PART_LISTENER)->modified, 2);
    assert_int_equal(config_store_counters(w.store, PART_LISTENER)->in_place_updated, 1);
}

static void test_unchanged_chains_are_shared_between_versions(void **state)
{
    const struct filter_chain_config *chain;
    const struct listener_config *l;

    serve();
    chain =
        ((const struct listener_config *)resource_of(PART_LISTENER, "l1")->published)->chains[0];
    world_respond(&w, PART_LISTENER, "l1=r1,r2");
    world_respond(&w, PART_ROUTE_TABLE, "r1=c1 r2=c1");
    l = (const struct listener_config *)resource_of(PART_LISTENER, "l1")->published;
    assert_int_equal(l->chain_count, 2);
    assert_ptr_equal(l->chains[0], chain);
    world_respond(&w, PART_LISTENER, ""); /* it outlives the version that made it */
    assert_published(&w, PART_LISTENER, "");
}

static void test_every_prepared_listener_is_published_or_discarded(void **state)
{
    serve();
    assert_int_equal(w.prepared_count, 1);
    world_respond(&w, PART_LISTENER, "l1=r1#2 l2=r9"); /* l2 waits */
    assert_int_equal(w.prepared_count, 2);
    world_respond(&w, PART_LISTENER, "l1=r1#3 l2=r9#2"); /* a newer one waits in its place */
    assert_int_equal(w.prepared_count, 2);
    world_respond(&w, PART_LISTENER, "l1=r1#3");
    assert_int_equal(w.prepared_count, 1);
    world_respond(&w, PART_LISTENER, "");
    assert_int_equal(w.prepared_count, 0);
}

static void visit_name(void *user, const struct resource *r)
{
    strbuf_addf(user, "%.*s ", STR_ARG(r->slot->name));
}

static void test_visited_in_name_order(void **state)
{
    struct strbuf names;

    strbuf_init(&names);
    world_start(&w);
    config_store_visit(w.store, PART_CLUSTER, visit_name, &names);
    world_respond(&w, PART_CLUSTER, "b$1 c$1 a$1");
    config_store_visit(w.store, PART_CLUSTER, visit_name, &names);
    assert_string_equal(names.ptr, "a b c ");
    strbuf_done(&names);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unchanged_publishes_nothing),
        TEST(test_a_change_publishes_one_part),
        TEST(test_one_response_is_one_version),
        TEST(test_slots_are_stable),
        TEST(test_a_slot_is_recycled_when_nothing_mentions_it),
        TEST(test_a_slot_is_kept_while_an_old_part_mentions_it),
        TEST(test_a_refused_first_version_leaves_no_names_behind),
        TEST(test_by_name_resources_go_with_their_last_user),
        TEST(test_static_resources_are_not_replaced),
        TEST(test_two_static_resources_of_one_name),
        TEST(test_static_and_discovered_endpoints_of_one_name_are_two),
        TEST(test_only_filter_chains_changed),
        TEST(test_unchanged_chains_are_shared_between_versions),
        TEST(test_every_prepared_listener_is_published_or_discarded),
        TEST(test_visited_in_name_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
