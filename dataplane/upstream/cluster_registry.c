/*
 * Main's book of clusters and the state that threads share. See cluster_registry.h for who may
 * touch what.
 */

#include "dataplane/upstream/cluster_registry.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/event/loop.h"
#include "dataplane/upstream/cluster_registry_internal.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/endpoint_series.h"
#include "dataplane/upstream/grpc_series.h"
#include "dataplane/upstream/match_series.h"
#include "dataplane/upstream/transport_match.h"

#define SLOTS_STEP 64

/* --- Shared state -------------------------------------------------------------------------------
 */

enum shared_scope_kind { SCOPE_CLUSTER, SCOPE_HTTP2 };

/* ':' parts the segments of a stat name for some sinks, so Envoy writes '_'. */
void cluster_stat_prefix(struct strbuf *out, struct str stat_name)
{
    strbuf_add_c(out, "cluster.");
    for (size_t i = 0; i < stat_name.len; i++) {
        strbuf_add_char(out, stat_name.ptr[i] == ':' ? '_' : stat_name.ptr[i]);
    }
    strbuf_add_char(out, '.');
}

static struct stat_scope *shared_scope(struct stat_store *stats, struct str stat_name,
                                       enum shared_scope_kind kind,
                                       const struct stat_schema *schema)
{
    struct strbuf prefix;
    struct stat_scope_spec spec;
    struct stat_scope *scope;
    size_t name_end;

    strbuf_init(&prefix);
    cluster_stat_prefix(&prefix, stat_name);
    name_end = prefix.len - 1;
    strbuf_add_c(&prefix, kind == SCOPE_HTTP2 ? "http2." : "");
    spec = (struct stat_scope_spec){
        .prefix = strbuf_str(&prefix),
        .tagged_prefix = kind == SCOPE_HTTP2 ? STR("cluster.http2.") : STR("cluster."),
        .tags = {{STR("envoy.cluster_name"),
                  str_sub(strbuf_str(&prefix), CLUSTER_STAT_PREFIX_BYTES, name_end)}},
        .tag_count = 1,
        .schema = schema,
    };
    scope = stat_scope_ref(stats, &spec);
    strbuf_done(&prefix);
    return scope;
}

static void shared_add_scope(struct stat_scope **scope, bool is_wanted, struct cluster_registry *r,
                             const struct cluster_config *c, enum shared_scope_kind kind,
                             const struct stat_schema *schema)
{
    if (is_wanted && *scope == NULL) {
        *scope = shared_scope(r->stats, c->stat_name, kind, schema);
    }
}

/* That of the version before, so that counts go on; else a new one. */
static struct cluster_shared *shared_get(struct cluster_registry *r, const struct cluster_config *c)
{
    const struct registered_cluster *before = map_get(&r->clusters, c->name);
    struct cluster_shared *s;

    if (before != NULL && str_eq(before->config->stat_name, c->stat_name)) {
        s = before->shared;
        s->refs++;
    } else {
        s = xcalloc(1, sizeof(*s));
        s->refs = 1;
        s->thread_count = stat_store_thread_count(r->stats);
        s->scope = shared_scope(r->stats, c->stat_name, SCOPE_CLUSTER, &cluster_stat_schema);
        s->main_scope =
            shared_scope(r->stats, c->stat_name, SCOPE_CLUSTER, &cluster_main_stat_schema);
    }
    shared_add_scope(&s->http2_scope, c->http_protocol != UPSTREAM_HTTP1, r, c, SCOPE_HTTP2,
                     &h2_stat_schema);
    shared_add_scope(&s->size_scope, c->tracks_sizes, r, c, SCOPE_CLUSTER,
                     &cluster_size_stat_schema);
    shared_add_scope(&s->budget_scope, c->tracks_budgets, r, c, SCOPE_CLUSTER,
                     &cluster_budget_stat_schema);
    return s;
}

