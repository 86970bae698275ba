/* Byte strings: search, case-insensitive comparison, number parsing, UTF-8 check, and the growing
 * heap string. Any thread, no state. Numbers are strict: what these accept is the whole string. */

#include "dataplane/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"

#define BYTES_01 UINT64_C(0x0101010101010101)
#define BYTES_80 (BYTES_01 * 0x80)

static uint64_t load8(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* ASCII lower case of eight bytes at once. The sums cannot carry from one byte into the next,
 * because the top bit of each is cleared first. */
static uint64_t lower8(uint64_t v)
{
    uint64_t low7 = v & ~BYTES_80;
    uint64_t above_z = low7 + BYTES_01 * (0x7f - 'Z');
    uint64_t from_a = low7 + BYTES_01 * (0x80 - 'A');
    uint64_t is_upper = (from_a ^ above_z) & ~v & BYTES_80;

    return v | (is_upper >> 2);
}

static bool eq_nocase(const char *a, const char *b, size_t len)
{
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        if (lower8(load8(a + i)) != lower8(load8(b + i))) {
            return false;
        }
    }
    for (; i < len; i++) {
        if (ascii_lower(a[i]) != ascii_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && eq_nocase(a.ptr, b.ptr, a.len);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && eq_nocase(s.ptr, prefix.ptr, prefix.len);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || eq_nocase(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len));
}

size_t str_find(struct str s, struct str needle)
{
    const char *hit;

    if (needle.len == 0) {
        return 0;
    }
    if (needle.len > s.len) {
        return STR_NPOS;
    }
    hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit != NULL ? (size_t)(hit - s.ptr) : STR_NPOS;
}

size_t str_find_char(struct str s, char c)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

    return hit != NULL ? (size_t)(hit - s.ptr) : STR_NPOS;
}

size_t str_rfind_char(struct str s, char c)
{
    const char *hit = s.len > 0 ? memrchr(s.ptr, c, s.len) : NULL;

    return hit != NULL ? (size_t)(hit - s.ptr) : STR_NPOS;
}

bool str_contains_nocase(struct str s, struct str needle)
{
    char first;

    if (needle.len == 0) {
        return true;
    }
    first = ascii_lower(needle.ptr[0]);
    for (size_t i = 0; i + needle.len <= s.len; i++) {
        if (ascii_lower(s.ptr[i]) == first && eq_nocase(s.ptr + i, needle.ptr, needle.len)) {
            return true;
        }
    }
    return false;
}

int str_cmp(struct str a, struct str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int r = shorter > 0 ? memcmp(a.ptr, b.ptr, shorter) : 0;

    if (r != 0) {
        return r;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_ows(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_ows(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool str_split(struct str *rest, char sep, struct str *ret_part)
{
    size_t at;

    if (rest->ptr == NULL) {
        return false;
    }
    at = str_find_char(*rest, sep);
    if (at == STR_NPOS) {
        *ret_part = *rest;
        *rest = STR_NONE;
    } else {
        *ret_part = str_n(rest->ptr, at);
        *rest = str_n(rest->ptr + at + 1, rest->len - at - 1);
    }
    return true;
}

void str_lower_in_place(char *p, size_t len)
{
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        uint64_t v = lower8(load8(p + i));

        memcpy(p + i, &v, sizeof(v));
    }
    for (; i < len; i++) {
        p[i] = ascii_lower(p[i]);
    }
}

int parse_u64(struct str s, uint64_t *ret_value)
{
    uint64_t v = 0;

    if (s.len == 0) {
        return E_INVALID;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';

        if (digit > 9) {
            return E_INVALID;
        }
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v)) {
            return E_LIMIT;
        }
    }
    *ret_value = v;
    return 0;
}

int parse_u64_hex(struct str s, uint64_t *ret_value)
{
    uint64_t v = 0;

    if (s.len == 0) {
        return E_INVALID;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.ptr[i]);
        unsigned digit;

        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a') + 10;
        } else {
            return E_INVALID;
        }
        if (v >> 60 != 0) {
            return E_LIMIT;
        }
        v = v << 4 | digit;
    }
    *ret_value = v;
    return 0;
}

int parse_i64(struct str s, int64_t *ret_value)
{
    bool is_negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude;
    int r = parse_u64(is_negative ? str_sub(s, 1, s.len) : s, &magnitude);

    if (r < 0) {
        return r;
    }
    if (magnitude > (uint64_t)INT64_MAX + (is_negative ? 1 : 0)) {
        return E_LIMIT;
    }
    *ret_value = (int64_t)(is_negative ? -magnitude : magnitude);
    return 0;
}

