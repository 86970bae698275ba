#ifndef XDS_SIM_LOOP_H
#define XDS_SIM_LOOP_H

/*
 * For tests: a loop that is never run. The test moves its time and ends its turns, so that a
 * backoff of half a minute takes no time and every run is the same. Nothing may wait for the
 * kernel.
 */

#include <stdint.h>

#include "dataplane/event/loop.h"

/* Seeds the loop's random numbers with `seed`. */
void sim_loop_init(struct loop *l, uint64_t seed);
/* Everything that would have run before the loop slept: messages, tasks, frees. */
void sim_loop_turn(struct loop *l);
/* Milliseconds pass one by one, each with the timers that are due and a turn. */
void sim_loop_advance(struct loop *l, uint64_t ms);
void sim_loop_done(struct loop *l);

#endif
