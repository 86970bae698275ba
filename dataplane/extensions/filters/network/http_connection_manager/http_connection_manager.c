/*
 * The HTTP connection manager as a network filter: reads its configuration (main thread) and wraps
 * http/conn_manager.c, which does the work (the connection's thread).
 *
 * Trust: configuration; all traffic is untrusted and handled in codec/ and http/.
 * Buffers: see dataplane/flow_control.md.
 * Differs from Envoy: request_headers_timeout is 10 s when not set (Envoy: off). The tracing fields
 * are not there yet.
 */

#include "dataplane/extensions/filters/network/http_connection_manager/hcm_config.h"

#include <string.h>

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/log_filter.h"
#include "config/parse/protocol.h"
#include "config/parse/route.h"
#include "dataplane/codec/h1_stats.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/overload.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/network_filter.h"

#define MS_PER_S UINT64_C(1000)
#define IDLE_TIMEOUT_DEFAULT_MS (3600 * MS_PER_S)
#define STREAM_IDLE_TIMEOUT_DEFAULT_MS (300 * MS_PER_S)
#define REQUEST_HEADERS_TIMEOUT_DEFAULT_MS (10 * MS_PER_S)
#define DRAIN_TIMEOUT_DEFAULT_MS (5 * MS_PER_S)
#define DELAYED_CLOSE_TIMEOUT_DEFAULT_MS (1 * MS_PER_S)
#define MAX_REQUEST_HEADERS_KB_DEFAULT 60
#define MAX_REQUEST_HEADERS_KB_LIMIT 8192
#define MAX_HEADERS_COUNT_DEFAULT 100

/* --- stats -------------------------------------------------------------------------------- */

static void hcm_scope_free(void *object)
{
    stat_scope_unref(object);
}

static struct stat_scope *hcm_scope_new(struct parse_context *ctx,
                                        const struct stat_scope_spec *spec)
{
    struct stat_scope *scope = stat_scope_ref(ctx->stats, spec);

    part_on_free(ctx->part, hcm_scope_free, scope);
    /* Zeros are shown from the start: pollers look for downstream_cx_active. */
    (void)stat_scope_block(scope, LOOP_MAIN_INDEX);
    return scope;
}

static void hcm_make_scopes(struct parse_context *ctx, struct http_conn_manager_config *c)
{
    struct arena *a = parse_arena(ctx);

    if (ctx->stats == NULL) {
        return;
    }
    c->stats =
        hcm_scope_new(ctx, &(struct stat_scope_spec){
                               .prefix = arena_printf(a, "http.%.*s.", STR_ARG(c->stat_prefix)),
                               .tagged_prefix = STR("http."),
                               .tags = {{STR("envoy.http_conn_manager_prefix"), c->stat_prefix}},
                               .tag_count = 1,
                               .schema = &conn_manager_stat_schema,
                           });
    c->http1_stats = hcm_scope_new(ctx, &(struct stat_scope_spec){
                                            .prefix = STR("http1."),
                                            .tagged_prefix = STR("http1."),
                                            .schema = &h1_stat_schema,
                                        });
    c->http2_stats = hcm_scope_new(ctx, &(struct stat_scope_spec){
                                            .prefix = STR("http2."),
                                            .tagged_prefix = STR("http2."),
                                            .schema = &h2_stat_schema,
                                        });
    if (ctx->listener_stat_name.len == 0) {
        return;
    }
    c->listener_stats = hcm_scope_new(
        ctx, &(struct stat_scope_spec){
                 .prefix = arena_printf(a, "listener.%.*s.http.%.*s.",
                                        STR_ARG(ctx->listener_stat_name), STR_ARG(c->stat_prefix)),
                 .tagged_prefix = STR("listener.http."),
                 .tags = {{STR("envoy.listener_address"), ctx->listener_stat_name},
                          {STR("envoy.http_conn_manager_prefix"), c->stat_prefix}},
                 .tag_count = 2,
                 .schema = &conn_manager_listener_stat_schema,
             });
}

/* --- routes ------------------------------------------------------------------------------- */

