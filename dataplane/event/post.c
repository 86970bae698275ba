/*
 * The cross-thread queue: a stack that any thread pushes onto and its loop takes whole and turns
 * round. The loop is woken only by the message that finds the stack empty; later ones are picked up
 * by the same drain, so a burst costs one wake-up. Never blocks, takes no memory.
 */

#include "dataplane/event/post.h"

#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"

void post_send(struct loop *to, struct post *p)
{
    struct post_queue *q = &to->posts;
    struct post *newest = atomic_load_explicit(&q->head, memory_order_relaxed);

    do {
        p->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&q->head, &newest, p, memory_order_release,
                                                    memory_order_relaxed));
    /* From here on `p` may be gone. */
    if (newest == NULL) {
        (void)uv_async_send(&q->async); /* fails only on a handle of another type */
    }
}

void post_queue_drain(struct post_queue *q, struct loop *l)
{
    struct post *p = atomic_exchange_explicit(&q->head, NULL, memory_order_acquire);
    struct post *oldest = NULL;

    while (p != NULL) {
        struct post *next = p->next;

        p->next = oldest;
        oldest = p;
        p = next;
    }
    while (oldest != NULL) {
        struct post *next = oldest->next;

        oldest->run(l, oldest);
        oldest = next;
    }
}

static void post_on_wake(uv_async_t *async)
{
    struct post_queue *q = container_of(async, struct post_queue, async);

    post_queue_drain(q, container_of(q, struct loop, posts));
}

int post_queue_init(struct post_queue *q, struct loop *l)
{
    atomic_init(&q->head, NULL);
    return uv_async_init(&l->uv, &q->async, post_on_wake);
}

void post_queue_close(struct post_queue *q)
{
    uv_close((uv_handle_t *)&q->async, NULL);
}
