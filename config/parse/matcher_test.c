/* Matchers to the model; older spellings included. Refusals are in verdicts_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/matcher.h"
#include "config/parse/parse_support.h"

static void expect_header(const char *yaml, enum string_match_kind kind, const char *hit,
                          const char *miss)
{
    struct parse_fixture f;
    const ProtobufCMessage *m;
    Envoy__Config__Route__V3__HeaderMatcher *one;
    const struct header_matcher *h;
    size_t n;

    parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    assert_int_equal(parse_fixture_message(&f,
                                           &envoy__config__route__v3__header_matcher__descriptor,
                                           str_c(yaml), &m),
                     0);
    one = (Envoy__Config__Route__V3__HeaderMatcher *)m;
    assert_int_equal(parse_header_matchers(&f.ctx, "headers", 1, &one, &h, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(h->kind, HEADER_MATCH_STRING);
    assert_int_equal(h->string.kind, kind);
    assert_true(string_matcher_matches(&h->string, str_c(hit)));
    if (miss != NULL) {
        assert_false(string_matcher_matches(&h->string, str_c(miss)));
    }
    parse_fixture_done(&f);
}

static void test_header_strings(void **state)
{
    expect_header("{name: a, exact_match: v}", STRING_MATCH_EXACT, "v", "V");
    expect_header("{name: a, exact_match: ''}", STRING_MATCH_PREFIX, "anything", NULL);
    expect_header("{name: a, prefix_match: v}", STRING_MATCH_PREFIX, "vw", "wv");
    expect_header("{name: a, suffix_match: v}", STRING_MATCH_SUFFIX, "wv", "vw");
    expect_header("{name: a, contains_match: v}", STRING_MATCH_CONTAINS, "wvw", "w");
    expect_header("{name: a, safe_regex_match: {regex: 'v+'}}", STRING_MATCH_REGEX, "vv", "vvw");
    expect_header("{name: a, string_match: {exact: ''}}", STRING_MATCH_EXACT, "", "v");
    expect_header("{name: a, string_match: {exact: V, ignore_case: true}}", STRING_MATCH_EXACT, "v",
                  "w");
    expect_header("{name: a, string_match: {prefix: V, ignore_case: true}}", STRING_MATCH_PREFIX,
                  "vw", "w");
    expect_header("{name: a, string_match: {suffix: V, ignore_case: true}}", STRING_MATCH_SUFFIX,
                  "wv", "w");
    expect_header("{name: a, string_match: {contains: V, ignore_case: true}}",
                  STRING_MATCH_CONTAINS, "wvw", "w");
    expect_header("{name: a, string_match: {safe_regex: {google_re2: {}, regex: 'a|b'}}}",
                  STRING_MATCH_REGEX, "b", "ab");
}

static int parse_one_regex(const char *yaml, struct parse_fixture *f)
{
    const ProtobufCMessage *m;
    struct regex *r;

    parse_fixture_init(f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    assert_int_equal(parse_fixture_message(f, &envoy__type__matcher__v3__regex_matcher__descriptor,
                                           str_c(yaml), &m),
                     0);
    return parse_regex(&f->ctx, (const Envoy__Type__Matcher__V3__RegexMatcher *)m, &r);
}

static void test_program_size_is_bounded_where_asked(void **state)
{
    struct parse_fixture f;

    assert_int_equal(parse_one_regex("{regex: 'a{100}'}", &f), 0);
    parse_fixture_done(&f);
    assert_int_equal(parse_one_regex("{regex: 'a{100}', google_re2: {max_program_size: 50}}", &f),
                     E_LIMIT);
    assert_non_null(strstr(error_message(&f.err), "max program size of 50"));
    parse_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_strings),
        cmocka_unit_test(test_program_size_is_bounded_where_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
