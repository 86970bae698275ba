/*
 * Blocks, segments and the chained buffer. One loop's thread only.
 *
 * Two facts keep references safe without copying: the bytes of a block behind `used` belong to
 * nobody, so the one segment that ends there may grow even while others refer to the block; and
 * bytes before `used` are never written again while anybody refers to them.
 */

#include "dataplane/base/buf.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"

#define BLOCK_CAP ((uint32_t)(BUF_BLOCK_BYTES - sizeof(struct buf_block)))
/* Pieces up to this go into the pool's shared block. */
#define BUF_SHARE_MAX 2048
/* Free segments kept for each block that may be kept. */
#define SEGS_PER_BLOCK 4

void buf_pool_init(struct buf_pool *p, size_t max_free_blocks)
{
    *p = (struct buf_pool){.max_free_blocks = max_free_blocks};
}

void buf_pool_done(struct buf_pool *p)
{
    CHECK(p->live_blocks == 0);
    while (p->free_blocks != NULL) {
        struct buf_block *b = p->free_blocks;

        p->free_blocks = b->next_free;
        free(b);
    }
    while (p->free_segs != NULL) {
        struct buf_seg *s = p->free_segs;

        p->free_segs = s->next;
        free(s);
    }
    buf_pool_init(p, p->max_free_blocks);
}

bool buf_pool_trim(struct buf_pool *p, size_t keep)
{
    size_t n = (p->idle_blocks + 1) / 2;

    while (n > 0 && p->free_block_count > keep) {
        struct buf_block *b = p->free_blocks;

        p->free_blocks = b->next_free;
        p->free_block_count--;
        free(b);
        n--;
    }
    p->idle_blocks = p->free_block_count;
    while (p->free_seg_count > (p->free_block_count + p->live_blocks) * SEGS_PER_BLOCK) {
        struct buf_seg *s = p->free_segs;

        p->free_segs = s->next;
        p->free_seg_count--;
        free(s);
    }
    return p->free_block_count > keep;
}

struct buf_block *buf_block_new(struct buf_pool *p)
{
    struct buf_block *b = p->free_blocks;

    if (NUNCIO_LIKELY(b != NULL)) {
        p->free_blocks = b->next_free;
        p->free_block_count--;
        if (p->free_block_count < p->idle_blocks) {
            p->idle_blocks = p->free_block_count;
        }
    } else {
        growth_add(p->growth, BUF_BLOCK_BYTES);
        b = xmalloc(BUF_BLOCK_BYTES);
        b->pool = p;
        b->cap = BLOCK_CAP;
    }
    b->refs = 1;
    b->used = 0;
    p->live_blocks++;
    return b;
}

void buf_block_unref(struct buf_block *b)
{
    struct buf_pool *p = b->pool;

    CHECK(b->refs > 0);
    if (--b->refs > 0) {
        return;
    }
    p->live_blocks--;
    if (p->shared == b) {
        p->shared = NULL;
    }
    if (NUNCIO_UNLIKELY(p->free_block_count >= p->max_free_blocks)) {
        free(b);
        return;
    }
    b->next_free = p->free_blocks;
    p->free_blocks = b;
    p->free_block_count++;
}

/* Takes over one reference to `take_block`. */
static struct buf_seg *seg_new(struct buf_pool *p, struct buf_block *take_block, uint8_t *data,
                               size_t len)
{
    struct buf_seg *s = p->free_segs;

    if (NUNCIO_LIKELY(s != NULL)) {
        p->free_segs = s->next;
        p->free_seg_count--;
    } else {
        s = xmalloc(sizeof(*s));
    }
    s->next = NULL;
    s->block = take_block;
    s->data = data;
    s->len = len;
    return s;
}

static void seg_free(struct buf_pool *p, struct buf_seg *s)
{
    buf_block_unref(s->block);
    if (NUNCIO_UNLIKELY(p->free_seg_count >= p->max_free_blocks * SEGS_PER_BLOCK)) {
        free(s);
        return;
    }
    s->next = p->free_segs;
    p->free_segs = s;
    p->free_seg_count++;
}

static void append_seg(struct buf *b, struct buf_seg *s)
{
    s->next = NULL;
    if (b->tail != NULL) {
        b->tail->next = s;
    } else {
        b->head = s;
    }
    b->tail = s;
    b->len += s->len;
}

