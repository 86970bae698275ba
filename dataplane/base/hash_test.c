/* Stable hashes must never change: other proxies compute the same rings from them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/hash.h"

static void test_stable_hashes_are_xxh64(void **state)
{
    assert_true(hash_xx64(STR(""), 0) == UINT64_C(0xef46db3751d8e999));
    assert_true(hash_xx64(STR_NONE, 0) == UINT64_C(0xef46db3751d8e999));
    assert_true(hash_xx64(STR("a"), 0) == UINT64_C(0xd24ec4f1a98c6e5b));
    assert_true(hash_xx64(STR("abc"), 0) == UINT64_C(0x44bc2cf5ad770999));
    assert_true(hash_xx64(STR("abc"), 1) != hash_xx64(STR("abc"), 0));
}

static void test_mix_depends_on_order(void **state)
{
    assert_true(hash_mix(hash_mix(0, "a", 1), "b", 1) != hash_mix(hash_mix(0, "b", 1), "a", 1));
}

static void test_map_hash_is_the_same_within_the_process(void **state)
{
    assert_true(hash_map(STR("key")) == hash_map(STR("key")));
    assert_true(hash_map(STR("key")) != hash_map(STR("kez")));
    assert_true(hash_map(STR_NONE) == hash_map(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stable_hashes_are_xxh64),
        cmocka_unit_test(test_mix_depends_on_order),
        cmocka_unit_test(test_map_hash_is_the_same_within_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
