/*
 * The router: the terminal filter, and the only bridge between http/ and upstream/. Takes the
 * request's cluster and host, sets the timeout, passes the request on (upstream_request.c), and
 * turns what goes wrong into Envoy's answers. A worker's thread, but for router_parse.
 *
 * Trust: everything of the request and of the response comes from peers; x-envoy-* headers of
 * untrusted clients were removed by http/forwarding.c.
 * Buffers: while there is no connection yet, the request's body up to the stream's buffer limit,
 * above which the client is not read; otherwise bodies pass through.
 * Differs from Envoy: no retries, hedging, shadowing, internal redirects or CONNECT yet; no
 * per-zone or virtual-cluster series; start_child_span means nothing without tracing.
 */

#include "dataplane/extensions/filters/http/router/router.h"

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager_stats.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/host.h"
#include "proto/envoy/extensions/filters/http/router/v3/router.pb-c.h"

#define TIMEOUT_DEFAULT_MS 15000

/* --- Time is up ----------------------------------------------------------------------------------
 */

static void router_on_timeout(struct timer *t)
{
    struct router *r = container_of(t, struct router, timer);
    struct stat_block *stats = cluster_stats(r->cluster);
    bool is_awaiting_head = r->response_status == 0;

    stat_inc(stats, r->is_per_try_timeout ? CLUSTER_UPSTREAM_RQ_PER_TRY_TIMEOUT
                                          : CLUSTER_UPSTREAM_RQ_TIMEOUT);
    if (r->has_host_info) {
        host_stat_add(r->host, HOST_RQ_TIMEOUT, 1);
        if (is_awaiting_head) {
            host_stat_add(r->host, HOST_RQ_ERROR, 1);
        }
    }
    if (is_awaiting_head && !r->is_response_started) {
        router_charge_code(r, (unsigned)r->timeout_status, r->has_host_info ? r->host : NULL);
    }
    upstream_request_reset(r);
    router_abort(r, r->timeout_status,
                 r->timeout_status == 504 ? STR("upstream request timeout") : STR(""), false,
                 FLAG_UPSTREAM_REQUEST_TIMEOUT,
                 r->is_per_try_timeout ? STR("upstream_per_try_timeout") : STR("response_timeout"));
}

static void router_on_max_duration(struct timer *t)
{
    struct router *r = container_of(t, struct router, duration_timer);

    stat_inc(cluster_stats(r->cluster), CLUSTER_UPSTREAM_RQ_MAX_DURATION_REACHED);
    upstream_request_reset(r);
    router_abort(
        r, r->request_done_ns != 0 ? 504 : 408, STR("upstream max stream duration reached"), false,
        FLAG_UPSTREAM_MAX_STREAM_DURATION_REACHED, STR("upstream_max_stream_duration_reached"));
}

/* --- Where to ------------------------------------------------------------------------------------
 */

/* NULL: there is no such cluster. `ret_name` lives as long as the stream. */
static struct cluster *router_find_cluster(struct http_filter *f, const struct route_forward *fwd,
                                           const struct header_map *h, struct str *ret_name)
{
    struct cluster_manager *cm = http_filter_thread(f)->clusters;
    const struct weighted_cluster *w = http_filter_weighted_cluster(f);
    struct str header = w != NULL ? w->cluster_header : fwd->cluster_header;
    const struct header *value;

    if (header.len == 0) {
        *ret_name = w != NULL ? w->name : fwd->cluster_name;
        return cluster_manager_get(cm, w != NULL ? w->slot : fwd->cluster_slot);
    }
    value = header_find_name(h, header);
    *ret_name = value != NULL ? value->value : STR("");
    return cluster_manager_find(cm, *ret_name);
}

static void router_note_cluster(struct http_filter *f, const struct cluster *c, struct str name)
{
    struct stream_info *info = http_filter_info(f);
    struct str stat_name = cluster_config_of(c)->stat_name;

    info->upstream_cluster_raw = name;
    info->upstream_cluster =
        str_eq(stat_name, name) ? name : arena_str(http_filter_arena(f), stat_name);
}

/* --- Timeouts and x-envoy-*
 * ------------------------------------------------------------------------ */

/* Takes a number out of the request; false when it is not there, or no number (ignored then). */
static bool router_take_ms(struct header_map *h, enum header_id id, uint64_t *ret_ms)
{
    bool is_number;

    if (!header_has(h, id)) {
        return false;
    }
    is_number = parse_u64(header_get(h, id), ret_ms) == 0;
    (void)header_remove(h, id);
    return is_number;
}

