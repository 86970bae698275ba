/* Limits hold across threads: never one more than allowed, never one lost. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "dataplane/runtime/runtime.h"
#include "dataplane/upstream/circuit_breaker.h"

#define THREADS 4
#define ROUNDS 20000

struct contender {
    struct circuit_breaker *breaker;
    _Atomic(int) *inside;
    _Atomic(int) *most;
    uint32_t max;
    unsigned got;
};

static void *contend(void *arg)
{
    struct contender *c = arg;

    for (int i = 0; i < ROUNDS; i++) {
        int now;
        int most;

        if (!breaker_try_acquire(c->breaker, BREAKER_REQUESTS, c->max)) {
            continue;
        }
        c->got++;
        now = atomic_fetch_add(c->inside, 1) + 1;
        most = atomic_load(c->most);
        while (now > most && !atomic_compare_exchange_weak(c->most, &most, now)) {
        }
        atomic_fetch_sub(c->inside, 1);
        breaker_release(c->breaker, BREAKER_REQUESTS);
    }
    return NULL;
}

static void check_limit(uint32_t max)
{
    struct circuit_breaker breaker = {0};
    _Atomic(int) inside = 0;
    _Atomic(int) most = 0;
    struct contender contenders[THREADS];
    pthread_t threads[THREADS];
    unsigned got = 0;

    for (size_t i = 0; i < THREADS; i++) {
        contenders[i] = (struct contender){&breaker, &inside, &most, max, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &contenders[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        got += contenders[i].got;
    }
    assert_true(atomic_load(&most) <= (int)max);
    assert_int_equal(breaker_count(&breaker, BREAKER_REQUESTS), 0);
    assert_int_equal(got > 0, max > 0);
}

static void limits_hold_across_threads(void **state)
{
    (void)state;
    check_limit(0);
    check_limit(1);
    check_limit(2);
}

static void resources_are_counted_apart(void **state)
{
    const struct circuit_breaker_limits limits = {
        .max_connections = 1, .max_pending_requests = 2, .max_requests = 3, .max_retries = 4};
    struct circuit_breaker b = {0};

    (void)state;
    for (int i = 0; i < BREAKER_RESOURCE_COUNT; i++) {
        enum breaker_resource r = (enum breaker_resource)i;
        uint32_t max = breaker_limit(&limits, r);

        assert_int_equal(max, i + 1);
        for (uint32_t n = 0; n < max; n++) {
            assert_true(breaker_try_acquire(&b, r, max));
        }
        assert_false(breaker_try_acquire(&b, r, max));
        breaker_acquire(&b, r); /* beyond the limit where Envoy allows it */
        assert_int_equal(breaker_count(&b, r), max + 1);
        breaker_release(&b, r);
        assert_false(breaker_try_acquire(&b, r, max));
        breaker_release(&b, r);
        assert_true(breaker_try_acquire(&b, r, max));
    }
}

static void a_runtime_value_goes_before_the_configured_one(void **state)
{
    const struct runtime_entry entries[] = {
        {STR("circuit_breakers.c.default.max_requests"), {.is_uint = true, .uint = 7}},
        {STR("circuit_breakers.c.high.max_retries"), {.is_uint = true, .uint = 1ull << 40}},
    };
    const struct runtime_layer layer = {
        .name = STR("l"), .entries = entries, .count = ARRAY_LEN(entries)};
    const struct cluster_config c = {
        .name = STR("c"),
        .breakers = {{.max_requests = 3, .max_retries = 4}, {.max_requests = 5, .max_retries = 6}}};
    struct runtime *r = runtime_new(&layer, 1);
    struct thread_context t = {0};

    (void)state;
    assert_int_equal(breaker_limit_now(&t, &c, PRIORITY_DEFAULT, BREAKER_REQUESTS), 3);
    t.runtime = r;
    assert_int_equal(breaker_limit_now(&t, &c, PRIORITY_DEFAULT, BREAKER_REQUESTS), 7);
    assert_int_equal(breaker_limit_now(&t, &c, PRIORITY_DEFAULT, BREAKER_RETRIES), 4);
    assert_int_equal(breaker_limit_now(&t, &c, PRIORITY_HIGH, BREAKER_REQUESTS), 5);
    assert_int_equal(breaker_limit_now(&t, &c, PRIORITY_HIGH, BREAKER_RETRIES), UINT32_MAX);
    runtime_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold_across_threads),
        cmocka_unit_test(resources_are_counted_apart),
        cmocka_unit_test(a_runtime_value_goes_before_the_configured_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
