/*
 * The watching thread. It alone reads and writes what it remembers of the others; they only clear a
 * flag.
 */

#include "dataplane/server/watchdog.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/rand.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/server/crash.h"
#include "dataplane/stats/stats.h"

#define INTERVAL_MIN_MS 10
#define MULTIKILL_MIN 2

enum watchdog_stat { WATCHDOG_MEGA_MISS, WATCHDOG_MISS, WATCHDOG_STAT_COUNT };

static const struct stat_def stat_defs[WATCHDOG_STAT_COUNT] = {
    [WATCHDOG_MEGA_MISS] = {"watchdog_mega_miss", STAT_COUNTER},
    [WATCHDOG_MISS] = {"watchdog_miss", STAT_COUNTER},
};

static const struct stat_schema schema = {
    .defs = stat_defs, .count = WATCHDOG_STAT_COUNT, .shown_untouched = true};

/* One scope and its cells, which the watching thread alone writes. */
struct counts {
    struct stat_scope *scope;
    struct stat_block *block;
};

/* Threads under the same rules: main, or all workers. */
struct group {
    struct watchdog_rules rules;
    struct counts counts;
    size_t member_count;
};

struct watched {
    struct post question;
    struct watched *next;
    struct loop *loop;
    pthread_t thread;
    struct group *group;
    struct counts counts;
    char name[32];            /* "worker_0" */
    _Atomic(bool) is_waiting; /* asked, not answered */
    uint64_t asked_ms;
    bool has_missed;
    bool has_mega_missed;
};

struct watchdog {
    struct stat_store *stats;
    struct group main_thread;
    struct group workers;
    struct watched *first;
    struct rng rng;
    uint64_t interval_ms;
    pthread_t thread;
    bool is_running;
    pthread_mutex_t lock; /* of is_stopping, for `wake` */
    pthread_cond_t wake;
    bool is_stopping;
};

/* --- counting -----------------------------------------------------------------------------------
 */

/* `worker_id`: empty for what is not one worker's. */
static struct counts counts_new(struct stat_store *stats, const char *prefix,
                                const char *tagged_prefix, struct str worker_id)
{
    struct counts c = {
        .scope = stat_scope_ref(stats,
                                &(struct stat_scope_spec){
                                    .prefix = str_c(prefix),
                                    .tagged_prefix = str_c(tagged_prefix),
                                    .tags = {{STR("envoy.worker_id"), worker_id}},
                                    .tag_count = worker_id.len > 0 ? 1 : 0,
                                    .schema = &schema,
                                }),
        .block = stat_block_new(&schema),
    };

    stat_scope_adopt(c.scope, c.block);
    return c;
}

static void count(struct watched *t, enum watchdog_stat stat)
{
    stat_inc(t->counts.block, stat);
    stat_inc(t->group->counts.block, stat);
}

/* --- watching -----------------------------------------------------------------------------------
 */

/* The loop's own thread. */
static void on_question(struct loop *l, struct post *p)
{
    struct watched *t = container_of(p, struct watched, question);

    (void)l;
    atomic_store_explicit(&t->is_waiting, false, memory_order_release);
}

static void ask(struct watched *t, uint64_t now_ms)
{
    t->asked_ms = now_ms;
    t->has_missed = false;
    t->has_mega_missed = false;
    atomic_store_explicit(&t->is_waiting, true, memory_order_relaxed);
    post_send(t->loop, &t->question);
}

static void end_process(struct watched *t, const char *limit)
{
    log_critical(LOG_C_MAIN, "%s is stuck for longer than the watchdog's %s", t->name, limit);
    abort();
}

static void judge(struct watchdog *w, struct watched *t, uint64_t stuck_ms)
{
    const struct watchdog_rules *r = &t->group->rules;
    uint64_t jitter_ms = r->kill_jitter_ms > 0 ? rng_below(&w->rng, r->kill_jitter_ms) : 0;

    if (stuck_ms > r->miss_ms && !t->has_missed) {
        t->has_missed = true;
        count(t, WATCHDOG_MISS);
    }
    if (stuck_ms > r->megamiss_ms && !t->has_mega_missed) {
        t->has_mega_missed = true;
        count(t, WATCHDOG_MEGA_MISS);
        log_error(LOG_C_MAIN, "%s does not answer since %llu ms; it is here:", t->name,
                  (unsigned long long)stuck_ms);
        if (!crash_show_thread(t->thread)) {
            log_error(LOG_C_MAIN, "%s does not take signals either", t->name);
        }
    }
    if (r->kill_ms > 0 && stuck_ms > r->kill_ms + jitter_ms) {
        end_process(t, "kill_timeout");
    }
}

