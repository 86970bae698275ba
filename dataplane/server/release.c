/* Batches of releases from a worker to main. Worker thread, except the delivery. */

#include "dataplane/server/release.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"

#define RELEASE_ITEMS 62 /* a message of about 1 KiB */

struct release_message {
    struct post post;
    size_t count;
    struct release_item items[RELEASE_ITEMS];
};

static void release_message_run(struct loop *l, struct post *p)
{
    struct release_message *m = container_of(p, struct release_message, post);

    (void)l;
    for (size_t i = 0; i < m->count; i++) {
        m->items[i].release(m->items[i].object);
    }
    free(m);
}

void release_batch_flush(struct release_batch *b)
{
    struct release_message *m = b->pending;

    if (m != NULL) {
        b->pending = NULL;
        post_send(b->to, &m->post);
    }
}

static void release_batch_task(struct loop_task *t)
{
    release_batch_flush(container_of(t, struct release_batch, task));
}

void release_batch_init(struct release_batch *b, struct loop *from, struct loop *to)
{
    b->from = from;
    b->to = to;
    b->pending = NULL;
    loop_task_init(&b->task, release_batch_task);
}

void release_batch_add(struct release_batch *b, release_fn *release, void *object)
{
    if (b->pending == NULL) {
        b->pending = xmalloc(sizeof(*b->pending));
        b->pending->post.run = release_message_run;
        b->pending->count = 0;
        loop_task_schedule(b->from, &b->task);
    }
    b->pending->items[b->pending->count++] = (struct release_item){release, object};
    if (b->pending->count == RELEASE_ITEMS) {
        release_batch_flush(b);
    }
}
