/* Gathers the layers into states. Main thread. */

#include "dataplane/runtime/layers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/file_watch.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/layers_internal.h"
#include "dataplane/stats/stats.h"

enum runtime_stat {
    RUNTIME_ADMIN_OVERRIDES_ACTIVE,
    RUNTIME_DEPRECATED_FEATURE_SEEN,
    RUNTIME_DEPRECATED_FEATURE_USE,
    RUNTIME_LOAD_ERROR,
    RUNTIME_LOAD_SUCCESS,
    RUNTIME_NUM_KEYS,
    RUNTIME_NUM_LAYERS,
    RUNTIME_OVERRIDE_DIR_EXISTS,
    RUNTIME_OVERRIDE_DIR_NOT_EXISTS,
    RUNTIME_STAT_COUNT
};

static const struct stat_def runtime_stat_defs[RUNTIME_STAT_COUNT] = {
    [RUNTIME_ADMIN_OVERRIDES_ACTIVE] = {"admin_overrides_active", STAT_GAUGE},
    [RUNTIME_DEPRECATED_FEATURE_SEEN] = {"deprecated_feature_seen_since_process_start", STAT_GAUGE},
    [RUNTIME_DEPRECATED_FEATURE_USE] = {"deprecated_feature_use", STAT_COUNTER},
    [RUNTIME_LOAD_ERROR] = {"load_error", STAT_COUNTER},
    [RUNTIME_LOAD_SUCCESS] = {"load_success", STAT_COUNTER},
    [RUNTIME_NUM_KEYS] = {"num_keys", STAT_GAUGE},
    [RUNTIME_NUM_LAYERS] = {"num_layers", STAT_GAUGE},
    [RUNTIME_OVERRIDE_DIR_EXISTS] = {"override_dir_exists", STAT_COUNTER},
    [RUNTIME_OVERRIDE_DIR_NOT_EXISTS] = {"override_dir_not_exists", STAT_COUNTER},
};

static const struct stat_schema runtime_stat_schema = {
    .defs = runtime_stat_defs,
    .count = RUNTIME_STAT_COUNT,
    .shown_untouched = true,
};

struct disk_watch {
    struct runtime_layers *layers;
    struct str link; /* the name in the directory */
    struct file_watch *watch;
};

struct override {
    struct str key; /* heap, as the text */
    struct str text;
};

/* Of an RTDS layer. */
struct discovered {
    const struct runtime_entry *entries;
    size_t count;
};

struct runtime_layers {
    struct runtime_layers_params params;
    struct discovered *discovered; /* one per configured layer */
    struct stat_scope *stats;
    struct stat_block *counts;
    struct disk_watch *watches;
    size_t watch_count;
    struct override *overrides; /* of the admin layer, in the order of their arrival */
    size_t override_count;
    const struct runtime *current; /* server/'s; there until the next is published */
};

/* --- entries ------------------------------------------------------------------------------ */

void entry_list_add(struct entry_list *l, struct str key, struct str text)
{
    struct runtime_entry *e;

    if (l->count == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 16;
        l->entries = xreallocarray(l->entries, l->cap, sizeof(*l->entries));
    }
    e = &l->entries[l->count++];
    e->key = arena_str(l->arena, key);
    runtime_value_read(arena_str(l->arena, text), &e->value);
}

void entry_list_done(struct entry_list *l)
{
    free(l->entries);
}

/* --- one state ---------------------------------------------------------------------------- */

struct gathering {
    struct arena arena;
    struct runtime_layer *layers;
    struct entry_list *lists; /* one per configured layer */
    size_t count;
    size_t disk_layers;
    bool has_failed;
};

static void gather_disk(const struct runtime_layers *l, const struct runtime_layer_config *c,
                        struct gathering *g)
{
    struct entry_list *list = &g->lists[g->count];
    struct strbuf path;
    struct error err;
    struct stat st;

