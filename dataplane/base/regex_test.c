/* RE2 behind the C face: matches, bounds, rewrites, sets, and sets that are too large. (What
 * RE2 does when a compiled set runs out of memory cannot be provoked: Compile tries its automaton.)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dataplane/base/regex.h"

static struct regex *compile(const char *pattern)
{
    struct regex *r = NULL;
    struct error err;

    error_init(&err);
    assert_int_equal(regex_new(str_c(pattern), 0, &r, &err), 0);
    error_done(&err);
    return r;
}

static void test_full_and_partial_match(void **state)
{
    struct regex *r = compile("/a(b|c)+");

    assert_true(regex_full_match(r, STR("/abc")));
    assert_false(regex_full_match(r, STR("/abcd")));
    assert_false(regex_full_match(r, STR("x/abc")));
    assert_true(regex_partial_match(r, STR("x/abcd")));
    assert_false(regex_partial_match(r, STR_NONE));
    regex_free(r);
    r = compile("");
    assert_true(regex_full_match(r, STR_NONE));
    regex_free(r);
    regex_free(NULL);
}

static void test_bad_patterns_are_refused_with_a_reason(void **state)
{
    static const char *const bad[] = {"a(", "[z-a]", "(?=x)", "a**", "\\1"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct regex *r = NULL;
        struct error err;

        error_init(&err);
        assert_int_equal(regex_new(str_c(bad[i]), 0, &r, &err), E_INVALID);
        assert_true(strlen(error_message(&err)) > 0);
        assert_null(r);
        error_done(&err);
    }
}

static void test_program_size_bounds(void **state)
{
    struct regex *r = NULL;
    struct error err;

    error_init(&err);
    assert_int_equal(regex_new(STR("[a-z]{100}"), 10, &r, &err), E_LIMIT);
    assert_non_null(strstr(error_message(&err), "max program size of 10"));
    error_done(&err);
    assert_int_equal(regex_new(STR("(\\pL{100}){9}(\\pL{100}){9}(\\pL{100}){9}"), 0, &r, &err),
                     E_LIMIT);
    assert_null(r);
    error_done(&err);
}

static void test_pattern_is_utf8(void **state)
{
    struct regex *r = NULL;
    struct error err;

    error_init(&err);
    assert_int_equal(regex_new(STR("\xff."), 0, &r, &err), E_INVALID);
    assert_null(r);
    assert_string_equal(error_message(&err), "invalid UTF-8");
    error_done(&err);
    r = compile("\xc3\xa9.");
    assert_true(regex_full_match(r, STR("\xc3\xa9\xc3\xa9"))); /* one character is two bytes */
    regex_free(r);
}

static void test_replace(void **state)
{
    struct regex *r = compile("^/service/([^/]+)(/.*)$");
    struct arena a;

    arena_init(&a, NULL);
    assert_true(regex_check_rewrite(r, STR("\\2/instance/\\1")));
    assert_false(regex_check_rewrite(r, STR("\\3")));
    assert_string_equal(
        regex_replace_all(r, STR("/service/foo/v1/api"), STR("\\2/instance/\\1"), &a).ptr,
        "/v1/api/instance/foo");
    assert_string_equal(regex_replace_all(r, STR("/other"), STR("x"), &a).ptr, "/other");
    assert_string_equal(regex_replace_all(r, STR_NONE, STR("x"), &a).ptr, "");
    regex_free(r);
    r = compile("one");
    assert_string_equal(regex_replace_all(r, STR("/one/two/one"), STR("2"), &a).ptr, "/2/two/2");
    regex_free(r);
    arena_done(&a);
}

static void test_set_finds_the_lowest_index(void **state)
{
    const struct str patterns[] = {STR("/a/.*"), STR("/b"), STR("/.*"), STR("/a/b")};
    struct regex_set *s = NULL;
    int hits[4];

    assert_int_equal(regex_set_new(patterns, ARRAY_LEN(patterns), &s), 0);
    assert_int_equal(regex_set_first(s, STR("/a/b")), 0);
    assert_int_equal(regex_set_first(s, STR("/b")), 1);
    assert_int_equal(regex_set_first(s, STR("/c")), 2);
    assert_int_equal(regex_set_first(s, STR("x/b")), -1);
    assert_int_equal(regex_set_first(s, STR_NONE), -1);
    assert_int_equal(regex_set_all(s, STR("/a/b"), hits, 4), 3);
    assert_int_equal(hits[0], 0);
    assert_int_equal(hits[1], 2);
    assert_int_equal(hits[2], 3);
    assert_int_equal(regex_set_all(s, STR("/a/b"), hits, 1), 1);
    assert_int_equal(hits[0], 0);
    regex_set_free(s);
    regex_set_free(NULL);
}

static void test_set_that_cannot_be_built_says_so(void **state)
{
    const struct str bad[] = {STR("/ok"), STR("/(")};
    const struct str bytes[] = {STR("\xff")};
    struct str huge[8];
    struct regex_set *s = NULL;

    assert_int_equal(regex_set_new(bad, 2, &s), E_INVALID);
    assert_int_equal(regex_set_new(bytes, 1, &s), E_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(huge); i++) {
        huge[i] = STR("(\\pL{100}){9}");
    }
    assert_int_equal(regex_set_new(huge, ARRAY_LEN(huge), &s), E_LIMIT);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_and_partial_match),
        cmocka_unit_test(test_bad_patterns_are_refused_with_a_reason),
        cmocka_unit_test(test_program_size_bounds),
        cmocka_unit_test(test_pattern_is_utf8),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_set_finds_the_lowest_index),
        cmocka_unit_test(test_set_that_cannot_be_built_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
