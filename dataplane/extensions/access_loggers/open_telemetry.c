/*
 * The OpenTelemetry access logger: records whose body and attributes are formats, to a collector by
 * gRPC. Reads its configuration and opens its sink (main), writes records (the stream's thread);
 * batching is access_log/log_sink.c's.
 *
 * Trust: configuration; what peers sent is made UTF-8. Of the collector's answers only the status
 * counts.
 * Buffers: access_log/log_sink.h.
 * Differs from Envoy: at most 16 calls wait for their answers; http_service is refused;
 * custom_tags, resource_detectors and filter_state_objects_to_log are reported.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "config/parse/format.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/access_log/log_sink.h"
#include "dataplane/base/proto_wire.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/access_log.h"
#include "dataplane/stream_info/formatter.h"
#include "proto/envoy/extensions/access_loggers/open_telemetry/v3/logs_service.pb-c.h"

#define FLUSH_INTERVAL_MS 1000
#define BUFFER_BYTES (16 * 1024)

typedef Envoy__Extensions__AccessLoggers__OpenTelemetry__V3__OpenTelemetryAccessLogConfig
    otel_message;
typedef Envoy__Extensions__AccessLoggers__Grpc__V3__CommonGrpcAccessLogConfig common_message;
typedef Opentelemetry__Proto__Common__V1__AnyValue any_value;
typedef Opentelemetry__Proto__Common__V1__KeyValueList key_values;

/* Fields of AnyValue, KeyValue, LogRecord. */
enum { ANY_STRING = 1, ANY_ARRAY = 5, ANY_KVLIST = 6 };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { RECORD_TIME = 1, RECORD_BODY = 5, RECORD_ATTRIBUTES = 6 };

enum otel_kind { OTEL_STRING, OTEL_ARRAY, OTEL_KVLIST };

/* A format whose leaves are texts. */
struct otel_value {
    enum otel_kind kind;
    struct str key; /* inside a list of keys and values */
    struct format text;
    const struct otel_value *children;
    size_t count;
};

struct otel_logger {
    struct log_sink *sink; /* NULL: nobody logs (tests of parsers) */
    bool has_body;
    struct otel_value body;
    struct otel_value attributes; /* OTEL_KVLIST */
};

/* --- records ------------------------------------------------------------------------------ */

struct otel_source {
    const struct access_log_entry *entry;
    struct thread_context *thread;
};

static void write_value(struct strbuf *out, uint32_t field, const struct otel_value *v,
                        const struct otel_source *src);

static void write_key_values(struct strbuf *out, uint32_t field, const struct otel_value *v,
                             const struct otel_source *src)
{
    for (size_t i = 0; i < v->count; i++) {
        size_t at = proto_begin(out, field);

        proto_string(out, KEY_VALUE_KEY, v->children[i].key);
        write_value(out, KEY_VALUE_VALUE, &v->children[i], src);
        proto_end(out, at);
    }
}

/* Depth was bounded when the message was unpacked. */
static void write_value(struct strbuf *out, uint32_t field, const struct otel_value *v,
                        const struct otel_source *src)
{
    size_t at = proto_begin(out, field);
    size_t inner;

    switch (v->kind) {
    case OTEL_STRING:
        inner = proto_begin(out, ANY_STRING);
        formatter_text(&v->text, src->entry, src->thread, false, out);
        proto_end_string(out, inner);
        break;
    case OTEL_ARRAY:
        inner = proto_begin(out, ANY_ARRAY);
        for (size_t i = 0; i < v->count; i++) {
            write_value(out, 1, &v->children[i], src);
        }
        proto_end(out, inner);
        break;
    case OTEL_KVLIST:
        inner = proto_begin(out, ANY_KVLIST);
        write_key_values(out, 1, v, src);
        proto_end(out, inner);
        break;
    }
    proto_end(out, at);
}

static void otel_logger_log(struct thread_context *t, const void *config,
                            const struct access_log_entry *e)
{
    const struct otel_logger *l = config;
    const struct otel_source src = {.entry = e, .thread = t};
    struct strbuf *out = l->sink != NULL ? log_sink_begin(l->sink, t) : NULL;

    if (out == NULL) {
        return;
    }
    proto_fixed64(out, RECORD_TIME, e->info->start_wall_ns);
    if (l->has_body) {
        write_value(out, RECORD_BODY, &l->body, &src);
    }
    write_key_values(out, RECORD_ATTRIBUTES, &l->attributes, &src);
    log_sink_end(l->sink, t);
}

