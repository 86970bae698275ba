/*
 * For unit tests that run a loop until something has come of it.
 */

#ifndef DATAPLANE_EVENT_TESTING_H
#define DATAPLANE_EVENT_TESTING_H

#include "dataplane/event/loop.h"
#include "dataplane/event/timer.h"

enum { LOOP_TEST_TURN_MS = 10 };

static inline void loop_test_tick(struct timer *t)
{
    (void)t; /* that it woke the loop is all */
}

/* One turn of the loop. What was waited for may come of timers and tasks, before the loop sleeps;
 * so it never sleeps for long. */
static inline void loop_test_turn(struct loop *l)
{
    struct timer tick;

    timer_init(&tick, loop_test_tick);
    timer_arm(l, &tick, LOOP_TEST_TURN_MS);
    (void)uv_run(&l->uv, UV_RUN_ONCE); /* non-zero: handles are left, as they should be */
    timer_cancel(l, &tick);
}

/* Runs the loop until the condition holds. The caller's own timer ends what never comes. */
#define LOOP_WAIT(loop, condition)                                                                 \
    do {                                                                                           \
        while (!(condition)) {                                                                     \
            loop_test_turn(loop);                                                                  \
        }                                                                                          \
    } while (0)

#endif
