/*
 * Counts calls of gRPC, and of the Connect protocol, and their messages in the upstream cluster's
 * scope:
 * cluster.<name>.grpc[.<service>.<method>].{success,failure,total,<status>,request_message_count,
 * response_message_count,upstream_rq_time}, and leaves the numbers of messages for the access log.
 * Looks on only. Worker threads; stats_parse: main thread.
 *
 * Trust: paths and bodies are the client's, responses the upstream's; bodies are counted, not read.
 * Buffers: nothing.
 * Differs from Envoy: with stats_for_all_methods the names are bounded (upstream/grpc_series.h); a
 * status that gRPC does not know is counted as a failure only, without a series of its own; of the
 * end of a Connect stream only a member "error" is looked for, its JSON is not checked further.
 */

#include <stdio.h>
#include <stdlib.h>

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "dataplane/codec/connect_end.h"
#include "dataplane/codec/grpc_frames.h"
#include "dataplane/http/filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/upstream/grpc_series.h"
#include "dataplane/upstream/upstream.h"
#include "proto/envoy/extensions/filters/http/grpc_stats/v3/config.pb-c.h"

#define NS_PER_MS UINT64_C(1000000)

struct stats_config {
    bool emits_filter_state;
    bool counts_upstream_time;
    bool replaces_dots;
    bool names_all;
    const struct grpc_method *named; /* sorted; the others are counted without names */
    size_t named_count;
};

/* What the access log shows. The message's fields are absent at zero; in a JSON log they are called
 * by their names in the proto, in text by those of JSON. */
struct stats_object {
    struct filter_state_object base;
    struct value typed;
    struct value_field fields[2];
    char digits[2][U64_DIGITS];
    char plain[2 * U64_DIGITS + 1];
    char text[128];
};

enum stats_protocol { STATS_NONE, STATS_GRPC, STATS_CONNECT_UNARY, STATS_CONNECT_STREAM };

struct grpc_stats {
    const struct stats_config *config;
    struct cluster *cluster;   /* referenced; NULL: nothing is counted */
    struct stat_block *series; /* of the cluster; NULL likewise */
    struct stats_object *object;
    enum stats_protocol protocol;
    bool is_grpc_response;
    bool is_at_connect_end; /* of a stream: its last message, which does not count, has begun */
    struct grpc_frame_counter request;
    struct grpc_frame_counter response;
    struct connect_end connect_end;
    uint64_t request_messages;
    uint64_t response_messages;
};

/* --- filter state ----------------------------------------------------------------------------- */

static void object_add_field(struct stats_object *o, struct str name, struct str json_name,
                             uint64_t count)
{
    size_t i = o->typed.count;
    struct str digits = str_n(o->digits[i], format_u64(count, o->digits[i]));

    if (count == 0) {
        return;
    }
    o->fields[i].name = name;
    o->fields[i].value = (struct value){.kind = VALUE_STRING, .string = digits};
    o->base.text.len += (size_t)snprintf(o->text + o->base.text.len,
                                         sizeof(o->text) - o->base.text.len, "%s\"%.*s\":\"%.*s\"",
                                         i > 0 ? "," : "", STR_ARG(json_name), STR_ARG(digits));
    o->typed.count++;
}

/* Two names of 20 bytes, two numbers of at most 20 digits: it fits. */
static void object_set(struct stats_object *o, uint64_t requests, uint64_t responses)
{
    size_t n = format_u64(requests, o->plain);

    o->plain[n++] = ',';
    n += format_u64(responses, o->plain + n);
    o->base.plain = str_n(o->plain, n);
    o->typed.count = 0;
    o->text[0] = '{';
    o->base.text = str_n(o->text, 1);
    object_add_field(o, STR("request_message_count"), STR("requestMessageCount"), requests);
    object_add_field(o, STR("response_message_count"), STR("responseMessageCount"), responses);
    o->text[o->base.text.len++] = '}';
}

