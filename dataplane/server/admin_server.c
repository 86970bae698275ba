/* Builds by hand the configuration that the admin listener runs with. Main thread. */

#include "dataplane/server/admin_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/admin_config.h"
#include "dataplane/admin/admin.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/http/conn_manager_config.h"
#include "dataplane/http/conn_manager_stats.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/listener_series.h"
#include "dataplane/runtime/layers.h"
#include "dataplane/server/admin_endpoints.h"
#include "dataplane/server/hot_restart.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/server.h"
#include "dataplane/server/stats_flush.h"
#include "dataplane/stats/admin_stats.h"
#include "dataplane/tls/inventory.h"
#include "dataplane/upstream/admin_clusters.h"
#include "dataplane/upstream/cluster_registry.h"

#define ADMIN_IDLE_MS (60 * 60 * 1000)
#define ADMIN_HEADERS_MS (10 * 1000)
#define ADMIN_STREAM_IDLE_MS (5 * 60 * 1000)
#define ADMIN_BUFFER_BYTES (1u << 20)

extern const struct network_filter_type network_filter_http_connection_manager;

struct admin_server {
    struct admin *admin;
    struct admin_config config_pages;
    struct listen_socket *socket;
    struct worker_listener *listener;
    struct listener_config listener_config;
    struct filter_chain_config chain;
    struct filter_config network_filter;
    struct http_conn_manager_config http;
    struct http_filter_config http_filter;
    const struct filter_chain_config *chains[1];
    struct filter_chain_index *index;
    struct stat_scope *listener_stats;
    struct listener_series *series;
};

static void admin_refresh(void *context)
{
    struct server *s = context;

    server_refresh_stats(s);
    stats_flusher_on_admin(s->stats_flusher);
}

static struct admin *admin_build(struct server *s, struct admin_server *a)
{
    struct admin *admin = admin_new();

    a->config_pages = (struct admin_config){
        .store = s->store,
        .bootstrap = s->bootstrap,
        .xds = s->xds,
        .loaded_wall_ns = s->start_wall_ns,
    };
    admin_set_refresh(admin, admin_refresh, s);
    admin_allow_paths(admin, s->bootstrap->admin_allow_paths, s->bootstrap->admin_allow_path_count);
    admin_add(admin, &admin_home_endpoint, admin);
    for (size_t i = 0; i < admin_profiler_endpoint_count; i++) {
        admin_add(admin, admin_profiler_endpoints[i], NULL);
    }
    server_admin_register(admin, s);
    admin_add(admin, &admin_stats_endpoint, s->stats);
    admin_add(admin, &admin_stats_prometheus_endpoint, s->stats);
    admin_add(admin, &admin_reset_counters_endpoint, s->stats);
    admin_add(admin, &admin_clusters_endpoint, s->registry);
    admin_add(admin, &tls_certs_endpoint, &s->loop);
    admin_add(admin, &admin_runtime_endpoint, s->runtime_layers);
    admin_add(admin, &admin_runtime_modify_endpoint, s->runtime_layers);
    admin_add(admin, &admin_config_dump_endpoint, &a->config_pages);
    admin_add(admin, &admin_init_dump_endpoint, &a->config_pages);
    admin_add(admin, &admin_xds_endpoint, &a->config_pages);
    admin_add(admin, &admin_unsupported_endpoint, &a->config_pages);
    return admin;
}

static void admin_configure_http(struct server *s, struct admin_server *a)
{
    a->http_filter = (struct http_filter_config){
        .type = &http_filter_admin, .config = a->admin, .name = STR("admin")};
    a->http = (struct http_conn_manager_config){
        .codec_type = HTTP_CODEC_AUTO, /* as Envoy: HTTP/2 for who begins with its preface */
        .http2 = http2_options_defaults(true),
        .stat_prefix = STR("admin"),
        .stats = stat_scope_ref(s->stats,
                                &(struct stat_scope_spec){
                                    .prefix = STR("http.admin."),
                                    .tagged_prefix = STR("http."),
                                    .tags = {{STR("envoy.http_conn_manager_prefix"), STR("admin")}},
                                    .tag_count = 1,
                                    .schema = &conn_manager_stat_schema,
                                }),
        .route_slot = SLOT_NONE,
        .filters = &a->http_filter,
        .filter_count = 1,
        .idle_timeout_ms = ADMIN_IDLE_MS,
        .request_headers_timeout_ms = ADMIN_HEADERS_MS,
        .stream_idle_timeout_ms = ADMIN_STREAM_IDLE_MS,
        .delayed_close_timeout_ms = 1000,
        .max_request_headers_bytes = 60 * 1024,
        .max_headers_count = 100,
        .normalize_path = true, /* as Envoy */
        .merge_slashes = true,
        .use_remote_address = true,
        .local_ip = s->local_ip,
        .server_name = STR("envoy"),
        .access_logs = s->bootstrap->admin_access_logs,
    };
}