static int hcm_parse_rds(struct parse_context *ctx, const HCM(Rds) * m,
                         struct http_conn_manager_config *c)
{
    struct config_source *source = ARENA_NEW(parse_arena(ctx), struct config_source);
    struct str name = parse_str(ctx, m->route_config_name);
    size_t at;
    int r;

    if (m->config_source == NULL) {
        return parse_fail(ctx, E_INVALID, "config_source",
                          "An RDS config must have either a 'config_source' or an xDS-TP based "
                          "'route_config_name'");
    }
    at = path_push(ctx, "config_source");
    r = parse_config_source(ctx, m->config_source, source);
    path_pop(ctx, at);
    if (r < 0) {
        return r;
    }
    c->route_slot = parse_slot(ctx, PART_ROUTE_TABLE, name);
    parse_subscribe(ctx, PART_ROUTE_TABLE, name, source, c->stat_prefix);
    return 0;
}

static int hcm_parse_routes(struct parse_context *ctx, const hcm_message *m,
                            struct http_conn_manager_config *c)
{
    struct route_config *inline_routes;
    size_t at;
    int r;

    c->route_slot = SLOT_NONE;
    switch (m->route_specifier_case) {
    case HCM_ENUM(ROUTE_SPECIFIER_RDS):
        at = path_push(ctx, "rds");
        r = hcm_parse_rds(ctx, m->rds, c);
        path_pop(ctx, at);
        return r;
    case HCM_ENUM(ROUTE_SPECIFIER_ROUTE_CONFIG):
        at = path_push(ctx, "route_config");
        inline_routes = ARENA_NEW(parse_arena(ctx), struct route_config);
        r = parse_route_config(ctx, m->route_config, inline_routes);
        path_pop(ctx, at);
        c->inline_routes = inline_routes;
        return r;
    default:
        return parse_fail(ctx, E_INVALID, "route_specifier", "value is required");
    }
}

/* --- filters ------------------------------------------------------------------------------ */

/* `chain` is Envoy's name for it: "http" or "http upgrade". */
static int hcm_check_position(struct parse_context *ctx, const char *chain,
                              const struct http_filter_config *f, bool is_last)
{
    if (f->type->ext.is_terminal && !is_last) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Error: terminal filter named %.*s of type %s must be the last filter in "
                          "a %s filter chain.",
                          STR_ARG(f->name), f->type->ext.name, chain);
    }
    if (!f->type->ext.is_terminal && is_last) {
        return parse_fail(
            ctx, E_INVALID, NULL,
            "Error: non-terminal filter named %.*s of type %s is the last filter in a %s filter "
            "chain.",
            STR_ARG(f->name), f->type->ext.name, chain);
    }
    if (f->type->ext.is_terminal && f->is_disabled) {
        return parse_fail(
            ctx, E_INVALID, "disabled",
            "Error: the last (terminal) filter (%.*s) in the chain cannot be disabled "
            "by default.",
            STR_ARG(f->name));
    }
    return 0;
}

static int hcm_parse_filter(struct parse_context *ctx, const char *chain, const HCM(HttpFilter) * m,
                            bool is_last, struct http_filter_config *ret, bool *ret_is_there)
{
    bool is_typed =
        m->config_type_case ==
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    const Google__Protobuf__Any *any = is_typed ? m->typed_config : NULL;
    struct filter_config parsed = {.ext = NULL};
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r < 0) {
        return r;
    }
    if (m->is_optional && !parse_extension_is_known(ctx, EXT_HTTP_FILTER, any)) {
        *ret_is_there = false;
        return 0;
    }
    r = parse_extension(ctx, EXT_HTTP_FILTER, m->name, "typed_config", any, &parsed);
    if (r < 0) {
        return r;
    }
    ret->type = (const struct http_filter_type *)parsed.ext;
    ret->config = parsed.config;
    ret->name = parsed.name;
    ret->is_disabled = m->disabled;
    *ret_is_there = true;
    return hcm_check_position(ctx, chain, ret, is_last);
}

