#ifndef CONFIG_BOOTSTRAP_H
#define CONFIG_BOOTSTRAP_H

/*
 * Reading the bootstrap: file (YAML, JSON, binary protobuf by its ending), --config-yaml merged
 * over it, and what of it is plain values (admin address, discovery sources). Main thread.
 */

#include <stdbool.h>

#include "config/model/access_log.h"
#include "config/model/cluster.h"
#include "config/model/extension.h"
#include "config/model/overload.h"
#include "dataplane/base/address.h"
#include "dataplane/base/error.h"
#include "dataplane/runtime/layers.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"

struct access_log_hub;

struct bootstrap_params {
    const char *config_path; /* NULL: none */
    const char *config_yaml; /* NULL: none */
    bool allow_unknown_fields;
    bool is_strict;
    const struct extension_registry *registry;
    struct access_log_hub *access_logs; /* for the admin interface's; outlives the bootstrap */
    bool is_memory_limited;             /* by the control group */
    const struct stat_tag *fixed_tags;  /* --stats-tag */
    size_t fixed_tag_count;
};

/* When a thread that does not answer counts as stuck; 0: the process is not ended for it. */
struct watchdog_rules {
    uint64_t miss_ms;
    uint64_t megamiss_ms;
    uint64_t kill_ms;
    uint64_t kill_jitter_ms;
    uint64_t multikill_ms;
    double multikill_threshold; /* percent */
};

struct watchdogs {
    struct watchdog_rules main_thread;
    struct watchdog_rules workers;
};

/* stats_sinks, and when they get what. */
struct stats_flush_config {
    const struct filter_config *sinks; /* ext: a struct stat_sink_type */
    size_t sink_count;
    uint64_t interval_ms;
    bool on_admin;
};

struct bootstrap {
    struct part *part; /* owns the plain values below */
    /* Text, nodes and message: large with many static resources, dropped once they are loaded. */
    struct arena arena;
    Envoy__Config__Bootstrap__V3__Bootstrap *message; /* NULL after bootstrap_drop_message */
    uint8_t *bytes; /* serialized, for /config_dump; NULL before bootstrap_drop_message */
    size_t len;
    bool has_admin;
    struct address admin_address;
    uint32_t admin_unix_mode; /* 0: leave */
    bool admin_ipv4_compat;
    const struct socket_option *admin_socket_options;
    size_t admin_socket_option_count;
    struct access_logs admin_access_logs;
    const struct string_matcher *admin_allow_paths;
    size_t admin_allow_path_count; /* 0: everything is allowed */
    struct config_source ads;      /* kind CONFIG_SOURCE_NONE: not given */
    struct config_source cds;
    struct config_source lds;
    struct runtime_config runtime;
    struct watchdogs watchdogs;
    struct stats_flush_config stats_flush;
    struct stat_options stats_options;
    struct overload_config overload;
    /* application_log_config: a pattern as of --log-format; NULL: not given. */
    const char *log_format;
    char **unsupported; /* "path (message)", outside of static resources */
    size_t unsupported_count;
};

/* E_* with a sentence naming file, line and field. */
int bootstrap_load(const struct bootstrap_params *p, struct bootstrap **ret_bootstrap,
                   struct error *reterr) MUST_CHECK;
void bootstrap_free(struct bootstrap *b);
/* Keeps the serialized form alone: everything has been read. */
void bootstrap_drop_message(struct bootstrap *b);

/* A DiscoveryResponse from a YAML, JSON or binary file, serialized (heap, the caller frees): for
 * path_config_source. */
int bootstrap_read_discovery_file(struct str path, uint8_t **ret_bytes, size_t *ret_len,
                                  struct error *reterr);

#endif
