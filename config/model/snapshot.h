#ifndef CONFIG_MODEL_SNAPSHOT_H
#define CONFIG_MODEL_SNAPSHOT_H

/*
 * One published version: which part sits in which slot, and which slots differ from the version
 * before. Everything in it becomes visible to a worker at once. Built by config/snapshot.c,
 * handed over and reclaimed by server/publish.c.
 */

#include <stddef.h>
#include <stdint.h>

#include "config/model/part.h"

struct snapshot_change {
    enum part_kind kind;
    uint32_t slot;
    const struct part *before; /* NULL: added */
    const struct part *after;  /* NULL: removed */
};

struct snapshot {
    uint64_t version;
    /* Applied in this order: endpoints, clusters, secrets, route tables, listeners. */
    struct snapshot_change *changes;
    size_t change_count;
};

/* Frees the snapshot and gives up its references to `before` and `after` parts. Main thread, once
 * every worker has applied it. */
void snapshot_free(struct snapshot *s);

#endif
