/*
 * The per-thread context: brings the loop, its pools, timers and queue up and down, and runs what
 * was put off to the end of a turn. One thread; only posts come from others.
 */

#include "dataplane/event/loop.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/error.h"
#include "dataplane/event/deferred.h"

/*
 * While busy a loop keeps what it uses: up to 32 MiB of blocks and 16 MiB of chunks, since malloc
 * would return them to the kernel at the end of each turn and fault them in again in the next. What
 * nobody needed for a quarter of a second goes back by halves, down to half a MiB; and what lies
 * loose in the heap goes back to the system when frees have become few.
 */
#define MAX_FREE_BLOCKS 2048
#define MAX_FREE_CHUNKS 4096
#define KEEP_BLOCKS 16
#define KEEP_CHUNKS 64
#define TRIM_INTERVAL_MS 250
#define LOOSE_BYTES (512u * 1024)           /* worth a look at the heap */
#define LOOSE_MANY_BYTES (4u * 1024 * 1024) /* while the pools still shrink */
#define LOOSENED_FEW_BYTES (128u * 1024)    /* in an interval: it is quiet */
#define WALL_REFRESH_MS 1000
#define NS_PER_MS 1000000
#define NS_PER_S UINT64_C(1000000000)

static void loop_run_tasks(struct loop *l)
{
    struct list batch;

    /* What a task schedules belongs to the next batch, so tasks and frees take turns. */
    list_init(&batch);
    list_splice(&batch, &l->tasks);
    while (!list_is_empty(&batch)) {
        struct loop_task *t = container_of(batch.next, struct loop_task, node);

        list_remove(&t->node);
        t->run(t);
    }
}

static void loop_run_deferred(struct loop *l)
{
    while (!list_is_empty(&l->deferred)) {
        struct deferred *d = container_of(l->deferred.next, struct deferred, node);

        list_remove(&d->node);
        d->free(d);
    }
}

static void loop_end_turn(struct loop *l)
{
    while (!list_is_empty(&l->tasks) || !list_is_empty(&l->deferred)) {
        loop_run_tasks(l);
        loop_run_deferred(l);
    }
}

static void loop_refresh_wall(struct loop *l)
{
    l->wall_offset_ns = clock_wall_ns() - clock_mono_ns();
    l->wall_refreshed_ms = loop_now_ms(l);
}

static size_t loop_pooled_bytes(const struct loop *l)
{
    return l->bufs.free_block_count * BUF_BLOCK_BYTES + l->arenas.free_count * ARENA_CHUNK_BYTES;
}

/* The heap keeps what is freed between what is not; giving it back takes a walk over its free
 * pieces, so that is for quiet moments. */
static void loop_trim_heap(struct loop *l, bool is_shrinking)
{
    bool is_quiet = l->loosened_bytes < LOOSENED_FEW_BYTES;

    l->loose_bytes += l->loosened_bytes;
    l->loosened_bytes = 0;
    if (is_quiet && l->loose_bytes >= (is_shrinking ? LOOSE_MANY_BYTES : LOOSE_BYTES)) {
        l->loose_bytes = 0;
        (void)malloc_trim(0);
    }
}

static void loop_on_trim(struct timer *t)
{
    struct loop *l = container_of(t, struct loop, trim);
    size_t before = loop_pooled_bytes(l);
    bool has_blocks = buf_pool_trim(&l->bufs, KEEP_BLOCKS);
    bool has_chunks = arena_pool_trim(&l->arenas, KEEP_CHUNKS);

    l->loose_bytes += before - loop_pooled_bytes(l);
    loop_trim_heap(l, has_blocks || has_chunks);
    if (has_blocks || has_chunks || l->loose_bytes >= LOOSE_BYTES) {
        timer_arm(l, t, TRIM_INTERVAL_MS);
    }
}

void loop_shrink_pools(struct loop *l)
{
    size_t before = loop_pooled_bytes(l);

    l->bufs.idle_blocks = l->bufs.free_block_count;
    l->arenas.idle = l->arenas.free_count;
    while (buf_pool_trim(&l->bufs, KEEP_BLOCKS)) {
    }
    while (arena_pool_trim(&l->arenas, KEEP_CHUNKS)) {
    }
    l->loose_bytes += before - loop_pooled_bytes(l);
}

static void loop_watch_pools(struct loop *l)
{
    bool is_above = l->bufs.free_block_count > KEEP_BLOCKS || l->arenas.free_count > KEEP_CHUNKS ||
                    l->loosened_bytes >= LOOSE_BYTES;

    if (NUNCIO_UNLIKELY(is_above) && !timer_is_armed(&l->trim)) {
        timer_arm(l, &l->trim, TRIM_INTERVAL_MS);
    }
}

/* Before the loop sleeps: after timers and close callbacks. */
static void loop_on_prepare(uv_prepare_t *handle)
{
    struct loop *l = container_of(handle, struct loop, prepare);

    if (loop_now_ms(l) - l->wall_refreshed_ms >= WALL_REFRESH_MS) {
        loop_refresh_wall(l);
    }
    loop_end_turn(l);
    loop_watch_pools(l);
}

