/* Paths, names, and the report of fields that are not implemented. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/cluster.h"
#include "config/parse/context.h"
#include "config/parse/parse_support.h"
#include "config/pb_text.h"
#include "config/pb_unpack.h"
#include "config/text_node.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"

static struct parse_fixture f;

static int setup(void **state)
{
    parse_fixture_init(&f, sizeof(struct part), PART_ROUTE_TABLE, "x");
    return 0;
}

static int teardown(void **state)
{
    parse_fixture_done(&f);
    return 0;
}

static int check(const ProtobufCMessageDescriptor *d, const char *yaml)
{
    struct pb_text_options options = {.allow_unknown = true};
    const struct text_node *root = NULL;
    ProtobufCMessage *m = NULL;

    assert_int_equal(yaml_parse(str_c(yaml), &f.scratch, &root, &f.err), 0);
    assert_int_equal(pb_from_text(root, d, &options, &f.scratch, &m, &f.err), 0);
    return parse_check_tree(&f.ctx, m);
}

#define ROUTES &envoy__config__route__v3__route_configuration__descriptor
#define BOOTSTRAP &envoy__config__bootstrap__v3__bootstrap__descriptor

/* "path (message), ..." in the order they were found. */
static void assert_report(const char *want)
{
    const char *got = "";

    for (size_t n = f.ctx.unsupported_count; n-- > 0;) {
        const struct unsupported_field *u = f.ctx.unsupported;

        for (size_t i = 0; i < n; i++) {
            u = u->next;
        }
        got = arena_printf(&f.scratch, "%s%s%.*s (%.*s)", got, got[0] != '\0' ? ", " : "",
                           STR_ARG(u->path), STR_ARG(u->message))
                  .ptr;
    }
    assert_string_equal(got, want);
}

static void test_paths(void **state)
{
    size_t a = path_push(&f.ctx, "routes");
    size_t b;
    size_t c;

    assert_string_equal(f.ctx.path.text, "routes");
    path_pop(&f.ctx, a);
    a = path_push_index(&f.ctx, "routes", 12);
    b = path_push_key(&f.ctx, "typed_per_filter_config", "a.b");
    c = path_push(&f.ctx, "config");
    assert_string_equal(f.ctx.path.text, "routes[12].typed_per_filter_config[\"a.b\"].config");
    path_pop(&f.ctx, c);
    path_pop(&f.ctx, b);
    assert_int_equal(parse_fail(&f.ctx, E_INVALID, "name", "is %d", 5), E_INVALID);
    assert_string_equal(error_message(&f.err), "routes[12].name: is 5");
    path_pop(&f.ctx, a);
    assert_int_equal(f.ctx.path.len, 0);
}

static void test_a_path_that_is_too_long_is_cut(void **state)
{
    for (int i = 0; i < 1000; i++) {
        (void)path_push(&f.ctx, "abcdefghij");
    }
    assert_int_equal(f.ctx.path.len, FIELD_PATH_MAX - 1);
    (void)path_push_index(&f.ctx, "routes", SIZE_MAX);
    assert_int_equal(f.ctx.path.len, FIELD_PATH_MAX - 1);
    path_pop(&f.ctx, 10);
    assert_string_equal(f.ctx.path.text, "abcdefghij");
}

static void test_a_sentence_without_a_path(void **state)
{
    (void)parse_fail(&f.ctx, E_INVALID, NULL, "no");
    assert_string_equal(error_message(&f.err), "no");
}

static void test_fields_that_envoy_has(void **state)
{
    assert_int_equal(check(ROUTES,
                           "virtual_hosts: [{name: a}, {name: b, routes: [{name: c}, {name: "
                           "d, route: {cluster: x, hedge_policy: {}}}]}]\n"
                           "metadata: {}"),
                     0);
    assert_report(
        "metadata (envoy.config.route.v3.RouteConfiguration), "
        "virtual_hosts[1].routes[1].route.hedge_policy (envoy.config.route.v3.RouteAction)");
}

static void test_the_path_begins_where_the_parser_is(void **state)
{
    size_t at = path_push(&f.ctx, "route_config");

    assert_int_equal(check(ROUTES, "virtual_hosts: [{name: a, hedge_policy: {}}]"), 0);
    path_pop(&f.ctx, at);
    assert_report("route_config.virtual_hosts[0].hedge_policy (envoy.config.route.v3.VirtualHost)");
}

static void test_what_would_widen_a_match_is_refused(void **state)
{
    assert_int_equal(check(ROUTES, "virtual_hosts: [{routes: [{match: {prefix: /, "
                                   "filter_state: [{key: x}]}}]}]"),
                     E_UNSUPPORTED);
    assert_string_equal(error_message(&f.err),
                        "virtual_hosts[0].routes[0].match.filter_state: not supported by this "
                        "build, and not safe to ignore");
}

