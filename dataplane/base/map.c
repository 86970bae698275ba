/* The hash map: linear probing, at most three quarters full, removal by shifting back, so no
 * tombstones. One thread per map. Does not own keys or values. */

#include "dataplane/base/map.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"

#define MAP_MIN_CAP 8
#define MAP_SHRINK_CAP 1024 /* smaller tables stay as they are */

void map_init(struct map *m)
{
    m->entries = NULL;
    m->count = 0;
    m->cap = 0;
}

void map_done(struct map *m)
{
    if (m != NULL) {
        free(m->entries);
        map_init(m);
    }
}

/* The entry of `key`, or the empty slot where it would go. */
static struct map_entry *map_slot(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->cap - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->entries[i];

        if (e->value == NULL || (e->hash == hash && str_eq(e->key, key))) {
            return e;
        }
    }
}

static void map_resize(struct map *m, size_t cap)
{
    struct map_entry *old = m->entries;
    size_t old_cap = m->cap;

    m->cap = cap;
    m->entries = xcalloc(m->cap, sizeof(*m->entries));
    for (size_t i = 0; i < old_cap; i++) {
        size_t at;

        if (old[i].value == NULL) {
            continue;
        }
        at = old[i].hash & (m->cap - 1);
        while (m->entries[at].value != NULL) {
            at = (at + 1) & (m->cap - 1);
        }
        m->entries[at] = old[i];
    }
    free(old);
}

void *map_get(const struct map *m, struct str key)
{
    return m->count > 0 ? map_slot(m, key, hash_map(key))->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_map(key);
    struct map_entry *e;
    void *old;

    CHECK(value != NULL);
    if (m->count >= m->cap - m->cap / 4) {
        CHECK(m->cap <= SIZE_MAX / 4);
        map_resize(m, m->cap == 0 ? MAP_MIN_CAP : m->cap * 2);
    }
    e = map_slot(m, key, hash);
    old = e->value;
    m->count += old == NULL;
    *e = (struct map_entry){.key = key, .value = value, .hash = hash};
    return old;
}

void *map_remove(struct map *m, struct str key)
{
    size_t mask = m->cap - 1;
    struct map_entry *e;
    size_t hole;
    void *old;

    if (m->count == 0) {
        return NULL;
    }
    e = map_slot(m, key, hash_map(key));
    old = e->value;
    if (old == NULL) {
        return NULL;
    }
    hole = (size_t)(e - m->entries);
    for (size_t i = (hole + 1) & mask; m->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t home = m->entries[i].hash & mask;

        /* An entry moves up when its home does not lie behind the hole. */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct map_entry){.value = NULL};
    m->count--;
    if (m->cap > MAP_SHRINK_CAP && m->count < m->cap / 8) {
        map_resize(m, m->cap / 4); /* what ten thousand clusters needed goes with them */
    }
    return old;
}

void map_clear(struct map *m)
{
    map_done(m);
}
