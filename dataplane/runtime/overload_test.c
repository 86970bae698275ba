/* Levels, chance, timeouts that are cut. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/event/loop.h"
#include "dataplane/runtime/overload.h"
#include "dataplane/runtime/thread_context.h"

static struct loop loop;
static struct overload o;
static const struct thread_context thread = {.loop = &loop, .overload = &o};

static void set_level(enum overload_point p, uint32_t level)
{
    atomic_store(&o.levels[p], level);
}

static void a_level_takes_its_share(void **state)
{
    struct rng untouched;
    int taken = 0;

    (void)state;
    rng_seed_with(&loop.rng, 1);
    untouched = loop.rng;
    assert_false(overload_sheds(&thread, NULL, OVERLOAD_STOP_ACCEPTING_REQUESTS));
    assert_false(overload_sheds(&thread, &o, OVERLOAD_STOP_ACCEPTING_REQUESTS));
    set_level(OVERLOAD_STOP_ACCEPTING_REQUESTS, OVERLOAD_FULL);
    assert_true(overload_sheds(&thread, &o, OVERLOAD_STOP_ACCEPTING_REQUESTS));
    assert_true(overload_is_saturated(&o, OVERLOAD_STOP_ACCEPTING_REQUESTS));
    assert_memory_equal(&loop.rng, &untouched, sizeof(untouched)); /* no number taken */
    set_level(OVERLOAD_STOP_ACCEPTING_REQUESTS, OVERLOAD_FULL / 4);
    assert_false(overload_is_saturated(&o, OVERLOAD_STOP_ACCEPTING_REQUESTS));
    for (int i = 0; i < 10000; i++) {
        taken += overload_sheds(&thread, &o, OVERLOAD_STOP_ACCEPTING_REQUESTS);
    }
    assert_in_range(taken, 2300, 2700);
    set_level(OVERLOAD_STOP_ACCEPTING_REQUESTS, 0);
}

static void timeouts_are_cut_towards_their_least(void **state)
{
    (void)state;
    o.timers[SCALED_STREAM_IDLE] = (struct timer_scale){.is_set = true, .min_ms = 2000};
    o.timers[SCALED_CONNECTION_IDLE] = (struct timer_scale){.is_set = true, .min_percent = 10};
    assert_int_equal(overload_cut_ms(&o, SCALED_STREAM_IDLE, 10000), 0);
    set_level(OVERLOAD_REDUCE_TIMEOUTS, OVERLOAD_FULL / 2);
    assert_int_equal(overload_cut_ms(&o, SCALED_STREAM_IDLE, 10000), 4000);
    assert_int_equal(overload_cut_ms(&o, SCALED_CONNECTION_IDLE, 10000), 4500);
    assert_int_equal(overload_cut_ms(&o, SCALED_CONNECTION_MAX, 10000), 0);
    set_level(OVERLOAD_REDUCE_TIMEOUTS, OVERLOAD_FULL);
    assert_int_equal(overload_cut_ms(&o, SCALED_STREAM_IDLE, 10000), 8000);
    assert_int_equal(overload_cut_ms(&o, SCALED_STREAM_IDLE, 1000), 0); /* short already */
    assert_int_equal(overload_cut_ms(&o, SCALED_CONNECTION_IDLE, 10000), 9000);
    assert_int_equal(overload_cut_ms(NULL, SCALED_CONNECTION_IDLE, 10000), 0);
    set_level(OVERLOAD_REDUCE_TIMEOUTS, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_takes_its_share),
        cmocka_unit_test(timeouts_are_cut_towards_their_least),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
