/* Histograms: the numbers that Envoy 1.40 prints for the same samples, and merging. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

#include "dataplane/base/rand.h"
#include "dataplane/stats/histogram.h"

static void assert_near(double got, double want)
{
    assert_true(fabs(got - want) <= fabs(want) * 1e-9);
}

static void test_empty(void **state)
{
    struct histogram *h = histogram_new();

    assert_int_equal(histogram_count(h), 0);
    assert_true(histogram_sum(h) == 0);
    assert_true(isnan(histogram_quantile(h, 0.5)));
    assert_int_equal(histogram_count_le(h, 1e30), 0);
    histogram_free(h);
    histogram_free(NULL);
}

/* As Envoy prints server.initialization_time_ms after one sample of 64 ms. */
static void test_one_sample_as_envoy(void **state)
{
    struct histogram *h = histogram_new();

    histogram_record(h, 64);
    assert_near(histogram_quantile(h, 0), 64.5);
    assert_near(histogram_quantile(h, 0.5), 64.5);
    assert_near(histogram_quantile(h, 1), 64.5);
    assert_near(histogram_sum(h), 64.496124031007752819277811795473);
    assert_int_equal(histogram_count_le(h, 50), 0);
    assert_int_equal(histogram_count_le(h, 100), 1);
    histogram_free(h);
}

static void test_bucket_edges(void **state)
{
    static const struct {
        uint64_t value;
        double left;
        double width;
    } cases[] = {
        {1, 1, 0.1},
        {9, 9, 0.1},
        {10, 10, 1},
        {99, 99, 1},
        {100, 100, 10},
        {109, 100, 10},
        {999, 990, 10},
        {1000, 1000, 100},
        {9999, 9900, 100},
        {10000, 10000, 1000},
        {123456789, 120000000, 10000000},
        {UINT64_C(999999999999999999), 9.9e17, 1e16},
        {UINT64_C(1000000000000000000), 1e18, 1e17},
        {UINT64_C(10000000000000000000), 1e19, 1e18},
        {UINT64_MAX, 1.8e19, 1e18},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct histogram *h = histogram_new();

        histogram_record(h, cases[i].value);
        assert_int_equal(histogram_count(h), 1);
        assert_near(histogram_quantile(h, 0.5), cases[i].left + cases[i].width / 2);
        /* as Envoy: a bound inside a bucket, its left edge included, counts all of it */
        assert_int_equal(histogram_count_le(h, cases[i].left), 1);
        assert_int_equal(histogram_count_le(h, cases[i].left * (1 - 1e-9)), 0);
        histogram_free(h);
    }
}

static void test_every_power_of_ten_lands_right(void **state)
{
    uint64_t power = 1;

    for (int i = 0; i < 20; i++, power *= 10) {
        struct histogram *h = histogram_new();

        histogram_record(h, power);
        assert_near(histogram_quantile(h, 0.5), (double)power * 1.05);
        if (power > 1) {
            histogram_record(h, power - 1);
            assert_int_equal(histogram_count_le(h, (double)power * 0.9999), 1);
        }
        histogram_free(h);
    }
}

static void test_zeros(void **state)
{
    struct histogram *h = histogram_new();

    histogram_record(h, 0);
    histogram_record(h, 0);
    histogram_record(h, 10);
    assert_true(histogram_quantile(h, 0) == 0);
    assert_true(histogram_quantile(h, 0.5) == 0);
    assert_near(histogram_quantile(h, 1), 10.5);
    assert_int_equal(histogram_count_le(h, 0.5), 2);
    assert_near(histogram_sum(h), 10 + 10.0 / 21);
    histogram_free(h);
}

/* Ranks inside one bucket: the k-th of n at k / (n + 1). */
static void test_quantiles_spread_inside_a_bucket(void **state)
{
    struct histogram *h = histogram_new();

    for (int i = 0; i < 4; i++) {
        histogram_record(h, 20);
    }
    assert_near(histogram_quantile(h, 0), 20.2);
    assert_near(histogram_quantile(h, 0.25), 20.2);
    assert_near(histogram_quantile(h, 0.26), 20.4);
    assert_near(histogram_quantile(h, 1), 20.8);
    histogram_free(h);
}

