/* Chunks behind the bump allocator, and the per-loop pool of them. One thread per arena and pool.
 * Does not run destructors and frees nothing alone. */

#include "dataplane/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/growth.h"
#include "dataplane/base/xalloc.h"

#define POOL_CHUNK_CAP (ARENA_CHUNK_BYTES - sizeof(struct arena_chunk))
/* Arenas on the heap belong to configuration: thousands of small ones, so they start small and
 * grow by half. */
#define HEAP_CHUNK_MIN_BYTES 256
#define HEAP_CHUNK_MAX_BYTES 16384

void arena_pool_init(struct arena_pool *p, size_t max_free)
{
    p->free = NULL;
    p->free_count = 0;
    p->max_free = max_free;
    p->idle = 0;
    p->growth = NULL;
}

void arena_pool_done(struct arena_pool *p)
{
    while (p->free != NULL) {
        struct arena_chunk *c = p->free;

        p->free = c->next;
        free(c);
    }
    p->free_count = 0;
}

bool arena_pool_trim(struct arena_pool *p, size_t keep)
{
    size_t n = (p->idle + 1) / 2;

    while (n > 0 && p->free_count > keep) {
        struct arena_chunk *c = p->free;

        p->free = c->next;
        p->free_count--;
        free(c);
        n--;
    }
    p->idle = p->free_count;
    return p->free_count > keep;
}

static struct arena_chunk *pool_take(struct arena_pool *p)
{
    struct arena_chunk *c = p->free;

    if (NUNCIO_LIKELY(c != NULL)) {
        p->free = c->next;
        p->free_count--;
        if (p->free_count < p->idle) {
            p->idle = p->free_count;
        }
        return c;
    }
    growth_add(p->growth, ARENA_CHUNK_BYTES);
    c = xmalloc(ARENA_CHUNK_BYTES);
    c->cap = POOL_CHUNK_CAP;
    return c;
}

void arena_init(struct arena *a, struct arena_pool *pool)
{
    a->pos = NULL;
    a->end = NULL;
    a->chunks = NULL;
    a->pool = pool;
    a->total_bytes = 0;
}

void arena_done(struct arena *a)
{
    struct arena_chunk *c = a->chunks;

    while (c != NULL) {
        struct arena_chunk *next = c->next;

        if (a->pool != NULL && c->cap == POOL_CHUNK_CAP &&
            a->pool->free_count < a->pool->max_free) {
            c->next = a->pool->free;
            a->pool->free = c;
            a->pool->free_count++;
        } else {
            free(c);
        }
        c = next;
    }
    arena_init(a, a->pool);
}

static struct arena_chunk *chunk_new(size_t cap)
{
    struct arena_chunk *c = xmalloc(sizeof(*c) + cap);

    c->cap = cap;
    return c;
}

/* What an ordinary chunk of this arena holds next. */
static size_t next_chunk_cap(const struct arena *a)
{
    size_t bytes = a->total_bytes / 2;

    if (a->pool != NULL) {
        return POOL_CHUNK_CAP;
    }
    if (bytes < HEAP_CHUNK_MIN_BYTES) {
        bytes = HEAP_CHUNK_MIN_BYTES;
    }
    if (bytes > HEAP_CHUNK_MAX_BYTES) {
        bytes = HEAP_CHUNK_MAX_BYTES;
    }
    return bytes - sizeof(struct arena_chunk);
}

void *arena_alloc_slow(struct arena *a, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    size_t cap = next_chunk_cap(a);
    struct arena_chunk *c;

    CHECK(rounded >= bytes && rounded < SIZE_MAX / 2);
    if (rounded > cap / 2 && a->chunks != NULL) {
        /* A chunk of its own, behind the current one, whose rest stays in use. */
        c = chunk_new(rounded);
        c->next = a->chunks->next;
        a->chunks->next = c;
        a->total_bytes += sizeof(*c) + rounded;
        return c->data;
    }
    if (rounded > cap) {
        cap = rounded;
    }
    c = a->pool != NULL && cap == POOL_CHUNK_CAP ? pool_take(a->pool) : chunk_new(cap);
    c->next = a->chunks;
    a->chunks = c;
    a->total_bytes += sizeof(*c) + cap;
    a->pos = c->data + rounded;
    a->end = c->data + cap;
    return c->data;
}

void *arena_calloc(struct arena *a, size_t count, size_t bytes)
{
    size_t total;
    void *p;

    CHECK(!__builtin_mul_overflow(count, bytes, &total));
    p = arena_alloc(a, total);
    if (total > 0) {
        memset(p, 0, total);
    }
    return p;
}

void *arena_memdup(struct arena *a, const void *p, size_t bytes)
{
    void *copy = arena_alloc(a, bytes);

    if (bytes > 0) {
        memcpy(copy, p, bytes);
    }
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len + 1);

    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return str_n(copy, s.len);
}

char *arena_strdup(struct arena *a, const char *cstr)
{
    return arena_memdup(a, cstr, strlen(cstr) + 1);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    char *text;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        return STR("");
    }
    text = arena_alloc(a, (size_t)n + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, args); /* measured above */
    va_end(args);
    return str_n(text, (size_t)n);
}

struct str arena_concat(struct arena *a, const struct str *pieces, size_t n)
{
    size_t len = 0;
    char *text;
    char *p;

    for (size_t i = 0; i < n; i++) {
        CHECK(!__builtin_add_overflow(len, pieces[i].len, &len));
    }
    CHECK(len < SIZE_MAX);
    text = arena_alloc(a, len + 1);
    p = text;
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].len > 0) {
            memcpy(p, pieces[i].ptr, pieces[i].len);
            p += pieces[i].len;
        }
    }
    *p = '\0';
    return str_n(text, len);
}
