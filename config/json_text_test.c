/* JSON: RFC 8259 and what Envoy's reader takes beyond it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/text_test_util.h"

static void test_values(void **state)
{
    TEXT_CHECK(json_parse,
               {" {\"a\" : [ 1 , true , false , null , \"x\" ] , \"b\":{}}\r\n\t",
                "{a:[#1 true false null \"x\"] b:{}}"},
               {"[]", "[]"}, {"\"\"", "\"\""}, {"5", "#5"}, {"", "1:1: value expected"},
               {"[[], [[]], {\"a\": {}}]", "[[] [[]] {a:{}}]"});
}

static void test_numbers(void **state)
{
    TEXT_CHECK(json_parse,
               {"[0, -0, 10, 1.5, 0.0, 1e5, 1E+5, 1e-5, -1.25e3]",
                "[#0 #-0 #10 #1.5 #0.0 #1e5 #1E+5 #1e-5 #-1.25e3]"},
               {"18446744073709551615", "#18446744073709551615"}, {"01", "1:1: value expected"},
               {"-01", "1:1: value expected"}, {"1.", "1:1: value expected"},
               {".5", "1:1: value expected"}, {"+1", "1:1: value expected"},
               {"-", "1:1: value expected"}, {"1e", "1:1: value expected"},
               {"1e+", "1:1: value expected"}, {"0x10", "1:2: text after the end"},
               {"NaN", "1:1: value expected"}, {"1e400", "1:1: number out of range"},
               {"[1 2]", "1:4: ',' or ']' expected"});
}

static void test_strings(void **state)
{
    TEXT_CHECK(
        json_parse, {"\"a\\\"b\\\\c\\/d\\n\"", "\"a\"b\\c/d\n\""},
        {"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\"\\ud83d\"", "1:8: bad \\u escape"}, {"\"\\ude00\"", "1:8: bad \\u escape"},
        {"\"\\ud83d\\u0041\"", "1:14: bad \\u escape"}, {"\"\\u12\"", "1:4: bad \\u escape"},
        {"\"\\x41\"", "1:3: bad escape"}, {"\"a", "1:2: unterminated string"},
        {"\"a\\", "1:2: unterminated string"}, {"\"a\\\"", "1:2: unterminated string"},
        {"\"\xc3\xa9\"", "\"\xc3\xa9\""}, {"\"\xe9\"", "1:4: invalid UTF-8"},
        {"\"a\tb\"", "\"a\tb\""}, /* from here on not RFC 8259 */
        {"'a\"b'", "\"a\"b\""}, {"\"a'b\"", "\"a'b\""}, {"'a\\'b'", "\"a'b\""});
}

static void test_maps(void **state)
{
    TEXT_CHECK(
        json_parse, {"{\"a\": 1, \"a\": 2}", "1:10: duplicate key 'a'"},
        {"{\"a\" 1}", "1:6: ':' expected"}, {"{\"a\": 1 \"b\": 2}", "1:9: ',' or '}' expected"},
        {"{\"a\":\n 1,\n \"a\": 2}", "3:2: duplicate key 'a'"}, {"{5: 1}", "1:2: key expected"},
        {"{a: 1, $b_2: 2}", "{a:#1 $b_2:#2}"}, {"{'a': 1}", "{a:#1}"}, {"{\"a\": 1,}", "{a:#1}"},
        {"[1,]", "[#1]"}, {"[,1]", "1:2: value expected"}, {"{,}", "1:2: key expected"},
        {"[1,,2]", "1:4: value expected"}, {"{\"a\": 1", "1:8: ',' or '}' expected"},
        {"[1", "1:3: ',' or ']' expected"});
}

static void test_what_is_refused(void **state)
{
    TEXT_CHECK(json_parse, {"{} {}", "1:4: text after the end"}, {"{}x", "1:3: text after the end"},
               {"/* c */ {}", "1:1: value expected"}, {"{} // c", "1:4: text after the end"},
               {"\xef\xbb\xbf{}", "1:1: value expected"}, {"tru", "1:1: value expected"},
               {"truex", "1:5: text after the end"}, {"TRUE", "1:1: value expected"});
}

static void test_depth(void **state)
{
    for (int levels = TEXT_DEPTH_MAX; levels <= TEXT_DEPTH_MAX + 1; levels++) {
        const struct text_node *root;
        struct strbuf text;
        struct arena a;
        struct error err;

        arena_init(&a, NULL);
        error_init(&err);
        strbuf_init(&text);
        for (int i = 0; i < levels; i++) {
            strbuf_add_char(&text, '[');
        }
        for (int i = 0; i < levels; i++) {
            strbuf_add_char(&text, ']');
        }
        assert_int_equal(json_parse(strbuf_str(&text), &a, &root, &err) == 0,
                         levels == TEXT_DEPTH_MAX);
        strbuf_done(&text);
        error_done(&err);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),         cmocka_unit_test(test_maps),
        cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