/* After I/O. */
static void loop_on_check(uv_check_t *handle)
{
    loop_end_turn(container_of(handle, struct loop, check));
}

int loop_init(struct loop *l, int index)
{
    /* A write to a connection that its peer has reset is an error code, not the end. */
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */

    memset(l, 0, sizeof(*l));
    l->magic = LOOP_MAGIC;
    l->index = index;
    if (uv_loop_init(&l->uv) < 0) {
        return E_SYS;
    }
    if (post_queue_init(&l->posts, l) < 0) {
        int r = uv_loop_close(&l->uv);

        CHECK(r == 0);
        return E_SYS;
    }
    /* The rest takes no kernel object and cannot fail. */
    (void)timer_wheel_init(&l->timers, l);
    (void)uv_prepare_init(&l->uv, &l->prepare);
    (void)uv_check_init(&l->uv, &l->check);
    (void)uv_prepare_start(&l->prepare, loop_on_prepare);
    (void)uv_check_start(&l->check, loop_on_check);
    buf_pool_init(&l->bufs, MAX_FREE_BLOCKS);
    arena_pool_init(&l->arenas, MAX_FREE_CHUNKS);
    l->bufs.growth = &l->growth;
    l->arenas.growth = &l->growth;
    rng_seed(&l->rng);
    list_init(&l->tasks);
    list_init(&l->deferred);
    timer_init(&l->trim, loop_on_trim);
    loop_refresh_wall(l);
    return 0;
}

void loop_run(struct loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_DEFAULT); /* non-zero: handles are left, as they should be */
    loop_end_turn(l);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

static void note_closing(uv_handle_t *handle, void *user)
{
    *(bool *)user |= uv_is_closing(handle) != 0;
}

void loop_settle(struct loop *l)
{
    bool is_closing;

    do {
        is_closing = false;
        (void)uv_run(&l->uv, UV_RUN_NOWAIT);
        loop_end_turn(l);
        uv_walk(&l->uv, note_closing, &is_closing);
    } while (is_closing);
}

static void check_closing(uv_handle_t *handle, void *user)
{
    CHECK(uv_is_closing(handle));
}

void loop_done(struct loop *l)
{
    int r;

    if (l == NULL || l->magic != LOOP_MAGIC) {
        return;
    }
    do {
        post_queue_drain(&l->posts, l);
        loop_end_turn(l);
    } while (atomic_load(&l->posts.head) != NULL);

    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    timer_cancel(l, &l->trim);
    timer_wheel_close(&l->timers);
    post_queue_close(&l->posts);
    uv_walk(&l->uv, check_closing, NULL); /* one left open would keep the loop for ever */
    do {
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
        loop_end_turn(l);
    } while (uv_loop_alive(&l->uv) != 0);
    CHECK(atomic_load(&l->posts.head) == NULL);

    if (l->read_block != NULL) {
        buf_block_unref(l->read_block);
        l->read_block = NULL;
    }
    buf_pool_done(&l->bufs);
    arena_pool_done(&l->arenas);
    r = uv_loop_close(&l->uv);
    CHECK(r == 0);
    l->magic = 0;
}

struct str loop_http_date(struct loop *l)
{
    uint64_t second = loop_wall_ns(l, loop_now_ms(l) * NS_PER_MS) / NS_PER_S;

    if (NUNCIO_UNLIKELY(second != l->http_date_second)) {
        clock_http_date(second, l->http_date);
        l->http_date_second = second;
    }
    return str_n(l->http_date, CLOCK_HTTP_DATE_BYTES);
}

struct buf_block *loop_read_window(struct loop *l, uint8_t **ret_data, size_t *ret_len)
{
    struct buf_block *b = l->read_block;

    if (b == NULL || b->cap - l->read_pos < LOOP_READ_MIN_BYTES) {
        if (b != NULL) {
            buf_block_unref(b);
        }
        b = buf_block_new(&l->bufs);
        b->used = b->cap; /* no buf may grow into it */
        l->read_block = b;
        l->read_pos = 0;
    }
    buf_block_ref(b);
    *ret_data = b->data + l->read_pos;
    *ret_len = b->cap - l->read_pos;
    l->read_pos = b->cap; /* a nested read takes another block */
    return b;
}

void loop_read_done(struct loop *l, struct buf_block *block, const uint8_t *data, size_t len)
{
    if (block == l->read_block) {
        uint32_t at = (uint32_t)(data - block->data);
        bool is_kept = block->refs > 2; /* besides the loop's and the reader's */

        l->read_pos = is_kept ? at + (uint32_t)len : at;
    }
    buf_block_unref(block);
}

void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t))
{
    t->run = run;
    list_init(&t->node);
}

void loop_task_cancel(struct loop_task *t)
{
    list_remove(&t->node);
}