static struct str router_format(struct router *r, uint64_t v)
{
    char *digits = arena_alloc(http_filter_arena(r->filter), U64_DIGITS);

    return str_n(digits, format_u64(v, digits));
}

/* As Envoy: the header before the route; a time per try counts where it is the shorter. */
static void router_set_timeout(struct router *r, struct header_map *h)
{
    const struct opt_ms *configured = &r->forward->timeout;
    const struct opt_ms *duration = &cluster_config_of(r->cluster)->max_stream_duration;
    uint64_t per_try_ms = 0;

    r->timeout_ms = configured->is_set ? configured->ms : TIMEOUT_DEFAULT_MS;
    (void)router_take_ms(h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, &r->timeout_ms);
    (void)router_take_ms(h, HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, &per_try_ms);
    if (per_try_ms > 0 && (per_try_ms < r->timeout_ms || r->timeout_ms == 0)) {
        r->timeout_ms = per_try_ms;
        r->is_per_try_timeout = true;
    }
    if (r->timeout_ms > 0 && !r->config->suppresses_envoy_headers) {
        header_set(h, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, router_format(r, r->timeout_ms));
    }
    r->max_duration_ms = duration->is_set ? duration->ms : 0;
    (void)router_take_ms(h, HDR_X_ENVOY_UPSTREAM_STREAM_DURATION_MS, &r->max_duration_ms);
    r->timeout_status = 504;
    if (header_remove(h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE) > 0) {
        r->timeout_status = 204;
    }
}

/* Headers that are for the router alone. */
static void router_strip(struct header_map *h)
{
    static const enum header_id ours[] = {
        HDR_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
        HDR_X_ENVOY_MAX_RETRIES,
        HDR_X_ENVOY_RETRIABLE_HEADER_NAMES,
        HDR_X_ENVOY_RETRIABLE_STATUS_CODES,
        HDR_X_ENVOY_RETRY_GRPC_ON,
        HDR_X_ENVOY_RETRY_ON,
        HDR_X_ENVOY_UPSTREAM_ALT_STAT_NAME,
    };

    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (header_has(h, ours[i])) {
            (void)header_remove(h, ours[i]);
        }
    }
}

static void router_prepare_headers(struct router *r, struct header_map *h)
{
    const struct virtual_host *vh = http_filter_virtual_host(r->filter);

    router_strip(h);
    router_set_timeout(r, h);
    if (vh != NULL && vh->include_request_attempt_count) {
        header_set(h, HDR_X_ENVOY_ATTEMPT_COUNT, STR("1"));
    }
    http_filter_info(r->filter)->attempt_count = 1;
    http_filter_finalize_request(r->filter, !r->config->suppresses_envoy_headers);
    if (r->forward->auto_host_rewrite && host_name(r->host).len > 0) {
        http_filter_rewrite_host(r->filter,
                                 arena_str(http_filter_arena(r->filter), host_name(r->host)),
                                 !r->config->suppresses_envoy_headers);
    }
}

/* --- The filter
 * ------------------------------------------------------------------------------------ */

/* The client's request is complete: the response's time starts. */
static void router_request_done(struct router *r)
{
    struct stream_info *info = http_filter_info(r->filter);
    uint64_t hint_ns = info->last_rx_byte_ns != 0 ? info->last_rx_byte_ns : info->start_mono_ns;

    r->request_done_ns = router_now_ns(r, hint_ns);
    if (r->timeout_ms > 0 && (r->upstream != NULL || r->is_waiting)) {
        timer_arm(router_loop(r), &r->timer, r->timeout_ms);
    }
}

static void router_no_cluster(struct router *r)
{
    int status = r->forward->cluster_not_found_status;

    http_filter_count(r->filter, CM_ROUTER_NO_CLUSTER);
    http_filter_local_reply(r->filter, status != 0 ? status : 503, STR(""), NULL,
                            FLAG_NO_CLUSTER_FOUND, STR("cluster_not_found"));
}

static void router_no_host(struct router *r)
{
    router_charge_code(r, 503, NULL);
    http_filter_local_reply(r->filter, 503, STR("no healthy upstream"), NULL,
                            FLAG_NO_HEALTHY_UPSTREAM, STR("no_healthy_upstream"));
}

