/* The host of a request, taken apart as Envoy does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/http/host.h"

static void test_trailing_dot(void **state)
{
    static const char *const cases[][2] = {
        {"h", "h"},        {"h.", "h"}, {"h..", "h."}, {"a.b", "a.b"},     {"a.b.", "a.b"},
        {"h.:80", "h:80"}, {".", ""},   {"", ""},      {"h.x:8", "h.x:8"}, {"[::1].", "[::1]"},
    };
    struct arena a;

    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str got = host_strip_trailing_dot(str_c(cases[i][0]), &a);

        if (!str_eq(got, str_c(cases[i][1]))) {
            fail_msg("'%s' became '%.*s'", cases[i][0], STR_ARG(got));
        }
    }
    arena_done(&a);
}

static void test_port(void **state)
{
    static const struct {
        const char *host;
        const char *name; /* NULL: no port */
        uint32_t port;
    } cases[] = {
        {"h:80", "h", 80}, {"h", NULL, 0},          {"h:", NULL, 0},
        {"h:x", NULL, 0},  {"[::1]", NULL, 0},      {"[::1]:80", "[::1]", 80},
        {"::1", ":", 1},   {"h:99999", "h", 99999}, {"h:99999999999", NULL, 0},
        {":8", "", 8},     {"h:-1", NULL, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str name = STR_NONE;
        uint32_t port = 0;
        bool found = host_find_port(str_c(cases[i].host), &name, &port);

        if (found != (cases[i].name != NULL) || port != cases[i].port ||
            (found && !str_eq(name, str_c(cases[i].name)))) {
            fail_msg("'%s': %d '%.*s' %u", cases[i].host, found, STR_ARG(name), port);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trailing_dot),
        cmocka_unit_test(test_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
