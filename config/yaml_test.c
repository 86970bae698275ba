/* YAML: how scalars are typed, what is refused. Envoy's verdicts: integration/config/test_text.py.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/text_test_util.h"

static void test_scalars(void **state)
{
    TEXT_CHECK(
        yaml_parse, {"[a, 'b', \"c\", 5, '5', -5, +5]", "[\"a\" \"b\" \"c\" #5 \"5\" #-5 #5]"},
        {"[1.5, 1e5, .inf, nan]", "[\"1.5\" \"1e5\" \".inf\" \"nan\"]"},
        {"[0x1F, 0X1f, -0x10, 017, 0, 00, -0]", "[#31 #31 #-16 #15 #0 #0 #0]"},
        {"[08, 0x, 0xg, 0b1, 0o17, 1_0]", "[\"08\" \"0x\" \"0xg\" \"0b1\" \"0o17\" \"1_0\"]"},
        {"[2147483647, 2147483648, -2147483649]", "[#2147483647 \"2147483648\" \"-2147483649\"]"},
        {"[9223372036854775807, 9223372036854775808, 0xffffffffffffffff]",
         "[\"9223372036854775807\" \"9223372036854775808\" \"0xffffffffffffffff\"]"},
        {"[y, Y, yes, On, TRUE, n, No, OFF, False]",
         "[true true true true true false false false false]"},
        {"[tRUE, yEs, oN, t]", "[\"tRUE\" \"yEs\" \"oN\" \"t\"]"},
        {"[~, null, Null, NULL, nULL, '', 'null']", "[null null null null \"nULL\" \"\" \"null\"]"},
        {"a:", "{a:null}"}, {"|\n 5\n", "\"5\n\""}, {">-\n a\n b\n", "\"a b\""});
}

static void test_tags(void **state)
{
    TEXT_CHECK(yaml_parse, {"[! 5, !!str 5, !!int '5', !foo 5, !foo x, !!str ~]",
                            "[\"5\" #5 #5 #5 \"x\" \"~\"]"});
}

static void test_keys_are_text(void **state)
{
    TEXT_CHECK(
        yaml_parse,
        {"{1: a, 0x10: b, true: c, ~: d, '': e, 1.5: f}",
         "{1:\"a\" 0x10:\"b\" true:\"c\" null:\"d\" :\"e\" 1.5:\"f\"}"},
        {"? [a]\n: b", "1:3: a key must be a scalar"},
        {"? {a: b}\n: c", "1:3: a key must be a scalar"},
        {"{a: 1, b: 2, a: 3}", "1:14: duplicate key 'a'"},
        {"a: 1\n'a': 2", "2:1: duplicate key 'a'"},
        {"{a1: 1, a2: 1, a3: 1, a4: 1, a5: 1, a6: 1, a7: 1, a8: 1, a9: 1, b1: 1, b2: 1, b3: 1,"
         " b4: 1, b5: 1, b6: 1, b7: 1, b8: 1, b9: 1, a4: 2}",
         "1:128: duplicate key 'a4'"});
}

static void test_anchors(void **state)
{
    TEXT_CHECK(yaml_parse, {"{a: &x [1, 2], b: *x}", "{a:[#1 #2] b:[#1 #2]}"},
               {"{a: &x 1, b: &x 2, c: *x}", "{a:#1 b:#2 c:#2}"},
               {"!ignore s: &x {a: b}\nc: *x", "{c:{a:\"b\"}}"},
               {"{!ignore s: &x 1, b: *x, !ignore t: {u: v}, c: d}", "{b:#1 c:\"d\"}"},
               {"{!ignore s: 1, !ignore s: 2}", "{}"}, {"'!ignore': 1", "{!ignore:#1}"},
               {"a: !ignore b", "{a:\"b\"}"},
               {"{a: &x {b: 1}, c: {<<: *x}}", "{a:{b:#1} c:{<<:{b:#1}}}"}, /* as Envoy: a key */
               {"a: *x", "1:4: unknown alias"}, {"a: &x [*x]", "1:8: unknown alias"});
}

static void test_documents(void **state)
{
    TEXT_CHECK(yaml_parse, {"", "null"}, {"# nothing", "null"}, {"---\n", "null"},
               {"---\na: 1\n...\n", "{a:#1}"}, {"a: 1\n---\n", "{a:#1}"},
               {"a: 1\n---\nb: 2", "3:1: more than one document"},
               {"a: 1\n---\n- 2", "3:1: more than one document"});
}

static void test_syntax_errors_say_where(void **state)
{
    TEXT_CHECK(yaml_parse, {"a: [1\nb: 2", "2:2: did not find expected ',' or ']'"},
               {"a: 1\n\tb: 2", "2:1: found a tab character that violates indentation"},
               {"a: \"b", "1:6: found unexpected end of stream"});
}

static int parse_repeated(const char *open, const char *close, int n, const char *in_the_middle)
{
    const struct text_node *root;
    struct strbuf text;
    struct arena a;
    struct error err;
    int r;

    arena_init(&a, NULL);
    error_init(&err);
    strbuf_init(&text);
    for (int i = 0; i < n; i++) {
        strbuf_add_c(&text, open);
    }
    strbuf_add_c(&text, in_the_middle);
    for (int i = 0; i < n; i++) {
        strbuf_add_c(&text, close);
    }
    r = yaml_parse(strbuf_str(&text), &a, &root, &err);
    strbuf_done(&text);
    error_done(&err);
    arena_done(&a);
    return r;
}

static void test_depth(void **state)
{
    assert_int_equal(parse_repeated("[", "]", TEXT_DEPTH_MAX, "1"), 0);
    assert_int_equal(parse_repeated("[", "]", TEXT_DEPTH_MAX + 1, "1"), E_INVALID);
    assert_int_equal(parse_repeated("{a: ", "}", 5000, "1"), E_INVALID);
}

/* Each line doubles, or deepens, the one before. */
static int parse_chain(const char *format, int n)
{
    const struct text_node *root;
    struct strbuf text;
    struct arena a;
    struct error err;
    int r;

    arena_init(&a, NULL);
    error_init(&err);
    strbuf_init(&text);
    strbuf_add_c(&text, "a0: &a0 [1, 1]\n");
    for (int i = 1; i < n; i++) {
        strbuf_addf(&text, "a%d: &a%d ", i, i);
        for (const char *p = format; *p != '\0'; p++) {
            if (*p == '*') {
                strbuf_addf(&text, "*a%d", i - 1);
            } else {
                strbuf_add_char(&text, *p);
            }
        }
        strbuf_add_char(&text, '\n');
    }
    r = yaml_parse(strbuf_str(&text), &a, &root, &err);
    strbuf_done(&text);
    error_done(&err);
    arena_done(&a);
    return r;
}

static void test_aliases_are_bounded(void **state)
{
    assert_int_equal(parse_chain("[*, *]", 15), 0);
    assert_int_equal(parse_chain("[*, *]", 30), E_INVALID); /* a billion laughs */
    assert_int_equal(parse_chain("[*]", TEXT_DEPTH_MAX - 1), 0);
    assert_int_equal(parse_chain("[*]", TEXT_DEPTH_MAX), E_INVALID);
    assert_int_equal(parse_chain("[[[[[*]]]]]", 1000), E_INVALID);
    assert_int_equal(parse_chain("1", 10001), E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),       cmocka_unit_test(test_tags),
        cmocka_unit_test(test_keys_are_text), cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_documents),     cmocka_unit_test(test_syntax_errors_say_where),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_aliases_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
