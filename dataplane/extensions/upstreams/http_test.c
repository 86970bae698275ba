/* HttpProtocolOptions messages, good and bad, and what they parse to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/cluster.h"
#include "config/parse/parse_support.h"

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

static void the_downstreams_protocol_is_http1(void **state)
{
    const struct upstream_http_options *o;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, "use_downstream_protocol_config: {http_protocol_options: {}}", &o),
                     0);
    assert_int_equal(o->protocol, UPSTREAM_HTTP_DOWNSTREAM);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_is_read),
        cmocka_unit_test(http2_is_read),
        cmocka_unit_test(the_downstreams_protocol_is_http1),
        cmocka_unit_test(a_protocol_is_required),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
