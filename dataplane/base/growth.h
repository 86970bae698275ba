#ifndef DATAPLANE_BASE_GROWTH_H
#define DATAPLANE_BASE_GROWTH_H

/*
 * What a thread's pools take from the heap because they have nothing free: whoever watches memory
 * hears of each `step` bytes, at once, from inside of the allocation. One thread's.
 */

#include <stddef.h>

struct growth {
    size_t bytes; /* since it was told last */
    size_t step;
    /* Must neither allocate from the pools nor free into them. NULL: nobody watches. */
    void (*run)(struct growth *g);
};

/* NULL allowed. */
static inline void growth_add(struct growth *g, size_t bytes)
{
    if (g != NULL && g->run != NULL && (g->bytes += bytes) >= g->step) {
        g->bytes = 0;
        g->run(g);
    }
}

#endif
