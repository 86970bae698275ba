/* What filters may ask of their stream. See filter.h. */

#include "dataplane/http/filter.h"

#include <inttypes.h>

#include "dataplane/base/check.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/filter_chain.h"
#include "dataplane/http/header_rewrite.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/redirect.h"
#include "dataplane/http/stream.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/listener_filter.h"

struct thread_context *http_filter_thread(const struct http_filter *f)
{
    return f->stream->cm->thread;
}

struct arena *http_filter_arena(const struct http_filter *f)
{
    return &f->stream->arena;
}

struct stream_info *http_filter_info(const struct http_filter *f)
{
    return &f->stream->info;
}

struct header_map *http_filter_request_headers(const struct http_filter *f)
{
    return &f->stream->request_headers;
}

bool http_filter_is_downstream_tls(const struct http_filter *f)
{
    return conn_manager_is_tls(f->stream->cm);
}

bool http_filter_scheme_matches_upstream(const struct http_filter *f)
{
    return f->stream->cm->config->scheme_matches_upstream;
}

struct str http_filter_proxy_tlvs(const struct http_filter *f)
{
    const struct listener_connection *lc = f->stream->cm->lc;

    return lc != NULL && lc->info != NULL ? lc->info->proxy_tlvs : STR_NONE;
}

/* NULL: the route says nothing of it, or is not chosen yet. */
static const struct opt_u64 *filter_route_limit(const struct http_filter *f)
{
    const struct route *r = f->stream->match.route;

    return r != NULL && r->body_buffer_limit.is_set ? &r->body_buffer_limit : NULL;
}

size_t http_filter_buffer_limit(const struct http_filter *f)
{
    const struct opt_u64 *limit = filter_route_limit(f);
    size_t least = f->stream->cm->buffer_limit_bytes;

    return limit != NULL && limit->value > least ? limit->value : least;
}

size_t http_filter_repeat_limit(const struct http_filter *f)
{
    const struct opt_u64 *limit = filter_route_limit(f);

    return limit != NULL ? limit->value : f->stream->cm->buffer_limit_bytes;
}

/* --- routes ------------------------------------------------------------------------------- */

const struct route *http_filter_route(const struct http_filter *f)
{
    return stream_route(f->stream);
}

const struct virtual_host *http_filter_virtual_host(const struct http_filter *f)
{
    (void)stream_route(f->stream); /* decides the virtual host too */
    return f->stream->match.vhost;
}

const struct weighted_cluster *http_filter_weighted_cluster(const struct http_filter *f)
{
    (void)stream_route(f->stream); /* decides the weighted cluster too */
    return f->stream->match.weighted;
}

const struct route_config *http_filter_route_config(const struct http_filter *f)
{
    return f->stream->table;
}

void http_filter_clear_route(struct http_filter *f)
{
    f->stream->has_route = false;
}

static const void *override_config(const struct filter_overrides *o, const struct http_filter *f)
{
    const struct filter_override *found = o->count > 0 ? filter_overrides_find(o, f->name) : NULL;

    return found != NULL ? found->config : NULL;
}

const void *http_filter_override(const struct http_filter *f)
{
    const struct route *r = stream_route(f->stream);
    const struct route_match *m = &f->stream->match;
    const void *config = NULL;

    if (r == NULL) {
        return NULL;
    }
    if (m->weighted != NULL) {
        config = override_config(&m->weighted->overrides, f);
    }
    if (config == NULL) {
        config = override_config(&r->overrides, f);
    }
    if (config == NULL && m->vhost != NULL) {
        config = override_config(&m->vhost->overrides, f);
        if (config == NULL) {
            config = override_config(&f->stream->table->overrides, f);
        }
    }
    return config;
}

static struct header_rewrite filter_header_rewrite(const struct http_filter *f,
                                                   const struct access_log_entry *entry)
{
    return (struct header_rewrite){
        .table = f->stream->table,
        .match = &f->stream->match,
        .entry = entry,
        .thread = f->stream->cm->thread,
    };
}

