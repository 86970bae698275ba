/* See rtds.h. */

#include "config/rtds.h"

#include <stdlib.h>

#include "config/model/part.h"
#include "config/parse/context.h"
#include "config/parse/runtime.h"
#include "config/pb_unpack.h"
#include "config/xds_source.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/stats/stats.h"

#define RUNTIME_TYPE_URL "type.googleapis.com/envoy.service.runtime.v3.Runtime"

enum rtds_stat {
    RTDS_INIT_FETCH_TIMEOUT,
    RTDS_UPDATE_ATTEMPT,
    RTDS_UPDATE_FAILURE,
    RTDS_UPDATE_REJECTED,
    RTDS_UPDATE_SUCCESS,
    RTDS_UPDATE_TIME, /* of the last good one */
    RTDS_VERSION,
    RTDS_VERSION_TEXT,
    RTDS_STAT_COUNT
};

static const struct stat_def defs[RTDS_STAT_COUNT] = {
    [RTDS_INIT_FETCH_TIMEOUT] = {"init_fetch_timeout", STAT_COUNTER},
    [RTDS_UPDATE_ATTEMPT] = {"update_attempt", STAT_COUNTER},
    [RTDS_UPDATE_FAILURE] = {"update_failure", STAT_COUNTER},
    [RTDS_UPDATE_REJECTED] = {"update_rejected", STAT_COUNTER},
    [RTDS_UPDATE_SUCCESS] = {"update_success", STAT_COUNTER},
    [RTDS_UPDATE_TIME] = {"update_time", STAT_GAUGE},
    [RTDS_VERSION] = {"version", STAT_GAUGE},
    [RTDS_VERSION_TEXT] = {"version_text", STAT_TEXT},
};

static const struct stat_schema schema = {
    .defs = defs, .count = RTDS_STAT_COUNT, .shown_untouched = true};

struct rtds_layer {
    size_t index; /* in the configuration */
    const struct runtime_layer_config *config;
    struct rtds_source *source;
    struct part *part; /* holds the entries in use; NULL: none came yet */
    bool is_ready;
};

/* A subscription: those of the aggregated stream share one, the others have one each, as Envoy. */
struct rtds_source {
    struct rtds *rtds;
    enum config_source_kind kind;
    struct arena arena; /* of what it was opened with */
    struct xds_subscription *subscription;
};

struct rtds {
    struct rtds_params params;
    struct stat_scope *stats;
    struct stat_block *counts;
    struct rtds_layer *layers;
    size_t layer_count;
    struct rtds_source *sources;
    size_t source_count;
    bool is_ready;
};

/* --- start-up ------------------------------------------------------------------------------- */

static void rtds_look_whether_ready(struct rtds *r)
{
    if (r->is_ready) {
        return;
    }
    for (size_t i = 0; i < r->layer_count; i++) {
        if (!r->layers[i].is_ready) {
            return;
        }
    }
    r->is_ready = true;
    r->params.ready(r->params.ctx);
}

/* The name: of one layer; empty: all of the source's. */
static void rtds_stop_waiting(struct rtds_source *s, struct str name)
{
    for (size_t i = 0; i < s->rtds->layer_count; i++) {
        struct rtds_layer *l = &s->rtds->layers[i];

        if (l->source == s && (name.len == 0 || str_eq(l->config->resource_name, name))) {
            l->is_ready = true;
        }
    }
    rtds_look_whether_ready(s->rtds);
}

/* --- responses ------------------------------------------------------------------------------ */

/* Takes `take_part`, NULL for no values. */
static void rtds_layer_set(struct rtds_layer *l, struct part *take_part,
                           const struct runtime_entry *entries, size_t count)
{
    struct part *before = l->part;

    l->part = take_part;
    l->is_ready = true;
    runtime_layers_set(l->source->rtds->params.layers, l->index, entries, count);
    part_unref(before);
}

static int rtds_layer_read(struct rtds_layer *l, const Envoy__Service__Runtime__V3__Runtime *m,
                           struct error *reterr)
{
    const struct rtds_params *p = &l->source->rtds->params;
    struct part *part = part_new(sizeof(*part), PART_SECRET, str_c(m->name));
    struct parse_context ctx;
    const struct runtime_entry *entries = NULL;
    size_t count = 0;
    int r;

