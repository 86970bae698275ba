/* From resources to levels. See overload_manager.h. */

#include "dataplane/overload/overload_manager.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/post.h"
#include "dataplane/event/timer.h"
#include "dataplane/overload/resource_monitor.h"

/* As Envoy: the largest streams fall into so many classes, each of twice the size of the next. */
#define RESET_CLASSES 8

enum resource_stat {
    RESOURCE_FAILED_UPDATES,
    RESOURCE_PRESSURE,
    RESOURCE_SKIPPED_UPDATES,
    RESOURCE_STAT_COUNT
};
enum action_stat { ACTION_ACTIVE, ACTION_SCALE_PERCENT, ACTION_STAT_COUNT };
enum shed_stat { SHED_LOAD_COUNT, SHED_SCALE_PERCENT, SHED_STAT_COUNT };
enum manager_stat { MANAGER_REFRESH_DELAY, MANAGER_STAT_COUNT };

static const struct stat_def resource_defs[RESOURCE_STAT_COUNT] = {
    [RESOURCE_FAILED_UPDATES] = {"failed_updates", STAT_COUNTER},
    [RESOURCE_PRESSURE] = {"pressure", STAT_GAUGE},
    [RESOURCE_SKIPPED_UPDATES] = {"skipped_updates", STAT_COUNTER},
};
static const struct stat_def action_defs[ACTION_STAT_COUNT] = {
    [ACTION_ACTIVE] = {"active", STAT_GAUGE},
    [ACTION_SCALE_PERCENT] = {"scale_percent", STAT_GAUGE},
};
static const struct stat_def shed_defs[SHED_STAT_COUNT] = {
    [SHED_LOAD_COUNT] = {"shed_load_count", STAT_COUNTER},
    [SHED_SCALE_PERCENT] = {"scale_percent", STAT_GAUGE},
};
static const struct stat_def manager_defs[MANAGER_STAT_COUNT] = {
    [MANAGER_REFRESH_DELAY] = {"refresh_interval_delay", STAT_HISTOGRAM},
};
static const struct stat_def shrink_defs[] = {{"shrink_count", STAT_COUNTER}};
static const struct stat_def reset_defs[] = {{"count", STAT_COUNTER}};

#define SCHEMA(defs_)                                                                              \
    {                                                                                              \
        .defs = (defs_), .count = ARRAY_LEN(defs_), .shown_untouched = true                        \
    }
static const struct stat_schema resource_schema = SCHEMA(resource_defs);
static const struct stat_schema action_schema = SCHEMA(action_defs);
static const struct stat_schema shed_schema = SCHEMA(shed_defs);
static const struct stat_schema manager_schema = SCHEMA(manager_defs);
static const struct stat_schema shrink_schema = SCHEMA(shrink_defs);
static const struct stat_schema reset_schema = SCHEMA(reset_defs);
#undef SCHEMA

/* A scope that only main writes, but for what load shed points count. */
struct own_scope {
    struct stat_scope *scope;
    struct stat_block *block;
};

struct resource {
    const struct resource_monitor_type *type;
    void *state;
    bool is_known; /* `pressure` has been read */
    double pressure;
    struct own_scope stats;
};

struct point {
    const struct overload_point_config *config;
    uint32_t told; /* the level that on_level was told last */
    uint32_t level;
    struct own_scope stats;
};

struct overload_manager {
    struct overload state; /* what threads read */
    struct overload_manager_params params;
    pthread_mutex_t lock; /* pressures, levels, states of memory monitors */
    struct resource *resources;
    struct point *points;
    struct timer refresh;
    uint64_t refresh_due_ms;
    uint64_t shrunk_ms;
    struct own_scope stats;
    struct own_scope shrinks;
    struct own_scope resets;
    atomic_bool is_told; /* `post` is under way */
    struct post post;    /* a thread in a hurry changed levels */
};

/* --- stats -------------------------------------------------------------------------------- */

