/* Series named by transport socket matches. Main thread. */

#include "dataplane/upstream/match_series.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/upstream/cluster_registry.h"

static const struct stat_def match_stat_defs[] = {{"total_match_count", STAT_COUNTER}};

static const struct stat_schema match_stat_schema = {.defs = match_stat_defs, .count = 1};

struct match_series {
    struct match_series *next;
    struct stat_scope *scope;
    size_t name_len;
    char name[];
};

static struct stat_scope *series_scope(struct stat_store *stats, struct str stat_name,
                                       struct str match_name)
{
    struct strbuf prefix;
    struct strbuf tagged;
    struct stat_scope *scope;
    size_t name_end;

    strbuf_init(&prefix);
    strbuf_init(&tagged);
    cluster_stat_prefix(&prefix, stat_name);
    name_end = prefix.len - 1;
    strbuf_addf(&prefix, "%.*s.", STR_ARG(match_name));
    strbuf_addf(&tagged, "cluster.%.*s.", STR_ARG(match_name));
    scope = stat_scope_ref(
        stats, &(struct stat_scope_spec){
                   .prefix = strbuf_str(&prefix),
                   .tagged_prefix = strbuf_str(&tagged),
                   .tags = {{STR("envoy.cluster_name"),
                             str_sub(strbuf_str(&prefix), CLUSTER_STAT_PREFIX_BYTES, name_end)}},
                   .tag_count = 1,
                   .schema = &match_stat_schema,
               });
    strbuf_done(&prefix);
    strbuf_done(&tagged);
    return scope;
}

void match_series_count(struct match_series **list, struct stat_store *stats, struct str stat_name,
                        struct str match_name)
{
    struct match_series *s = *list;

    while (s != NULL && !str_eq(str_n(s->name, s->name_len), match_name)) {
        s = s->next;
    }
    if (s == NULL) {
        s = xcalloc(1, sizeof(*s) + match_name.len);
        s->scope = series_scope(stats, stat_name, match_name);
        s->name_len = match_name.len;
        memcpy(s->name, match_name.ptr, match_name.len);
        s->next = *list;
        *list = s;
    }
    stat_inc(stat_scope_block(s->scope, LOOP_MAIN_INDEX), 0);
}

void match_series_free(struct match_series *list)
{
    while (list != NULL) {
        struct match_series *next = list->next;

        stat_scope_unref(list->scope);
        free(list);
        list = next;
    }
}