    parse_context_init(&ctx, part, p->registry, NULL, reterr);
    ctx.rejects_unknown = p->rejects_unknown;
    r = parse_check_tree(&ctx, &m->base);
    if (r == 0) {
        r = parse_runtime_resource(&ctx, m, &entries, &count);
    }
    if (r == 0 && ctx.unsupported != NULL) {
        log_warn(LOG_C_RUNTIME,
                 "RTDS %s: %zu key(s) of Envoy's own mean nothing here, one of them: %.*s", m->name,
                 ctx.unsupported_count, STR_ARG(ctx.unsupported->path));
    }
    parse_context_finish(&ctx);
    if (r < 0) {
        part_unref(part);
        return r;
    }
    rtds_layer_set(l, part, entries, count);
    return 0;
}

/* For every layer of the source that names it. */
static int rtds_take_message(struct rtds_source *s, const Envoy__Service__Runtime__V3__Runtime *m,
                             struct error *reterr)
{
    bool is_wanted = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->rtds->layer_count; i++) {
        struct rtds_layer *l = &s->rtds->layers[i];

        if (l->source != s) {
            continue;
        }
        if (str_eq(l->config->resource_name, str_c(m->name))) {
            is_wanted = true;
            r = rtds_layer_read(l, m, reterr);
        } else if (s->kind != CONFIG_SOURCE_ADS) {
            return error_set(reterr, E_INVALID, "Unexpected RTDS runtime (expecting %.*s): %s",
                             STR_ARG(l->config->resource_name), m->name);
        }
    }
    if (r == 0 && !is_wanted) {
        log_debug(LOG_C_RUNTIME, "RTDS %s: nobody asked for it", m->name);
    }
    return r;
}

static int rtds_take(struct rtds_source *s, const struct xds_resource *resource,
                     struct error *reterr)
{
    struct arena scratch;
    ProtobufCMessage *m;
    int r;

    if (resource->undecodable) {
        return error_set(reterr, E_INVALID, "resource cannot be decoded");
    }
    if (!str_eq(resource->type_url, STR(RUNTIME_TYPE_URL))) {
        return error_set(reterr, E_INVALID, "%.*s does not match the wrong type URL %s",
                         STR_ARG(resource->type_url), RUNTIME_TYPE_URL);
    }
    arena_init(&scratch, NULL);
    r = pb_unpack(&envoy__service__runtime__v3__runtime__descriptor, resource->bytes, resource->len,
                  &scratch, &m, reterr);
    if (r == 0) {
        r = rtds_take_message(s, (const Envoy__Service__Runtime__V3__Runtime *)m, reterr);
    }
    arena_done(&scratch);
    return r;
}

/* As Envoy: what a layer has is gone with its resource. */
static void rtds_remove(struct rtds_source *s, struct str name)
{
    for (size_t i = 0; i < s->rtds->layer_count; i++) {
        struct rtds_layer *l = &s->rtds->layers[i];

        if (l->source == s && str_eq(l->config->resource_name, name)) {
            rtds_layer_set(l, NULL, NULL, 0);
        }
    }
}

static int rtds_apply(struct rtds_source *s, const struct xds_update *u, struct error *reterr)
{
    int r = 0;

    if (s->kind != CONFIG_SOURCE_ADS && u->resource_count + u->removed_count != 1) {
        return error_set(reterr, E_INVALID,
                         "Unexpected RTDS resource length, number of added resources %zu, number "
                         "of removed resources %zu",
                         u->resource_count, u->removed_count);
    }
    for (size_t i = 0; r == 0 && i < u->resource_count; i++) {
        r = rtds_take(s, &u->resources[i], reterr);
    }
    for (size_t i = 0; r == 0 && i < u->removed_count; i++) {
        rtds_remove(s, u->removed[i]);
    }
    return r;
}

static void rtds_on_update(void *user, const struct xds_update *u, struct xds_verdict *v)
{
    struct rtds_source *s = user;
    struct rtds *r = s->rtds;
    struct error err;

    error_init(&err);
    stat_inc(r->counts, RTDS_UPDATE_ATTEMPT);
    v->accepted = rtds_apply(s, u, &err) == 0;
    if (v->accepted) {
        stat_inc(r->counts, RTDS_UPDATE_SUCCESS);
        stat_set(r->counts, RTDS_UPDATE_TIME, clock_wall_ns() / 1000000);
        stat_set(r->counts, RTDS_VERSION, hash_xx64(u->version_info, 0));
        stat_set_text(r->stats, RTDS_VERSION_TEXT, u->version_info);
        rtds_look_whether_ready(r);
    } else {
        stat_inc(r->counts, RTDS_UPDATE_REJECTED);
        strbuf_add_c(&v->detail, error_message(&err));
        log_warn(LOG_C_RUNTIME, "RTDS update rejected: %s", error_message(&err));
        rtds_stop_waiting(s, STR(""));
    }
    error_done(&err);
}

