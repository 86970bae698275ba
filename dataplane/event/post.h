#ifndef DATAPLANE_EVENT_POST_H
#define DATAPLANE_EVENT_POST_H

/*
 * Messages between threads: a multi-producer queue drained by its loop, woken by uv_async. The
 * receiver owns the message from then on. Order is kept per sender.
 */

#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

struct loop;

struct post {
    struct post *next;
    /* Runs on the receiving loop's thread; owns `p`. */
    void (*run)(struct loop *l, struct post *p);
};

struct post_queue {
    _Atomic(struct post *) head; /* pushed by anyone, newest first */
    uv_async_t async;
};

/* Any thread. After the receiving loop has been told to stop, messages are still run by
 * loop_done. */
void post_send(struct loop *to, struct post *p);

/* For loop.c. */
int post_queue_init(struct post_queue *q, struct loop *l);
void post_queue_close(struct post_queue *q);
void post_queue_drain(struct post_queue *q, struct loop *l);

#endif
