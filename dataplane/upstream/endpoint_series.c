/* See endpoint_series.h. */

#include "dataplane/upstream/endpoint_series.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"

#define ENDPOINT_HEALTHY HOST_STAT_COUNT /* and no count of a host */

static const struct stat_def endpoint_stat_defs[] = {
    [HOST_CX_TOTAL] = {"cx_total", STAT_COUNTER},
    [HOST_CX_ACTIVE] = {"cx_active", STAT_GAUGE},
    [HOST_CX_CONNECT_FAIL] = {"cx_connect_fail", STAT_COUNTER},
    [HOST_RQ_TOTAL] = {"rq_total", STAT_COUNTER},
    [HOST_RQ_ACTIVE] = {"rq_active", STAT_GAUGE},
    [HOST_RQ_PENDING_ACTIVE] = {"rq_pending_active", STAT_GAUGE},
    [HOST_RQ_SUCCESS] = {"rq_success", STAT_COUNTER},
    [HOST_RQ_ERROR] = {"rq_error", STAT_COUNTER},
    [HOST_RQ_TIMEOUT] = {"rq_timeout", STAT_COUNTER},
    [ENDPOINT_HEALTHY] = {"healthy", STAT_GAUGE},
};

static const struct stat_schema endpoint_stat_schema = {
    .defs = endpoint_stat_defs, .count = ARRAY_LEN(endpoint_stat_defs), .shown_untouched = true};

struct endpoint_entry {
    uint64_t key; /* endpoint_key */
    struct stat_scope *scope;
    struct stat_block *block;
    uint64_t totals[HOST_STAT_COUNT];
};

struct endpoint_series {
    size_t count;
    struct endpoint_entry entries[];
};

static struct stat_scope *endpoint_scope(const struct registered_cluster *rc,
                                         const struct endpoint *e)
{
    struct stat_scope_spec spec = {.tagged_prefix = STR("cluster.endpoint."),
                                   .schema = &endpoint_stat_schema};
    char address[ADDRESS_TEXT_MAX];
    struct str text = str_n(address, address_format(&e->address, address));
    struct stat_scope *scope;
    struct strbuf prefix;
    size_t name_end;

    strbuf_init(&prefix);
    cluster_stat_prefix(&prefix, rc->config->stat_name);
    name_end = prefix.len - 1;
    strbuf_add_c(&prefix, "endpoint.");
    for (size_t i = 0; i < text.len; i++) {
        strbuf_add_char(&prefix, text.ptr[i] == ':' ? '_' : text.ptr[i]);
    }
    strbuf_add_char(&prefix, '.');
    spec.prefix = strbuf_str(&prefix);
    spec.tags[spec.tag_count++] = (struct stat_tag){
        STR("envoy.cluster_name"), str_sub(spec.prefix, CLUSTER_STAT_PREFIX_BYTES, name_end)};
    spec.tags[spec.tag_count++] = (struct stat_tag){STR("envoy.endpoint_address"), text};
    if (e->hostname.len > 0) {
        spec.tags[spec.tag_count++] =
            (struct stat_tag){STR("envoy.endpoint_hostname"), e->hostname};
    }
    scope = stat_scope_ref(rc->registry->stats, &spec);
    strbuf_done(&prefix);
    return scope;
}

static void series_add(struct endpoint_series *series, const struct registered_cluster *rc,
                       const struct endpoint *e, struct map *by_key)
{
    struct endpoint_entry *entry = &series->entries[series->count++];

    entry->key = endpoint_key(e);
    entry->scope = endpoint_scope(rc, e);
    entry->block = stat_scope_block(entry->scope, LOOP_MAIN_INDEX);
    stat_set(entry->block, ENDPOINT_HEALTHY, host_health_of(e->health) == HOST_HEALTHY);
    (void)map_put(by_key, str_n((const char *)&entry->key, sizeof(entry->key)), entry);
}

/* What each thread has counted of each. */
static void series_sum_up(const struct cluster_shared *s, const struct map *by_key)
{
    const struct host_stats *h = atomic_load_explicit(&s->hosts, memory_order_acquire);

    for (; h != NULL; h = h->next) {
        struct endpoint_entry *entry =
            map_get(by_key, str_n((const char *)&h->key, sizeof(h->key)));

        for (size_t i = 0; entry != NULL && i < HOST_STAT_COUNT; i++) {
            entry->totals[i] += atomic_load_explicit(&h->cells[i], memory_order_relaxed);
        }
    }
}

static size_t endpoint_count(const struct endpoint_set *s)
{
    size_t n = 0;

    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        n += s->localities[i].endpoint_count;
    }
    return n;
}

static struct endpoint_series *series_make(const struct registered_cluster *rc)
{
    const struct endpoint_set *s = rc->endpoints;
    struct endpoint_series *series =
        xcalloc(1, sizeof(*series) + endpoint_count(s) * sizeof(series->entries[0]));
    struct map by_key;

    map_init(&by_key);
    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        for (size_t j = 0; j < s->localities[i].endpoint_count; j++) {
            series_add(series, rc, &s->localities[i].endpoints[j], &by_key);
        }
    }
    series_sum_up(rc->shared, &by_key);
    map_done(&by_key);
    for (size_t i = 0; i < series->count; i++) {
        for (size_t k = 0; k < HOST_STAT_COUNT; k++) {
            stat_set(series->entries[i].block, k, series->entries[i].totals[k]);
        }
    }
    return series;
}

void endpoint_series_refresh(struct endpoint_series **series, const struct registered_cluster *rc)
{
    struct endpoint_series *before = *series;

    /* Scopes are known by their names: what is still there keeps its own. */
    *series = rc->config->tracks_endpoints ? series_make(rc) : NULL;
    endpoint_series_free(before);
}

void endpoint_series_free(struct endpoint_series *series)
{
    if (series == NULL) {
        return;
    }
    for (size_t i = 0; i < series->count; i++) {
        stat_scope_unref(series->entries[i].scope);
    }
    free(series);
}
