/* State of the world, request by request, as Envoy's and go-control-plane's documents have it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "xds/protocol_test_util.h"

static int setup_named(void **state)
{
    xds_type_state_init(&ts, &xds_protocol_sotw, STR("type"), false);
    return 0;
}

static int setup_wildcard(void **state)
{
    xds_type_state_init(&ts, &xds_protocol_sotw, STR("type"), true);
    return 0;
}

static void test_wildcard(void **state)
{
    assert_request("names=");
    assert_silent();
    answer("1", "A", "x", NULL);
    assert_request("version=1 nonce=A names=");
    assert_silent();
}

static void test_nack_repeats_the_last_good_version(void **state)
{
    assert_request("names=");
    answer("1", "A", "x", "bad");
    assert_request("nonce=A names= error=bad");
    answer("2", "B", "x", NULL);
    assert_request("version=2 nonce=B names=");
    answer("3", "C", "x", "worse");
    assert_request("version=2 nonce=C names= error=worse");
    answer("4", "D", "x", NULL);
    assert_request("version=4 nonce=D names=");
}

static void test_nothing_is_said_without_names(void **state)
{
    assert_silent(); /* no names would mean all */
    add("a");
    drop("a");
    assert_silent();
    new_stream();
    assert_silent();
}

static void test_names_go_with_the_last_version_and_nonce(void **state)
{
    add("b");
    add("a");
    assert_request("names=a,b");
    add("c");
    assert_request("names=a,b,c");
    answer("1", "A", "a,b", NULL);
    assert_request("version=1 nonce=A names=a,b,c");
    drop("b");
    add("d");
    assert_request("version=1 nonce=A names=a,c,d");
    assert_silent();
}

static void test_an_ack_carries_changed_names(void **state)
{
    add("a");
    assert_request("names=a");
    answer("1", "A", "a", NULL);
    add("b");
    assert_request("version=1 nonce=A names=a,b");
    assert_silent();
}

static void test_error_is_said_once(void **state)
{
    add("a");
    assert_request("names=a");
    answer("1", "A", "a", "bad");
    assert_request("nonce=A names=a error=bad");
    add("b");
    assert_request("nonce=A names=a,b");
}

static void test_the_last_name_given_up_is_said(void **state)
{
    add("a");
    assert_request("names=a");
    answer("1", "A", "a", NULL);
    assert_request("version=1 nonce=A names=a");
    drop("a");
    assert_request("version=1 nonce=A names=");
    assert_silent();
}

/* The server must hear of the end, or it would not send the resource again. */
static void test_given_up_and_wanted_again_is_said_twice(void **state)
{
    add("a");
    add("b");
    assert_request("names=a,b");
    answer("1", "A", "a,b", NULL);
    assert_request("version=1 nonce=A names=a,b");
    drop("a");
    add("a");
    assert_request("version=1 nonce=A names=b");
    assert_request("version=1 nonce=A names=a,b");
    assert_silent();
}

static void test_given_up_wanted_and_given_up_again(void **state)
{
    add("a");
    add("b");
    assert_request("names=a,b");
    drop("a");
    add("a");
    drop("a");
    assert_request("names=b");
    assert_silent();
}

static void test_a_new_stream_knows_nothing(void **state)
{
    assert_request("names=");
    answer("1", "A", "x", NULL);
    assert_request("version=1 nonce=A names=");
    answer("2", "B", "x", "bad"); /* its answer dies with the stream */
    new_stream();
    assert_request("version=1 names=");
    assert_silent();
}

/* "version 1" would tell the server that we have all that it sent with it. */
static void test_a_new_stream_hides_the_version_while_something_is_lacking(void **state)
{
    add("a");
    assert_request("names=a");
    answer("1", "A", "a", NULL);
    assert_request("version=1 nonce=A names=a");
    new_stream();
    assert_request("version=1 names=a");
    new_stream();
    add("b");
    assert_request("names=a,b");
    add("c");
    assert_request("names=a,b,c");
    answer("2", "B", "a", "bad");
    assert_request("version=1 nonce=B names=a,b,c error=bad"); /* the last one accepted */
    answer("3", "C", "a,b,c", NULL);
    assert_request("version=3 nonce=C names=a,b,c");
    new_stream();
    assert_request("version=3 names=a,b,c");
}

static void test_a_new_stream_forgets_what_is_given_up(void **state)
{
    add("a");
    add("b");
    assert_request("names=a,b");
    drop("a");
    new_stream();
    assert_request("names=b");
    drop("b");
    new_stream();
    assert_silent();
    assert_int_equal(ts.names.count, 0);
}

#define NAMED(f) cmocka_unit_test_setup_teardown(f, setup_named, teardown)
#define WILDCARD(f) cmocka_unit_test_setup_teardown(f, setup_wildcard, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WILDCARD(test_wildcard),
        WILDCARD(test_nack_repeats_the_last_good_version),
        NAMED(test_nothing_is_said_without_names),
        NAMED(test_names_go_with_the_last_version_and_nonce),
        NAMED(test_an_ack_carries_changed_names),
        NAMED(test_error_is_said_once),
        NAMED(test_the_last_name_given_up_is_said),
        NAMED(test_given_up_and_wanted_again_is_said_twice),
        NAMED(test_given_up_wanted_and_given_up_again),
        WILDCARD(test_a_new_stream_knows_nothing),
        NAMED(test_a_new_stream_hides_the_version_while_something_is_lacking),
        NAMED(test_a_new_stream_forgets_what_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
