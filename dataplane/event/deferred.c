/* Frees at the end of a loop turn. Own loop's thread only; the list is run by loop.c. */

#include "dataplane/event/deferred.h"

#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"

void deferred_free(struct loop *l, struct deferred *d, void (*free)(struct deferred *d))
{
    d->free = free;
    list_add_tail(&l->deferred, &d->node);
}