static enum filter_status router_decode_headers(struct http_filter *f, struct header_map *h,
                                                bool end_stream)
{
    struct router *r = f->state;
    struct lb_context lb = {.priority = PRIORITY_DEFAULT};
    bool was_answered = false;
    struct str name;

    r->filter = f;
    r->config = f->config;
    timer_init(&r->timer, router_on_timeout);
    timer_init(&r->duration_timer, router_on_max_duration);
    buf_init(&r->body, &router_loop(r)->bufs);
    if (http_filter_answer_from_route(f) != ROUTE_ANSWER_NONE) {
        return FILTER_STOP;
    }
    r->forward = &http_filter_route(f)->forward;
    r->cluster = router_find_cluster(f, r->forward, h, &name);
    if (r->cluster == NULL) {
        router_no_cluster(r);
        return FILTER_STOP;
    }
    cluster_ref(r->cluster);
    router_note_cluster(f, r->cluster, name);
    r->is_internal = str_eq(header_get(h, HDR_X_ENVOY_INTERNAL), STR("true"));
    lb.priority = r->forward->priority;
    r->host = cluster_pick(r->cluster, &lb);
    if (r->host == NULL) {
        router_no_host(r);
        return FILTER_STOP;
    }
    router_prepare_headers(r, h);
    r->has_end_stream = end_stream;
    r->was_answered = &was_answered;
    upstream_request_start(r);
    if (was_answered) {
        return FILTER_STOP; /* `r` may be gone */
    }
    r->was_answered = NULL;
    if (end_stream) {
        router_request_done(r);
    }
    return FILTER_CONTINUE;
}

static enum filter_status router_decode_data(struct http_filter *f, struct buf *data,
                                             bool end_stream)
{
    struct router *r = f->state;

    upstream_request_data(r, data, end_stream);
    if (end_stream) {
        router_request_done(r);
    }
    return FILTER_CONTINUE;
}

static enum filter_status router_decode_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct router *r = f->state;

    upstream_request_trailers(r, trailers);
    router_request_done(r);
    return FILTER_CONTINUE;
}

static void router_on_downstream_watermark(struct http_filter *f, bool is_above)
{
    struct router *r = f->state;

    if (r->upstream != NULL) {
        stat_inc(cluster_stats(r->cluster),
                 is_above ? CLUSTER_UPSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL
                          : CLUSTER_UPSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL);
        r->upstream->ops->read_disable(r->upstream, is_above);
    }
}

/* As Envoy: the log names the route's cluster also where the request was answered before it came
 * this far. */
static void router_note_cluster_of_route(struct http_filter *f)
{
    const struct route *route = http_filter_route(f);
    const struct cluster *c;
    struct str name;

    if (route != NULL && route->action == ROUTE_FORWARD) {
        c = router_find_cluster(f, &route->forward, http_filter_request_headers(f), &name);
        if (c != NULL) {
            router_note_cluster(f, c, name);
        }
    }
}

/* Before the access log, so that it has the bytes of a request that is given up. */
static void router_on_stream_complete(struct http_filter *f)
{
    struct router *r = f->state;

    if (r->filter != NULL) {
        upstream_request_reset(r);
    } else {
        router_note_cluster_of_route(f);
    }
}
static void router_on_destroy(struct http_filter *f)
{
    struct router *r = f->state;

    if (r->filter == NULL) {
        return; /* the request never came this far */
    }
    timer_cancel(router_loop(r), &r->timer);
    timer_cancel(router_loop(r), &r->duration_timer);
    upstream_request_reset(r);
    buf_reset(&r->body);
    host_unref(r->host);
    cluster_unref(r->cluster);
    r->host = NULL;
    r->cluster = NULL;
}

static int router_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                        const void **ret_config)
{
    const Envoy__Extensions__Filters__Http__Router__V3__Router *m =
        (const Envoy__Extensions__Filters__Http__Router__V3__Router *)msg;
    struct router_config *c = ARENA_NEW(parse_arena(ctx), struct router_config);

    c->counts_codes = parse_bool_or(m->dynamic_stats, true);
    c->suppresses_envoy_headers = m->suppress_envoy_headers;
    *ret_config = c;
    return 0;
}

const struct http_filter_type http_filter_router = {
    .ext =
        {
            .name = "envoy.filters.http.router",
            .category = EXT_HTTP_FILTER,
            .is_terminal = true,
            .descriptor = &envoy__extensions__filters__http__router__v3__router__descriptor,
            .parse = router_parse,
        },
    .stream_size = sizeof(struct router),
    .decode_headers = router_decode_headers,
    .decode_data = router_decode_data,
    .decode_trailers = router_decode_trailers,
    .on_downstream_watermark = router_on_downstream_watermark,
    .on_stream_complete = router_on_stream_complete,
    .on_destroy = router_on_destroy,
};