static void shared_free_hosts(struct host_stats *h)
{
    while (h != NULL) {
        struct host_stats *next = h->next;

        free(h);
        h = next;
    }
}

static void shared_drop_scope(struct stat_scope *scope)
{
    if (scope != NULL) {
        stat_scope_unref(scope);
    }
}

static void shared_unref(void *object)
{
    struct cluster_shared *s = object;

    CHECK(s->refs > 0);
    if (--s->refs > 0) {
        return;
    }
    stat_scope_unref(s->scope);
    stat_scope_unref(s->main_scope);
    shared_drop_scope(s->http2_scope);
    shared_drop_scope(s->size_scope);
    shared_drop_scope(s->budget_scope);
    shared_drop_scope(s->breaker_scope);
    shared_drop_scope(s->eds_scope);
    match_series_free(s->matches);
    endpoint_series_free(s->endpoints);
    grpc_series_set_free(atomic_load_explicit(&s->grpc, memory_order_acquire));
    free(atomic_load_explicit(&s->breakers, memory_order_acquire));
    shared_free_hosts(atomic_load_explicit(&s->hosts, memory_order_acquire));
    free(s);
}

struct stat_block *cluster_shared_stats(struct cluster_shared *s, int worker)
{
    return stat_scope_block(s->scope, worker);
}

struct stat_block *cluster_shared_http2_stats(struct cluster_shared *s, int worker)
{
    return s->http2_scope != NULL ? stat_scope_block(s->http2_scope, worker) : NULL;
}

struct stat_block *cluster_shared_size_stats(struct cluster_shared *s, int worker)
{
    return stat_scope_block(s->size_scope, worker);
}

struct stat_block *cluster_shared_budget_stats(struct cluster_shared *s, int worker)
{
    return stat_scope_block(s->budget_scope, worker);
}

struct circuit_breaker *cluster_shared_breakers(struct cluster_shared *s)
{
    struct circuit_breaker *b = atomic_load_explicit(&s->breakers, memory_order_acquire);
    struct circuit_breaker *made;

    if (b != NULL) {
        return b;
    }
    made = xcalloc_aligned(BREAKER_LINE_BYTES, PRIORITY_COUNT * sizeof(*made));
    if (atomic_compare_exchange_strong_explicit(&s->breakers, &b, made, memory_order_acq_rel,
                                                memory_order_acquire)) {
        return made;
    }
    free(made); /* another thread was first */
    return b;
}

struct grpc_series_set *cluster_shared_grpc(struct cluster_shared *s)
{
    struct grpc_series_set *set = atomic_load_explicit(&s->grpc, memory_order_acquire);
    struct grpc_series_set *made;

    if (set != NULL) {
        return set;
    }
    made = grpc_series_set_new(s->thread_count);
    if (atomic_compare_exchange_strong_explicit(&s->grpc, &set, made, memory_order_acq_rel,
                                                memory_order_acquire)) {
        return made;
    }
    grpc_series_set_free(made); /* another thread was first */
    return set;
}

static void hosts_push(struct cluster_shared *s, struct host_stats *h)
{
    struct host_stats *head = atomic_load_explicit(&s->hosts, memory_order_relaxed);

    do {
        h->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&s->hosts, &head, h, memory_order_release,
                                                    memory_order_relaxed));
}

struct host_stats *cluster_shared_add_host_stats(struct cluster_shared *s, uint64_t key)
{
    /* On cache lines of its own: the records of other threads are neighbours on the heap. */
    struct host_stats *h = xcalloc_aligned(BREAKER_LINE_BYTES, sizeof(*h));

    h->key = key;
    hosts_push(s, h);
    return h;
}

/* Frees the records that no thread writes any more. Main takes the whole list out, so that pushes
 * by others never meet a record that is going. */
