/* Operators about attempts, queries and times of this zone, and one at each edge of the log
 * filters. What a whole request shows stands beside Envoy in integration/logs/. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "config/model/log_filter.h"
#include "config/model/route.h"
#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/formatter.h"
#include "dataplane/stream_info/formatter_ops.h"
#include "dataplane/stream_info/log_filter.h"

static struct arena arena;
static struct stream_info info;
static struct header_map request;
static struct access_log_entry entry;

static int setup(void **state)
{
    arena_init(&arena, NULL);
    memset(&info, 0, sizeof(info));
    header_map_init(&request, &arena);
    entry = (struct access_log_entry){.info = &info, .request_headers = &request};
    return 0;
}

static int teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

static void check(struct format_item item, const char *want)
{
    struct format f = {.items = &item, .count = 1};
    struct strbuf out;

    strbuf_init(&out);
    formatter_text(&f, &entry, NULL, false, &out);
    if (!str_eq(strbuf_str(&out), str_c(want))) {
        fail_msg("op %d: got '%.*s', want '%s'", item.op, STR_ARG(strbuf_str(&out)), want);
    }
    strbuf_done(&out);
}

static void check_op(enum format_op op, const char *want)
{
    check((struct format_item){.op = op}, want);
}

static void attempt(const char *ip, const char *name, uint64_t connection_id)
{
    info.keeps_attempts = true;
    info.upstream_request_ns = 1;
    stream_info_next_attempt(&info, &arena);
    assert_int_equal(address_from_ip(str_c(ip), 80, &info.upstream_remote), 0);
    info.is_upstream_connected = true;
    info.upstream_host_name = str_c(name);
    info.upstream_connection_id = connection_id;
}

static void test_attempts_in_their_order(void **state)
{
    attempt("10.0.0.1", "one.example:80", 7);
    attempt("10.0.0.2", "", 0);
    attempt("::1", "v6.example", 9);
    check_op(FORMAT_UPSTREAM_HOSTS_ATTEMPTED, "10.0.0.1:80,10.0.0.2:80,[::1]:80");
    check_op(FORMAT_UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT, "10.0.0.1,10.0.0.2,::1");
    check_op(FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED, "one.example:80,10.0.0.2:80,v6.example");
    check_op(FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT, "one.example,10.0.0.2,v6.example");
    check_op(FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED, "7,9");
    check_op(FORMAT_UPSTREAM_CONNECTION_ID, "9");
    check_op(FORMAT_UPSTREAM_HOST_NAME_WITHOUT_PORT, "v6.example");
}

/* As Envoy: of a request the last one alone, once it has a connection. */
static void test_attempts_that_are_not_kept(void **state)
{
    attempt("10.0.0.1", "one", 7);
    info.keeps_attempts = false;
    check_op(FORMAT_UPSTREAM_HOSTS_ATTEMPTED, "10.0.0.1:80");
    info.is_upstream_connected = false;
    info.upstream_connection_id = 0;
    check_op(FORMAT_UPSTREAM_HOSTS_ATTEMPTED, "-");
    check_op(FORMAT_UPSTREAM_CONNECTION_ID, "0");
    info.upstream_request_ns = 0;
    check_op(FORMAT_UPSTREAM_CONNECTION_ID, "-");
}

static void test_more_attempts_than_are_shown(void **state)
{
    for (int i = 0; i < 500; i++) {
        attempt("10.0.0.1", "a-name-that-is-long-enough-to-fill-the-room-there-is.example", 1);
    }
    check_op(FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED,
             "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
             "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1");
}

static void test_masks(void **state)
{
    const struct format_item v4 = {.op = FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT,
                                   .has_prefix_len = true,
                                   .prefix_len = 11};
    struct format_item v6 = v4;

    v6.prefix_len = 35;
    assert_int_equal(address_from_ip(STR("10.255.255.255"), 1, &info.remote), 0);
    check(v4, "10.224.0.0/11");
    check(v6, "10.255.255.255/32");
    assert_int_equal(address_from_ip(STR("2001:db8:ffff:ffff::1"), 1, &info.remote), 0);
    check(v6, "2001:db8:e000::/35");
    assert_int_equal(address_from_path(STR("/a/socket"), &info.remote), 0);
    check(v4, "/a/socket");
}

static void test_queries(void **state)
{
    const struct format_item a = {.op = FORMAT_QUERY_PARAM, .arg1 = STR("a b")};

    header_add(&request, HDR_PATH, STR("/x?a&a%20b=%2&a%20b=second"));
    check(a, "%2");
    header_set(&request, HDR_PATH, STR("/x?a%20b=%41%4"));
    check(a, "A%4");
    header_set(&request, HDR_PATH, STR("/x?%20%7f%41%%42%zz%4"));
    check_op(FORMAT_QUERY_PARAMS_DECODED, "%20%7fABzz%4");
    header_set(&request, HDR_PATH, STR("/x?"));
    check(a, "-");
    check_op(FORMAT_QUERY_PARAMS, "");
    header_set(&request, HDR_PATH, STR("/x"));
    check_op(FORMAT_QUERY_PARAMS, "-");
    entry.request_headers = NULL;
    check_op(FORMAT_QUERY_PARAMS, "-");
}

