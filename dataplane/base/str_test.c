/* Byte strings, strict numbers, UTF-8 and strbuf. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

static void test_nocase_agrees_with_bytewise_for_every_byte(void **state)
{
    for (int c = 0; c < 256; c++) {
        char a[11] = "xxxxxxxxxx";
        char b[11] = "xxxxxxxxxx";

        /* once in the eight bytes done at a time, once behind them */
        a[3] = (char)c;
        b[3] = ascii_lower((char)c);
        a[9] = a[3];
        b[9] = b[3];
        assert_true(str_eq_nocase(str_n(a, 10), str_n(b, 10)));
        str_lower_in_place(a, 10);
        assert_memory_equal(a, b, 10);
    }
    assert_false(str_eq_nocase(STR("abcdefgh[]"), STR("abcdefgh{}")));
    assert_false(str_eq_nocase(STR("@bcdefgh"), STR("`bcdefgh")));
    assert_false(str_eq_nocase(STR("\xc1zzzzzzz"), STR("\xe1zzzzzzz")));
    assert_true(str_eq_nocase(STR("Transfer-Encoding"), STR("tRANSFER-eNCODING")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
    assert_true(str_eq_nocase(STR_NONE, STR("")));
}

static void test_search(void **state)
{
    assert_true(str_starts_nocase(STR("Bearer x"), STR("bearer ")));
    assert_false(str_starts_nocase(STR("Bear"), STR("bearer ")));
    assert_true(str_ends_nocase(STR("www.EXAMPLE.com"), STR(".example.COM")));
    assert_false(str_ends_nocase(STR("com"), STR(".com")));
    assert_int_equal(str_find(STR("abcabd"), STR("abd")), 3);
    assert_int_equal(str_find(STR("abc"), STR("")), 0);
    assert_int_equal(str_find(STR_NONE, STR("a")), STR_NPOS);
    assert_int_equal(str_find(STR("ab"), STR("abc")), STR_NPOS);
    assert_int_equal(str_find_char(STR("a:b:c"), ':'), 1);
    assert_int_equal(str_rfind_char(STR("a:b:c"), ':'), 3);
    assert_int_equal(str_find_char(STR_NONE, ':'), STR_NPOS);
    assert_int_equal(str_rfind_char(STR_NONE, ':'), STR_NPOS);
    assert_true(str_contains_nocase(STR("text/EVENT-stream"), STR("event")));
    assert_false(str_contains_nocase(STR("text"), STR("texts")));
    assert_true(str_contains_nocase(STR("x"), STR("")));
}

static void test_cmp_orders_bytes_unsigned_and_shorter_first(void **state)
{
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("a"), STR("aa")) < 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR("ab"), STR("ab")), 0);
    assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
}

static void test_trim_and_sub(void **state)
{
    assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
    assert_true(str_eq(str_trim(STR("\r")), STR("\r")));
    assert_true(str_eq(str_sub(STR("hello"), 1, 3), STR("el")));
    assert_true(str_eq(str_sub(STR("hello"), 3, 99), STR("lo")));
    assert_true(str_eq(str_sub(STR("hello"), 9, 12), STR("")));
}

static void test_split_gives_empty_parts_too(void **state)
{
    struct str rest = STR("a,,b,");
    struct str part;

    assert_true(str_split(&rest, ',', &part) && str_eq(part, STR("a")));
    assert_true(str_split(&rest, ',', &part) && str_eq(part, STR("")));
    assert_true(str_split(&rest, ',', &part) && str_eq(part, STR("b")));
    assert_true(str_split(&rest, ',', &part) && str_eq(part, STR("")));
    assert_false(str_split(&rest, ',', &part));
    rest = STR("");
    assert_true(str_split(&rest, ',', &part) && part.len == 0);
    assert_false(str_split(&rest, ',', &part));
}

