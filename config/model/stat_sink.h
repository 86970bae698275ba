#ifndef CONFIG_MODEL_STAT_SINK_H
#define CONFIG_MODEL_STAT_SINK_H

/*
 * Where statistics go at each flush (bootstrap, stats_sinks). Sinks live on the main thread, for as
 * long as the process; server/stats_flush.c drives them.
 */

#include <stdint.h>

#include "config/model/extension.h"

struct histogram;
struct stat_sample;
struct thread_context;

/* One series that was ever used. All of it is valid during the call. */
struct flushed_stat {
    const struct stat_sample *sample;
    uint64_t delta;                   /* of a counter: since the last flush */
    const struct histogram *interval; /* of a histogram: what came since the last flush, if any */
};

/* First member of every sink's parsed configuration. */
struct stat_sink_config {
    struct str cluster_name;   /* must be in the bootstrap; empty: none is needed */
    const char *cluster_error; /* Envoy's words before the name: "tcp statsd: unknown cluster" */
};

struct stat_sink_type {
    struct extension ext;
    /* Never NULL. `config` outlives the sink. */
    void *(*start)(const void *config, struct thread_context *t);
    /* One flush: begin, each series by name, end. */
    void (*begin)(void *sink, uint64_t wall_ms);
    void (*take)(void *sink, const struct flushed_stat *s);
    void (*end)(void *sink);
    /* Before the thread's clusters go. */
    void (*stop)(void *sink);
};

#endif
