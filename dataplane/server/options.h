#ifndef DATAPLANE_SERVER_OPTIONS_H
#define DATAPLANE_SERVER_OPTIONS_H

/*
 * The command line: every flag of `envoy --help`, so that launchers written for Envoy work. One
 * that makes no sense here is taken and noted.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/stats/stats.h"

enum server_mode { MODE_SERVE, MODE_VALIDATE };

enum drain_strategy { DRAIN_GRADUAL, DRAIN_IMMEDIATE };

struct options {
    const char *config_path; /* NULL: none */
    const char *config_yaml;
    enum server_mode mode;
    uint32_t concurrency; /* with has_concurrency; else CPUs the process may use */
    enum log_level log_level;
    const char *component_log_level; /* "http:debug,config:trace" */
    const char *log_path;
    const char *service_node;
    const char *service_cluster;
    const char *service_zone;
    const char *admin_address_path;
    const char *base_id_path;
    const char *socket_path; /* NULL: Envoy's */
    const char *local_address_ip_version;
    uint32_t base_id;
    uint32_t socket_mode; /* 0: leave */
    uint32_t restart_epoch;
    uint32_t drain_time_s;
    enum drain_strategy drain_strategy;
    uint32_t parent_shutdown_time_s;
    uint32_t file_flush_interval_ms;
    uint32_t file_flush_min_kb;
    const char *log_format; /* NULL: Envoy's default */
    const char *disable_extensions;
    struct stat_tag stats_tags[16];
    size_t stats_tag_count;
    bool log_format_escaped;
    bool enable_fine_grain_logging;
    bool cpuset_threads;
    bool enable_core_dump;
    bool enable_mutex_tracing;
    bool skip_deprecated_logs;
    bool log_stacktrace_single_entry;
    bool has_concurrency;
    bool has_base_id;
    bool use_dynamic_base_id;
    bool disable_hot_restart;
    bool skip_hot_restart_on_no_parent;
    bool skip_hot_restart_parent_stats;
    bool allow_unknown_static_fields;
    bool reject_unknown_dynamic_fields;
    bool ignore_unknown_dynamic_fields;
    /* nuncio's own. */
    bool is_strict;                   /* --strict: an unsupported field refuses its resource */
    uint32_t sigterm_drain_s;         /* --sigterm-drain-time-s: upper bound of a SIGTERM drain */
    uint32_t missing_cluster_hold_ms; /* --missing-cluster-hold-ms */
    uint32_t xds_max_message_mb;      /* --xds-max-message-mb */
    /* What to tell once the log is open: flags taken but without effect. */
    const char *noted[32];
    size_t noted_count;
    /* --help, --version, --hot-restart-version were printed. */
    bool should_exit;
    bool wants_hot_restart_version;
};

/* E_INVALID with a sentence. Strings point into argv. */
int options_parse(int argc, char **argv, struct options *ret_options,
                  struct error *reterr) MUST_CHECK;

/* "<sha>/<version>/Clean/RELEASE/BoringSSL", as Envoy's --version and /server_info print it. */
const char *options_version(void);
#define NUNCIO_VERSION "0.1.0"
/* The Envoy release whose API and behaviour this build follows; sent as user_agent_build_version.
 */
#define NUNCIO_ENVOY_MAJOR 1
#define NUNCIO_ENVOY_MINOR 40
#define NUNCIO_ENVOY_PATCH 0

#endif
