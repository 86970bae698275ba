/* Messages between generations: what comes through a socket, what is refused, which name is whose.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/server/hot_restart_wire.h"

static int ends[2];
static struct hot_restart_received got;

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int teardown(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void test_message_with_data_and_descriptors(void **state)
{
    struct hot_restart_message m;
    int fds[HOT_RESTART_FDS_MAX];

    (void)state;
    for (size_t i = 0; i < HOT_RESTART_FDS_MAX; i++) {
        fds[i] = ends[0];
    }
    hot_restart_message_init(&m, HOT_RESTART_SOCKETS);
    m.is_last = 1;
    assert_int_equal(hot_restart_send(ends[0], &m, "why", 3, fds, HOT_RESTART_FDS_MAX), 0);
    assert_int_equal(hot_restart_receive(ends[1], &got), 0);
    assert_int_equal(got.m.kind, HOT_RESTART_SOCKETS);
    assert_int_equal(got.m.is_last, 1);
    assert_int_equal(got.m.data_len, 3);
    assert_memory_equal(got.data, "why", 3);
    assert_int_equal(got.fd_count, HOT_RESTART_FDS_MAX);
    for (size_t i = 0; i < got.fd_count; i++) {
        assert_int_equal(fcntl(got.fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close(got.fds[i]);
    }
    assert_int_equal(hot_restart_receive(ends[1], &got), E_AGAIN);
}

static void test_other_end_has_gone(void **state)
{
    struct hot_restart_message m;

    (void)state;
    shutdown(ends[0], SHUT_RDWR);
    assert_int_equal(hot_restart_receive(ends[1], &got), E_CLOSED);
    hot_restart_message_init(&m, HOT_RESTART_HELLO);
    assert_int_equal(hot_restart_send(ends[0], &m, NULL, 0, NULL, 0), E_CLOSED);
}

static void test_what_is_no_message_is_refused(void **state)
{
    struct hot_restart_message m;
    char big[sizeof(m) + HOT_RESTART_DATA_MAX + 1] = {0};

    (void)state;
    assert_int_equal(hot_restart_parse("", 0, &got), E_PROTOCOL);
    assert_int_equal(hot_restart_parse(big, sizeof(m), &got), E_PROTOCOL);
    assert_int_equal(got.m.version, 0);
    hot_restart_message_init(&m, HOT_RESTART_HELLO);
    assert_int_equal(hot_restart_parse(&m, sizeof(m), &got), 0);
    assert_int_equal(hot_restart_parse(&m, sizeof(m) - 1, &got), E_PROTOCOL);
    m.data_len = 1; /* and nothing behind */
    assert_int_equal(hot_restart_parse(&m, sizeof(m), &got), E_PROTOCOL);
    m.data_len = HOT_RESTART_DATA_MAX + 1;
    memcpy(big, &m, sizeof(m));
    assert_int_equal(hot_restart_parse(big, sizeof(big), &got), E_PROTOCOL);
    hot_restart_message_init(&m, HOT_RESTART_KIND_END);
    assert_int_equal(hot_restart_parse(&m, sizeof(m), &got), E_PROTOCOL);
}

static void test_another_version_is_told(void **state)
{
    struct hot_restart_message m;

    (void)state;
    hot_restart_message_init(&m, HOT_RESTART_HELLO);
    m.version = HOT_RESTART_VERSION + 1;
    assert_int_equal(hot_restart_parse(&m, sizeof(m), &got), E_PROTOCOL);
    assert_int_equal(got.m.version, HOT_RESTART_VERSION + 1);
}

static void test_names(void **state)
{
    struct address a;
    struct address b;
    char text[ADDRESS_TEXT_MAX];
    char longest[300];

    (void)state;
    assert_int_equal(hot_restart_name(NULL, 7, 4, &a), 0);
    address_format(&a, text);
    assert_string_equal(text, "@envoy_domain_socket_parent_71");
    assert_int_equal(hot_restart_name(NULL, 7, 1, &b), 0);
    assert_true(address_eq(&a, &b));
    assert_int_equal(hot_restart_name("/tmp/x", UINT32_MAX, 2, &a), 0);
    address_format(&a, text);
    assert_string_equal(text, "/tmp/x_parent_42949672952");
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(hot_restart_name(longest, 0, 0, &a), E_LIMIT);
    longest[120] = '\0';
    assert_int_equal(hot_restart_name(longest, 0, 0, &a), E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_message_with_data_and_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_end_has_gone, setup, teardown),
        cmocka_unit_test(test_what_is_no_message_is_refused),
        cmocka_unit_test(test_another_version_is_told),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
