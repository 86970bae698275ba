/*
 * The router: the terminal filter, and the only bridge between http/ and upstream/. Takes the
 * request's cluster and host, sets the timeouts (timeouts.c), passes the request on
 * (upstream_request.c), tries again where that is safe (attempts.c, retry_state.c), turns what goes
 * wrong into Envoy's answers (reply.c), and tells of each attempt (upstream_log.c). A worker's
 * thread, but for router_parse.
 *
 * Trust: everything of the request and of the response comes from peers; x-envoy-* headers of
 * untrusted clients were removed by http/forwarding.c.
 * Buffers: while there is no connection yet, the request's body up to the stream's buffer limit,
 * above which the client is not read; towards HTTP/2, what was sent up to the same limit until the
 * response begins, by reference; otherwise bodies pass through.
 * Differs from Envoy: a request that an HTTP/2 peer provably did not process is replayed once
 * without a retry policy; no retry policies, hedging, shadowing or internal redirects yet; no
 * per-zone series; start_child_span means nothing without tracing.
 */

#include "dataplane/extensions/filters/http/router/router.h"

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/log_filter.h"
#include "dataplane/base/clock.h"
#include "dataplane/http/conn_manager_stats.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/host.h"
#include "proto/envoy/extensions/filters/http/router/v3/router.pb-c.h"

/* --- Time is up ----------------------------------------------------------------------------------
 */

static void router_on_timeout(struct timer *t)
{
    struct router *r = container_of(t, struct router, timer);
    struct upstream_request *rq = &r->request;

    if (upstream_request_is_active(rq)) { /* else another attempt was about to start */
        stat_inc(cluster_stats(r->cluster), CLUSTER_UPSTREAM_RQ_TIMEOUT);
        route_series_count(&r->series, ROUTE_STAT_RQ_TIMEOUT);
        if (rq->is_host_charged) {
            host_stat_add(rq->host, HOST_RQ_TIMEOUT, 1);
        }
        if (rq->response_status == 0) {
            rq->is_timed_out = true;
            router_charge_abort(r, (unsigned)r->timeouts.status);
        }
    }
    router_record_budget(r, clock_mono_ns());
    upstream_request_reset(rq);
    router_abort(r, r->timeouts.status,
                 r->timeouts.status == 504 ? STR("upstream request timeout") : STR(""), false,
                 FLAG_UPSTREAM_REQUEST_TIMEOUT, STR("response_timeout"));
}

/* --- Where to ------------------------------------------------------------------------------------
 */

/* NULL: there is no such cluster. `ret_name` lives as long as the stream. */
static struct cluster *router_find_cluster(struct http_filter *f, const struct route_forward *fwd,
                                           const struct header_map *h, struct str *ret_name)
{
    return cluster_manager_routed(http_filter_thread(f)->clusters, fwd,
                                  http_filter_weighted_cluster(f), h, ret_name);
}

static void router_note_cluster(struct http_filter *f, const struct cluster *c, struct str name)
{
    struct stream_info *info = http_filter_info(f);
    struct str stat_name = cluster_config_of(c)->stat_name;

    info->upstream_cluster_raw = name;
    info->upstream_cluster =
        str_eq(stat_name, name) ? name : arena_str(http_filter_arena(f), stat_name);
    info->cluster_metadata = cluster_config_of(c)->metadata;
}

/* As Envoy: from the headers as they are before the route changes them, and only of requests whose
 * cluster is there. */
static void router_find_series(struct router *r, const struct header_map *h)
{
    const struct virtual_host *vh = http_filter_virtual_host(r->filter);
    const struct route *route = http_filter_route(r->filter);
    int worker = router_loop(r)->index;

    if (NUNCIO_UNLIKELY(vh != NULL && vh->virtual_cluster_count > 0)) {
        const struct virtual_cluster *vc = virtual_cluster_find(vh, h);

        http_filter_info(r->filter)->virtual_cluster_name = vc->name;
        route_series_add(&r->series, vc->stats, worker);
    }
    if (NUNCIO_UNLIKELY(route->stats != NULL)) {
        route_series_add(&r->series, route->stats, worker);
    }
}

/* --- Timeouts and x-envoy-*
 * ------------------------------------------------------------------------ */

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

