#ifndef DATAPLANE_UPSTREAM_GRPC_SERIES_H
#define DATAPLANE_UPSTREAM_GRPC_SERIES_H

/*
 * Series of a cluster that gRPC traffic names: "cluster.<name>.grpc.<service>.<method>.total".
 *
 * Scopes are main's, but only a worker sees the names, and a request does not wait for main. So the
 * worker makes the cells itself, counts in them from the first request on, and puts them on the
 * cluster's list of new ones; main takes the list into the store whenever it is about to show or
 * reset stats. No lock, no message, no count lost. A worker finds its cells again through a table
 * of its own; tables and cells live as long as the cluster's shared state does, through all its
 * versions.
 *
 * Clients choose the names, so they are bounded, which Envoy's are not: GRPC_SERIES_MAX pairs of
 * service and method per cluster and family, names of GRPC_NAMES_MAX bytes in all, printable ASCII.
 * Whatever goes beyond is counted in the series without names ("cluster.<name>.grpc.total").
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"
#include "dataplane/stats/stats.h"

struct cluster;

#define GRPC_SERIES_MAX 1000
#define GRPC_NAMES_MAX 256

enum grpc_family { GRPC_FAMILY_GRPC, GRPC_FAMILY_GRPC_WEB, GRPC_FAMILY_COUNT };

/* Statuses follow: GRPC_STATUS_FIRST + 0 to 16. */
enum grpc_stat {
    GRPC_SUCCESS,
    GRPC_FAILURE,
    GRPC_TOTAL,
    GRPC_REQUEST_MESSAGE_COUNT,
    GRPC_RESPONSE_MESSAGE_COUNT,
    GRPC_UPSTREAM_RQ_TIME,
    GRPC_STATUS_FIRST,
    GRPC_STAT_COUNT = GRPC_STATUS_FIRST + 17
};

extern const struct stat_schema grpc_stat_schema;

struct grpc_method {
    struct str service; /* both empty: without names */
    struct str method;
};

/* "/service/method", up to a '?'. As Envoy: empty segments do not count, others must be two. The
 * result points into `path`. */
bool grpc_method_of_path(struct str path, struct grpc_method *ret_method);

/* The calling thread's cells, good for as long as the cluster is referenced. `replaces_dots`: the
 * service's dots become '_'. */
struct stat_block *cluster_grpc_series(struct cluster *c, enum grpc_family family,
                                       const struct grpc_method *method, bool replaces_dots);

/* A request is over. */
void grpc_series_count_result(struct stat_block *b, bool is_success);
/* The same by a grpc-status as it stood in the response. One that gRPC does not know has no series
 * of its own. */
void grpc_series_count_status(struct stat_block *b, struct str grpc_status);

/* --- for cluster_registry.c ------------------------------------------------------------------- */

struct grpc_series_set;

/* Of one cluster, for the threads of `stats`. */
struct grpc_series_set *grpc_series_set_new(size_t thread_count);
/* Main, when no thread counts in it any more. */
void grpc_series_set_free(struct grpc_series_set *set);
/* Main: takes what is new into the store, below "cluster.<stat_name>.". */
void grpc_series_set_adopt(struct grpc_series_set *set, struct stat_store *stats,
                           struct str stat_name);
/* The cells of thread `thread` (0 is main), which calls. */
struct stat_block *grpc_series_set_get(struct grpc_series_set *set, size_t thread,
                                       enum grpc_family family, const struct grpc_method *method,
                                       bool replaces_dots);

#endif