static void stats_write_object(struct http_filter *f, struct grpc_stats *s)
{
    struct stats_object *o = s->object;

    if (!s->config->emits_filter_state) {
        return;
    }
    if (o == NULL) {
        o = ARENA_NEW(http_filter_arena(f), struct stats_object);
        o->base.name = STR("envoy.filters.http.grpc_stats");
        o->base.typed = &o->typed;
        o->typed = (struct value){.kind = VALUE_STRUCT, .fields = o->fields};
        filter_state_add(http_filter_info(f), &o->base);
        s->object = o;
    }
    object_set(o, s->request_messages, s->response_messages);
}

/* --- counting --------------------------------------------------------------------------------- */

static int method_cmp(const void *a, const void *b)
{
    const struct grpc_method *x = a;
    const struct grpc_method *y = b;
    int order = str_cmp(x->service, y->service);

    return order != 0 ? order : str_cmp(x->method, y->method);
}

/* As Envoy: the cluster is the route's of this moment; the dots of names in the list stay. */
static void stats_find_series(struct http_filter *f, struct grpc_stats *s,
                              const struct header_map *h)
{
    const struct stats_config *c = s->config;
    const struct route *route = http_filter_route(f);
    struct grpc_method method;
    struct str name;

    if (route == NULL || route->action != ROUTE_FORWARD ||
        !grpc_method_of_path(header_get(h, HDR_PATH), &method)) {
        return;
    }
    s->cluster = cluster_manager_routed(http_filter_thread(f)->clusters, &route->forward,
                                        http_filter_weighted_cluster(f), h, &name);
    if (s->cluster == NULL) {
        return;
    }
    cluster_ref(s->cluster);
    if (!c->names_all && (c->named_count == 0 || bsearch(&method, c->named, c->named_count,
                                                         sizeof(method), method_cmp) == NULL)) {
        method = (struct grpc_method){STR_NONE, STR_NONE};
    }
    s->series = cluster_grpc_series(s->cluster, GRPC_FAMILY_GRPC, &method,
                                    c->names_all && c->replaces_dots);
}

static void stats_add_requests(struct http_filter *f, uint64_t count)
{
    struct grpc_stats *s = f->state;

    if (count > 0) {
        s->request_messages += count;
        stats_write_object(f, s);
        if (s->series != NULL) {
            stat_add(s->series, GRPC_REQUEST_MESSAGE_COUNT, count);
        }
    }
}

static void stats_add_responses(struct http_filter *f, uint64_t count)
{
    struct grpc_stats *s = f->state;

    if (count > 0) {
        s->response_messages += count;
        stats_write_object(f, s);
        if (s->series != NULL) {
            stat_add(s->series, GRPC_RESPONSE_MESSAGE_COUNT, count);
        }
    }
}

/* Returns how many messages begin in `data`. */
static uint64_t stats_feed(struct grpc_frame_counter *counter, const struct buf *data)
{
    uint64_t before = counter->count;

    grpc_frame_counter_feed_buf(counter, data);
    return counter->count - before;
}

static void stats_count_status(const struct grpc_stats *s, const struct header_map *h)
{
    if (header_has(h, HDR_GRPC_STATUS)) {
        grpc_series_count_status(s->series, header_get(h, HDR_GRPC_STATUS));
    }
}

/* From the last byte sent upstream to the last received. */
static void stats_count_time(const struct http_filter *f, const struct grpc_stats *s)
{
    const struct stream_info *info = http_filter_info(f);

    if (s->config->counts_upstream_time && info->last_upstream_tx_ns != 0 &&
        info->last_upstream_rx_ns >= info->last_upstream_tx_ns) {
        stat_record(s->series, GRPC_UPSTREAM_RQ_TIME,
                    (info->last_upstream_rx_ns - info->last_upstream_tx_ns) / NS_PER_MS);
    }
}

/* --- the Connect protocol -----------------------------------------------------------------------
 */

static bool is_connect_stream(const struct header_map *h)
{
    return str_starts(header_get(h, HDR_CONTENT_TYPE), STR("application/connect+"));
}

