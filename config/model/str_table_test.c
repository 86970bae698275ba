/* The read-only hash against a walk, with and without case. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/str_table.h"
#include "dataplane/base/rand.h"

#define KEYS 500

static struct str random_key(struct rng *r, char *out, size_t max)
{
    size_t len = rng_below(r, max);

    for (size_t i = 0; i < len; i++) {
        /* Around the letters too: @ [ ` { are no upper or lower case of anything. */
        out[i] = "abABzZ@[`{\x7f\xe1"[rng_below(r, 12)];
    }
    return str_n(out, len);
}

static uint32_t naive(const struct str *keys, size_t n, struct str key, bool ignores_case)
{
    for (size_t i = 0; i < n; i++) {
        if (ignores_case ? str_eq_nocase(keys[i], key) : str_eq(keys[i], key)) {
            return (uint32_t)i;
        }
    }
    return STR_TABLE_NONE;
}

static void test_agrees_with_a_walk(void **state)
{
    struct rng r;

    rng_seed_with(&r, 11);
    for (int ignores_case = 0; ignores_case < 2; ignores_case++) {
        static struct str keys[KEYS];
        struct str_table t;
        struct arena a;
        char text[32];
        uint32_t n = 0;

        arena_init(&a, NULL);
        str_table_init(&t, &a, KEYS, ignores_case != 0);
        for (int i = 0; i < KEYS; i++) {
            struct str key = random_key(&r, text, 24);
            uint32_t before = naive(keys, n, key, ignores_case != 0);

            keys[n] = arena_str(&a, key);
            assert_int_equal(str_table_add(&t, keys[n], n), before != STR_TABLE_NONE ? before : n);
            n += before == STR_TABLE_NONE;
        }
        assert_int_equal(t.count, n);
        for (int i = 0; i < 20000; i++) {
            struct str key = random_key(&r, text, 26);

            assert_int_equal(str_table_find(&t, key), naive(keys, n, key, ignores_case != 0));
        }
        arena_done(&a);
    }
}

static void test_empty_table(void **state)
{
    struct str_table t;
    struct arena a;

    arena_init(&a, NULL);
    str_table_init(&t, &a, 0, false);
    assert_int_equal(str_table_find(&t, STR("a")), STR_TABLE_NONE);
    assert_int_equal(str_table_find(&t, STR_NONE), STR_TABLE_NONE);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_a_walk),
        cmocka_unit_test(test_empty_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
