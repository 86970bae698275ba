/* Clocks and the two date formats that go on the wire. Any thread, no state. Dates are computed by
 * hand: gmtime and strftime cost more than the rest of a small response. */

#include "dataplane/base/clock.h"

#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define S_PER_DAY 86400

static uint64_t clock_read(clockid_t id)
{
    struct timespec ts = {0};

    (void)clock_gettime(id, &ts); /* cannot fail for these clocks */
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return clock_read(CLOCK_REALTIME);
}

struct civil {
    unsigned year;
    unsigned month;   /* 1..12 */
    unsigned day;     /* 1..31 */
    unsigned weekday; /* 0 = Thursday, the day of the epoch */
    unsigned second_of_day;
};

/* Days since the epoch to a date. Counted in years that begin in March, so that the leap day is the
 * last day of its year; 400 such years always have 146097 days. */
static struct civil civil_from_seconds(uint64_t seconds)
{
    uint64_t days = seconds / S_PER_DAY;
    uint64_t shifted = days + 719468; /* days from 0000-03-01 to 1970-01-01 */
    uint64_t era = shifted / 146097;
    unsigned day_of_era = (unsigned)(shifted % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153; /* 0 = March */
    struct civil c;

    c.day = day_of_year - (153 * march_month + 2) / 5 + 1;
    c.month = march_month < 10 ? march_month + 3 : march_month - 9;
    c.year = (unsigned)(era * 400) + year_of_era + (c.month <= 2 ? 1 : 0);
    c.weekday = (unsigned)(days % 7);
    c.second_of_day = (unsigned)(seconds % S_PER_DAY);
    return c;
}

static char *put_digits(char *p, unsigned v, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + width;
}

static char *put_bytes(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

static char *put_time_of_day(char *p, unsigned second_of_day)
{
    p = put_digits(p, second_of_day / 3600, 2);
    *p++ = ':';
    p = put_digits(p, second_of_day / 60 % 60, 2);
    *p++ = ':';
    return put_digits(p, second_of_day % 60, 2);
}

void clock_http_date(uint64_t wall_seconds, char out[CLOCK_HTTP_DATE_BYTES])
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c = civil_from_seconds(wall_seconds);
    char *p = out;

    p = put_bytes(p, &days[3 * c.weekday], 3);
    p = put_bytes(p, ", ", 2);
    p = put_digits(p, c.day, 2);
    *p++ = ' ';
    p = put_bytes(p, &months[3 * (c.month - 1)], 3);
    *p++ = ' ';
    p = put_digits(p, c.year, 4);
    *p++ = ' ';
    p = put_time_of_day(p, c.second_of_day);
    (void)put_bytes(p, " GMT", 4);
}

void clock_iso_ms(uint64_t wall_ns, char out[CLOCK_ISO_MS_BYTES])
{
    struct civil c = civil_from_seconds(wall_ns / NS_PER_S);
    char *p = out;

    p = put_digits(p, c.year, 4);
    *p++ = '-';
    p = put_digits(p, c.month, 2);
    *p++ = '-';
    p = put_digits(p, c.day, 2);
    *p++ = 'T';
    p = put_time_of_day(p, c.second_of_day);
    *p++ = '.';
    p = put_digits(p, (unsigned)(wall_ns % NS_PER_S / 1000000), 3);
    *p = 'Z';
}
