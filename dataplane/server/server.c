/*
 * Start order, wiring, drain and stop of the process. Main thread. What each part does is in its
 * own file; here is only who gets what.
 */

#include "dataplane/server/server.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/bootstrap.h"
#include "config/model/stat_sink.h"
#include "config/parse/core.h"
#include "config/rtds.h"
#include "config/store.h"
#include "config/xds_source.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/extensions/registry.h"
#include "dataplane/overload/overload_manager.h"
#include "dataplane/server/admin_server.h"
#include "dataplane/server/cgroup.h"
#include "dataplane/server/dns_clusters.h"
#include "dataplane/server/extension_choice.h"
#include "dataplane/server/hot_restart.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/local_ip.h"
#include "dataplane/server/log_setup.h"
#include "dataplane/server/overload.h"
#include "dataplane/server/publish.h"
#include "dataplane/server/runtime_updates.h"
#include "dataplane/server/server_stats.h"
#include "dataplane/server/stats_flush.h"
#include "dataplane/server/watchdog.h"
#include "dataplane/server/xds_dialer.h"
#include "dataplane/tls/context.h"
#include "dataplane/upstream/cluster_registry.h"
#include "dataplane/upstream/upstream.h"
#include "xds/client.h"

#define WORKERS_MAX 1000 /* the access log hub has places for 1,023 threads */
#define DRAIN_POLL_MS 50
/* After a drain, connections that were still queued may say what they came for. */
#define DRAINED_GRACE_MS 500
/* A version with this many changes leaves free memory worth giving back, once it is quiet. */
#define TRIM_CHANGES 256
#define TRIM_DELAY_MS 1000
/* Large messages are mapped, so that they go back to the system when they are freed. */
#define MMAP_THRESHOLD_BYTES (256 * 1024)
#define QUIT_DELAY_MS 20

const char *server_state_name(enum server_state s)
{
    static const char *const NAMES[] = {
        [SERVER_LIVE] = "LIVE",
        [SERVER_DRAINING] = "DRAINING",
        [SERVER_PRE_INITIALIZING] = "PRE_INITIALIZING",
        [SERVER_INITIALIZING] = "INITIALIZING",
    };

    return NAMES[s];
}

enum server_state server_visible_state(const struct server *s)
{
    return s->state == SERVER_LIVE && s->drain.has_failed_health_check ? SERVER_DRAINING : s->state;
}

uint64_t server_first_start_ns(const struct server *s)
{
    uint64_t first = hot_restart_first_start_ns(s->hot_restart);

    return first > 0 ? first : s->start_wall_ns;
}

static void server_set_state(struct server *s, enum server_state state)
{
    s->state = state;
    server_stats_set_state(s->server_stats, server_visible_state(s));
    log_info(LOG_C_MAIN, "server state: %s", server_state_name(state));
}

/* --- what the store asks for -------------------------------------------------------------- */

static void server_release_part(struct part_releaser *r, const struct part *p)
{
    (void)r;
    part_unref(p);
}

static void server_on_trim_timer(struct timer *t)
{
    struct server *s = container_of(t, struct server, trim_timer);

    s->changes_since_trim = 0;
    (void)malloc_trim(0);
}

/* Main takes the version first, then the workers. */
static void server_publish(void *ctx, struct snapshot *take)
{
    struct server *s = ctx;
    struct listener_version **listeners =
        xcalloc(take->change_count, sizeof(struct listener_version *));

    for (size_t i = 0; i < take->change_count; i++) {
        const struct snapshot_change *c = &take->changes[i];

        cluster_registry_apply(s->registry, c);
        if (c->kind == PART_LISTENER) {
            if (c->after != NULL) {
                listeners[i] = listener_manager_publish(s->listeners,
                                                        (const struct listener_config *)c->after);
            }
            continue;
        }
        part_ref(c->after);
        part_table_apply(&s->parts, s->context.clusters, c);
        if (c->kind == PART_SECRET && c->after != NULL &&
            !((const struct secret_config *)c->after)->is_static) {
            tls_contexts_count_update(c->slot);
        }
    }
    s->changes_since_trim += take->change_count;
    if (s->changes_since_trim >= TRIM_CHANGES) {
        timer_arm(&s->loop, &s->trim_timer, TRIM_DELAY_MS);
    }
    publication_send(take, listeners, s->workers, s->workers != NULL ? s->worker_count : 0,
                     &s->loop);
}