static void admin_configure_listener(struct server *s, struct admin_server *a)
{
    a->network_filter = (struct filter_config){
        .name = STR("http_connection_manager"),
        .ext = &network_filter_http_connection_manager.ext,
        .config = &a->http,
    };
    a->chain = (struct filter_chain_config){.filters = &a->network_filter, .filter_count = 1};
    a->chains[0] = &a->chain;
    a->listener_config = (struct listener_config){
        .name = STR("admin"),
        .stat_prefix = STR("admin"),
        .addresses = &s->bootstrap->admin_address,
        .address_count = 1,
        .unix_mode = s->bootstrap->admin_unix_mode,
        .ipv4_compat = s->bootstrap->admin_ipv4_compat,
        .bind_to_port = true,
        .socket_options = s->bootstrap->admin_socket_options,
        .socket_option_count = s->bootstrap->admin_socket_option_count,
        .per_connection_buffer_limit_bytes = {true, ADMIN_BUFFER_BYTES},
        .chains = a->chains,
        .chain_count = 1,
    };
    a->listener_stats = stat_scope_ref(s->stats, &(struct stat_scope_spec){
                                                     .prefix = STR("listener.admin."),
                                                     .tagged_prefix = STR("listener.admin."),
                                                     .schema = &listener_stat_schema,
                                                 });
    a->series =
        listener_series_new(s->stats, a->listener_stats, STR("listener.admin."), STR(""), 0);
}

static int admin_write_address(const struct server *s, const struct address *bound,
                               struct error *reterr)
{
    char text[ADDRESS_TEXT_MAX];
    FILE *f;

    address_format(bound, text);
    log_info(LOG_C_MAIN, "admin address: %s", text);
    if (s->options.admin_address_path == NULL) {
        return 0;
    }
    f = fopen(s->options.admin_address_path, "we");
    if (f == NULL) {
        return error_set(reterr, E_SYS, "cannot open admin address output file %s: %s",
                         s->options.admin_address_path, strerror(errno));
    }
    fputs(text, f);
    fclose(f);
    return 0;
}

static int admin_make_socket(struct server *s, struct admin_server *a, struct error *reterr)
{
    const struct address *address = &s->bootstrap->admin_address;
    bool may_inherit = !address_is_ip(address) || address_port(address) != 0;
    int fd = may_inherit ? hot_restart_inherit_admin(s->hot_restart, address) : -1;

    return fd >= 0 ? listen_socket_adopt(&a->listener_config, 0, 1, &fd, 1, &a->socket, reterr)
                   : listen_socket_new(&a->listener_config, 0, 1, &a->socket, reterr);
}

static struct worker_listener_params admin_listener_params(struct server *s,
                                                           const struct admin_server *a)
{
    return (struct worker_listener_params){
        .thread = &s->context,
        .config = &a->listener_config,
        .chains = a->index,
        .fds = a->socket->fds,
        .fd_count = 1,
        .scope = a->listener_stats,
    };
}

static int admin_serve(struct server *s, struct admin_server *a, struct error *reterr)
{
    struct worker_listener_params p = admin_listener_params(s, a);

    return worker_listener_new(&p, &a->listener) == 0
               ? 0
               : error_set(reterr, E_SYS, "cannot serve the admin address");
}

static int admin_listen(struct server *s, struct admin_server *a, struct error *reterr)
{
    int r = admin_make_socket(s, a, reterr);

    if (r == 0) {
        r = filter_chain_index_new(&a->listener_config, &a->index, reterr);
    }
    if (r == 0) {
        r = listen_socket_listen(a->socket, &a->listener_config, reterr);
    }
    if (r == 0) {
        r = admin_serve(s, a, reterr);
    }
    return r != 0 ? r : admin_write_address(s, &a->socket->bound, reterr);
}

int server_admin_start(struct server *s, struct error *reterr)
{
    struct admin_server *a;

    if (!s->bootstrap->has_admin) {
        return 0;
    }
    a = xcalloc(1, sizeof(*a));
    s->admin = a;
    a->admin = admin_build(s, a);
    admin_configure_http(s, a);
    admin_configure_listener(s, a);
    return admin_listen(s, a, reterr);
}

void server_admin_stop(struct server *s, void (*on_closed)(void *user), void *user)
{
    struct worker_listener *wl = s->admin != NULL ? s->admin->listener : NULL;

    if (wl == NULL) {
        on_closed(user);
        return;
    }
    s->admin->listener = NULL;
    worker_listener_close(wl, false, 0, on_closed, user);
}

int server_admin_pause(struct server *s, const struct address *address)
{
    struct admin_server *a = s->admin;

    if (a == NULL || a->listener == NULL || !address_eq(&a->socket->bound, address)) {
        return -1;
    }
    worker_listener_stop_accepting(a->listener);
    a->socket->is_handed_over = true;
    return a->socket->fds[0];
}

static bool admin_keep_chain(void *user, const struct filter_chain_config *chain)
{
    (void)user;
    (void)chain;
    return true;
}

static void admin_ignore(void *user)
{
    (void)user;
}

void server_admin_resume(struct server *s)
{
    struct admin_server *a = s->admin;
    struct worker_listener_params p;

    if (a == NULL || a->listener == NULL) {
        return;
    }
    p = admin_listener_params(s, a);
    a->socket->is_handed_over = false;
    if (worker_listener_update(a->listener, &p, admin_keep_chain, 0, admin_ignore, NULL) != 0) {
        log_error(LOG_C_ADMIN, "cannot accept on the admin address any more");
    }
}

void server_admin_hand_over(struct server *s)
{
    server_admin_stop(s, admin_ignore, NULL);
    if (s->admin != NULL) {
        listen_socket_close_fds(s->admin->socket);
    }
}

void server_admin_refresh_stats(struct server *s)
{
    if (s->admin != NULL) {
        listener_series_refresh(s->admin->series);
    }
}

void server_admin_free(struct server *s)
{
    struct admin_server *a = s->admin;

    if (a != NULL) {
        filter_chain_index_free(a->index);
        listen_socket_unref(a->socket);
        listener_series_free(a->series);
        stat_scope_unref(a->listener_stats);
        stat_scope_unref(a->http.stats);
        admin_free(a->admin);
        free(a);
        s->admin = NULL;
    }
}
