/* HttpProtocolOptions messages, good and bad, and what they parse to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/cluster.h"
#include "config/parse/cluster.h"
#include "config/parse/verdict_support.h"
#include "dataplane/extensions/registry.h"

extern const struct extension upstream_options_http;

static int parse(struct parse_fixture *f, const char *text,
                 const struct upstream_http_options **ret)
{
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    parse_fixture_init(f, sizeof(struct cluster_config), PART_CLUSTER, "c");
    assert_int_equal(parse_fixture_message(f, upstream_options_http.descriptor, str_c(text), &m),
                     0);
    r = upstream_options_http.parse(&f->ctx, m, &config);
    *ret = config;
    return r;
}

static void http1_is_read(void **state)
{
    const struct upstream_http_options *o;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f,
                           "common_http_protocol_options: {idle_timeout: 9s}\n"
                           "explicit_http_config: {http_protocol_options: "
                           "{enable_trailers: true}}\n",
                           &o),
                     0);
    assert_true(o->has_common && o->http1.enable_trailers);
    assert_int_equal(o->protocol, UPSTREAM_HTTP1);
    assert_int_equal(o->common.idle_timeout.ms, 9000);
    parse_fixture_done(&f);
}

static void http2_is_read(void **state)
{
    const struct upstream_http_options *o;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, "explicit_http_config: {http2_protocol_options: {}}", &o), 0);
    assert_int_equal(o->protocol, UPSTREAM_HTTP2);
    assert_false(o->has_common);
    parse_fixture_done(&f);
}

/* As http2_is_read: what each of the three says of HTTP/2 arrives. */
static void options_of_every_protocol_are_read(void **state)
{
    static const struct {
        const char *text;
        enum upstream_http_protocol protocol;
    } rows[] = {
        {"explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 7}}",
         UPSTREAM_HTTP2},
        {"use_downstream_protocol_config: {http_protocol_options: {enable_trailers: true}, "
         "http2_protocol_options: {max_concurrent_streams: 7}}",
         UPSTREAM_HTTP_DOWNSTREAM},
        {"auto_config: {http_protocol_options: {enable_trailers: true}, "
         "http2_protocol_options: {max_concurrent_streams: 7}}",
         UPSTREAM_HTTP_AUTO},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct upstream_http_options *o;
        struct parse_fixture f;

        assert_int_equal(parse(&f, rows[i].text, &o), 0);
        assert_int_equal(o->protocol, rows[i].protocol);
        assert_int_equal(o->http2.max_concurrent_streams, 7);
        assert_int_equal(o->http1.enable_trailers, rows[i].protocol != UPSTREAM_HTTP2);
        parse_fixture_done(&f);
    }
}

static void silence_has_the_defaults_of_a_client(void **state)
{
    struct http2_options defaults = http2_options_defaults(false);
    const struct upstream_http_options *o;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, "use_downstream_protocol_config: {}", &o), 0);
    assert_memory_equal(&o->http2, &defaults, sizeof(defaults));
    assert_false(o->http1.enable_trailers);
    parse_fixture_done(&f);
}

static void a_protocol_is_required(void **state)
{
    const char *const bad[] = {"{}", "explicit_http_config: {}"};
    const struct upstream_http_options *o;
    struct parse_fixture f;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(&f, bad[i], &o), E_INVALID);
        assert_non_null(strstr(error_message(&f.err), "value is required"));
        parse_fixture_done(&f);
    }
}

static int parse_cluster_case(struct parse_fixture *f, struct str json)
{
    const ProtobufCMessage *m;
    int r;

    f->ctx.registry = &extension_registry;
    r = parse_fixture_message(f, &envoy__config__cluster__v3__cluster__descriptor, json, &m);
    return r < 0 ? r
                 : parse_cluster(&f->ctx, (const Envoy__Config__Cluster__V3__Cluster *)m,
                                 (struct cluster_config *)f->part);
}

static void envoys_verdicts(void **state)
{
    (void)state;
    verdicts_check(VERDICTS_DIR "upstream_http.tsv", PART_CLUSTER, sizeof(struct cluster_config),
                   parse_cluster_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_is_read),
        cmocka_unit_test(http2_is_read),
        cmocka_unit_test(options_of_every_protocol_are_read),
        cmocka_unit_test(silence_has_the_defaults_of_a_client),
        cmocka_unit_test(a_protocol_is_required),
        cmocka_unit_test(envoys_verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
