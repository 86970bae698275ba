/* A thread's own holds on parts and its table of current ones. One thread per table. Never touches
 * a part's reference count: that is main's, the releaser tells it. */

#include "config/model/part_handle.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"

#define PART_TABLE_MIN_SLOTS 16
#define PART_TABLE_SHRINK_SLOTS 1024

struct part_handle *part_handle_new(const struct part *p, struct part_releaser *r)
{
    struct part_handle *h = xmalloc(sizeof(*h));

    h->refs = 1;
    h->part = p;
    h->releaser = r;
    return h;
}

void part_handle_unref(struct part_handle *h)
{
    if (h == NULL) {
        return;
    }
    CHECK(h->refs > 0);
    if (--h->refs > 0) {
        return;
    }
    h->releaser->release(h->releaser, h->part);
    free(h);
}

void part_table_init(struct part_table *t, struct part_releaser *r)
{
    memset(t, 0, sizeof(*t));
    t->releaser = r;
}

void part_table_done(struct part_table *t)
{
    for (size_t k = 0; k < PART_KIND_COUNT; k++) {
        for (uint32_t i = 0; i < t->count[k]; i++) {
            part_handle_unref(t->slots[k][i]);
        }
        free(t->slots[k]);
        t->slots[k] = NULL;
        t->count[k] = 0;
    }
}

static void part_table_grow(struct part_table *t, enum part_kind kind, uint32_t slot)
{
    uint32_t count = t->count[kind] > 0 ? t->count[kind] : PART_TABLE_MIN_SLOTS;

    CHECK(slot != SLOT_NONE && slot < UINT32_MAX / 2);
    while (count <= slot) {
        count *= 2;
    }
    t->slots[kind] = xreallocarray(t->slots[kind], count, sizeof(*t->slots[kind]));
    memset(t->slots[kind] + t->count[kind], 0, (count - t->count[kind]) * sizeof(*t->slots[kind]));
    t->count[kind] = count;
}

/* Most of a large table has emptied: gives back its end. */
static void part_table_shrink(struct part_table *t, enum part_kind kind)
{
    uint32_t count = t->count[kind];

    if (count < PART_TABLE_SHRINK_SLOTS || t->used[kind] > count / 8) {
        return;
    }
    while (count > PART_TABLE_MIN_SLOTS && t->slots[kind][count - 1] == NULL) {
        count--;
    }
    if (count <= t->count[kind] / 2) {
        t->slots[kind] = xreallocarray(t->slots[kind], count, sizeof(*t->slots[kind]));
        t->count[kind] = count;
    }
}

void part_table_set(struct part_table *t, enum part_kind kind, uint32_t slot,
                    const struct part *part)
{
    struct part_handle *old;

    if (slot >= t->count[kind]) {
        if (part == NULL) {
            return;
        }
        part_table_grow(t, kind, slot);
    }
    old = t->slots[kind][slot];
    t->slots[kind][slot] = part != NULL ? part_handle_new(part, t->releaser) : NULL;
    if (old == NULL && part != NULL) {
        t->used[kind]++;
    } else if (old != NULL && part == NULL) {
        t->used[kind]--;
        part_table_shrink(t, kind);
    }
    part_handle_unref(old); /* last: its release may look at the table */
}
