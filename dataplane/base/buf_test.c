/* The chained buffer: directed cases for what costs (copies, blocks), and a long random run against
 * a plain byte array. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/base/buf.h"
#include "dataplane/base/rand.h"
#include "dataplane/base/xalloc.h"

static size_t count_segs(const struct buf *b)
{
    size_t n = 0;

    for (const struct buf_seg *s = b->head; s != NULL; s = s->next) {
        assert_true(s->len > 0);
        assert_true(s->next != NULL || s == b->tail);
        n++;
    }
    return n;
}

static void assert_bytes(const struct buf *b, const void *bytes, size_t len)
{
    char *copy = xmalloc(len + 1);

    assert_int_equal(buf_len(b), len);
    assert_int_equal(buf_copy_out(b, 0, copy, len + 1), len);
    assert_memory_equal(copy, bytes, len);
    free(copy);
}

static void test_small_appends_share_one_block(void **state)
{
    struct buf_pool pool;
    struct buf b;

    buf_pool_init(&pool, 4);
    buf_init(&b, &pool);
    assert_int_equal(buf_front(&b).len, 0);
    for (int i = 0; i < 100; i++) {
        buf_add(&b, "0123456789", 10);
    }
    assert_int_equal(count_segs(&b), 1);
    assert_int_equal(pool.live_blocks, 1);
    buf_reset(&b);
    assert_int_equal(pool.live_blocks, 0);
    assert_int_equal(pool.free_block_count, 1);
    buf_add_str(&b, STR("again"));
    assert_int_equal(pool.free_block_count, 0);
    buf_reset(&b);
    buf_pool_done(&pool);
}

static void test_pool_keeps_no_more_than_its_bound(void **state)
{
    struct buf_pool pool;
    struct buf b;
    char *big = xcalloc(1, 10 * BUF_BLOCK_BYTES);

    buf_pool_init(&pool, 2);
    buf_init(&b, &pool);
    buf_add(&b, big, 10 * BUF_BLOCK_BYTES);
    assert_int_equal(pool.live_blocks, 11);
    buf_reset(&b);
    assert_int_equal(pool.free_block_count, 2);
    buf_pool_done(&pool);
    free(big);
}

static void test_trim_gives_back_only_what_was_idle(void **state)
{
    struct buf_pool pool;
    struct buf b;
    char *big = xcalloc(1, 10 * BUF_BLOCK_BYTES);

    buf_pool_init(&pool, 100);
    buf_init(&b, &pool);
    buf_add(&b, big, 10 * BUF_BLOCK_BYTES);
    buf_reset(&b);
    assert_int_equal(pool.free_block_count, 11);
    assert_true(buf_pool_trim(&pool, 2)); /* all were needed since the start */
    assert_int_equal(pool.free_block_count, 11);
    buf_add(&b, big, 5 * BUF_BLOCK_BYTES);
    buf_reset(&b);
    assert_true(buf_pool_trim(&pool, 2)); /* 6 needed, 5 idle: half of them */
    assert_int_equal(pool.free_block_count, 8);
    while (buf_pool_trim(&pool, 2)) {
    }
    assert_int_equal(pool.free_block_count, 2);
    buf_pool_done(&pool);
    free(big);
}

static void test_big_move_takes_segments_not_bytes(void **state)
{
    struct buf_pool pool;
    struct buf from;
    struct buf to;
    char body[4000];
    const uint8_t *where;

    memset(body, 'x', sizeof(body));
    buf_pool_init(&pool, 4);
    buf_init(&from, &pool);
    buf_init(&to, &pool);
    buf_add_str(&to, STR("head"));
    buf_add(&from, body, sizeof(body));
    where = from.head->data;
    buf_move(&to, &from);
    assert_int_equal(buf_len(&from), 0);
    assert_null(from.head);
    assert_int_equal(count_segs(&to), 2);
    assert_ptr_equal(to.tail->data, where);
    buf_reset(&to);
    buf_pool_done(&pool);
}

static void test_small_move_joins_the_tail(void **state)
{
    struct buf_pool pool;
    struct buf from;
    struct buf to;

    buf_pool_init(&pool, 4);
    buf_init(&from, &pool);
    buf_init(&to, &pool);
    buf_add_str(&to, STR("head"));
    buf_add_str(&from, STR("tail"));
    buf_move(&to, &from);
    assert_int_equal(count_segs(&to), 1);
    assert_int_equal(pool.live_blocks, 1);
    assert_bytes(&to, "headtail", 8);
    buf_reset(&to);
    buf_pool_done(&pool);
}

