#ifndef DATAPLANE_EVENT_TIMER_H
#define DATAPLANE_EVENT_TIMER_H

/*
 * Timers on a hierarchical wheel with 1 ms slots: arming and cancelling are a few pointer writes,
 * because every request arms several and nearly none fires. Pushing a deadline back only stores
 * it; the timer is re-filed when its old slot comes up. One uv_timer drives the wheel.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "dataplane/base/list.h"

struct loop;

#define TIMER_LEVELS 5
#define TIMER_SLOTS 64

struct timer {
    struct list node; /* linked while armed */
    uint64_t deadline_ms;
    uint64_t filed_ms; /* the deadline under which it sits in the wheel, <= deadline_ms */
    void (*fire)(struct timer *t);
};

struct timer_wheel {
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
    uint64_t occupied[TIMER_LEVELS]; /* a bit per non-empty slot */
    uint64_t now_ms;                 /* all slots up to here have been run */
    uint64_t driver_ms;              /* when uv will wake us, UINT64_MAX for never */
    uv_timer_t driver;
};

void timer_init(struct timer *t, void (*fire)(struct timer *t));
/* (Re-)arms `delay_ms` from now. Delays above 2^30 ms are cut to that. */
void timer_arm(struct loop *l, struct timer *t, uint64_t delay_ms);
/* Harmless when not armed. */
void timer_cancel(struct loop *l, struct timer *t);
static inline bool timer_is_armed(const struct timer *t)
{
    return list_is_linked(&t->node);
}

/* For loop.c. */
int timer_wheel_init(struct timer_wheel *w, struct loop *l);
void timer_wheel_close(struct timer_wheel *w);
/* For tests: runs what is due at `now_ms`. */
void timer_wheel_advance(struct timer_wheel *w, uint64_t now_ms);

#endif