/* As Envoy: a stream is one also where the header says the version. */
static enum stats_protocol stats_protocol_of(const struct header_map *h)
{
    if (grpc_is_request(h)) {
        return STATS_GRPC;
    }
    if (header_has(h, HDR_PATH) && is_connect_stream(h)) {
        return STATS_CONNECT_STREAM;
    }
    if (header_has(h, HDR_PATH) && header_find_name(h, STR("connect-protocol-version")) != NULL) {
        return STATS_CONNECT_UNARY;
    }
    return STATS_NONE;
}

/* Bytes of one head or message. */
static void connect_feed_run(struct grpc_stats *s, struct str run)
{
    bool is_message = s->response.head_bytes == GRPC_FRAME_HEAD_BYTES;

    grpc_frame_counter_feed(&s->response, run);
    if ((s->response.head[0] & CONNECT_FRAME_END) != 0) {
        s->is_at_connect_end = true;
        connect_end_feed(&s->connect_end, is_message ? run : STR_NONE);
    }
}

/* Returns how many messages begin, without the one that ends the stream. */
static uint64_t connect_feed(struct grpc_stats *s, const struct buf *data)
{
    struct grpc_frame_counter *c = &s->response;
    uint64_t before = c->count - s->is_at_connect_end;

    for (const struct buf_seg *seg = data->head; seg != NULL; seg = seg->next) {
        struct str rest = str_n((const char *)seg->data, seg->len);

        while (rest.len > 0 && !(s->is_at_connect_end && grpc_frame_counter_is_between(c))) {
            struct str run = str_sub(rest, 0, grpc_frame_counter_run(c, rest.len));

            connect_feed_run(s, run);
            rest = str_sub(rest, run.len, rest.len);
        }
    }
    return c->count - s->is_at_connect_end - before;
}

/* --- the filter ------------------------------------------------------------------------------- */

static enum filter_status stats_decode_headers(struct http_filter *f, struct header_map *h,
                                               bool end_stream)
{
    struct grpc_stats *s = f->state;

    (void)end_stream;
    s->config = f->config;
    s->protocol = stats_protocol_of(h);
    if (s->protocol != STATS_NONE) {
        stats_find_series(f, s, h);
    }
    return FILTER_CONTINUE;
}

static enum filter_status stats_decode_data(struct http_filter *f, struct buf *data,
                                            bool end_stream)
{
    struct grpc_stats *s = f->state;

    if (s->protocol == STATS_CONNECT_UNARY) {
        stats_add_requests(f, end_stream ? 1 : 0);
    } else if (s->protocol != STATS_NONE) {
        stats_add_requests(f, stats_feed(&s->request, data));
    }
    return FILTER_CONTINUE;
}

static enum filter_status stats_encode_headers(struct http_filter *f, struct header_map *h,
                                               bool end_stream)
{
    struct grpc_stats *s = f->state;
    bool is_ok = str_eq(header_get(h, HDR_STATUS), STR("200"));

    s->is_grpc_response = grpc_is_response(h, end_stream);
    if (s->series == NULL) {
        return FILTER_CONTINUE;
    }
    if (s->protocol == STATS_CONNECT_UNARY) {
        grpc_series_count_result(s->series, is_ok);
    } else if (!is_ok || !is_connect_stream(h)) {
        stats_count_status(s, h);
    }
    if (end_stream) {
        stats_count_time(f, s);
    }
    return FILTER_CONTINUE;
}

static enum filter_status stats_encode_data(struct http_filter *f, struct buf *data,
                                            bool end_stream)
{
    struct grpc_stats *s = f->state;
    bool is_counted = s->series != NULL && end_stream && !s->is_grpc_response;

    if (s->config == NULL) { /* the request was answered before it came here */
        return FILTER_CONTINUE;
    }
    if (s->is_grpc_response) {
        stats_add_responses(f, stats_feed(&s->response, data));
    } else if (s->protocol == STATS_CONNECT_STREAM) {
        stats_add_responses(f, connect_feed(s, data));
        if (is_counted) {
            grpc_series_count_result(s->series, connect_end_is_success(&s->connect_end));
            stats_count_time(f, s);
        }
    } else if (s->protocol == STATS_CONNECT_UNARY) {
        stats_add_responses(f, end_stream ? 1 : 0);
        if (is_counted) {
            stats_count_time(f, s);
        }
    }
    return FILTER_CONTINUE;
}