/* The rule that makes sharing safe: who appends behind shared bytes never writes into them. */
static void test_both_sides_append_after_sharing(void **state)
{
    struct buf_pool pool;
    struct buf a;
    struct buf b;

    buf_pool_init(&pool, 4);
    buf_init(&a, &pool);
    buf_init(&b, &pool);
    buf_add_str(&a, STR("common"));
    buf_share(&b, &a);
    assert_int_equal(pool.live_blocks, 1);
    buf_add_str(&a, STR("-a"));
    buf_add_str(&b, STR("-b"));
    buf_add_str(&a, STR("-aa"));
    assert_bytes(&a, "common-a-aa", 11);
    assert_bytes(&b, "common-b", 8);
    buf_drain(&a, 3);
    assert_bytes(&a, "mon-a-aa", 8);
    assert_bytes(&b, "common-b", 8);
    buf_reset(&a);
    assert_bytes(&b, "common-b", 8);
    buf_reset(&b);
    buf_pool_done(&pool);
}

static void test_adjacent_windows_merge(void **state)
{
    struct buf_pool pool;
    struct buf_block *block;
    struct buf b;

    buf_pool_init(&pool, 4);
    buf_init(&b, &pool);
    block = buf_block_new(&pool);
    block->used = block->cap;
    memcpy(block->data, "0123456789", 10);
    buf_add_window(&b, block, block->data, 4);
    buf_add_window(&b, block, block->data + 4, 3);
    buf_add_window(&b, block, block->data + 7, 0);
    assert_int_equal(count_segs(&b), 1);
    buf_add_window(&b, block, block->data + 8, 2); /* a gap: no room to copy into, so a segment */
    assert_int_equal(count_segs(&b), 2);
    assert_int_equal(block->refs, 3);
    buf_add_str(&b, STR("x")); /* never into somebody's read block */
    assert_int_equal(pool.live_blocks, 2);
    assert_bytes(&b, "012345689x", 10);
    buf_block_unref(block);
    buf_reset(&b);
    buf_pool_done(&pool);
}

static void test_reserve_and_commit(void **state)
{
    struct buf_pool pool;
    struct buf b;
    uint8_t *p;

    buf_pool_init(&pool, 4);
    buf_init(&b, &pool);
    p = buf_reserve(&b, BUF_RESERVE_MAX);
    memcpy(p, "abc", 3);
    buf_commit(&b, 3);
    p = buf_reserve(&b, 10);
    assert_ptr_equal(p, b.head->data + 3);
    buf_commit(&b, 0);
    assert_int_equal(count_segs(&b), 1);
    p = buf_reserve(&b, BUF_RESERVE_MAX);
    buf_commit(&b, 0); /* the block taken for nothing goes back */
    assert_int_equal(count_segs(&b), 1);
    assert_int_equal(pool.live_blocks, 1);
    assert_bytes(&b, "abc", 3);
    buf_reset(&b);
    p = buf_reserve(&b, 1);
    assert_non_null(p);
    buf_commit(&b, 0);
    assert_null(b.head);
    assert_null(b.tail);
    assert_int_equal(pool.live_blocks, 0);
    buf_pool_done(&pool);
}

static void test_iovec_stops_at_max(void **state)
{
    struct buf_pool pool;
    struct buf b;
    struct iovec iov[2];
    char *big = xcalloc(1, 3 * BUF_BLOCK_BYTES);

    buf_pool_init(&pool, 4);
    buf_init(&b, &pool);
    assert_int_equal(buf_iovec(&b, iov, 2), 0);
    buf_add(&b, big, 3 * BUF_BLOCK_BYTES);
    assert_int_equal(buf_iovec(&b, iov, 2), 2);
    assert_ptr_equal(iov[0].iov_base, b.head->data);
    assert_int_equal(iov[1].iov_len, b.head->next->len);
    buf_reset(&b);
    buf_pool_done(&pool);
    free(big);
}

/* --- Random runs against a byte array ------------------------------------------------------------
 */

#define MODEL_MAX (64 * 1024)

struct model {
    struct buf buf;
    uint8_t bytes[MODEL_MAX];
    size_t len;
};

static void model_check(const struct model *m)
{
    assert_int_equal(buf_len(&m->buf), m->len);
    (void)count_segs(&m->buf);
    assert_bytes(&m->buf, m->bytes, m->len);
}

static void model_add(struct model *m, const uint8_t *p, size_t len)
{
    memcpy(m->bytes + m->len, p, len);
    m->len += len;
}

static void model_drain(struct model *m, size_t len)
{
    memmove(m->bytes, m->bytes + len, m->len - len);
    m->len -= len;
}

/* Lengths that are often small, sometimes around the sizes that matter. */
static size_t random_len(struct rng *r)
{
    switch (rng_below(r, 4)) {
    case 0:
        return rng_below(r, 16);
    case 1:
        return rng_below(r, 2 * BUF_COPY_MAX);
    case 2:
        return BUF_RESERVE_MAX - 8 + rng_below(r, 8);
    default:
        return rng_below(r, 300);
    }
}

static void random_step(struct rng *r, struct model *a, struct model *b,
                        struct buf_block **read_block)
{
    static uint8_t noise[BUF_BLOCK_BYTES];
    size_t len = random_len(r);

