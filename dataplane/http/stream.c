/*
 * A request's life: what happens to its head in which order, then its body, its deadlines, its
 * end. Sending the response is stream_response.c; running filters is filter_chain.c.
 */

#include "dataplane/http/stream.h"

#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/early_mutation.h"
#include "dataplane/http/filter_chain.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/host.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/overload.h"
#include "dataplane/http/path.h"
#include "dataplane/http/stream_duration.h"
#include "dataplane/http/stream_internal.h"
#include "dataplane/http/upgrade.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/grpc_status.h"

#define NS_PER_MS UINT64_C(1000000)
#define PREMATURE_NS                                                                               \
    (1000 * NS_PER_MS) /* a stream that is reset sooner was perhaps never meant                    \
                        */

struct http_stream *stream_from(void *p)
{
    struct http_stream *s = p;

    CHECK(s->magic == HTTP_STREAM_MAGIC);
    return s;
}

struct loop *stream_loop(const struct http_stream *s)
{
    return s->cm->thread->loop;
}

uint64_t stream_coarse_ns(const struct http_stream *s)
{
    uint64_t now = loop_now_ms(stream_loop(s)) * NS_PER_MS;

    return now > s->info.start_mono_ns ? now : s->info.start_mono_ns;
}

struct access_log_entry stream_log_entry(const struct http_stream *s)
{
    return (struct access_log_entry){
        .info = &s->info,
        .request_headers = s->has_head ? &s->request_headers : NULL,
        .response_headers = s->response_headers,
        .response_trailers = s->response_trailers,
    };
}

/* --- deadlines ---------------------------------------------------------------------------- */

static uint64_t deadline_in(const struct http_stream *s, uint64_t timeout_ms)
{
    return timeout_ms > 0 ? loop_now_ms(stream_loop(s)) + timeout_ms : NO_DEADLINE;
}

/* Something moved: the idle deadline moves on. Cheap: see conn_manager.h. */
void stream_touch(struct http_stream *s)
{
    if (s->idle_timeout_ms > 0) {
        s->idle_deadline_ms = loop_now_ms(stream_loop(s)) + s->idle_timeout_ms;
    }
}

