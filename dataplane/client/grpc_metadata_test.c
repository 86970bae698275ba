#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/client/grpc_metadata.h"

static struct arena arena;
static struct header_map map;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL);
    header_map_init(&map, &arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static void assert_str(struct str s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void assert_decoded(const char *from, const char *to)
{
    assert_str(grpc_message_decode(&arena, str_c(from)), to);
}

static void a_message_is_decoded_and_what_is_no_escape_stays(void **state)
{
    (void)state;
    assert_decoded("plain", "plain");
    assert_decoded("", "");
    assert_decoded("%41%62%7a", "Abz");
    assert_decoded("100%25", "100%");
    assert_decoded("%", "%");
    assert_decoded("%4", "%4");
    assert_decoded("%4g%g4%%41", "%4g%g4%A");
}

static void assert_status(const char *value, enum grpc_code expected)
{
    enum grpc_code code = GRPC_DATA_LOSS;
    struct str message;

    header_set(&map, HDR_GRPC_STATUS, str_c(value));
    assert_true(grpc_metadata_read_status(&map, &code, &message));
    assert_int_equal(code, expected);
}

static void a_status_is_a_known_code(void **state)
{
    enum grpc_code code;
    struct str message;

    (void)state;
    assert_false(grpc_metadata_read_status(&map, &code, &message));
    assert_status("0", GRPC_OK);
    assert_status("16", GRPC_UNAUTHENTICATED);
    assert_status("17", GRPC_UNKNOWN);
    assert_status("-1", GRPC_UNKNOWN);
    assert_status("0x1", GRPC_UNKNOWN);
    assert_status("99999999999999999999999", GRPC_UNKNOWN);
    header_set(&map, HDR_GRPC_STATUS, STR(""));
    assert_false(grpc_metadata_read_status(&map, &code, &message));
}

static void assert_bin(const char *value, const char *encoded)
{
    const struct initial_metadata m = {STR("K-Bin"), str_c(value)};
    struct grpc_request_head head = {.metadata = &m, .metadata_count = 1};

    header_map_init(&map, &arena);
    grpc_metadata_write_head(&map, &head);
    assert_str(header_find_name(&map, STR("k-bin"))->value, encoded);
}

static void binary_metadata_is_base64(void **state)
{
    (void)state;
    assert_bin("", "");
    assert_bin("f", "Zg==");
    assert_bin("fo", "Zm8=");
    assert_bin("foo", "Zm9v");
    assert_bin("foob", "Zm9vYg==");
    assert_bin("\xff\xfe\xfd", "//79");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_decoded_and_what_is_no_escape_stays),
        TEST(a_status_is_a_known_code),
        TEST(binary_metadata_is_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