    for (size_t i = 0; i < 32; i++) {
        noise[rng_below(r, sizeof(noise))] = (uint8_t)rng_next(r);
    }
    if (a->len + b->len + len > MODEL_MAX) {
        buf_reset(&a->buf);
        a->len = 0;
        buf_drain(&b->buf, b->len);
        b->len = 0;
    }
    switch (rng_below(r, 8)) {
    case 0:
        buf_add(&a->buf, noise, len);
        model_add(a, noise, len);
        break;
    case 1: {
        size_t written = rng_below(r, len + 1);

        memcpy(buf_reserve(&a->buf, len), noise, written);
        buf_commit(&a->buf, written);
        model_add(a, noise, written);
        break;
    }
    case 2: {
        uint8_t *p = (*read_block)->data;

        if ((*read_block)->refs > 1) { /* somebody keeps bytes of it: as the loop does */
            struct buf_block *fresh = buf_block_new((*read_block)->pool);

            buf_block_unref(*read_block);
            *read_block = fresh;
            fresh->used = fresh->cap;
            p = fresh->data;
        }
        memcpy(p, noise, len);
        buf_add_window(&a->buf, *read_block, p, len / 2);
        buf_add_window(&b->buf, *read_block, p + len / 2, len - len / 2);
        model_add(a, noise, len / 2);
        model_add(b, noise + len / 2, len - len / 2);
        break;
    }
    case 3:
        buf_move(&b->buf, &a->buf);
        model_add(b, a->bytes, a->len);
        a->len = 0;
        break;
    case 4: {
        size_t n = rng_below(r, a->len + 1);

        buf_move_n(&b->buf, &a->buf, n);
        model_add(b, a->bytes, n);
        model_drain(a, n);
        break;
    }
    case 5: {
        size_t n = rng_below(r, a->len + 1);

        buf_drain(&a->buf, n);
        model_drain(a, n);
        break;
    }
    case 6:
        if (a->len * 2 + b->len < MODEL_MAX) {
            buf_share(&b->buf, &a->buf);
            model_add(b, a->bytes, a->len);
        }
        break;
    default:
        if (a->len > 0) {
            size_t max = a->len < BUF_RESERVE_MAX ? a->len : BUF_RESERVE_MAX;
            size_t n = 1 + rng_below(r, max);

            assert_memory_equal(buf_linearize(&a->buf, n), a->bytes, n);
            assert_true(buf_front(&a->buf).len >= n);
        }
        break;
    }
}

static void test_random_steps_match_a_byte_array(void **state)
{
    struct rng r;
    struct buf_pool pool;
    struct buf_block *read_block;
    struct model *m = xcalloc(2, sizeof(*m));

    rng_seed_with(&r, 42);
    buf_pool_init(&pool, 8);
    buf_init(&m[0].buf, &pool);
    buf_init(&m[1].buf, &pool);
    read_block = buf_block_new(&pool);
    read_block->used = read_block->cap;
    for (int i = 0; i < 20000; i++) {
        size_t first = rng_below(&r, 2);

        random_step(&r, &m[first], &m[1 - first], &read_block);
        model_check(&m[0]);
        model_check(&m[1]);
    }
    buf_reset(&m[0].buf);
    buf_reset(&m[1].buf);
    buf_block_unref(read_block);
    buf_pool_done(&pool);
    free(m);
}

static void test_small_pieces_share_a_block(void **state)
{
    struct buf_pool p;
    struct buf a;
    struct buf b;
    uint8_t *reserved;

    buf_pool_init(&p, 4);
    buf_init(&a, &p);
    buf_init(&b, &p);
    buf_add_str(&a, STR("first"));
    reserved = buf_reserve(&b, 100);
    /* Nobody grows into what is reserved, whatever else happens meanwhile. */
    buf_add_str(&a, STR(" more"));
    memcpy(reserved, "second", 6);
    buf_commit(&b, 6);
    buf_add_str(&b, STR(" one"));
    assert_int_equal(buf_len(&a), 10);
    assert_memory_equal(buf_linearize(&a, 10), "first more", 10);
    assert_memory_equal(buf_linearize(&b, 10), "second one", 10);
    assert_ptr_equal(b.head->block, p.shared);
    buf_reset(&a);
    buf_reset(&b);
    assert_int_equal(p.live_blocks, 0);
    assert_null(p.shared);
    buf_pool_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_appends_share_one_block),
        cmocka_unit_test(test_pool_keeps_no_more_than_its_bound),
        cmocka_unit_test(test_trim_gives_back_only_what_was_idle),
        cmocka_unit_test(test_big_move_takes_segments_not_bytes),
        cmocka_unit_test(test_small_move_joins_the_tail),
        cmocka_unit_test(test_both_sides_append_after_sharing),
        cmocka_unit_test(test_adjacent_windows_merge),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_iovec_stops_at_max),
        cmocka_unit_test(test_random_steps_match_a_byte_array),
        cmocka_unit_test(test_small_pieces_share_a_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
