/* The options of HTTP, for both sides. Main thread. */

#include "config/parse/protocol.h"

#include <string.h>

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/matcher.h"

/* RFC 9113, 6.5.2, and what came later. */
enum settings_id {
    SETTINGS_HEADER_TABLE_SIZE = 1,
    SETTINGS_ENABLE_PUSH = 2,
    SETTINGS_MAX_CONCURRENT_STREAMS = 3,
    SETTINGS_INITIAL_WINDOW_SIZE = 4,
    SETTINGS_MAX_FRAME_SIZE = 5,
    SETTINGS_ENABLE_CONNECT_PROTOCOL = 8,
    SETTINGS_NO_RFC7540_PRIORITIES = 9,
};

#define SETTINGS_ID_MAX 65535
#define WINDOW_MIN 65535
#define FRAME_SIZE_MIN (1 << 14)
#define FRAME_SIZE_MAX ((1 << 24) - 1)
/* What nghttp2 takes for one field, whatever we tell it. */
#define HEADER_FIELD_MAX_KB 64
#define RESPONSE_HEADERS_MAX_KB 8192

typedef Envoy__Config__Core__V3__Http1ProtocolOptions Http1;
typedef Envoy__Config__Core__V3__Http1ProtocolOptions__HeaderKeyFormat HeaderKeyFormat;
typedef Envoy__Config__Core__V3__Http2ProtocolOptions Http2;
typedef Envoy__Config__Core__V3__KeepaliveSettings Keepalive;

#define KEY_FORMAT_CASE(suffix)                                                                    \
    ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_##suffix

/* --- common --------------------------------------------------------------------------------- */

int parse_percent(struct parse_context *ctx, const char *field, const Envoy__Type__V3__Percent *m,
                  double *ret)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    r = m->value >= 0 && m->value <= 100 /* also false for what is not a number */
            ? 0
            : parse_fail(ctx, E_INVALID, "value", "value must be inside range [0, 100]");
    path_pop(ctx, at);
    *ret = m->value;
    return r;
}

static int parse_http_limits(struct parse_context *ctx,
                             const Envoy__Config__Core__V3__HttpProtocolOptions *m,
                             struct http_options *ret)
{
    if (m->max_headers_count != NULL && m->max_headers_count->value == 0) {
        return parse_fail(ctx, E_INVALID, "max_headers_count",
                          "value must be greater than or equal to 1");
    }
    ret->max_headers_count = parse_opt_u32(m->max_headers_count);
    ret->max_requests_per_connection = parse_opt_u32(m->max_requests_per_connection);
    ret->max_response_headers_kb = parse_opt_u32(m->max_response_headers_kb);
    if (ret->max_response_headers_kb.is_set &&
        (ret->max_response_headers_kb.value == 0 ||
         ret->max_response_headers_kb.value > RESPONSE_HEADERS_MAX_KB)) {
        return parse_fail(ctx, E_INVALID, "max_response_headers_kb",
                          "value must be inside range (0, %d]", RESPONSE_HEADERS_MAX_KB);
    }
    return 0;
}

static int parse_http_options_inner(struct parse_context *ctx,
                                    const Envoy__Config__Core__V3__HttpProtocolOptions *m,
                                    struct http_options *ret)
{
    int r = parse_opt_ms(ctx, "idle_timeout", m->idle_timeout, DURATION_ANY, &ret->idle_timeout);

    if (r == 0) {
        r = parse_opt_ms(ctx, "max_connection_duration", m->max_connection_duration, DURATION_ANY,
                         &ret->max_connection_duration);
    }
    if (r == 0) {
        r = parse_opt_ms(ctx, "max_stream_duration", m->max_stream_duration, DURATION_ANY,
                         &ret->max_stream_duration);
    }
    if (r == 0) {
        r = parse_percent(ctx, "max_connection_duration_jitter", m->max_connection_duration_jitter,
                          &ret->max_connection_duration_jitter);
    }
    if (r == 0) {
        r = parse_http_limits(ctx, m, ret);
    }
    if (r < 0) {
        return r;
    }
    switch (m->headers_with_underscores_action) {
    case ENVOY__CONFIG__CORE__V3__HTTP_PROTOCOL_OPTIONS__HEADERS_WITH_UNDERSCORES_ACTION__REJECT_REQUEST:
        ret->headers_with_underscores = UNDERSCORE_REJECT_REQUEST;
        break;
    case ENVOY__CONFIG__CORE__V3__HTTP_PROTOCOL_OPTIONS__HEADERS_WITH_UNDERSCORES_ACTION__DROP_HEADER:
        ret->headers_with_underscores = UNDERSCORE_DROP_HEADER;
        break;
    default:
        ret->headers_with_underscores = UNDERSCORE_ALLOW;
        break;
    }
    return 0;
}

