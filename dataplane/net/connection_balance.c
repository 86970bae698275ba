/* Counts of connections by worker, and the choice of the least. Any thread. */

#include "dataplane/net/connection_balance.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"

struct worker_share {
    struct limit connections;
    _Atomic(bool) is_open;
};

struct connection_balance {
    size_t count;
    struct worker_share *workers;
};

struct connection_balance *connection_balance_new(size_t worker_count)
{
    struct connection_balance *b = xcalloc(1, sizeof(*b));

    b->count = worker_count;
    b->workers = xcalloc_aligned(_Alignof(struct worker_share),
                                 (worker_count + 1) * sizeof(struct worker_share));
    return b;
}

void connection_balance_free(struct connection_balance *b)
{
    if (b != NULL) {
        free(b->workers);
        free(b);
    }
}

void connection_balance_join(struct connection_balance *b, size_t worker)
{
    atomic_store_explicit(&b->workers[worker].is_open, true, memory_order_release);
}

void connection_balance_leave(struct connection_balance *b, size_t worker)
{
    atomic_store_explicit(&b->workers[worker].is_open, false, memory_order_release);
}

size_t connection_balance_pick(struct connection_balance *b, size_t own, struct limit **ret_share)
{
    size_t least;
    uint64_t used;

    do {
        least = own;
        used = limit_used(&b->workers[own].connections);
        for (size_t i = 0; i < b->count; i++) {
            const struct worker_share *w = &b->workers[i];
            uint64_t n = limit_used(&w->connections);

            if (n < used && atomic_load_explicit(&w->is_open, memory_order_acquire)) {
                least = i;
                used = n;
            }
        }
        /* Somebody else's choice may have fallen on the same worker meanwhile. */
    } while (!limit_take(&b->workers[least].connections, used + 1));
    *ret_share = &b->workers[least].connections;
    return least;
}

struct limit *connection_balance_share(struct connection_balance *b, size_t worker)
{
    return &b->workers[worker].connections;
}