    strbuf_init(&path);
    error_init(&err);
    strbuf_addf(&path, "%.*s/%.*s", STR_ARG(c->symlink_root), STR_ARG(c->subdirectory));
    if (c->append_service_cluster) {
        strbuf_addf(&path, "/%.*s", STR_ARG(l->params.service_cluster));
    }
    if (stat(path.ptr, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (disk_layer_read(path.ptr, list, &err) == 0) {
            g->layers[g->count++] = (struct runtime_layer){c->name, list->entries, list->count};
            g->disk_layers++;
        } else {
            /* As Envoy: the layer is left out. */
            g->has_failed = true;
            entry_list_done(list);
            *list = (struct entry_list){.arena = &g->arena};
            log_error(LOG_C_RUNTIME, "error loading runtime values for layer %.*s from disk: %s",
                      STR_ARG(c->name), error_message(&err));
        }
    }
    error_done(&err);
    strbuf_done(&path);
}

static void gather(const struct runtime_layers *l, struct gathering *g)
{
    for (size_t i = 0; i < l->params.config->count; i++) {
        const struct runtime_layer_config *c = &l->params.config->layers[i];
        struct entry_list *list = &g->lists[g->count];

        list->arena = &g->arena;
        switch (c->kind) {
        case RUNTIME_LAYER_STATIC:
            g->layers[g->count++] = (struct runtime_layer){c->name, c->entries, c->entry_count};
            break;
        case RUNTIME_LAYER_ADMIN:
            for (size_t k = 0; k < l->override_count; k++) {
                entry_list_add(list, l->overrides[k].key, l->overrides[k].text);
            }
            g->layers[g->count++] = (struct runtime_layer){c->name, list->entries, list->count};
            break;
        case RUNTIME_LAYER_DISK:
            gather_disk(l, c, g);
            break;
        case RUNTIME_LAYER_RTDS:
            g->layers[g->count++] =
                (struct runtime_layer){c->name, l->discovered[i].entries, l->discovered[i].count};
            break;
        }
    }
}

static void publish(struct runtime_layers *l)
{
    size_t most = l->params.config->count;
    struct gathering g = {.count = 0};
    struct runtime *r;

    arena_init(&g.arena, NULL);
    g.layers = xcalloc(most + 1, sizeof(*g.layers));
    g.lists = xcalloc(most + 1, sizeof(*g.lists));
    gather(l, &g);
    r = runtime_new(g.layers, g.count);
    stat_inc(l->counts, g.has_failed ? RUNTIME_LOAD_ERROR : RUNTIME_LOAD_SUCCESS);
    /* As Envoy: the second directory overrides the first. */
    stat_inc(l->counts,
             g.disk_layers > 1 ? RUNTIME_OVERRIDE_DIR_EXISTS : RUNTIME_OVERRIDE_DIR_NOT_EXISTS);
    stat_set(l->counts, RUNTIME_NUM_KEYS, r->values.count);
    stat_set(l->counts, RUNTIME_NUM_LAYERS, r->layer_count);
    stat_set(l->counts, RUNTIME_ADMIN_OVERRIDES_ACTIVE, l->override_count > 0);
    for (size_t i = 0; i < most; i++) {
        entry_list_done(&g.lists[i]);
    }
    free(g.lists);
    free(g.layers);
    arena_done(&g.arena);
    l->current = r;
    l->params.publish(l->params.ctx, r);
}

/* --- watching ----------------------------------------------------------------------------- */

static void layers_on_file(void *user, struct str name, bool is_rename)
{
    struct disk_watch *w = user;

    if (is_rename && str_eq(name, w->link)) {
        publish(w->layers);
    }
}

static void watch(struct runtime_layers *l, const struct runtime_layer_config *c)
{
    struct disk_watch *w = &l->watches[l->watch_count++];
    size_t slash = str_rfind_char(c->symlink_root, '/');
    struct str directory = slash == STR_NPOS ? STR(".") : str_sub(c->symlink_root, 0, slash);

    w->layers = l;
    w->link =
        slash == STR_NPOS ? c->symlink_root : str_sub(c->symlink_root, slash + 1, STR_NPOS - 1);
    if (file_watch_start(l->params.loop, slash == 0 ? STR("/") : directory, layers_on_file, w,
                         &w->watch) != 0) {
        log_warn(LOG_C_RUNTIME, "runtime layer %.*s: cannot watch %.*s", STR_ARG(c->name),
                 STR_ARG(directory));
    }
}

/* --- life --------------------------------------------------------------------------------- */

struct runtime_layers *runtime_layers_new(const struct runtime_layers_params *p)
{
    struct runtime_layers *l = xcalloc(1, sizeof(*l));

