/* Heap allocation that never returns NULL. Any thread. Does not bound sizes: callers do. */

#include "dataplane/base/xalloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void xalloc_failed(size_t count, size_t bytes)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "out of memory: %zu x %zu bytes\n", count, bytes);

    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) {
        /* Nothing is left to report to. */
    }
    abort();
}

void *xmalloc(size_t bytes)
{
    void *p = malloc(bytes > 0 ? bytes : 1);

    if (p == NULL) {
        xalloc_failed(1, bytes);
    }
    return p;
}

void *xcalloc(size_t count, size_t bytes)
{
    void *p = calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1);

    if (p == NULL) {
        xalloc_failed(count, bytes);
    }
    return p;
}

void *xcalloc_aligned(size_t align, size_t bytes)
{
    size_t rounded = (bytes + align - 1) & ~(align - 1);
    void *p = rounded >= bytes ? aligned_alloc(align, rounded) : NULL;

    if (p == NULL) {
        xalloc_failed(1, bytes);
    }
    return memset(p, 0, rounded);
}

void *xreallocarray(void *p, size_t count, size_t bytes)
{
    size_t total;
    void *q;

    if (__builtin_mul_overflow(count, bytes, &total)) {
        xalloc_failed(count, bytes);
    }
    q = realloc(p, total > 0 ? total : 1);
    if (q == NULL) {
        xalloc_failed(count, bytes);
    }
    return q;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t len)
{
    char *copy;

    if (len == SIZE_MAX) {
        xalloc_failed(1, len);
    }
    copy = xmalloc(len + 1);
    if (len > 0) {
        memcpy(copy, s, len);
    }
    copy[len] = '\0';
    return copy;
}