/* As Envoy: before a host is chosen, so that the log shows it also where there is none. */
static void router_prepare_headers(struct router *r, struct header_map *h)
{
    router_strip(h);
    router_note_transport_header(r, h);
    request_timeouts_take(&r->timeouts, r->forward, cluster_config_of(r->cluster), r->is_grpc,
                          r->config->respects_expected_timeout, h);
    request_timeouts_write(&r->timeouts, 0, !r->config->suppresses_envoy_headers, h);
    router_write_attempt(r, h);
    http_filter_finalize_request(r->filter, !r->config->suppresses_envoy_headers);
    router_choose_transport(r, h);
}

/* --- The filter
 * ------------------------------------------------------------------------------------ */

static bool router_is_pending(const struct router *r)
{
    return upstream_request_is_active(&r->request) || list_is_linked(&r->retry_task.node);
}

static void router_arm_timer(struct router *r)
{
    if (r->timeouts.response_ms > 0) {
        timer_arm(router_loop(r), &r->timer, r->timeouts.response_ms);
    }
}

/* The client's request is complete: the response's time starts. */
static void router_request_done(struct router *r)
{
    struct stream_info *info = http_filter_info(r->filter);
    uint64_t hint_ns = info->last_rx_byte_ns != 0 ? info->last_rx_byte_ns : info->start_mono_ns;

    r->request_done_ns = router_now_ns(r, hint_ns);
    if (!router_is_pending(r)) {
        return;
    }
    router_arm_timer(r);
    upstream_request_all_received(&r->request);
}

static void router_no_cluster(struct router *r)
{
    int status = r->forward->cluster_not_found_status;

    http_filter_count(r->filter, CM_ROUTER_NO_CLUSTER);
    http_filter_local_reply(r->filter, status != 0 ? status : 503, STR(""), NULL,
                            FLAG_NO_CLUSTER_FOUND, STR("cluster_not_found"));
}

static void router_init(struct router *r, struct http_filter *f)
{
    r->filter = f;
    r->config = f->config;
    timer_init(&r->timer, router_on_timeout);
    buf_init(&r->body, &router_loop(r)->bufs);
    r->is_body_whole = true;
    router_attempts_init(r);
}

/* As Envoy, whose codec refuses to write it. */
static void router_refuse_invalid(struct router *r, const struct header *h)
{
    struct arena *a = http_filter_arena(r->filter);
    const struct str words[] = {STR("invalid header value for: "), h->name};
    const struct str details[] = {
        STR("filter_removed_required_request_headers{invalid_header_value_for:_"), h->name,
        STR("}")};

    http_filter_local_reply(r->filter, 503, arena_concat(a, words, ARRAY_LEN(words)), NULL,
                            FLAG_DOWNSTREAM_PROTOCOL_ERROR,
                            arena_concat(a, details, ARRAY_LEN(details)));
}

static void router_allow_replays(struct router *r)
{
    const struct thread_context *t = http_filter_thread(r->filter);

    retry_state_init(&r->retry, r->cluster, r->forward->priority, &r->series);
    if (!r->is_tunnel && runtime_replays_unprocessed_streams(t)) {
        retry_state_allow(&r->retry, REPLAY_UNPROCESSED);
    }
    if (!r->is_tunnel && runtime_replays_raced_requests(t)) {
        retry_state_allow(&r->retry, REPLAY_RACED);
    }
}

/* False: it was answered, and `r` may be gone. */
static bool router_forward(struct router *r, struct header_map *h, bool end_stream)
{
    bool was_answered = false;
    const struct header *invalid;
    struct host *host;

    r->is_internal = str_eq(header_get(h, HDR_X_ENVOY_INTERNAL), STR("true"));
    r->is_grpc = grpc_is_request(h);
    r->is_tunnel = str_eq(header_get(h, HDR_METHOD), STR("CONNECT")) || forwarding_is_upgrade(h);
    r->is_websocket = r->is_tunnel && str_eq_nocase(header_get(h, HDR_UPGRADE), STR("websocket"));
    router_prepare_headers(r, h);
    host = router_pick_host(r);
    if (host == NULL) {
        router_charge_code(r, 503, NULL);
        http_filter_local_reply(r->filter, 503, STR("no healthy upstream"), NULL,
                                FLAG_NO_HEALTHY_UPSTREAM, STR("no_healthy_upstream"));
        return false;
    }
    router_write_scheme(r, host, h);
    router_rewrite_host(r, host);
    invalid = header_find_invalid(h);
    if (NUNCIO_UNLIKELY(invalid != NULL)) {
        host_unref(host);
        router_refuse_invalid(r, invalid);
        return false;
    }
    router_allow_replays(r);
    r->has_end_stream = end_stream;
    r->was_answered = &was_answered;
    upstream_request_start(&r->request, host);
    if (was_answered) {
        return false;
    }
    r->was_answered = NULL;
    if (r->is_websocket) {
        router_arm_timer(r); /* as Envoy: of all tunnels these alone, until they are accepted */
    }
    return true;
}

