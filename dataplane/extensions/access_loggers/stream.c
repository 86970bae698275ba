/*
 * The stdout and stderr access loggers: as the file logger, on the process's own streams. Parsing
 * on main, logging on the stream's thread.
 *
 * Trust: configuration only.
 * Buffers: as access_loggers/file.c.
 * Differs from Envoy: as access_loggers/file.c.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/format.h"
#include "dataplane/access_log/line_logger.h"
#include "proto/envoy/extensions/access_loggers/stream/v3/stream.pb-c.h"

static void stream_logger_close(void *object)
{
    access_log_file_unref(object);
}

/* `format` NULL: the default. */
static int stream_logger_new(struct parse_context *ctx, const char *path,
                             const Envoy__Config__Core__V3__SubstitutionFormatString *format,
                             const void **ret_config)
{
    struct line_logger *l = ARENA_NEW(parse_arena(ctx), struct line_logger);
    struct error why;
    int r;

    if (format != NULL) {
        size_t at = path_push(ctx, "log_format");

        r = parse_substitution_format(ctx, format, &l->format);
        path_pop(ctx, at);
    } else {
        r = parse_format(ctx, NULL, str_c(line_logger_default_format), &l->format.text);
    }
    if (r < 0) {
        return r;
    }
    if (ctx->access_logs != NULL) {
        error_init(&why);
        r = access_log_hub_open(ctx->access_logs, str_c(path), &l->file, &why);
        if (r < 0) {
            r = parse_fail(ctx, r, NULL, "%s", error_message(&why));
        } else {
            part_on_free(ctx->part, stream_logger_close, l->file);
        }
        error_done(&why);
    }
    *ret_config = l;
    return r;
}

static int stdout_logger_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    const Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog *m =
        (const Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog *)msg;
    bool has_format =
        m->access_log_format_case ==
        ENVOY__EXTENSIONS__ACCESS_LOGGERS__STREAM__V3__STDOUT_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT;

    return stream_logger_new(ctx, "/dev/stdout", has_format ? m->log_format : NULL, ret_config);
}

static int stderr_logger_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    const Envoy__Extensions__AccessLoggers__Stream__V3__StderrAccessLog *m =
        (const Envoy__Extensions__AccessLoggers__Stream__V3__StderrAccessLog *)msg;
    bool has_format =
        m->access_log_format_case ==
        ENVOY__EXTENSIONS__ACCESS_LOGGERS__STREAM__V3__STDERR_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT;

    return stream_logger_new(ctx, "/dev/stderr", has_format ? m->log_format : NULL, ret_config);
}

const struct access_logger_type access_logger_stdout = {
    .ext =
        {
            .name = "envoy.access_loggers.stdout",
            .category = EXT_ACCESS_LOGGER,
            .descriptor =
                &envoy__extensions__access_loggers__stream__v3__stdout_access_log__descriptor,
            .parse = stdout_logger_parse,
        },
    .log = line_logger_log,
};

const struct access_logger_type access_logger_stderr = {
    .ext =
        {
            .name = "envoy.access_loggers.stderr",
            .category = EXT_ACCESS_LOGGER,
            .descriptor =
                &envoy__extensions__access_loggers__stream__v3__stderr_access_log__descriptor,
            .parse = stderr_logger_parse,
        },
    .log = line_logger_log,
};
