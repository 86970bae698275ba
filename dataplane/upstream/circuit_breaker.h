#ifndef DATAPLANE_UPSTREAM_CIRCUIT_BREAKER_H
#define DATAPLANE_UPSTREAM_CIRCUIT_BREAKER_H

/*
 * Limits on what one cluster may have in flight, per routing priority. The counts are shared by
 * all threads (a limit of 1 cannot be split by N workers), so they are exact: a slot is either
 * taken or refused, never taken and given back. Relaxed order is enough, for nothing else is
 * published through them. Each priority's counts fill a cache line of their own.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/model/cluster.h"

struct thread_context;

enum breaker_resource {
    BREAKER_CONNECTIONS,
    BREAKER_PENDING,
    BREAKER_REQUESTS,
    BREAKER_RETRIES,
    BREAKER_RESOURCE_COUNT
};

#define BREAKER_LINE_BYTES 64

struct circuit_breaker {
    _Alignas(BREAKER_LINE_BYTES) _Atomic(uint32_t) counts[BREAKER_RESOURCE_COUNT];
};

/* Any thread. Takes one when fewer than `max` are taken. */
static inline bool breaker_try_acquire(struct circuit_breaker *b, enum breaker_resource r,
                                       uint32_t max)
{
    uint32_t n = atomic_load_explicit(&b->counts[r], memory_order_relaxed);

    do {
        if (n >= max) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&b->counts[r], &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* Takes one whatever the limit: Envoy lets a pool without connections always have one. */
static inline void breaker_acquire(struct circuit_breaker *b, enum breaker_resource r)
{
    atomic_fetch_add_explicit(&b->counts[r], 1, memory_order_relaxed);
}

static inline void breaker_release(struct circuit_breaker *b, enum breaker_resource r)
{
    uint32_t before = atomic_fetch_sub_explicit(&b->counts[r], 1, memory_order_relaxed);

    CHECK(before > 0);
}

static inline uint32_t breaker_count(const struct circuit_breaker *b, enum breaker_resource r)
{
    return atomic_load_explicit(&b->counts[r], memory_order_relaxed);
}

/* "max_connections" and so on. */
const char *breaker_limit_name(enum breaker_resource r);
/* The configured limit of one resource. */
uint32_t breaker_limit(const struct circuit_breaker_limits *l, enum breaker_resource r);
/* What holds now: as Envoy, the runtime value "circuit_breakers.<cluster>.<priority>.max_requests"
 * and so on goes before what is configured. The calling thread's `t`. */
uint32_t breaker_limit_now(const struct thread_context *t, const struct cluster_config *c,
                           enum routing_priority p, enum breaker_resource r);

#endif
