/* What is inside an Any, also through TypedStruct. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/any.h"
#include "config/parse/parse_support.h"
#include "config/pb_arena.h"
#include "config/pb_text.h"
#include "config/text_node.h"
#include "proto/envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

#define OPTIONS "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#define IN_UDPA "'@type': x/udpa.type.v1.TypedStruct\ntype_url: " OPTIONS "\n"
#define IN_XDS "'@type': x/xds.type.v3.TypedStruct\ntype_url: " OPTIONS "\n"

static struct parse_fixture f;

static int setup(void **state)
{
    parse_fixture_init(&f, sizeof(struct part), PART_CLUSTER, "x");
    (void)path_push(&f.ctx, "typed_config");
    return 0;
}

static int teardown(void **state)
{
    parse_fixture_done(&f);
    return 0;
}

static const Google__Protobuf__Any *any_of(const char *yaml)
{
    struct pb_text_options options = {.allow_unknown = false};
    const struct text_node *node = NULL;
    ProtobufCMessage *m = NULL;

    assert_int_equal(yaml_parse(str_c(yaml), &f.scratch, &node, &f.err), 0);
    assert_int_equal(
        pb_from_text(node, &google__protobuf__any__descriptor, &options, &f.scratch, &m, &f.err),
        0);
    return (const Google__Protobuf__Any *)m;
}

static int unpack(const char *yaml,
                  const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions **ret)
{
    ProtobufCMessage *m = NULL;
    int r = any_unpack(&f.ctx, any_of(yaml),
                       &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
                       &f.scratch, &m);

    *ret = (const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *)m;
    assert_int_equal(f.ctx.depth, 0);
    return r;
}

static void assert_name(const Google__Protobuf__Any *any, const char *want)
{
    struct str name = any_type_name(any);

    assert_int_equal(name.len, strlen(want));
    assert_memory_equal(name.ptr, want, name.len);
}

static void test_type_names(void **state)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

    assert_int_equal(any_type_name(&any).len, 0);
    any.type_url = (char *)(uintptr_t) "a.com/b/c.D";
    assert_name(&any, "c.D");
    any.type_url = (char *)(uintptr_t) "c.D";
    assert_name(&any, "c.D");
    assert_name(any_of(IN_UDPA), "envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
    assert_name(any_of("'@type': x/xds.type.v3.TypedStruct\nvalue: {a: 1}\ntype_url: c.D"), "c.D");
    assert_int_equal(any_type_name(any_of("'@type': x/xds.type.v3.TypedStruct")).len, 0);
}

static void test_malformed_typed_struct_has_no_name(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } CASES[] = {{"\x0a", 1},
                 {"\x0a\x05x", 3},
                 {"\x12\x05x", 3},
                 {"\x0a\x80", 2},
                 {"\x0a\xff\xff\xff\xff\xff\x01", 7},
                 {"\x08\x01", 2},
                 {"\x0f", 1}};
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

    any.type_url = (char *)(uintptr_t) "x/udpa.type.v1.TypedStruct";
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        any.value = (ProtobufCBinaryData){CASES[i].len, (uint8_t *)(uintptr_t)CASES[i].bytes};
        assert_int_equal(any_type_name(&any).len, 0);
    }
}

static void test_native(void **state)
{
    const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *m;

    assert_int_equal(
        unpack("'@type': " OPTIONS "\nexplicit_http_config: {http_protocol_options: {}}", &m), 0);
    assert_non_null(m->explicit_http_config);
    assert_int_equal(f.ctx.unsupported_count, 0);
}

static void test_typed_structs(void **state)
{
    const char *const HEADS[] = {IN_UDPA, IN_XDS};

    for (size_t i = 0; i < 2; i++) {
        const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *m;
        struct strbuf yaml;

        strbuf_init(&yaml);
        strbuf_addf(&yaml,
                    "%svalue: {common_http_protocol_options: {maxRequestsPerConnection: 7, "
                    "idle_timeout: 1.5s}}",
                    HEADS[i]);
        assert_int_equal(unpack(yaml.ptr, &m), 0);
        assert_int_equal(m->common_http_protocol_options->max_requests_per_connection->value, 7);
        assert_int_equal(m->common_http_protocol_options->idle_timeout->nanos, 500000000);
        strbuf_done(&yaml);
    }
}

static void test_a_typed_struct_without_value_is_the_default(void **state)
{
    const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *m;

    assert_int_equal(unpack(IN_XDS, &m), 0);
    assert_null(m->common_http_protocol_options);
}

static void test_errors_inside_name_the_place(void **state)
{
    const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *m;

    assert_int_equal(unpack(IN_XDS "value: {common_http_protocol_options: {idle_timeout: 5}}", &m),
                     E_INVALID);
    assert_string_equal(error_message(&f.err),
                        "typed_config: common_http_protocol_options.idle_timeout: duration "
                        "expected, such as \"1.5s\"");
}

static void test_unsupported_fields_inside_are_reported(void **state)
{
    const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *m;

    assert_int_equal(unpack("'@type': " OPTIONS "\nhttp_filters: [{name: x}]", &m), 0);
    assert_int_equal(unpack(IN_UDPA "value: {http_filters: [{name: x}]}", &m), 0);
    assert_int_equal(f.ctx.unsupported_count, 2);
    for (const struct unsupported_field *u = f.ctx.unsupported; u != NULL; u = u->next) {
        assert_true(str_eq(u->path, STR("typed_config.http_filters")));
    }
}

static void test_keys_that_nobody_knows(void **state)
{
    const Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions *m;

    f.ctx.rejects_unknown = false;
    assert_int_equal(unpack(IN_UDPA "value: {foo: 1}", &m), 0);
    assert_int_equal(f.ctx.unsupported_count, 1);
    assert_true(str_eq(f.ctx.unsupported->path, STR("typed_config.foo")));
    f.ctx.rejects_unknown = true;
    assert_int_equal(unpack(IN_UDPA "value: {foo: 1}", &m), E_INVALID);
    assert_string_equal(error_message(&f.err),
                        "typed_config: no such field: 'foo' in "
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
}

static void test_hostile_bytes(void **state)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    ProtobufCMessage *m = NULL;

    any.type_url = (char *)(uintptr_t)OPTIONS;
    any.value = (ProtobufCBinaryData){2, (uint8_t *)(uintptr_t) "\x0a\x05"};
    assert_int_equal(
        any_unpack(&f.ctx, &any,
                   &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
                   &f.scratch, &m),
        E_INVALID);
    assert_null(m);
}

static void test_one_budget_of_depth(void **state)
{
    const Google__Protobuf__Any *any = any_of("'@type': " OPTIONS);
    ProtobufCMessage *m = NULL;

    f.ctx.depth = 100;
    assert_int_equal(
        any_unpack(&f.ctx, any,
                   &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
                   &f.scratch, &m),
        E_LIMIT);
    assert_string_equal(error_message(&f.err), "typed_config: nested too deeply");
    assert_int_equal(f.ctx.depth, 100);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_type_names),
        TEST(test_malformed_typed_struct_has_no_name),
        TEST(test_native),
        TEST(test_typed_structs),
        TEST(test_a_typed_struct_without_value_is_the_default),
        TEST(test_errors_inside_name_the_place),
        TEST(test_unsupported_fields_inside_are_reported),
        TEST(test_keys_that_nobody_knows),
        TEST(test_hostile_bytes),
        TEST(test_one_budget_of_depth),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