static void shared_prune_hosts(struct cluster_shared *s)
{
    struct host_stats *h = atomic_exchange_explicit(&s->hosts, NULL, memory_order_acquire);

    while (h != NULL) {
        struct host_stats *next = h->next;

        if (atomic_load_explicit(&h->is_retired, memory_order_acquire)) {
            free(h);
        } else {
            hosts_push(s, h);
        }
        h = next;
    }
}

void cluster_shared_host_totals(struct cluster_shared *s, uint64_t key,
                                uint64_t ret_totals[HOST_STAT_COUNT])
{
    const struct host_stats *h = atomic_load_explicit(&s->hosts, memory_order_acquire);

    memset(ret_totals, 0, HOST_STAT_COUNT * sizeof(*ret_totals));
    for (; h != NULL; h = h->next) {
        for (size_t i = 0; h->key == key && i < HOST_STAT_COUNT; i++) {
            ret_totals[i] += atomic_load_explicit(&h->cells[i], memory_order_relaxed);
        }
    }
}

/* --- Membership
 * ----------------------------------------------------------------------------------- */

struct membership {
    uint64_t total;
    uint64_t healthy;
    uint64_t degraded;
    uint64_t excluded;
    uint64_t *keys; /* sorted */
};

static int key_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void membership_init(struct membership *m, const struct endpoint_set *s)
{
    size_t n = 0;

    memset(m, 0, sizeof(*m));
    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        n += s->localities[i].endpoint_count;
    }
    m->keys = xcalloc(n + 1, sizeof(*m->keys));
    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        const struct locality_endpoints *le = &s->localities[i];

        for (size_t j = 0; j < le->endpoint_count; j++) {
            const struct endpoint *e = &le->endpoints[j];
            enum host_health health = host_health_of(e->health);

            m->keys[m->total++] = endpoint_key(e);
            m->healthy += health == HOST_HEALTHY;
            m->degraded += health == HOST_DEGRADED;
            m->excluded += e->health == HEALTH_DRAINING;
        }
    }
    qsort(m->keys, m->total, sizeof(*m->keys), key_cmp);
}

static bool membership_differs(const struct membership *a, const struct membership *b)
{
    return a->total != b->total || memcmp(a->keys, b->keys, a->total * sizeof(*a->keys)) != 0;
}

static void registered_count_members(struct registered_cluster *rc,
                                     const struct endpoint_set *before)
{
    struct stat_block *b = stat_scope_block(rc->shared->main_scope, LOOP_MAIN_INDEX);
    struct membership old;
    struct membership now;

    membership_init(&old, before);
    membership_init(&now, rc->endpoints);
    stat_set(b, CLUSTER_MEMBERSHIP_TOTAL, now.total);
    stat_set(b, CLUSTER_MEMBERSHIP_HEALTHY, now.healthy);
    stat_set(b, CLUSTER_MEMBERSHIP_DEGRADED, now.degraded);
    stat_set(b, CLUSTER_MEMBERSHIP_EXCLUDED, now.excluded);
    stat_add(b, CLUSTER_MEMBERSHIP_CHANGE, membership_differs(&old, &now) ? 1 : 0);
    free(old.keys);
    free(now.keys);
}

/* As Envoy: of every endpoint, each time a set comes. */
static void registered_count_matches(struct registered_cluster *rc)
{
    const struct cluster_config *c = rc->config;
    const struct endpoint_set *s = rc->endpoints;
    uint64_t unmatched = 0;

    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        const struct locality_endpoints *le = &s->localities[i];

        for (size_t j = 0; j < le->endpoint_count; j++) {
            const struct transport_socket_match *m =
                transport_match_find(c, le->endpoints[j].metadata, le->metadata);

            if (m != NULL) {
                match_series_count(&rc->shared->matches, rc->registry->stats, c->stat_name,
                                   m->name);
            } else {
                unmatched++;
            }
        }
    }
    if (unmatched > 0) {
        stat_add(stat_scope_block(rc->shared->main_scope, LOOP_MAIN_INDEX),
                 CLUSTER_DEFAULT_TOTAL_MATCH_COUNT, unmatched);
    }
}