static struct buf_seg *detach_head(struct buf *b)
{
    struct buf_seg *s = b->head;

    b->head = s->next;
    if (b->head == NULL) {
        b->tail = NULL;
    }
    b->len -= s->len;
    return s;
}

/* Bytes by which `s` may grow in place. */
static size_t seg_room(const struct buf_seg *s)
{
    const struct buf_block *block = s->block;

    return s->data + s->len == block->data + block->used ? block->cap - block->used : 0;
}

static size_t tail_room(const struct buf *b)
{
    return b->tail != NULL ? seg_room(b->tail) : 0;
}

/* `len` bytes fit into the tail. */
static void tail_append(struct buf *b, const void *p, size_t len)
{
    struct buf_seg *s = b->tail;

    memcpy(s->data + s->len, p, len);
    s->len += len;
    s->block->used += (uint32_t)len;
    b->len += len;
}

/* An empty segment at the end with room for `len` bytes: in the shared block, unless a reservation
 * there is under way or the piece is large. */
static void append_room(struct buf *b, size_t len)
{
    struct buf_pool *p = b->pool;
    struct buf_block *block = p->shared;

    if (len > BUF_SHARE_MAX || p->reserved != NULL) {
        block = buf_block_new(p);
    } else if (block != NULL && block->cap - block->used >= len) {
        buf_block_ref(block);
    } else {
        block = buf_block_new(p);
        p->shared = block;
    }
    append_seg(b, seg_new(p, block, block->data + block->used, 0));
}

void buf_init(struct buf *b, struct buf_pool *pool)
{
    *b = (struct buf){.pool = pool};
}

void buf_reset(struct buf *b)
{
    struct buf_seg *s = b->head;

    while (s != NULL) {
        struct buf_seg *next = s->next;

        seg_free(b->pool, s);
        s = next;
    }
    buf_init(b, b->pool);
}

void buf_add(struct buf *b, const void *p, size_t len)
{
    const uint8_t *from = p;

    while (len > 0) {
        size_t room = tail_room(b);
        size_t n;

        if (room == 0) {
            append_room(b, len);
            room = tail_room(b);
        }
        n = len < room ? len : room;
        tail_append(b, from, n);
        from += n;
        len -= n;
    }
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    struct buf_pool *p = b->pool;

    CHECK(len <= BUF_RESERVE_MAX);
    if (b->tail == NULL || tail_room(b) < len) {
        append_room(b, len);
    }
    if (p->reserved == NULL) {
        /* Until the commit nobody else grows into it. */
        p->reserved = b->tail;
        p->reserved_len = len;
        b->tail->block->used += (uint32_t)len;
    }
    return b->tail->data + b->tail->len;
}

/* Takes an empty tail, left over by a reserve that wrote nothing, off again. */
static void drop_tail(struct buf *b)
{
    struct buf_seg *last = b->tail;
    struct buf_seg *before = NULL;

    for (struct buf_seg *s = b->head; s != last; s = s->next) {
        before = s;
    }
    b->tail = before;
    if (before != NULL) {
        before->next = NULL;
    } else {
        b->head = NULL;
    }
    seg_free(b->pool, last);
}

void buf_commit(struct buf *b, size_t written)
{
    struct buf_pool *p = b->pool;
    struct buf_seg *s = b->tail;

    CHECK(s != NULL);
    if (p->reserved == s) {
        CHECK(written <= p->reserved_len);
        s->block->used -= (uint32_t)p->reserved_len;
        p->reserved = NULL;
    }
    CHECK(written <= tail_room(b));
    s->len += written;
    s->block->used += (uint32_t)written;
    b->len += written;
    if (s->len == 0) {
        drop_tail(b);
    }
}

void buf_add_window(struct buf *b, struct buf_block *block, uint8_t *data, size_t len)
{
    struct buf_seg *tail = b->tail;

    if (len == 0) {
        return;
    }
    CHECK(data >= block->data && data + len <= block->data + block->cap);
    if (tail != NULL && tail->block == block && tail->data + tail->len == data) {
        tail->len += len;
        b->len += len;
        return;
    }
    /* A small piece joins a tail that has room; without one, a copy would cost a block of its own,
     * more than the window pins. */
    if (len < BUF_COPY_MAX && tail_room(b) >= len) {
        tail_append(b, data, len);
        return;
    }
    buf_block_ref(block);
    append_seg(b, seg_new(b->pool, block, data, len));
}

