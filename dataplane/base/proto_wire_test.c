/* Bytes on the wire against the encoding guide's, and what is left out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/proto_wire.h"

static struct strbuf out;

static int setup(void **state)
{
    strbuf_init(&out);
    return 0;
}

static int teardown(void **state)
{
    strbuf_done(&out);
    return 0;
}

#define EXPECT(literal)                                                                            \
    do {                                                                                           \
        assert_int_equal(out.len, sizeof(literal) - 1);                                            \
        assert_memory_equal(out.ptr, literal, sizeof(literal) - 1);                                \
    } while (0)

static void test_scalars(void **state)
{
    proto_u64(&out, 1, 150);
    proto_bool(&out, 16, true);
    proto_fixed64(&out, 2, 0x0102030405060708);
    proto_double(&out, 3, 1);
    EXPECT("\x08\x96\x01"
           "\x80\x01\x01"
           "\x11\x08\x07\x06\x05\x04\x03\x02\x01"
           "\x19\0\0\0\0\0\0\xf0\x3f");
    strbuf_reset(&out);
    proto_u64(&out, 1, UINT64_MAX);
    EXPECT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

static void test_nothing_is_left_out(void **state)
{
    proto_u64(&out, 1, 0);
    proto_bool(&out, 1, false);
    proto_fixed64(&out, 1, 0);
    proto_double(&out, 1, 0);
    proto_string(&out, 1, STR(""));
    proto_bytes(&out, 1, STR(""));
    assert_int_equal(out.len, 0);
    proto_string_always(&out, 2, STR(""));
    EXPECT("\x12\0");
}

static void test_strings(void **state)
{
    proto_string(&out, 2, STR("testing"));
    proto_bytes(&out, 3, STR("\xff"));
    EXPECT("\x12\x07testing\x1a\x01\xff");
    strbuf_reset(&out);
    proto_string(&out, 1, STR("\xc3\xa9\xff\xc3")); /* e acute, then no UTF-8 */
    EXPECT("\x0a\x04\xc3\xa9!!");
}

static void test_messages(void **state)
{
    char text[300];
    size_t outer;
    size_t inner;

    memset(text, 'a', sizeof(text));
    outer = proto_begin(&out, 1);
    inner = proto_begin(&out, 2);
    proto_string(&out, 3, str_n(text, sizeof(text))); /* 303 bytes */
    proto_end(&out, inner);
    proto_end(&out, outer);
    assert_int_equal(out.len, 3 + 3 + 303);
    assert_memory_equal(out.ptr,
                        "\x0a\xb2\x02\x12\xaf\x02\x1a\xac\x02"
                        "aaa",
                        12);
    assert_int_equal(out.ptr[out.len - 1], 'a');
    strbuf_reset(&out);
    proto_string(&out, 1, STR("\xc3\xa9")); /* whose last byte has its top bit set */
    outer = proto_begin(&out, 20);
    proto_end_unless_empty(&out, 20, outer);
    EXPECT("\x0a\x02\xc3\xa9");
    outer = proto_begin(&out, 20);
    proto_u64(&out, 1, 1);
    proto_end_unless_empty(&out, 20, outer);
    EXPECT("\x0a\x02\xc3\xa9\xa2\x01\x02\x08\x01");
    assert_int_equal(proto_length_bytes(1, 127), 2);
    assert_int_equal(proto_length_bytes(16, 128), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_scalars),
        TEST(test_nothing_is_left_out),
        TEST(test_strings),
        TEST(test_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
