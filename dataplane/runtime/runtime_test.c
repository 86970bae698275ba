/* Fractions of traffic. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/runtime/runtime.h"

static void test_fraction(void **state)
{
    struct rng r;
    struct rng untouched;
    int hits = 0;

    rng_seed_with(&r, 1);
    untouched = r;
    assert_false(runtime_fraction_enabled(&r, 0, 100));
    assert_true(runtime_fraction_enabled(&r, 100, 100));
    assert_true(runtime_fraction_enabled(&r, 200, 100));
    assert_memory_equal(&r, &untouched, sizeof(r)); /* no number taken */
    for (int i = 0; i < 100000; i++) {
        hits += runtime_fraction_enabled(&r, 25, 100);
    }
    assert_in_range(hits, 24000, 26000);
    hits = 0;
    for (int i = 0; i < 100000; i++) {
        hits += runtime_fraction_enabled(&r, 1000, 1000000);
    }
    assert_in_range(hits, 50, 170);
}

static void test_unprocessed_streams_are_replayed_unless_switched_off(void **state)
{
    struct runtime runtime = {.replays_unprocessed_streams = true};
    struct thread_context t = {.runtime = NULL};

    (void)state;
    assert_true(runtime_replays_unprocessed_streams(&t));
    t.runtime = &runtime;
    assert_true(runtime_replays_unprocessed_streams(&t));
    runtime.replays_unprocessed_streams = false;
    assert_false(runtime_replays_unprocessed_streams(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fraction),
        cmocka_unit_test(test_unprocessed_streams_are_replayed_unless_switched_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
