/* Who gets the next connection: the fewest, however many choose at once. */

#include "dataplane/net/connection_balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#define WORKERS 4
#define PICKS 10000

static void test_fewest(void **state)
{
    struct connection_balance *b = connection_balance_new(3);
    struct limit *share[5];

    (void)state;
    connection_balance_join(b, 0);
    connection_balance_join(b, 2);
    assert_int_equal(connection_balance_pick(b, 2, &share[0]), 2); /* its own, where all are even */
    assert_int_equal(connection_balance_pick(b, 2, &share[1]), 0);
    assert_int_equal(connection_balance_pick(b, 0, &share[2]), 0); /* 1 does not accept */
    assert_int_equal(connection_balance_pick(b, 0, &share[3]), 2);
    limit_give_back(share[0]);
    limit_give_back(share[3]);
    connection_balance_leave(b, 2);
    assert_int_equal(connection_balance_pick(b, 0, &share[4]), 0);
    assert_int_equal(limit_used(connection_balance_share(b, 0)), 3);
    assert_int_equal(limit_used(connection_balance_share(b, 1)), 0);
    assert_int_equal(limit_used(connection_balance_share(b, 2)), 0);
    connection_balance_free(b);
}

struct picker {
    struct connection_balance *balance;
    size_t own;
    pthread_t thread;
};

static void *pick_many(void *arg)
{
    const struct picker *p = arg;

    for (int i = 0; i < PICKS; i++) {
        struct limit *share;

        (void)connection_balance_pick(p->balance, p->own, &share);
    }
    return NULL;
}

static void test_all_at_once(void **state)
{
    struct connection_balance *b = connection_balance_new(WORKERS);
    struct picker pickers[2];

    (void)state;
    for (size_t i = 0; i < WORKERS; i++) {
        connection_balance_join(b, i);
    }
    for (size_t i = 0; i < 2; i++) {
        pickers[i] = (struct picker){.balance = b, .own = i};
        assert_int_equal(pthread_create(&pickers[i].thread, NULL, pick_many, &pickers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)pthread_join(pickers[i].thread, NULL);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(limit_used(connection_balance_share(b, i)), 2 * PICKS / WORKERS);
    }
    connection_balance_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewest),
        cmocka_unit_test(test_all_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
