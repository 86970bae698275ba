/* The error sentence: first one wins, prefixes go in front. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dataplane/base/error.h"

static void test_first_message_wins_and_prefixes_stack(void **state)
{
    struct error e;

    error_init(&e);
    assert_false(error_is_set(&e));
    assert_string_equal(error_message(&e), "");
    error_prefix(&e, "nothing to prefix");
    assert_false(error_is_set(&e));
    assert_int_equal(error_set(&e, E_INVALID, "bad %s", "port"), E_INVALID);
    assert_int_equal(error_set(&e, E_LIMIT, "later"), E_LIMIT);
    error_prefix(&e, "filters[%d]: ", 2);
    error_prefix(&e, "listeners[0].");
    assert_string_equal(error_message(&e), "listeners[0].filters[2]: bad port");
    error_done(&e);
    assert_false(error_is_set(&e));
    error_done(&e);
    error_done(NULL);
}

static void test_every_code_has_a_name(void **state)
{
    for (int code = E_PROTOCOL; code <= E_OK; code++) {
        assert_string_not_equal(error_name(code), "unknown error");
    }
    assert_string_equal(error_name(-1000), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_message_wins_and_prefixes_stack),
        cmocka_unit_test(test_every_code_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
