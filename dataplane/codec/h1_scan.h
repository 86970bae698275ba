#ifndef DATAPLANE_CODEC_H1_SCAN_H
#define DATAPLANE_CODEC_H1_SCAN_H

/*
 * Finding the end of a run of allowed bytes, 16 at a time where SSE2 is there. The caller puts a
 * NUL behind its bytes, which always ends a run, and H1_SCAN_SLACK readable bytes from there on.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define H1_SCAN_SLACK 16

/* Lower-case form of a token byte (RFC 9110, 5.6.2), 0 for any other byte. */
extern const uint8_t h1_token_lower[256];

/* Controls other than HTAB, and DEL: what no field value and no start line may hold. */
static inline bool h1_is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

#ifdef __SSE2__

/* First control byte (CR, LF and NUL among them; not HTAB). */
static inline char *h1_scan_value(char *p)
{
    const __m128i last_control = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);

    for (;; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), low), _mm_cmpeq_epi8(v, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);

        if (mask != 0) {
            return p + __builtin_ctz(mask);
        }
    }
}

/* First byte that no request target holds: controls, space, and all from DEL on. */
static inline char *h1_scan_target(char *p)
{
    const __m128i space = _mm_set1_epi8(0x20);
    const __m128i del = _mm_set1_epi8(0x7f);

    for (;; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: bytes from 0x80 on are negative and so below the space. */
        __m128i bad = _mm_or_si128(_mm_cmplt_epi8(v, _mm_add_epi8(space, _mm_set1_epi8(1))),
                                   _mm_cmpeq_epi8(v, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);

        if (mask != 0) {
            return p + __builtin_ctz(mask);
        }
    }
}

#else

static inline char *h1_scan_value(char *p)
{
    while (!h1_is_control((uint8_t)*p)) {
        p++;
    }
    return p;
}

static inline char *h1_scan_target(char *p)
{
    while ((uint8_t)*p > 0x20 && (uint8_t)*p < 0x7f) {
        p++;
    }
    return p;
}

#endif

/* Lower-cases a token in place; returns the byte behind it. */
static inline char *h1_scan_token_lower(char *p)
{
    uint8_t c;

    while ((c = h1_token_lower[(uint8_t)*p]) != 0) {
        *p++ = (char)c;
    }
    return p;
}

#endif
