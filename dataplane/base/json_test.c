/* JSON text, compact and in the admin pages' indented form. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "dataplane/base/json.h"

static void write_sample(struct json_writer *w)
{
    json_object_begin(w);
    json_key(w, STR("s"));
    json_str(w, STR("x"));
    json_key(w, STR("n"));
    json_array_begin(w);
    json_u64(w, UINT64_MAX);
    json_i64(w, INT64_MIN);
    json_i64(w, 5);
    json_array_end(w);
    json_key(w, STR("empty"));
    json_object_begin(w);
    json_object_end(w);
    json_key(w, STR("none"));
    json_array_begin(w);
    json_array_end(w);
    json_key(w, STR("flags"));
    json_array_begin(w);
    json_bool(w, true);
    json_bool(w, false);
    json_null(w);
    json_raw(w, STR("{}"));
    json_array_end(w);
    json_object_end(w);
    assert_int_equal(w->depth, 0);
}

static void test_compact(void **state)
{
    struct strbuf out;
    struct json_writer w;

    strbuf_init(&out);
    json_init(&w, &out, false);
    write_sample(&w);
    assert_string_equal(out.ptr, "{\"s\":\"x\",\"n\":[18446744073709551615,-9223372036854775808,5],"
                                 "\"empty\":{},\"none\":[],\"flags\":[true,false,null,{}]}");
    strbuf_done(&out);
}

static void test_pretty(void **state)
{
    struct strbuf out;
    struct json_writer w;

    strbuf_init(&out);
    json_init(&w, &out, true);
    json_object_begin(&w);
    json_key(&w, STR("a"));
    json_array_begin(&w);
    json_u64(&w, 1);
    json_u64(&w, 2);
    json_array_end(&w);
    json_key(&w, STR("b"));
    json_object_begin(&w);
    json_object_end(&w);
    json_object_end(&w);
    assert_string_equal(out.ptr, "{\n \"a\": [\n  1,\n  2\n ],\n \"b\": {}\n}");
    strbuf_done(&out);
}

static void assert_double(double v, const char *want)
{
    struct strbuf out;
    struct json_writer w;

    strbuf_init(&out);
    json_init(&w, &out, false);
    json_double(&w, v);
    assert_string_equal(out.ptr, want);
    strbuf_done(&out);
}

static void test_doubles_read_back(void **state)
{
    assert_double(0.1, "0.1");
    assert_double(1, "1");
    assert_double(1.0 / 3, "0.3333333333333333");
    assert_double(-2.5e300, "-2.5e+300");
    assert_double(0.1 + 0.2, "0.30000000000000004");
    assert_double((double)NAN, "\"NaN\"");
    assert_double((double)INFINITY, "\"Infinity\"");
    assert_double(-(double)INFINITY, "\"-Infinity\"");
}

static void assert_escaped(struct str s, const char *want)
{
    struct strbuf out;

    strbuf_init(&out);
    json_escape(&out, s);
    assert_string_equal(out.ptr, want);
    strbuf_done(&out);
}

static void test_escape(void **state)
{
    assert_escaped(STR_NONE, "\"\"");
    assert_escaped(STR("plain /path?q=1"), "\"plain /path?q=1\"");
    assert_escaped(STR("a\"b\\c"), "\"a\\\"b\\\\c\"");
    assert_escaped(STR("\b\t\n\v\f\r"), "\"\\b\\t\\n\\u000b\\f\\r\"");
    assert_escaped(str_n("\0\x1f\x7f", 3), "\"\\u0000\\u001f\x7f\"");
    assert_escaped(STR("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    assert_escaped(STR("a\xff z\xe2\x82"), "\"a\\u00ff z\\u00e2\\u0082\"");
    assert_escaped(STR("\xc3\xa9\xff\"\\\t"), "\"\\u00c3\\u00a9\\u00ff\\u0022\\u005c\\u0009\"");
}

/* Each byte at each place of the eight that are looked at together. */
static void test_escape_is_the_same_at_every_offset(void **state)
{
    for (int c = 0; c < 256; c++) {
        struct strbuf alone;
        char one = (char)c;

        strbuf_init(&alone);
        json_escape(&alone, str_n(&one, 1));
        for (size_t at = 0; at < 16; at++) {
            struct strbuf got;
            struct strbuf want;
            char text[] = "0123456789abcdef";

            text[at] = one;
            strbuf_init(&got);
            strbuf_init(&want);
            json_escape(&got, str_n(text, 16));
            strbuf_addf(&want, "\"%.*s", (int)at, text);
            strbuf_add(&want, alone.ptr + 1, alone.len - 2);
            strbuf_addf(&want, "%s\"", text + at + 1);
            assert_string_equal(got.ptr, want.ptr);
            strbuf_done(&got);
            strbuf_done(&want);
        }
        strbuf_done(&alone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_pretty),
        cmocka_unit_test(test_doubles_read_back),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_is_the_same_at_every_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
