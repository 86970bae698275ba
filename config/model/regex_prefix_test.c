/* What a regex must begin with. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/regex_prefix.h"

static void expect(const char *pattern, const char *prefix)
{
    struct arena a;
    struct str got;

    arena_init(&a, NULL);
    got = regex_literal_prefix(&a, str_c(pattern));
    if (!str_eq(got, str_c(prefix))) {
        fail_msg("%s: got '%.*s', want '%s'", pattern, STR_ARG(got), prefix);
    }
    arena_done(&a);
}

static void test_plain_text_is_taken_up_to_the_first_operator(void **state)
{
    expect("", "");
    expect("/api/v1", "/api/v1");
    expect("/api/.*", "/api/");
    expect("/api/(a|b)", "/api/");
    expect("/api/[0-9]+", "/api/");
    expect("^/api$", "/api");
    expect("/a\\.b/.*", "/a.b/");
    expect("/a\\/b", "/a/b");
}

static void test_a_quantified_character_may_be_missing(void **state)
{
    expect("/ab*", "/a");
    expect("/ab?c", "/a");
    expect("/ab{0,2}", "/a");
    expect("/ab+c", "/ab");
    expect("/a\\.?b", "/a");
}

static void test_alternatives_have_nothing_in_common(void **state)
{
    expect("/a|/b", "");
    expect("/a(b|c)|d", "");
    expect("/a[|]b", "/a");
    expect("/a\\|b", "/a|b");
    expect("/a[]|]", "/a");
    expect("/a[^]|]x", "/a");
    expect("/a[[:alpha:]|]", "/a");
    expect("/a[[:alpha:]|]|b", "");
}

static void test_doubts_end_it(void **state)
{
    expect("(?i)/abc", "");
    expect("/a\\d", "/a");
    expect("/a\\Q|\\E", "");
    expect("/a\xc3\xa9*", "/a");
    expect("/a\\", "/a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_is_taken_up_to_the_first_operator),
        cmocka_unit_test(test_a_quantified_character_may_be_missing),
        cmocka_unit_test(test_alternatives_have_nothing_in_common),
        cmocka_unit_test(test_doubts_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