static int hcm_parse_chain(struct parse_context *ctx, const char *field, const char *chain,
                           size_t n, HCM(HttpFilter) *const *m,
                           const struct http_filter_config **ret, size_t *ret_count)
{
    struct http_filter_config *filters =
        ARENA_ARRAY(parse_arena(ctx), struct http_filter_config, n);
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        bool is_there = false;
        int r = hcm_parse_filter(ctx, chain, m[i], i + 1 == n, &filters[count], &is_there);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        count += is_there ? 1 : 0;
    }
    *ret = filters;
    *ret_count = count;
    return 0;
}

static int hcm_parse_filters(struct parse_context *ctx, const hcm_message *m,
                             struct http_conn_manager_config *c)
{
    return hcm_parse_chain(ctx, "http_filters", "http", m->n_http_filters, m->http_filters,
                           &c->filters, &c->filter_count);
}

static int hcm_parse_upgrade(struct parse_context *ctx,
                             const HCM(HttpConnectionManager__UpgradeConfig) * m,
                             const struct http_upgrade_config *earlier, size_t earlier_count,
                             struct http_upgrade_config *ret)
{
    for (size_t i = 0; i < earlier_count; i++) {
        if (str_eq_nocase(earlier[i].type, str_c(m->upgrade_type))) {
            return parse_fail(ctx, E_INVALID, NULL,
                              "Error: multiple upgrade configs with the same name: '%s'",
                              m->upgrade_type);
        }
    }
    ret->type = parse_str(ctx, m->upgrade_type);
    ret->is_enabled = parse_bool_or(m->enabled, true);
    if (m->n_filters == 0) {
        return 0;
    }
    return hcm_parse_chain(ctx, "filters", "http upgrade", m->n_filters, m->filters, &ret->filters,
                           &ret->filter_count);
}

static int hcm_parse_upgrades(struct parse_context *ctx, const hcm_message *m,
                              struct http_conn_manager_config *c)
{
    struct http_upgrade_config *upgrades =
        ARENA_ARRAY(parse_arena(ctx), struct http_upgrade_config, m->n_upgrade_configs);

