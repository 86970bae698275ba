#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/codec/connect_end.h"

static bool is_success(const char *text)
{
    struct connect_end whole = {.depth = 0};
    struct connect_end pieces = {.depth = 0};

    connect_end_feed(&whole, str_c(text));
    for (const char *p = text; *p != '\0'; p++) {
        connect_end_feed(&pieces, str_n(p, 1));
    }
    assert_int_equal(connect_end_is_success(&pieces), connect_end_is_success(&whole));
    return connect_end_is_success(&whole);
}

static void objects_without_an_error_are_success(void **state)
{
    (void)state;
    assert_true(is_success("{}"));
    assert_true(is_success(" \r\n{ }\t"));
    assert_true(is_success("{\"metadata\": {\"error\": [\"x\"]}}"));
    assert_true(
        is_success("{\"metadata\": {\"a\": [1, {\"error\": 2}, \"}\"]}, \"b\": \"error\"}"));
    assert_true(is_success("{\"err\": 1, \"errors\": 2, \"\\\"error\": 3, \"erro\\\\r\": 4}"));
    assert_true(is_success("{\"a\": [\"b\", \"error\"]}"));
}

static void errors_are_failures(void **state)
{
    (void)state;
    assert_false(is_success("{\"error\": {\"code\": \"unavailable\"}}"));
    assert_false(is_success("{\"error\":null}"));
    assert_false(is_success("{\"metadata\": {\"a\": [\"\\\\\", \"\\\"\"]}, \"error\": {}}"));
}

static void what_is_no_whole_object_is_a_failure(void **state)
{
    char deep[201];

    (void)state;
    assert_false(is_success(""));
    assert_false(is_success("  "));
    assert_false(is_success("{"));
    assert_false(is_success("{\"a\": \"}"));
    assert_false(is_success("[]"));
    assert_false(is_success("null"));
    assert_false(is_success("{} x"));
    assert_false(is_success("{}{}"));
    memset(deep, '[', sizeof(deep) - 1);
    deep[0] = '{';
    deep[sizeof(deep) - 1] = '\0';
    assert_false(is_success(deep));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_without_an_error_are_success),
        cmocka_unit_test(errors_are_failures),
        cmocka_unit_test(what_is_no_whole_object_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
