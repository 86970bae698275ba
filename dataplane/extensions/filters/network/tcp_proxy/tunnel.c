/*
 * A relayed connection through an HTTP proxy: CONNECT (or POST) towards the host, its answer, and
 * what of that is kept for the logs. Bytes are upstream.c's. The connection's thread.
 */

#include "dataplane/extensions/filters/network/tcp_proxy/session.h"
#include "dataplane/http/header_rewrite.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/stream_info/formatter.h"

#define RESPONSE_HEADERS_KEY "envoy.tcp_proxy.propagate_response_headers"
#define RESPONSE_TRAILERS_KEY "envoy.tcp_proxy.propagate_response_trailers"

/* --- what is kept ------------------------------------------------------------------------- */

static struct value string_value(struct str s)
{
    return (struct value){.kind = VALUE_STRING, .string = s};
}

/* As Envoy's core.v3.HeaderMap: {"headers": [{"key": ..., "value": ...}]}. */
static const struct value *headers_value(struct arena *a, const struct header_map *h)
{
    struct value *items = ARENA_ARRAY(a, struct value, h->count);
    struct value_field *all = ARENA_NEW(a, struct value_field);
    struct value *object = ARENA_NEW(a, struct value);
    size_t n = 0;

    header_for_each(f, h)
    {
        struct value_field *fields = ARENA_ARRAY(a, struct value_field, 2);

        fields[0] = (struct value_field){STR("key"), string_value(f->name)};
        fields[1] = (struct value_field){STR("value"), string_value(f->value)};
        items[n++] = (struct value){.kind = VALUE_STRUCT, .fields = fields, .count = 2};
    }
    *all = (struct value_field){STR("headers"), {.kind = VALUE_LIST, .items = items, .count = n}};
    *object = (struct value){.kind = VALUE_STRUCT, .fields = all, .count = 1};
    return object;
}

static void session_keep(struct tcp_session *s, struct str name, const struct header_map *h)
{
    struct filter_state_object *o;

    if (filter_state_get(&s->info, name) == NULL) {
        o = ARENA_NEW(&s->arena, struct filter_state_object);
        o->name = name;
        o->typed = headers_value(&s->arena, h);
        filter_state_add(&s->info, o);
    }
}

/* --- the answer --------------------------------------------------------------------------- */

/* Not what was asked for: as a connection that could not be made. */
static void tunnel_refused(struct tcp_session *s)
{
    if (s->state != TCP_SESSION_CONNECTING) {
        return; /* given up while it was asked for */
    }
    stream_info_set_flag(&s->info, FLAG_UPSTREAM_CONNECTION_FAILURE);
    tcp_upstream_attempt_failed(s);
}

static bool is_accepted(const struct header_map *response)
{
    struct str status = header_get(response, HDR_STATUS);

    return status.len == 3 && status.ptr[0] == '2';
}

static void tunnel_on_headers(void *user, bool end_stream)
{
    struct tcp_session *s = user;
    struct codec_stream *stream = s->upstream;

    if (s->config->tunnel->keeps_response_headers) {
        session_keep(s, STR(RESPONSE_HEADERS_KEY), &s->response);
    }
    if (is_accepted(&s->response) && !end_stream) {
        tcp_session_connected(s);
        return;
    }
    s->upstream = NULL;
    if (!end_stream || stream->keeps_half_open) { /* else it is over */
        stream->ops->reset(stream, RESET_LOCAL);
    }
    s->info.upstream_transport_failure_reason = arena_printf(
        &s->arena, "tunnel_response:%.*s", STR_ARG(header_get(&s->response, HDR_STATUS)));
    tunnel_refused(s);
}

static void tunnel_on_trailers(void *user, struct header_map *trailers)
{
    struct tcp_session *s = user;
    struct buf nothing;

    if (s->config->tunnel->keeps_response_trailers) {
        session_keep(s, STR(RESPONSE_TRAILERS_KEY), trailers);
    }
    buf_init(&nothing, &s->loop->bufs);
    tcp_upstream_on_data(s, &nothing, true);
}

static void tunnel_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct tcp_session *s = user;

    if (s->state == TCP_SESSION_OPEN) {
        tcp_upstream_on_reset(s, reason, details);
        return;
    }
    s->upstream = NULL;
    tunnel_refused(s);
}

static void tunnel_on_watermark(void *user, bool is_above)
{
    struct tcp_session *s = user;

    if (s->state == TCP_SESSION_OPEN) {
        tcp_upstream_on_watermark(s, is_above);
    }
}

const struct codec_stream_callbacks tcp_tunnel_callbacks = {
    .on_headers = tunnel_on_headers,
    .on_data = tcp_upstream_on_data,
    .on_trailers = tunnel_on_trailers,
    .on_reset = tunnel_on_reset,
    .on_watermark = tunnel_on_watermark,
};

/* --- the request -------------------------------------------------------------------------- */

static struct str tunnel_hostname(struct tcp_session *s, const struct access_log_entry *entry)
{
    const struct format *f = &s->config->tunnel->hostname;
    struct strbuf text;
    struct str out;

    if (f->is_literal) {
        return f->literal;
    }
    strbuf_init(&text);
    formatter_text(f, entry, s->filter->lc->thread, false, &text);
    out = arena_str(&s->arena, strbuf_str(&text));
    strbuf_done(&text);
    return out;
}

void tcp_tunnel_open(struct tcp_session *s)
{
    const struct tcp_tunnel_config *t = s->config->tunnel;
    const struct access_log_entry entry = {.info = &s->info};
    const struct header_rewrite rewrite = {.entry = &entry, .thread = s->filter->lc->thread};
    struct header_map h;

    s->upstream->keeps_half_open = s->protocol == POOL_HTTP2;
    header_map_init(&h, &s->arena);
    header_add(&h, HDR_METHOD, t->is_post ? STR("POST") : STR("CONNECT"));
    header_add(&h, HDR_AUTHORITY, tunnel_hostname(s, &entry));
    if (t->is_post) {
        header_add(&h, HDR_PATH, t->post_path);
        header_add(&h, HDR_SCHEME,
                   conn_is_secure(pool_request_conn(&s->request)) ? STR("https") : STR("http"));
    }
    h.has_invalid_value = !header_value_is_valid(header_get(&h, HDR_AUTHORITY));
    header_ops_apply(&t->headers, &rewrite, &h);
    header_drop_invalid(&h);
    s->upstream->ops->encode_headers(s->upstream, &h, false);
}
