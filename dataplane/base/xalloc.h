#ifndef DATAPLANE_BASE_XALLOC_H
#define DATAPLANE_BASE_XALLOC_H

/* Allocation that aborts on failure (style rule 20): bound what a peer controls before calling. */

#include <stddef.h>

void *xmalloc(size_t bytes) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *xcalloc(size_t count, size_t bytes)
    __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
/* Zeroed, at a multiple of `align` (a power of two); for free(). */
void *xcalloc_aligned(size_t align, size_t bytes)
    __attribute__((malloc, alloc_size(2), returns_nonnull));
/* Multiplication is checked; NULL is allowed for `p`. */
void *xreallocarray(void *p, size_t count, size_t bytes)
    __attribute__((alloc_size(2, 3), returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t len) __attribute__((malloc, returns_nonnull));

#endif
