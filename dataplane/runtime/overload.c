/* The few decisions of overload.h that are not made on every request. */

#include "dataplane/runtime/overload.h"

#include "dataplane/event/loop.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"

bool overload_draw(const struct thread_context *t, enum overload_point p)
{
    const struct overload *o = t->overload;

    if (!runtime_fraction_enabled(&t->loop->rng, overload_level(o, p), OVERLOAD_FULL)) {
        return false;
    }
    if (o->shed_counts[p] != NULL) {
        stat_inc(stat_scope_block(o->shed_counts[p], t->loop->index), 0);
    }
    return true;
}

uint64_t overload_cut_ms(const struct overload *o, enum scaled_timer timer, uint64_t timeout_ms)
{
    uint64_t level = overload_level(o, OVERLOAD_REDUCE_TIMEOUTS);
    const struct timer_scale *scale;
    uint64_t least;

    if (level == 0 || !o->timers[timer].is_set) {
        return 0;
    }
    scale = &o->timers[timer];
    least = scale->min_ms > 0 ? scale->min_ms : timeout_ms * scale->min_percent / 100;
    return least < timeout_ms ? (timeout_ms - least) * level / OVERLOAD_FULL : 0;
}