int parse_http_options(struct parse_context *ctx, const char *field,
                       const Envoy__Config__Core__V3__HttpProtocolOptions *m,
                       struct http_options *ret)
{
    size_t at;
    int r;

    *ret = (struct http_options){.headers_with_underscores = UNDERSCORE_ALLOW};
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    r = parse_http_options_inner(ctx, m, ret);
    path_pop(ctx, at);
    return r;
}

int parse_upstream_http_options(struct parse_context *ctx,
                                const Envoy__Config__Core__V3__UpstreamHttpProtocolOptions *m,
                                struct upstream_http_options *ret)
{
    const char *header;

    if (m == NULL) {
        return 0;
    }
    header = m->override_auto_sni_header;
    if (header[0] != '\0') {
        int r = parse_check_strict_header_name(
            ctx, "upstream_http_protocol_options.override_auto_sni_header", header);

        if (r < 0) {
            return r;
        }
    }
    ret->auto_sni = m->auto_sni;
    ret->auto_san_validation = m->auto_san_validation;
    ret->override_auto_sni_header = parse_lower(ctx, header);
    return 0;
}

/* --- HTTP/1 --------------------------------------------------------------------------------- */

static int parse_key_format(struct parse_context *ctx, const HeaderKeyFormat *m,
                            struct http1_options *o)
{
    struct filter_config formatter = {.ext = NULL};
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "header_key_format");
    switch (m->header_format_case) {
    case KEY_FORMAT_CASE(PROPER_CASE_WORDS):
        o->header_key_format = HEADER_KEY_PROPER;
        r = 0;
        break;
    case KEY_FORMAT_CASE(STATEFUL_FORMATTER): {
        size_t inner = path_push(ctx, "stateful_formatter");

        r = parse_typed_extension(ctx, EXT_HEADER_FORMATTER, m->stateful_formatter, &formatter);
        if (r == 0) {
            o->header_key_format = HEADER_KEY_PRESERVED;
            o->header_case = *(const struct header_case_options *)formatter.config;
            path_pop(ctx, inner);
        }
        break;
    }
    default:
        r = parse_fail(ctx, E_INVALID, "header_format", "value is required");
        break;
    }
    path_pop(ctx, at);
    return r;
}

static int parse_ignored_upgrades(struct parse_context *ctx, const Http1 *m,
                                  struct http1_options *o)
{
    struct string_matcher *matchers =
        ARENA_ARRAY(parse_arena(ctx), struct string_matcher, m->n_ignore_http_11_upgrade);

