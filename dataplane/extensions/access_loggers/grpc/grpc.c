/*
 * The gRPC access loggers: HTTP and TCP entries to an access log service. Reads their
 * configurations and opens their sinks (main); batching is access_log/log_sink.c's, entries are
 * entry.c's (the stream's thread).
 *
 * Trust: configuration; what peers sent is made UTF-8. The service's answers are ignored.
 * Buffers: access_log/log_sink.h.
 * Differs from Envoy: filter state objects that are no text are left out; grpc_stream_retry_policy
 * and custom_tags are reported.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/access_log/log_sink.h"
#include "dataplane/base/proto_wire.h"
#include "dataplane/extensions/access_loggers/grpc/entry.h"
#include "proto/envoy/extensions/access_loggers/grpc/v3/als.pb-c.h"

#define ALS(name) Envoy__Extensions__AccessLoggers__Grpc__V3__##name
#define FLUSH_INTERVAL_MS 1000
#define BUFFER_BYTES (16 * 1024)

struct grpc_logger {
    struct log_sink *sink; /* NULL: nobody logs (tests of parsers) */
    struct grpc_log_fields fields;
};

static void grpc_logger_close(void *object)
{
    log_sink_close(object);
}

static const struct str *parse_names(struct parse_context *ctx, size_t n, char *const *names,
                                     bool is_header)
{
    struct str *out = ARENA_ARRAY(parse_arena(ctx), struct str, n);

    for (size_t i = 0; i < n; i++) {
        out[i] = is_header ? parse_lower(ctx, names[i]) : parse_str(ctx, names[i]);
    }
    return out;
}

/* StreamAccessLogsMessage.Identifier */
static void write_identifier(struct strbuf *out, struct str node, const char *log_name)
{
    proto_bytes(out, 1, node);
    proto_string(out, 2, str_c(log_name));
}

static void grpc_logger_open(struct parse_context *ctx, enum log_sink_kind kind,
                             const ALS(CommonGrpcAccessLogConfig) * m, struct log_sink_params *p,
                             struct grpc_logger *l)
{
    struct strbuf head;

    if (ctx->access_logs == NULL) {
        return;
    }
    strbuf_init(&head);
    write_identifier(&head, access_log_hub_node(ctx->access_logs), m->log_name);
    p->kind = kind;
    p->head = strbuf_str(&head);
    p->stat_prefix = STR("access_logs.grpc_access_log.");
    l->sink = log_sink_open(ctx->access_logs, ctx->stats, p);
    part_on_free(ctx->part, grpc_logger_close, l->sink);
    strbuf_done(&head);
}

static int parse_service(struct parse_context *ctx, const ALS(CommonGrpcAccessLogConfig) * m,
                         struct grpc_service_config *ret)
{
    size_t at;
    int r = parse_check_present(ctx, "grpc_service", m->grpc_service);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "grpc_service");
    r = parse_grpc_service(ctx, m->grpc_service, ret);
    if (r == 0 && !ret->is_google_grpc) {
        (void)parse_slot(ctx, PART_CLUSTER, ret->cluster_name); /* waited for; found by its name */
    }
    path_pop(ctx, at);
    return r;
}

static int parse_common(struct parse_context *ctx, enum log_sink_kind kind,
                        const ALS(CommonGrpcAccessLogConfig) * m, struct grpc_logger *l)
{
    struct grpc_service_config service = {0};
    struct log_sink_params p = {.service = &service};
    size_t at;
    int r = parse_check_present(ctx, "common_config", m);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "common_config");
    r = parse_check_not_empty(ctx, "log_name", m->log_name);
    if (r == 0) {
        r = parse_check_enum(ctx, "transport_api_version", (int)m->transport_api_version,
                             &envoy__config__core__v3__api_version__descriptor);
    }
    if (r == 0) {
        r = parse_service(ctx, m, &service);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "buffer_flush_interval", m->buffer_flush_interval, DURATION_GT_ZERO,
                        FLUSH_INTERVAL_MS, &p.flush_interval_ms);
    }
    path_pop(ctx, at);
    if (r < 0) {
        return r;
    }
    p.buffer_bytes = parse_u32_or(m->buffer_size_bytes, BUFFER_BYTES);
    l->fields.filter_state =
        parse_names(ctx, m->n_filter_state_objects_to_log, m->filter_state_objects_to_log, false);
    l->fields.filter_state_count = m->n_filter_state_objects_to_log;
    grpc_logger_open(ctx, kind, m, &p, l);
    return 0;
}

static int http_logger_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                             const void **ret_config)
{
    const ALS(HttpGrpcAccessLogConfig) *m = (const ALS(HttpGrpcAccessLogConfig) *)msg;
    struct grpc_logger *l = ARENA_NEW(parse_arena(ctx), struct grpc_logger);

    l->fields.request_headers =
        (struct grpc_log_headers){parse_names(ctx, m->n_additional_request_headers_to_log,
                                              m->additional_request_headers_to_log, true),
                                  m->n_additional_request_headers_to_log};
    l->fields.response_headers =
        (struct grpc_log_headers){parse_names(ctx, m->n_additional_response_headers_to_log,
                                              m->additional_response_headers_to_log, true),
                                  m->n_additional_response_headers_to_log};
    l->fields.response_trailers =
        (struct grpc_log_headers){parse_names(ctx, m->n_additional_response_trailers_to_log,
                                              m->additional_response_trailers_to_log, true),
                                  m->n_additional_response_trailers_to_log};
    *ret_config = l;
    return parse_common(ctx, LOG_SINK_HTTP, m->common_config, l);
}

static int tcp_logger_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                            const void **ret_config)
{
    const ALS(TcpGrpcAccessLogConfig) *m = (const ALS(TcpGrpcAccessLogConfig) *)msg;
    struct grpc_logger *l = ARENA_NEW(parse_arena(ctx), struct grpc_logger);

    *ret_config = l;
    return parse_common(ctx, LOG_SINK_TCP, m->common_config, l);
}

typedef void entry_write_fn(const struct grpc_log_fields *f, const struct access_log_entry *e,
                            struct strbuf *out);

static void grpc_logger_log(struct thread_context *t, const struct grpc_logger *l,
                            const struct access_log_entry *e, entry_write_fn *write)
{
    struct strbuf *out = l->sink != NULL ? log_sink_begin(l->sink, t) : NULL;

    if (out != NULL) {
        write(&l->fields, e, out);
        log_sink_end(l->sink, t);
    }
}

static void http_logger_log(struct thread_context *t, const void *config,
                            const struct access_log_entry *e)
{
    grpc_logger_log(t, config, e, grpc_log_write_http);
}

static void tcp_logger_log(struct thread_context *t, const void *config,
                           const struct access_log_entry *e)
{
    grpc_logger_log(t, config, e, grpc_log_write_tcp);
}

const struct access_logger_type access_logger_http_grpc = {
    .ext =
        {
            .name = "envoy.access_loggers.http_grpc",
            .category = EXT_ACCESS_LOGGER,
            .descriptor =
                &envoy__extensions__access_loggers__grpc__v3__http_grpc_access_log_config__descriptor,
            .parse = http_logger_parse,
        },
    .log = http_logger_log,
};

const struct access_logger_type access_logger_tcp_grpc = {
    .ext =
        {
            .name = "envoy.access_loggers.tcp_grpc",
            .category = EXT_ACCESS_LOGGER,
            .descriptor =
                &envoy__extensions__access_loggers__grpc__v3__tcp_grpc_access_log_config__descriptor,
            .parse = tcp_logger_parse,
        },
    .log = tcp_logger_log,
};