    for (size_t i = 0; i < m->n_upgrade_configs; i++) {
        size_t at = path_push_index(ctx, "upgrade_configs", i);
        int r = hcm_parse_upgrade(ctx, m->upgrade_configs[i], upgrades, i, &upgrades[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    c->upgrades = upgrades;
    c->upgrade_count = m->n_upgrade_configs;
    return 0;
}

/* --- times and sizes ---------------------------------------------------------------------- */

static int hcm_parse_timeouts(struct parse_context *ctx, const hcm_message *m,
                              struct http_conn_manager_config *c)
{
    const struct {
        const char *field;
        const Google__Protobuf__Duration *value;
        uint64_t absent_ms;
        uint64_t *ret;
    } timeouts[] = {
        {"stream_idle_timeout", m->stream_idle_timeout, STREAM_IDLE_TIMEOUT_DEFAULT_MS,
         &c->stream_idle_timeout_ms},
        {"request_timeout", m->request_timeout, 0, &c->request_timeout_ms},
        {"request_headers_timeout", m->request_headers_timeout, REQUEST_HEADERS_TIMEOUT_DEFAULT_MS,
         &c->request_headers_timeout_ms},
        {"drain_timeout", m->drain_timeout, DRAIN_TIMEOUT_DEFAULT_MS, &c->drain_timeout_ms},
        {"delayed_close_timeout", m->delayed_close_timeout, DELAYED_CLOSE_TIMEOUT_DEFAULT_MS,
         &c->delayed_close_timeout_ms},
    };

    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        int r = parse_ms_or(ctx, timeouts[i].field, timeouts[i].value, DURATION_ANY,
                            timeouts[i].absent_ms, timeouts[i].ret);

        if (r < 0) {
            return r;
        }
    }
    c->http1_safe_max_connection_duration = m->http1_safe_max_connection_duration;
    if (parse_opt_ms(ctx, "stream_flush_timeout", m->stream_flush_timeout, DURATION_ANY,
                     &c->stream_flush_timeout) < 0) {
        return E_INVALID;
    }
    return parse_percent(ctx, "drain_timeout_jitter", m->drain_timeout_jitter,
                         &c->drain_timeout_jitter);
}

static int hcm_parse_versions(struct parse_context *ctx, const hcm_message *m, uint32_t headers_kb,
                              struct http_conn_manager_config *c)
{
    struct opt_bool stream_error = {
        .is_set = m->stream_error_on_invalid_http_message != NULL,
        .value = parse_bool_or(m->stream_error_on_invalid_http_message, false),
    };
    int r = parse_http2_options(ctx, "http2_protocol_options", m->http2_protocol_options, true,
                                stream_error, &c->http2);

    if (r == 0 && m->http2_protocol_options != NULL &&
        parse_u32_or(m->http2_protocol_options->max_header_field_size_kb, 0) > headers_kb) {
        r = parse_fail(ctx, E_INVALID, "http2_protocol_options",
                       "max_header_field_size_kb must not exceed max_request_headers_kb");
    }
    if (r == 0) {
        r = parse_http1_options(ctx, m->http_protocol_options, stream_error.value, &c->http1);
    }
    return r;
}

static int hcm_parse_protocol(struct parse_context *ctx, const hcm_message *m,
                              struct http_conn_manager_config *c)
{
    struct http_options common;
    uint32_t kb = parse_u32_or(m->max_request_headers_kb, MAX_REQUEST_HEADERS_KB_DEFAULT);
    int r = parse_http_options(ctx, "common_http_protocol_options", m->common_http_protocol_options,
                               &common);

    if (r < 0) {
        return r;
    }
    if (common.max_response_headers_kb.is_set) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Error: max_response_headers_kb cannot be set on "
                          "http_connection_manager.");
    }
    if (kb == 0 || kb > MAX_REQUEST_HEADERS_KB_LIMIT) {
        return parse_fail(ctx, E_INVALID, "max_request_headers_kb",
                          "value must be inside range (0, %d]", MAX_REQUEST_HEADERS_KB_LIMIT);
    }
    c->max_request_headers_bytes = kb * 1024;
    c->idle_timeout_ms =
        common.idle_timeout.is_set ? common.idle_timeout.ms : IDLE_TIMEOUT_DEFAULT_MS;
    c->max_connection_duration_ms = common.max_connection_duration.ms; /* unset is 0 */
    c->max_connection_duration_jitter = common.max_connection_duration_jitter;
    c->max_stream_duration_ms = common.max_stream_duration.ms;
    c->max_headers_count = common.max_headers_count.is_set ? common.max_headers_count.value
                                                           : MAX_HEADERS_COUNT_DEFAULT;
    c->max_requests_per_connection = common.max_requests_per_connection.value;
    c->headers_with_underscores = common.headers_with_underscores;
    return hcm_parse_versions(ctx, m, kb, c);
}

static int hcm_parse_codec_type(struct parse_context *ctx, const hcm_message *m,
                                struct http_conn_manager_config *c)
{
    int r = parse_check_enum(ctx, "codec_type", (int)m->codec_type,
                             &HCM_DESCRIPTOR(_codec_type__descriptor));

    if (r < 0) {
        return r;
    }
    switch (m->codec_type) {
    case HCM_ENUM(CODEC_TYPE__AUTO):
        c->codec_type = HTTP_CODEC_AUTO;
        return 0;
    case HCM_ENUM(CODEC_TYPE__HTTP1):
        c->codec_type = HTTP_CODEC_HTTP1;
        return 0;
    case HCM_ENUM(CODEC_TYPE__HTTP2):
        c->codec_type = HTTP_CODEC_HTTP2;
        return 0;
    default:
        return parse_fail(ctx, E_UNSUPPORTED, "codec_type",
                          "HTTP/3 codec configured on non-QUIC listener.");
    }
}

/* --- all of it ---------------------------------------------------------------------------- */

static int hcm_parse_log_options(struct parse_context *ctx, const hcm_message *m,
                                 struct http_conn_manager_config *c)
{
    const HCM(HttpConnectionManager__HcmAccessLogOptions) *o = m->access_log_options;
    size_t at;
    int r;

