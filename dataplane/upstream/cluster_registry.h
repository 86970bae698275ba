#ifndef DATAPLANE_UPSTREAM_CLUSTER_REGISTRY_H
#define DATAPLANE_UPSTREAM_CLUSTER_REGISTRY_H

/*
 * Main's book of clusters: what outlives versions and is shared by threads (stats scopes, circuit
 * breaker counts, host counts), keyed by cluster name, and what /clusters shows. Main thread, but
 * for the inline parts of struct cluster_shared.
 *
 * How a thread finds the shared state: before a version is posted, server/ hands each of its
 * changes to cluster_registry_apply, which sets cluster_config.shared in the new part and ties the
 * shared state's life to it. Whoever pins the part may use it, on any thread; a thread touches the
 * scope's blocks only through a struct cluster, which pins the part.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "config/model/snapshot.h"
#include "dataplane/stats/stats.h"
#include "dataplane/upstream/circuit_breaker.h"
#include "dataplane/upstream/host.h"

struct cluster_registry;
struct cluster_shared;
struct grpc_series_set;

struct cluster_registry *cluster_registry_new(struct stat_store *stats,
                                              const struct thread_context *main);
/* Lets go of every part: before the store that made them goes. */
void cluster_registry_clear(struct cluster_registry *r);
/* After every part is gone. */
void cluster_registry_free(struct cluster_registry *r);
/* What has become of asking for the endpoints in a slot; false: they are not asked for. Called when
 * series are brought up to date. */
typedef bool endpoint_updates_fn(void *ctx, uint32_t slot, struct endpoint_updates *ret);
void cluster_registry_set_updates(struct cluster_registry *r, endpoint_updates_fn *fn, void *ctx);
/* Each change of a version, before it is posted to any thread (main itself included): endpoints
 * and clusters are looked at, other kinds are ignored. */
void cluster_registry_apply(struct cluster_registry *r, const struct snapshot_change *c);
/* Brings gauges that are computed rather than counted up to date, and takes in the series that
 * traffic has named since; before stats are shown or reset. */
void cluster_registry_refresh_stats(struct cluster_registry *r);

/* Attempts to resolve a cluster's names, counted under its update_* series. */
enum cluster_update_result {
    CLUSTER_UPDATE_STARTED,
    CLUSTER_UPDATE_CHANGED,
    CLUSTER_UPDATE_UNCHANGED,
    CLUSTER_UPDATE_EMPTIED,
    CLUSTER_UPDATE_FAILED,
};
/* Also before the cluster was published for the first time. */
void cluster_registry_count_update(struct cluster_registry *r, const struct cluster_config *c,
                                   enum cluster_update_result result);

/* Appends "cluster.<stat_name>." as series are called. */
void cluster_stat_prefix(struct strbuf *out, struct str stat_name);
#define CLUSTER_STAT_PREFIX_BYTES 8 /* "cluster." */

/* --- For the threads' clusters ---------------------------------------------------------------- */

/* The counters of a thread; `worker` is its loop index. */
struct stat_block *cluster_shared_stats(struct cluster_shared *s, int worker);
/* Of its HTTP/2 connections; NULL while its configuration speaks HTTP/1 only. */
struct stat_block *cluster_shared_http2_stats(struct cluster_shared *s, int worker);
/* Only where the configuration tracks them. */
struct stat_block *cluster_shared_size_stats(struct cluster_shared *s, int worker);
struct stat_block *cluster_shared_budget_stats(struct cluster_shared *s, int worker);
/* By priority; made by the first thread that asks. */
struct circuit_breaker *cluster_shared_breakers(struct cluster_shared *s);
/* Series that gRPC traffic names (grpc_series.h); made by the first thread that asks. */
struct grpc_series_set *cluster_shared_grpc(struct cluster_shared *s);
/* A new record for the calling thread, owned by `s`. */
struct host_stats *cluster_shared_add_host_stats(struct cluster_shared *s, uint64_t key);

#endif
