/* The timer wheel: a random run against an array of deadlines, with injected time, in which the
 * wheel moves only when its driver would wake it; and a short run on a real loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"

#define TIMERS 150
#define NOT_ARMED UINT64_MAX

struct probe {
    struct timer timer;
    uint64_t deadline_ms; /* what the model expects */
};

static struct loop loop;
static struct rng rng;
static struct probe probes[TIMERS];
static uint64_t last_fired_ms;
static size_t fired_count;

static uint64_t random_delay(void)
{
    static const uint64_t scales[] = {2, 10, 70, 5000, 300000, 20000000, UINT64_C(1) << 31};

    return rng_below(&rng, scales[rng_below(&rng, ARRAY_LEN(scales))]);
}

static void probe_arm(struct probe *p)
{
    uint64_t delay = random_delay();
    uint64_t cut = delay < UINT64_C(1) << 30 ? delay : UINT64_C(1) << 30;

    timer_arm(&loop, &p->timer, delay);
    p->deadline_ms = loop_now_ms(&loop) + 1 + cut;
    assert_true(timer_is_armed(&p->timer));
}

static void probe_cancel(struct probe *p)
{
    timer_cancel(&loop, &p->timer);
    p->deadline_ms = NOT_ARMED;
    assert_false(timer_is_armed(&p->timer));
}

static void random_step(void)
{
    struct probe *p = &probes[rng_below(&rng, TIMERS)];

    if (rng_below(&rng, 4) == 0) {
        probe_cancel(p);
    } else {
        probe_arm(p);
    }
}

static void probe_on_fire(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);

    assert_false(timer_is_armed(t));
    assert_true(p->deadline_ms != NOT_ARMED);
    assert_true(p->deadline_ms <= loop_now_ms(&loop));
    assert_true(p->deadline_ms >= last_fired_ms); /* in order */
    last_fired_ms = p->deadline_ms;
    p->deadline_ms = NOT_ARMED;
    fired_count++;
    for (uint64_t n = rng_below(&rng, 3); n > 0; n--) {
        random_step();
    }
}

/* Time passes; the driver's callback runs only if the wheel asked to be woken by now. */
static void pass_ms(uint64_t ms)
{
    struct timer_wheel *w = &loop.timers;

    loop.uv.time += ms;
    last_fired_ms = 0;
    if (w->driver_ms <= loop.uv.time) {
        w->driver.timer_cb(&w->driver);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(timer_is_armed(&probes[i].timer), probes[i].deadline_ms != NOT_ARMED);
        assert_true(probes[i].deadline_ms > loop.uv.time); /* else it was missed */
    }
}

static void test_random_run_against_deadlines(void **state)
{
    assert_int_equal(loop_init(&loop, 0), 0);
    rng_seed_with(&rng, 11);
    for (size_t i = 0; i < TIMERS; i++) {
        timer_init(&probes[i].timer, probe_on_fire);
        probes[i].deadline_ms = NOT_ARMED;
    }
    for (int round = 0; round < 40000; round++) {
        for (uint64_t n = rng_below(&rng, 4); n > 0; n--) {
            random_step();
        }
        pass_ms(rng_below(&rng, 20) == 0 ? random_delay() : rng_below(&rng, 4));
    }
    assert_true(fired_count > 10000);
    for (size_t i = 0; i < TIMERS; i++) {
        probe_cancel(&probes[i]);
    }
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        assert_true(loop.timers.occupied[level] == 0);
    }
    loop_done(&loop);
}

static void test_pushing_back_leaves_the_driver_alone(void **state)
{
    struct timer t;
    uint64_t driver_ms;
    uint64_t filed_ms;

    assert_int_equal(loop_init(&loop, 0), 0);
    timer_init(&t, probe_on_fire);
    timer_cancel(&loop, &t);
    timer_arm(&loop, &t, 100);
    driver_ms = loop.timers.driver_ms;
    filed_ms = t.filed_ms;
    timer_arm(&loop, &t, 5000);
    assert_true(loop.timers.driver_ms == driver_ms);
    assert_true(t.filed_ms == filed_ms);
    assert_true(t.deadline_ms == filed_ms + 4900);
    timer_arm(&loop, &t, 50);
    assert_true(loop.timers.driver_ms == driver_ms - 50);
    timer_cancel(&loop, &t);
    loop_done(&loop);
}

/* --- On a real loop ------------------------------------------------------------------------------
 */

struct alarm {
    struct timer timer;
    uint64_t armed_ns;
    uint64_t delay_ms;
    bool is_last;
};

static void alarm_on_fire(struct timer *t)
{
    struct alarm *a = container_of(t, struct alarm, timer);

    assert_true(clock_mono_ns() - a->armed_ns >= a->delay_ms * 1000000); /* never early */
    a->delay_ms = 0;
    if (a->is_last) {
        loop_stop(&loop);
    }
}

static void test_wheel_that_ran_empty_wakes_again(void **state)
{
    struct alarm a = {.is_last = true};

    assert_int_equal(loop_init(&loop, 0), 0);
    timer_init(&a.timer, alarm_on_fire);
    for (int i = 0; i < 3; i++) {
        a.delay_ms = 2;
        a.armed_ns = loop_now_ms(&loop) * 1000000;
        timer_arm(&loop, &a.timer, 2);
        loop_run(&loop); /* hangs when the driver was not started */
        assert_int_equal(a.delay_ms, 0);
    }
    loop_done(&loop);
}

static void test_real_timers_are_never_early(void **state)
{
    static const uint64_t delays[] = {0, 1, 2, 3, 7, 15, 30, 64, 65};
    struct alarm alarms[ARRAY_LEN(delays)];

    assert_int_equal(loop_init(&loop, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        timer_init(&alarms[i].timer, alarm_on_fire);
        alarms[i].delay_ms = delays[i];
        alarms[i].is_last = i + 1 == ARRAY_LEN(delays);
        uv_update_time(&loop.uv);
        alarms[i].armed_ns = loop_now_ms(&loop) * 1000000; /* what the wheel counts from */
        timer_arm(&loop, &alarms[i].timer, delays[i]);
    }
    loop_run(&loop);
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        assert_int_equal(alarms[i].delay_ms, 0);
        assert_false(timer_is_armed(&alarms[i].timer));
    }
    loop_done(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_run_against_deadlines),
        cmocka_unit_test(test_pushing_back_leaves_the_driver_alone),
        cmocka_unit_test(test_wheel_that_ran_empty_wakes_again),
        cmocka_unit_test(test_real_timers_are_never_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