static void test_parse_u64_is_strict(void **state)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1a", "0x1", "\xb2"};
    uint64_t v = 7;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse_u64(str_c(bad[i]), &v), E_INVALID);
    }
    assert_int_equal(parse_u64(STR("18446744073709551616"), &v), E_LIMIT);
    assert_int_equal(parse_u64(STR("99999999999999999999999"), &v), E_LIMIT);
    assert_int_equal(v, 7); /* untouched on failure */
    assert_int_equal(parse_u64(STR("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(parse_u64(STR("007"), &v), 0);
    assert_int_equal(v, 7);
}

static void test_parse_hex_and_signed(void **state)
{
    uint64_t v;
    int64_t i;

    assert_int_equal(parse_u64_hex(STR("fFfFfFfFfFfFfFfF"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(parse_u64_hex(STR("10000000000000000"), &v), E_LIMIT);
    assert_int_equal(parse_u64_hex(STR("0x1"), &v), E_INVALID);
    assert_int_equal(parse_u64_hex(STR(""), &v), E_INVALID);
    assert_int_equal(parse_u64_hex(STR("g"), &v), E_INVALID);
    assert_int_equal(parse_i64(STR("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(parse_i64(STR("-9223372036854775809"), &i), E_LIMIT);
    assert_int_equal(parse_i64(STR("9223372036854775807"), &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(parse_i64(STR("9223372036854775808"), &i), E_LIMIT);
    assert_int_equal(parse_i64(STR("-"), &i), E_INVALID);
    assert_int_equal(parse_i64(STR("--1"), &i), E_INVALID);
}

static void test_parse_double(void **state)
{
    static const char *const bad[] = {"",   "nan", "inf", "0x1p3", " 1",
                                      "1 ", "1e",  "e5",  "1..2",  "-"};
    double v;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse_double(str_c(bad[i]), &v), E_INVALID);
    }
    assert_int_equal(parse_double(str_n("1\0", 2), &v), E_INVALID);
    assert_int_equal(parse_double(STR("1e999"), &v), E_LIMIT);
    assert_int_equal(parse_double(STR("-1.5e2"), &v), 0);
    assert_true(v == -150.0);
    assert_int_equal(parse_double(STR(".5"), &v), 0);
    assert_true(v == 0.5);
}

static void test_format_u64_round_trips(void **state)
{
    static const uint64_t values[] = {0, 9, 10, 99, 100, 12345678901234567890u, UINT64_MAX};

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char text[U64_DIGITS];
        uint64_t back;

        assert_int_equal(parse_u64(str_n(text, format_u64(values[i], text)), &back), 0);
        assert_true(back == values[i]);
    }
}

static void test_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "plain ascii text",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "12345678\xc3\xa9 12345678"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "12345678\xc3 12345678"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(str_is_utf8(str_c(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(str_is_utf8(str_c(bad[i])));
    }
    assert_true(str_is_utf8(STR_NONE));
}

static void test_strbuf(void **state)
{
    struct strbuf b;
    char *taken;

    strbuf_init(&b);
    assert_true(str_eq(strbuf_str(&b), STR("")));
    strbuf_reset(&b);
    strbuf_add_c(&b, "a");
    strbuf_add_char(&b, 'b');
    strbuf_add_u64(&b, 12);
    strbuf_addf(&b, "<%0200d>", 7);
    assert_int_equal(b.len, 206);
    assert_string_equal(b.ptr + 203, "07>");
    strbuf_truncate(&b, 4);
    assert_string_equal(b.ptr, "ab12");
    strbuf_add_str(&b, STR_NONE);
    assert_string_equal(b.ptr, "ab12");
    taken = strbuf_take(&b);
    assert_string_equal(taken, "ab12");
    free(taken);
    assert_null(b.ptr);
    taken = strbuf_take(&b);
    assert_string_equal(taken, "");
    free(taken);
    for (int i = 0; i < 1000; i++) {
        strbuf_addf(&b, "%03d", i);
    }
    assert_int_equal(b.len, 3000);
    assert_memory_equal(b.ptr + 3 * 777, "777", 3);
    strbuf_done(&b);
    strbuf_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nocase_agrees_with_bytewise_for_every_byte),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_cmp_orders_bytes_unsigned_and_shorter_first),
        cmocka_unit_test(test_trim_and_sub),
        cmocka_unit_test(test_split_gives_empty_parts_too),
        cmocka_unit_test(test_parse_u64_is_strict),
        cmocka_unit_test(test_parse_hex_and_signed),
        cmocka_unit_test(test_parse_double),
        cmocka_unit_test(test_format_u64_round_trips),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_strbuf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