static void test_merge_is_exact(void **state)
{
    struct histogram *parts[3];
    struct histogram *whole = histogram_new();
    struct histogram *merged = histogram_new();
    struct rng r;

    rng_seed_with(&r, 2);
    for (int i = 0; i < 3; i++) {
        parts[i] = histogram_new();
    }
    for (int i = 0; i < 10000; i++) {
        uint64_t v = rng_next(&r) >> rng_below(&r, 64);

        histogram_record(parts[i % 3], v);
        histogram_record(whole, v);
    }
    for (int i = 0; i < 3; i++) {
        histogram_merge(merged, parts[i]);
        histogram_free(parts[i]);
    }
    assert_int_equal(histogram_count(merged), 10000);
    assert_near(histogram_sum(merged), histogram_sum(whole));
    for (double q = 0; q <= 1; q += 0.01) {
        assert_true(histogram_quantile(merged, q) == histogram_quantile(whole, q));
    }
    histogram_free(merged);
    histogram_free(whole);
}

static void add_samples(void *user, double left, double width, uint64_t count)
{
    (void)left;
    (void)width;
    *(uint64_t *)user += count;
}

/* What `histogram_since` gave, as a histogram; frees it. */
static struct histogram *take_snapshot(struct histogram_snapshot *s)
{
    struct histogram *h = histogram_new();

    histogram_add(h, s);
    free(s);
    return h;
}

static void test_what_came_since(void **state)
{
    struct histogram *h = histogram_new();
    struct histogram *other = histogram_new();
    struct histogram_snapshot *before = histogram_snapshot_new(h);
    struct histogram *since;
    uint64_t seen = 0;

    (void)state;
    assert_null(histogram_since(h, before));
    assert_null(histogram_since(h, NULL));
    free(before);
    histogram_record(h, 0);
    histogram_record(h, 7);
    before = histogram_snapshot_new(h);
    assert_null(histogram_since(h, before));
    histogram_record(h, 7);
    histogram_record(h, 12345);
    histogram_record(h, 3);
    since = take_snapshot(histogram_since(h, before));
    assert_int_equal(histogram_count(since), 3);
    assert_int_equal(histogram_count_le(since, 3), 1);
    assert_int_equal(histogram_count_le(since, 7), 2);
    histogram_visit(since, add_samples, &seen);
    assert_int_equal(seen, 3);
    assert_true(histogram_quantile(since, 1) >= 12000);
    histogram_free(since);
    free(before);
    /* Reset in between: all that is there is new, whether buckets or counts are missing. */
    before = histogram_snapshot_new(h);
    histogram_record(other, 7);
    histogram_record(other, 12345);
    since = take_snapshot(histogram_since(other, before));
    assert_int_equal(histogram_count(since), 2);
    histogram_free(since);
    free(before);
    histogram_free(h);
    histogram_free(other);
}

static void test_snapshots_of_every_bucket(void **state)
{
    struct histogram *h = histogram_new();
    struct histogram *copy;
    uint64_t value = 1;

    (void)state;
    histogram_record(h, 0);
    for (int i = 0; i < 64; i++, value *= 2) {
        histogram_record(h, value);
        histogram_record(h, value + value / 2);
    }
    histogram_record(h, UINT64_MAX);
    copy = take_snapshot(histogram_snapshot_new(h));
    assert_int_equal(histogram_count(copy), histogram_count(h));
    assert_true(histogram_sum(copy) == histogram_sum(h));
    for (int i = 0; i <= 10; i++) {
        assert_true(histogram_quantile(copy, i / 10.0) == histogram_quantile(h, i / 10.0));
    }
    histogram_free(copy);
    histogram_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_one_sample_as_envoy),
        cmocka_unit_test(test_bucket_edges),
        cmocka_unit_test(test_every_power_of_ten_lands_right),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_quantiles_spread_inside_a_bucket),
        cmocka_unit_test(test_merge_is_exact),
        cmocka_unit_test(test_what_came_since),
        cmocka_unit_test(test_snapshots_of_every_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
