#ifndef DATAPLANE_BASE_STR_H
#define DATAPLANE_BASE_STR_H

/*
 * A borrowed run of bytes: pointer and length, no terminator, no ownership. ASCII-only case
 * rules (RFC 9110 5.1). `ptr` may be NULL only when `len` is 0.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/base/check.h"

#ifdef __cplusplus
extern "C" {
#endif

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_n(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}

/* NULL gives the empty string. */
static inline struct str str_c(const char *cstr)
{
    return (struct str){cstr, cstr != NULL ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* Bytes [from, to); clamped to the string. */
static inline struct str str_sub(struct str s, size_t from, size_t to)
{
    if (to > s.len) {
        to = s.len;
    }
    if (from > to) {
        from = to;
    }
    return (struct str){from > 0 ? s.ptr + from : s.ptr, to - from};
}

bool str_eq_nocase(struct str a, struct str b);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);
/* Position of the first match, or `STR_NPOS`. */
#define STR_NPOS ((size_t)-1)
size_t str_find(struct str s, struct str needle);
size_t str_find_char(struct str s, char c);
size_t str_rfind_char(struct str s, char c);
bool str_contains_nocase(struct str s, struct str needle);
/* memcmp order, shorter first on a tie. */
int str_cmp(struct str a, struct str b);
/* Without leading and trailing SP and HTAB (OWS of RFC 9110). */
struct str str_trim(struct str s);
/* Cuts the part before `sep` off `*rest` (the whole when there is none); false when `*rest` is
 * exhausted (`rest->ptr` is then NULL). */
bool str_split(struct str *rest, char sep, struct str *ret_part);
void str_lower_in_place(char *p, size_t len);
static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c + ('a' - 'A')) : c;
}

/* Strict decimal/hex: digits only, whole string, no sign, no overflow. E_INVALID or E_LIMIT. */
int parse_u64(struct str s, uint64_t *ret_value) MUST_CHECK;
int parse_u64_hex(struct str s, uint64_t *ret_value) MUST_CHECK;
int parse_i64(struct str s, int64_t *ret_value) MUST_CHECK;
int parse_double(struct str s, double *ret_value) MUST_CHECK;
/* Decimal digits of `v` into `out` (no terminator); returns their number. */
#define U64_DIGITS 20
size_t format_u64(uint64_t v, char out[U64_DIGITS]);
/* Whole-string UTF-8 check (no surrogates, no overlong forms). */
bool str_is_utf8(struct str s);
/* Bytes of the one valid UTF-8 sequence at `p`, 0 when there is none. */
size_t utf8_sequence(const char *p, size_t len);

/* A growing heap string, always NUL-terminated once non-empty: for admin pages, logs, errors. */
struct strbuf {
    char *ptr; /* NULL until the first append */
    size_t len;
    size_t cap;
};

void strbuf_init(struct strbuf *b);
void strbuf_done(struct strbuf *b);
void strbuf_reset(struct strbuf *b);
/* Room for `extra` more bytes and a terminator; returns where to write them. The writer adds to
 * `len` and terminates. */
char *strbuf_reserve(struct strbuf *b, size_t extra);
void strbuf_add(struct strbuf *b, const void *p, size_t len);
void strbuf_add_str(struct strbuf *b, struct str s);
void strbuf_add_c(struct strbuf *b, const char *cstr);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_add_u64(struct strbuf *b, uint64_t v);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_addv(struct strbuf *b, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
void strbuf_truncate(struct strbuf *b, size_t len);
static inline struct str strbuf_str(const struct strbuf *b)
{
    return str_n(b->ptr, b->len);
}
/* Hands the heap memory to the caller (NUL-terminated, never NULL) and resets. */
char *strbuf_take(struct strbuf *b);

#ifdef __cplusplus
}
#endif

#endif
