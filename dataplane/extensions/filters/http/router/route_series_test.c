/* Which virtual cluster a request is of, and what is counted for it. That names and moments are
 * Envoy's is integration/stats's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/extensions/filters/http/router/route_series.h"

static const struct header_matcher gets[] = {
    {.name = {":method", 7},
     .kind = HEADER_MATCH_STRING,
     .string = {.kind = STRING_MATCH_EXACT, .value = {"GET", 3}}},
    {.name = {"x-a", 3}, .kind = HEADER_MATCH_PRESENT, .present = true},
};

static const struct virtual_cluster clusters[] = {
    {.name = {"both", 4}, .headers = gets, .header_count = 2},
    {.name = {"get", 3}, .headers = gets, .header_count = 1},
    {.header_count = 0},
};

static void the_first_whose_headers_all_match(void **state)
{
    const struct virtual_host vh = {.virtual_clusters = clusters, .virtual_cluster_count = 3};
    const struct virtual_host none = {.virtual_cluster_count = 0};
    struct arena arena;
    struct header_map h;

    (void)state;
    arena_init(&arena, NULL);
    header_map_init(&h, &arena);
    header_add(&h, HDR_METHOD, STR("GET"));
    assert_null(virtual_cluster_find(&none, &h));
    assert_ptr_equal(virtual_cluster_find(&vh, &h), &clusters[1]);
    header_add_name(&h, STR("x-a"), STR("1"));
    assert_ptr_equal(virtual_cluster_find(&vh, &h), &clusters[0]);
    header_set(&h, HDR_METHOD, STR("PUT"));
    assert_ptr_equal(virtual_cluster_find(&vh, &h), &clusters[2]);
    arena_done(&arena);
}

static void all_scopes_count(void **state)
{
    struct stat_store *stats = stat_store_new(1);
    struct stat_scope *a =
        stat_scope_ref(stats, &(struct stat_scope_spec){.prefix = STR("vhost.v.vcluster.a."),
                                                        .tagged_prefix = STR("vhost.v.vcluster.a."),
                                                        .schema = &route_stat_schema});
    struct stat_scope *b =
        stat_scope_ref(stats, &(struct stat_scope_spec){.prefix = STR("vhost.v.route.b."),
                                                        .tagged_prefix = STR("vhost.v.route.b."),
                                                        .schema = &route_stat_schema});
    struct route_series s = {.count = 0};
    uint64_t value = 0;

    (void)state;
    route_series_add(&s, NULL, 0);
    route_series_count(&s, ROUTE_STAT_RQ_TOTAL);
    assert_int_equal(s.count, 0);
    route_series_add(&s, a, 0);
    route_series_add(&s, b, 0);
    route_series_count(&s, ROUTE_STAT_RQ_TOTAL);
    route_series_charge_code(&s, 404);
    route_series_charge_code(&s, 600);
    route_series_charge_time(&s, 3);
    assert_int_equal(stat_scope_value(a, ROUTE_STAT_RQ_TOTAL), 1);
    assert_int_equal(stat_scope_value(b, ROUTE_STAT_RQ_TOTAL), 1);
    assert_int_equal(stat_scope_value(b, ROUTE_STAT_RQ_COMPLETED), 2);
    assert_int_equal(stat_scope_value(b, ROUTE_STAT_RQ_4XX), 1);
    assert_int_equal(stat_scope_value(b, ROUTE_STAT_RQ_UNKNOWN), 1);
    assert_true(stat_scope_code(a, ROUTE_STAT_RQ_CODES, 404, &value));
    assert_int_equal(value, 1);
    stat_scope_unref(a);
    stat_scope_unref(b);
    stat_store_free(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_whose_headers_all_match),
        cmocka_unit_test(all_scopes_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
