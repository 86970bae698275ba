/*
 * The file access logger: reads its configuration and opens its file; writing is in access_log/.
 * Parsing on main, logging on the stream's thread.
 *
 * Trust: configuration only; logged values are what peers sent, unescaped in text formats as in
 * Envoy.
 * Buffers: one buffer per thread and path, up to --file-flush-min-size-kb and a line; what the file
 * has not taken, up to FILE_WRITER_BYTES_MAX per path.
 * Differs from Envoy: what does not fit is lost and counted (filesystem.write_dropped), not kept; a
 * FIFO is opened without waiting for a reader.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/format.h"
#include "dataplane/access_log/line_logger.h"
#include "proto/envoy/extensions/access_loggers/file/v3/file.pb-c.h"

static void file_logger_close(void *object)
{
    access_log_file_unref(object);
}

static int
file_logger_parse_format(struct parse_context *ctx,
                         const Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *m,
                         struct substitution_format *ret)
{
    size_t at;
    int r;

    switch (m->access_log_format_case) {
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_FORMAT:
        if (m->format[0] != '\0') {
            return parse_format(ctx, "format", parse_str(ctx, m->format), &ret->text);
        }
        break; /* as Envoy: empty is the default */
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT:
        at = path_push(ctx, "log_format");
        r = parse_substitution_format(ctx, m->log_format, ret);
        path_pop(ctx, at);
        return r;
    default:
        break;
    }
    return parse_format(ctx, NULL, str_c(line_logger_default_format), &ret->text);
}

static int file_logger_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                             const void **ret_config)
{
    const Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *m =
        (const Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *)msg;
    struct line_logger *l = ARENA_NEW(parse_arena(ctx), struct line_logger);
    struct error why;
    int r = parse_check_not_empty(ctx, "path", m->path);

    if (r == 0) {
        r = file_logger_parse_format(ctx, m, &l->format);
    }
    if (r < 0) {
        return r;
    }
    if (ctx->access_logs != NULL) {
        error_init(&why);
        r = access_log_hub_open(ctx->access_logs, str_c(m->path), &l->file, &why);
        if (r < 0) {
            r = parse_fail(ctx, r, "path", "%s", error_message(&why));
        } else {
            part_on_free(ctx->part, file_logger_close, l->file);
        }
        error_done(&why);
    }
    *ret_config = l;
    return r;
}

const struct access_logger_type access_logger_file = {
    .ext =
        {
            .name = "envoy.access_loggers.file",
            .category = EXT_ACCESS_LOGGER,
            .descriptor = &envoy__extensions__access_loggers__file__v3__file_access_log__descriptor,
            .parse = file_logger_parse,
        },
    .log = line_logger_log,
};
