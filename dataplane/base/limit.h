#ifndef DATAPLANE_BASE_LIMIT_H
#define DATAPLANE_BASE_LIMIT_H

/*
 * How many of something there are at once, over all threads: connections of a listener, of the
 * process, of a filter. Taken and given back once in the life of what is counted, never on the
 * request path. Any thread.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LIMIT_NONE UINT64_MAX

struct limit {
    _Alignas(64) _Atomic(uint64_t) used; /* a cache line of its own */
};

static inline uint64_t limit_used(const struct limit *l)
{
    return atomic_load_explicit(&l->used, memory_order_relaxed);
}

/* One more, unless there are `max` already: false, and nothing is counted. */
static inline bool limit_take(struct limit *l, uint64_t max)
{
    uint64_t used = limit_used(l);

    do {
        if (used >= max) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&l->used, &used, used + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* One more, however many there are. */
static inline void limit_force(struct limit *l)
{
    (void)atomic_fetch_add_explicit(&l->used, 1, memory_order_relaxed);
}

static inline void limit_give_back(struct limit *l)
{
    (void)atomic_fetch_sub_explicit(&l->used, 1, memory_order_relaxed);
}

#endif
