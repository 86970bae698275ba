/* Path normalisation against the results of Envoy 1.40. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/path.h"

struct path_case {
    const char *in;
    const char *out; /* NULL: refused */
};

static void check_str(struct str got, const char *want)
{
    if (!str_eq(got, str_c(want))) {
        fail_msg("got '%.*s', want '%s'", STR_ARG(got), want);
    }
}

static void test_normalize(void **state)
{
    static const struct path_case cases[] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/./b", "/a/b"},
        {"/../a", "/a"},
        {"/a/..", "/"},
        {"/a/.", "/a/"},
        {"/a/b/..", "/a/"},
        {"/a/%2e%2e/b", "/b"},
        {"/a/%2E./b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/a/..;/b", "/b"},
        {"/a/..;x=1/b", "/b"},
        {"/a/.;/b", "/a/b"},
        {"/a/.;x;y/c", "/a/c"},
        {"/a/.;\\b", "/a/"},
        {"/a/%2e%2e;x/b", "/a/..;x/b"},
        {"/a/..%3bx/b", "/a/..%3bx/b"},
        {"/a/...;/b", "/a/...;/b"},
        {"/a/b..;/c", "/a/b..;/c"},
        {"/a/..;/..;/b/c", "/b/c"},
        {"/a;p/b/../c", "/a;p/c"},
        {"/a;/..", "/"},
        {"/a\\b", "/a/b"},
        {"/a\\..\\b", "/b"},
        {"/a/%2fb", "/a/%2fb"},
        {"/a%5Cb", "/a%5Cb"},
        {"/%41%7e%2d", "/A~-"},
        {"/%00", NULL},
        {"/a%zz", "/a%zz"},
        {"/a%4", "/a%4"},
        {"/a^b|c`d", "/a%5Eb%7Cc%60d"},
        {"/a{b}[c]'d", "/a%7Bb%7D[c]'d"},
        {"/a!b$&()*+,;=:@", "/a!b$&()*+,;=:@"},
        {"/a\"b<c>", "/a%22b%3Cc%3E"},
        {"/a/...", "/a/..."},
        {"/a%252e%252e/b", "/a%252e%252e/b"},
        {"/%2", "/%2"},
        {"/%%41", "/%A"},
        {"/%2%65", "/%252e"},
        {"/%2%32%65", "/%2522e"},
        {"/%%32%65", "/%252e"},
        {"/%%32e", "/%252e"},
        {"/%%32%35", "/%2525"},
        {"/a/b?../c", "/a/b?../c"},
        {"/a/..?x=%2e%2e", "/?x=%2e%2e"},
        {"/..", "/"},
    };
    struct arena a;
    struct str out;

    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_valid = path_normalize(str_c(cases[i].in), &a, &out);

        if (is_valid != (cases[i].out != NULL)) {
            fail_msg("%s: verdict", cases[i].in);
        }
        if (is_valid) {
            check_str(out, cases[i].out);
        }
    }
    assert_false(path_normalize(str_n("/a\0b", 4), &a, &out));
    arena_done(&a);
}

static void test_merge_slashes(void **state)
{
    static const struct path_case cases[] = {
        {"/a/b", "/a/b"},
        {"//", "//"},
        {"///", "//"},
        {"//a", "/a"},
        {"/a//", "/a/"},
        {"/a//?//", "/a/?//"},
        {"//a///b//c", "/a/b/c"},
    };
    struct arena a;

    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_str(path_merge_slashes(str_c(cases[i].in), &a), cases[i].out);
    }
    arena_done(&a);
}

static void test_unescape_slashes(void **state)
{
    struct arena a;
    struct str out;

    arena_init(&a, NULL);
    assert_false(path_unescape_slashes(STR("/a/b?x=%2f"), &a, &out));
    assert_false(path_unescape_slashes(STR("/a%2e%2"), &a, &out));
    assert_true(path_unescape_slashes(STR("/a%2fb%5Cc%5c?x=%2F"), &a, &out));
    check_str(out, "/a/b\\c\\?x=%2F");
    arena_done(&a);
}

static void test_only(void **state)
{
    check_str(path_only(STR("/a?b#c")), "/a");
    check_str(path_only(STR("/a#c?b")), "/a");
    check_str(path_only(STR("/a")), "/a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_merge_slashes),
        cmocka_unit_test(test_unescape_slashes),
        cmocka_unit_test(test_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
