/* The wire format as protobuf writes it, and what is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "xds/wire.h"

#define BYTES(literal) str_n((literal), sizeof(literal) - 1)

static void test_reads_what_the_specification_shows(void **state)
{
    /* varint 150 in field 1, "testing" in field 2, a fixed32 in field 3, a fixed64 in field 4 */
    struct str message = BYTES("\x08\x96\x01\x12\x07testing\x1d\x01\x02\x03\x04\x21"
                               "\x01\x02\x03\x04\x05\x06\x07\x08");
    struct wire_reader r = wire_reader_of(message);
    struct wire_field f;

    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 1);
    assert_false(f.is_bytes);
    assert_int_equal(f.varint, 150);
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 2);
    assert_true(f.is_bytes);
    assert_true(str_eq(f.bytes, STR("testing")));
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 3);
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 4);
    assert_int_equal(wire_next(&r, &f), 0);
    assert_int_equal(wire_next(&r, &f), 0);
}

static void test_reads_what_it_wrote(void **state)
{
    static const uint64_t VALUES[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    struct strbuf out;
    struct wire_reader r;
    struct wire_field f;

    strbuf_init(&out);
    for (size_t i = 0; i < ARRAY_LEN(VALUES); i++) {
        wire_put_varint(&out, (uint32_t)i + 1, VALUES[i]);
    }
    wire_put_bytes(&out, 0x1fffffff, STR("the last number"));
    r = wire_reader_of(strbuf_str(&out));
    for (size_t i = 0; i < ARRAY_LEN(VALUES); i++) {
        assert_int_equal(wire_next(&r, &f), 1);
        assert_int_equal(f.number, i + 1);
        assert_int_equal(f.varint, VALUES[i]);
    }
    assert_int_equal(wire_next(&r, &f), 1);
    assert_int_equal(f.number, 0x1fffffff);
    assert_int_equal(wire_next(&r, &f), 0);
    strbuf_done(&out);
}

static void test_nests_messages_of_any_length(void **state)
{
    static const size_t LENGTHS[] = {0, 1, 125, 126, 200, 16500};
    char body[16500];

    memset(body, 'x', sizeof(body));
    for (size_t i = 0; i < ARRAY_LEN(LENGTHS); i++) {
        struct strbuf out;
        struct wire_reader r;
        struct wire_field f;
        size_t outer;
        size_t inner;

        strbuf_init(&out);
        wire_put_varint(&out, 1, 7);
        outer = wire_begin(&out);
        inner = wire_begin(&out);
        if (LENGTHS[i] > 0) {
            wire_put_bytes(&out, 9, str_n(body, LENGTHS[i]));
        }
        wire_end(&out, inner, 3);
        wire_end(&out, outer, 2);
        assert_int_equal(out.ptr[out.len], '\0');

        r = wire_reader_of(strbuf_str(&out));
        assert_int_equal(wire_next(&r, &f), 1);
        assert_int_equal(wire_next(&r, &f), 1);
        assert_int_equal(f.number, 2);
        assert_int_equal(wire_next(&r, &(struct wire_field){0}), 0);
        r = wire_reader_of(f.bytes);
        assert_int_equal(wire_next(&r, &f), 1);
        assert_int_equal(f.number, 3);
        r = wire_reader_of(f.bytes);
        if (LENGTHS[i] > 0) {
            assert_int_equal(wire_next(&r, &f), 1);
            assert_true(str_eq(f.bytes, str_n(body, LENGTHS[i])));
        }
        assert_int_equal(wire_next(&r, &f), 0);
        strbuf_done(&out);
    }
}

static void test_refuses_malformed_bytes(void **state)
{
    static const struct {
        const char *what;
        struct str bytes;
    } CASES[] = {
        {"tag without an end", {"\x80", 1}},
        {"field number 0", {"\x00\x00", 2}},
        {"varint without an end", {"\x08\xff", 2}},
        {"varint of 11 bytes", {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}},
        {"varint over 64 bits", {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}},
        {"length beyond the end", {"\x0a\x02x", 3}},
        {"length near 2^64", {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}},
        {"short fixed32", {"\x0d\x01\x02\x03", 4}},
        {"short fixed64", {"\x09\x01\x02\x03\x04\x05\x06\x07", 8}},
        {"group", {"\x0b\x0c", 2}},
        {"wire type 6", {"\x0e", 1}},
        {"field number over 2^29", {"\x80\x80\x80\x80\x10\x00", 6}},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct wire_reader r = wire_reader_of(CASES[i].bytes);
        struct wire_field f;

        if (wire_next(&r, &f) != E_INVALID) {
            fail_msg("accepted: %s", CASES[i].what);
        }
    }
}

static void test_nothing_is_an_empty_message(void **state)
{
    struct wire_reader r = wire_reader_of(STR_NONE);
    struct wire_field f;

    assert_int_equal(wire_next(&r, &f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_the_specification_shows),
        cmocka_unit_test(test_reads_what_it_wrote),
        cmocka_unit_test(test_nests_messages_of_any_length),
        cmocka_unit_test(test_refuses_malformed_bytes),
        cmocka_unit_test(test_nothing_is_an_empty_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
