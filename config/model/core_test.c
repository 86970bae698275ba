/* Matching strings and looking up metadata. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/core.h"

static bool matches(enum string_match_kind kind, bool ignore_case, const char *value, const char *s)
{
    struct string_matcher m = {.kind = kind, .ignore_case = ignore_case, .value = str_c(value)};

    return string_matcher_matches(&m, str_c(s));
}

static void test_string_matchers(void **state)
{
    assert_true(matches(STRING_MATCH_EXACT, false, "aB", "aB"));
    assert_false(matches(STRING_MATCH_EXACT, false, "aB", "ab"));
    assert_true(matches(STRING_MATCH_EXACT, true, "aB", "Ab"));
    assert_false(matches(STRING_MATCH_EXACT, true, "aB", "aBc"));
    assert_true(matches(STRING_MATCH_PREFIX, false, "aB", "aBc"));
    assert_false(matches(STRING_MATCH_PREFIX, false, "aB", "a"));
    assert_true(matches(STRING_MATCH_PREFIX, true, "aB", "ABc"));
    assert_true(matches(STRING_MATCH_SUFFIX, false, "Bc", "aBc"));
    assert_false(matches(STRING_MATCH_SUFFIX, false, "Bc", "aBcd"));
    assert_true(matches(STRING_MATCH_SUFFIX, true, "Bc", "abC"));
    assert_true(matches(STRING_MATCH_CONTAINS, false, "b", "abc"));
    assert_false(matches(STRING_MATCH_CONTAINS, false, "b", "aBc"));
    assert_true(matches(STRING_MATCH_CONTAINS, true, "b", "aBc"));
}

static void test_regex_matches_the_whole(void **state)
{
    struct string_matcher m = {.kind = STRING_MATCH_REGEX};
    struct error err;

    error_init(&err);
    assert_int_equal(regex_new(STR("a+"), 0, &m.regex, &err), 0);
    assert_true(string_matcher_matches(&m, STR("aaa")));
    assert_false(string_matcher_matches(&m, STR("aab")));
    regex_free(m.regex);
    error_done(&err);
}

static void test_lookup_in_metadata(void **state)
{
    static const struct value_field fields[] = {
        {{"a", 1}, {.kind = VALUE_NUMBER, .number = 1}},
        {{"ab", 2}, {.kind = VALUE_NUMBER, .number = 2}},
        {{"b", 1}, {.kind = VALUE_NUMBER, .number = 3}},
    };
    struct value v = {.kind = VALUE_STRUCT, .fields = fields, .count = 3};
    struct value text = {.kind = VALUE_STRING};

    assert_true(value_get(&v, STR("a"))->number == 1);
    assert_true(value_get(&v, STR("ab"))->number == 2);
    assert_true(value_get(&v, STR("b"))->number == 3);
    assert_null(value_get(&v, STR("")));
    assert_null(value_get(&v, STR("c")));
    assert_null(value_get(&text, STR("a")));
    assert_null(value_get(NULL, STR("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_string_matchers),
        cmocka_unit_test(test_regex_matches_the_whole),
        cmocka_unit_test(test_lookup_in_metadata),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
