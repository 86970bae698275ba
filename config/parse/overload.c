/* Resource monitors, triggers, actions. Main thread. */

#include "config/parse/overload.h"

#include <string.h>

#include "config/any.h"
#include "config/parse/check.h"
#include "config/parse/extension.h"

typedef Envoy__Config__Overload__V3__OverloadManager Manager;
typedef Envoy__Config__Overload__V3__OverloadAction Action;
typedef Envoy__Config__Overload__V3__Trigger Trigger;
typedef Envoy__Config__Overload__V3__ScaleTimersOverloadActionConfig ScaleTimers;
typedef Envoy__Config__Overload__V3__ScaleTimersOverloadActionConfig__ScaleTimer ScaleTimer;
typedef Envoy__Config__Overload__V3__ShrinkHeapConfig ShrinkHeap;

#define REFRESH_MS 1000
#define DEFAULT_REFRESH_MS 250 /* of nuncio's own rules */
#define SHRINK_INTERVAL_MS 10000
#define DEFAULT_SHRINK_INTERVAL_MS 1000
#define RESET_POWER_MIN 10
#define RESET_POWER_MAX 56
#define DEFAULT_RESET_POWER 13
#define CGROUP_TYPE "envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig"
#define CGROUP_NAME "envoy.resource_monitors.cgroup_memory"
#define CONNECTIONS_NAME "envoy.resource_monitors.global_downstream_max_connections"

static const struct str POINT_NAMES[OVERLOAD_POINT_COUNT] = {
#define X(symbol, name) [OVERLOAD_##symbol] = {name, sizeof(name) - 1},
    OVERLOAD_ACTIONS(X)
#undef X
#define X(symbol, name) [LOAD_SHED_##symbol] = {name, sizeof(name) - 1},
        LOAD_SHED_POINTS(X)
#undef X
};

/* What is shed when the control group's memory runs short, and nothing else was configured. */
static const struct {
    enum overload_point point;
    double scaling;
    double saturation;
} DEFAULTS[] = {
    {OVERLOAD_SHRINK_HEAP, 0.80, 0.80},
    {OVERLOAD_REDUCE_TIMEOUTS, 0.85, 0.95},
    {OVERLOAD_DISABLE_HTTP_KEEPALIVE, 0.90, 0.90},
    {OVERLOAD_STOP_ACCEPTING_REQUESTS, 0.90, 0.93},
    {OVERLOAD_REJECT_INCOMING_CONNECTIONS, 0.95, 0.95},
    {OVERLOAD_PAUSE_UPSTREAM_READS, 0.95, 0.95},
    {OVERLOAD_RESET_HIGH_MEMORY_STREAM, 0.95, 0.99},
};

/* --- resources ---------------------------------------------------------------------------- */

/* Enough is known of a monitor's type here to tell which ones nuncio's own rules stand back for. */
static bool is_memory_monitor(const struct filter_config *f)
{
    return strcmp(f->ext->name, CGROUP_NAME) == 0 ||
           strcmp(f->ext->name, "envoy.resource_monitors.fixed_heap") == 0;
}

