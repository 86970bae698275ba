/* Evaluation of matchers made by hand: lists, predicates, data that cannot be known. What their
 * configuration means stands beside Envoy in integration/listeners/test_filter_chain_choice.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "config/model/matcher.h"
#include "config/model/network_inputs.h"

/* The data is a text; "?" cannot be known, "" is not there. */
static void get_text(const void *data, const void *config, struct matcher_value *v)
{
    struct str s = str_c(data);

    if (str_eq(s, STR("?"))) {
        v->state = MATCHER_VALUE_UNAVAILABLE;
    } else if (s.len > 0) {
        v->state = MATCHER_VALUE_PRESENT;
        v->text = s;
    }
}

static const struct matcher_input text_input = {.get = get_text};

static struct matcher_predicate begins_with(const char *prefix)
{
    return (struct matcher_predicate){
        .kind = MATCHER_PREDICATE_STRING,
        .input = text_input,
        .string = {.kind = STRING_MATCH_PREFIX, .value = str_c(prefix)},
    };
}

static const char *run(const struct matcher *m, const char *text)
{
    const void *action = "none";
    enum matcher_result r = matcher_match(m, text, &action);

    if (r != MATCHER_MATCH) {
        assert_string_equal(action, "none"); /* untouched */
        return r == MATCHER_INSUFFICIENT_DATA ? "insufficient" : NULL;
    }
    return action;
}

static void lists_try_one_after_another(void **state)
{
    const struct matcher_field fields[] = {
        {begins_with("ab"), {.action = "keep", .keep_matching = true}},
        {begins_with("a"), {.action = "a"}},
        {begins_with("b"), {.action = "b"}},
    };
    struct matcher m = {.kind = MATCHER_LIST, .fields = fields, .field_count = 3};

    assert_string_equal(run(&m, "abc"), "a");
    assert_string_equal(run(&m, "bc"), "b");
    assert_null(run(&m, "c"));
    assert_null(run(&m, ""));
    assert_string_equal(run(&m, "?"), "insufficient");
    m.has_on_no_match = true;
    m.on_no_match.action = "else";
    assert_string_equal(run(&m, "c"), "else");
    assert_string_equal(run(&m, "?"), "insufficient");
}

static void predicates_of_predicates(void **state)
{
    const struct matcher_predicate parts[] = {begins_with("a"), begins_with("ab")};
    struct matcher_field field = {
        .predicate = {.kind = MATCHER_PREDICATE_AND, .parts = parts, .part_count = 2},
        .on_match = {.action = "yes"},
    };
    const struct matcher m = {.kind = MATCHER_LIST, .fields = &field, .field_count = 1};

    assert_string_equal(run(&m, "ab"), "yes");
    assert_null(run(&m, "ac"));
    field.predicate.kind = MATCHER_PREDICATE_OR;
    assert_string_equal(run(&m, "ac"), "yes");
    assert_null(run(&m, "b"));
    assert_string_equal(run(&m, "?"), "insufficient");
    field.predicate.kind = MATCHER_PREDICATE_NOT;
    field.predicate.part_count = 1;
    assert_string_equal(run(&m, "b"), "yes");
    assert_string_equal(run(&m, ""), "yes"); /* what is not there begins with nothing */
    assert_null(run(&m, "a"));
    assert_string_equal(run(&m, "?"), "insufficient");
}

static void trees_go_on_where_an_inner_one_fails(void **state)
{
    const struct matcher none = {.kind = MATCHER_ANY};
    const struct str keys[] = {STR("a"), STR("ab"), STR("abc")};
    const struct matcher_on_match on_matches[] = {
        {.action = "a"}, {.matcher = &none}, {.matcher = &none}};
    struct matcher m = {.kind = MATCHER_PREFIX, .input = text_input, .on_matches = on_matches};
    struct arena arena;

    arena_init(&arena, NULL);
    m.prefixes = path_trie_build(&arena, keys, 3);
    assert_string_equal(run(&m, "abcd"), "a");
    assert_string_equal(run(&m, "a"), "a");
    assert_null(run(&m, "b"));
    assert_null(run(&m, ""));
    assert_string_equal(run(&m, "?"), "insufficient");
    arena_done(&arena);
}