static void test_the_first_choice_with_a_value(void **state)
{
    const struct format_item choices[] = {
        {.op = FORMAT_ROUTE_NAME},
        {.op = FORMAT_QUERY_PARAM, .arg1 = STR("a"), .has_max_len = true, .max_len = 2},
        {.op = FORMAT_BYTES_SENT},
    };
    const struct format_item item = {
        .op = FORMAT_COALESCE, .choices = choices, .choice_count = ARRAY_LEN(choices)};

    entry.request_headers = &request;
    header_set(&request, HDR_PATH, STR("/x?a=long"));
    check(item, "lo");
    header_set(&request, HDR_PATH, STR("/x"));
    check(item, "0");
}

static void check_xfcc(const char *header, const char *want)
{
    header_set(&request, HDR_X_FORWARDED_CLIENT_CERT, str_c(header));
    check((struct format_item){.op = FORMAT_XFCC_VALUE, .arg1 = STR("uri")}, want);
}

static void test_values_of_xfcc(void **state)
{
    entry.request_headers = &request;
    check_xfcc("", "-");
    check_xfcc("By=a;DNS=b", "-");
    check_xfcc("By=a;URI=b;DNS=c", "b");
    check_xfcc("By=a,URI=second;uri=third", "second");
    check_xfcc("By=\"a,URI=no;URI=no\",URI=yes", "yes");
    check_xfcc(" Uri = \"a;\\\"b\\\\\" ;DNS=c", "a;\"b\\");
    check_xfcc("URI=\\", "\\");
    check_xfcc("URI", "");
    check_xfcc("URI=\"no end", "-");
    (void)header_remove(&request, HDR_X_FORWARDED_CLIENT_CERT);
}

static void test_times_of_this_zone(void **state)
{
    const struct format_item named = {
        .op = FORMAT_START_TIME, .is_local = true, .arg1 = STR("%H:%M %z %Z %Ez")};

    setenv("TZ", "ABC-3:30", 1);
    tzset();
    info.start_wall_ns = UINT64_C(1795405965007000000);
    check((struct format_item){.op = FORMAT_START_TIME, .is_local = true},
          "2026-11-23T07:22:45.007+0330");
    check(named, "07:22 +0330 ABC +03:30");
    unsetenv("TZ");
    tzset();
}

/* --- filters ------------------------------------------------------------------------------ */

static bool passes(const struct log_filter *f)
{
    static struct loop loop;
    struct thread_context t = {.loop = &loop};

    rng_seed_with(&loop.rng, 1);
    return log_filter_matches(f, &entry, &t);
}

static void test_sampling_by_id(void **state)
{
    struct log_filter f = {.kind = LOG_FILTER_RUNTIME, .fraction = {15, 100}};

    /* 0xf47ac10b is 15 of 100 */
    header_add(&request, HDR_X_REQUEST_ID, STR("f47ac10b-58cc-4372-a567-0e02b2c3d479"));
    assert_false(passes(&f));
    f.fraction.numerator = 16;
    assert_true(passes(&f));
    header_set(&request, HDR_X_REQUEST_ID, STR("f47ac10"));
    f.fraction.numerator = 0;
    assert_false(passes(&f));
    f.fraction.numerator = 100;
    assert_true(passes(&f));
    f.is_independent = true;
    entry.request_headers = NULL;
    assert_true(passes(&f));
}

static void test_filters_of_what_is_no_request(void **state)
{
    static const struct header_matcher absent = {
        .name = {"x", 1}, .kind = HEADER_MATCH_PRESENT, .present = true, .invert = true};
    struct log_filter header = {.kind = LOG_FILTER_HEADER, .header = &absent};
    struct log_filter duration = {.kind = LOG_FILTER_DURATION, .op = LOG_FILTER_EQ, .value = 0};
    struct log_filter unknown = {.kind = LOG_FILTER_GRPC_STATUS, .set = 1 << 2};

    entry.request_headers = NULL;
    info.start_mono_ns = 5;
    info.end_ns = 4; /* two clocks */
    assert_true(passes(&header));
    assert_true(passes(&duration));
    assert_true(passes(&unknown));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_attempts_in_their_order),
        TEST(test_attempts_that_are_not_kept),
        TEST(test_more_attempts_than_are_shown),
        TEST(test_masks),
        TEST(test_queries),
        TEST(test_values_of_xfcc),
        TEST(test_the_first_choice_with_a_value),
        TEST(test_times_of_this_zone),
        TEST(test_sampling_by_id),
        TEST(test_filters_of_what_is_no_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
