/* The process's own stats. Main thread. */

#include "dataplane/server/server_stats.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/store.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/server/hot_restart.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/stats/stats.h"
#include "dataplane/tls/inventory.h"
#include "xds/client.h"

enum server_stat {
    SERVER_CONCURRENCY,
    SERVER_DAYS_UNTIL_FIRST_CERT_EXPIRING,
    SERVER_DEBUG_ASSERTION_FAILURES,
    SERVER_DYNAMIC_UNKNOWN_FIELDS,
    SERVER_ENVOY_BUG_FAILURES,
    SERVER_HOT_RESTART_EPOCH,
    SERVER_HOT_RESTART_GENERATION,
    SERVER_INITIALIZATION_TIME_MS,
    SERVER_LIVE_GAUGE,
    SERVER_MEMORY_ALLOCATED,
    SERVER_MEMORY_HEAP_SIZE,
    SERVER_MEMORY_PHYSICAL_SIZE,
    SERVER_PARENT_CONNECTIONS,
    SERVER_SECONDS_UNTIL_FIRST_OCSP_RESPONSE_EXPIRING,
    SERVER_STATE_GAUGE,
    SERVER_STATIC_UNKNOWN_FIELDS,
    SERVER_TOTAL_CONNECTIONS,
    SERVER_UPTIME,
    SERVER_VERSION,
    SERVER_STAT_COUNT
};

static const struct stat_def server_stat_defs[SERVER_STAT_COUNT] = {
    [SERVER_CONCURRENCY] = {"concurrency", STAT_GAUGE},
    [SERVER_DAYS_UNTIL_FIRST_CERT_EXPIRING] = {"days_until_first_cert_expiring", STAT_GAUGE},
    [SERVER_DEBUG_ASSERTION_FAILURES] = {"debug_assertion_failures", STAT_COUNTER},
    [SERVER_DYNAMIC_UNKNOWN_FIELDS] = {"dynamic_unknown_fields", STAT_COUNTER},
    [SERVER_ENVOY_BUG_FAILURES] = {"envoy_bug_failures", STAT_COUNTER},
    [SERVER_HOT_RESTART_EPOCH] = {"hot_restart_epoch", STAT_GAUGE},
    [SERVER_HOT_RESTART_GENERATION] = {"hot_restart_generation", STAT_GAUGE},
    [SERVER_INITIALIZATION_TIME_MS] = {"initialization_time_ms", STAT_HISTOGRAM},
    [SERVER_LIVE_GAUGE] = {"live", STAT_GAUGE},
    [SERVER_MEMORY_ALLOCATED] = {"memory_allocated", STAT_GAUGE},
    [SERVER_MEMORY_HEAP_SIZE] = {"memory_heap_size", STAT_GAUGE},
    [SERVER_MEMORY_PHYSICAL_SIZE] = {"memory_physical_size", STAT_GAUGE},
    [SERVER_PARENT_CONNECTIONS] = {"parent_connections", STAT_GAUGE},
    [SERVER_SECONDS_UNTIL_FIRST_OCSP_RESPONSE_EXPIRING] =
        {"seconds_until_first_ocsp_response_expiring", STAT_GAUGE},
    [SERVER_STATE_GAUGE] = {"state", STAT_GAUGE},
    [SERVER_STATIC_UNKNOWN_FIELDS] = {"static_unknown_fields", STAT_COUNTER},
    [SERVER_TOTAL_CONNECTIONS] = {"total_connections", STAT_GAUGE},
    [SERVER_UPTIME] = {"uptime", STAT_GAUGE},
    [SERVER_VERSION] = {"version", STAT_GAUGE},
};

/* What cds and lds share, in the order of both enums below. */
#define DISCOVERY_STATS(P)                                                                         \
    P##_CONFIG_RELOAD, P##_INIT_FETCH_TIMEOUT, P##_UPDATE_ATTEMPT, P##_UPDATE_FAILURE,             \
        P##_UPDATE_REJECTED, P##_UPDATE_SUCCESS, P##_UPDATE_TIME, P##_VERSION, P##_VERSION_TEXT
