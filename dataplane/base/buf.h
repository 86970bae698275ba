#ifndef DATAPLANE_BASE_BUF_H
#define DATAPLANE_BASE_BUF_H

/*
 * Chained bytes. A block is 16 KiB of memory with a plain reference count, recycled in a per-loop
 * pool; a buf is a queue of segments, each a window into a block. Moving a body from one buf to
 * another moves segments, not bytes; a piece smaller than BUF_COPY_MAX is copied into the tail
 * block instead, so that a few bytes never pin a whole block. One loop's thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/base/check.h"
#include "dataplane/base/growth.h"
#include "dataplane/base/str.h"

#define BUF_BLOCK_BYTES 16384 /* with its header */
#define BUF_COPY_MAX 1024

struct buf_pool;

struct buf_block {
    struct buf_pool *pool;
    struct buf_block *next_free;
    uint32_t refs;
    uint32_t cap;  /* usable bytes */
    uint32_t used; /* bytes from here on belong to nobody yet: the segment ending here may grow */
    uint8_t data[];
};

/* Blocks and segments for one loop. */
struct buf_pool {
    struct buf_block *free_blocks;
    /* Where the next small piece of any buf goes, so that a thousand heads written in one turn
     * share a few blocks that stay in the cache. Not a reference: NULL as soon as the block is
     * free. */
    struct buf_block *shared;
    struct buf_seg *reserved; /* tail of the buf whose buf_reserve is under way */
    size_t reserved_len;
    struct buf_seg *free_segs;
    size_t free_block_count;
    size_t free_seg_count;
    size_t max_free_blocks; /* what comes back beyond goes to the heap */
    size_t idle_blocks;     /* lowest number of free ones since the last trim: nobody needed them */
    size_t live_blocks;     /* handed out; for memory stats */
    struct growth *growth;  /* hears of blocks that come from the heap; NULL: nobody */
};

void buf_pool_init(struct buf_pool *p, size_t max_free_blocks);
/* Every block must have come back. */
void buf_pool_done(struct buf_pool *p);
/* Gives half of the blocks that were not needed since the last call back to the heap, but leaves
 * `keep`; true when there may be more to give back. */
bool buf_pool_trim(struct buf_pool *p, size_t keep);

/* refs = 1, used = 0: who fills it by hand (the loop's read block) sets `used` to `cap` first. */
struct buf_block *buf_block_new(struct buf_pool *p);
static inline void buf_block_ref(struct buf_block *b)
{
    b->refs++;
}
void buf_block_unref(struct buf_block *b);

struct buf_seg {
    struct buf_seg *next;
    struct buf_block *block; /* one reference held */
    uint8_t *data;
    size_t len; /* never 0 while queued */
};

struct buf {
    struct buf_pool *pool;
    struct buf_seg *head;
    struct buf_seg *tail;
    size_t len; /* bytes in all segments */
};

void buf_init(struct buf *b, struct buf_pool *pool);
/* Drops everything; usable again. */
void buf_reset(struct buf *b);
static inline size_t buf_len(const struct buf *b)
{
    return b->len;
}
void buf_add(struct buf *b, const void *p, size_t len);
static inline void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.ptr, s.len);
}
/* At least `len` (at most BUF_RESERVE_MAX) contiguous writable bytes at the tail; commit says how
 * many were written, 0 included, and must follow before anything else is asked of this buf. For
 * encoders that format in place. */
#define BUF_RESERVE_MAX (BUF_BLOCK_BYTES - 256)
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t written);
/* Appends a window into `block`: takes its own reference, or copies when small and the tail block
 * has room. */
void buf_add_window(struct buf *b, struct buf_block *block, uint8_t *data, size_t len);
/* Moves everything, or the first `len` bytes, of `from` to the end of `to`. */
void buf_move(struct buf *to, struct buf *from);
void buf_move_n(struct buf *to, struct buf *from, size_t len);
/* Drops `len` bytes from the front. */
void buf_drain(struct buf *b, size_t len);
/* Copies up to `len` bytes starting at `offset`; returns how many. */
size_t buf_copy_out(const struct buf *b, size_t offset, void *to, size_t len);
/* Adds a copy of the bytes of `from` to the end of `to` by reference (segments share blocks);
 * `from` keeps them. For retries and mirrors. */
void buf_share(struct buf *to, const struct buf *from);
/* Fills at most `max` iovecs from the front; returns how many. */
size_t buf_iovec(const struct buf *b, struct iovec *iov, size_t max);
/* First contiguous run; empty when the buf is. */
static inline struct str buf_front(const struct buf *b)
{
    return b->head != NULL ? str_n((const char *)b->head->data, b->head->len) : STR_NONE;
}
/* Makes the first `len` bytes contiguous (len <= BUF_RESERVE_MAX, <= buf_len) and returns them. */
uint8_t *buf_linearize(struct buf *b, size_t len);

#endif