static int server_prepare_listener(void *ctx, const struct listener_config *l,
                                   const struct listener_config *before, struct error *reterr)
{
    return listener_manager_prepare(((struct server *)ctx)->listeners, l, before, reterr);
}

static void server_discard_listener(void *ctx, const struct listener_config *l)
{
    listener_manager_discard(((struct server *)ctx)->listeners, l);
}

static void server_start_cluster(void *ctx, const struct cluster_config *c)
{
    dns_clusters_start(((struct server *)ctx)->dns, c);
}

static void server_stop_cluster(void *ctx, const struct cluster_config *c)
{
    dns_clusters_stop(((struct server *)ctx)->dns, c);
}

static void server_on_clusters_ready(void *ctx)
{
    struct server *s = ctx;

    if (s->state == SERVER_PRE_INITIALIZING) {
        server_set_state(s, SERVER_INITIALIZING);
    }
}

static void server_on_initialized(void *ctx)
{
    struct server *s = ctx;

    if (s->state != SERVER_DRAINING) {
        server_set_state(s, SERVER_LIVE);
        hot_restart_on_live(s->hot_restart);
        server_stats_workers_started(s->server_stats);
        log_info(LOG_C_MAIN, "all dependencies initialized. starting workers");
    }
    (void)malloc_trim(0); /* what reading the configuration took */
}

void server_refresh_stats(struct server *s)
{
    server_stats_refresh(s->server_stats, s);
    cluster_registry_refresh_stats(s->registry);
    listener_manager_refresh_stats(s->listeners);
    server_admin_refresh_stats(s);
}

static void server_on_flush(void *ctx)
{
    server_refresh_stats(ctx);
}

/* --- start -------------------------------------------------------------------------------- */

/* CPUs this process may use: its affinity mask, cut by the cgroup's quota. */
static size_t server_default_concurrency(void)
{
    cpu_set_t set;
    size_t n = 1;
    size_t quota = cgroup_cpu_limit();

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        n = (size_t)CPU_COUNT(&set);
    }
    return quota > 0 && quota < n ? quota : n;
}

static void server_raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void server_allow_core_dump(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CORE, &limit) != 0) {
        return;
    }
    (void)prctl(PR_SET_DUMPABLE, 1); /* as Envoy; the limit is ours */
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max == 0) {
        log_warn(LOG_C_MAIN, "core dumps are not allowed here");
    }
}

static void server_init_context(struct server *s)
{
    static char hostname[256];

    if (gethostname(hostname, sizeof(hostname) - 1) != 0) {
        hostname[0] = '\0';
    }
    s->releaser.release = server_release_part;
    part_table_init(&s->parts, &s->releaser);
    s->loop.parts = &s->parts;
    s->context = (struct thread_context){
        .loop = &s->loop,
        .stats = s->stats,
        .parts = &s->parts,
        .node = str_n((const char *)s->node.bytes, s->node.len),
        .node_id = s->node.message->id,
        .node_cluster = s->node.message->cluster,
        .node_zone = s->node.message->locality != NULL ? s->node.message->locality->zone : "",
        .hostname = hostname,
        .access_logs = s->context.access_logs,
    };
    access_log_hub_set_node(s->context.access_logs, str_n((const char *)s->node.bytes, s->node.len),
                            &s->context);
    s->context.clusters = cluster_manager_new(&s->context);
    server_runtime_start(s);
}

static bool server_endpoint_updates(void *ctx, uint32_t slot, struct endpoint_updates *ret)
{
    const struct server *s = ctx;

    return config_store_endpoint_updates(s->store, slot, ret);
}

static void server_init_store(struct server *s)
{
    s->store = config_store_new(&(struct config_store_params){
        .loop = &s->loop,
        .registry = &s->extensions,
        .xds = s->xds,
        .stats = s->stats,
        .access_logs = s->context.access_logs,
        .tls = &tls_builder,
        .local_ip = s->local_ip,
        .is_strict = s->options.is_strict,
        .allows_unknown_static = s->options.allow_unknown_static_fields,
        .rejects_unknown_dynamic = s->options.reject_unknown_dynamic_fields,
        .ignores_unknown_dynamic = s->options.ignore_unknown_dynamic_fields,
        .missing_cluster_hold_ms = s->options.missing_cluster_hold_ms,
        .removed_cluster_hold_ms = 15000,
        .ops =
            {
                .publish = server_publish,
                .listener_prepare = server_prepare_listener,
                .listener_discard = server_discard_listener,
                .cluster_start = server_start_cluster,
                .cluster_stop = server_stop_cluster,
                .clusters_ready = server_on_clusters_ready,
                .initialized = server_on_initialized,
                .ctx = s,
            },
    });
    cluster_registry_set_updates(s->registry, server_endpoint_updates, s);
    listener_manager_set_store(s->listeners, s->store);
    dns_clusters_set_store(s->dns, s->store);
}

