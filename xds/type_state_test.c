/* What both protocols share: counting names, and error details that any server can parse. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "xds/type_state.h"
#include "xds/wire.h"

static void test_names_are_counted(void **state)
{
    struct xds_type_state t;
    struct xds_name *n;

    xds_type_state_init(&t, &xds_protocol_sotw, STR("type"), false);
    assert_true(xds_type_state_add(&t, STR("a"), &n));
    assert_false(xds_type_state_add(&t, STR("a"), &n));
    assert_int_equal(t.wanted_count, 1);
    xds_type_state_remove(&t, STR("a"));
    assert_int_equal(t.wanted_count, 1);
    xds_type_state_remove(&t, STR("a"));
    assert_int_equal(t.wanted_count, 0);
    assert_int_equal(t.names.count, 0); /* never told: nobody needs to hear of its end */
    xds_type_state_remove(&t, STR("a"));
    xds_type_state_remove(&t, STR("never there"));
    xds_type_state_done(&t);
}

/* The text inside google.rpc.Status, field 2. */
static struct str detail_of(struct strbuf *out, struct str text)
{
    struct wire_reader r;
    struct wire_field f = {0};

    strbuf_reset(out);
    xds_put_error_detail(out, 6, text);
    r = wire_reader_of(strbuf_str(out));
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 6);
    r = wire_reader_of(f.bytes);
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.varint, 3); /* INVALID_ARGUMENT */
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 2);
    assert_int_equal(wire_next(&r, &(struct wire_field){0}), 0);
    return f.bytes;
}

static void test_error_detail_is_text_whatever_the_reason_quotes(void **state)
{
    struct strbuf out;

    strbuf_init(&out);
    assert_true(str_eq(detail_of(&out, STR("plain")), STR("plain")));
    assert_true(str_eq(detail_of(&out, STR_NONE), STR("")));
    assert_true(str_eq(detail_of(&out, STR("h\xc3\xa9 \xff\xc3")), STR("h\xc3\xa9 ??")));
    strbuf_done(&out);
}

static void test_long_error_detail_is_cut_between_characters(void **state)
{
    struct strbuf out;
    struct strbuf text;
    struct str detail;

    strbuf_init(&out);
    strbuf_init(&text);
    for (size_t lead = 0; lead < 4; lead++) {
        strbuf_reset(&text);
        strbuf_add(&text, "abc", lead);
        while (text.len <= XDS_ERROR_DETAIL_MAX) {
            strbuf_add_c(&text, "\xe2\x82\xac");
        }
        detail = detail_of(&out, strbuf_str(&text));
        assert_true(detail.len <= XDS_ERROR_DETAIL_MAX);
        assert_true(detail.len > XDS_ERROR_DETAIL_MAX - 4);
        assert_true(str_is_utf8(detail));
        assert_true(str_ends(detail, STR("...(truncated)")));
    }
    strbuf_reset(&text);
    while (text.len < XDS_ERROR_DETAIL_MAX) {
        strbuf_add_char(&text, 'x');
    }
    assert_true(str_eq(detail_of(&out, strbuf_str(&text)), strbuf_str(&text)));
    strbuf_done(&text);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_counted),
        cmocka_unit_test(test_error_detail_is_text_whatever_the_reason_quotes),
        cmocka_unit_test(test_long_error_detail_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
