/* The options of HTTP to the model: every field, the defaults of both sides, and what is refused.
 * Envoy's verdicts on more of them are in integration/corpus/verdicts/. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/parse_support.h"
#include "config/parse/protocol.h"

static struct parse_fixture f;

static const struct opt_bool UNSET;

static int parse2(const char *yaml, bool is_server, struct opt_bool stream_error,
                  struct http2_options *ret)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&f, sizeof(struct part), PART_CLUSTER, "c");
    assert_int_equal(
        parse_fixture_message(&f, &envoy__config__core__v3__http2_protocol_options__descriptor,
                              str_c(yaml), &m),
        0);
    return parse_http2_options(&f.ctx, "h2", (const void *)m, is_server, stream_error, ret);
}

static void parse2_ok(const char *yaml, bool is_server, struct http2_options *ret)
{
    if (parse2(yaml, is_server, UNSET, ret) != 0) {
        fail_msg("%s: %s", yaml, error_message(&f.err));
    }
}

static void silence_is_the_default_of_the_side(void **state)
{
    for (int is_server = 0; is_server <= 1; is_server++) {
        struct http2_options want = http2_options_defaults(is_server);
        struct http2_options got;

        parse2_ok("{}", is_server, &got);
        assert_memory_equal(&got, &want, sizeof(got));
        assert_int_equal(parse_http2_options(&f.ctx, "h2", NULL, is_server, UNSET, &got), 0);
        assert_memory_equal(&got, &want, sizeof(got));
        parse_fixture_done(&f);
    }
}

static void every_field_is_read(void **state)
{
    struct http2_options o;

    parse2_ok("{hpack_table_size: 1, max_concurrent_streams: 2, initial_stream_window_size: 65537,"
              " initial_connection_window_size: 65538, allow_connect: true, max_outbound_frames: 3,"
              " max_outbound_control_frames: 4, max_consecutive_inbound_frames_with_empty_payload:"
              " 0, max_inbound_priority_frames_per_stream: 6,"
              " max_inbound_window_update_frames_per_data_frame_sent: 7, connection_keepalive:"
              " {interval: 8s, timeout: 9s, interval_jitter: {value: 10.9},"
              " connection_idle_interval: 11s}, max_header_field_size_kb: 64}",
              true, &o);
    assert_int_equal(o.hpack_table_size, 1);
    assert_int_equal(o.max_concurrent_streams, 2);
    assert_int_equal(o.initial_stream_window_size, 65537);
    assert_false(o.grows_stream_windows);
    assert_int_equal(o.initial_connection_window_size, 65538);
    assert_true(o.allow_connect);
    assert_int_equal(o.max_outbound_frames, 3);
    assert_int_equal(o.max_outbound_control_frames, 4);
    assert_int_equal(o.max_consecutive_inbound_empty_frames, 0);
    assert_int_equal(o.max_inbound_priority_frames_per_stream, 6);
    assert_int_equal(o.max_inbound_window_update_frames_per_data_frame, 7);
    assert_int_equal(o.keepalive.interval_ms, 8000);
    assert_int_equal(o.keepalive.timeout_ms, 9000);
    assert_int_equal(o.keepalive.interval_jitter, 10);
    assert_int_equal(o.keepalive.idle_interval_ms, 11000);
    assert_int_equal(f.ctx.unsupported_count, 0);
    parse_fixture_done(&f);
}

static void a_connection_window_leaves_stream_windows_growing(void **state)
{
    struct http2_options o;

    parse2_ok("{initial_connection_window_size: 65535}", false, &o);
    assert_true(o.grows_stream_windows);
    parse_fixture_done(&f);
}

/* override, then what the connection manager says, then the deprecated field */
static void who_decides_about_invalid_messages(void **state)
{
    static const struct opt_bool yes = {.is_set = true, .value = true};
    static const struct opt_bool no = {.is_set = true, .value = false};
    static const struct {
        const char *yaml;
        const struct opt_bool *of_manager;
        bool want;
    } rows[] = {
        {"{}", &UNSET, false},
        {"{}", &yes, true},
        {"{override_stream_error_on_invalid_http_message: true}", &UNSET, true},
        {"{override_stream_error_on_invalid_http_message: true}", &no, true},
        {"{override_stream_error_on_invalid_http_message: false}", &yes, false},
        {"{override_stream_error_on_invalid_http_message: false,"
         " stream_error_on_invalid_http_messaging: true}",
         &UNSET, false},
        {"{stream_error_on_invalid_http_messaging: true}", &UNSET, true},
        {"{stream_error_on_invalid_http_messaging: true}", &no, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http2_options o;

        assert_int_equal(parse2(rows[i].yaml, true, *rows[i].of_manager, &o), 0);
        assert_int_equal(o.stream_error_on_invalid_message, rows[i].want);
        parse_fixture_done(&f);
    }
}

static void settings_by_number(void **state)
{
    struct http2_options o;

    parse2_ok("{custom_settings_parameters: [{identifier: 1, value: 5}, {identifier: 3, value: 6},"
              " {identifier: 4, value: 7}, {identifier: 2, value: 0}, {identifier: 6, value: 8},"
              " {identifier: 6, value: 8}]}",
              true, &o);
    assert_int_equal(o.hpack_table_size, 5);
    assert_int_equal(o.max_concurrent_streams, 6);
    assert_int_equal(o.initial_stream_window_size, 7);
    assert_false(o.grows_stream_windows);
    assert_int_equal(o.custom_setting_count, 2);
    assert_int_equal(o.custom_settings[0].id, 2);
    assert_int_equal(o.custom_settings[1].id, 6);
    assert_int_equal(o.custom_settings[1].value, 8);
    parse_fixture_done(&f);
    /* A client says that about push in any case. */
    parse2_ok("{custom_settings_parameters: [{identifier: 2, value: 0}]}", false, &o);
    assert_int_equal(o.custom_setting_count, 0);
    parse_fixture_done(&f);
}

static void some_values_are_reported(void **state)
{
    struct http2_options o;

    parse2_ok("{allow_metadata: true, max_header_field_size_kb: 65}", true, &o);
    assert_int_equal(f.ctx.unsupported_count, 2);
    assert_true(str_eq(f.ctx.unsupported->path, STR("h2.allow_metadata")));
    assert_true(str_eq(f.ctx.unsupported->next->path, STR("h2.max_header_field_size_kb")));
    parse_fixture_done(&f);
    parse2_ok("{allow_metadata: false}", true, &o);
    assert_int_equal(f.ctx.unsupported_count, 0);
    f.ctx.is_strict = true;
    {
        Envoy__Config__Core__V3__Http2ProtocolOptions m =
            ENVOY__CONFIG__CORE__V3__HTTP2_PROTOCOL_OPTIONS__INIT;

        m.allow_metadata = true;
        assert_int_equal(parse_http2_options(&f.ctx, "h2", &m, true, UNSET, &o), E_UNSUPPORTED);
    }
    assert_string_equal(error_message(&f.err), "h2.allow_metadata: this value is not supported by "
                                               "this build (--strict)");
    parse_fixture_done(&f);
}

/* What Envoy takes, and has no working connection with; the rest is in the verdicts. */
static void settings_that_no_peer_may_see_are_refused(void **state)
{
    static const struct {
        const char *yaml;
        int code;
        const char *error;
    } rows[] = {
        {"{custom_settings_parameters: [{identifier: 4, value: 2147483648}]}", E_INVALID,
         "h2.custom_settings_parameters[0].value: value must be less than or equal to 2147483647"},
        {"{custom_settings_parameters: [{identifier: 5, value: 16383}]}", E_INVALID,
         "h2.custom_settings_parameters[0].value: value must be inside range [16384, 16777215]"},
        {"{custom_settings_parameters: [{identifier: 9, value: 2}]}", E_INVALID,
         "h2.custom_settings_parameters[0].value: value must be less than or equal to 1"},
        {"{custom_settings_parameters: [{identifier: 10, value: 0}, {identifier: 11, value: 0},"
         " {identifier: 12, value: 0}, {identifier: 13, value: 0}, {identifier: 14, value: 0}]}",
         E_UNSUPPORTED, "h2.custom_settings_parameters[4]: more than 4 custom settings"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http2_options o;

        assert_int_equal(parse2(rows[i].yaml, true, UNSET, &o), rows[i].code);
        assert_string_equal(error_message(&f.err), rows[i].error);
        parse_fixture_done(&f);
    }
}

static void http1(void **state)
{
    Envoy__Config__Core__V3__Http1ProtocolOptions m =
        ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__INIT;
    Google__Protobuf__BoolValue no = GOOGLE__PROTOBUF__BOOL_VALUE__INIT;
    struct http1_options o;

    parse_fixture_init(&f, sizeof(struct part), PART_CLUSTER, "c");
    assert_int_equal(parse_http1_options(&f.ctx, NULL, false, &o), 0);
    assert_false(o.accept_http_10 || o.enable_trailers || o.stream_error_on_invalid_message);
    m.accept_http_10 = true;
    m.enable_trailers = true;
    m.default_host_for_http_10 = (char *)(uintptr_t) "host";
    assert_int_equal(parse_http1_options(&f.ctx, &m, true, &o), 0);
    assert_true(o.accept_http_10 && o.enable_trailers && o.stream_error_on_invalid_message);
    assert_true(str_eq(o.default_host_for_http_10, STR("host")));
    m.override_stream_error_on_invalid_http_message = &no;
    assert_int_equal(parse_http1_options(&f.ctx, &m, true, &o), 0);
    assert_false(o.stream_error_on_invalid_message);
    parse_fixture_done(&f);
}

static int parse1(const char *yaml, struct http1_options *ret)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&f, sizeof(struct part), PART_CLUSTER, "c");
    assert_int_equal(
        parse_fixture_message(&f, &envoy__config__core__v3__http1_protocol_options__descriptor,
                              str_c(yaml), &m),
        0);
    return parse_http1_options(&f.ctx, (const void *)m, false, ret);
}