/* xDS-shaped text files (path_config_source) through the same reader as the bootstrap. */
static void server_init_xds(struct server *s)
{
    struct xds_source ads;

    s->xds = xds_client_new(&(struct xds_client_params){
        .loop = &s->loop,
        .dialer = xds_dialing_init(&s->dialing, &s->context),
        .node = s->node.bytes,
        .node_len = s->node.len,
        .max_message_bytes = s->options.xds_max_message_mb << 20,
        .read_file = bootstrap_read_discovery_file,
    });
    if (s->bootstrap->ads.kind != CONFIG_SOURCE_NONE) {
        ads = xds_source_from(&s->bootstrap->ads, &s->arena);
        xds_client_set_ads(s->xds, &ads);
    }
}

static int server_put_static(struct server *s, enum part_kind kind, const char *field, size_t n,
                             ProtobufCMessage *const *messages, struct error *reterr)
{
    for (size_t i = 0; i < n; i++) {
        int r = config_store_put_static(s->store, kind, messages[i], reterr);

        if (r != 0) {
            error_prefix(reterr, "static_resources.%s[%zu].", field, i);
            return r;
        }
    }
    return 0;
}

static int server_load_static(struct server *s, struct error *reterr)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *sr =
        s->bootstrap->message->static_resources;
    int r;

    if (sr == NULL) {
        return 0;
    }
    r = server_put_static(s, PART_SECRET, "secrets", sr->n_secrets,
                          (ProtobufCMessage *const *)sr->secrets, reterr);
    if (r == 0) {
        r = server_put_static(s, PART_CLUSTER, "clusters", sr->n_clusters,
                              (ProtobufCMessage *const *)sr->clusters, reterr);
    }
    if (r == 0) {
        r = server_put_static(s, PART_LISTENER, "listeners", sr->n_listeners,
                              (ProtobufCMessage *const *)sr->listeners, reterr);
    }
    return r;
}

/* What Envoy refuses of a discovery source of the bootstrap. */
static int server_check_source(const struct server *s, const struct config_source *c,
                               struct error *reterr)
{
    if (c->kind != CONFIG_SOURCE_API) {
        return 0;
    }
    if (s->node.message->id[0] == '\0' || s->node.message->cluster[0] == '\0') {
        return error_set(reterr, E_INVALID,
                         "ads: node 'id' and 'cluster' are required. Set it either in 'node' "
                         "config or via --service-node and --service-cluster options.");
    }
    if (!config_store_has(s->store, PART_CLUSTER, c->grpc.cluster_name)) {
        return error_set(reterr, E_INVALID, "Unknown gRPC client cluster '%.*s'",
                         STR_ARG(c->grpc.cluster_name));
    }
    return 0;
}

static int server_check_sources(const struct server *s, struct error *reterr)
{
    const struct bootstrap *b = s->bootstrap;
    const struct config_source *sources[] = {&b->ads, &b->cds, &b->lds};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(sources); i++) {
        r = server_check_source(s, sources[i], reterr);
    }
    for (size_t i = 0; r == 0 && i < b->runtime.count; i++) {
        if (b->runtime.layers[i].kind == RUNTIME_LAYER_RTDS) {
            r = server_check_source(s, b->runtime.layers[i].source, reterr);
        }
    }
    return r;
}

/* And of its sinks and of the local cluster. */
static int server_check_clusters(const struct server *s, struct error *reterr)
{
    const Envoy__Config__Bootstrap__V3__ClusterManager *cm = s->bootstrap->message->cluster_manager;

    for (size_t i = 0; i < s->bootstrap->stats_flush.sink_count; i++) {
        const struct stat_sink_config *c = s->bootstrap->stats_flush.sinks[i].config;

        if (c->cluster_name.len > 0 && !config_store_has(s->store, PART_CLUSTER, c->cluster_name)) {
            return error_set(reterr, E_INVALID, "%s '%.*s'", c->cluster_error,
                             STR_ARG(c->cluster_name));
        }
    }
    if (cm != NULL && cm->local_cluster_name[0] != '\0' &&
        !config_store_has(s->store, PART_CLUSTER, str_c(cm->local_cluster_name))) {
        return error_set(reterr, E_INVALID, "local cluster '%s' must be defined",
                         cm->local_cluster_name);
    }
    return 0;
}