static void many_nested_prefixes(void **state)
{
    static char text[200];
    const struct matcher none = {.kind = MATCHER_ANY};
    struct str keys[150];
    struct matcher_on_match on_matches[150];
    struct matcher m = {.kind = MATCHER_PREFIX, .input = text_input, .on_matches = on_matches};
    struct arena arena;

    memset(text, 'x', sizeof(text) - 1);
    for (size_t i = 0; i < 150; i++) {
        keys[i] = str_n(text, i + 1);
        on_matches[i] = (struct matcher_on_match){.matcher = &none};
    }
    on_matches[148] = (struct matcher_on_match){.action = "148"};
    arena_init(&arena, NULL);
    m.prefixes = path_trie_build(&arena, keys, 150);
    assert_string_equal(run(&m, text), "148");
    on_matches[148] = (struct matcher_on_match){.matcher = &none};
    on_matches[149] = (struct matcher_on_match){.action = "149"};
    assert_string_equal(run(&m, text), "149");
    arena_done(&arena);
}

static void domains(void **state)
{
    const struct matcher none = {.kind = MATCHER_ANY};
    const struct matcher_on_match on_matches[] = {
        {.matcher = &none}, {.action = "wild"}, {.action = "any"}};
    struct matcher m = {
        .kind = MATCHER_DOMAIN, .input = text_input, .on_matches = on_matches, .any_domain = 2};
    struct arena arena;

    arena_init(&arena, NULL);
    str_table_init(&m.exact, &arena, 1, false);
    str_table_init(&m.wildcards, &arena, 1, false);
    (void)str_table_add(&m.exact, STR("a.b"), 0);
    (void)str_table_add(&m.wildcards, STR("b"), 1);
    assert_string_equal(run(&m, "a.b"), "wild"); /* the exact one leads nowhere */
    assert_string_equal(run(&m, "x.a.b"), "wild");
    assert_string_equal(run(&m, "b"), "any");
    assert_string_equal(run(&m, "."), "any");
    m.any_domain = UINT32_MAX;
    assert_null(run(&m, "b"));
    arena_done(&arena);
}

/* The text may lie in the value itself, which therefore stays where it is. */
static struct matcher_value v;

static void input(matcher_input_fn *get, const struct network_match_data *d)
{
    memset(&v, 0, sizeof(v));
    v.state = MATCHER_VALUE_ABSENT;
    strbuf_init(&v.heap);
    get(d, NULL, &v);
}

static void inputs_of_connections(void **state)
{
    const struct str protocols[] = {STR("h2"), STR("http/1.1")};
    struct address a;
    struct address b;
    struct address path;
    struct network_match_data d = {.destination = &a, .source = &b, .direct_source = &b};

    assert_int_equal(address_from_ip(STR("10.0.0.1"), 80, &a), 0);
    assert_int_equal(address_from_ip(STR("2001:db8::1"), 9, &b), 0);
    assert_int_equal(address_from_path(STR("/s"), &path), 0);
    input(network_input_destination_ip, &d);
    assert_true(str_eq(v.text, STR("10.0.0.1")));
    input(network_input_source_port, &d);
    assert_true(str_eq(v.text, STR("9")));
    input(network_input_source_type, &d);
    assert_int_equal(v.state, MATCHER_VALUE_ABSENT);
    input(network_input_application_protocol, &d);
    assert_int_equal(v.state, MATCHER_VALUE_ABSENT);
    d.application_protocols = protocols;
    d.application_protocol_count = 2;
    input(network_input_application_protocol, &d);
    assert_true(str_eq(v.text, STR("'h2','http/1.1'")));
    strbuf_done(&v.heap);
    d.source = &path;
    input(network_input_source_ip, &d);
    assert_int_equal(v.state, MATCHER_VALUE_UNAVAILABLE);
    input(network_input_source_type, &d);
    assert_true(str_eq(v.text, STR("local")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_try_one_after_another),
        cmocka_unit_test(predicates_of_predicates),
        cmocka_unit_test(trees_go_on_where_an_inner_one_fails),
        cmocka_unit_test(many_nested_prefixes),
        cmocka_unit_test(domains),
        cmocka_unit_test(inputs_of_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