void stream_await_flush(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;
    const struct opt_ms *own =
        s->flush_timeout.is_set ? &s->flush_timeout : &c->stream_flush_timeout;
    uint64_t ms = own->is_set ? own->ms : c->stream_idle_timeout_ms;

    if (ms == s->idle_timeout_ms) { /* the usual case: nothing to be watched anew */
        stream_touch(s);
        return;
    }
    s->idle_timeout_ms = ms;
    s->idle_deadline_ms = deadline_in(s, ms);
    conn_manager_watch_deadline(s->cm, s->idle_deadline_ms);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t stream_next_deadline(const struct http_stream *s)
{
    return earlier(earlier(s->head_deadline_ms, s->request_deadline_ms),
                   earlier(s->duration_deadline_ms, stream_idle_due(s)));
}

/* As Envoy: the client is late (408), or the request was complete and it is us (504). */
static int stream_timeout_status(const struct http_stream *s)
{
    return s->is_request_complete ? 504 : 408;
}

/* The client does not take the end of its response. */
static void stream_flush_timed_out(struct http_stream *s)
{
    if (s->cm->http2_stats != NULL) {
        stat_inc(s->cm->http2_stats, H2_TX_FLUSH_TIMEOUT);
    }
    s->codec->ops->reset(s->codec, RESET_LOCAL); /* ends it */
}

void stream_check_deadlines(struct http_stream *s, uint64_t now_ms)
{
    struct local_reply reply = {.status = stream_timeout_status(s)};

    if (s->response == RESPONSE_COMPLETE) {
        stream_flush_timed_out(s);
        return;
    }
    if (s->head_deadline_ms <= now_ms) {
        s->head_deadline_ms = NO_DEADLINE;
        conn_manager_count(s->cm, CM_RQ_HEADER_TIMEOUT);
        reply.body = STR("request header timeout");
        reply.details = STR("request_header_timeout");
    } else if (s->request_deadline_ms <= now_ms) {
        s->request_deadline_ms = NO_DEADLINE;
        conn_manager_count(s->cm, CM_RQ_TIMEOUT);
        reply.body = STR("request timeout");
        reply.details = STR("request_overall_timeout");
    } else if (s->duration_deadline_ms <= now_ms) {
        s->duration_deadline_ms = NO_DEADLINE;
        conn_manager_count(s->cm, CM_RQ_MAX_DURATION_REACHED);
        reply.body = STR("downstream duration timeout");
        reply.details = STR("max_duration_timeout");
        reply.has_grpc_status = true;
        reply.grpc_status = GRPC_STATUS_DEADLINE_EXCEEDED;
    } else if (stream_idle_due(s) <= now_ms) {
        s->idle_deadline_ms = NO_DEADLINE;
        conn_manager_count(s->cm, CM_RQ_IDLE_TIMEOUT);
        stream_info_set_flag(&s->info, FLAG_STREAM_IDLE_TIMEOUT);
        reply.body = STR("stream timeout");
        reply.details = STR("stream_idle_timeout");
    } else {
        return;
    }
    stream_local_reply(s, &reply);
}

/* --- routes ------------------------------------------------------------------------------- */

/* The table of this moment, kept for the rest of the stream. */
static void stream_pin_table(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;
    struct part_handle *h;

    if (c->inline_routes != NULL) {
        s->table = c->inline_routes;
        return;
    }
    h = part_table_get(s->cm->thread->parts, PART_ROUTE_TABLE, c->route_slot);
    if (h != NULL) {
        part_handle_ref(h);
        s->table_pin = h;
        s->table = (const struct route_config *)h->part;
    }
}

/* From the stream's start on, also when the route is chosen anew. */
static void stream_limit_duration(struct http_stream *s, const struct route_forward *f)
{
    uint64_t ms;

    s->duration_deadline_ms = NO_DEADLINE;
    if (stream_duration_decide(f, s->cm->config->max_stream_duration_ms, &s->request_headers,
                               &ms)) {
        s->duration_deadline_ms = s->info.start_mono_ns / NS_PER_MS + ms;
        conn_manager_watch_deadline(s->cm, s->duration_deadline_ms);
    }
}

/* What the route says about the stream as a whole. */
static void stream_apply_route(struct http_stream *s)
{
    const struct route *r = s->match.route;

    if (r == NULL) {
        return;
    }
    s->info.route_name = r->name;
    s->info.route_metadata = r->metadata;
    s->info.virtual_host_metadata = s->match.vhost != NULL ? s->match.vhost->metadata : NULL;
    if (r->action == ROUTE_FORWARD) {
        stream_limit_duration(s, &r->forward);
    }
    s->flush_timeout = r->action == ROUTE_FORWARD ? r->forward.flush_timeout : (struct opt_ms){0};
    if (r->action == ROUTE_FORWARD && r->forward.idle_timeout.is_set) {
        s->idle_timeout_ms = r->forward.idle_timeout.ms;
        s->idle_deadline_ms = NO_DEADLINE;
        stream_touch(s);
        conn_manager_watch_deadline(s->cm, s->idle_deadline_ms);
    }
}

const struct route *stream_route(struct http_stream *s)
{
    if (!s->has_route) {
        s->has_route = true;
        s->match = (struct route_match){0};
        if (s->table != NULL && s->has_head) {
            route_find(s->table,
                       &(struct route_request){.headers = &s->request_headers,
                                               .thread = s->cm->thread,
                                               .random = s->random},
                       &s->match);
            stream_apply_route(s);
        }
    }
    return s->match.route;
}

/* --- the head, step by step --------------------------------------------------------------- */

/* True: on to the next step. False: it was answered, or is over. */
typedef bool request_step_fn(struct http_stream *s);

struct request_step {
    const char *name;
    request_step_fn *run;
};

static bool refuse(struct http_stream *s, int status, struct str details)
{
    stream_local_reply(s, &(struct local_reply){.status = status, .details = details});
    return false;
}

static bool step_expect(struct http_stream *s)
{
    struct header_map h;

    if (s->cm->config->proxy_100_continue || !header_has(&s->request_headers, HDR_EXPECT) ||
        !str_eq_nocase(header_get(&s->request_headers, HDR_EXPECT), STR("100-continue"))) {
        return true;
    }
    /* As Envoy: past the filters, and counted as a response. */
    header_map_init(&h, &s->arena);
    header_add(&h, HDR_STATUS, STR("100"));
    s->info.response_code = 100;
    conn_manager_count_response(s->cm, 100);
    s->codec->ops->encode_1xx(s->codec, &h);
    (void)header_remove(&s->request_headers, HDR_EXPECT);
    return !stream_has_ended(s);
}

/* As Envoy (draft-ietf-httpbis-safe-method-w-body): what a QUERY asks is in its content. */
static bool step_method(struct http_stream *s)
{
    const struct header_map *h = &s->request_headers;

    return !str_eq(header_get(h, HDR_METHOD), STR("QUERY")) ||
                   header_get(h, HDR_CONTENT_TYPE).len > 0
               ? true
               : refuse(s, 400, STR("query_missing_content_type"));
}

static bool step_host(struct http_stream *s)
{
    return header_has(&s->request_headers, HDR_AUTHORITY)
               ? true
               : refuse(s, 400, STR("missing_host_header"));
}

static bool stream_is_connect(const struct http_stream *s)
{
    return str_eq(header_get(&s->request_headers, HDR_METHOD), STR("CONNECT"));
}

static bool step_path(struct http_stream *s)
{
    struct str path = header_get(&s->request_headers, HDR_PATH);

    if (path.len == 0) {
        return stream_is_connect(s) && path.ptr == NULL
                   ? true
                   : refuse(s, 404, STR("missing_path_rejected"));
    }
    if (path.ptr[0] != '/') {
        conn_manager_count(s->cm, CM_RQ_NON_RELATIVE_PATH);
        return refuse(s, 404, STR("absolute_path_rejected"));
    }
    return true;
}

static bool refuse_path(struct http_stream *s)
{
    conn_manager_count(s->cm, CM_RQ_FAILED_PATH_NORMALIZATION);
    return refuse(s, 400, STR("path_normalization_failed"));
}

static bool redirect_to_path(struct http_stream *s, struct str path)
{
    struct header_map extra;

    conn_manager_count(s->cm, CM_RQ_REDIRECTED_WITH_NORMALIZED_PATH);
    header_map_init(&extra, &s->arena);
    header_add(&extra, HDR_LOCATION, path);
    stream_local_reply(s, &(struct local_reply){
                              .status = 307,
                              .details = STR("path_normalization_failed"),
                              .extra = &extra,
                          });
    return false;
}

static bool step_normalize_path(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;
    struct str before = header_get(&s->request_headers, HDR_PATH);
    struct str path = before;
    bool is_unescaped = false;

    if (before.len == 0) {
        return true;
    }
    if (str_find_char(path, '#') != STR_NPOS) {
        return refuse_path(s);
    }
    if (c->escaped_slashes != ESCAPED_SLASHES_KEEP) {
        is_unescaped = path_unescape_slashes(path, &s->arena, &path);
        if (is_unescaped && c->escaped_slashes == ESCAPED_SLASHES_REJECT) {
            header_set(&s->request_headers, HDR_PATH, path); /* as Envoy's log has it */
            return refuse_path(s);
        }
    }
    if (c->normalize_path && !path_normalize(path, &s->arena, &path)) {
        return refuse_path(s);
    }
    if (c->merge_slashes) {
        path = path_merge_slashes(path, &s->arena);
    }
    if (path.ptr != before.ptr) {
        header_set(&s->request_headers, HDR_PATH, path);
    }
    if (is_unescaped && c->escaped_slashes == ESCAPED_SLASHES_REDIRECT) {
        /* gRPC clients do not follow redirects. */
        return s->is_grpc_request ? refuse_path(s) : redirect_to_path(s, path);
    }
    return true;
}

static bool step_normalize_host(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;
    struct str before = header_get(&s->request_headers, HDR_AUTHORITY);
    struct str host = before;
    struct str name;
    uint32_t port;

    if (c->strip_port == STRIP_PORT_NONE && !c->strip_trailing_host_dot) {
        return true;
    }
    if (c->strip_trailing_host_dot) {
        host = host_strip_trailing_dot(host, &s->arena);
    }
    if (c->strip_port != STRIP_PORT_NONE && host_find_port(host, &name, &port) &&
        (c->strip_port == STRIP_PORT_ANY || port == address_port(&s->cm->conn->local))) {
        host = name;
        s->connect_port = stream_is_connect(s) ? port : 0;
    }
    if (host.len != before.len) {
        header_set(&s->request_headers, HDR_AUTHORITY, host);
    }
    return true;
}

static bool step_early_mutations(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;
    struct access_log_entry entry = stream_log_entry(s);

    for (size_t i = 0; i < c->early_mutation_count; i++) {
        const struct early_mutation *m = &c->early_mutations[i];

        if (!m->type->mutate(m->config, &entry, s->cm->thread, &s->request_headers)) {
            break;
        }
    }
    return true;
}

static bool step_forwarding(struct http_stream *s)
{
    int status;
    struct forwarding_peer peer = {
        .remote = &s->cm->conn->remote,
        .local = &s->cm->conn->local,
        .is_local_restored =
            s->info.connection_info != NULL && s->info.connection_info->direct_local != NULL,
        .remote_ip = conn_manager_remote_ip(s->cm),
        .is_tls = conn_manager_is_tls(s->cm),
        .tls = s->cm->config->forward_client_cert != CLIENT_CERT_SANITIZE
                   ? conn_tls_info(s->cm->conn)
                   : NULL,
    };

    stream_pin_table(s);
    status = forwarding_mutate_request(
        &(struct forwarding_request){
            .config = s->cm->config,
            .peer = &peer,
            .table = s->table,
            .node_id = s->cm->thread->node_id,
            .node_cluster = s->cm->thread->node_cluster,
            .rng = &stream_loop(s)->rng,
            .headers = &s->request_headers,
        },
        &s->info.remote);
    if (status != 0) {
        conn_manager_count(s->cm, CM_RQ_REJECTED_VIA_IP_DETECTION);
        s->has_route = true; /* none: whose it would be cannot be said */
        return refuse(s, status, STR("rejecting_because_detection_failed"));
    }
    return true;
}

static bool step_route(struct http_stream *s)
{
    s->random = rng_next(&stream_loop(s)->rng);
    (void)stream_route(s); /* none is the terminal filter's business */
    return true;
}

/* As Envoy: refused where there is a route, and what follows on the connection is not read, for it
 * may not be HTTP. */
static bool step_upgrade(struct http_stream *s)
{
    const struct http_upgrade_config *upgrade;

    switch (upgrade_decide(s->cm->config, s->match.route, &s->request_headers, &upgrade)) {
    case UPGRADE_NONE:
        break;
    case UPGRADE_ALLOWED:
        s->is_upgrade = true;
        s->upgrade = upgrade;
        s->request_deadline_ms = NO_DEADLINE; /* a tunnel's request never ends */
        conn_manager_count_upgrade(s->cm, true);
        break;
    case UPGRADE_REFUSED:
        s->is_upgrade_refused = s->match.route != NULL;
        break;
    }
    return true;
}

static bool step_log(struct http_stream *s)
{
    stream_log_start(s);
    return true;
}

static bool step_create_filters(struct http_stream *s)
{
    filter_chain_create(s);
    if (!s->is_upgrade_refused) {
        return true;
    }
    s->wants_close = true;
    conn_manager_count(s->cm, CM_RQ_WS_ON_NON_WS_ROUTE);
    return refuse(s, 403, STR("upgrade_failed"));
}

static bool step_filters(struct http_stream *s)
{
    filter_chain_decode_headers(s, s->is_request_complete);
    return !stream_has_ended(s);
}

/* As Envoy: first, before anything is made for the request. */
static bool step_overload(struct http_stream *s)
{
    return !stream_is_shed(s);
}

static const struct request_step request_steps[] = {
    {"overload", step_overload},
    {"expect", step_expect},
    {"method", step_method},
    {"host", step_host},
    {"path", step_path},
    {"normalize path", step_normalize_path},
    {"normalize host", step_normalize_host},
    {"early mutations", step_early_mutations},
    {"forwarding", step_forwarding},
    {"route", step_route},
    {"upgrade", step_upgrade},
    {"log", step_log},
    {"create filters", step_create_filters},
    {"filters", step_filters},
};

static bool has_token(const struct header_map *h, enum header_id id, struct str token)
{
    struct str value = header_get(h, id);
    struct str part;

    while (str_split(&value, ',', &part)) {
        if (str_eq_nocase(str_trim(part), token)) {
            return true;
        }
    }
    return false;
}

/* HTTP/1.0 closes unless asked not to, HTTP/1.1 when asked to. */
static bool request_wants_close(enum http_protocol p, const struct header_map *h)
{
    switch (p) {
    case HTTP_10:
        return !has_token(h, HDR_CONNECTION, STR("keep-alive"));
    case HTTP_11:
        return has_token(h, HDR_CONNECTION, STR("close")) ||
               has_token(h, HDR_PROXY_CONNECTION, STR("close"));
    default:
        return false;
    }
}

/* The client has sent everything. */
static void stream_request_complete(struct http_stream *s)
{
    uint64_t start_ms = s->info.start_mono_ns / NS_PER_MS;

    s->is_request_complete = true;
    s->request_deadline_ms = NO_DEADLINE;
    /* In the turn it began in: no time has passed that anybody could see. */
    s->info.last_rx_byte_ns =
        loop_now_ms(stream_loop(s)) <= start_ms ? s->info.start_mono_ns : clock_mono_ns();
}

static void stream_on_headers(void *user, bool end_stream)
{
    struct http_stream *s = stream_from(user);

    if (stream_has_ended(s)) {
        return;
    }
    s->phase = STREAM_DECODING;
    s->has_head = true;
    s->head_deadline_ms = NO_DEADLINE;
    s->info.protocol = s->codec->protocol;
    s->is_head_request = str_eq(header_get(&s->request_headers, HDR_METHOD), STR("HEAD"));
    s->is_grpc_request = grpc_is_request(&s->request_headers);
    s->wants_close |= request_wants_close(s->info.protocol, &s->request_headers);
    if (end_stream) {
        stream_request_complete(s);
    }
    for (size_t i = 0; i < ARRAY_LEN(request_steps); i++) {
        if (!request_steps[i].run(s)) {
            log_debug(LOG_C_HTTP, "[S%llu] over at step '%s'",
                      (unsigned long long)s->info.stream_id, request_steps[i].name);
            return;
        }
    }
    stream_touch(s);
}

/* --- the body ----------------------------------------------------------------------------- */

static void stream_on_data(void *user, struct buf *data, bool end_stream)
{
    struct http_stream *s = stream_from(user);

    if (stream_has_ended(s)) {
        return;
    }
    s->info.bytes_received += data->len;
    stream_touch(s);
    if (end_stream) {
        stream_request_complete(s);
    }
    if (s->response != RESPONSE_COMPLETE) {
        filter_chain_decode_data(s, data, end_stream);
    }
}

static void stream_on_trailers(void *user, struct header_map *trailers)
{
    struct http_stream *s = stream_from(user);

    if (stream_has_ended(s)) {
        return;
    }
    s->request_trailers = trailers;
    stream_touch(s);
    stream_request_complete(s);
    if (s->response != RESPONSE_COMPLETE) {
        filter_chain_decode_trailers(s);
    }
}

/* --- the end ------------------------------------------------------------------------------ */

static void stream_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct http_stream *s = stream_from(user);

    if (stream_has_ended(s)) {
        return;
    }
    conn_manager_count(s->cm, CM_RQ_RX_RESET);
    if (details.len > 0 && !stream_info_has_flag(&s->info, FLAG_DOWNSTREAM_PROTOCOL_ERROR)) {
        s->info.response_code_details = details;
        stream_info_set_flag(&s->info, reason == RESET_LOCAL ? FLAG_DOWNSTREAM_PROTOCOL_ERROR
                                                             : FLAG_DOWNSTREAM_REMOTE_RESET);
    }
    stream_end(s);
}

