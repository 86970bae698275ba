#ifndef DATAPLANE_SERVER_RELEASE_H
#define DATAPLANE_SERVER_RELEASE_H

/*
 * What a worker lets go of travels to main in batches, once per loop turn: main alone counts and
 * frees.
 */

#include <stddef.h>

#include "dataplane/event/loop.h"

typedef void release_fn(void *object);

struct release_item {
    release_fn *release;
    void *object;
};

struct release_message;

struct release_batch {
    struct loop *from;
    struct loop *to; /* main's */
    struct loop_task task;
    struct release_message *pending; /* NULL: nothing to send */
};

void release_batch_init(struct release_batch *b, struct loop *from, struct loop *to);
/* `release(object)` runs on main. */
void release_batch_add(struct release_batch *b, release_fn *release, void *object);
/* Sends at once. */
void release_batch_flush(struct release_batch *b);

#endif
