/* The life of a published version. Main thread. Building and handing over are elsewhere. */

#include "config/model/snapshot.h"

#include <stdlib.h>

void snapshot_free(struct snapshot *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->change_count; i++) {
        part_unref(s->changes[i].before);
        part_unref(s->changes[i].after);
    }
    free(s->changes);
    free(s);
}
