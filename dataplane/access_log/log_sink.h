#ifndef DATAPLANE_ACCESS_LOG_LOG_SINK_H
#define DATAPLANE_ACCESS_LOG_LOG_SINK_H

/*
 * Log services: entries go in batches to a gRPC service. Equal configurations share a sink; each
 * thread that logs has a stream of its own with what is not sent yet, sent when it is big or old.
 *
 * Bounds: a thread keeps `buffer_bytes` of entries and one more; what comes while the connection
 * takes nothing, or while too many calls wait for their answers, is dropped and counted. What is in
 * flight when a stream breaks is lost without a count, as in Envoy.
 *
 * Sinks are opened and let go on main; streams belong to their threads.
 */

#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/base/list.h"
#include "dataplane/base/str.h"
#include "dataplane/stats/stats.h"

struct log_sink;
struct thread_context;

/* "access_logs.grpc_access_log." and the like. */
enum log_sink_stat {
    LOG_SINK_WRITTEN,
    LOG_SINK_DROPPED,
    /* Calls only: entries whose call was answered well, or not. */
    LOG_SINK_FLUSHED,
    LOG_SINK_FLUSH_FAILED,
    LOG_SINK_STAT_COUNT
};

enum log_sink_kind {
    LOG_SINK_HTTP,           /* envoy.service.accesslog.v3: HTTP entries, one long stream */
    LOG_SINK_TCP,            /* TCP entries of the same */
    LOG_SINK_OPEN_TELEMETRY, /* opentelemetry.proto.collector.logs.v1: a call for each batch */
};

/* Borrowed for the length of log_sink_open. */
struct log_sink_params {
    enum log_sink_kind kind;
    const struct grpc_service_config *service;
    uint64_t flush_interval_ms;
    uint32_t buffer_bytes; /* 0: every entry is sent at once */
    /* Who is speaking: the content of the first message's identifier, or of each batch's resource.
     */
    struct str head;
    struct str stat_prefix; /* "access_logs.grpc_access_log." */
};

/* Main. Counted. `stats` NULL: nobody counts. */
struct log_sink *log_sink_open(struct access_log_hub *hub, struct stat_store *stats,
                               const struct log_sink_params *p);
/* Main. Streams end when they have sent what they have. NULL allowed. */
void log_sink_close(struct log_sink *s);

/* The calling thread's: NULL when there is no room for another entry (counted). Else append the
 * entry's content, a protobuf message, and say so. */
struct strbuf *log_sink_begin(struct log_sink *s, struct thread_context *t);
void log_sink_end(struct log_sink *s, struct thread_context *t);

/* The hub's side (hub.c). */
struct log_sinks {
    struct list sinks;
    struct list scopes; /* counters, kept to the end: threads hold their blocks */
    bool is_stopped[ACCESS_LOG_THREADS_MAX]; /* each thread's own: it opens no stream any more */
};
void log_sinks_init(struct log_sinks *l);
/* A thread, at the latest before its clusters go: what is not sent is dropped and counted. */
void log_sinks_stop_thread(struct log_sinks *l, struct thread_context *t);
/* Main, when all other threads have ended and every sink is closed. */
void log_sinks_done(struct log_sinks *l);

#endif