static enum filter_status router_decode_headers(struct http_filter *f, struct header_map *h,
                                                bool end_stream)
{
    struct router *r = f->state;
    struct str name;

    router_init(r, f);
    if (http_filter_answer_from_route(f, !r->config->suppresses_envoy_headers) !=
        ROUTE_ANSWER_NONE) {
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
    router_find_series(r, h);
    if (!router_forward(r, h, end_stream)) {
        return FILTER_STOP;
    }
    if (end_stream) {
        router_request_done(r);
    }
    return FILTER_CONTINUE;
}

static enum filter_status router_decode_data(struct http_filter *f, struct buf *data,
                                             bool end_stream)
{
    struct router *r = f->state;

    r->has_end_stream = end_stream;
    if (router_is_pending(r)) {
        upstream_request_data(&r->request, data, end_stream);
    } else { /* answered before the request was complete */
        buf_reset(data);
    }
    if (end_stream) {
        router_request_done(r);
    }
    return FILTER_CONTINUE;
}

static enum filter_status router_decode_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct router *r = f->state;

    r->has_end_stream = true;
    r->trailers = trailers;
    upstream_request_trailers(&r->request, trailers);
    router_request_done(r);
    return FILTER_CONTINUE;
}

static void router_on_downstream_watermark(struct http_filter *f, bool is_above)
{
    struct router *r = f->state;
    struct codec_stream *upstream = r->request.stream;

    r->is_downstream_saturated = is_above;
    if (upstream != NULL) {
        stat_inc(cluster_stats(r->cluster),
                 is_above ? CLUSTER_UPSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL
                          : CLUSTER_UPSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL);
        upstream->ops->read_disable(upstream, is_above);
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

/* Nobody is to be answered any more. */
static void router_give_up(struct router *r)
{
    timer_cancel(router_loop(r), &r->timer);
    loop_task_cancel(&r->retry_task);
    upstream_request_reset(&r->request);
}

/* Before the access log, so that it has the bytes of a request that is given up. */
static void router_on_stream_complete(struct http_filter *f)
{
    struct router *r = f->state;

    if (r->filter != NULL) {
        router_give_up(r);
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
    router_give_up(r);
    if (r->retry.cluster != NULL) {
        retry_state_done(&r->retry);
    }
    buf_reset(&r->body);
    host_unref(r->request.host);
    cluster_unref(r->cluster);
    r->request.host = NULL;
    r->cluster = NULL;
}

static int router_parse_upstream_log(struct parse_context *ctx,
                                     const Envoy__Extensions__Filters__Http__Router__V3__Router *m,
                                     struct upstream_log_config *ret)
{
    const Envoy__Extensions__Filters__Http__Router__V3__Router__UpstreamAccessLogOptions *o =
        m->upstream_log_options;
    size_t at;
    int r = parse_access_logs(ctx, "upstream_log", m->n_upstream_log, m->upstream_log, &ret->logs);

    if (r < 0 || o == NULL) {
        return r;
    }
    ret->logs_connected = o->flush_upstream_log_on_upstream_stream;
    at = path_push(ctx, "upstream_log_options");
    r = parse_ms_or(ctx, "upstream_log_flush_interval", o->upstream_log_flush_interval,
                    DURATION_GTE_1MS, 0, &ret->interval_ms);
    path_pop(ctx, at);
    return r;
}

static int router_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                        const void **ret_config)
{
    const Envoy__Extensions__Filters__Http__Router__V3__Router *m =
        (const Envoy__Extensions__Filters__Http__Router__V3__Router *)msg;
    struct router_config *c = ARENA_NEW(parse_arena(ctx), struct router_config);

    c->counts_codes = parse_bool_or(m->dynamic_stats, true);
    c->suppresses_envoy_headers = m->suppress_envoy_headers;
    c->respects_expected_timeout = m->respect_expected_rq_timeout;
    c->excludes_grpc_codes = m->suppress_grpc_request_failure_code_stats;
    *ret_config = c;
    return router_parse_upstream_log(ctx, m, &c->upstream_log);
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
