/*
 * The formatter that writes field names as the peer spelled them: only its configuration; names are
 * kept and written by codec/header_case.c. Main thread.
 *
 * Trust: configuration only.
 * Buffers: the names of a message's fields, for as long as the message.
 * Differs from Envoy: no.
 */

#include "config/model/core.h"
#include "config/parse/check.h"
#include "config/parse/context.h"
#include "proto/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb-c.h"

typedef Envoy__Extensions__Http__HeaderFormatters__PreserveCase__V3__PreserveCaseFormatterConfig
    Config;

#define FORMATTER_TYPE_DESCRIPTOR                                                                  \
    envoy__extensions__http__header_formatters__preserve_case__v3__preserve_case_formatter_config__formatter_type_on_envoy_headers__descriptor
#define FORMATTER_TYPE_PROPER_CASE                                                                 \
    ENVOY__EXTENSIONS__HTTP__HEADER_FORMATTERS__PRESERVE_CASE__V3__PRESERVE_CASE_FORMATTER_CONFIG__FORMATTER_TYPE_ON_ENVOY_HEADERS__PROPER_CASE

static int preserve_case_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    const Config *m = (const Config *)msg;
    struct header_case_options *o;
    int r = parse_check_enum(ctx, "formatter_type_on_envoy_headers",
                             (int)m->formatter_type_on_envoy_headers, &FORMATTER_TYPE_DESCRIPTOR);

    if (r < 0) {
        return r;
    }
    o = ARENA_NEW(parse_arena(ctx), struct header_case_options);
    o->forwards_reason_phrase = m->forward_reason_phrase;
    o->is_proper_otherwise = m->formatter_type_on_envoy_headers == FORMATTER_TYPE_PROPER_CASE;
    *ret_config = o;
    return 0;
}

const struct extension header_formatter_preserve_case = {
    .name = "envoy.http.stateful_header_formatters.preserve_case",
    .category = EXT_HEADER_FORMATTER,
    .descriptor =
        &envoy__extensions__http__header_formatters__preserve_case__v3__preserve_case_formatter_config__descriptor,
    .parse = preserve_case_parse,
};