    l->params = *p;
    l->stats = stat_scope_ref(p->stats, &(struct stat_scope_spec){
                                            .prefix = STR("runtime."),
                                            .tagged_prefix = STR("runtime."),
                                            .schema = &runtime_stat_schema,
                                        });
    l->counts = stat_scope_block(l->stats, LOOP_MAIN_INDEX);
    l->watches = xcalloc(p->config->count + 1, sizeof(*l->watches));
    l->discovered = xcalloc(p->config->count + 1, sizeof(*l->discovered));
    publish(l);
    for (size_t i = 0; i < p->config->count; i++) {
        if (p->config->layers[i].kind == RUNTIME_LAYER_DISK) {
            watch(l, &p->config->layers[i]);
        }
    }
    return l;
}

void runtime_layers_free(struct runtime_layers *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->watch_count; i++) {
        file_watch_close(l->watches[i].watch);
    }
    for (size_t i = 0; i < l->override_count; i++) {
        free((void *)(uintptr_t)l->overrides[i].key.ptr);
        free((void *)(uintptr_t)l->overrides[i].text.ptr);
    }
    free(l->watches);
    free(l->discovered);
    free(l->overrides);
    stat_scope_unref(l->stats);
    free(l);
}

void runtime_layers_set(struct runtime_layers *l, size_t layer, const struct runtime_entry *entries,
                        size_t count)
{
    CHECK(l->params.config->layers[layer].kind == RUNTIME_LAYER_RTDS);
    l->discovered[layer] = (struct discovered){entries, count};
    publish(l);
}

/* --- the admin layer ---------------------------------------------------------------------- */

const struct runtime *runtime_layers_current(const struct runtime_layers *l)
{
    return l->current;
}

bool runtime_layers_has_admin(const struct runtime_layers *l)
{
    for (size_t i = 0; i < l->params.config->count; i++) {
        if (l->params.config->layers[i].kind == RUNTIME_LAYER_ADMIN) {
            return true;
        }
    }
    return false;
}

static struct str heap_str(struct str s)
{
    return str_n(xstrndup(s.len > 0 ? s.ptr : "", s.len), s.len);
}

static void override_one(struct runtime_layers *l, struct str key, struct str text)
{
    size_t i = 0;

    while (i < l->override_count && !str_eq(l->overrides[i].key, key)) {
        i++;
    }
    if (i < l->override_count) {
        free((void *)(uintptr_t)l->overrides[i].key.ptr);
        free((void *)(uintptr_t)l->overrides[i].text.ptr);
        memmove(&l->overrides[i], &l->overrides[i + 1],
                (l->override_count - i - 1) * sizeof(*l->overrides));
        l->override_count--;
    }
    if (text.len > 0) {
        l->overrides = xreallocarray(l->overrides, l->override_count + 1, sizeof(*l->overrides));
        l->overrides[l->override_count++] = (struct override){heap_str(key), heap_str(text)};
    }
}

void runtime_layers_override(struct runtime_layers *l, const struct admin_param *params,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        override_one(l, params[i].name, params[i].value);
    }
    publish(l);
}
