/* The bump allocator and its chunk pool. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/rand.h"

static void test_allocations_are_aligned_and_do_not_overlap(void **state)
{
    struct arena_pool pool;
    struct arena a;
    struct rng r;

    rng_seed_with(&r, 1);
    arena_pool_init(&pool, 8);
    for (int use_pool = 0; use_pool < 2; use_pool++) {
        unsigned char *blocks[500];
        size_t lens[500];

        arena_init(&a, use_pool ? &pool : NULL);
        for (int i = 0; i < 500; i++) {
            lens[i] = rng_below(&r, 10) == 0 ? rng_below(&r, 20000) : rng_below(&r, 100);
            blocks[i] = arena_alloc(&a, lens[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            if (lens[i] > 0) {
                memset(blocks[i], i & 0xff, lens[i]);
            }
        }
        for (int i = 0; i < 500; i++) {
            for (size_t k = 0; k < lens[i]; k++) {
                assert_int_equal(blocks[i][k], i & 0xff);
            }
        }
        arena_done(&a);
        assert_int_equal(a.total_bytes, 0);
    }
    arena_pool_done(&pool);
}

static void test_pool_recycles_chunks_up_to_its_bound(void **state)
{
    struct arena_pool pool;
    struct arena a;
    void *first;

    arena_pool_init(&pool, 2);
    arena_init(&a, &pool);
    first = arena_alloc(&a, 100);
    arena_done(&a);
    assert_int_equal(pool.free_count, 1);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    assert_int_equal(pool.free_count, 0);
    for (int i = 0; i < 50; i++) {
        (void)arena_alloc(&a, 1000);
    }
    arena_done(&a);
    assert_int_equal(pool.free_count, 2);
    arena_pool_done(&pool);
}

static void test_trim_gives_back_only_what_was_idle(void **state)
{
    struct arena_pool pool;
    struct arena a;

    arena_pool_init(&pool, 100);
    arena_init(&a, &pool);
    for (int i = 0; i < 10; i++) {
        (void)arena_alloc(&a, 2000);
        (void)arena_alloc(&a, 2000);
    }
    arena_done(&a);
    assert_int_equal(pool.free_count, 10);
    assert_true(arena_pool_trim(&pool, 3));
    assert_int_equal(pool.free_count, 10);
    assert_true(arena_pool_trim(&pool, 3));
    assert_int_equal(pool.free_count, 5);
    assert_false(arena_pool_trim(&pool, 3));
    assert_int_equal(pool.free_count, 3);
    arena_pool_done(&pool);
}

static void test_big_allocation_leaves_the_current_chunk_in_use(void **state)
{
    struct arena_pool pool;
    struct arena a;
    char *small;

    arena_pool_init(&pool, 2);
    arena_init(&a, &pool);
    small = arena_alloc(&a, 16);
    (void)arena_alloc(&a, 100000);
    assert_ptr_equal(arena_alloc(&a, 16), small + 16);
    arena_done(&a);
    assert_int_equal(pool.free_count, 1);
    arena_pool_done(&pool);
}

static void test_heap_arenas_start_small(void **state)
{
    struct arena a;

    arena_init(&a, NULL);
    assert_int_equal(a.total_bytes, 0);
    (void)arena_alloc(&a, 32);
    assert_true(a.total_bytes <= 256);
    for (int i = 0; i < 1000; i++) {
        (void)arena_alloc(&a, 64);
    }
    assert_true(a.total_bytes < 2 * 64 * 1000);
    arena_done(&a);
}

static void test_strings(void **state)
{
    const struct str pieces[] = {STR("a"), STR(""), STR("bc")};
    struct arena a;
    struct str s;
    int *zeros;

    arena_init(&a, NULL);
    s = arena_str(&a, str_n("hello world", 5));
    assert_string_equal(s.ptr, "hello");
    assert_int_equal(s.len, 5);
    s = arena_str(&a, STR_NONE);
    assert_string_equal(s.ptr, "");
    s = arena_printf(&a, "%s-%d", "x", 42);
    assert_string_equal(s.ptr, "x-42");
    s = arena_concat(&a, pieces, ARRAY_LEN(pieces));
    assert_string_equal(s.ptr, "abc");
    assert_int_equal(s.len, 3);
    assert_string_equal(arena_strdup(&a, "dup"), "dup");
    zeros = ARENA_ARRAY(&a, int, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(zeros[i], 0);
    }
    assert_non_null(arena_memdup(&a, "xyz", 3));
    arena_done(&a);
    (void)arena_calloc(&a, 0, 8); /* nothing, before the first chunk */
    arena_done(&a);
}

static void test_shrinking_leaves_the_rest_to_the_next(void **state)
{
    struct arena a;
    char *first;
    char *second;

    arena_init(&a, NULL);
    first = arena_alloc(&a, 500);
    arena_shrink(&a, first, 100);
    second = arena_alloc(&a, 100);
    assert_ptr_equal(second, first + 112);
    assert_int_equal((uintptr_t)second % 16, 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shrinking_leaves_the_rest_to_the_next),
        cmocka_unit_test(test_allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(test_pool_recycles_chunks_up_to_its_bound),
        cmocka_unit_test(test_trim_gives_back_only_what_was_idle),
        cmocka_unit_test(test_big_allocation_leaves_the_current_chunk_in_use),
        cmocka_unit_test(test_heap_arenas_start_small),
        cmocka_unit_test(test_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
