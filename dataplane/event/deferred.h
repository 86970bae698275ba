#ifndef DATAPLANE_EVENT_DEFERRED_H
#define DATAPLANE_EVENT_DEFERRED_H

/* Frees an object after the current callback has unwound (style rule 14). */

#include "dataplane/base/list.h"

struct loop;

struct deferred {
    struct list node;
    void (*free)(struct deferred *d);
};

/* `free` runs at the end of this turn; asking twice is a bug. */
void deferred_free(struct loop *l, struct deferred *d, void (*free)(struct deferred *d));

#endif
