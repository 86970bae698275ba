/* Dates by hand against the C library, over four centuries. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/rand.h"

static void assert_second(uint64_t second)
{
    time_t t = (time_t)second;
    struct tm tm;
    char want[64];
    char got[CLOCK_HTTP_DATE_BYTES];
    char got_iso[CLOCK_ISO_MS_BYTES];

    assert_non_null(gmtime_r(&t, &tm));
    assert_int_equal(strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm),
                     CLOCK_HTTP_DATE_BYTES);
    clock_http_date(second, got);
    assert_memory_equal(got, want, sizeof(got));

    assert_int_equal(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.987Z", &tm),
                     CLOCK_ISO_MS_BYTES);
    clock_iso_ms(second * 1000000000 + 987654321, got_iso);
    assert_memory_equal(got_iso, want, sizeof(got_iso));
}

static void test_dates(void **state)
{
    char date[CLOCK_HTTP_DATE_BYTES];
    struct rng r;

    clock_http_date(784111777, date);
    assert_memory_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT", sizeof(date));
    assert_second(0);
    assert_second(951782399); /* around 29 February 2000 */
    assert_second(951782400);
    assert_second(951868800);
    assert_second(4107542400); /* 1 March 2100, not a leap year */
    assert_second(4107542399);
    rng_seed_with(&r, 5);
    for (int i = 0; i < 20000; i++) {
        assert_second(rng_below(&r, UINT64_C(400) * 365 * 86400));
    }
}

static void test_clocks_move_forward(void **state)
{
    uint64_t mono = clock_mono_ns();

    assert_true(clock_mono_ns() >= mono);
    assert_true(clock_wall_ns() > UINT64_C(1600000000) * 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_clocks_move_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
