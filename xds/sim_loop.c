/* A loop whose time is the test's. One thread. */

#include "xds/sim_loop.h"

#include "dataplane/base/check.h"
#include "dataplane/event/deferred.h"

void sim_loop_init(struct loop *l, uint64_t seed)
{
    int r = loop_init(l, LOOP_MAIN_INDEX);

    CHECK(r == 0);
    rng_seed_with(&l->rng, seed);
}

void sim_loop_turn(struct loop *l)
{
    post_queue_drain(&l->posts, l);
    while (!list_is_empty(&l->tasks) || !list_is_empty(&l->deferred)) {
        if (!list_is_empty(&l->tasks)) {
            struct loop_task *t = container_of(l->tasks.next, struct loop_task, node);

            list_remove(&t->node);
            t->run(t);
        } else {
            struct deferred *d = container_of(l->deferred.next, struct deferred, node);

            list_remove(&d->node);
            d->free(d);
        }
    }
}

void sim_loop_advance(struct loop *l, uint64_t ms)
{
    sim_loop_turn(l);
    for (uint64_t i = 0; i < ms; i++) {
        l->uv.time++;
        timer_wheel_advance(&l->timers, l->uv.time);
        sim_loop_turn(l);
    }
}

void sim_loop_done(struct loop *l)
{
    sim_loop_turn(l);
    loop_done(l);
}