static void http1_every_field(void **state)
{
    struct http1_options o;

    assert_int_equal(parse1("{allow_absolute_url: false, allow_chunked_length: true,"
                            " allow_custom_methods: true, send_fully_qualified_url: true,"
                            " header_key_format: {proper_case_words: {}},"
                            " ignore_http_11_upgrade: [{exact: a}, {prefix: b}]}",
                            &o),
                     0);
    assert_true(o.ignores_absolute_url && o.allow_chunked_length && o.allow_custom_methods);
    assert_true(o.send_fully_qualified_url);
    assert_int_equal(o.header_key_format, HEADER_KEY_PROPER);
    assert_int_equal(o.ignored_upgrade_count, 2);
    assert_true(string_matcher_matches(&o.ignored_upgrades[1], STR("bc")));
    parse_fixture_done(&f);
    assert_int_equal(parse1("{header_key_format: {}}", &o), E_INVALID);
    assert_non_null(strstr(error_message(&f.err),
                           "http_protocol_options.header_key_format.header_format: value is"));
    parse_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_the_default_of_the_side),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(a_connection_window_leaves_stream_windows_growing),
        cmocka_unit_test(who_decides_about_invalid_messages),
        cmocka_unit_test(settings_by_number),
        cmocka_unit_test(some_values_are_reported),
        cmocka_unit_test(settings_that_no_peer_may_see_are_refused),
        cmocka_unit_test(http1),
        cmocka_unit_test(http1_every_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