/* --- formats ------------------------------------------------------------------------------ */

static int parse_value_format(struct parse_context *ctx, const any_value *m,
                              struct otel_value *ret);

static int parse_key_values(struct parse_context *ctx, const key_values *m, struct otel_value *ret)
{
    struct otel_value *children;

    ret->kind = OTEL_KVLIST;
    if (m == NULL) {
        return 0;
    }
    children = ARENA_ARRAY(parse_arena(ctx), struct otel_value, m->n_values);
    for (size_t i = 0; i < m->n_values; i++) {
        size_t at = path_push_index(ctx, "values", i);
        int r = parse_value_format(ctx, m->values[i]->value, &children[i]);

        if (r < 0) {
            return r;
        }
        children[i].key = parse_str(ctx, m->values[i]->key);
        path_pop(ctx, at);
    }
    ret->children = children;
    ret->count = m->n_values;
    return 0;
}

static int parse_array_format(struct parse_context *ctx,
                              const Opentelemetry__Proto__Common__V1__ArrayValue *m,
                              struct otel_value *ret)
{
    struct otel_value *children = ARENA_ARRAY(parse_arena(ctx), struct otel_value, m->n_values);

    for (size_t i = 0; i < m->n_values; i++) {
        size_t at = path_push_index(ctx, "values", i);
        int r = parse_value_format(ctx, m->values[i], &children[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->kind = OTEL_ARRAY;
    ret->children = children;
    ret->count = m->n_values;
    return 0;
}

static int parse_value_format(struct parse_context *ctx, const any_value *m, struct otel_value *ret)
{
    switch (m != NULL ? m->value_case
                      : OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE__NOT_SET) {
    case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE:
        return parse_format(ctx, "string_value", parse_str(ctx, m->string_value), &ret->text);
    case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_KVLIST_VALUE:
        return parse_key_values(ctx, m->kvlist_value, ret);
    case OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_ARRAY_VALUE:
        return parse_array_format(ctx, m->array_value, ret);
    default:
        return parse_fail(ctx, E_INVALID, NULL,
                          "Only string values, nested key value lists and array values are "
                          "supported in OpenTelemetry access log format.");
    }
}

static int parse_formats(struct parse_context *ctx, const otel_message *m, struct otel_logger *l)
{
    size_t at;
    int r = parse_formatters(ctx, m->n_formatters, m->formatters);

    if (r == 0 && m->body != NULL) {
        at = path_push(ctx, "body");
        l->has_body = true;
        r = parse_value_format(ctx, m->body, &l->body);
        path_pop(ctx, at);
    }
    if (r == 0) {
        at = path_push(ctx, "attributes");
        r = parse_key_values(ctx, m->attributes, &l->attributes);
        path_pop(ctx, at);
    }
    ctx->has_req_without_query = false;
    return r;
}

/* --- the resource ------------------------------------------------------------------------- */

static void write_label(struct strbuf *out, const char *key, struct str value)
{
    size_t at = proto_begin(out, 1);
    size_t any;

    proto_string(out, KEY_VALUE_KEY, str_c(key));
    any = proto_begin(out, KEY_VALUE_VALUE);
    proto_string_always(out, ANY_STRING, value);
    proto_end(out, any);
    proto_end(out, at);
}

/* As Envoy: these are no formats. */
static int write_resource(struct parse_context *ctx, const otel_message *m, struct str log_name,
                          struct strbuf *out)
{
    const key_values *list = m->resource_attributes;

    if (!m->disable_builtin_labels) {
        write_label(out, "log_name", log_name);
        write_label(out, "zone_name", access_log_hub_zone(ctx->access_logs));
        write_label(out, "cluster_name", access_log_hub_cluster(ctx->access_logs));
        write_label(out, "node_name", access_log_hub_node_id(ctx->access_logs));
    }
    for (size_t i = 0; list != NULL && i < list->n_values; i++) {
        const any_value *v = list->values[i]->value;

        if (v == NULL ||
            v->value_case != OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE) {
            return parse_fail(ctx, E_UNSUPPORTED, "resource_attributes",
                              "only string values are supported");
        }
        write_label(out, list->values[i]->key, str_c(v->string_value));
    }
    return 0;
}

/* --- the service -------------------------------------------------------------------------- */

static int parse_service(struct parse_context *ctx, const otel_message *m,
                         struct grpc_service_config *ret)
{
    const common_message *common = m->common_config;
    const Envoy__Config__Core__V3__GrpcService *service = m->grpc_service;
    size_t at;
    int r;

    if (service != NULL && common != NULL && common->grpc_service != NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "OpenTelemetry access logger can only have one transport configured. "
                          "Specify exactly one of: grpc_service, http_service, or "
                          "common_config.grpc_service.");
    }
    if (service == NULL && common != NULL) {
        service = common->grpc_service;
    }
    if (service == NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "OpenTelemetry access logger requires one of: grpc_service, "
                          "http_service, or common_config.grpc_service to be configured.");
    }
    at = path_push(ctx, "grpc_service");
    r = parse_grpc_service(ctx, service, ret);
    if (r == 0 && !ret->is_google_grpc) {
        (void)parse_slot(ctx, PART_CLUSTER, ret->cluster_name); /* waited for; found by its name */
    }
    path_pop(ctx, at);
    return r;
}

static int parse_common(struct parse_context *ctx, const common_message *m)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "common_config");
    r = parse_check_not_empty(ctx, "log_name", m->log_name);
    if (r == 0) {
        r = parse_check_present(ctx, "grpc_service", m->grpc_service);
    }
    if (r == 0 && m->n_filter_state_objects_to_log > 0) {
        r = parse_report_unsupported(ctx, &m->base, "filter_state_objects_to_log");
    }
    path_pop(ctx, at);
    return r;
}