/* Consumes `take_seg`, a segment in no buf. */
static void add_seg(struct buf *to, struct buf_seg *take_seg)
{
    struct buf_seg *tail = to->tail;

    if (tail != NULL && tail->block == take_seg->block &&
        tail->data + tail->len == take_seg->data) {
        tail->len += take_seg->len;
        to->len += take_seg->len;
        seg_free(to->pool, take_seg);
        return;
    }
    if (take_seg->len < BUF_COPY_MAX && tail_room(to) >= take_seg->len) {
        tail_append(to, take_seg->data, take_seg->len);
        seg_free(to->pool, take_seg);
        return;
    }
    append_seg(to, take_seg);
}

void buf_move(struct buf *to, struct buf *from)
{
    CHECK(to != from && to->pool == from->pool);
    if (to->head == NULL) {
        to->head = from->head;
        to->tail = from->tail;
        to->len = from->len;
        buf_init(from, from->pool);
        return;
    }
    while (from->head != NULL) {
        add_seg(to, detach_head(from));
    }
}

void buf_move_n(struct buf *to, struct buf *from, size_t len)
{
    CHECK(to != from && to->pool == from->pool && len <= from->len);
    if (len == from->len) {
        buf_move(to, from);
        return;
    }
    while (len > 0 && from->head->len <= len) {
        len -= from->head->len;
        add_seg(to, detach_head(from));
    }
    if (len > 0) {
        buf_add_window(to, from->head->block, from->head->data, len);
        from->head->data += len;
        from->head->len -= len;
        from->len -= len;
    }
}

void buf_drain(struct buf *b, size_t len)
{
    CHECK(len <= b->len);
    while (len > 0) {
        struct buf_seg *s = b->head;

        if (len < s->len) {
            s->data += len;
            s->len -= len;
            b->len -= len;
            return;
        }
        len -= s->len;
        seg_free(b->pool, detach_head(b));
    }
}

size_t buf_copy_out(const struct buf *b, size_t offset, void *to, size_t len)
{
    uint8_t *out = to;
    size_t copied = 0;

    for (const struct buf_seg *s = b->head; s != NULL && copied < len; s = s->next) {
        size_t n;

        if (offset >= s->len) {
            offset -= s->len;
            continue;
        }
        n = s->len - offset;
        if (n > len - copied) {
            n = len - copied;
        }
        memcpy(out + copied, s->data + offset, n);
        copied += n;
        offset = 0;
    }
    return copied;
}

void buf_share(struct buf *to, const struct buf *from)
{
    CHECK(to != from);
    for (const struct buf_seg *s = from->head; s != NULL; s = s->next) {
        buf_add_window(to, s->block, s->data, s->len);
    }
}

size_t buf_iovec(const struct buf *b, struct iovec *iov, size_t max)
{
    size_t n = 0;

    for (const struct buf_seg *s = b->head; s != NULL && n < max; s = s->next) {
        iov[n].iov_base = s->data;
        iov[n].iov_len = s->len;
        n++;
    }
    return n;
}

/* Copies what the head lacks to `len` bytes from the segments behind it, and drains it there. */
static void pull_into_head(struct buf *b, size_t len)
{
    struct buf_seg *head = b->head;

    while (head->len < len) {
        struct buf_seg *next = head->next;
        size_t n = len - head->len;

        if (n > next->len) {
            n = next->len;
        }
        memcpy(head->data + head->len, next->data, n);
        head->len += n;
        head->block->used += (uint32_t)n;
        next->data += n;
        next->len -= n;
        if (next->len == 0) {
            head->next = next->next;
            if (b->tail == next) {
                b->tail = head;
            }
            seg_free(b->pool, next);
        }
    }
}

uint8_t *buf_linearize(struct buf *b, size_t len)
{
    CHECK(len > 0 && len <= b->len && len <= BUF_RESERVE_MAX);
    if (b->head->len < len) {
        if (seg_room(b->head) < len - b->head->len) {
            struct buf_block *block = buf_block_new(b->pool);
            struct buf_seg *s = seg_new(b->pool, block, block->data, 0);

            s->next = b->head;
            b->head = s;
        }
        pull_into_head(b, len);
    }
    return b->head->data;
}
