#ifndef DATAPLANE_RUNTIME_THREAD_CONTEXT_H
#define DATAPLANE_RUNTIME_THREAD_CONTEXT_H

/*
 * What the code of one thread (a worker, or main) reaches without globals: its loop, its view of
 * the published configuration, its clusters, the stats registry. Filled by server/; each layer
 * uses the members whose types it knows, the rest stay opaque to it.
 */

#include <stdint.h>

#include "dataplane/base/str.h"
#include "dataplane/runtime/drain.h"

struct loop;
struct stat_store;
struct part_table;      /* config/model/part_handle.h: current route tables, secrets */
struct cluster_manager; /* upstream/cluster_manager.h */
struct access_log_hub;  /* access_log/: file sinks shared per process */
struct runtime;         /* runtime/runtime.h: switches of the process */
struct overload;        /* runtime/overload.h: what is to be shed */

struct thread_context {
    struct loop *loop;
    struct stat_store *stats;
    struct part_table *parts;
    struct cluster_manager *clusters;
    struct access_log_hub *access_logs;
    const struct runtime *runtime; /* NULL: the defaults */
    struct overload *overload;     /* NULL: never overloaded (main) */
    struct str node; /* this node for services to know us by: core.v3.Node, serialized */
    const char *node_id;
    const char *node_cluster;
    const char *node_zone;
    const char *hostname;
    struct thread_drain drain;   /* set by server/ on this thread */
    uint64_t next_connection_id; /* worker index in the top bits */
};

#endif