static enum filter_status stats_encode_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct grpc_stats *s = f->state;

    if (s->series != NULL && s->protocol == STATS_GRPC) {
        stats_count_status(s, trailers);
        stats_count_time(f, s);
    }
    return FILTER_CONTINUE;
}

static void stats_on_destroy(struct http_filter *f)
{
    struct grpc_stats *s = f->state;

    cluster_unref(s->cluster);
}

/* --- configuration ---------------------------------------------------------------------------- */

static int parse_service(struct parse_context *ctx,
                         const Envoy__Config__Core__V3__GrpcMethodList__Service *m,
                         struct grpc_method *to)
{
    struct str service = parse_str(ctx, m->name);

    if (parse_check_not_empty(ctx, "name", m->name) < 0) {
        return E_INVALID;
    }
    if (m->n_method_names == 0) {
        return parse_fail(ctx, E_INVALID, "method_names", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_method_names; i++) {
        to[i] = (struct grpc_method){service, parse_str(ctx, m->method_names[i])};
    }
    return 0;
}

static int parse_named(struct parse_context *ctx, const Envoy__Config__Core__V3__GrpcMethodList *m,
                       struct stats_config *c)
{
    struct grpc_method *named;
    size_t count = 0;

    for (size_t i = 0; i < m->n_services; i++) {
        count += m->services[i]->n_method_names;
    }
    named = ARENA_ARRAY(parse_arena(ctx), struct grpc_method, count + 1);
    for (size_t i = 0; i < m->n_services; i++) {
        size_t outer = path_push(ctx, "individual_method_stats_allowlist");
        size_t at = path_push_index(ctx, "services", i);
        int r = parse_service(ctx, m->services[i], named + c->named_count);

        path_pop(ctx, at);
        path_pop(ctx, outer);
        if (r < 0) {
            return r;
        }
        c->named_count += m->services[i]->n_method_names;
    }
    qsort(named, count, sizeof(*named), method_cmp);
    c->named = named;
    return 0;
}

static int stats_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                       const void **ret_config)
{
    const Envoy__Extensions__Filters__Http__GrpcStats__V3__FilterConfig *m =
        (const Envoy__Extensions__Filters__Http__GrpcStats__V3__FilterConfig *)msg;
    struct stats_config *c = ARENA_NEW(parse_arena(ctx), struct stats_config);
    int r = 0;

    c->emits_filter_state = m->emit_filter_state;
    c->counts_upstream_time = m->enable_upstream_stats;
    c->replaces_dots = m->replace_dots_in_grpc_service_name;
    switch (m->per_method_stat_specifier_case) {
    case ENVOY__EXTENSIONS__FILTERS__HTTP__GRPC_STATS__V3__FILTER_CONFIG__PER_METHOD_STAT_SPECIFIER_STATS_FOR_ALL_METHODS:
        c->names_all = parse_bool_or(m->stats_for_all_methods, false);
        break;
    case ENVOY__EXTENSIONS__FILTERS__HTTP__GRPC_STATS__V3__FILTER_CONFIG__PER_METHOD_STAT_SPECIFIER_INDIVIDUAL_METHOD_STATS_ALLOWLIST:
        r = parse_named(ctx, m->individual_method_stats_allowlist, c);
        break;
    default:
        break;
    }
    *ret_config = c;
    return r;
}

const struct http_filter_type http_filter_grpc_stats = {
    .ext =
        {
            .name = "envoy.filters.http.grpc_stats",
            .category = EXT_HTTP_FILTER,
            .descriptor =
                &envoy__extensions__filters__http__grpc_stats__v3__filter_config__descriptor,
            .parse = stats_parse,
        },
    .stream_size = sizeof(struct grpc_stats),
    .decode_headers = stats_decode_headers,
    .decode_data = stats_decode_data,
    .encode_headers = stats_encode_headers,
    .encode_data = stats_encode_data,
    .encode_trailers = stats_encode_trailers,
    .on_destroy = stats_on_destroy,
};
