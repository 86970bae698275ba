/*
 * %START_TIME(...)%: strftime with the sub-second directives that Envoy adds. Any thread.
 * The default format does not come here: clock_iso_ms is faster.
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dataplane/stream_info/formatter_ops.h"

#define NS_PER_S UINT64_C(1000000000)

struct time_writer {
    char *out;
    size_t len;
    size_t cap;
    struct tm tm;
    uint64_t seconds;
    uint32_t nanos;
};

static void time_add(struct time_writer *w, const char *p, size_t len)
{
    if (len > w->cap - w->len) {
        len = w->cap - w->len;
    }
    memcpy(w->out + w->len, p, len);
    w->len += len;
}

static void time_add_fraction(struct time_writer *w, unsigned digits)
{
    char text[9];
    uint32_t n = w->nanos;

    for (int i = 8; i >= 0; i--) {
        text[i] = (char)('0' + n % 10);
        n /= 10;
    }
    time_add(w, text, digits < sizeof(text) ? digits : sizeof(text));
}

/* %D has a year of two digits, which the compiler will not have from strftime. */
static size_t time_short_date(const struct tm *tm, char *text, size_t cap)
{
    int n = snprintf(text, cap, "%02d/%02d/%02d", tm->tm_mon + 1, tm->tm_mday, tm->tm_year % 100);

    return n > 0 ? (size_t)n : 0;
}

/* strftime wants a literal format for the compiler's check: one case per directive. */
static size_t time_directive(char c, const struct tm *tm, char *text, size_t cap)
{
    switch (c) {
    case 'a':
        return strftime(text, cap, "%a", tm);
    case 'A':
        return strftime(text, cap, "%A", tm);
    case 'b':
    case 'h':
        return strftime(text, cap, "%b", tm);
    case 'B':
        return strftime(text, cap, "%B", tm);
    case 'C':
        return strftime(text, cap, "%C", tm);
    case 'd':
        return strftime(text, cap, "%d", tm);
    case 'e':
        return strftime(text, cap, "%e", tm);
    case 'F':
        return strftime(text, cap, "%Y-%m-%d", tm);
    case 'H':
        return strftime(text, cap, "%H", tm);
    case 'I':
        return strftime(text, cap, "%I", tm);
    case 'j':
        return strftime(text, cap, "%j", tm);
    case 'm':
        return strftime(text, cap, "%m", tm);
    case 'M':
        return strftime(text, cap, "%M", tm);
    case 'p':
        return strftime(text, cap, "%p", tm);
    case 'R':
        return strftime(text, cap, "%R", tm);
    case 'S':
        return strftime(text, cap, "%S", tm);
    case 'T':
        return strftime(text, cap, "%T", tm);
    case 'u':
        return strftime(text, cap, "%u", tm);
    case 'w':
        return strftime(text, cap, "%w", tm);
    case 'Y':
        return strftime(text, cap, "%Y", tm);
    case 'z':
        return strftime(text, cap, "%z", tm);
    case 'Z':
        return strftime(text, cap, "%Z", tm);
    case 'D':
        return time_short_date(tm, text, cap);
    case 'c':
        return strftime(text, cap, "%a %b %e %H:%M:%S %Y", tm);
    case 'n':
        return strftime(text, cap, "%n", tm);
    case 't':
        return strftime(text, cap, "%t", tm);
    case '%':
        return strftime(text, cap, "%%", tm);
    default:
        return 0;
    }
}

/* "+02:00" */
static void time_add_zone(struct time_writer *w)
{
    char text[16];
    size_t n = strftime(text, sizeof(text), "%z", &w->tm);

    if (n == 5) {
        time_add(w, text, 3);
        time_add(w, ":", 1);
        time_add(w, text + 3, 2);
    }
}

/* What follows "%E": 3S, *S, z. Returns how many bytes of `rest` it used. */
static size_t time_extended(struct time_writer *w, struct str rest)
{
    char text[8];

    if (rest.len >= 2 && rest.ptr[1] == 'S' &&
        (rest.ptr[0] == '*' || (rest.ptr[0] >= '0' && rest.ptr[0] <= '9'))) {
        unsigned digits = rest.ptr[0] == '*' ? 9 : (unsigned)(rest.ptr[0] - '0');

        time_add(w, text, time_directive('S', &w->tm, text, sizeof(text)));
        if (rest.ptr[0] == '*') {
            uint32_t n = w->nanos;

            while (digits > 0 && n % 10 == 0) {
                n /= 10;
                digits--;
            }
        }
        if (digits > 0) {
            time_add(w, ".", 1);
            time_add_fraction(w, digits);
        }
        return 2;
    }
    if (rest.len >= 1 && rest.ptr[0] == 'z') {
        time_add_zone(w);
        return 1;
    }
    time_add(w, "%E", 2);
    return 0;
}

size_t format_time(struct str format, uint64_t wall_ns, bool is_local, char *out, size_t cap)
{
    struct time_writer w = {.out = out, .cap = cap};
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    char text[64];

    w.seconds = wall_ns / NS_PER_S;
    w.nanos = (uint32_t)(wall_ns % NS_PER_S);
    if ((is_local ? localtime_r(&seconds, &w.tm) : gmtime_r(&seconds, &w.tm)) == NULL) {
        return 0;
    }
    if (!is_local) {
        w.tm.tm_zone = "UTC"; /* glibc says GMT */
    }
    for (size_t i = 0; i < format.len; i++) {
        struct str rest = str_sub(format, i + 1, format.len);
        size_t n;

        if (format.ptr[i] != '%' || rest.len == 0) {
            time_add(&w, &format.ptr[i], 1);
        } else if (rest.ptr[0] == 'E') {
            i += 1 + time_extended(&w, str_sub(rest, 1, rest.len));
        } else if (rest.ptr[0] == 'f') {
            time_add_fraction(&w, 9);
            i++;
        } else if (rest.ptr[0] >= '1' && rest.ptr[0] <= '9' && rest.len > 1 && rest.ptr[1] == 'f') {
            time_add_fraction(&w, (unsigned)(rest.ptr[0] - '0'));
            i += 2;
        } else if (rest.ptr[0] == 's') {
            time_add(&w, text, format_u64(w.seconds, text));
            i++;
        } else if ((n = time_directive(rest.ptr[0], &w.tm, text, sizeof(text))) > 0) {
            time_add(&w, text, n);
            i++;
        } else {
            time_add(&w, "%", 1);
        }
    }
    return w.len;
}
