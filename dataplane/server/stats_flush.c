/*
 * Ends the intervals of histograms, and sends sinks the differences between flushes: what each
 * counter was at the last one is kept here, not in the store, so that only who has sinks pays.
 */

#include "dataplane/server/stats_flush.h"

#include <stdlib.h>
#include <string.h>

#include "config/model/listener.h"
#include "config/model/stat_sink.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/map.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"

/* What a series was when it was flushed last. */
struct latched {
    uint64_t value;
    uint64_t flush; /* number of that flush */
    struct latched *next_gone;
    size_t name_len;
    char name[];
};

struct sink {
    const struct stat_sink_type *type;
    void *state;
};

struct stats_flusher {
    const struct stats_flush_config *config;
    struct thread_context *thread;
    struct stat_store *stats;
    void (*refresh)(void *ctx);
    void *refresh_ctx;
    struct timer timer;
    struct map latched; /* by name */
    uint64_t flush;
    struct sink *sinks;
    bool is_started;
};

/* --- one flush ----------------------------------------------------------------------------------
 */

static struct latched *latched_get(struct stats_flusher *f, struct str name)
{
    struct latched *l = map_get(&f->latched, name);

    if (l == NULL) {
        l = xcalloc(1, sizeof(*l) + name.len);
        l->name_len = name.len;
        memcpy(l->name, name.ptr, name.len);
        (void)map_put(&f->latched, str_n(l->name, l->name_len), l);
    }
    return l;
}

static void flush_one(void *user, const struct stat_sample *s)
{
    struct stats_flusher *f = user;
    struct flushed_stat flushed = {.sample = s, .interval = s->interval};

    if (!s->is_used || s->kind == STAT_TEXT) {
        return;
    }
    if (s->kind == STAT_COUNTER) {
        struct latched *l = latched_get(f, s->name);

        flushed.delta = s->value >= l->value ? s->value - l->value : s->value; /* it was reset */
        l->value = s->value;
        l->flush = f->flush;
    }
    for (size_t i = 0; i < f->config->sink_count; i++) {
        f->sinks[i].type->take(f->sinks[i].state, &flushed);
    }
}

/* Series that are gone: their cluster or listener is. */
static void forget_gone(struct stats_flusher *f)
{
    struct latched *gone = NULL;
    struct latched *next;

    map_for_each (e, &f->latched) {
        struct latched *l = e->value;

        if (l->flush != f->flush) {
            l->next_gone = gone;
            gone = l;
        }
    }
    for (; gone != NULL; gone = next) {
        next = gone->next_gone;
        (void)map_remove(&f->latched, str_n(gone->name, gone->name_len));
        free(gone);
    }
}

static void flush_all(struct stats_flusher *f)
{
    uint64_t wall_ms = clock_wall_ns() / 1000000;

    stat_store_end_interval(f->stats);
    if (f->config->sink_count == 0) {
        return;
    }
    f->refresh(f->refresh_ctx);
    f->flush++;
    for (size_t i = 0; i < f->config->sink_count; i++) {
        f->sinks[i].type->begin(f->sinks[i].state, wall_ms);
    }
    stat_store_visit(f->stats, flush_one, f);
    for (size_t i = 0; i < f->config->sink_count; i++) {
        f->sinks[i].type->end(f->sinks[i].state);
    }
    forget_gone(f);
}

/* --- when ---------------------------------------------------------------------------------------
 */

static void on_timer(struct timer *t)
{
    struct stats_flusher *f = container_of(t, struct stats_flusher, timer);

    flush_all(f);
    timer_arm(f->thread->loop, &f->timer, f->config->interval_ms);
}

struct stats_flusher *stats_flusher_new(const struct stats_flush_config *c,
                                        struct thread_context *t, struct stat_store *stats,
                                        void (*refresh)(void *ctx), void *ctx)
{
    struct stats_flusher *f = xcalloc(1, sizeof(*f));

    f->config = c;
    f->thread = t;
    f->stats = stats;
    f->refresh = refresh;
    f->refresh_ctx = ctx;
    timer_init(&f->timer, on_timer);
    map_init(&f->latched);
    return f;
}

void stats_flusher_start(struct stats_flusher *f)
{
    const struct stats_flush_config *c = f->config;

    f->is_started = true;
    f->sinks = xcalloc(c->sink_count, sizeof(*f->sinks));
    for (size_t i = 0; i < c->sink_count; i++) {
        const struct stat_sink_type *type = (const struct stat_sink_type *)c->sinks[i].ext;

        f->sinks[i] = (struct sink){type, type->start(c->sinks[i].config, f->thread)};
    }
    if (!c->on_admin) {
        timer_arm(f->thread->loop, &f->timer, c->interval_ms);
    }
}

void stats_flusher_on_admin(struct stats_flusher *f)
{
    if (f->is_started && f->config->on_admin) {
        flush_all(f);
    }
}

void stats_flusher_stop(struct stats_flusher *f)
{
    if (!f->is_started) {
        return;
    }
    flush_all(f);
    timer_cancel(f->thread->loop, &f->timer);
    for (size_t i = 0; i < f->config->sink_count; i++) {
        f->sinks[i].type->stop(f->sinks[i].state);
    }
    f->is_started = false;
}

void stats_flusher_free(struct stats_flusher *f)
{
    if (f == NULL) {
        return;
    }
    map_for_each (e, &f->latched) {
        free(e->value);
    }
    map_done(&f->latched);
    free(f->sinks);
    free(f);
}