    if (o == NULL) {
        c->logs_new_requests = m->flush_access_log_on_new_request;
        return parse_ms_or(ctx, "access_log_flush_interval", m->access_log_flush_interval,
                           DURATION_GTE_1MS, 0, &c->log_interval_ms);
    }
    if (m->flush_access_log_on_new_request) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Only one of flush_access_log_on_new_request or access_log_options can "
                          "be specified.");
    }
    if (m->access_log_flush_interval != NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Only one of access_log_flush_interval or access_log_options can be "
                          "specified.");
    }
    c->logs_new_requests = o->flush_access_log_on_new_request;
    c->logs_tunnels = o->flush_log_on_tunnel_successfully_established;
    at = path_push(ctx, "access_log_options");
    r = parse_ms_or(ctx, "access_log_flush_interval", o->access_log_flush_interval,
                    DURATION_GTE_1MS, 0, &c->log_interval_ms);
    path_pop(ctx, at);
    return r;
}

static int hcm_parse_access_logs(struct parse_context *ctx, const hcm_message *m,
                                 struct http_conn_manager_config *c)
{
    int r = hcm_parse_log_options(ctx, m, c);

    return r < 0 ? r
                 : parse_access_logs(ctx, "access_log", m->n_access_log, m->access_log,
                                     &c->access_logs);
}

static int hcm_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                     const void **ret_config)
{
    static hcm_parse_fn *const pieces[] = {
        hcm_parse_codec_type,     hcm_parse_protocol,    hcm_parse_timeouts,    hcm_parse_headers,
        hcm_parse_client_address, hcm_parse_client_cert, hcm_parse_request_id,  hcm_parse_filters,
        hcm_parse_upgrades,       hcm_parse_access_logs, hcm_parse_local_reply, hcm_parse_host,
        hcm_parse_path,           hcm_parse_routes,
    };
    const hcm_message *m = (const hcm_message *)msg;
    struct http_conn_manager_config *c =
        ARENA_NEW(parse_arena(ctx), struct http_conn_manager_config);
    int r = parse_check_not_empty(ctx, "stat_prefix", m->stat_prefix);

    c->stat_prefix = parse_str(ctx, m->stat_prefix);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(pieces); i++) {
        r = pieces[i](ctx, m, c);
    }
    if (r < 0) {
        return r;
    }
    hcm_make_scopes(ctx, c);
    *ret_config = c;
    return 0;
}

/* --- the network filter ------------------------------------------------------------------- */

static int hcm_open(struct network_filter *f)
{
    struct listener_connection *lc = f->lc;

    f->state = conn_manager_new(f->config, lc->thread, lc->conn, lc, lc->buffer_limit_bytes);
    return 0;
}

static enum network_filter_status hcm_on_data(struct network_filter *f, struct buf *in,
                                              bool end_stream)
{
    conn_manager_on_data(f->state, in, end_stream);
    return NETWORK_FILTER_STOP;
}

static void hcm_on_watermark(struct network_filter *f, bool is_above)
{
    conn_manager_on_watermark(f->state, is_above);
}

static void hcm_on_timeouts_scaled(struct network_filter *f)
{
    conn_manager_on_timeouts_scaled(f->state);
}

static size_t hcm_reset_streams(struct network_filter *f, uint64_t min_bytes, size_t most)
{
    return conn_manager_reset_streams(f->state, min_bytes, most);
}

static void hcm_on_drain(struct network_filter *f)
{
    conn_manager_on_drain(f->state);
}

static void hcm_on_closed(struct network_filter *f, enum conn_close_cause cause)
{
    conn_manager_on_closed(f->state, cause);
    f->state = NULL;
}

const struct network_filter_type network_filter_http_connection_manager = {
    .ext =
        {
            .name = "envoy.filters.network.http_connection_manager",
            .category = EXT_NETWORK_FILTER,
            .is_terminal = true,
            .descriptor = &HCM_DESCRIPTOR(_descriptor),
            .parse = hcm_parse,
        },
    .open = hcm_open,
    .on_data = hcm_on_data,
    .on_watermark = hcm_on_watermark,
    .on_drain = hcm_on_drain,
    .on_timeouts_scaled = hcm_on_timeouts_scaled,
    .reset_streams = hcm_reset_streams,
    .on_closed = hcm_on_closed,
};
