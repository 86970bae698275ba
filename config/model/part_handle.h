#ifndef CONFIG_MODEL_PART_HANDLE_H
#define CONFIG_MODEL_PART_HANDLE_H

/*
 * A worker's own, plainly counted hold on a part. The worker's table owns one count while the
 * part is current; streams and connections add theirs. When the last one goes, the part is handed
 * to the release callback, which posts it to main in batches. One thread only.
 */

#include <stdint.h>

#include "config/model/part.h"

struct part_handle;

/* Per thread: where dropped parts go. */
struct part_releaser {
    void (*release)(struct part_releaser *r, const struct part *p);
};

struct part_handle {
    uint32_t refs;
    const struct part *part;
    struct part_releaser *releaser;
};

/* refs = 1. */
struct part_handle *part_handle_new(const struct part *p, struct part_releaser *r);
static inline void part_handle_ref(struct part_handle *h)
{
    h->refs++;
}
void part_handle_unref(struct part_handle *h); /* NULL allowed */

/* A thread's current handles by kind and slot. */
struct part_table {
    struct part_handle **slots[PART_KIND_COUNT];
    uint32_t count[PART_KIND_COUNT]; /* length of each */
    uint32_t used[PART_KIND_COUNT];  /* slots that are not empty */
    struct part_releaser *releaser;
};

void part_table_init(struct part_table *t, struct part_releaser *r);
void part_table_done(struct part_table *t);
/* Replaces (part may be NULL: the slot becomes empty). */
void part_table_set(struct part_table *t, enum part_kind kind, uint32_t slot,
                    const struct part *part);
/* NULL when empty. */
static inline struct part_handle *part_table_get(const struct part_table *t, enum part_kind kind,
                                                 uint32_t slot)
{
    return slot < t->count[kind] ? t->slots[kind][slot] : NULL;
}

#endif
