/* Matchers from YAML, run over connections made by hand: what is built, what is refused and where.
 * The verdicts and choices stand beside Envoy in integration/listeners/test_filter_chain_choice.py.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/model/listener.h"
#include "config/model/network_inputs.h"
#include "config/parse/matcher_tree.h"
#include "config/parse/parse_support.h"

#define INPUT(name)                                                                                \
    "input: {name: i, typed_config: {'@type': type.googleapis.com/"                                \
    "envoy.extensions.matching.common_inputs.network.v3." name "}}"
#define TO(name)                                                                                   \
    "{action: {name: " name ", typed_config: {'@type': "                                           \
    "type.googleapis.com/google.protobuf.StringValue, value: x}}}"
#define CUSTOM(type, fields)                                                                       \
    "custom_match: {name: c, typed_config: {'@type': type.googleapis.com/" type ", " fields "}}"

/* The action is its name. */
static int parse_action(struct parse_context *ctx, void *user, const char *name,
                        const Google__Protobuf__Any *any, const void **ret_action)
{
    *ret_action = parse_str(ctx, name).ptr;
    return 0;
}

struct parsed {
    struct parse_fixture f;
    const struct matcher *m;
    int result;
};

static void parsed_init(struct parsed *p, const char *yaml)
{
    const struct matcher_domain domain = {
        .inputs = network_matcher_inputs,
        .input_count = network_matcher_input_count,
        .parse_action = parse_action,
    };
    const ProtobufCMessage *m;

    parse_fixture_init(&p->f, sizeof(struct listener_config), PART_LISTENER, "l");
    p->result =
        parse_fixture_message(&p->f, &xds__type__matcher__v3__matcher__descriptor, str_c(yaml), &m);
    if (p->result == 0) {
        p->result =
            parse_matcher(&p->f.ctx, &domain, (const Xds__Type__Matcher__V3__Matcher *)m, &p->m);
    }
}

static void assert_choice(const struct parsed *p, const char *source, const char *name,
                          const char *want)
{
    struct address destination;
    struct address a;
    struct network_match_data d = {
        .destination = &destination,
        .source = &a,
        .direct_source = &a,
        .server_name = str_c(name),
    };
    const void *action = NULL;

    assert_int_equal(address_from_ip(STR("10.0.0.1"), 443, &destination), 0);
    assert_int_equal(address_from_ip(str_c(source), 7, &a), 0);
    if (matcher_match(p->m, &d, &action) != MATCHER_MATCH) {
        action = "none";
    }
    assert_string_equal(action, want);
}

static void good(struct parsed *p, const char *yaml)
{
    parsed_init(p, yaml);
    if (p->result < 0) {
        fail_msg("%s", error_message(&p->f.err));
    }
}

static void assert_refused(const char *yaml, const char *place)
{
    struct parsed p;

    parsed_init(&p, yaml);
    assert_true(p.result < 0);
    if (strstr(error_message(&p.f.err), place) == NULL) {
        fail_msg("%s", error_message(&p.f.err));
    }
    parse_fixture_done(&p.f);
}

static void test_lists(void **state)
{
    struct parsed p;

    good(&p, "{matcher_list: {matchers: [{predicate: {and_matcher: {predicate: ["
             "{single_predicate: {" INPUT(
                 "ServerNameInput") ", value_match: {suffix: .TEST, "
                                    "ignore_case: true}}}, {not_matcher: {single_predicate: "
                                    "{" INPUT("SourceIPInput") ", " CUSTOM(
                                        "envoy.extensions.matching.input_matchers.ip.v3.Ip",
                                        "stat_prefix: s, cidr_ranges: [{address_prefix: 10.0.0.0, "
                                        "prefix_len: 8}]") "}}}]}},"
                                                           "on_match: " TO("a") "}]}, "
                                                                                "on_no_match: " TO(
                                                                                    "b") "}");
    assert_choice(&p, "192.0.2.1", "x.test", "a");
    assert_choice(&p, "10.0.0.9", "x.test", "b");
    assert_choice(&p, "192.0.2.1", "x.org", "b");
    parse_fixture_done(&p.f);
}

