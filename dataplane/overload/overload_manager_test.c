/* Pressures to levels, with monitors of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/event/loop.h"
#include "dataplane/overload/overload_manager.h"
#include "dataplane/overload/resource_monitor.h"

static struct loop loop;
static struct stat_store *stats;
static struct overload_manager *manager;
static double pressure;   /* of the first resource; negative: cannot be told */
static double memory_now; /* of the second, which watches memory */
static int level_changes;
static uint32_t last_level;
static int shrinks;
static uint64_t reset_bytes;

static int open_nothing(const void *config, void **ret_state, struct error *reterr)
{
    (void)config;
    (void)reterr;
    *ret_state = NULL;
    return 0;
}

static int read_pressure(void *state, double *ret)
{
    (void)state;
    if (pressure < 0) {
        return E_SYS;
    }
    *ret = pressure;
    return 0;
}

static int read_memory(void *state, double *ret)
{
    (void)state;
    *ret = memory_now;
    return 0;
}

static void close_nothing(void *state)
{
    (void)state;
}

static const struct resource_monitor_type plain_type = {
    .open = open_nothing, .read = read_pressure, .close = close_nothing};
static const struct resource_monitor_type memory_type = {.is_memory = true,
                                                         .open = open_nothing,
                                                         .read = read_memory,
                                                         .hurry = read_memory,
                                                         .close = close_nothing};

static struct filter_config resources[] = {
    {.name = {"plain", 5}, .ext = &plain_type.ext},
    {.name = {"memory", 6}, .ext = &memory_type.ext},
};
static struct overload_trigger stop_triggers[] = {{0, 0.5, 0.7}, {1, 0.9, 0.9}};
static struct overload_trigger shrink_triggers[] = {{1, 0.8, 0.8}};
static struct overload_trigger reset_triggers[] = {{1, 0.8, 1.0}};
static struct overload_point_config points[] = {
    {.name = {"stop", 4},
     .point = OVERLOAD_STOP_ACCEPTING_REQUESTS,
     .triggers = stop_triggers,
     .trigger_count = 2},
    {.name = {"shrink", 6},
     .point = OVERLOAD_SHRINK_HEAP,
     .triggers = shrink_triggers,
     .trigger_count = 1},
    {.name = {"reset", 5},
     .point = OVERLOAD_RESET_HIGH_MEMORY_STREAM,
     .triggers = reset_triggers,
     .trigger_count = 1},
    {.name = {"shed", 4},
     .point = -1,
     .is_load_shed_point = true,
     .triggers = shrink_triggers,
     .trigger_count = 1},
};
static const struct overload_config config = {
    .refresh_ms = 1,
    .resources = resources,
    .resource_count = 2,
    .points = points,
    .point_count = 4,
    .reset_min_power = 10,
};

static void on_level(void *user, enum overload_point action, uint32_t level)
{
    (void)user;
    if (action == OVERLOAD_STOP_ACCEPTING_REQUESTS) {
        level_changes++;
        last_level = level;
    }
}

static void on_shrink_heap(void *user)
{
    (void)user;
    shrinks++;
}

static void on_reset_streams(void *user, uint64_t min_bytes)
{
    (void)user;
    reset_bytes = min_bytes;
}

static int set_up(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    pressure = memory_now = 0;
    level_changes = shrinks = 0;
    last_level = 0;
    reset_bytes = 0;
    assert_int_equal(loop_init(&loop, LOOP_MAIN_INDEX), 0);
    stats = stat_store_new(1);
    assert_int_equal(overload_manager_new(
                         &(struct overload_manager_params){
                             .loop = &loop,
                             .stats = stats,
                             .config = &config,
                             .max_connections = 77,
                             .on_level = on_level,
                             .on_shrink_heap = on_shrink_heap,
                             .on_reset_streams = on_reset_streams,
                         },
                         &manager, &err),
                     0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    overload_manager_stop(manager);
    overload_manager_free(manager);
    loop_done(&loop);
    stat_store_free(stats);
    return 0;
}

static uint32_t level(enum overload_point p)
{
    return overload_level(overload_manager_state(manager), p);
}

/* Runs the loop until the manager has looked at what the test says. */
static void refresh(void)
{
    overload_manager_start(manager);
    for (int i = 0; i < 2; i++) { /* the second look tells what the first one found */
        uint64_t end = uv_hrtime() + UINT64_C(5000000);

        do {
            (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
        } while (uv_hrtime() < end);
    }
}

static void levels_follow_pressure(void **state)
{
    (void)state;
    assert_int_equal(overload_manager_state(manager)->max_connections, 77);
    pressure = 0.6;
    refresh();
    assert_in_range(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), 499990, 500010);
    assert_int_equal(last_level, level(OVERLOAD_STOP_ACCEPTING_REQUESTS));
    pressure = 0.7;
    refresh();
    assert_int_equal(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), OVERLOAD_FULL);
    pressure = 0.5;
    refresh();
    assert_int_equal(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), 0);
    assert_int_equal(level_changes, 3);
}

static void the_strongest_trigger_decides(void **state)
{
    (void)state;
    pressure = 0.6;
    memory_now = 0.96;
    refresh();
    assert_int_equal(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), OVERLOAD_FULL);
    assert_true(shrinks > 0);
    assert_int_equal(reset_bytes, 1u << (10 + 8 - 7)); /* 80 %: seven of eight classes */
    memory_now = 0;
    refresh();
    assert_in_range(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), 499990, 500010);
}

static void what_cannot_be_told_stays_as_it_was(void **state)
{
    (void)state;
    pressure = 0.9;
    refresh();
    pressure = -1;
    refresh();
    assert_int_equal(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), OVERLOAD_FULL);
}

static void memory_that_is_taken_quickly_is_not_waited_for(void **state)
{
    (void)state;
    memory_now = 0.99;
    overload_manager_hurry(manager);
    assert_int_equal(level(OVERLOAD_STOP_ACCEPTING_REQUESTS), OVERLOAD_FULL);
    assert_int_equal(level_changes, 0); /* main hears of it later */
    pressure = 0.99;
    overload_manager_hurry(manager); /* other resources are not asked */
    (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(level_changes, 1);
    assert_int_equal(reset_bytes, 1u << 10);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(levels_follow_pressure),
        CASE(the_strongest_trigger_decides),
        CASE(what_cannot_be_told_stays_as_it_was),
        CASE(memory_that_is_taken_quickly_is_not_waited_for),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