/* Its hosts are others now, or it has other words for them. */
static void registered_changed(struct registered_cluster *rc, const struct endpoint_set *before)
{
    registered_count_members(rc, before);
    registered_count_matches(rc);
}

/* --- Registered clusters
 * ---------------------------------------------------------------------------- */

static void registry_grow(struct cluster_registry *r, uint32_t slot)
{
    uint32_t more = slot + 1 + slot / 2 + SLOTS_STEP;

    if (slot < r->slot_count) {
        return;
    }
    r->endpoints = xreallocarray(r->endpoints, more, sizeof(*r->endpoints));
    r->users = xreallocarray(r->users, more, sizeof(*r->users));
    memset(r->endpoints + r->slot_count, 0, (more - r->slot_count) * sizeof(*r->endpoints));
    memset(r->users + r->slot_count, 0, (more - r->slot_count) * sizeof(*r->users));
    r->slot_count = more;
}

static void set_part(const struct endpoint_set **at, const struct endpoint_set *s)
{
    if (s != NULL) {
        part_ref(&s->part);
    }
    if (*at != NULL) {
        part_unref(&(*at)->part);
    }
    *at = s;
}

static void registered_use(struct registered_cluster *rc, uint32_t slot)
{
    registry_grow(rc->registry, slot);
    rc->endpoints_slot = slot;
    rc->next_user = rc->registry->users[slot];
    rc->registry->users[slot] = rc;
    set_part(&rc->endpoints, rc->registry->endpoints[slot]);
}

static void registered_unuse(struct registered_cluster *rc)
{
    struct registered_cluster **at = &rc->registry->users[rc->endpoints_slot];

    while (*at != rc) {
        at = &(*at)->next_user;
    }
    *at = rc->next_user;
    set_part(&rc->endpoints, NULL);
}

/* One reference per part that carries the pointer, dropped with the part. */
static void registry_attach(struct cluster_registry *r, const struct cluster_config *c)
{
    /* Not yet published: main may still write to it. */
    struct cluster_config *fresh = (struct cluster_config *)(uintptr_t)c;

    if (c->shared == NULL) {
        fresh->shared = shared_get(r, c);
        part_on_free(&fresh->part, shared_unref, fresh->shared);
    }
}

static void registered_free(struct registered_cluster *rc)
{
    registered_unuse(rc);
    part_unref(&rc->config->part);
    shared_unref(rc->shared);
    free(rc);
}

static void registry_put(struct cluster_registry *r, const struct cluster_config *c)
{
    struct registered_cluster *rc = xcalloc(1, sizeof(*rc));
    struct registered_cluster *old;
    const struct endpoint_set *before = NULL;

    registry_attach(r, c);
    part_ref(&c->part);
    c->shared->refs++;
    rc->registry = r;
    rc->config = c;
    rc->shared = c->shared;
    registered_use(rc, c->endpoints_slot);
    old = map_remove(&r->clusters, c->name); /* its key lies in the old part */
    (void)map_put(&r->clusters, c->name, rc);
    if (old != NULL && old->shared == rc->shared) {
        before = old->endpoints;
    }
    registered_changed(rc, before);
    if (old != NULL) {
        registered_free(old);
    }
}

static void registry_remove(struct cluster_registry *r, const struct cluster_config *c)
{
    struct registered_cluster *rc = map_remove(&r->clusters, c->name);

    if (rc != NULL) {
        registered_free(rc);
    }
}