    for (size_t i = 0; i < m->n_ignore_http_11_upgrade; i++) {
        size_t at = path_push_index(ctx, "ignore_http_11_upgrade", i);
        int r = parse_string_matcher(ctx, m->ignore_http_11_upgrade[i], &matchers[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    o->ignored_upgrades = matchers;
    o->ignored_upgrade_count = m->n_ignore_http_11_upgrade;
    return 0;
}

int parse_http1_options(struct parse_context *ctx, const Http1 *m, bool stream_error,
                        struct http1_options *ret)
{
    struct http1_options o = {.stream_error_on_invalid_message = stream_error};
    size_t at;
    int r;

    if (m == NULL) {
        *ret = o;
        return 0;
    }
    at = path_push(ctx, "http_protocol_options");
    o.accept_http_10 = m->accept_http_10;
    o.enable_trailers = m->enable_trailers;
    o.allow_chunked_length = m->allow_chunked_length;
    o.allow_custom_methods = m->allow_custom_methods;
    o.ignores_absolute_url = !parse_bool_or(m->allow_absolute_url, true);
    o.send_fully_qualified_url = m->send_fully_qualified_url;
    o.default_host_for_http_10 = parse_str(ctx, m->default_host_for_http_10);
    o.stream_error_on_invalid_message =
        parse_bool_or(m->override_stream_error_on_invalid_http_message, stream_error);
    r = parse_key_format(ctx, m->header_key_format, &o);
    if (r == 0) {
        r = parse_ignored_upgrades(ctx, m, &o);
    }
    path_pop(ctx, at);
    if (r == 0) {
        *ret = o;
    }
    return r;
}

/* --- HTTP/2: keep-alive --------------------------------------------------------------------- */

static int parse_keepalive_fields(struct parse_context *ctx, const Keepalive *m,
                                  struct http2_keepalive *ret)
{
    int r = parse_check_present(ctx, "timeout", m->timeout);

    if (r == 0) {
        r = parse_ms_or(ctx, "timeout", m->timeout, DURATION_GTE_1MS, 0, &ret->timeout_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "interval", m->interval, DURATION_GTE_1MS, 0, &ret->interval_ms);
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "connection_idle_interval", m->connection_idle_interval,
                        DURATION_GTE_1MS, 0, &ret->idle_interval_ms);
    }
    if (r < 0 || m->interval_jitter == NULL) {
        return r;
    }
    /* Also false for what is not a number. */
    if (!(m->interval_jitter->value >= 0 && m->interval_jitter->value <= 100)) {
        return parse_fail(ctx, E_INVALID, "interval_jitter.value",
                          "value must be inside range [0, 100]");
    }
    ret->interval_jitter = (uint32_t)m->interval_jitter->value; /* as Envoy: whole percents */
    return 0;
}

static int parse_keepalive(struct parse_context *ctx, const Keepalive *m,
                           struct http2_keepalive *ret)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "connection_keepalive");
    r = parse_keepalive_fields(ctx, m, ret);
    path_pop(ctx, at);
    return r;
}

/* --- HTTP/2: settings by number --------------------------------------------------------------- */

/* As Envoy: what has a field of its own is set there, or only here. */
static int check_setting_has_no_field(struct parse_context *ctx, const Http2 *m, uint32_t id)
{
    const struct {
        enum settings_id id;
        const char *field;
        const void *value;
    } named[] = {
        {SETTINGS_HEADER_TABLE_SIZE, "hpack_table_size", m->hpack_table_size},
        {SETTINGS_MAX_CONCURRENT_STREAMS, "max_concurrent_streams", m->max_concurrent_streams},
        {SETTINGS_INITIAL_WINDOW_SIZE, "initial_stream_window_size", m->initial_stream_window_size},
    };

    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        if (id == (uint32_t)named[i].id && named[i].value != NULL) {
            return parse_fail(ctx, E_INVALID, NULL,
                              "the {%s} HTTP/2 SETTINGS parameter(s) can not be configured "
                              "through both named and custom parameters",
                              named[i].field);
        }
    }
    return 0;
}

static int check_setting(struct parse_context *ctx, const Http2 *m, uint32_t id, uint32_t value)
{
    switch (id) {
    case SETTINGS_ENABLE_PUSH:
        return value == 0 ? 0
                          : parse_fail(ctx, E_INVALID, NULL,
                                       "server push is not supported and can not be enabled via a "
                                       "SETTINGS parameter.");
    case SETTINGS_ENABLE_CONNECT_PROTOCOL:
        return parse_fail(ctx, E_INVALID, NULL,
                          "the \"allow_connect\" SETTINGS parameter must only be configured "
                          "through the named field");
    /* Envoy takes these, and has no working connection then. */
    case SETTINGS_INITIAL_WINDOW_SIZE:
        if (value > INT32_MAX) {
            return parse_fail(ctx, E_INVALID, "value", "value must be less than or equal to %d",
                              INT32_MAX);
        }
        break;
    case SETTINGS_MAX_FRAME_SIZE:
        if (value < FRAME_SIZE_MIN || value > FRAME_SIZE_MAX) {
            return parse_fail(ctx, E_INVALID, "value", "value must be inside range [%d, %d]",
                              FRAME_SIZE_MIN, FRAME_SIZE_MAX);
        }
        break;
    case SETTINGS_NO_RFC7540_PRIORITIES:
        if (value > 1) {
            return parse_fail(ctx, E_INVALID, "value", "value must be less than or equal to 1");
        }
        break;
    default:
        break;
    }
    return check_setting_has_no_field(ctx, m, id);
}