/* As Envoy: the port was none of the route's business, but a tunnel needs it. */
static void filter_restore_connect_port(struct http_stream *s)
{
    struct header_map *h = &s->request_headers;

    if (s->connect_port > 0) {
        header_set(h, HDR_AUTHORITY,
                   arena_printf(&s->arena, "%.*s:%" PRIu32, STR_ARG(header_get(h, HDR_AUTHORITY)),
                                s->connect_port));
        s->connect_port = 0;
    }
}

void http_filter_finalize_request(struct http_filter *f, bool keeps_original)
{
    struct access_log_entry entry = stream_log_entry(f->stream);
    struct header_rewrite rw = filter_header_rewrite(f, &entry);

    CHECK(f->stream->match.route != NULL);
    filter_restore_connect_port(f->stream);
    header_rewrite_request(&rw, keeps_original, &f->stream->request_headers);
}

void http_filter_finalize_response(struct http_filter *f, struct header_map *h)
{
    struct access_log_entry entry = stream_log_entry(f->stream);
    struct header_rewrite rw = filter_header_rewrite(f, &entry);

    uint64_t status;

    if (parse_u64(header_get(h, HDR_STATUS), &status) == 0) {
        f->stream->info.response_code = (int)status; /* for %RESPONSE_CODE% in values */
    }
    if (f->stream->match.route != NULL) {
        entry.response_headers = h;
        header_rewrite_response(&rw, h);
    }
}

void http_filter_rewrite_host(struct http_filter *f, struct str host, bool keeps_original)
{
    const struct route *r = f->stream->match.route;

    CHECK(r != NULL && r->action == ROUTE_FORWARD);
    header_rewrite_host(&f->stream->request_headers, host, keeps_original,
                        r->forward.append_x_forwarded_host);
}

void http_filter_count(struct http_filter *f, int stat)
{
    conn_manager_count(f->stream->cm, (enum conn_manager_stat)stat);
}

static struct str direct_body(struct http_stream *s, const struct route_direct_response *direct,
                              struct header_map *extra)
{
    struct access_log_entry entry = stream_log_entry(s);
    struct str type = STR_NONE;
    struct str body;

    if (direct->format == NULL) {
        return direct->body;
    }
    body = local_reply_format(direct->format, direct->body, &s->info, &entry, s->cm->thread,
                              &s->arena, &type);
    if (type.len > 0) {
        header_add(extra, HDR_CONTENT_TYPE, type);
    }
    return body;
}

/* The route itself is the answer. As Envoy: Location for 201 and all 3xx, also where the route is
 * no redirect; not where there is no path (CONNECT). */
static void answer_directly(struct http_filter *f, const struct route *r, bool keeps_original)
{
    struct http_stream *s = f->stream;
    bool is_redirect = r->action == ROUTE_REDIRECT;
    int status = is_redirect ? r->redirect.status : r->direct.status;
    struct header_map extra;

    http_filter_count(f, CM_ROUTER_RQ_DIRECT_RESPONSE);
    header_map_init(&extra, &s->arena);
    if ((status == 201 || status / 100 == 3) && header_has(&s->request_headers, HDR_PATH)) {
        header_add(&extra, HDR_LOCATION,
                   redirect_location(r, is_redirect ? &r->redirect : NULL, &s->request_headers,
                                     &s->arena));
    }
    if (is_redirect) { /* as Envoy: for those who log it */
        header_rewrite_path(r, r->redirect.prefix_rewrite, &r->redirect.regex_rewrite,
                            keeps_original, &s->request_headers);
    }
    http_filter_local_reply(f, status, is_redirect ? STR_NONE : direct_body(s, &r->direct, &extra),
                            &extra, FLAG_NONE, STR("direct_response"));
}

enum route_answer http_filter_answer_from_route(struct http_filter *f, bool keeps_original)
{
    const struct route *r = stream_route(f->stream);
    enum route_answer answer;