static int server_start_workers(struct server *s, struct error *reterr)
{
    struct thread_context context = s->context;

    context.drain.policy = (struct drain_policy){
        .time_ms = (uint64_t)s->options.drain_time_s * 1000,
        .is_gradual = s->options.drain_strategy == DRAIN_GRADUAL,
    };
    s->workers = xcalloc_aligned(_Alignof(struct worker), s->worker_count * sizeof(struct worker));
    for (size_t i = 0; i < s->worker_count; i++) {
        struct worker_params p = {
            .index = (int)i,
            .main_loop = &s->loop,
            .context = &context,
            .overload = s->overload,
            .worker_count = s->worker_count,
            .peers = s->workers,
        };
        int r = worker_start(&s->workers[i], &p);

        if (r != 0) {
            s->worker_count = i;
            return error_set(reterr, r, "cannot start worker %zu", i);
        }
        watchdog_add(s->watchdog, &s->workers[i].loop, s->workers[i].thread);
    }
    return 0;
}

static void server_on_sigterm(struct loop_signal *sig)
{
    struct server *s = container_of(sig, struct server, sigterm);

    log_warn(LOG_C_MAIN, "caught SIGTERM");
    if (s->state == SERVER_DRAINING) {
        server_stop(s);
    } else {
        server_drain(s);
    }
}

static void server_on_sigint(struct loop_signal *sig)
{
    log_warn(LOG_C_MAIN, "caught SIGINT");
    server_stop(container_of(sig, struct server, sigint));
}

void server_reopen_logs(struct server *s)
{
    log_reopen();
    access_log_hub_reopen(s->context.access_logs);
}

static void server_on_sighup(struct loop_signal *sig)
{
    (void)sig;
    log_warn(LOG_C_MAIN,
             "caught and eating SIGHUP. See documentation for how to hot restart."); /* as Envoy */
}

static void server_on_sigusr1(struct loop_signal *sig)
{
    server_reopen_logs(container_of(sig, struct server, sigusr1));
}

static void server_on_drain_timer(struct timer *t);

static int server_init_parts(struct server *s, struct error *reterr)
{
    int r;

    s->stats = stat_store_new((int)s->worker_count);
    access_log_hub_count(s->context.access_logs, s->stats);
    stat_store_set_options(s->stats, &s->bootstrap->stats_options);
    s->server_stats = server_stats_new(s->stats);
    server_stats_set_state(s->server_stats, SERVER_PRE_INITIALIZING);
    s->registry = cluster_registry_new(s->stats, &s->context);
    s->watchdog = watchdog_new(&s->bootstrap->watchdogs, s->stats);
    watchdog_add(s->watchdog, &s->loop, pthread_self());
    server_init_context(s);
    s->listeners = listener_manager_new(s->stats, s->worker_count, &s->listener_versions);
    listener_manager_set_hot_restart(s->listeners, s->hot_restart);
    if (s->options.mode == MODE_VALIDATE) {
        listener_manager_stop(s->listeners, DRAIN_ALL_LISTENERS); /* whoever serves has the ports */
    }
    s->stats_flusher =
        stats_flusher_new(&s->bootstrap->stats_flush, &s->context, s->stats, server_on_flush, s);
    r = server_overload_init(s, reterr);
    if (r != 0) {
        return r;
    }
    r = dns_clusters_new(&s->loop, s->registry, &s->dns);
    if (r != 0) {
        return error_set(reterr, r, "cannot start the DNS resolver");
    }
    server_init_xds(s);
    server_init_store(s);
    return server_load_static(s, reterr);
}

