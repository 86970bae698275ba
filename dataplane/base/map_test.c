/* The hash map against an array that holds the truth. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dataplane/base/map.h"
#include "dataplane/base/rand.h"

#define KEYS 300

struct entry {
    char key[16];
    int generation;
};

static void test_random_puts_and_removes(void **state)
{
    static struct entry entries[KEYS][2];
    struct entry *present[KEYS] = {NULL};
    size_t count = 0;
    struct rng r;
    struct map m;

    rng_seed_with(&r, 7);
    map_init(&m);
    for (int i = 0; i < KEYS; i++) {
        for (int k = 0; k < 2; k++) {
            (void)snprintf(entries[i][k].key, sizeof(entries[i][k].key), "key-%d", i);
        }
    }
    for (int step = 0; step < 100000; step++) {
        size_t i = rng_below(&r, KEYS);
        struct entry *e = &entries[i][rng_below(&r, 2)];

        switch (rng_below(&r, 3)) {
        case 0:
            count += present[i] == NULL;
            assert_ptr_equal(map_put(&m, str_c(e->key), e), present[i]);
            present[i] = e;
            break;
        case 1:
            count -= present[i] != NULL;
            assert_ptr_equal(map_remove(&m, str_c(e->key)), present[i]);
            present[i] = NULL;
            break;
        default:
            assert_ptr_equal(map_get(&m, str_c(e->key)), present[i]);
            break;
        }
        assert_int_equal(m.count, count);
    }
    for (int i = 0; i < KEYS; i++) {
        assert_ptr_equal(map_get(&m, str_c(entries[i][0].key)), present[i]);
    }
    map_for_each (e, &m) {
        const struct entry *value = e->value;

        assert_ptr_equal(e->key.ptr, value->key); /* the key is the new value's own */
        count--;
    }
    assert_int_equal(count, 0);
    map_clear(&m);
    assert_null(map_get(&m, STR("key-1")));
    map_done(&m);
    map_done(NULL);
}

static void test_empty_map_and_empty_key(void **state)
{
    struct map m;
    int value;

    map_init(&m);
    assert_null(map_get(&m, STR("x")));
    assert_null(map_remove(&m, STR("x")));
    assert_null(map_put(&m, STR(""), &value));
    assert_ptr_equal(map_get(&m, STR_NONE), &value);
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_puts_and_removes),
        cmocka_unit_test(test_empty_map_and_empty_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