static void rtds_on_error(void *user, struct str reason)
{
    struct rtds_source *s = user;

    stat_inc(s->rtds->counts, RTDS_UPDATE_ATTEMPT);
    stat_inc(s->rtds->counts, RTDS_UPDATE_FAILURE);
    log_debug(LOG_C_RUNTIME, "RTDS update failed: %.*s", STR_ARG(reason));
}

/* A file that lacks the name has been refused already. */
static void rtds_on_fetch_timeout(void *user, const struct str *names, size_t n)
{
    struct rtds_source *s = user;

    for (size_t i = 0; i < n; i++) {
        if (s->kind != CONFIG_SOURCE_PATH) {
            stat_inc(s->rtds->counts, RTDS_INIT_FETCH_TIMEOUT);
        }
        rtds_stop_waiting(s, names[i]);
    }
}

static const struct xds_subscriber rtds_subscriber = {
    .on_update = rtds_on_update,
    .on_error = rtds_on_error,
    .on_fetch_timeout = rtds_on_fetch_timeout,
};

/* --- life ----------------------------------------------------------------------------------- */

static struct rtds_source *rtds_source_for(struct rtds *r, const struct config_source *c)
{
    struct rtds_source *s;
    struct xds_source x;

    for (size_t i = 0; c->kind == CONFIG_SOURCE_ADS && i < r->source_count; i++) {
        if (r->sources[i].kind == CONFIG_SOURCE_ADS) {
            return &r->sources[i];
        }
    }
    s = &r->sources[r->source_count++];
    s->rtds = r;
    s->kind = c->kind;
    arena_init(&s->arena, NULL);
    x = xds_source_from(c, &s->arena);
    s->subscription =
        xds_subscribe(r->params.xds, &x, STR(RUNTIME_TYPE_URL), false, &rtds_subscriber, s);
    return s;
}

static void rtds_add_layer(struct rtds *r, size_t index)
{
    struct rtds_layer *l = &r->layers[r->layer_count++];

    l->index = index;
    l->config = &r->params.config->layers[index];
    l->source = rtds_source_for(r, l->config->source);
    if (l->source->kind != CONFIG_SOURCE_PATH) {
        stat_inc(r->counts, RTDS_UPDATE_ATTEMPT); /* as Envoy: asking is one */
    }
    xds_subscription_add(l->source->subscription, l->config->resource_name,
                         l->config->source->initial_fetch_timeout_ms);
}

static bool has_rtds(const struct runtime_config *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->layers[i].kind == RUNTIME_LAYER_RTDS) {
            return true;
        }
    }
    return false;
}

struct rtds *rtds_new(const struct rtds_params *p)
{
    struct rtds *r = xcalloc(1, sizeof(*r));

    r->params = *p;
    if (has_rtds(p->config)) {
        r->stats = stat_scope_ref(p->stats, &(struct stat_scope_spec){
                                                .prefix = STR("runtime."),
                                                .tagged_prefix = STR("runtime."),
                                                .schema = &schema,
                                            });
        r->counts = stat_scope_block(r->stats, LOOP_MAIN_INDEX);
    }
    r->layers = xcalloc(p->config->count + 1, sizeof(*r->layers));
    r->sources = xcalloc(p->config->count + 1, sizeof(*r->sources));
    for (size_t i = 0; i < p->config->count; i++) {
        if (p->config->layers[i].kind == RUNTIME_LAYER_RTDS) {
            rtds_add_layer(r, i);
        }
    }
    rtds_look_whether_ready(r);
    return r;
}

void rtds_free(struct rtds *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->source_count; i++) {
        xds_subscription_close(r->sources[i].subscription);
        arena_done(&r->sources[i].arena);
    }
    for (size_t i = 0; i < r->layer_count; i++) {
        part_unref(r->layers[i].part);
    }
    if (r->stats != NULL) {
        stat_scope_unref(r->stats);
    }
    free(r->sources);
    free(r->layers);
    free(r);
}
