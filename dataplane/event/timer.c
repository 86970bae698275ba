/*
 * The timer wheel. One loop's thread only; time is the loop's cached milliseconds.
 *
 * A timer due at `filed` sits on the level of the highest 6-bit digit in which `filed` and `now_ms`
 * differ, in the slot of that digit. So a level holds only slots later than now's own digit, all of
 * them later than everything on the levels below; the earliest slot is the lowest set bit of the
 * lowest occupied level. (Only the top level may wrap around, and what is more than a round ahead
 * comes up early.) When a slot's first millisecond comes, its timers are due, or are filed anew: on
 * a lower level, or, pushed back meanwhile, anywhere later.
 */

#include "dataplane/event/timer.h"

#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"

#define SLOT_BITS 6
#define TOP_LEVEL (TIMER_LEVELS - 1)
#define DELAY_MAX_MS ((uint64_t)1 << (SLOT_BITS * TIMER_LEVELS))
#define NEVER_MS UINT64_MAX

_Static_assert(TIMER_SLOTS == 1 << SLOT_BITS, "a slot is one digit");
_Static_assert(TIMER_SLOTS == 64, "a level's slots are the bits of one word");

static unsigned digit_of(uint64_t ms, unsigned level)
{
    return (unsigned)(ms >> (SLOT_BITS * level)) & (TIMER_SLOTS - 1);
}

static void wheel_file(struct timer_wheel *w, struct timer *t)
{
    uint64_t filed = t->deadline_ms;
    unsigned level;
    unsigned slot;

    if (filed <= w->now_ms) {
        filed = w->now_ms + 1; /* this millisecond's slot has been run */
    }
    level = (63 - (unsigned)__builtin_clzll(filed ^ w->now_ms)) / SLOT_BITS;
    if (level > TOP_LEVEL) {
        level = TOP_LEVEL;
    }
    slot = digit_of(filed, level);
    t->filed_ms = filed;
    list_add_tail(&w->slots[level][slot], &t->node);
    w->occupied[level] |= (uint64_t)1 << slot;
}

static void wheel_unfile(struct timer_wheel *w, struct timer *t)
{
    struct list *next = t->node.next;
    size_t offset;
    size_t slot;

    list_remove(&t->node);
    if (!list_is_empty(next)) {
        return;
    }
    /* Only a list head can be alone: the timer was its last. It is a slot's head, unless the timer
     * was waiting in the list that wheel_run_slot works through. */
    offset = (uintptr_t)next - (uintptr_t)w->slots;
    if (offset < sizeof(w->slots)) {
        slot = offset / sizeof(struct list);
        w->occupied[slot / TIMER_SLOTS] &= ~((uint64_t)1 << (slot % TIMER_SLOTS));
    }
}

/* The earliest occupied slot: its first millisecond, NEVER_MS for none. */
static uint64_t wheel_next(const struct timer_wheel *w, unsigned *ret_level, unsigned *ret_slot)
{
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        uint64_t bits = w->occupied[level];
        uint64_t turn_ms = (uint64_t)1 << (SLOT_BITS * (level + 1));
        uint64_t start_ms = w->now_ms & ~(turn_ms - 1);

        if (bits == 0) {
            continue;
        }
        if (level == TOP_LEVEL) {
            unsigned now_slot = digit_of(w->now_ms, level);
            uint64_t later = bits & ~(((uint64_t)2 << now_slot) - 1);

            if (later != 0) {
                bits = later;
            } else {
                start_ms += turn_ms;
            }
        }
        *ret_level = level;
        *ret_slot = (unsigned)__builtin_ctzll(bits);
        return start_ms + ((uint64_t)*ret_slot << (SLOT_BITS * level));
    }
    return NEVER_MS;
}

/* Timers may arm and cancel any timer while they fire, those still waiting in `due` included. */
static void wheel_run_slot(struct timer_wheel *w, unsigned level, unsigned slot)
{
    struct list due;

    list_init(&due);
    list_splice(&due, &w->slots[level][slot]);
    w->occupied[level] &= ~((uint64_t)1 << slot);
    while (!list_is_empty(&due)) {
        struct timer *t = container_of(due.next, struct timer, node);

        list_remove(&t->node);
        if (t->deadline_ms > w->now_ms) {
            wheel_file(w, t);
        } else {
            t->fire(t);
        }
    }
}

void timer_wheel_advance(struct timer_wheel *w, uint64_t now_ms)
{
    unsigned level = 0; /* set by wheel_next whenever it finds one */
    unsigned slot = 0;
    uint64_t at_ms;

    while ((at_ms = wheel_next(w, &level, &slot)) <= now_ms) {
        w->now_ms = at_ms;
        wheel_run_slot(w, level, slot);
    }
    if (now_ms > w->now_ms) {
        w->now_ms = now_ms;
    }
}

static void driver_on_fire(uv_timer_t *handle);

static void driver_start(struct timer_wheel *w, uint64_t at_ms)
{
    uint64_t now_ms = uv_now(w->driver.loop);
    int r;

    w->driver_ms = at_ms;
    r = uv_timer_start(&w->driver, driver_on_fire, at_ms > now_ms ? at_ms - now_ms : 0, 0);
    CHECK(r == 0); /* fails only on a closing handle: a timer armed after the loop's end */
}

static void driver_on_fire(uv_timer_t *handle)
{
    struct timer_wheel *w = container_of(handle, struct timer_wheel, driver);
    unsigned level;
    unsigned slot;
    uint64_t next_ms;

    /* While timers fire, what they arm must not start the driver: it is started below. */
    w->driver_ms = 0;
    timer_wheel_advance(w, uv_now(handle->loop));
    next_ms = wheel_next(w, &level, &slot);
    if (next_ms == NEVER_MS) {
        w->driver_ms = NEVER_MS;
    } else {
        driver_start(w, next_ms);
    }
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire};
    list_init(&t->node);
}

void timer_arm(struct loop *l, struct timer *t, uint64_t delay_ms)
{
    struct timer_wheel *w = &l->timers;

    /* One more, because the cached time is the start of its millisecond: never early. */
    t->deadline_ms = loop_now_ms(l) + 1 + (delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS);
    if (list_is_linked(&t->node)) {
        if (t->deadline_ms >= t->filed_ms) {
            return; /* re-filed when its old slot comes up */
        }
        wheel_unfile(w, t);
    }
    wheel_file(w, t);
    if (t->filed_ms < w->driver_ms) {
        driver_start(w, t->filed_ms);
    }
}

void timer_cancel(struct loop *l, struct timer *t)
{
    if (list_is_linked(&t->node)) {
        wheel_unfile(&l->timers, t);
    }
}

int timer_wheel_init(struct timer_wheel *w, struct loop *l)
{
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++) {
            list_init(&w->slots[level][slot]);
        }
        w->occupied[level] = 0;
    }
    w->now_ms = uv_now(&l->uv);
    w->driver_ms = NEVER_MS;
    return uv_timer_init(&l->uv, &w->driver);
}

void timer_wheel_close(struct timer_wheel *w)
{
    uv_close((uv_handle_t *)&w->driver, NULL);
}
