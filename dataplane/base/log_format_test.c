/* Log lines by pattern: spdlog's flags, padding, Envoy's escapes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <unistd.h>

#include "dataplane/base/check.h"
#include "dataplane/base/log_format.h"

/* Sat Aug  1 13:04:05.678901234 UTC 2026 */
static const struct log_record RECORD = {
    .wall_ns = 1785589445678901234ull,
    .thread_id = 42,
    .level = LOG_WARN,
    .logger = "main",
    .file = "dataplane/base/x.c",
    .line = 7,
    .message = {.ptr = "a \"b\"\nc", .len = 7},
};

static int use_utc(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    return 0;
}

static void check(const char *pattern, const char *wanted)
{
    struct strbuf out;

    strbuf_init(&out);
    log_format_line(&out, pattern, &RECORD);
    strbuf_add_char(&out, '\0');
    assert_string_equal(out.ptr, wanted);
    strbuf_done(&out);
}

static void test_default(void **state)
{
    (void)state;
    check(LOG_FORMAT_DEFAULT,
          "[2026-08-01 13:04:05.678][42][warning][main] [dataplane/base/x.c:7] a \"b\"\nc");
}

static void test_every_flag(void **state)
{
    static const char *const CASES[][2] = {
        {"%v", "a \"b\"\nc"},
        {"%_", "a \\\"b\\\"\\nc"},
        {"%j", "a \\\"b\\\"\\nc"},
        {"%l %L %n", "warning W main"},
        {"%g %s %# %@", "dataplane/base/x.c x.c 7 dataplane/base/x.c:7"},
        {"%a %A %b %h %B", "Sat Saturday Aug Aug August"},
        {"%c", "Sat Aug 1 13:04:05 2026"},
        {"%C %Y %D %x %m %d", "26 2026 08/01/26 08/01/26 08 01"},
        {"%H %I %M %S %p", "13 01 04 05 PM"},
        {"%e %f %F %E", "678 678901 678901234 1785589445"},
        {"%r %R %T %X %z", "01:04:05 PM 13:04 13:04:05 13:04:05 +00:00"},
        {"%t", "42"},
        {"%^%l%$%!", "warning"},
        {"%+", "[2026-08-01 13:04:05.678] [main] [warning] [x.c:7] a \"b\"\nc"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        check(CASES[i][0], CASES[i][1]);
    }
}

static void test_padding(void **state)
{
    (void)state;
    check("[%8n][%-8n][%=8n][%2!l][%-3!n]", "[    main][main    ][  main  ][wa][mai]");
}

static void test_what_is_no_flag_stands(void **state)
{
    (void)state;
    check("%% %q % x %", "% %q % x %");
    check("", "");
    check("%-", "%-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_every_flag),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_what_is_no_flag_stands),
    };

    return cmocka_run_group_tests(tests, use_utc, NULL);
}
