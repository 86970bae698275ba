/* Random numbers: bounds, spread, the published vectors of xoshiro256++, the shape of a UUID. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>

#include "dataplane/base/rand.h"

static void test_xoshiro_vectors(void **state)
{
    struct rng r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {41943041, 58720359, UINT64_C(3588806011781223),
                                    UINT64_C(3591011842654386)};

    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(rng_next(&r) == want[i]);
    }
}

static void test_below_is_in_range_and_even(void **state)
{
    int hits[7] = {0};
    struct rng r;

    rng_seed_with(&r, 9);
    for (int i = 0; i < 70000; i++) {
        hits[rng_below(&r, 7)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(hits[i], 9600, 10400);
    }
    assert_int_equal(rng_below(&r, 1), 0);
    for (int i = 0; i < 1000; i++) {
        double u = rng_unit(&r);

        assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
        assert_true(u >= 0 && u < 1);
    }
}

static void test_seeds_differ(void **state)
{
    struct rng a;
    struct rng b;

    rng_seed(&a);
    rng_seed(&b);
    assert_true(rng_next(&a) != rng_next(&b));
    rng_seed_with(&a, 1);
    rng_seed_with(&b, 1);
    assert_true(rng_next(&a) == rng_next(&b));
}

static void test_uuid4(void **state)
{
    char out[UUID_BYTES];
    struct rng r;

    rng_seed(&r);
    for (int i = 0; i < 100; i++) {
        rng_uuid4(&r, out);
        for (int k = 0; k < UUID_BYTES; k++) {
            if (k == 8 || k == 13 || k == 18 || k == 23) {
                assert_int_equal(out[k], '-');
            } else {
                assert_true(isxdigit((unsigned char)out[k]) && !isupper((unsigned char)out[k]));
            }
        }
        assert_int_equal(out[14], '4');
        assert_true(out[19] == '8' || out[19] == '9' || out[19] == 'a' || out[19] == 'b');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xoshiro_vectors),
        cmocka_unit_test(test_below_is_in_range_and_even),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_uuid4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