static void stream_on_watermark(void *user, bool is_above)
{
    struct http_stream *s = stream_from(user);

    if (!stream_has_ended(s)) {
        filter_chain_on_watermark(s, is_above);
    }
}

static const struct codec_stream_callbacks stream_callbacks = {
    .on_headers = stream_on_headers,
    .on_data = stream_on_data,
    .on_trailers = stream_on_trailers,
    .on_reset = stream_on_reset,
    .on_watermark = stream_on_watermark,
};

static void stream_free(struct deferred *d)
{
    struct http_stream *s = container_of(d, struct http_stream, deferred);
    struct arena arena = s->arena;

    s->magic = 0;
    stream_info_set_upstream_tls(&s->info, NULL);
    arena_done(&arena);
}

static bool stream_is_flush_enough(const struct http_stream *s)
{
    /* As Envoy: what HTTP/1.0 frames by closing must be closed at once. */
    bool is_framed_by_close =
        s->info.protocol == HTTP_10 &&
        (s->response_headers == NULL || !header_has(s->response_headers, HDR_CONTENT_LENGTH));

    return s->wants_close && (s->is_request_complete || is_framed_by_close);
}

void stream_end(struct http_stream *s)
{
    struct conn_manager *cm = s->cm;

    if (stream_has_ended(s)) {
        return;
    }
    s->phase = STREAM_ENDED;
    if (s->is_upgrade) {
        conn_manager_count_upgrade(cm, false);
    }
    stream_log_stop(s);
    s->codec = NULL;
    if (s->info.end_ns == 0) {
        s->info.end_ns = clock_mono_ns();
    }
    if (cm->close_details.len > 0) {
        s->info.response_code_details = cm->close_details;
    }
    if (cm->is_closed) {
        stream_info_set_flag(&s->info, FLAG_DOWNSTREAM_CONNECTION_TERMINATION);
    }
    if (cm->stats != NULL) {
        stat_dec(cm->stats, CM_RQ_ACTIVE);
    }
    conn_manager_count_ended(cm, s->info.response_code == 0 &&
                                     stream_coarse_ns(s) - s->info.start_mono_ns <= PREMATURE_NS);
    filter_chain_complete(s);
    stream_log(s, ACCESS_LOG_DOWNSTREAM_END);
    filter_chain_destroy(s);
    part_handle_unref(s->table_pin);
    s->table_pin = NULL;
    list_remove(&s->node);
    deferred_free(stream_loop(s), &s->deferred, stream_free);
    conn_manager_stream_ended(cm, stream_is_flush_enough(s));
}