static void registry_put_endpoints(struct cluster_registry *r, uint32_t slot,
                                   const struct endpoint_set *s)
{
    registry_grow(r, slot);
    set_part(&r->endpoints[slot], s);
    for (struct registered_cluster *rc = r->users[slot]; rc != NULL; rc = rc->next_user) {
        const struct endpoint_set *before = rc->endpoints;

        rc->endpoints = NULL;
        set_part(&rc->endpoints, s);
        registered_changed(rc, before);
        shared_prune_hosts(rc->shared);
        if (before != NULL) {
            part_unref(&before->part);
        }
    }
}

void cluster_registry_apply(struct cluster_registry *r, const struct snapshot_change *c)
{
    if (c->kind == PART_ENDPOINTS) {
        registry_put_endpoints(r, c->slot, (const struct endpoint_set *)c->after);
    } else if (c->kind == PART_CLUSTER && c->after != NULL) {
        registry_put(r, (const struct cluster_config *)c->after);
    } else if (c->kind == PART_CLUSTER) {
        registry_remove(r, (const struct cluster_config *)c->before);
    }
}

struct cluster_registry *cluster_registry_new(struct stat_store *stats,
                                              const struct thread_context *main)
{
    struct cluster_registry *r = xcalloc(1, sizeof(*r));

    r->stats = stats;
    r->thread = main;
    map_init(&r->clusters);
    return r;
}

void cluster_registry_set_updates(struct cluster_registry *r, endpoint_updates_fn *fn, void *ctx)
{
    r->updates = fn;
    r->updates_ctx = ctx;
}

void cluster_registry_clear(struct cluster_registry *r)
{
    if (r == NULL) {
        return;
    }
    map_for_each (e, &r->clusters) {
        registered_free(e->value);
    }
    map_clear(&r->clusters);
    for (uint32_t i = 0; i < r->slot_count; i++) {
        set_part(&r->endpoints[i], NULL);
    }
}

void cluster_registry_free(struct cluster_registry *r)
{
    if (r == NULL) {
        return;
    }
    cluster_registry_clear(r);
    map_done(&r->clusters);
    free(r->endpoints);
    free(r->users);
    free(r);
}

/* --- Computed series
 * ---------------------------------------------------------------------------------- */

_Static_assert(CLUSTER_HIGH_CX_OPEN == CLUSTER_DEFAULT_CX_OPEN + BREAKER_RESOURCE_COUNT &&
                   CLUSTER_HIGH_REMAINING_CX ==
                       CLUSTER_DEFAULT_REMAINING_CX + BREAKER_RESOURCE_COUNT,
               "refresh_breaker relies on the order");

static void refresh_breaker(const struct thread_context *t, const struct cluster_config *c,
                            struct stat_block *b, const struct circuit_breaker *breaker,
                            enum routing_priority p)
{
    for (int i = 0; i < BREAKER_RESOURCE_COUNT; i++) {
        uint32_t max = breaker_limit_now(t, c, p, (enum breaker_resource)i);
        uint32_t count = breaker_count(breaker, (enum breaker_resource)i);
        size_t at = (size_t)p * BREAKER_RESOURCE_COUNT + (size_t)i;

        stat_set(b, CLUSTER_DEFAULT_CX_OPEN + at, count >= max);
        if (c->breakers[p].track_remaining) {
            stat_set(b, CLUSTER_DEFAULT_REMAINING_CX + at, count < max ? max - count : 0);
        }
    }
}

static void refresh_breakers(struct cluster_registry *r, const struct cluster_config *c)
{
    struct circuit_breaker *breakers =
        atomic_load_explicit(&c->shared->breakers, memory_order_acquire);
    struct stat_block *b;

    if (breakers == NULL) {
        return; /* no thread has used the cluster yet */
    }
    if (c->shared->breaker_scope == NULL) {
        c->shared->breaker_scope =
            shared_scope(r->stats, c->stat_name, SCOPE_CLUSTER, &cluster_breaker_stat_schema);
    }
    b = stat_scope_block(c->shared->breaker_scope, LOOP_MAIN_INDEX);
    for (int p = 0; p < PRIORITY_COUNT; p++) {
        refresh_breaker(r->thread, c, b, &breakers[p], (enum routing_priority)p);
    }
}