static struct own_scope scope_new(struct stat_store *store, const char *before, struct str name,
                                  const struct stat_schema *schema)
{
    struct strbuf prefix;
    struct own_scope s;

    strbuf_init(&prefix);
    strbuf_add_c(&prefix, before);
    strbuf_add_str(&prefix, name);
    if (name.len > 0) {
        strbuf_add_char(&prefix, '.');
    }
    s.scope = stat_scope_ref(store, &(struct stat_scope_spec){
                                        .prefix = strbuf_str(&prefix),
                                        .tagged_prefix = strbuf_str(&prefix),
                                        .schema = schema,
                                    });
    s.block = stat_scope_block(s.scope, LOOP_MAIN_INDEX);
    strbuf_done(&prefix);
    return s;
}

static void scope_done(struct own_scope *s)
{
    if (s->scope != NULL) {
        stat_scope_unref(s->scope);
    }
}

/* Gauges are written only when they change: `usedonly` means ever written. */
static void gauge_set(const struct own_scope *s, size_t i, uint64_t v)
{
    if (stat_scope_value(s->scope, i) != v) {
        stat_set(s->block, i, v);
    }
}

/* --- levels ------------------------------------------------------------------------------- */

static uint32_t trigger_level(const struct overload_trigger *t, double pressure)
{
    if (pressure >= t->saturation) {
        return OVERLOAD_FULL;
    }
    if (pressure <= t->scaling) {
        return 0;
    }
    return (uint32_t)((pressure - t->scaling) / (t->saturation - t->scaling) * OVERLOAD_FULL);
}

/* The strongest of its triggers. */
static uint32_t point_level(const struct overload_manager *m, const struct point *p)
{
    uint32_t level = 0;

    for (size_t i = 0; i < p->config->trigger_count; i++) {
        const struct overload_trigger *t = &p->config->triggers[i];
        const struct resource *r = &m->resources[t->resource];
        uint32_t one = r->is_known ? trigger_level(t, r->pressure) : 0;

        level = one > level ? one : level;
    }
    return level;
}

/* With the lock held. True: a level is another now. */
static bool update_levels(struct overload_manager *m)
{
    bool is_changed = false;

    for (size_t i = 0; i < m->params.config->point_count; i++) {
        struct point *p = &m->points[i];
        uint32_t level = point_level(m, p);

        if (level != p->level) {
            p->level = level;
            is_changed = true;
            if (p->config->point >= 0) {
                atomic_store_explicit(&m->state.levels[p->config->point], level,
                                      memory_order_relaxed);
            }
        }
    }
    return is_changed;
}

static void tell_level(struct overload_manager *m, struct point *p, uint32_t level)
{
    if ((p->told >= OVERLOAD_FULL) != (level >= OVERLOAD_FULL)) {
        log_warn(LOG_C_MAIN, "overload: %.*s became %s", STR_ARG(p->config->name),
                 level >= OVERLOAD_FULL ? "active" : "inactive");
    }
    p->told = level;
    if (p->config->point >= 0 && !p->config->is_load_shed_point && m->params.on_level != NULL) {
        m->params.on_level(m->params.user, (enum overload_point)p->config->point, level);
    }
}

/* Main thread, without the lock. */
static void tell_levels(struct overload_manager *m)
{
    for (size_t i = 0; i < m->params.config->point_count; i++) {
        struct point *p = &m->points[i];
        uint32_t level;

        (void)pthread_mutex_lock(&m->lock);
        level = p->level;
        (void)pthread_mutex_unlock(&m->lock);
        if (p->config->is_load_shed_point) {
            gauge_set(&p->stats, SHED_SCALE_PERCENT, level / (OVERLOAD_FULL / 100));
        } else {
            gauge_set(&p->stats, ACTION_ACTIVE, level >= OVERLOAD_FULL);
            gauge_set(&p->stats, ACTION_SCALE_PERCENT, level / (OVERLOAD_FULL / 100));
        }
        if (level != p->told) {
            tell_level(m, p, level);
        }
    }
}

