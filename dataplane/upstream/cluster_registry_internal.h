#ifndef DATAPLANE_UPSTREAM_CLUSTER_REGISTRY_INTERNAL_H
#define DATAPLANE_UPSTREAM_CLUSTER_REGISTRY_INTERNAL_H

/* What cluster_registry.c and admin_clusters.c share. Main thread. */

#include <stdatomic.h>
#include <stdint.h>

#include "dataplane/base/map.h"
#include "dataplane/upstream/cluster_registry.h"

struct cluster_shared {
    uint32_t refs;                     /* one per part that has it, one of the registry */
    struct stat_scope *scope;          /* traffic */
    struct stat_scope *main_scope;     /* membership, updates */
    struct stat_scope *http2_scope;    /* NULL until a version may speak HTTP/2 */
    struct stat_scope *size_scope;     /* NULL until a version wants it */
    struct stat_scope *budget_scope;   /* the same */
    struct stat_scope *breaker_scope;  /* NULL while nobody has used the cluster */
    struct stat_scope *eds_scope;      /* NULL while there is nothing to tell, or nobody looked */
    struct match_series *matches;      /* of transport_socket_matches */
    struct endpoint_series *endpoints; /* NULL: not wanted, or nobody has looked */
    _Atomic(struct circuit_breaker *) breakers;
    _Atomic(struct host_stats *) hosts; /* pushed by any thread, pruned by main */
    _Atomic(struct grpc_series_set *) grpc;
    size_t thread_count; /* that may count */
};

/* A published cluster. */
struct registered_cluster {
    struct cluster_registry *registry;
    const struct cluster_config *config;  /* referenced */
    struct cluster_shared *shared;        /* referenced */
    const struct endpoint_set *endpoints; /* current one of its slot; referenced; NULL: none */
    struct registered_cluster *next_user; /* of the same endpoints slot */
    uint32_t endpoints_slot;
};

struct cluster_registry {
    struct stat_store *stats;
    const struct thread_context *thread;   /* main's */
    struct map clusters;                   /* by name: of registered_cluster */
    const struct endpoint_set **endpoints; /* by slot; referenced */
    struct registered_cluster **users;     /* by endpoints slot: chain through next_user */
    uint32_t slot_count;
    endpoint_updates_fn *updates; /* NULL: nobody knows */
    void *updates_ctx;
};

/* A host's counts summed over all threads. */
void cluster_shared_host_totals(struct cluster_shared *s, uint64_t key,
                                uint64_t ret_totals[HOST_STAT_COUNT]);

#endif
