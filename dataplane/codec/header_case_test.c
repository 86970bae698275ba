/* Spellings of field names. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/codec/header_case.h"

static struct arena arena;

static int set_up(void **state)
{
    arena_init(&arena, NULL);
    return 0;
}

static int tear_down(void **state)
{
    arena_done(&arena);
    return 0;
}

static void assert_written(const struct header_case *c, const char *lower_name, const char *want)
{
    char got[64] = {0};

    header_case_write(c, str_c(lower_name), got);
    assert_string_equal(got, want);
}

static struct header_case *make(bool is_proper_otherwise)
{
    const struct header_case_options o = {.is_proper_otherwise = is_proper_otherwise};

    return header_case_new(&arena, &o);
}

static void the_first_spelling_counts(void **state)
{
    struct header_case *c = make(false);

    assert_written(c, "x-a", "x-a"); /* nothing is known yet */
    header_case_note(c, STR("X-a"));
    header_case_note(c, STR("X-A"));
    header_case_note(c, STR("eTaG"));
    assert_written(c, "x-a", "X-a");
    assert_written(c, "etag", "eTaG");
    assert_written(c, "x-b", "x-b");
    assert_written(c, "", "");
}

static void others_may_be_proper(void **state)
{
    struct header_case *c = make(true);

    header_case_note(c, STR("x-a"));
    assert_written(c, "x-a", "x-a");
    assert_written(c, "x-envoy-upstream-service-time", "X-Envoy-Upstream-Service-Time");
    assert_written(c, "date", "Date");
    assert_written(c, "x-1a_b.c", "X-1a_B.C");
}

static void many_names_are_all_found(void **state)
{
    struct header_case *c = make(false);

    for (unsigned i = 0; i < 1000; i++) {
        struct str name = arena_printf(&arena, "X-Name-%u-Z", i);

        header_case_note(c, name);
    }
    assert_int_equal(c->count, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        char lower[64];
        char want[64];

        (void)snprintf(lower, sizeof(lower), "x-name-%u-z", i);
        (void)snprintf(want, sizeof(want), "X-Name-%u-Z", i);
        assert_written(c, lower, want);
    }
}

static void names_longer_than_a_piece_are_told_apart(void **state)
{
    struct header_case *c = make(false);
    char upper[200];
    char lower[200];
    char got[201] = {0};

    memset(upper, 'X', sizeof(upper));
    memset(lower, 'x', sizeof(lower));
    header_case_note(c, str_n(upper, sizeof(upper)));
    header_case_write(c, str_n(lower, sizeof(lower)), got);
    assert_memory_equal(got, upper, sizeof(upper));
    header_case_write(c, str_n(lower, sizeof(lower) - 1), got);
    assert_memory_equal(got, lower, sizeof(lower) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_spelling_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_may_be_proper, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_names_are_all_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_longer_than_a_piece_are_told_apart, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
