/* See listener_series.h. */

#include "dataplane/net/listener_series.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/listener.h"

enum listener_worker_stat {
    LISTENER_WORKER_CX_ACTIVE,
    LISTENER_WORKER_CX_TOTAL,
    LISTENER_WORKER_STAT_COUNT
};

static const struct stat_def worker_stat_defs[LISTENER_WORKER_STAT_COUNT] = {
    [LISTENER_WORKER_CX_ACTIVE] = {"downstream_cx_active", STAT_GAUGE},
    [LISTENER_WORKER_CX_TOTAL] = {"downstream_cx_total", STAT_COUNTER},
};

static const struct stat_schema worker_stat_schema = {
    .defs = worker_stat_defs, .count = LISTENER_WORKER_STAT_COUNT, .shown_untouched = true};

struct listener_series {
    struct stat_store *stats;
    struct stat_scope *listener;
    struct str prefix;
    struct str address;
    size_t worker_count;
    struct stat_scope **threads; /* worker_count, at least 1; NULL: nobody has looked */
};

struct listener_series *listener_series_new(struct stat_store *stats, struct stat_scope *listener,
                                            struct str prefix, struct str address,
                                            size_t worker_count)
{
    struct listener_series *s = xcalloc(1, sizeof(*s));

    s->stats = stats;
    s->listener = listener;
    s->prefix = str_n(xstrndup(prefix.ptr, prefix.len), prefix.len);
    s->address = str_n(xstrndup(address.ptr, address.len), address.len);
    s->worker_count = worker_count;
    return s;
}

static size_t series_thread_count(const struct listener_series *s)
{
    return s->worker_count > 0 ? s->worker_count : 1;
}

void listener_series_free(struct listener_series *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; s->threads != NULL && i < series_thread_count(s); i++) {
        stat_scope_unref(s->threads[i]);
    }
    free(s->threads);
    free((void *)(uintptr_t)s->prefix.ptr);
    free((void *)(uintptr_t)s->address.ptr);
    free(s);
}

static struct stat_scope *worker_scope(const struct listener_series *s, size_t worker)
{
    char id[U64_DIGITS];
    struct str id_text = str_n(id, format_u64(worker, id));
    struct stat_scope_spec spec = {
        .tagged_prefix = STR("listener.worker."),
        .tags = {{STR("envoy.worker_id"), id_text}, {STR("envoy.listener_address"), s->address}},
        .tag_count = s->address.len > 0 ? 2 : 1,
        .schema = &worker_stat_schema,
    };
    struct stat_scope *scope;
    struct strbuf prefix;

    strbuf_init(&prefix);
    strbuf_addf(&prefix, "%.*sworker_%zu.", STR_ARG(s->prefix), worker);
    spec.prefix = strbuf_str(&prefix);
    scope = stat_scope_ref(s->stats, &spec);
    strbuf_done(&prefix);
    return scope;
}

static struct stat_scope *main_scope(const struct listener_series *s)
{
    struct stat_scope *scope;
    struct strbuf prefix;

    strbuf_init(&prefix);
    strbuf_addf(&prefix, "%.*smain_thread.", STR_ARG(s->prefix));
    scope = stat_scope_ref(s->stats, &(struct stat_scope_spec){
                                         .prefix = strbuf_str(&prefix),
                                         .tagged_prefix = strbuf_str(&prefix),
                                         .schema = &worker_stat_schema,
                                     });
    strbuf_done(&prefix);
    return scope;
}

static void series_name(struct listener_series *s)
{
    s->threads = xcalloc(series_thread_count(s), sizeof(*s->threads));
    if (s->worker_count == 0) {
        s->threads[0] = main_scope(s);
    }
    for (size_t i = 0; i < s->worker_count; i++) {
        s->threads[i] = worker_scope(s, i);
    }
}

void listener_series_refresh(struct listener_series *s)
{
    if (s->threads == NULL) {
        series_name(s);
    }
    for (size_t i = 0; i < series_thread_count(s); i++) {
        int thread = s->worker_count > 0 ? (int)i : LOOP_MAIN_INDEX;
        struct stat_block *b = stat_scope_block(s->threads[i], LOOP_MAIN_INDEX);

        stat_follow(b, LISTENER_WORKER_CX_ACTIVE,
                    stat_scope_thread_value(s->listener, thread, LISTENER_DOWNSTREAM_CX_ACTIVE));
        stat_follow(b, LISTENER_WORKER_CX_TOTAL,
                    stat_scope_thread_value(s->listener, thread, LISTENER_DOWNSTREAM_CX_TOTAL));
    }
}