static void test_maps(void **state)
{
    struct parsed p;

    good(&p, "{matcher_tree: {" INPUT("ServerNameInput") ", exact_match_map: {map: {b: " TO(
                 "b") ", a: " TO("a") "}}}}");
    assert_choice(&p, "192.0.2.1", "a", "a");
    assert_choice(&p, "192.0.2.1", "b", "b");
    assert_choice(&p, "192.0.2.1", "c", "none");
    parse_fixture_done(&p.f);
    good(&p, "{matcher_tree: {" INPUT("SourceIPInput") ", prefix_match_map: {map: {'10.': " TO(
                 "a") ", '': " TO("b") "}}}}");
    assert_choice(&p, "10.9.9.9", "", "a");
    assert_choice(&p, "11.9.9.9", "", "b");
    parse_fixture_done(&p.f);
}

static void test_custom_trees(void **state)
{
    struct parsed p;

    good(&p,
         "{matcher_tree: {" INPUT("SourceIPInput") ", " CUSTOM(
             "xds.type.matcher.v3.IPMatcher",
             "range_matchers: [{ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}], on_match: " TO(
                 "a") "}, {ranges: [{address_prefix: 10.0.0.0, prefix_len: 16}, {address_prefix: "
                      "'::'}], on_match: " TO("b") "}]") "}}");
    assert_choice(&p, "10.0.1.1", "", "b");
    assert_choice(&p, "10.1.1.1", "", "a");
    assert_choice(&p, "::9", "", "b");
    assert_choice(&p, "11.1.1.1", "", "none");
    parse_fixture_done(&p.f);
    good(&p, "{matcher_tree: {" INPUT("ServerNameInput") ", " CUSTOM(
                 "xds.type.matcher.v3.ServerNameMatcher",
                 "domain_matchers: [{domains: [a.test, '*'], on_match: " TO(
                     "a") "}, {domains: ['*.test'], on_match: " TO("b") "}]") "}}");
    assert_choice(&p, "::9", "a.test", "a");
    assert_choice(&p, "::9", "b.test", "b");
    assert_choice(&p, "::9", "org", "a");
    parse_fixture_done(&p.f);
}

static void test_places_of_errors(void **state)
{
    assert_refused("{matcher_list: {}}", "matcher_list.matchers: ");
    assert_refused("{matcher_list: {matchers: [{on_match: " TO("a") "}]}}",
                   "matcher_list.matchers[0].predicate: ");
    assert_refused("{matcher_tree: {exact_match_map: {map: {a: " TO("a") "}}}}",
                   "matcher_tree.input: ");
    assert_refused("{matcher_tree: {" INPUT("ServerNameInput") "}}", "matcher_tree.tree_type: ");
    assert_refused("{matcher_tree: {" INPUT("ServerNameInput") ", exact_match_map: {}}}",
                   "exact_match_map.map: ");
    assert_refused(
        "{matcher_tree: {" INPUT("ServerNameInput") ", exact_match_map: {map: {a: {}}}}}",
        "map[\"a\"].on_match: ");
    assert_refused(
        "{matcher_tree: {" INPUT("FilterStateInput") ", exact_match_map: {map: {a: " TO("a") "}}}}",
        "Didn't find a registered implementation for 'i'");
    assert_refused("{on_no_match: {action: {name: x}}}", "on_no_match.action.typed_config: ");
    assert_refused("{matcher_tree: {" INPUT("ServerNameInput") ", " CUSTOM(
                       "xds.type.matcher.v3.ServerNameMatcher",
                       "domain_matchers: [{domains: [a, 'x.*'], on_match: " TO("a") "}]") "}}",
                   "domain_matchers[0].domains: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_custom_trees),
        cmocka_unit_test(test_places_of_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
