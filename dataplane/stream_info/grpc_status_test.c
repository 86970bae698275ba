/* What counts as gRPC, and its statuses. Expectations as Envoy has them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/stream_info/grpc_status.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static void content_types(void **state)
{
    static const char *const is[] = {"application/grpc", "application/grpc+proto",
                                     "application/grpc+"};
    static const char *const is_not[] = {
        "",
        "application/grp",
        "application/grpc-web",
        "application/grpc;charset=utf-8",
        "Application/grpc",
        "application/grpc ",
        "application/json",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(is); i++) {
        assert_true(grpc_is_content_type(str_c(is[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(is_not); i++) {
        assert_false(grpc_is_content_type(str_c(is_not[i])));
    }
}

static void requests_have_a_path(void **state)
{
    struct header_map h;

    (void)state;
    header_map_init(&h, &arena);
    header_add(&h, HDR_CONTENT_TYPE, STR("application/grpc"));
    assert_false(grpc_is_request(&h));
    header_add(&h, HDR_PATH, STR("/s/m"));
    assert_true(grpc_is_request(&h));
}

static bool is_response(const char *status, const char *type, const char *grpc_status, bool end)
{
    struct header_map h;

    header_map_init(&h, &arena);
    header_add(&h, HDR_STATUS, str_c(status));
    header_add(&h, HDR_CONTENT_TYPE, str_c(type));
    if (grpc_status != NULL) {
        header_add(&h, HDR_GRPC_STATUS, str_c(grpc_status));
    }
    return grpc_is_response(&h, end);
}

static void responses_by_type_or_status(void **state)
{
    (void)state;
    assert_true(is_response("200", "application/grpc+json", NULL, false));
    assert_false(is_response("500", "application/grpc", "0", false));
    assert_false(is_response("200", "text/plain", "0", false));
    /* Trailers alone. */
    assert_true(is_response("500", "text/plain", "x", true));
    assert_false(is_response("200", "application/grpc", NULL, true));
}

static void statuses_are_read(void **state)
{
    struct header_map h;
    uint64_t status;

    (void)state;
    header_map_init(&h, &arena);
    assert_false(grpc_status_of(&h, &status));
    header_set(&h, HDR_GRPC_STATUS, STR("16"));
    assert_true(grpc_status_of(&h, &status));
    assert_int_equal(status, 16);
    header_set(&h, HDR_GRPC_STATUS, STR("x"));
    assert_true(grpc_status_of(&h, &status));
    assert_true(status == GRPC_STATUS_INVALID);
}

static void statuses_both_ways(void **state)
{
    (void)state;
    assert_int_equal(grpc_status_of_http(200), GRPC_STATUS_UNKNOWN);
    assert_int_equal(grpc_status_of_http(400), 13);
    assert_int_equal(grpc_status_of_http(503), 14);
    assert_int_equal(grpc_status_of_http(418), GRPC_STATUS_UNKNOWN);
    assert_int_equal(grpc_status_to_http(0), 200);
    assert_int_equal(grpc_status_to_http(16), 401);
    assert_int_equal(grpc_status_to_http(17), 500);
    assert_true(str_eq(grpc_status_name(4, false), STR("DeadlineExceeded")));
    assert_true(str_eq(grpc_status_name(4, true), STR("DEADLINE_EXCEEDED")));
    assert_int_equal(grpc_status_name(17, true).len, 0);
}

static void messages_are_percent_encoded(void **state)
{
    (void)state;
    assert_true(str_eq(grpc_message_encode(&arena, STR("a b}~%\n\x7f\xc3\xa9")),
                       STR("a b}%7E%25%0A%7F%C3%A9")));
    assert_int_equal(grpc_message_encode(&arena, STR_NONE).len, 0);
}

#define STATUS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATUS_TEST(content_types),
        STATUS_TEST(requests_have_a_path),
        STATUS_TEST(responses_by_type_or_status),
        STATUS_TEST(statuses_are_read),
        STATUS_TEST(statuses_both_ways),
        STATUS_TEST(messages_are_percent_encoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