/* --- refreshing --------------------------------------------------------------------------- */

static void read_resource(struct overload_manager *m, struct resource *r)
{
    double pressure;
    int result;

    (void)pthread_mutex_lock(&m->lock);
    result = r->type->read(r->state, &pressure);
    if (result == 0) {
        r->pressure = pressure;
        r->is_known = true;
    }
    (void)pthread_mutex_unlock(&m->lock);
    if (result == 0) {
        gauge_set(&r->stats, RESOURCE_PRESSURE, (uint64_t)(pressure * 100));
    } else {
        stat_inc(r->stats.block, RESOURCE_FAILED_UPDATES);
    }
}

/* As Envoy: the fuller the level, the more classes of size, from the largest down. */
static uint64_t reset_min_bytes(const struct overload_manager *m, uint32_t level)
{
    uint32_t classes = level / (OVERLOAD_FULL / RESET_CLASSES) + 1;

    classes = classes > RESET_CLASSES ? RESET_CLASSES : classes;
    return UINT64_C(1) << (m->params.config->reset_min_power + RESET_CLASSES - classes);
}

static void run_repeated_actions(struct overload_manager *m)
{
    uint32_t reset = overload_level(&m->state, OVERLOAD_RESET_HIGH_MEMORY_STREAM);
    uint64_t now = loop_now_ms(m->params.loop);

    if (overload_is_saturated(&m->state, OVERLOAD_SHRINK_HEAP) &&
        now - m->shrunk_ms >= m->params.config->shrink_interval_ms) {
        m->shrunk_ms = now;
        stat_inc(m->shrinks.block, 0);
        m->params.on_shrink_heap(m->params.user);
    }
    if (reset > 0) {
        m->params.on_reset_streams(m->params.user, reset_min_bytes(m, reset));
    }
}

static void overload_manager_refresh(struct overload_manager *m)
{
    for (size_t i = 0; i < m->params.config->resource_count; i++) {
        read_resource(m, &m->resources[i]);
    }
    (void)pthread_mutex_lock(&m->lock);
    (void)update_levels(m);
    (void)pthread_mutex_unlock(&m->lock);
    tell_levels(m);
    run_repeated_actions(m);
}

static void overload_manager_on_timer(struct timer *t)
{
    struct overload_manager *m = container_of(t, struct overload_manager, refresh);
    uint64_t now = loop_now_ms(m->params.loop);

    stat_record(m->stats.block, MANAGER_REFRESH_DELAY,
                now > m->refresh_due_ms ? now - m->refresh_due_ms : 0);
    overload_manager_refresh(m);
    m->refresh_due_ms = now + m->params.config->refresh_ms;
    timer_arm(m->params.loop, t, m->params.config->refresh_ms);
}

static void overload_manager_on_post(struct loop *l, struct post *p)
{
    struct overload_manager *m = container_of(p, struct overload_manager, post);

    (void)l;
    atomic_store(&m->is_told, false);
    tell_levels(m);
    run_repeated_actions(m);
}

void overload_manager_hurry(struct overload_manager *m)
{
    bool is_changed = false;
    double pressure;

    if (pthread_mutex_trylock(&m->lock) != 0) {
        return;
    }
    for (size_t i = 0; i < m->params.config->resource_count; i++) {
        struct resource *r = &m->resources[i];

        if (r->type->is_memory && r->type->hurry(r->state, &pressure) == 0) {
            r->pressure = pressure;
            r->is_known = true;
        }
    }
    is_changed = update_levels(m);
    (void)pthread_mutex_unlock(&m->lock);
    if (is_changed && !atomic_exchange(&m->is_told, true)) {
        post_send(m->params.loop, &m->post);
    }
}

/* --- life --------------------------------------------------------------------------------- */

