/* known_fields.c against the table that is built in. */

#include "proto/known_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/envoy/config/route/v3/route_components.pb-c.h"

static const struct known_message *find(const char *name)
{
    const struct known_message *m = known_message_find(name);
    assert_non_null(m);
    assert_string_equal(known_message_name(m), name);
    return m;
}

static const struct known_field *field(const char *message, const char *name)
{
    const struct known_field *f = known_field_by_name(find(message), name, strlen(name));
    assert_non_null(f);
    return f;
}

static void test_finds_messages_at_both_ends_and_between(void **state)
{
    find("cel.expr.CheckedExpr");
    find("envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig");
    find("xds.type.v3.TypedStruct");
}

static void test_does_not_find_what_is_not_there(void **state)
{
    assert_null(known_message_find(""));
    assert_null(known_message_find("a"));
    assert_null(known_message_find("zzz"));
    assert_null(known_message_find(".envoy.config.core.v3.Node"));
    assert_null(known_message_find("envoy.config.core.v3.Nod"));
    assert_null(known_message_find("envoy.config.core.v3.Nodes"));
    const struct known_message *node = find("envoy.config.core.v3.Node");
    assert_null(known_field_by_number(node, 0));
    assert_null(known_field_by_number(node, 65537)); /* 1, were it cut to 16 bits */
    assert_null(known_field_by_name(node, "", 0));
    assert_null(known_field_by_name(node, "user_agent", 10));
    assert_null(known_field_by_name(node, "userAgentNameX", 14));
    assert_null(known_field_by_name(node, "UserAgentName", 13));
    assert_null(known_field_by_name(node, "userAgent_name", 14));
}

static void test_finds_a_field_by_number_and_both_spellings(void **state)
{
    const struct known_message *node = find("envoy.config.core.v3.Node");
    const struct known_field *f = known_field_by_name(node, "user_agent_name", 15);
    assert_non_null(f);
    assert_int_equal(f->number, 6);
    assert_string_equal(known_field_name(f), "user_agent_name");
    assert_ptr_equal(known_field_by_name(node, "userAgentName", 13), f);
    assert_ptr_equal(known_field_by_number(node, 6), f);
    /* The name need not end where the string ends. */
    assert_ptr_equal(known_field_by_name(node, "userAgentNameAndMore", 13), f);
    const struct known_message *hcm =
        find("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager");
    assert_ptr_equal(known_field_by_name(hcm, "proxy100Continue", 16),
                     known_field_by_name(hcm, "proxy_100_continue", 18));
}

static void test_tells_type_and_shape(void **state)
{
    const struct known_field *f = field("envoy.config.core.v3.Node", "locality");
    assert_int_equal(f->kind, KNOWN_MESSAGE);
    assert_string_equal(known_message_name(known_field_message(f)),
                        "envoy.config.core.v3.Locality");
    assert_int_equal(f->flags, 0);

    f = field("envoy.config.core.v3.Metadata", "filter_metadata");
    assert_int_equal(f->flags, KNOWN_MAP);
    assert_string_equal(known_message_name(known_field_message(f)), "google.protobuf.Struct");

    f = field("envoy.config.core.v3.Node", "client_features");
    assert_int_equal(f->kind, KNOWN_STRING);
    assert_int_equal(f->flags, KNOWN_REPEATED);
    assert_null(known_field_message(f));

    assert_int_equal(field("envoy.config.cluster.v3.Cluster", "lb_policy")->kind, KNOWN_ENUM);
}

static void test_groups_oneofs(void **state)
{
    const struct known_field *prefix = field("envoy.config.route.v3.RouteMatch", "prefix");
    const struct known_field *grpc = field("envoy.config.route.v3.RouteMatch", "grpc");
    assert_true(prefix->oneof != 0);
    assert_int_equal(prefix->oneof,
                     field("envoy.config.route.v3.RouteMatch", "connect_matcher")->oneof);
    assert_true((prefix->flags & KNOWN_ONEOF_REQUIRED) != 0);
    assert_int_equal(grpc->oneof, 0);
    const struct known_field *https =
        field("envoy.config.route.v3.RedirectAction", "https_redirect");
    const struct known_field *path = field("envoy.config.route.v3.RedirectAction", "path_redirect");
    assert_true(https->oneof != 0 && path->oneof != 0 && https->oneof != path->oneof);
    assert_true((https->flags & KNOWN_ONEOF_REQUIRED) == 0);
}

static void test_marks_what_must_not_be_ignored(void **state)
{
    assert_true(known_field_is_narrowing(field("envoy.config.route.v3.RouteMatch", "grpc")));
    assert_true(known_field_is_narrowing(field("envoy.config.route.v3.Route", "filter_action")));
    assert_true(known_field_is_narrowing(
        field("envoy.config.cluster.v3.Cluster", "transport_socket_matches")));
    assert_false(known_field_is_narrowing(field("envoy.config.route.v3.Route", "tracing")));
    assert_false(known_field_is_narrowing(
        field("envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig",
              "zone_aware_lb_config")));
    assert_true(field("envoy.config.route.v3.HeaderMatcher", "exact_match")->flags &
                KNOWN_DEPRECATED);
}

/* The subset's own descriptors agree with the table. */
static void test_knows_a_whole_message_of_the_subset(void **state)
{
    const ProtobufCMessageDescriptor *d = &envoy__config__route__v3__route_action__descriptor;
    const struct known_message *m = find(d->name);
    assert_true(d->n_fields > 0 && d->n_fields < m->field_count);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const struct known_field *f = known_field_by_number(m, d->fields[i].id);
        assert_non_null(f);
        assert_string_equal(known_field_name(f), d->fields[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_messages_at_both_ends_and_between),
        cmocka_unit_test(test_does_not_find_what_is_not_there),
        cmocka_unit_test(test_finds_a_field_by_number_and_both_spellings),
        cmocka_unit_test(test_tells_type_and_shape),
        cmocka_unit_test(test_groups_oneofs),
        cmocka_unit_test(test_marks_what_must_not_be_ignored),
        cmocka_unit_test(test_knows_a_whole_message_of_the_subset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
