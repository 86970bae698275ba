/* Incremental discovery, request by request. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "xds/protocol_test_util.h"

static int setup_named(void **state)
{
    xds_type_state_init(&ts, &xds_protocol_delta, STR("type"), false);
    return 0;
}

static int setup_wildcard(void **state)
{
    xds_type_state_init(&ts, &xds_protocol_delta, STR("type"), true);
    return 0;
}

static void test_wildcard(void **state)
{
    assert_request("");
    assert_silent();
    answer("1", "A", "x,y", NULL);
    assert_request("nonce=A");
    assert_silent();
}

static void test_nack(void **state)
{
    assert_request("");
    answer("1", "A", "x", "bad");
    assert_request("nonce=A error=bad");
    answer("2", "B", "x", NULL);
    assert_request("nonce=B");
    assert_silent();
}

static void test_only_changes_are_said(void **state)
{
    assert_silent();
    add("a");
    add("b");
    assert_request("+a,b");
    add("c");
    drop("a");
    assert_request("+c -a");
    add("c");
    drop("c");
    assert_silent();
}

static void test_only_answers_carry_a_nonce(void **state)
{
    add("a");
    assert_request("+a");
    answer("1", "A", "a", NULL);
    add("b");
    assert_request("nonce=A +b");
    add("c");
    assert_request("+c");
}

static void test_nothing_is_said_of_names_that_came_and_went(void **state)
{
    add("a");
    assert_request("+a");
    add("b");
    drop("b");
    assert_silent();
}

/* Whoever gave it up has forgotten it: the server must send it again. */
static void test_given_up_and_wanted_again_is_subscribed_again(void **state)
{
    add("a");
    add("b");
    assert_request("+a,b");
    answer("1", "A", "a,b", NULL);
    assert_request("nonce=A");
    drop("a");
    add("a");
    assert_request("+a");
    new_stream();
    assert_request("+a,b held=b:1"); /* `a` is not held any more */
}

static void test_a_new_stream_tells_what_is_held(void **state)
{
    assert_request("");
    answer("1", "A", "x,y", NULL);
    assert_request("nonce=A");
    answer("2", "B", "y,z", NULL);
    assert_request("nonce=B");
    answer("3", "C", "-x", NULL);
    new_stream();
    assert_request("held=y:2,z:2");
    assert_silent();
}

/* Part of a refused response may have been applied. A version that no server has makes the server
 * send the resource again; not to mention it would keep it for ever if it is gone by then. */
static void test_what_was_refused_is_held_at_no_version(void **state)
{
    assert_request("");
    answer("1", "A", "x,y", NULL);
    assert_request("nonce=A");
    answer("2", "B", "x,new,-y", "new: bad");
    assert_request("nonce=B error=new: bad");
    new_stream();
    assert_request("held=new:,x:");
    answer("2", "C", "x", NULL);
    assert_request("nonce=C");
    new_stream();
    assert_request("held=new:,x:2");
}

static void test_unasked_resources_are_not_held(void **state)
{
    add("a");
    assert_request("+a");
    answer("1", "A", "a,other", NULL);
    assert_request("nonce=A");
    new_stream();
    assert_request("+a held=a:1");
}

static void test_given_up_names_are_not_held(void **state)
{
    add("a");
    add("b");
    assert_request("+a,b");
    answer("1", "A", "a,b", NULL);
    drop("a");
    assert_request("nonce=A -a");
    answer("2", "B", "a", NULL); /* crossed our request */
    assert_request("nonce=B");
    new_stream();
    assert_request("+b held=b:1");
}

/* A first request with nothing in it would ask for everything. */
static void test_a_new_stream_without_names_is_silent(void **state)
{
    add("a");
    assert_request("+a");
    drop("a");
    new_stream();
    assert_silent();
    add("b");
    assert_request("+b");
    drop("b");
    assert_request("-b");
    assert_silent();
}

#define NAMED(f) cmocka_unit_test_setup_teardown(f, setup_named, teardown)
#define WILDCARD(f) cmocka_unit_test_setup_teardown(f, setup_wildcard, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WILDCARD(test_wildcard),
        WILDCARD(test_nack),
        NAMED(test_only_changes_are_said),
        NAMED(test_only_answers_carry_a_nonce),
        NAMED(test_nothing_is_said_of_names_that_came_and_went),
        NAMED(test_given_up_and_wanted_again_is_subscribed_again),
        WILDCARD(test_a_new_stream_tells_what_is_held),
        WILDCARD(test_what_was_refused_is_held_at_no_version),
        NAMED(test_unasked_resources_are_not_held),
        NAMED(test_given_up_names_are_not_held),
        NAMED(test_a_new_stream_without_names_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
