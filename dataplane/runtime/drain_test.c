/* How likely a response closes its connection while a drain goes on. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dataplane/runtime/drain.h"

#define TRIALS 4000

static unsigned count_due(const struct drain_policy *p, uint64_t elapsed_ms)
{
    struct rng rng;
    unsigned due = 0;

    rng_seed_with(&rng, 7);
    for (int i = 0; i < TRIALS; i++) {
        due += drain_is_due(p, elapsed_ms, &rng);
    }
    return due;
}

static void test_immediate_drain_is_always_due(void **state)
{
    const struct drain_policy p = {.time_ms = 600000};

    (void)state;
    assert_int_equal(count_due(&p, 0), TRIALS);
}

static void test_gradual_drain_rises_to_certainty(void **state)
{
    const struct drain_policy p = {.time_ms = 600000, .is_gradual = true};
    unsigned quarter = count_due(&p, 150000);
    unsigned half = count_due(&p, 300000);

    (void)state;
    assert_int_equal(count_due(&p, 0), 0);
    assert_in_range(quarter, TRIALS / 5, TRIALS * 3 / 10);
    assert_in_range(half, TRIALS * 45 / 100, TRIALS * 55 / 100);
    assert_int_equal(count_due(&p, 600000), TRIALS);
    assert_int_equal(count_due(&p, 900000), TRIALS);
}

static void test_gradual_drain_without_time_is_due(void **state)
{
    const struct drain_policy p = {.time_ms = 0, .is_gradual = true};

    (void)state;
    assert_int_equal(count_due(&p, 0), TRIALS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_immediate_drain_is_always_due),
        cmocka_unit_test(test_gradual_drain_rises_to_certainty),
        cmocka_unit_test(test_gradual_drain_without_time_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