/* "path_specifier is required" would be the wrong complaint. */
static void test_a_member_of_a_required_oneof_is_refused_as_such(void **state)
{
    assert_int_equal(check(ROUTES, "virtual_hosts: [{routes: [{match: {path_match_policy: {}}}]}]"),
                     E_UNSUPPORTED);
    assert_string_equal(error_message(&f.err),
                        "virtual_hosts[0].routes[0].match.path_match_policy: not supported by this "
                        "build, and not safe to ignore");
}

static void test_strict(void **state)
{
    f.ctx.is_strict = true;
    assert_int_equal(check(ROUTES, "metadata: {}"), E_UNSUPPORTED);
    assert_string_equal(error_message(&f.err), "metadata: not supported by this build (--strict)");
}

static void test_fields_that_nobody_has(void **state)
{
    f.ctx.rejects_unknown = false;
    assert_int_equal(check(BOOTSTRAP, "node: {locality: {foo: 1}}"), 0);
    assert_report("node.locality.foo (envoy.config.core.v3.Locality)");
    f.ctx.rejects_unknown = true;
    assert_int_equal(check(BOOTSTRAP, "node: {locality: {foo: 1}}"), E_UNSUPPORTED);
    assert_string_equal(error_message(&f.err), "node.locality.foo: no such field");
}

static int check_wire(const ProtobufCMessageDescriptor *d, const char *bytes, size_t len)
{
    ProtobufCMessage *m = NULL;

    assert_int_equal(pb_unpack(d, (const uint8_t *)bytes, len, &f.scratch, &m, &f.err), 0);
    return parse_check_tree(&f.ctx, m);
}

static void test_the_wire(void **state)
{
    f.ctx.rejects_unknown = false;
    /* hedge_policy of virtual_hosts[0] is 17; 9999 is nobody's */
    assert_int_equal(check_wire(ROUTES, "\x12\x03\x8a\x01\x00", 5), 0);
    assert_int_equal(check_wire(ROUTES, "\xf8\xf0\x04\x01", 4), 0);
    /* No key of text, though by its number it could be one. */
    assert_int_equal(check_wire(ROUTES, "\xfa\xff\xff\xff\x0f\x01\xff", 7), 0);
    assert_int_equal(check_wire(ROUTES, "\xfd\xff\xff\xff\x0f\x01\x02\x03\x04", 9), 0);
    assert_report("virtual_hosts[0].hedge_policy (envoy.config.route.v3.VirtualHost), "
                  "<field 9999> (envoy.config.route.v3.RouteConfiguration), "
                  "<field 536870911> (envoy.config.route.v3.RouteConfiguration), "
                  "<field 536870911> (envoy.config.route.v3.RouteConfiguration)");
}

static void test_entries_of_maps_are_named_by_their_key(void **state)
{
    f.ctx.rejects_unknown = false;
    /* node.metadata is a Struct; use a map of Any: an unknown field beside type_url. */
    assert_int_equal(check_wire(ROUTES, "\x82\x01\x08\x0a\x01k\x12\x03\xa0\x06\x01", 11), 0);
    assert_report("typed_per_filter_config[\"k\"].<field 100> (google.protobuf.Any)");
}

static void test_names_are_recorded_once(void **state)
{
    uint32_t a = parse_slot(&f.ctx, PART_CLUSTER, STR("a"));
    uint32_t b = parse_slot(&f.ctx, PART_CLUSTER, STR("b"));

    assert_int_not_equal(a, b);
    assert_int_equal(parse_slot(&f.ctx, PART_CLUSTER, STR("a")), a);
    assert_int_equal(f.ctx.dep_count, 2);
    assert_true(parse_has(&f.ctx, PART_CLUSTER, STR("c")));
    assert_false(parse_has(&f.ctx, PART_CLUSTER, STR("a")));
    f.slots.has = NULL;
    assert_true(parse_has(&f.ctx, PART_CLUSTER, STR("a")));
    parse_context_finish(&f.ctx);
    assert_int_equal(f.part->dep_count, 2);
    assert_int_equal(f.part->deps[1].slot, b);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_paths),
        TEST(test_a_path_that_is_too_long_is_cut),
        TEST(test_a_sentence_without_a_path),
        TEST(test_fields_that_envoy_has),
        TEST(test_the_path_begins_where_the_parser_is),
        TEST(test_what_would_widen_a_match_is_refused),
        TEST(test_a_member_of_a_required_oneof_is_refused_as_such),
        TEST(test_strict),
        TEST(test_fields_that_nobody_has),
        TEST(test_the_wire),
        TEST(test_entries_of_maps_are_named_by_their_key),
        TEST(test_names_are_recorded_once),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
