/* A watched descriptor: told when there is something, silent when closed, startable again later. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/event/fd_watch.h"
#include "dataplane/event/loop.h"

static struct loop loop;
static struct fd_watch watch;
static struct timer again;
static unsigned told;

static void on_readable(struct fd_watch *w)
{
    char c;

    told++;
    assert_int_equal(read(w->fd, &c, 1), 1);
    fd_watch_close(w);
    assert_false(fd_watch_is_open(w));
    assert_false(fd_watch_may_start(w)); /* not in this turn */
    timer_arm(&loop, &again, 1);
}

static void on_again(struct timer *t)
{
    (void)t;
    assert_true(fd_watch_may_start(&watch));
    loop_stop(&loop);
}

static void test_told_closed_and_started_again(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop, LOOP_MAIN_INDEX), 0);
    timer_init(&again, on_again);
    for (unsigned round = 1; round <= 2; round++) {
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_int_equal(fd_watch_start(&loop, &watch, ends[0], on_readable), 0);
        assert_true(fd_watch_is_open(&watch));
        assert_int_equal(write(ends[1], "xy", 2), 2); /* the second byte is never told of */
        loop_run(&loop);
        assert_int_equal(told, round);
        close(ends[1]);
    }
    fd_watch_close(&watch);
    loop_done(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_closed_and_started_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