int server_init(struct server *s, const struct options *o, struct error *reterr)
{
    struct bootstrap_params bp = {
        .config_path = o->config_path,
        .config_yaml = o->config_yaml,
        .allow_unknown_fields = o->allow_unknown_static_fields,
        .is_strict = o->is_strict,
        .is_memory_limited = server_memory_is_limited(),
    };
    int r;

    memset(s, 0, sizeof(*s));
    s->options = *o;
    s->state = SERVER_PRE_INITIALIZING;
    s->start_wall_ns = clock_wall_ns();
    s->start_ms = clock_mono_ns() / 1000000;
    s->worker_count = !o->has_concurrency  ? server_default_concurrency()
                      : o->concurrency > 0 ? o->concurrency
                                           : 1; /* as Envoy */
    if (s->worker_count > WORKERS_MAX) {
        s->worker_count = WORKERS_MAX;
    }
    timer_init(&s->drain_timer, server_on_drain_timer);
    timer_init(&s->trim_timer, server_on_trim_timer);
    drain_manager_init(&s->drain, s);
    arena_init(&s->arena, NULL);
    r = log_setup(o, reterr);
    if (r != 0) {
        return r;
    }
    s->extensions = extension_choice(&extension_registry, o->disable_extensions, &s->arena);
    bp.registry = &s->extensions;
    bp.fixed_tags = o->stats_tags;
    bp.fixed_tag_count = o->stats_tag_count;
    if (o->enable_core_dump) {
        server_allow_core_dump();
    }
    server_raise_fd_limit();
    (void)mallopt(M_ARENA_MAX, (int)s->worker_count + 1);
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    s->context.access_logs = access_log_hub_new(s->options.file_flush_interval_ms,
                                                (size_t)s->options.file_flush_min_kb * 1024);
    bp.access_logs = s->context.access_logs;
    s->local_ip = local_ip(&s->arena, strcmp(o->local_address_ip_version, "v6") == 0);
    r = bootstrap_load(&bp, &s->bootstrap, reterr);
    if (r == 0) {
        r = log_use_bootstrap(o, s->bootstrap->log_format, reterr);
    }
    if (r != 0) {
        return r;
    }
    node_build(s->bootstrap->message, o, &s->extensions, &s->arena, &s->node);
    if (loop_init(&s->loop, LOOP_MAIN_INDEX) != 0) {
        return error_set(reterr, E_SYS, "cannot create the event loop");
    }
    s->loop.owner = s;
    r = hot_restart_new(s, &s->hot_restart, reterr);
    if (r == 0) {
        r = server_init_parts(s, reterr);
    }
    if (r == 0) {
        r = server_check_clusters(s, reterr);
    }
    if (r == 0) {
        r = server_check_sources(s, reterr);
    }
    if (r == 0) {
        bootstrap_drop_message(s->bootstrap);
    }
    if (r != 0 || o->mode == MODE_VALIDATE) {
        return r;
    }
    r = server_start_workers(s, reterr);
    if (r != 0) {
        return r;
    }
    return server_admin_start(s, reterr);
}

/* --- run, drain, stop --------------------------------------------------------------------- */

void server_stop(struct server *s)
{
    if (!s->is_stopping) {
        s->is_stopping = true;
        loop_stop(&s->loop);
    }
}

void server_stop_soon(struct server *s)
{
    s->drain_deadline_ms = loop_now_ms(&s->loop);
    timer_arm(&s->loop, &s->drain_timer, QUIT_DELAY_MS);
}

struct open_streams {
    uint64_t count;
};

static void count_open_streams(void *user, const struct stat_sample *sample)
{
    struct open_streams *open = user;

    if (sample->kind == STAT_GAUGE && str_ends(sample->name, STR(".downstream_rq_active")) &&
        !str_starts(sample->name, STR("http.admin."))) {
        open->count += sample->value;
    }
}

/* Looks whether the last stream has ended. */
static void server_on_drain_timer(struct timer *t)
{
    struct server *s = container_of(t, struct server, drain_timer);
    struct open_streams open = {0};

    if (loop_now_ms(&s->loop) >= s->drain_deadline_ms) {
        server_stop(s);
        return;
    }
    stat_store_visit(s->stats, count_open_streams, &open);
    if (open.count == 0) {
        s->is_drained = true;
        server_stop(s);
    } else {
        timer_arm(&s->loop, &s->drain_timer, DRAIN_POLL_MS);
    }
}

void server_drain(struct server *s)
{
    uint32_t bound_s = s->options.drain_time_s < s->options.sigterm_drain_s
                           ? s->options.drain_time_s
                           : s->options.sigterm_drain_s;

    server_set_state(s, SERVER_DRAINING);
    hot_restart_stop_waiting(s->hot_restart);
    for (size_t i = 0; i < s->worker_count; i++) {
        worker_drain(&s->workers[i]);
    }
    s->drain_deadline_ms = loop_now_ms(&s->loop) + (uint64_t)bound_s * 1000;
    timer_arm(&s->loop, &s->drain_timer, DRAIN_POLL_MS);
}

