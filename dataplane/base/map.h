#ifndef DATAPLANE_BASE_MAP_H
#define DATAPLANE_BASE_MAP_H

/*
 * Hash map from byte strings to pointers (open addressing, xxHash with a per-process seed).
 * Keys are borrowed: they must live as long as their entry, usually inside the value.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

struct map_entry {
    struct str key;
    void *value; /* NULL: empty slot */
    uint64_t hash;
};

struct map {
    struct map_entry *entries; /* NULL while empty */
    size_t count;
    size_t cap; /* power of two */
};

void map_init(struct map *m);
void map_done(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct str key);
/* Replaces; returns the old value or NULL. `value` must not be NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the removed value or NULL. */
void *map_remove(struct map *m, struct str key);
void map_clear(struct map *m);

/* Order is undefined; the map must not change during the walk. */
#define map_for_each(e, m)                                                                         \
    for (struct map_entry *e = (m)->entries; e != NULL && e < (m)->entries + (m)->cap; e++)        \
        if (e->value != NULL)

#endif