    http_filter_count(f, CM_ROUTER_RQ_TOTAL);
    if (r == NULL || r->action == ROUTE_NON_FORWARDING) {
        http_filter_count(f, CM_ROUTER_NO_ROUTE);
        http_filter_local_reply(f, 404, STR_NONE, NULL, FLAG_NO_ROUTE_FOUND,
                                STR("route_not_found"));
        return ROUTE_ANSWER_NO_ROUTE;
    }
    if (r->action == ROUTE_FORWARD) {
        return ROUTE_ANSWER_NONE;
    }
    answer = r->action == ROUTE_REDIRECT ? ROUTE_ANSWER_REDIRECT : ROUTE_ANSWER_DIRECT_RESPONSE;
    answer_directly(f, r, keeps_original); /* the stream may be over then, and the table let go */
    return answer;
}

/* --- going on, answering ------------------------------------------------------------------ */

void http_filter_continue_decoding(struct http_filter *f)
{
    filter_chain_continue(f, CHAIN_DECODE);
}

void http_filter_continue_encoding(struct http_filter *f)
{
    filter_chain_continue(f, CHAIN_ENCODE);
}

struct buf *http_filter_decoding_buffer(struct http_filter *f)
{
    return filter_chain_buffer(f, CHAIN_DECODE);
}

struct buf *http_filter_encoding_buffer(struct http_filter *f)
{
    return filter_chain_buffer(f, CHAIN_ENCODE);
}

void http_filter_add_encoded_data(struct http_filter *f, struct buf *take_data)
{
    filter_chain_add_data(f, CHAIN_ENCODE, take_data);
}

void http_filter_local_reply(struct http_filter *f, int status, struct str body,
                             const struct header_map *extra_headers, enum response_flag flag,
                             struct str details)
{
    struct http_stream *s = f->stream;

    if (stream_has_ended(s)) {
        return;
    }
    if (flag != FLAG_NONE) {
        stream_info_set_flag(&s->info, flag);
    }
    stream_local_reply(s, &(struct local_reply){
                              .status = status,
                              .body = body,
                              .details = details,
                              .extra = extra_headers,
                              .has_route_headers = f->type->ext.is_terminal,
                          });
}

/* A local reply was sent, or the stream is over: the terminal filter's response comes too late. */
static bool response_is_unwanted(const struct http_stream *s)
{
    return stream_has_ended(s) || s->is_decode_cut;
}

void http_filter_respond_1xx(struct http_filter *f, struct header_map *h)
{
    /* As Envoy: unless asked to proxy them, informational responses end here. */
    if (!response_is_unwanted(f->stream) && f->stream->cm->config->proxy_100_continue) {
        filter_chain_encode_1xx(f->stream, h);
    }
}

void http_filter_respond_headers(struct http_filter *f, struct header_map *take_headers,
                                 bool end_stream)
{
    if (!response_is_unwanted(f->stream)) {
        CHECK(f->stream->response_headers == NULL);
        f->stream->response_headers = take_headers;
        filter_chain_encode_headers(f->stream, end_stream);
    }
}

void http_filter_respond_data(struct http_filter *f, struct buf *take_data, bool end_stream)
{
    if (!response_is_unwanted(f->stream)) {
        filter_chain_encode_data(f->stream, take_data, end_stream);
    }
    buf_reset(take_data);
}

void http_filter_respond_trailers(struct http_filter *f, struct header_map *take_trailers)
{
    if (!response_is_unwanted(f->stream)) {
        f->stream->response_trailers = take_trailers;
        filter_chain_encode_trailers(f->stream);
    }
}

void http_filter_reset_stream(struct http_filter *f, enum response_flag flag, struct str details)
{
    struct http_stream *s = f->stream;

    if (stream_has_ended(s)) {
        return;
    }
    if (flag != FLAG_NONE) {
        stream_info_set_flag(&s->info, flag);
    }
    if (details.len > 0) {
        s->info.response_code_details = details;
    }
    stream_reset(s);
}

void http_filter_read_disable(struct http_filter *f, bool disable)
{
    stream_read_disable(f->stream, disable);
}