static int open_resources(struct overload_manager *m, struct error *reterr)
{
    const struct overload_config *c = m->params.config;

    for (size_t i = 0; i < c->resource_count; i++) {
        struct resource *r = &m->resources[i];
        const struct filter_config *f = &c->resources[i];
        const struct resource_monitor_type *type = (const struct resource_monitor_type *)f->ext;
        int result = type->open(f->config, &r->state, reterr);

        if (result != 0) {
            return result;
        }
        r->type = type;
        r->stats = scope_new(m->params.stats, "overload.", f->name, &resource_schema);
    }
    return 0;
}

static void make_points(struct overload_manager *m)
{
    const struct overload_config *c = m->params.config;

    for (size_t i = 0; i < c->point_count; i++) {
        struct point *p = &m->points[i];

        p->config = &c->points[i];
        p->stats = scope_new(m->params.stats, "overload.", p->config->name,
                             p->config->is_load_shed_point ? &shed_schema : &action_schema);
        if (p->config->is_load_shed_point && p->config->point >= 0) {
            m->state.shed_counts[p->config->point] = p->stats.scope;
        }
        if (p->config->point == OVERLOAD_SHRINK_HEAP) {
            m->shrinks = scope_new(m->params.stats, "overload.", p->config->name, &shrink_schema);
        }
    }
    /* As Envoy: without "overload." before it, and always there. */
    m->resets = scope_new(m->params.stats, "",
                          STR("envoy.overload_actions.reset_high_memory_stream"), &reset_schema);
    m->state.reset_count = m->resets.scope;
    if (c->resource_count > 0) {
        m->stats = scope_new(m->params.stats, "overload.", STR_NONE, &manager_schema);
    }
}

int overload_manager_new(const struct overload_manager_params *p, struct overload_manager **ret,
                         struct error *reterr)
{
    struct overload_manager *m =
        xcalloc_aligned(_Alignof(struct overload_manager), sizeof(struct overload_manager));
    const struct overload_config *c = p->config;
    int r;

    m->params = *p;
    (void)pthread_mutex_init(&m->lock, NULL); /* the default kind cannot fail */
    m->post.run = overload_manager_on_post;
    timer_init(&m->refresh, overload_manager_on_timer);
    m->resources = xcalloc(c->resource_count + 1, sizeof(struct resource));
    m->points = xcalloc(c->point_count + 1, sizeof(struct point));
    m->state.has_connection_monitor = c->max_connections > 0;
    m->state.max_connections = c->max_connections > 0 ? c->max_connections : p->max_connections;
    memcpy(m->state.timers, c->timers, sizeof(m->state.timers));
    r = open_resources(m, reterr);
    if (r != 0) {
        overload_manager_free(m);
        return r;
    }
    make_points(m);
    *ret = m;
    return 0;
}

void overload_manager_start(struct overload_manager *m)
{
    const struct overload_config *c = m->params.config;

    if (c->resource_count > 0) {
        m->refresh_due_ms = loop_now_ms(m->params.loop) + c->refresh_ms;
        timer_arm(m->params.loop, &m->refresh, c->refresh_ms);
    }
}

void overload_manager_stop(struct overload_manager *m)
{
    timer_cancel(m->params.loop, &m->refresh);
}

void overload_manager_free(struct overload_manager *m)
{
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->params.config->resource_count; i++) {
        scope_done(&m->resources[i].stats);
        if (m->resources[i].type != NULL) {
            m->resources[i].type->close(m->resources[i].state);
        }
    }
    for (size_t i = 0; i < m->params.config->point_count; i++) {
        scope_done(&m->points[i].stats);
    }
    scope_done(&m->stats);
    scope_done(&m->shrinks);
    scope_done(&m->resets);
    (void)pthread_mutex_destroy(&m->lock);
    free(m->resources);
    free(m->points);
    free(m);
}

struct overload *overload_manager_state(struct overload_manager *m)
{
    return &m->state;
}
