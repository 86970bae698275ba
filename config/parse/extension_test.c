/* Extensions by type, and per-route configuration by filter name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/route.h"
#include "config/parse/extension.h"
#include "config/parse/parse_support.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"

#define assert_str(s, text) assert_true(str_eq((s), str_c(text)))
#define GOOD                                                                                       \
    "{'@type': type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig}"
#define WRAPPED "'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig"

struct parsed {
    struct parse_fixture f;
    struct filter_overrides overrides;
    int result;
};

static void parsed_init(struct parsed *p, const char *map)
{
    const Envoy__Config__Route__V3__Route *route;
    const ProtobufCMessage *m;
    struct strbuf yaml;

    strbuf_init(&yaml);
    strbuf_addf(&yaml, "{typed_per_filter_config: %s}", map);
    p->overrides = (struct filter_overrides){NULL, 0};
    parse_fixture_init(&p->f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    p->result = parse_fixture_message(&p->f, &envoy__config__route__v3__route__descriptor,
                                      strbuf_str(&yaml), &m);
    strbuf_done(&yaml);
    if (p->result == 0) {
        route = (const Envoy__Config__Route__V3__Route *)m;
        p->result = parse_filter_overrides(&p->f.ctx, FILTER_OVERRIDE_FIELDS(route), &p->overrides);
    }
}

static void test_override_of_a_type_that_has_one(void **state)
{
    struct parsed p;
    const struct filter_override *o;

    parsed_init(&p, "{a: " GOOD ", b: {" WRAPPED ", config: " GOOD "}}");
    assert_int_equal(p.result, 0);
    assert_int_equal(p.overrides.count, 2);
    o = filter_overrides_find(&p.overrides, STR("a"));
    assert_string_equal(o->ext->name, "test.with_override");
    assert_string_equal(o->config, "override");
    assert_false(o->disabled);
    assert_false(o->is_enabled_only);
    o = filter_overrides_find(&p.overrides, STR("b"));
    assert_string_equal(o->config, "override");
    assert_null(filter_overrides_find(&p.overrides, STR("c")));
    parse_fixture_done(&p.f);
}

static void test_switches(void **state)
{
    struct parsed p;

    parsed_init(&p, "{on: {" WRAPPED ", config: {}}, off: {" WRAPPED
                    ", disabled: true, config: " GOOD "}}");
    assert_int_equal(p.result, 0);
    assert_true(filter_overrides_find(&p.overrides, STR("on"))->is_enabled_only);
    assert_null(filter_overrides_find(&p.overrides, STR("on"))->ext);
    assert_true(filter_overrides_find(&p.overrides, STR("off"))->disabled);
    parse_fixture_done(&p.f);
}

static void test_optional_unknown_ones_count_as_not_written(void **state)
{
    struct parsed p;

    parsed_init(&p, "{x: {" WRAPPED ", is_optional: true, config: {'@type':"
                    " type.googleapis.com/google.protobuf.Struct, value: {}}}, y: " GOOD "}");
    assert_int_equal(p.result, 0);
    assert_int_equal(p.overrides.count, 1);
    assert_null(filter_overrides_find(&p.overrides, STR("x")));
    parse_fixture_done(&p.f);

    parsed_init(&p, "{x: {" WRAPPED ", config: {'@type':"
                    " type.googleapis.com/google.protobuf.Struct, value: {}}}}");
    assert_int_equal(p.result, E_UNSUPPORTED);
    assert_string_equal(error_message(&p.f.err),
                        "typed_per_filter_config[\"x\"].config: Didn't find a registered "
                        "implementation for 'x' with type URL: 'google.protobuf.Struct'");
    parse_fixture_done(&p.f);
}

static void test_no_overrides(void **state)
{
    struct parsed p;

    parsed_init(&p, "{}");
    assert_int_equal(p.result, 0);
    assert_int_equal(p.overrides.count, 0);
    parse_fixture_done(&p.f);
}

static void test_lookup_is_by_category_and_type(void **state)
{
    struct str uuid = STR("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig");

    assert_non_null(extension_find(&parse_test_registry, EXT_NETWORK_FILTER, uuid));
    assert_null(extension_find(&parse_test_registry, EXT_HTTP_FILTER, uuid));
    assert_non_null(extension_find_override(&parse_test_registry, EXT_HTTP_FILTER, uuid));
    assert_null(extension_find(&parse_test_registry, EXT_NETWORK_FILTER, STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_override_of_a_type_that_has_one),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_optional_unknown_ones_count_as_not_written),
        cmocka_unit_test(test_no_overrides),
        cmocka_unit_test(test_lookup_is_by_category_and_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
