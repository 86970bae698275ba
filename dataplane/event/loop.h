#ifndef DATAPLANE_EVENT_LOOP_H
#define DATAPLANE_EVENT_LOOP_H

/*
 * The per-thread context: one libuv loop with the memory pools, timer wheel, deferred frees and
 * output flush list that everything on this thread uses. Main has one, each worker has one.
 * Nothing here is shared between threads except what post.h says.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/buf.h"
#include "dataplane/base/growth.h"
#include "dataplane/base/list.h"
#include "dataplane/base/rand.h"
#include "dataplane/base/str.h"
#include "dataplane/event/post.h"
#include "dataplane/event/timer.h"

#define LOOP_MAGIC MAGIC('L', 'O', 'O', 'P')
#define LOOP_MAIN_INDEX (-1)

struct part_table; /* config/model/part_handle.h */

/* Something to run once at the end of the current loop turn (after all I/O callbacks), before the
 * loop sleeps: connections gather their output and are flushed here. */
struct loop_task {
    struct list node; /* linked while scheduled */
    void (*run)(struct loop_task *t);
};

struct loop {
    uint32_t magic;
    int index; /* worker number, LOOP_MAIN_INDEX for main */
    uv_loop_t uv;
    struct buf_pool bufs;
    struct arena_pool arenas;
    struct rng rng;
    struct timer_wheel timers;
    struct timer trim;       /* armed while pools or heap hold more than they keep for good */
    size_t loose_bytes;      /* about what was freed and not yet given back to the system */
    size_t loosened_bytes;   /* of it, since the last look */
    struct growth growth;    /* what the pools take from the heap; server/ may watch it */
    bool is_short_of_memory; /* set by who watches: what can wait in the kernel waits there */
    struct post_queue posts;
    struct list tasks;            /* of loop_task, run at end of turn */
    struct list deferred;         /* of deferred, freed at end of turn */
    struct buf_block *read_block; /* where the next read goes; owned; NULL before the first */
    uint32_t read_pos;            /* first byte of it that nobody refers to */
    uv_prepare_t prepare;
    uv_check_t check;
    uint64_t wall_offset_ns;    /* wall = mono + offset; refreshed each second */
    uint64_t wall_refreshed_ms; /* loop time of the last refresh */
    char http_date[32];         /* cached RFC 9110 date of http_date_second, 29 bytes */
    uint64_t http_date_second;
    void *owner;              /* the worker or the server, for its own callbacks */
    struct part_table *parts; /* what its thread sees of the configuration; set by server/ */
};

/* E_SYS when the kernel refuses (fd limit). */
int loop_init(struct loop *l, int index) MUST_CHECK;
/* Runs until loop_stop; returns when stopped. */
void loop_run(struct loop *l);
/* Own thread only; others post. */
void loop_stop(struct loop *l);
/* Own thread: until what was closed is gone and what was put off has been done, without waiting for
 * anything else. For a teardown, before that goes which the closed things give back to. */
void loop_settle(struct loop *l);
/* Own thread, or main after joining it; nobody may post any more. Runs the messages still queued.
 * All other handles must have been closed; runs the loop until their close callbacks are done. */
void loop_done(struct loop *l);

/* About `bytes` went back to the heap, which keeps them: once things are quiet it is made to give
 * them to the system. */
static inline void loop_note_freed(struct loop *l, size_t bytes)
{
    l->loosened_bytes += bytes;
}
/* Everything that can be spared goes back to the heap now. */
void loop_shrink_pools(struct loop *l);

/* Milliseconds, monotonic, cached once a turn. */
static inline uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}
/* "Sun, 06 Nov 1994 08:49:37 GMT" of now, 29 bytes, cached per second. */
struct str loop_http_date(struct loop *l);

/* Wall-clock nanoseconds of a monotonic instant (clock_mono_ns), without a system call. */
static inline uint64_t loop_wall_ns(const struct loop *l, uint64_t mono_ns)
{
    return mono_ns + l->wall_offset_ns;
}

/*
 * Where to read from a socket: the free part of the loop's read block, at least
 * LOOP_READ_MIN_BYTES. Returns the block, with a reference held until loop_read_done. Whoever
 * keeps bytes adds a window into it to a buf. Reads may nest (the inner one gets another block);
 * between alloc and read callback of libuv `l->read_block` is still the block returned here.
 */
#define LOOP_READ_MIN_BYTES 4096
struct buf_block *loop_read_window(struct loop *l, uint8_t **ret_data, size_t *ret_len);
/* After the `len` (0 allowed) bytes that were read to `data` have been handed on: when nobody took
 * a reference, the next read overwrites them, else it goes behind them. */
void loop_read_done(struct loop *l, struct buf_block *block, const uint8_t *data, size_t len);

/* Runs `t->run` at the end of this turn; scheduling twice is once. */
void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t));
static inline void loop_task_schedule(struct loop *l, struct loop_task *t)
{
    if (!list_is_linked(&t->node)) {
        list_add_tail(&l->tasks, &t->node);
    }
}
void loop_task_cancel(struct loop_task *t);

#endif