static int find_resource(const struct overload_config *c, struct str name)
{
    for (size_t i = 0; i < c->resource_count; i++) {
        if (str_eq(c->resources[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

static int parse_resource(struct parse_context *ctx,
                          const Envoy__Config__Overload__V3__ResourceMonitor *m,
                          struct overload_config *c, struct filter_config *ret)
{
    bool is_typed = m->config_type_case ==
                    ENVOY__CONFIG__OVERLOAD__V3__RESOURCE_MONITOR__CONFIG_TYPE_TYPED_CONFIG;
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_extension(ctx, EXT_RESOURCE_MONITOR, m->name, "typed_config",
                            is_typed ? m->typed_config : NULL, ret);
    }
    if (r < 0) {
        return r;
    }
    if (find_resource(c, ret->name) >= 0) {
        return parse_fail(ctx, E_INVALID, NULL, "Duplicate resource monitor %s", m->name);
    }
    if (strcmp(ret->ext->name, CONNECTIONS_NAME) == 0) {
        /* As Envoy: this one alone is known by its name. */
        if (!str_eq(ret->name, STR(CONNECTIONS_NAME))) {
            return parse_fail(ctx, E_UNSUPPORTED, NULL,
                              "Didn't find a registered implementation for '%s' with type URL: "
                              "'envoy.extensions.resource_monitors.downstream_connections.v3."
                              "DownstreamConnectionsConfig'",
                              m->name);
        }
        c->max_connections = *(const uint64_t *)ret->config;
    }
    return 0;
}

static int parse_resources(struct parse_context *ctx, const Manager *m, struct overload_config *c)
{
    /* One more for the default. */
    struct filter_config *resources =
        ARENA_ARRAY(parse_arena(ctx), struct filter_config, m->n_resource_monitors + 1);

    if (m->n_resource_monitors == 0) {
        return parse_fail(ctx, E_INVALID, "resource_monitors",
                          "value must contain at least 1 item(s)");
    }
    c->resources = resources;
    for (size_t i = 0; i < m->n_resource_monitors; i++) {
        size_t at = path_push_index(ctx, "resource_monitors", i);
        int r = parse_resource(ctx, m->resource_monitors[i], c, &resources[i]);

        if (r < 0) {
            return r;
        }
        c->resource_count++;
        path_pop(ctx, at);
    }
    return 0;
}

/* --- triggers ----------------------------------------------------------------------------- */

static int check_share(struct parse_context *ctx, const char *field, double v)
{
    return v >= 0 && v <= 1
               ? 0
               : parse_fail(ctx, E_INVALID, field, "value must be inside range [0, 1]");
}

static int parse_scaled(struct parse_context *ctx,
                        const Envoy__Config__Overload__V3__ScaledTrigger *m,
                        struct overload_trigger *ret)
{
    size_t at = path_push(ctx, "scaled");
    int r = check_share(ctx, "scaling_threshold", m->scaling_threshold);

    if (r == 0) {
        r = check_share(ctx, "saturation_threshold", m->saturation_threshold);
    }
    if (r == 0 && m->scaling_threshold >= m->saturation_threshold) {
        r = parse_fail(ctx, E_INVALID, NULL,
                       "scaling_threshold must be less than saturation_threshold");
    }
    ret->scaling = m->scaling_threshold;
    ret->saturation = m->saturation_threshold;
    path_pop(ctx, at);
    return r;
}

static int parse_threshold(struct parse_context *ctx,
                           const Envoy__Config__Overload__V3__ThresholdTrigger *m,
                           struct overload_trigger *ret)
{
    size_t at = path_push(ctx, "threshold");
    int r = check_share(ctx, "value", m->value);

    ret->scaling = m->value;
    ret->saturation = m->value;
    path_pop(ctx, at);
    return r;
}

static int parse_trigger(struct parse_context *ctx, const Trigger *m, const char *kind,
                         const char *owner, const struct overload_config *c,
                         struct overload_trigger *ret)
{
    int resource = find_resource(c, str_c(m->name));
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r < 0) {
        return r;
    }
    switch (m->trigger_oneof_case) {
    case ENVOY__CONFIG__OVERLOAD__V3__TRIGGER__TRIGGER_ONEOF_THRESHOLD:
        r = parse_threshold(ctx, m->threshold, ret);
        break;
    case ENVOY__CONFIG__OVERLOAD__V3__TRIGGER__TRIGGER_ONEOF_SCALED:
        r = parse_scaled(ctx, m->scaled, ret);
        break;
    default:
        return parse_fail(ctx, E_INVALID, "trigger_oneof", "value is required");
    }
    if (r < 0) {
        return r;
    }
    if (resource < 0) {
        return parse_fail(ctx, E_INVALID, NULL, "Unknown trigger resource %s for %s %s", m->name,
                          kind, owner);
    }
    ret->resource = (size_t)resource;
    return 0;
}

static int parse_triggers(struct parse_context *ctx, size_t n, Trigger *const *m, const char *kind,
                          const struct overload_config *c, struct overload_point_config *p)
{
    struct overload_trigger *triggers =
        ARENA_ARRAY(parse_arena(ctx), struct overload_trigger, n + 1); /* room for a default */

    if (n == 0) {
        return parse_fail(ctx, E_INVALID, "triggers", "value must contain at least 1 item(s)");
    }
    p->triggers = triggers;
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "triggers", i);
        int r = parse_trigger(ctx, m[i], kind, p->name.ptr, c, &triggers[i]);

        for (size_t j = 0; r == 0 && j < i; j++) {
            if (triggers[j].resource == triggers[i].resource) {
                r = parse_fail(ctx, E_INVALID, NULL, "Duplicate trigger resource for %s %s", kind,
                               p->name.ptr);
            }
        }
        if (r < 0) {
            return r;
        }
        p->trigger_count++;
        path_pop(ctx, at);
    }
    return 0;
}

/* --- actions with a configuration of their own -------------------------------------------- */

static int parse_scale_timer(struct parse_context *ctx, const ScaleTimer *m,
                             struct overload_config *c)
{
    enum scaled_timer timer = (enum scaled_timer)(m->timer - 1);
    struct timer_scale *t;
    int r = 0;

    if (m->timer <
            ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__TIMER_TYPE__HTTP_DOWNSTREAM_CONNECTION_IDLE ||
        m->timer >
            ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__TIMER_TYPE__HTTP_DOWNSTREAM_STREAM_FLUSH) {
        return parse_fail(ctx, E_INVALID, "timer",
                          "value must be one of the defined enum values and not UNSPECIFIED");
    }
    t = &c->timers[timer];
    if (t->is_set) {
        return parse_fail(ctx, E_INVALID, NULL, "Found duplicate entry for timer type %d",
                          (int)m->timer);
    }
    t->is_set = true;
    switch (m->overload_adjust_case) {
    case ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__SCALE_TIMER__OVERLOAD_ADJUST_MIN_TIMEOUT:
        r = parse_ms_or(ctx, "min_timeout", m->min_timeout, DURATION_ANY, 0, &t->min_ms);
        break;
    case ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__SCALE_TIMER__OVERLOAD_ADJUST_MIN_SCALE:
        if (m->min_scale->value < 0 || m->min_scale->value > 100) {
            return parse_fail(ctx, E_INVALID, "min_scale.value",
                              "value must be inside range [0, 100]");
        }
        t->min_percent = (uint32_t)m->min_scale->value;
        break;
    default:
        return parse_fail(ctx, E_INVALID, "overload_adjust", "value is required");
    }
    return r;
}

static int parse_scale_timers(struct parse_context *ctx, const ProtobufCMessage *msg,
                              struct overload_config *c)
{
    const ScaleTimers *m = (const ScaleTimers *)msg;

    if (m->n_timer_scale_factors == 0) {
        return parse_fail(ctx, E_INVALID, "timer_scale_factors",
                          "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_timer_scale_factors; i++) {
        size_t at = path_push_index(ctx, "timer_scale_factors", i);
        int r = parse_scale_timer(ctx, m->timer_scale_factors[i], c);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    return 0;
}

static int parse_shrink_heap(struct parse_context *ctx, const ProtobufCMessage *msg,
                             struct overload_config *c)
{
    const ShrinkHeap *m = (const ShrinkHeap *)msg;
    int r = parse_ms_or(ctx, "timer_interval", m->timer_interval, DURATION_ANY, SHRINK_INTERVAL_MS,
                        &c->shrink_interval_ms);

    return r == 0 && c->shrink_interval_ms < 1000
               ? parse_fail(ctx, E_INVALID, "timer_interval",
                            "value must be greater than or equal to 1s")
               : r;
}

static int parse_action_config(struct parse_context *ctx, const Action *m, int point,
                               struct overload_config *c)
{
    const ProtobufCMessageDescriptor *d;
    ProtobufCMessage *msg = NULL;
    size_t at;
    int r;

    if (m->typed_config == NULL) {
        return point != OVERLOAD_REDUCE_TIMEOUTS
                   ? 0
                   : parse_fail(ctx, E_INVALID, NULL,
                                "Overload action \"%s\" requires typed_config", m->name);
    }
    d = point == OVERLOAD_REDUCE_TIMEOUTS
            ? &envoy__config__overload__v3__scale_timers_overload_action_config__descriptor
            : &envoy__config__overload__v3__shrink_heap_config__descriptor;
    if (point != OVERLOAD_REDUCE_TIMEOUTS && point != OVERLOAD_SHRINK_HEAP) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Overload action name \"%s\" conflicts with its typed config", m->name);
    }
    at = path_push(ctx, "typed_config");
    r = any_unpack(ctx, m->typed_config, d, parse_arena(ctx), &msg);
    if (r == 0) {
        r = point == OVERLOAD_REDUCE_TIMEOUTS ? parse_scale_timers(ctx, msg, c)
                                              : parse_shrink_heap(ctx, msg, c);
    }
    path_pop(ctx, at);
    return r;
}

/* --- actions and points ------------------------------------------------------------------- */

static struct overload_point_config *find_point(struct overload_point_config *points, size_t n,
                                                struct str name, bool is_load_shed_point)
{
    for (size_t i = 0; i < n; i++) {
        if (points[i].is_load_shed_point == is_load_shed_point && str_eq(points[i].name, name)) {
            return &points[i];
        }
    }
    return NULL;
}

static int point_of(const char *name, bool is_load_shed_point)
{
    for (int i = is_load_shed_point ? LOAD_SHED_FIRST : 0;
         i < (is_load_shed_point ? (int)OVERLOAD_POINT_COUNT : (int)LOAD_SHED_FIRST); i++) {
        if (str_eq(POINT_NAMES[i], str_c(name))) {
            return i;
        }
    }
    return -1;
}

static int parse_action(struct parse_context *ctx, const Manager *manager, const Action *m,
                        struct overload_config *c, struct overload_point_config *ret)
{
    int r = 0;

    ret->name = parse_str(ctx, m->name);
    ret->point = point_of(m->name, false);
    if (ret->point < 0 &&
        strcmp(m->name, "envoy.overload_actions.close_idle_http_connections") != 0) {
        return parse_fail(ctx, E_INVALID, NULL, "Unknown Overload Manager Action %s", m->name);
    }
    if (ret->point < 0) {
        r = parse_report_unsupported(ctx, &m->base, "name");
    }
    if (r == 0) {
        r = parse_action_config(ctx, m, ret->point, c);
    }
    if (r == 0 && ret->point == OVERLOAD_RESET_HIGH_MEMORY_STREAM &&
        manager->buffer_factory_config == NULL) {
        r = parse_fail(ctx, E_INVALID, NULL,
                       "Overload action \"%s\" requires buffer_factory_config.", m->name);
    }
    return r == 0 ? parse_triggers(ctx, m->n_triggers, m->triggers, "overload action", c, ret) : r;
}

static int parse_actions(struct parse_context *ctx, const Manager *m, struct overload_config *c,
                         struct overload_point_config *points)
{
    for (size_t i = 0; i < m->n_actions; i++) {
        size_t at = path_push_index(ctx, "actions", i);
        const Action *a = m->actions[i];
        int r;

        if (find_point(points, c->point_count, str_c(a->name), false) != NULL) {
            return parse_fail(ctx, E_INVALID, NULL, "Duplicate overload action %s", a->name);
        }
        r = parse_action(ctx, m, a, c, &points[c->point_count]);
        if (r < 0) {
            return r;
        }
        c->point_count++;
        path_pop(ctx, at);
    }
    return 0;
}

/* As Envoy: any name is taken; one that means nothing here is reported. */
static int parse_load_shed_points(struct parse_context *ctx, const Manager *m,
                                  struct overload_config *c, struct overload_point_config *points)
{
    for (size_t i = 0; i < m->n_loadshed_points; i++) {
        size_t at = path_push_index(ctx, "loadshed_points", i);
        const Envoy__Config__Overload__V3__LoadShedPoint *l = m->loadshed_points[i];
        struct overload_point_config *p = &points[c->point_count];
        int r = 0;

        if (find_point(points, c->point_count, str_c(l->name), true) != NULL) {
            return parse_fail(ctx, E_INVALID, NULL, "Duplicate loadshed point %s", l->name);
        }
        p->name = parse_str(ctx, l->name);
        p->is_load_shed_point = true;
        p->point = point_of(l->name, true);
        if (p->point < 0) {
            r = parse_report_unsupported(ctx, &l->base, "name");
        }
        if (r == 0) {
            r = parse_triggers(ctx, l->n_triggers, l->triggers, "loadshed point", c, p);
        }
        if (r < 0) {
            return r;
        }
        c->point_count++;
        path_pop(ctx, at);
    }
    return 0;
}

static int parse_message(struct parse_context *ctx, const Manager *m, struct overload_config *c)
{
    struct overload_point_config *points =
        ARENA_ARRAY(parse_arena(ctx), struct overload_point_config,
                    m->n_actions + m->n_loadshed_points + ARRAY_LEN(DEFAULTS));
    const Envoy__Config__Overload__V3__BufferFactoryConfig *b = m->buffer_factory_config;
    int r = parse_resources(ctx, m, c);

    c->points = points;
    if (r == 0) {
        r = parse_ms_or(ctx, "refresh_interval", m->refresh_interval, DURATION_ANY, REFRESH_MS,
                        &c->refresh_ms);
    }
    if (r == 0 && b != NULL) {
        c->reset_min_power = b->minimum_account_to_track_power_of_two;
        if (c->reset_min_power < RESET_POWER_MIN || c->reset_min_power > RESET_POWER_MAX) {
            r = parse_fail(ctx, E_INVALID,
                           "buffer_factory_config.minimum_account_to_track_power_of_two",
                           "value must be inside range [10, 56]");
        }
    }
    if (r == 0) {
        r = parse_actions(ctx, m, c, points);
    }
    return r == 0 ? parse_load_shed_points(ctx, m, c, points) : r;
}

/* --- nuncio's own rules ------------------------------------------------------------------- */

static bool has_memory_monitor(const struct overload_config *c)
{
    for (size_t i = 0; i < c->resource_count; i++) {
        if (is_memory_monitor(&c->resources[i]) || str_eq(c->resources[i].name, STR(CGROUP_NAME))) {
            return true;
        }
    }
    return false;
}

static void add_default_point(struct parse_context *ctx, struct overload_config *c,
                              struct overload_point_config *points, size_t which)
{
    struct str name = POINT_NAMES[DEFAULTS[which].point];
    struct overload_point_config *p = find_point(points, c->point_count, name, false);
    struct overload_trigger *trigger;

    if (p != NULL) {
        trigger = &p->triggers[p->trigger_count]; /* room was left */
    } else {
        trigger = ARENA_NEW(parse_arena(ctx), struct overload_trigger);
        p = &points[c->point_count++];
        *p = (struct overload_point_config){
            .name = name, .point = (int)DEFAULTS[which].point, .triggers = trigger};
    }
    p->trigger_count++;
    *trigger = (struct overload_trigger){
        .resource = c->resource_count - 1,
        .scaling = DEFAULTS[which].scaling,
        .saturation = DEFAULTS[which].saturation,
    };
}

/* Idle connections and streams go sooner, unless the configuration says which. */
static void add_default_timers(struct overload_config *c)
{
    for (int i = 0; i < SCALED_TIMER_COUNT; i++) {
        if (c->timers[i].is_set) {
            return;
        }
    }
    c->timers[SCALED_CONNECTION_IDLE] = (struct timer_scale){.is_set = true, .min_ms = 2000};
    c->timers[SCALED_STREAM_IDLE] = (struct timer_scale){.is_set = true, .min_ms = 5000};
}

static void add_defaults(struct parse_context *ctx, struct overload_config *c)
{
    const struct extension *ext =
        extension_find(ctx->registry, EXT_RESOURCE_MONITOR, STR(CGROUP_TYPE));
    struct overload_point_config *points = c->points;
    struct filter_config *resources = c->resources;

    if (ext == NULL) {
        return;
    }
    if (points == NULL) { /* nothing was configured */
        points = ARENA_ARRAY(parse_arena(ctx), struct overload_point_config, ARRAY_LEN(DEFAULTS));
        resources = ARENA_NEW(parse_arena(ctx), struct filter_config);
        c->points = points;
        c->resources = resources;
        c->refresh_ms = DEFAULT_REFRESH_MS;
        c->shrink_interval_ms = DEFAULT_SHRINK_INTERVAL_MS;
    }
    resources[c->resource_count++] =
        (struct filter_config){.name = STR(CGROUP_NAME), .ext = ext, .config = NULL};
    for (size_t i = 0; i < ARRAY_LEN(DEFAULTS); i++) {
        add_default_point(ctx, c, points, i);
    }
    add_default_timers(c);
    if (c->reset_min_power == 0) {
        c->reset_min_power = DEFAULT_RESET_POWER;
    }
    c->has_cgroup_default = true;
}

int parse_overload_manager(struct parse_context *ctx, const Manager *m, bool is_memory_limited,
                           struct overload_config *ret)
{
    int r = 0;

    *ret = (struct overload_config){.shrink_interval_ms = SHRINK_INTERVAL_MS};
    if (m != NULL) {
        r = parse_message(ctx, m, ret);
    }
    if (r == 0 && is_memory_limited && !has_memory_monitor(ret)) {
        add_defaults(ctx, ret);
    }
    return r;
}