/* As all of a cluster's series: not of those that nobody uses, unless something is the matter. */
static bool has_updates_to_show(const struct cluster_shared *s, const struct endpoint_updates *u)
{
    return s->eds_scope != NULL || u->successes == 0 || u->rejections > 0 ||
           atomic_load_explicit(&s->breakers, memory_order_acquire) != NULL;
}

static void refresh_updates(struct cluster_registry *r, const struct registered_cluster *rc)
{
    struct cluster_shared *s = rc->shared;
    struct endpoint_updates u;
    struct stat_block *b;

    if (r->updates == NULL || !r->updates(r->updates_ctx, rc->endpoints_slot, &u) ||
        !has_updates_to_show(s, &u)) {
        return;
    }
    if (s->eds_scope == NULL) {
        s->eds_scope =
            shared_scope(r->stats, rc->config->stat_name, SCOPE_CLUSTER, &cluster_eds_stat_schema);
    }
    b = stat_scope_block(s->eds_scope, LOOP_MAIN_INDEX);
    stat_follow(b, CLUSTER_EDS_INIT_FETCH_TIMEOUT, u.init_fetch_timeouts);
    stat_follow(b, CLUSTER_EDS_UPDATE_ATTEMPT, u.attempts);
    stat_follow(b, CLUSTER_EDS_UPDATE_FAILURE, u.failures);
    stat_follow(b, CLUSTER_EDS_UPDATE_REJECTED, u.rejections);
    stat_follow(b, CLUSTER_EDS_UPDATE_SUCCESS, u.successes);
    stat_follow(b, CLUSTER_EDS_UPDATE_TIME, u.succeeded_wall_ms);
    if (u.version.ptr != NULL) {
        stat_follow(b, CLUSTER_EDS_VERSION, hash_xx64(u.version, 0));
        stat_set_text(s->eds_scope, CLUSTER_EDS_VERSION_TEXT, u.version);
    }
}

static void refresh_grpc(struct cluster_registry *r, const struct cluster_config *c)
{
    struct grpc_series_set *set = atomic_load_explicit(&c->shared->grpc, memory_order_acquire);

    if (set != NULL) {
        grpc_series_set_adopt(set, r->stats, c->stat_name);
    }
}

void cluster_registry_refresh_stats(struct cluster_registry *r)
{
    map_for_each (e, &r->clusters) {
        const struct registered_cluster *rc = e->value;

        refresh_breakers(r, rc->config);
        refresh_grpc(r, rc->config);
        refresh_updates(r, rc);
        endpoint_series_refresh(&rc->shared->endpoints, rc);
    }
}

void cluster_registry_count_update(struct cluster_registry *r, const struct cluster_config *c,
                                   enum cluster_update_result result)
{
    struct stat_block *b;

    registry_attach(r, c);
    b = stat_scope_block(c->shared->main_scope, LOOP_MAIN_INDEX);
    switch (result) {
    case CLUSTER_UPDATE_STARTED:
        stat_inc(b, CLUSTER_UPDATE_ATTEMPT);
        break;
    case CLUSTER_UPDATE_CHANGED:
        stat_inc(b, CLUSTER_UPDATE_SUCCESS);
        break;
    case CLUSTER_UPDATE_UNCHANGED:
        stat_inc(b, CLUSTER_UPDATE_SUCCESS);
        stat_inc(b, CLUSTER_UPDATE_NO_REBUILD);
        break;
    case CLUSTER_UPDATE_EMPTIED:
        stat_inc(b, CLUSTER_UPDATE_SUCCESS);
        stat_inc(b, CLUSTER_UPDATE_EMPTY);
        break;
    case CLUSTER_UPDATE_FAILED:
        stat_inc(b, CLUSTER_UPDATE_FAILURE);
        break;
    }
}
