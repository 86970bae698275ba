#ifndef DATAPLANE_SERVER_SERVER_H
#define DATAPLANE_SERVER_SERVER_H

/*
 * The process: start order, the one place that wires the layers together, drain and stop. All of
 * it on the main thread.
 *
 *   pre-initializing  bootstrap read, static clusters warming
 *   initializing      control plane: clusters, then listeners and their route tables
 *   live              listeners open
 *   draining          SIGTERM: still accepting, every response closes its connection
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/extension.h"
#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/signal.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/server/drain.h"
#include "dataplane/server/node.h"
#include "dataplane/server/options.h"
#include "dataplane/server/worker.h"
#include "dataplane/server/xds_dialer.h"

/* Envoy's server.state values. */
enum server_state {
    SERVER_LIVE,
    SERVER_DRAINING,
    SERVER_PRE_INITIALIZING,
    SERVER_INITIALIZING,
};

const char *server_state_name(enum server_state s); /* "LIVE" */
struct server;
/* What /ready and the stats say: a live server that fails its health check is draining. */
enum server_state server_visible_state(const struct server *s);

struct admin_server;
struct bootstrap;
struct cluster_registry;
struct config_store;
struct dns_clusters;
struct hot_restart;
struct listener_manager;
struct overload_manager;
struct rtds;
struct runtime;
struct runtime_layers;
struct server_stats;
struct stats_flusher;
struct watchdog;
struct xds_client;

struct server {
    struct options options;
    struct loop loop;
    struct thread_context context; /* main's own */
    struct part_table parts;
    struct part_releaser releaser;
    enum server_state state;
    struct bootstrap *bootstrap;
    struct arena arena;                   /* of the node and the extensions */
    struct extension_registry extensions; /* those that are not disabled */
    struct node node;
    struct str local_ip; /* of this machine, of the --local-address-ip-version */
    struct stat_store *stats;
    struct overload_manager *overload;
    struct server_stats *server_stats;
    struct stats_flusher *stats_flusher;
    struct cluster_registry *registry;
    struct listener_manager *listeners;
    size_t listener_versions; /* that exist */
    struct drain_manager drain;
    struct hot_restart *hot_restart; /* NULL: none */
    struct dns_clusters *dns;
    struct xds_client *xds;
    struct xds_dialing dialing; /* how it reaches its cluster */
    struct config_store *store;
    struct runtime_layers *runtime_layers;
    struct rtds *rtds;
    struct runtime *runtime; /* the newest values; older ones go when no thread has them */
    struct admin_server *admin;
    struct worker *workers;
    struct watchdog *watchdog;
    size_t worker_count;
    uint64_t start_wall_ns;
    uint64_t start_ms;
    struct timer drain_timer;
    struct timer trim_timer;
    size_t changes_since_trim;
    uint64_t drain_deadline_ms;
    struct loop_signal sigterm;
    struct loop_signal sigint;
    struct loop_signal sigusr1;
    struct loop_signal sighup;
    uint32_t closing_count; /* of what the teardown waits for */
    bool is_stopping;
    bool is_drained; /* no stream was open when the drain ended */
};

/* Reads and checks the bootstrap, builds everything, starts the threads. With MODE_VALIDATE only
 * checks. E_* with the sentence to print. */
int server_init(struct server *s, const struct options *o, struct error *reterr) MUST_CHECK;
/* Runs until told to stop; then tears down. */
void server_run(struct server *s);
/* From the loop: SIGTERM's drain; twice, or `now`: stops at once. */
void server_drain(struct server *s);
void server_stop(struct server *s);
/* When the first generation of it started, wall clock. */
uint64_t server_first_start_ns(const struct server *s);
/* What is only counted when somebody looks. */
void server_refresh_stats(struct server *s);
/* SIGUSR1 and /reopen_logs: after the files were moved away. */
void server_reopen_logs(struct server *s);
/* After a moment: for /quitquitquit, whose answer is still to be written. */
void server_stop_soon(struct server *s);

#endif