static int parse_buffers(struct parse_context *ctx, const otel_message *m,
                         struct log_sink_params *p)
{
    const common_message *common = m->common_config;
    const Google__Protobuf__Duration *interval = m->buffer_flush_interval;
    const Google__Protobuf__UInt32Value *bytes = m->buffer_size_bytes;

    if (interval == NULL && common != NULL) {
        interval = common->buffer_flush_interval;
    }
    if (bytes == NULL && common != NULL) {
        bytes = common->buffer_size_bytes;
    }
    p->buffer_bytes = parse_u32_or(bytes, BUFFER_BYTES);
    return parse_ms_or(ctx, "buffer_flush_interval", interval, DURATION_GT_ZERO, FLUSH_INTERVAL_MS,
                       &p->flush_interval_ms);
}

static void otel_logger_close(void *object)
{
    log_sink_close(object);
}

static int otel_logger_open(struct parse_context *ctx, const otel_message *m,
                            struct log_sink_params *p, struct otel_logger *l)
{
    struct str log_name = str_c(m->log_name);
    struct strbuf head;
    int r;

    if (ctx->access_logs == NULL) {
        return 0;
    }
    if (log_name.len == 0 && m->common_config != NULL) {
        log_name = str_c(m->common_config->log_name);
    }
    strbuf_init(&head);
    r = write_resource(ctx, m, log_name, &head);
    if (r == 0) {
        p->kind = LOG_SINK_OPEN_TELEMETRY;
        p->head = strbuf_str(&head);
        p->stat_prefix = STR("access_logs.open_telemetry_access_log.");
        if (m->stat_prefix[0] != '\0') {
            p->stat_prefix = arena_printf(
                parse_arena(ctx), "access_logs.open_telemetry_access_log.%s.", m->stat_prefix);
        }
        l->sink = log_sink_open(ctx->access_logs, ctx->stats, p);
        part_on_free(ctx->part, otel_logger_close, l->sink);
    }
    strbuf_done(&head);
    return r;
}

static int otel_logger_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                             const void **ret_config)
{
    const otel_message *m = (const otel_message *)msg;
    struct otel_logger *l = ARENA_NEW(parse_arena(ctx), struct otel_logger);
    struct grpc_service_config service = {0};
    struct log_sink_params p = {.service = &service};
    int r = parse_common(ctx, m->common_config);

    if (r == 0) {
        r = parse_service(ctx, m, &service);
    }
    if (r == 0) {
        r = parse_buffers(ctx, m, &p);
    }
    if (r == 0) {
        r = parse_formats(ctx, m, l);
    }
    *ret_config = l;
    return r == 0 ? otel_logger_open(ctx, m, &p, l) : r;
}

const struct access_logger_type access_logger_open_telemetry = {
    .ext =
        {
            .name = "envoy.access_loggers.open_telemetry",
            .category = EXT_ACCESS_LOGGER,
            .descriptor =
                &envoy__extensions__access_loggers__open_telemetry__v3__open_telemetry_access_log_config__descriptor,
            .parse = otel_logger_parse,
        },
    .log = otel_logger_log,
};
