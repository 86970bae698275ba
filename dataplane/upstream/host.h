#ifndef DATAPLANE_UPSTREAM_HOST_H
#define DATAPLANE_UPSTREAM_HOST_H

/*
 * One upstream host as one thread sees it: who it is (its key), how it fares, its pools. It is
 * carried from one endpoint set to the next by its key, so that connections and counts outlive
 * updates. Plainly counted: the cluster's table, each pooled connection and each request hold it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/base/address.h"
#include "dataplane/base/list.h"
#include "dataplane/upstream/upstream.h"

struct cluster;
struct conn_pool;
struct option_pools;

enum host_health { HOST_HEALTHY, HOST_DEGRADED, HOST_UNHEALTHY };

/* How new streams see a status that the control plane gave: unknown counts as healthy, draining
 * and timed out as unhealthy. */
enum host_health host_health_of(enum health_status s);

enum host_stat {
    HOST_CX_TOTAL,
    HOST_CX_ACTIVE,
    HOST_CX_CONNECT_FAIL,
    HOST_RQ_TOTAL,
    HOST_RQ_ACTIVE,
    HOST_RQ_PENDING_ACTIVE,
    HOST_RQ_SUCCESS,
    HOST_RQ_ERROR,
    HOST_RQ_TIMEOUT,
    HOST_STAT_COUNT
};

/*
 * One thread's counts for one host, made at its first connection. Written by that thread with
 * relaxed stores, read by main; owned by the list in struct cluster_shared, which main prunes once
 * `is_retired` says that the thread has let go.
 */
struct host_stats {
    struct host_stats *next;
    uint64_t key;
    _Atomic(bool) is_retired;
    _Atomic(uint64_t) cells[HOST_STAT_COUNT];
};

struct host {
    uint32_t refs;
    uint32_t weight;
    uint32_t active_requests; /* of this thread */
    enum host_health health;
    bool is_excluded; /* draining: as Envoy not counted among those that could be healthy */
    bool is_canary;   /* metadata envoy.lb: {canary: true} */
    bool is_detached; /* out of its cluster's table: holds a reference on `cluster` */
    uint64_t key;
    struct cluster *cluster;
    struct host_stats *stats; /* NULL before the first connection */
    struct conn_pool *pools[PRIORITY_COUNT][POOL_PROTOCOL_COUNT];
    struct option_pools *option_pools; /* of requests with transport options; NULL: none yet */
    /* Of the cluster's configuration. */
    const struct transport_socket *transport; /* NULL: raw */
    const void *transport_config;
    uint64_t transport_hash;      /* of the one of transport_socket_matches; 0: the cluster's */
    const struct value *metadata; /* of its endpoint; NULL: none, or the endpoint has gone */
    struct str hostname;
    size_t address_count; /* at least 1: the address, then additional_addresses */
    struct address addresses[];
};

/* Identity across endpoint sets: address, additional addresses, host name. */
uint64_t endpoint_key(const struct endpoint *e);
bool endpoint_is_canary(const struct endpoint *e);
/* `match` is its of transport_socket_matches, NULL for none. refs = 1. */
struct host *host_new(struct cluster *c, const struct endpoint *e, uint64_t key,
                      const struct transport_socket_match *match);
/* What an update may change: weight, health, metadata; the cluster. `match` has the same hash. */
void host_update(struct host *h, const struct endpoint *e,
                 const struct transport_socket_match *match);
/* Its pools take nothing new and close as their requests finish. */
void host_drain(struct host *h);
/* Out of the table: drains, and the table's reference goes. */
void host_detach(struct host *h);

static inline void host_stat_add(struct host *h, enum host_stat s, uint64_t n)
{
    if (h->stats != NULL) {
        _Atomic(uint64_t) *cell = &h->stats->cells[s];

        atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                              memory_order_relaxed);
    }
}

#endif
