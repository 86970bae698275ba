/* How long the upstream may take, in numbers. That these are Envoy's is integration/http's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/extensions/filters/http/router/timeouts.h"

#define SET(n)                                                                                     \
    {                                                                                              \
        .is_set = true, .ms = (n)                                                                  \
    }

static struct arena arena;
static struct header_map h;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL);
    header_map_init(&h, &arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct request_timeouts take(const struct route_forward *f, bool is_grpc)
{
    static const struct cluster_config cluster = {.max_stream_duration = SET(77)};
    struct request_timeouts t;

    request_timeouts_take(&t, f, &cluster, is_grpc, false, &h);
    return t;
}

static void assert_header(enum header_id id, const char *want)
{
    struct str got = header_get(&h, id);

    if (want == NULL) {
        assert_null(got.ptr);
    } else if (!str_eq(got, str_c(want))) {
        fail_msg("got '%.*s', want '%s'", STR_ARG(got), want);
    }
}

static void the_route_decides(void **state)
{
    const struct route_forward silent = {.timeout = {0}};
    const struct route_forward own = {.timeout = SET(7)};
    const struct route_forward none = {.timeout = SET(0)};
    const struct route_forward streams = {.timeout = SET(7), .has_stream_duration = true};

    (void)state;
    assert_int_equal(take(&silent, false).response_ms, 15000);
    assert_int_equal(take(&own, false).response_ms, 7);
    assert_int_equal(take(&none, false).response_ms, 0);
    assert_int_equal(take(&streams, false).response_ms, 0);
    assert_int_equal(take(&own, false).max_stream_ms, 77);
    assert_int_equal(take(&own, false).status, 504);
}

static void max_grpc_timeout_heeds_the_client(void **state)
{
    static const struct {
        struct opt_ms max;
        struct opt_ms offset;
        const char *asked;
        uint64_t want;
    } cases[] = {
        {SET(0), {0}, "2S", 2000},         {SET(0), {0}, "0m", 0},
        {SET(0), {0}, "soon", 0},          {SET(1000), {0}, "2S", 1000},
        {SET(1000), {0}, "0m", 1000},      {SET(1000), {0}, "500m", 500},
        {SET(0), SET(1999), "2S", 1},      {SET(0), SET(2000), "2S", 2000},
        {SET(1000), SET(500), "2S", 1000}, {SET(1000), SET(1500), "2S", 500},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_forward f = {.max_grpc_timeout = cases[i].max,
                                  .grpc_timeout_offset = cases[i].offset,
                                  .timeout = SET(7)};

        header_set(&h, HDR_GRPC_TIMEOUT, str_c(cases[i].asked));
        assert_int_equal(take(&f, true).response_ms, cases[i].want);
        assert_int_equal(take(&f, false).response_ms, 7);
        f.has_stream_duration = true;
        assert_int_equal(take(&f, true).response_ms, 0);
    }
}

static void headers_say_otherwise_and_go(void **state)
{
    const struct route_forward f = {.timeout = SET(1000)};
    struct request_timeouts t;

    (void)state;
    header_add(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, STR("500"));
    header_add(&h, HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, STR("499"));
    header_add(&h, HDR_X_ENVOY_UPSTREAM_STREAM_DURATION_MS, STR("0"));
    header_add(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE, STR(""));
    t = take(&f, false);
    assert_int_equal(t.response_ms, 500);
    assert_int_equal(t.per_try_ms, 499);
    assert_int_equal(t.max_stream_ms, 0);
    assert_int_equal(t.status, 204);
    assert_false(header_has(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS));
    assert_false(header_has(&h, HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS));
    assert_false(header_has(&h, HDR_X_ENVOY_UPSTREAM_STREAM_DURATION_MS));
    assert_false(header_has(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE));

    header_add(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, STR("half a second"));
    header_add(&h, HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, STR("1000"));
    t = take(&f, false);
    assert_int_equal(t.response_ms, 1000);
    assert_int_equal(t.per_try_ms, 0); /* no less than the whole */
    assert_false(header_has(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS));
}

static void what_is_expected_may_be_respected(void **state)
{
    const struct route_forward f = {.timeout = SET(1000)};
    const struct cluster_config c = {.max_stream_duration = {0}};
    struct request_timeouts t;

    (void)state;
    header_add(&h, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, STR("600"));
    header_add(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, STR("500"));
    request_timeouts_take(&t, &f, &c, false, true, &h);
    assert_int_equal(t.response_ms, 600);
    assert_true(header_has(&h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS));
    request_timeouts_take(&t, &f, &c, false, false, &h);
    assert_int_equal(t.response_ms, 500);
}

static void the_server_is_told_what_is_left(void **state)
{
    struct request_timeouts t = {.response_ms = 1000, .per_try_ms = 400};

    (void)state;
    request_timeouts_write(&t, 0, true, &h);
    assert_header(HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "400");
    request_timeouts_write(&t, 700, true, &h);
    assert_header(HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "300");
    request_timeouts_write(&t, 1000, true, &h); /* 0 would be for ever */
    assert_header(HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "1");
    t.per_try_ms = 0;
    request_timeouts_write(&t, 1, true, &h);
    assert_header(HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "999");
    assert_header(HDR_GRPC_TIMEOUT, NULL);
    t.writes_grpc_timeout = true;
    request_timeouts_write(&t, 2, false, &h);
    assert_header(HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "999");
    assert_header(HDR_GRPC_TIMEOUT, "998m");
    t.response_ms = 0;
    request_timeouts_write(&t, 3, true, &h); /* no limit, nothing to say */
    assert_header(HDR_GRPC_TIMEOUT, "998m");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_route_decides),
        TEST(max_grpc_timeout_heeds_the_client),
        TEST(headers_say_otherwise_and_go),
        TEST(what_is_expected_may_be_respected),
        TEST(the_server_is_told_what_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