static int use_setting(struct parse_context *ctx, bool is_server, uint32_t id, uint32_t value,
                       struct http2_options *o)
{
    switch (id) {
    case SETTINGS_HEADER_TABLE_SIZE:
        o->hpack_table_size = value;
        return 0;
    case SETTINGS_MAX_CONCURRENT_STREAMS:
        o->max_concurrent_streams = value;
        return 0;
    case SETTINGS_INITIAL_WINDOW_SIZE:
        o->initial_stream_window_size = value;
        o->grows_stream_windows = false;
        return 0;
    case SETTINGS_ENABLE_PUSH:
        if (!is_server) {
            return 0; /* every client says so */
        }
        break;
    default:
        break;
    }
    for (size_t i = 0; i < o->custom_setting_count; i++) {
        if (o->custom_settings[i].id == id) {
            return 0;
        }
    }
    if (o->custom_setting_count == HTTP2_CUSTOM_SETTINGS_MAX) {
        return parse_fail(ctx, E_UNSUPPORTED, NULL, "more than %d custom settings",
                          HTTP2_CUSTOM_SETTINGS_MAX);
    }
    o->custom_settings[o->custom_setting_count++] = (struct http2_setting){(uint16_t)id, value};
    return 0;
}

static int check_setting_is_consistent(struct parse_context *ctx, const Http2 *m, size_t n)
{
    const Envoy__Config__Core__V3__Http2ProtocolOptions__SettingsParameter *s =
        m->custom_settings_parameters[n];

    for (size_t i = 0; i < n; i++) {
        if (m->custom_settings_parameters[i]->identifier->value == s->identifier->value &&
            m->custom_settings_parameters[i]->value->value != s->value->value) {
            return parse_fail(ctx, E_INVALID, NULL,
                              "inconsistent HTTP/2 custom SETTINGS parameter(s) detected; "
                              "identifiers = {0x%02x}",
                              s->identifier->value);
        }
    }
    return 0;
}