int parse_double(struct str s, double *ret_value)
{
    char text[64];
    char *end;
    double v;

    if (s.len == 0 || s.len >= sizeof(text)) {
        return E_INVALID;
    }
    /* strtod also takes blanks, hex, "inf" and "nan": none of them is a number here. */
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0' || strchr("0123456789+-.eE", s.ptr[i]) == NULL) {
            return E_INVALID;
        }
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    errno = 0;
    v = strtod(text, &end);
    if (*end != '\0') {
        return E_INVALID;
    }
    if (errno == ERANGE && (v > 1 || v < -1)) {
        return E_LIMIT;
    }
    *ret_value = v;
    return 0;
}

size_t format_u64(uint64_t v, char out[U64_DIGITS])
{
    char reversed[U64_DIGITS];
    size_t n = 0;

    do {
        reversed[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = reversed[n - 1 - i];
    }
    return n;
}

bool str_is_utf8(struct str s)
{
    const char *p = s.len > 0 ? s.ptr : "";
    const char *end = p + s.len;

    while (p < end) {
        size_t n;

        while (end - p >= 8 && (load8(p) & BYTES_80) == 0) {
            p += 8;
        }
        if (p == end) {
            break;
        }
        n = utf8_sequence(p, (size_t)(end - p));
        if (n == 0) {
            return false;
        }
        p += n;
    }
    return true;
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_sequence(const char *p, size_t len)
{
    const unsigned char *u = (const unsigned char *)p;

    if (len == 0) {
        return 0;
    }
    if (u[0] < 0x80) {
        return 1;
    }
    if (u[0] < 0xc2) {
        return 0; /* a continuation byte, or an overlong form of ASCII */
    }
    if (u[0] < 0xe0) {
        return len >= 2 && is_continuation(u[1]) ? 2 : 0;
    }
    if (u[0] < 0xf0) {
        if (len < 3 || !is_continuation(u[1]) || !is_continuation(u[2]) ||
            (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f)) {
            return 0;
        }
        return 3;
    }
    if (u[0] > 0xf4 || len < 4 || !is_continuation(u[1]) || !is_continuation(u[2]) ||
        !is_continuation(u[3]) || (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f)) {
        return 0;
    }
    return 4;
}

void strbuf_init(struct strbuf *b)
{
    b->ptr = NULL;
    b->len = 0;
    b->cap = 0;
}

void strbuf_done(struct strbuf *b)
{
    if (b != NULL) {
        free(b->ptr);
        strbuf_init(b);
    }
}

void strbuf_reset(struct strbuf *b)
{
    strbuf_truncate(b, 0);
}

char *strbuf_reserve(struct strbuf *b, size_t extra)
{
    size_t need;

    CHECK(!__builtin_add_overflow(b->len, extra, &need) && need < SIZE_MAX / 2);
    if (NUNCIO_UNLIKELY(need >= b->cap)) {
        size_t cap = b->cap < 32 ? 64 : b->cap * 2;

        if (cap <= need) {
            cap = need + 1;
        }
        b->ptr = xreallocarray(b->ptr, cap, 1);
        b->cap = cap;
    }
    return b->ptr + b->len;
}

void strbuf_add(struct strbuf *b, const void *p, size_t len)
{
    char *to = strbuf_reserve(b, len);

    if (len > 0) {
        memcpy(to, p, len);
    }
    to[len] = '\0';
    b->len += len;
}

void strbuf_add_str(struct strbuf *b, struct str s)
{
    strbuf_add(b, s.ptr, s.len);
}

void strbuf_add_c(struct strbuf *b, const char *cstr)
{
    strbuf_add(b, cstr, strlen(cstr));
}

void strbuf_add_char(struct strbuf *b, char c)
{
    char *to = strbuf_reserve(b, 1);

    to[0] = c;
    to[1] = '\0';
    b->len++;
}

void strbuf_add_u64(struct strbuf *b, uint64_t v)
{
    char digits[U64_DIGITS];

    strbuf_add(b, digits, format_u64(v, digits));
}

void strbuf_addv(struct strbuf *b, const char *fmt, va_list args)
{
    va_list again;
    size_t room;
    int n;

    (void)strbuf_reserve(b, 1); /* so that `ptr` is there */
    room = b->cap - b->len;
    va_copy(again, args);
    n = vsnprintf(b->ptr + b->len, room, fmt, args);
    if (n < 0) {
        b->ptr[b->len] = '\0';
        n = 0;
    } else if ((size_t)n >= room) {
        (void)strbuf_reserve(b, (size_t)n);
        (void)vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again); /* measured above */
    }
    va_end(again);
    b->len += (size_t)n;
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    strbuf_addv(b, fmt, args);
    va_end(args);
}

void strbuf_truncate(struct strbuf *b, size_t len)
{
    CHECK(len <= b->len);
    b->len = len;
    if (b->ptr != NULL) {
        b->ptr[len] = '\0';
    }
}

char *strbuf_take(struct strbuf *b)
{
    char *p = b->ptr != NULL ? b->ptr : xstrndup("", 0);

    strbuf_init(b);
    return p;
}