/* Whether so many of the group are stuck that the process is of no use any more. */
static bool is_too_many(const struct group *g, size_t stuck)
{
    double share = ceil(g->rules.multikill_threshold / 100 * (double)g->member_count);
    size_t limit = share > MULTIKILL_MIN ? (size_t)share : MULTIKILL_MIN;

    return stuck >= limit;
}

static void look_round(struct watchdog *w, uint64_t now_ms)
{
    size_t stuck_main = 0;
    size_t stuck_workers = 0;

    for (struct watched *t = w->first; t != NULL; t = t->next) {
        size_t *stuck = t->group == &w->workers ? &stuck_workers : &stuck_main;
        uint64_t stuck_ms = now_ms - t->asked_ms;

        if (!atomic_load_explicit(&t->is_waiting, memory_order_acquire)) {
            ask(t, now_ms);
            continue;
        }
        judge(w, t, stuck_ms);
        *stuck += t->group->rules.multikill_ms > 0 && stuck_ms > t->group->rules.multikill_ms;
        if (is_too_many(t->group, *stuck)) {
            end_process(t, "multikill_timeout, and so are others");
        }
    }
}

static bool sleep_for(struct watchdog *w)
{
    struct timespec until;
    bool is_stopping;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(w->interval_ms / 1000);
    until.tv_nsec += (long)(w->interval_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping && pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT) {
        /* woken without a reason */
    }
    is_stopping = w->is_stopping;
    pthread_mutex_unlock(&w->lock);
    return !is_stopping;
}

static void *watch(void *arg)
{
    struct watchdog *w = arg;
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    (void)pthread_setname_np(pthread_self(), "watchdog");
    do {
        look_round(w, clock_mono_ns() / 1000000);
    } while (sleep_for(w));
    return NULL;
}

/* --- making -------------------------------------------------------------------------------------
 */

static uint64_t smallest_timeout(const struct watchdog_rules *r)
{
    uint64_t ms = r->miss_ms < r->megamiss_ms ? r->miss_ms : r->megamiss_ms;

    ms = r->kill_ms > 0 && r->kill_ms < ms ? r->kill_ms : ms;
    return r->multikill_ms > 0 && r->multikill_ms < ms ? r->multikill_ms : ms;
}

struct watchdog *watchdog_new(const struct watchdogs *config, struct stat_store *stats)
{
    struct watchdog *w = xcalloc(1, sizeof(*w));
    pthread_condattr_t monotonic;
    uint64_t main_ms = smallest_timeout(&config->main_thread);
    uint64_t workers_ms = smallest_timeout(&config->workers);

    w->stats = stats;
    w->main_thread.rules = config->main_thread;
    w->main_thread.counts = counts_new(stats, "main_thread.", "main_thread.", STR(""));
    w->workers.rules = config->workers;
    w->workers.counts = counts_new(stats, "workers.", "workers.", STR(""));
    w->interval_ms = (main_ms < workers_ms ? main_ms : workers_ms) / 2;
    if (w->interval_ms < INTERVAL_MIN_MS) {
        w->interval_ms = INTERVAL_MIN_MS;
    }
    rng_seed(&w->rng);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return w;
}

void watchdog_add(struct watchdog *w, struct loop *loop, pthread_t thread)
{
    struct watched *t = xcalloc(1, sizeof(*t));
    char prefix[sizeof(t->name) + 16];
    struct str worker_id = STR("");

    if (loop->index == LOOP_MAIN_INDEX) {
        (void)snprintf(t->name, sizeof(t->name), "main_thread");
    } else {
        (void)snprintf(t->name, sizeof(t->name), "worker_%d", loop->index);
        worker_id = str_c(t->name + strlen("worker_"));
    }
    (void)snprintf(prefix, sizeof(prefix), "server.%s.", t->name);
    t->question.run = on_question;
    t->loop = loop;
    t->thread = thread;
    t->group = loop->index == LOOP_MAIN_INDEX ? &w->main_thread : &w->workers;
    t->group->member_count++;
    t->counts =
        counts_new(w->stats, prefix, worker_id.len > 0 ? "server.worker." : prefix, worker_id);
    t->next = w->first;
    w->first = t;
}

int watchdog_start(struct watchdog *w)
{
    w->is_running = pthread_create(&w->thread, NULL, watch, w) == 0;
    return w->is_running ? 0 : E_SYS;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w->is_running) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    w->is_running = false;
}

void watchdog_free(struct watchdog *w)
{
    struct watched *next;

    if (w == NULL) {
        return;
    }
    for (struct watched *t = w->first; t != NULL; t = next) {
        next = t->next;
        stat_scope_unref(t->counts.scope);
        free(t);
    }
    stat_scope_unref(w->main_thread.counts.scope);
    stat_scope_unref(w->workers.counts.scope);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
