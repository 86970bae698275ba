#ifndef DATAPLANE_BASE_CHECK_H
#define DATAPLANE_BASE_CHECK_H

/*
 * Assertions and magic numbers. CHECK stays on in release builds: it guards our own invariants
 * with one predictable branch. Never use it on what a peer, a file or the kernel says.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NUNCIO_LIKELY(x) __builtin_expect(!!(x), 1)
#define NUNCIO_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Prints file, line and the expression, then aborts (the crash handler adds the backtrace). */
void check_failed(const char *expr, const char *file, int line) __attribute__((noreturn));

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (NUNCIO_UNLIKELY(!(expr))) {                                                            \
            check_failed(#expr, __FILE__, __LINE__);                                               \
        }                                                                                          \
    } while (0)

/* Four-letter magic as the first member of every struct that is reached through a void pointer. */
#define MAGIC(a, b, c, d)                                                                          \
    ((uint32_t)(a) | ((uint32_t)(b) << 8) | ((uint32_t)(c) << 16) | ((uint32_t)(d) << 24))

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#ifdef __cplusplus
}
#endif

#endif