/* The gRPC thread is gone, or the last client of the admin listener, or the last bridge. */
static void server_on_closed(void *user)
{
    struct server *s = user;

    if (--s->closing_count == 0) {
        loop_stop(&s->loop);
    }
}

/* Workers first, then what they used; the loop runs in between to take back what they held. */
static void server_teardown(struct server *s)
{
    watchdog_stop(s->watchdog);
    stats_flusher_stop(s->stats_flusher);
    timer_cancel(&s->loop, &s->drain_timer);
    timer_cancel(&s->loop, &s->trim_timer);
    drain_manager_done(&s->drain);
    overload_manager_stop(s->overload);
    for (size_t i = 0; i < s->worker_count && s->workers != NULL; i++) {
        worker_stop(&s->workers[i], s->is_drained ? DRAINED_GRACE_MS : 0,
                    !hot_restart_shares_sockets(s->hot_restart));
    }
    for (size_t i = 0; i < s->worker_count && s->workers != NULL; i++) {
        worker_join(&s->workers[i]);
    }
    server_runtime_stop(s);
    s->closing_count = 2;
    server_admin_stop(s, server_on_closed, s);
    rtds_free(s->rtds);
    config_store_stop(s->store);
    xds_client_close(s->xds, server_on_closed, s);
    s->closing_count += xds_dialing_close(&s->dialing, server_on_closed, s);
    loop_run(&s->loop); /* until all are closed; runs what workers posted */
    dns_clusters_close(s->dns);
    access_log_hub_stop_thread(s->context.access_logs, &s->context);
    stats_flusher_free(s->stats_flusher);
    cluster_manager_free(s->context.clusters);
    part_table_done(&s->parts);
    loop_settle(&s->loop); /* main's own connections give back the parts that they pin */
    listener_manager_free(s->listeners);
    cluster_registry_clear(s->registry);
    config_store_free(s->store);
    cluster_registry_free(s->registry);
    loop_signal_close(&s->sigterm);
    loop_signal_close(&s->sigint);
    loop_signal_close(&s->sigusr1);
    loop_signal_close(&s->sighup);
    server_admin_free(s);
    hot_restart_close(s->hot_restart);
    loop_done(&s->loop);
    hot_restart_free(s->hot_restart);
    server_runtime_free(s);
    overload_manager_free(s->overload);
    log_forget_bootstrap(&s->options);
    bootstrap_free(s->bootstrap); /* it may hold log files */
    access_log_hub_free(s->context.access_logs);
    server_stats_free(s->server_stats);
    watchdog_free(s->watchdog);
    stat_store_free(s->stats);
    arena_done(&s->arena);
    free(s->workers);
}

static void server_on_runtime_ready(void *ctx)
{
    struct server *s = ctx;

    config_store_start(s->store, &s->bootstrap->cds, &s->bootstrap->lds);
}

void server_run(struct server *s)
{
    if (loop_signal_start(&s->loop, &s->sigterm, SIGTERM, server_on_sigterm) != 0 ||
        loop_signal_start(&s->loop, &s->sigint, SIGINT, server_on_sigint) != 0 ||
        loop_signal_start(&s->loop, &s->sighup, SIGHUP, server_on_sighup) != 0 ||
        loop_signal_start(&s->loop, &s->sigusr1, SIGUSR1, server_on_sigusr1) != 0) {
        log_error(LOG_C_MAIN, "cannot handle signals");
    }
    if (watchdog_start(s->watchdog) != 0) {
        log_error(LOG_C_MAIN, "no thread for the watchdog");
    }
    stats_flusher_start(s->stats_flusher);
    overload_manager_start(s->overload);
    s->rtds = rtds_new(&(struct rtds_params){
        .xds = s->xds,
        .stats = s->stats,
        .registry = &s->extensions,
        .config = &s->bootstrap->runtime,
        .layers = s->runtime_layers,
        .rejects_unknown = s->options.reject_unknown_dynamic_fields,
        .ready = server_on_runtime_ready,
        .ctx = s,
    });
    loop_run(&s->loop);
    log_info(LOG_C_MAIN, "exiting");
    server_teardown(s);
}