/* --- the beginning ------------------------------------------------------------------------ */

static void stream_init_info(struct http_stream *s)
{
    struct conn *conn = s->cm->conn;
    struct stream_info *si = &s->info;

    si->start_mono_ns = clock_mono_ns();
    si->start_wall_ns = loop_wall_ns(stream_loop(s), si->start_mono_ns);
    si->protocol = s->cm->codec->ops->protocol;
    si->has_protocol = true;
    si->connection_id = conn->id;
    si->stream_id = conn->id << 20 | (s->cm->request_count & 0xfffff);
    si->local = &conn->local;
    si->direct_remote = conn->direct_remote != NULL ? conn->direct_remote : &conn->remote;
    si->remote = conn->remote;
    si->connection = conn;
    if (s->cm->lc != NULL) {
        si->requested_server_name = s->cm->lc->requested_server_name;
        si->connection_info = s->cm->lc->info;
        si->listener = s->cm->lc->listener;
        si->filter_chain = s->cm->lc->chain;
    }
}

struct http_stream *stream_new(struct conn_manager *cm, struct codec_stream *cs)
{
    const struct http_conn_manager_config *c = cm->config;
    struct arena arena;
    struct http_stream *s;

    arena_init(&arena, &cm->thread->loop->arenas);
    s = arena_calloc(&arena, 1, sizeof(*s));
    s->magic = HTTP_STREAM_MAGIC;
    s->arena = arena;
    s->cm = cm;
    s->codec = cs;
    header_map_init(&s->request_headers, &s->arena);
    stream_init_info(s);
    s->idle_timeout_ms = c->stream_idle_timeout_ms;
    s->idle_deadline_ms = deadline_in(s, c->stream_idle_timeout_ms);
    s->head_deadline_ms = deadline_in(s, c->request_headers_timeout_ms);
    s->request_deadline_ms = deadline_in(s, c->request_timeout_ms);
    s->duration_deadline_ms = deadline_in(s, c->max_stream_duration_ms);
    /* The head's own deadline is watched once the head proves not to be there at once. */
    conn_manager_watch_deadline(
        cm, earlier(s->idle_deadline_ms, earlier(s->request_deadline_ms, s->duration_deadline_ms)));
    list_add_tail(&cm->streams, &s->node);
    cs->callbacks = &stream_callbacks;
    cs->user = s;
    cs->arena = &s->arena;
    cs->headers = &s->request_headers;
    return s;
}
