#ifndef DATAPLANE_BASE_ARENA_H
#define DATAPLANE_BASE_ARENA_H

/*
 * Bump allocator: many small allocations, one free. A stream has one, so does each parsed
 * configuration resource. Chunks come from a pool when one is given (per loop, never shared
 * between threads) and from the heap otherwise. Nothing in an arena is freed alone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

struct growth;

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap; /* usable bytes in data[] */
    char data[] __attribute__((aligned(16)));
};

/* Free list of equal chunks (ARENA_CHUNK_BYTES with their header), one per loop. */
struct arena_pool {
    struct arena_chunk *free;
    size_t free_count;
    size_t max_free;       /* what comes back beyond goes to the heap */
    size_t idle;           /* lowest number of free ones since the last trim: nobody needed them */
    struct growth *growth; /* hears of chunks that come from the heap; NULL: nobody */
};

#define ARENA_CHUNK_BYTES 4096

void arena_pool_init(struct arena_pool *p, size_t max_free);
void arena_pool_done(struct arena_pool *p);
/* Gives half of the chunks that were not needed since the last call back to the heap, but leaves
 * `keep`; true when there may be more to give back. */
bool arena_pool_trim(struct arena_pool *p, size_t keep);

struct arena {
    char *pos;
    char *end;
    struct arena_chunk *chunks; /* newest first */
    struct arena_pool *pool;    /* NULL: heap */
    size_t total_bytes;         /* taken in chunks, for bounds and admin */
};

/* `pool` may be NULL. Takes no memory before the first allocation. */
void arena_init(struct arena *a, struct arena_pool *pool);
/* Frees everything; the arena is as after init. */
void arena_done(struct arena *a);
void *arena_alloc_slow(struct arena *a, size_t bytes);

/* 16-byte aligned, uninitialised. */
static inline void *arena_alloc(struct arena *a, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;

    if (NUNCIO_LIKELY(rounded >= bytes && rounded <= (size_t)(a->end - a->pos))) {
        void *p = a->pos;

        a->pos += rounded;
        return p;
    }
    return arena_alloc_slow(a, bytes);
}

/* Gives back what lies behind the first `bytes` of `p`, the newest allocation: room that was asked
 * for so that what comes next shares its chunk. */
static inline void arena_shrink(struct arena *a, void *p, size_t bytes)
{
    char *end = (char *)p + ((bytes + 15) & ~(size_t)15);

    CHECK(end <= a->pos);
    a->pos = end;
}

void *arena_calloc(struct arena *a, size_t count, size_t bytes);
void *arena_memdup(struct arena *a, const void *p, size_t bytes);
/* Copies; the result is NUL-terminated beyond its length. */
struct str arena_str(struct arena *a, struct str s);
char *arena_strdup(struct arena *a, const char *cstr);
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Concatenation of n pieces. */
struct str arena_concat(struct arena *a, const struct str *pieces, size_t n);

#define ARENA_NEW(a, type) ((type *)arena_calloc((a), 1, sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))

#ifdef __cplusplus
}
#endif

#endif
