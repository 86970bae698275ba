#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "dataplane/codec/grpc_frames.h"

#define MAX 100

static struct buf_pool pool;
static struct buf in;
static struct buf message;

static int set_up(void **state)
{
    (void)state;
    buf_pool_init(&pool, 4);
    buf_init(&in, &pool);
    buf_init(&message, &pool);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_reset(&in);
    buf_reset(&message);
    buf_pool_done(&pool);
    return 0;
}

static int take(uint8_t allowed, uint8_t *ret_flags)
{
    buf_reset(&message);
    return grpc_frame_take(&in, MAX, allowed, &message, ret_flags);
}

static void assert_message(const char *text)
{
    char copy[MAX] = "";

    assert_int_equal(buf_len(&message), strlen(text));
    (void)buf_copy_out(&message, 0, copy, sizeof(copy));
    assert_string_equal(copy, text);
}

static void test_head_is_the_same_after_a_round_trip(void **state)
{
    const uint8_t wire[] = {1, 0x12, 0x34, 0x56, 0xf8};
    struct grpc_frame_head h = grpc_frame_head_read(wire);
    uint8_t again[GRPC_FRAME_HEAD_BYTES];

    (void)state;
    assert_int_equal(h.flags, 1);
    assert_int_equal(h.length, 0x123456f8);
    grpc_frame_head_write(h, again);
    assert_memory_equal(again, wire, sizeof(wire));
}

static void test_messages_come_out_one_by_one(void **state)
{
    uint8_t flags = 0xff;

    (void)state;
    buf_add(&in, "\0\0\0\0\3abc\0\0\0\0\0\1\0\0\0\1z\0", 20);
    assert_int_equal(take(GRPC_FRAME_COMPRESSED, &flags), 0);
    assert_message("abc");
    assert_int_equal(flags, 0);
    assert_int_equal(take(GRPC_FRAME_COMPRESSED, &flags), 0);
    assert_message("");
    assert_int_equal(take(GRPC_FRAME_COMPRESSED, &flags), 0);
    assert_message("z");
    assert_int_equal(flags, GRPC_FRAME_COMPRESSED);
    assert_int_equal(take(GRPC_FRAME_COMPRESSED, &flags), E_AGAIN);
    assert_int_equal(buf_len(&in), 1);
}

static void test_a_message_in_pieces_is_waited_for(void **state)
{
    const char wire[] = "\0\0\0\0\5hello";
    uint8_t flags;

    (void)state;
    for (size_t i = 0; i < sizeof(wire) - 2; i++) {
        buf_add(&in, wire + i, 1);
        assert_int_equal(take(0, &flags), E_AGAIN);
    }
    buf_add(&in, "o", 1);
    assert_int_equal(take(0, &flags), 0);
    assert_message("hello");
    assert_int_equal(buf_len(&in), 0);
}

static void test_a_flag_is_refused_with_its_first_byte(void **state)
{
    uint8_t flags;

    (void)state;
    buf_add(&in, "\x80", 1);
    assert_int_equal(take(GRPC_FRAME_COMPRESSED, &flags), E_PROTOCOL);
    assert_int_equal(take(GRPC_FRAME_TRAILERS, &flags), E_AGAIN);
}

static void test_a_length_over_the_bound_is_refused_with_the_head(void **state)
{
    uint8_t flags;

    (void)state;
    buf_add(&in, "\0\0\0\0", 4);
    assert_int_equal(take(0, &flags), E_AGAIN);
    buf_add(&in, "\x65", 1); /* 101 */
    assert_int_equal(take(0, &flags), E_LIMIT);
    buf_reset(&in);
    buf_add(&in, "\0\xff\xff\xff\xff", 5);
    assert_int_equal(take(0, &flags), E_LIMIT);
}

static void test_counter_sees_what_passes_however_it_is_cut(void **state)
{
    const char wire[] = "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\2xy\0\0";

    (void)state;
    for (size_t step = 1; step < sizeof(wire); step++) {
        struct grpc_frame_counter c = {0};

        for (size_t at = 0; at < sizeof(wire) - 1; at += step) {
            size_t n = sizeof(wire) - 1 - at < step ? sizeof(wire) - 1 - at : step;

            grpc_frame_counter_feed(&c, str_n(wire + at, n));
        }
        assert_int_equal(c.count, 4); /* the last has only begun */
        assert_int_equal(c.completed, 3);
        assert_false(grpc_frame_counter_is_between(&c));
    }
}

static void test_counter_reads_a_buf_and_leaves_it(void **state)
{
    struct grpc_frame_counter c = {0};

    (void)state;
    buf_add(&in, "\0\0\0\0\3abc", 8);
    grpc_frame_counter_feed_buf(&c, &in);
    assert_int_equal(buf_len(&in), 8);
    assert_int_equal(c.completed, 1);
    assert_true(grpc_frame_counter_is_between(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_head_is_the_same_after_a_round_trip, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_messages_come_out_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_message_in_pieces_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_flag_is_refused_with_its_first_byte, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_length_over_the_bound_is_refused_with_the_head,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counter_sees_what_passes_however_it_is_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_counter_reads_a_buf_and_leaves_it, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
