/* The end of a turn (tasks, frees), the cached date, and the shared read block. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/event/deferred.h"
#include "dataplane/event/loop.h"

static struct loop loop;
static char trace[64];
static size_t trace_len;

static void trace_add(char c)
{
    assert_true(trace_len + 1 < sizeof(trace));
    trace[trace_len++] = c;
    trace[trace_len] = '\0';
}

struct actor {
    struct loop_task task;
    struct deferred deferred;
    char name;
    struct actor *schedules; /* when run */
};

static void actor_on_free(struct deferred *d)
{
    struct actor *a = container_of(d, struct actor, deferred);

    trace_add((char)(a->name - 'a' + 'A'));
    if (a->name == 'z') {
        loop_stop(&loop);
    }
}

static void actor_on_run(struct loop_task *t)
{
    struct actor *a = container_of(t, struct actor, task);

    trace_add(a->name);
    if (a->schedules != NULL) {
        loop_task_schedule(&loop, &a->schedules->task);
    }
    deferred_free(&loop, &a->deferred, actor_on_free);
}

static void actor_init(struct actor *a, char name, struct actor *schedules)
{
    a->name = name;
    a->schedules = schedules;
    loop_task_init(&a->task, actor_on_run);
}

static int setup(void **state)
{
    trace_len = 0;
    trace[0] = '\0';
    return loop_init(&loop, 3);
}

static int teardown(void **state)
{
    loop_done(&loop);
    return 0;
}

/* No timer, no I/O: were a task or a free left for after the sleep, this would hang. */
static void test_turn_ends_when_both_lists_are_empty(void **state)
{
    struct actor a;
    struct actor b;
    struct actor z;

    actor_init(&z, 'z', NULL);
    actor_init(&b, 'b', &z);
    actor_init(&a, 'a', &b);
    loop_task_schedule(&loop, &a.task);
    loop_task_schedule(&loop, &a.task); /* once */
    loop_run(&loop);
    assert_string_equal(trace, "aAbBzZ");
}

static void test_cancelled_task_does_not_run(void **state)
{
    struct actor a;
    struct actor z;

    actor_init(&a, 'a', NULL);
    actor_init(&z, 'z', NULL);
    loop_task_schedule(&loop, &a.task);
    loop_task_schedule(&loop, &z.task);
    loop_task_cancel(&a.task);
    loop_task_cancel(&a.task);
    loop_run(&loop);
    assert_string_equal(trace, "zZ");
}

static struct actor timer_actor;

static void schedule_on_fire(struct timer *t)
{
    trace_add('t');
    loop_task_schedule(&loop, &timer_actor.task);
}

static void test_tasks_of_a_timer_run_before_the_loop_sleeps(void **state)
{
    struct timer t;

    actor_init(&timer_actor, 'z', NULL);
    timer_init(&t, schedule_on_fire);
    timer_arm(&loop, &t, 1);
    loop_run(&loop);
    assert_string_equal(trace, "tzZ");
}

static void test_sigpipe_is_ignored(void **state)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(write(fds[1], "x", 1), -1); /* and we are still here */
    assert_int_equal(close(fds[1]), 0);
}

static void test_date_is_cached_for_its_second(void **state)
{
    char want[CLOCK_HTTP_DATE_BYTES];
    uint64_t second = loop_wall_ns(&loop, loop_now_ms(&loop) * 1000000) / 1000000000;
    struct str date = loop_http_date(&loop);

    clock_http_date(second, want);
    assert_int_equal(date.len, sizeof(want));
    assert_memory_equal(date.ptr, want, sizeof(want));
    assert_ptr_equal(loop_http_date(&loop).ptr, date.ptr);
    assert_in_range(second, clock_wall_ns() / 1000000000 - 5, clock_wall_ns() / 1000000000 + 5);
    loop.uv.time += 1000;
    clock_http_date(second + 1, want);
    assert_memory_equal(loop_http_date(&loop).ptr, want, sizeof(want));
}

static void test_read_block_stays_while_nobody_keeps_bytes(void **state)
{
    struct buf kept;
    struct buf_block *block;
    uint8_t *first;
    uint8_t *data;
    size_t len;

    buf_init(&kept, &loop.bufs);
    block = loop_read_window(&loop, &first, &len);
    assert_true(len >= LOOP_READ_MIN_BYTES);
    loop_read_done(&loop, block, first, 500);
    assert_int_equal(loop.bufs.live_blocks, 1);

    block = loop_read_window(&loop, &data, &len);
    assert_ptr_equal(data, first); /* consumed: read over */
    buf_add_window(&kept, block, data, 300);
    loop_read_done(&loop, block, data, 500);

    block = loop_read_window(&loop, &data, &len);
    assert_ptr_equal(data, first + 500); /* kept: read behind */
    loop_read_done(&loop, block, data, 0);

    block = loop_read_window(&loop, &data, &len);
    assert_ptr_equal(data, first + 500);
    buf_add_window(&kept, block, data, len);
    loop_read_done(&loop, block, data, len);
    block = loop_read_window(&loop, &data, &len);
    assert_int_equal(loop.bufs.live_blocks, 2); /* full: a fresh one */
    loop_read_done(&loop, block, data, 0);
    buf_reset(&kept);
    assert_int_equal(loop.bufs.live_blocks, 1);
}

static void test_nested_read_gets_another_block(void **state)
{
    struct buf_block *outer;
    struct buf_block *inner;
    uint8_t *outer_data;
    uint8_t *inner_data;
    size_t len;

    outer = loop_read_window(&loop, &outer_data, &len);
    memset(outer_data, 'o', 100);
    inner = loop_read_window(&loop, &inner_data, &len);
    assert_ptr_not_equal(outer, inner);
    memset(inner_data, 'i', len);
    loop_read_done(&loop, inner, inner_data, len);
    assert_int_equal(outer_data[99], 'o');
    loop_read_done(&loop, outer, outer_data, 100);
    assert_int_equal(loop.bufs.live_blocks, 1);
}

static void stop_on_fire(struct timer *t)
{
    loop_stop(&loop);
}

/* After a burst the pools shrink by themselves, with nothing else going on. */
static void test_pools_shrink_after_a_burst(void **state)
{
    static const char noise[BUF_BLOCK_BYTES];
    struct timer stop;
    struct buf burst;

    buf_init(&burst, &loop.bufs);
    for (int i = 0; i < 200; i++) {
        buf_add(&burst, noise, sizeof(noise));
    }
    buf_reset(&burst);
    assert_true(loop.bufs.free_block_count >= 200);
    timer_init(&stop, stop_on_fire);
    timer_arm(&loop, &stop, 1);
    loop_run(&loop);
    assert_true(timer_is_armed(&loop.trim));
    for (int second = 0; second < 20; second++) {
        loop.uv.time += 1001;
        timer_wheel_advance(&loop.timers, loop.uv.time);
    }
    assert_in_range(loop.bufs.free_block_count, 1, 32);
    assert_false(timer_is_armed(&loop.trim));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_turn_ends_when_both_lists_are_empty),
        TEST(test_cancelled_task_does_not_run),
        TEST(test_tasks_of_a_timer_run_before_the_loop_sleeps),
        TEST(test_sigpipe_is_ignored),
        TEST(test_date_is_cached_for_its_second),
        TEST(test_read_block_stays_while_nobody_keeps_bytes),
        TEST(test_pools_shrink_after_a_burst),
        TEST(test_nested_read_gets_another_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