#define DISCOVERY_STAT_DEFS(P, name)                                                               \
    [P##_CONFIG_RELOAD] = {name ".config_reload", STAT_COUNTER},                                   \
    [P##_INIT_FETCH_TIMEOUT] = {name ".init_fetch_timeout", STAT_COUNTER},                         \
    [P##_UPDATE_ATTEMPT] = {name ".update_attempt", STAT_COUNTER},                                 \
    [P##_UPDATE_FAILURE] = {name ".update_failure", STAT_COUNTER},                                 \
    [P##_UPDATE_REJECTED] = {name ".update_rejected", STAT_COUNTER},                               \
    [P##_UPDATE_SUCCESS] = {name ".update_success", STAT_COUNTER},                                 \
    [P##_UPDATE_TIME] = {name ".update_time", STAT_GAUGE},                                         \
    [P##_VERSION] = {name ".version", STAT_GAUGE},                                                 \
    [P##_VERSION_TEXT] = {name ".version_text", STAT_TEXT}

enum listener_manager_stat {
    DISCOVERY_STATS(LDS),
    LM_LISTENER_ADDED,
    LM_LISTENER_CREATE_FAILURE,
    LM_LISTENER_CREATE_SUCCESS,
    LM_LISTENER_IN_PLACE_UPDATED,
    LM_LISTENER_MODIFIED,
    LM_LISTENER_REMOVED,
    LM_LISTENER_STOPPED,
    LM_TOTAL_FILTER_CHAINS_DRAINING,
    LM_TOTAL_LISTENERS_ACTIVE,
    LM_TOTAL_LISTENERS_DRAINING,
    LM_TOTAL_LISTENERS_WARMING,
    LM_WORKERS_STARTED,
    LM_STAT_COUNT
};

static const struct stat_def listener_manager_stat_defs[LM_STAT_COUNT] = {
    DISCOVERY_STAT_DEFS(LDS, "lds"),
    [LM_LISTENER_ADDED] = {"listener_added", STAT_COUNTER},
    [LM_LISTENER_CREATE_FAILURE] = {"listener_create_failure", STAT_COUNTER},
    [LM_LISTENER_CREATE_SUCCESS] = {"listener_create_success", STAT_COUNTER},
    [LM_LISTENER_IN_PLACE_UPDATED] = {"listener_in_place_updated", STAT_COUNTER},
    [LM_LISTENER_MODIFIED] = {"listener_modified", STAT_COUNTER},
    [LM_LISTENER_REMOVED] = {"listener_removed", STAT_COUNTER},
    [LM_LISTENER_STOPPED] = {"listener_stopped", STAT_COUNTER},
    [LM_TOTAL_FILTER_CHAINS_DRAINING] = {"total_filter_chains_draining", STAT_GAUGE},
    [LM_TOTAL_LISTENERS_ACTIVE] = {"total_listeners_active", STAT_GAUGE},
    [LM_TOTAL_LISTENERS_DRAINING] = {"total_listeners_draining", STAT_GAUGE},
    [LM_TOTAL_LISTENERS_WARMING] = {"total_listeners_warming", STAT_GAUGE},
    [LM_WORKERS_STARTED] = {"workers_started", STAT_GAUGE},
};

enum cluster_manager_stat {
    DISCOVERY_STATS(CDS),
    CM_ACTIVE_CLUSTERS,
    CM_CLUSTER_ADDED,
    CM_CLUSTER_MODIFIED,
    CM_CLUSTER_REMOVED,
    CM_CLUSTER_UPDATED,
    CM_WARMING_CLUSTERS,
    CM_STAT_COUNT
};

static const struct stat_def cluster_manager_stat_defs[CM_STAT_COUNT] = {
    DISCOVERY_STAT_DEFS(CDS, "cds"),
    [CM_ACTIVE_CLUSTERS] = {"active_clusters", STAT_GAUGE},
    [CM_CLUSTER_ADDED] = {"cluster_added", STAT_COUNTER},
    [CM_CLUSTER_MODIFIED] = {"cluster_modified", STAT_COUNTER},
    [CM_CLUSTER_REMOVED] = {"cluster_removed", STAT_COUNTER},
    [CM_CLUSTER_UPDATED] = {"cluster_updated", STAT_COUNTER},
    [CM_WARMING_CLUSTERS] = {"warming_clusters", STAT_GAUGE},
};

enum control_plane_stat {
    CP_CONNECTED_STATE,
    CP_IDENTIFIER,
    CP_PENDING_REQUESTS,
    CP_RATE_LIMIT_ENFORCED,
    CP_STAT_COUNT
};

static const struct stat_def control_plane_stat_defs[CP_STAT_COUNT] = {
    [CP_CONNECTED_STATE] = {"connected_state", STAT_GAUGE},
    [CP_IDENTIFIER] = {"identifier", STAT_TEXT},
    [CP_PENDING_REQUESTS] = {"pending_requests", STAT_GAUGE},
    [CP_RATE_LIMIT_ENFORCED] = {"rate_limit_enforced", STAT_COUNTER},
};

static const struct stat_schema server_schema = {
    .defs = server_stat_defs, .count = SERVER_STAT_COUNT, .shown_untouched = true};
static const struct stat_schema listener_manager_schema = {
    .defs = listener_manager_stat_defs, .count = LM_STAT_COUNT, .shown_untouched = true};
static const struct stat_schema cluster_manager_schema = {
    .defs = cluster_manager_stat_defs, .count = CM_STAT_COUNT, .shown_untouched = true};
static const struct stat_schema control_plane_schema = {
    .defs = control_plane_stat_defs, .count = CP_STAT_COUNT, .shown_untouched = true};

/* A scope with main's block of it. */
struct main_scope {
    struct stat_scope *scope;
    struct stat_block *block;
};

struct server_stats {
    struct main_scope server;
    struct main_scope listeners;
    struct main_scope clusters;
    struct main_scope control_plane;
    uint32_t seen_reconnects;
};

static void main_scope_init(struct main_scope *m, struct stat_store *store, struct str prefix,
                            const struct stat_schema *schema)
{
    m->scope = stat_scope_ref(
        store,
        &(struct stat_scope_spec){.prefix = prefix, .tagged_prefix = prefix, .schema = schema});
    m->block = stat_scope_block(m->scope, LOOP_MAIN_INDEX);
}

struct server_stats *server_stats_new(struct stat_store *store)
{
    struct server_stats *s = xcalloc(1, sizeof(*s));

    main_scope_init(&s->server, store, STR("server."), &server_schema);
    main_scope_init(&s->listeners, store, STR("listener_manager."), &listener_manager_schema);
    main_scope_init(&s->clusters, store, STR("cluster_manager."), &cluster_manager_schema);
    main_scope_init(&s->control_plane, store, STR("control_plane."), &control_plane_schema);
    stat_set(s->listeners.block, LM_WORKERS_STARTED, 0);
    return s;
}

void server_stats_free(struct server_stats *s)
{
    if (s != NULL) {
        stat_scope_unref(s->server.scope);
        stat_scope_unref(s->listeners.scope);
        stat_scope_unref(s->clusters.scope);
        stat_scope_unref(s->control_plane.scope);
        free(s);
    }
}

void server_stats_set_state(struct server_stats *s, enum server_state state)
{
    stat_set(s->server.block, SERVER_STATE_GAUGE, state);
    stat_set(s->server.block, SERVER_LIVE_GAUGE, state == SERVER_LIVE);
}

void server_stats_count_stopped(struct server_stats *s, size_t listeners)
{
    stat_add(s->listeners.block, LM_LISTENER_STOPPED, listeners);
}

void server_stats_workers_started(struct server_stats *s)
{
    stat_set(s->listeners.block, LM_WORKERS_STARTED, 1);
}

/* `usedonly` means ever written, so an unchanged value is not written. */
static void refresh(const struct main_scope *m, size_t i, uint64_t v)
{
    if (stat_scope_value(m->scope, i) != v) {
        stat_set(m->block, i, v);
    }
}

static void refresh_discovery(const struct main_scope *m, size_t first,
                              const struct discovery_counters *n)
{
    size_t d = first - CDS_CONFIG_RELOAD;

    refresh(m, d + CDS_CONFIG_RELOAD, n->config_reload);
    refresh(m, d + CDS_INIT_FETCH_TIMEOUT, n->init_fetch_timeout);
    refresh(m, d + CDS_UPDATE_ATTEMPT, n->update_attempt);
    refresh(m, d + CDS_UPDATE_FAILURE, n->update_failure);
    refresh(m, d + CDS_UPDATE_REJECTED, n->update_rejected);
    refresh(m, d + CDS_UPDATE_SUCCESS, n->update_success);
    refresh(m, d + CDS_UPDATE_TIME, n->update_time_ms);
    if (n->version.ptr != NULL) {
        refresh(m, d + CDS_VERSION, hash_xx64(n->version, 0));
        stat_set_text(m->scope, d + CDS_VERSION_TEXT, n->version);
    }
}

struct resource_counts {
    uint64_t active;
    uint64_t warming;
};

static void count_resource(void *user, const struct resource *r)
{
    struct resource_counts *n = user;

    n->active += r->published != NULL;
    n->warming += r->accepted != r->published;
}

static struct resource_counts count_resources(const struct config_store *store, enum part_kind kind)
{
    struct resource_counts n = {0};

    config_store_visit(store, kind, count_resource, &n);
    return n;
}

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long size;
    unsigned long long resident = 0;

    if (f != NULL) {
        if (fscanf(f, "%llu %llu", &size, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void refresh_server(const struct server_stats *s, const struct server *server)
{
    struct mallinfo2 heap = mallinfo2();
    uint64_t now = clock_wall_ns();
    struct tls_expiry expiry = tls_inventory_refresh(&server->loop, now);

    refresh(&s->server, SERVER_CONCURRENCY, server->worker_count);
    refresh(&s->server, SERVER_MEMORY_ALLOCATED, heap.uordblks + heap.hblkhd);
    refresh(&s->server, SERVER_MEMORY_HEAP_SIZE, heap.arena + heap.hblkhd);
    refresh(&s->server, SERVER_MEMORY_PHYSICAL_SIZE, resident_bytes());
    refresh(&s->server, SERVER_UPTIME, (now - server_first_start_ns(server)) / 1000000000);
    refresh(&s->server, SERVER_HOT_RESTART_EPOCH, server->options.restart_epoch);
    refresh(&s->server, SERVER_HOT_RESTART_GENERATION, hot_restart_generation(server->hot_restart));
    refresh(&s->server, SERVER_DAYS_UNTIL_FIRST_CERT_EXPIRING, expiry.days_until_first_certificate);
    refresh(&s->server, SERVER_SECONDS_UNTIL_FIRST_OCSP_RESPONSE_EXPIRING,
            expiry.seconds_until_first_staple);
    refresh(&s->server, SERVER_TOTAL_CONNECTIONS,
            listener_manager_active_connections(server->listeners));
}

static void refresh_stream(void *user, const struct xds_stream_status *x)
{
    const struct server_stats *s = user;

    if (!x->is_aggregated) {
        return;
    }
    refresh(&s->control_plane, CP_CONNECTED_STATE, x->is_connected);
    if (x->control_plane.len > 0) {
        stat_set_text(s->control_plane.scope, CP_IDENTIFIER, x->control_plane);
    }
}

void server_stats_refresh(struct server_stats *s, const struct server *server)
{
    const struct discovery_counters *lds = config_store_counters(server->store, PART_LISTENER);
    const struct discovery_counters *cds = config_store_counters(server->store, PART_CLUSTER);
    struct resource_counts listeners = count_resources(server->store, PART_LISTENER);
    struct resource_counts clusters = count_resources(server->store, PART_CLUSTER);
    uint64_t unknown = 0;

    refresh_server(s, server);
    refresh_discovery(&s->listeners, LDS_CONFIG_RELOAD, lds);
    refresh(&s->listeners, LM_LISTENER_ADDED, lds->added);
    refresh(&s->listeners, LM_LISTENER_MODIFIED, lds->modified);
    refresh(&s->listeners, LM_LISTENER_REMOVED, lds->removed);
    refresh(&s->listeners, LM_LISTENER_IN_PLACE_UPDATED, lds->in_place_updated);
    refresh(&s->listeners, LM_LISTENER_CREATE_SUCCESS,
            (lds->added + lds->modified) * server->worker_count);
    refresh(&s->listeners, LM_TOTAL_LISTENERS_ACTIVE, listeners.active);
    refresh(&s->listeners, LM_TOTAL_LISTENERS_DRAINING,
            listener_manager_draining(server->listeners));
    refresh(&s->listeners, LM_TOTAL_LISTENERS_WARMING, listeners.warming);
    refresh_discovery(&s->clusters, CDS_CONFIG_RELOAD, cds);
    refresh(&s->clusters, CM_CLUSTER_ADDED, cds->added);
    refresh(&s->clusters, CM_CLUSTER_MODIFIED, cds->modified);
    refresh(&s->clusters, CM_CLUSTER_REMOVED, cds->removed);
    refresh(&s->clusters, CM_ACTIVE_CLUSTERS, clusters.active);
    refresh(&s->clusters, CM_WARMING_CLUSTERS, clusters.warming);
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        unknown += config_store_counters(server->store, (enum part_kind)k)->unsupported_fields;
    }
    refresh(&s->server, SERVER_DYNAMIC_UNKNOWN_FIELDS, unknown);
    if (server->xds != NULL) {
        xds_client_visit(server->xds, refresh_stream, s);
    }
}