static int parse_custom_settings(struct parse_context *ctx, const Http2 *m, bool is_server,
                                 struct http2_options *ret)
{
    for (size_t i = 0; i < m->n_custom_settings_parameters; i++) {
        const Envoy__Config__Core__V3__Http2ProtocolOptions__SettingsParameter *s =
            m->custom_settings_parameters[i];
        size_t at = path_push_index(ctx, "custom_settings_parameters", i);
        int r = parse_check_present(ctx, "identifier", s->identifier);

        if (r == 0 && s->identifier->value > SETTINGS_ID_MAX) {
            r = parse_fail(ctx, E_INVALID, "identifier", "value must be inside range [0, %d]",
                           SETTINGS_ID_MAX);
        }
        if (r == 0) {
            r = parse_check_present(ctx, "value", s->value);
        }
        if (r == 0) {
            r = check_setting(ctx, m, s->identifier->value, s->value->value);
        }
        if (r == 0) {
            r = check_setting_is_consistent(ctx, m, i);
        }
        if (r == 0) {
            r = use_setting(ctx, is_server, s->identifier->value, s->value->value, ret);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    return 0;
}

/* --- HTTP/2 --------------------------------------------------------------------------------- */

/* Numbers that stand for themselves, with the range Envoy wants. */
static int parse_http2_numbers(struct parse_context *ctx, const Http2 *m, struct http2_options *o)
{
    const struct {
        const char *field;
        const Google__Protobuf__UInt32Value *value;
        uint32_t min;
        uint32_t max;
        uint32_t *ret;
    } numbers[] = {
        {"hpack_table_size", m->hpack_table_size, 0, UINT32_MAX, &o->hpack_table_size},
        {"max_concurrent_streams", m->max_concurrent_streams, 1, INT32_MAX,
         &o->max_concurrent_streams},
        {"initial_stream_window_size", m->initial_stream_window_size, WINDOW_MIN, INT32_MAX,
         &o->initial_stream_window_size},
        {"initial_connection_window_size", m->initial_connection_window_size, WINDOW_MIN, INT32_MAX,
         &o->initial_connection_window_size},
        {"max_outbound_frames", m->max_outbound_frames, 1, UINT32_MAX, &o->max_outbound_frames},
        {"max_outbound_control_frames", m->max_outbound_control_frames, 1, UINT32_MAX,
         &o->max_outbound_control_frames},
        {"max_consecutive_inbound_frames_with_empty_payload",
         m->max_consecutive_inbound_frames_with_empty_payload, 0, UINT32_MAX,
         &o->max_consecutive_inbound_empty_frames},
        {"max_inbound_priority_frames_per_stream", m->max_inbound_priority_frames_per_stream, 0,
         UINT32_MAX, &o->max_inbound_priority_frames_per_stream},
        {"max_inbound_window_update_frames_per_data_frame_sent",
         m->max_inbound_window_update_frames_per_data_frame_sent, 1, UINT32_MAX,
         &o->max_inbound_window_update_frames_per_data_frame},
    };

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uint32_t value;

        if (numbers[i].value == NULL) {
            continue;
        }
        value = numbers[i].value->value;
        if (value < numbers[i].min || value > numbers[i].max) {
            return numbers[i].max == UINT32_MAX
                       ? parse_fail(ctx, E_INVALID, numbers[i].field,
                                    "value must be greater than or equal to %u", numbers[i].min)
                       : parse_fail(ctx, E_INVALID, numbers[i].field,
                                    "value must be inside range [%u, %u]", numbers[i].min,
                                    numbers[i].max);
        }
        *numbers[i].ret = value;
    }
    return 0;
}

/* What is taken with some values only. */
static int check_http2_partial(struct parse_context *ctx, const Http2 *m)
{
    const Google__Protobuf__UInt32Value *kb = m->max_header_field_size_kb;
    int r = 0;

    if (kb != NULL && (kb->value < HEADER_FIELD_MAX_KB || kb->value > 256)) {
        return parse_fail(ctx, E_INVALID, "max_header_field_size_kb",
                          "value must be inside range [64, 256]");
    }
    if (kb != NULL && kb->value > HEADER_FIELD_MAX_KB) {
        r = parse_report_unsupported(ctx, &m->base, "max_header_field_size_kb");
    }
    if (r == 0 && m->allow_metadata) {
        r = parse_report_unsupported(ctx, &m->base, "allow_metadata");
    }
    return r;
}

/* As Envoy: the override, then the connection manager's, then the deprecated field. */
static bool http2_stream_error(const Http2 *m, struct opt_bool of_manager)
{
    if (m != NULL && m->override_stream_error_on_invalid_http_message != NULL) {
        return m->override_stream_error_on_invalid_http_message->value;
    }
    if (of_manager.is_set) {
        return of_manager.value;
    }
    return m != NULL && m->stream_error_on_invalid_http_messaging;
}

int parse_http2_options(struct parse_context *ctx, const char *field, const Http2 *m,
                        bool is_server, struct opt_bool stream_error, struct http2_options *ret)
{
    size_t at;
    int r;

    *ret = http2_options_defaults(is_server);
    ret->stream_error_on_invalid_message = http2_stream_error(m, stream_error);
    if (m == NULL) {
        return 0;
    }
    ret->allow_connect = m->allow_connect;
    ret->grows_stream_windows = m->initial_stream_window_size == NULL;
    at = path_push(ctx, field);
    r = parse_http2_numbers(ctx, m, ret);
    if (r == 0) {
        r = check_http2_partial(ctx, m);
    }
    if (r == 0) {
        r = parse_keepalive(ctx, m->connection_keepalive, &ret->keepalive);
    }
    if (r == 0) {
        r = parse_custom_settings(ctx, m, is_server, ret);
    }
    path_pop(ctx, at);
    return r;
}
