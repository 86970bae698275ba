/* Ranges narrowest first, both families, against a walk over all of them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/model/cidr_table.h"
#include "dataplane/base/rand.h"

#define RANGES 300

static struct cidr range(const char *text, uint32_t bits)
{
    struct cidr c;

    assert_int_equal(cidr_parse(str_c(text), bits, &c), 0);
    return c;
}

static struct address ip(const char *text)
{
    struct address a;

    assert_int_equal(address_from_ip(str_c(text), 0, &a), 0);
    return a;
}

static void narrowest_first(void **state)
{
    const struct cidr ranges[] = {range("0.0.0.0", 0),   range("10.0.0.0", 8),
                                  range("10.1.0.0", 16), range("10.1.2.3", 32),
                                  range("::", 0),        range("2001:db8::", 33)};
    struct address a = ip("10.1.2.3");
    struct cidr_table t;
    struct arena arena;
    size_t position = 0;

    arena_init(&arena, NULL);
    cidr_table_init(&t, &arena, 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(cidr_table_add(&t, &ranges[i], i), i);
        assert_int_equal(cidr_table_add(&t, &ranges[i], 99), i);
    }
    for (uint32_t want = 4; want-- > 0;) {
        assert_int_equal(cidr_table_next(&t, &a, &position), want);
    }
    assert_int_equal(cidr_table_next(&t, &a, &position), CIDR_TABLE_NONE);
    a = ip("2001:db8:7fff::1");
    position = 0;
    assert_int_equal(cidr_table_next(&t, &a, &position), 5);
    assert_int_equal(cidr_table_next(&t, &a, &position), 4);
    a = ip("2001:db8:8000::1");
    position = 0;
    assert_int_equal(cidr_table_next(&t, &a, &position), 4);
    assert_int_equal(address_from_path(STR("/tmp/x"), &a), 0);
    position = 0;
    assert_int_equal(cidr_table_next(&t, &a, &position), CIDR_TABLE_NONE);
    arena_done(&arena);
}

/* Few addresses and short prefixes, so that ranges hold each other. */
static struct cidr random_range(struct rng *r)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "10.%u.%u.0", (unsigned)rng_below(r, 4),
                   (unsigned)rng_below(r, 4));
    return range(text, (uint32_t)rng_below(r, 33));
}

static void as_a_walk_over_all(void **state)
{
    struct cidr ranges[RANGES];
    struct cidr_table t;
    struct arena arena;
    struct rng r;

    rng_seed_with(&r, 7);
    arena_init(&arena, NULL);
    cidr_table_init(&t, &arena, RANGES);
    for (uint32_t i = 0; i < RANGES; i++) {
        ranges[i] = random_range(&r);
        (void)cidr_table_add(&t, &ranges[i], i);
    }
    for (int n = 0; n < 2000; n++) {
        struct address a = ip("10.0.0.0");
        size_t position = 0;
        int last = 33;
        uint32_t found;
        size_t count = 0;
        bool lengths[33] = {false};

        a.in.sin_addr.s_addr |= htonl((uint32_t)rng_below(&r, 0x40000));
        for (int i = 0; i < RANGES; i++) {
            lengths[ranges[i].prefix_len] |= cidr_contains(&ranges[i], &a);
        }
        while ((found = cidr_table_next(&t, &a, &position)) != CIDR_TABLE_NONE) {
            assert_true(cidr_contains(&ranges[found], &a));
            assert_true(ranges[found].prefix_len < last);
            last = ranges[found].prefix_len;
            count++;
        }
        for (int i = 0; i < 33; i++) {
            count -= lengths[i];
        }
        assert_int_equal(count, 0);
    }
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrowest_first),
        cmocka_unit_test(as_a_walk_over_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
