/* grpc-timeout. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/codec/grpc_timeout.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"1H", 3600000},    {"2M", 120000}, {"3S", 3000},  {"4m", 4},
        {"1001u", 2},       {"1000u", 1},   {"1u", 1},     {"1000001n", 2},
        {"1n", 1},          {"0m", 0},      {"0n", 0},     {"99999999H", 359999996400000},
        {"+5S", 5000},      {" 5S", 5000},  {"5 S", 5000}, {"00000000005S", 5000},
        {"99999999n", 100},
    };
    static const char *const bad[] = {
        "",    "S",    "1",    "1s",         "1h",  "-1S",  "1x",
        "1mS", "++1S", "1.5S", "100000000m", "5S ", "+-0m", "99999999999999999999S"};
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(grpc_timeout_parse(str_c(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (grpc_timeout_parse(str_c(bad[i]), &ms)) {
            fail_msg("'%s' is no timeout", bad[i]);
        }
    }
}

static void test_format(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0m"},
        {99999999, "99999999m"},
        {100000000, "100000S"},
        {UINT64_C(100000000) * 1000, "1666666M"},
        {UINT64_C(100000000) * 60 * 1000, "1666666H"},
        {UINT64_MAX, "99999999H"},
    };
    char text[GRPC_TIMEOUT_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = grpc_timeout_format(cases[i].ms, text);

        assert_true(str_eq(str_n(text, len), str_c(cases[i].text)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
