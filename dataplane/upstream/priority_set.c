/* Builds the host lists of a cluster and the load of its priority levels. One thread. */

#include "dataplane/upstream/priority_set.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/transport_match.h"
#include "dataplane/upstream/upstream.h"

/* --- Load per priority level (as Envoy's load_balancer_impl) --------------------------------- */

static uint32_t percent_of(uint64_t part, uint64_t whole, uint32_t overprovisioning)
{
    uint64_t percent = whole == 0 ? 0 : overprovisioning * part / whole;

    return percent < 100 ? (uint32_t)percent : 100;
}

struct availability {
    uint32_t healthy;
    uint32_t degraded;
};

/* Gives each level its part of `*load` by its share of the total availability. Returns the first
 * level that is available at all, or `count`. */
static size_t distribute(const uint32_t *available, size_t count, uint32_t total_available,
                         uint32_t *load, uint32_t *ret_loads)
{
    size_t first = count;

    for (size_t i = 0; i < count; i++) {
        uint32_t share = available[i] * 100 / total_available;

        if (first == count && available[i] > 0) {
            first = i;
        }
        ret_loads[i] = share < *load ? share : *load;
        *load -= ret_loads[i];
    }
    return first;
}

static void distribute_by_health(const struct availability *a, size_t count, uint32_t total,
                                 struct level_load *loads)
{
    uint32_t *available = xcalloc(count, sizeof(*available));
    uint32_t *shares = xcalloc(count, sizeof(*shares));
    uint32_t load = 100;
    size_t first_healthy;
    size_t first_degraded;

    for (size_t i = 0; i < count; i++) {
        available[i] = a[i].healthy;
    }
    first_healthy = distribute(available, count, total, &load, shares);
    for (size_t i = 0; i < count; i++) {
        loads[i].healthy = shares[i];
        available[i] = a[i].degraded;
    }
    first_degraded = distribute(available, count, total, &load, shares);
    for (size_t i = 0; i < count; i++) {
        loads[i].degraded = shares[i];
    }
    /* What is left are rounding errors. */
    if (first_healthy < count) {
        loads[first_healthy].healthy += load;
    } else if (first_degraded < count) {
        loads[first_degraded].degraded += load;
    }
    free(available);
    free(shares);
}

/* Every level is in panic: load goes by the number of hosts. */
static void distribute_by_size(const struct level_health *health, size_t count,
                               struct level_load *loads)
{
    uint64_t total = 0;
    uint32_t left = 100;
    size_t first = count;

    for (size_t i = 0; i < count; i++) {
        total += health[i].size;
        if (first == count && health[i].size > 0) {
            first = i;
        }
    }
    if (total == 0) {
        loads[0].healthy = 100; /* it must go somewhere */
        return;
    }
    for (size_t i = 0; i < count; i++) {
        loads[i].healthy = (uint32_t)(100 * health[i].size / total);
        loads[i].degraded = 0;
        left -= loads[i].healthy;
    }
    loads[first].healthy += left;
}

static bool level_is_panic(const struct level_health *h, double panic_threshold)
{
    double available = h->total == 0 ? 0 : 100.0 * (double)(h->healthy + h->degraded);

    return available < panic_threshold * (double)(h->total == 0 ? 1 : h->total);
}

void priority_loads(const struct level_health *health, size_t count, uint32_t overprovisioning,
                    double panic_threshold, struct level_load *ret_loads)
{
    struct availability *a = xcalloc(count, sizeof(*a));
    uint64_t total = 0;
    bool is_total_panic = true;

    memset(ret_loads, 0, count * sizeof(*ret_loads));
    for (size_t i = 0; i < count; i++) {
        const struct level_health *h = &health[i];

        a[i].healthy = percent_of(h->healthy_weight, h->total_weight, overprovisioning);
        a[i].degraded = percent_of(h->degraded_weight, h->total_weight, overprovisioning);
        total += a[i].healthy + a[i].degraded;
    }
    total = total < 100 ? total : 100;
    if (total > 0) {
        distribute_by_health(a, count, (uint32_t)total, ret_loads);
    }
    free(a);
    if (total == 0 && panic_threshold <= 0) {
        ret_loads[0].healthy = 100; /* picks nothing, for want of healthy hosts */
        return;
    }
    for (size_t i = 0; i < count; i++) {
        /* Never while the levels together are fully available, however bad one of them is. */
        ret_loads[i].is_panic = total < 100 && level_is_panic(&health[i], panic_threshold);
        is_total_panic = is_total_panic && ret_loads[i].is_panic;
    }
    if (is_total_panic) {
        distribute_by_size(health, count, ret_loads);
    }
}

/* --- Placing hosts --------------------------------------------------------------------------- */

/* One endpoint of the new set on its way to a host. */
struct placement {
    uint64_t key;
    const struct endpoint *endpoint;
    const struct transport_socket_match *match; /* NULL: none */
    uint32_t level;
    uint32_t locality; /* within its level, equal localities merged */
    uint32_t order;
    struct host *host; /* NULL: a duplicate that is left out */
};

struct builder {
    struct priority_set *set;
    struct cluster *cluster;
    const struct endpoint_set *endpoints;
    struct placement *placements; /* in configured order */
    struct placement **by_key;
    size_t count;
};

static size_t endpoint_count(const struct endpoint_set *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->locality_count; i++) {
        n += s->localities[i].endpoint_count;
    }
    return n;
}

static bool locality_eq(const struct locality *a, const struct locality *b)
{
    return str_eq(a->region, b->region) && str_eq(a->zone, b->zone) &&
           str_eq(a->sub_zone, b->sub_zone);
}

static uint32_t level_locality(struct priority_level *level, const struct locality_endpoints *le)
{
    size_t i = 0;

    while (i < level->locality_count &&
           !locality_eq(level->localities[i].locality, &le->locality)) {
        i++;
    }
    if (i == level->locality_count) {
        level->localities[i] = (struct locality_hosts){.locality = &le->locality};
        level->locality_count++;
    }
    if (le->weight.is_set) {
        level->localities[i].weight = le->weight.value;
        level->has_locality_weights = level->has_locality_weights || le->weight.value > 0;
    }
    return (uint32_t)i;
}

static void builder_place(struct builder *b)
{
    const struct endpoint_set *s = b->endpoints;
    const struct cluster_config *config = cluster_config_of(b->cluster);
    size_t n = endpoint_count(s);

    b->placements = xcalloc(n + 1, sizeof(*b->placements));
    b->by_key = xcalloc(n + 1, sizeof(struct placement *));
    for (size_t i = 0; i < s->locality_count; i++) {
        const struct locality_endpoints *le = &s->localities[i];
        uint32_t locality = level_locality(&b->set->levels[le->priority], le);

        for (size_t j = 0; j < le->endpoint_count; j++) {
            b->by_key[b->count] = &b->placements[b->count];
            b->placements[b->count] = (struct placement){
                .key = endpoint_key(&le->endpoints[j]),
                .endpoint = &le->endpoints[j],
                .match = transport_match_find(config, le->endpoints[j].metadata, le->metadata),
                .level = le->priority,
                .locality = locality,
                .order = (uint32_t)b->count,
            };
            b->count++;
        }
    }
}

static int cmp_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int placement_cmp(const void *pa, const void *pb)
{
    const struct placement *a = *(const struct placement *const *)pa;
    const struct placement *b = *(const struct placement *const *)pb;
    int r = cmp_u64(a->key, b->key);

    r = r != 0 ? r : cmp_u64(a->level, b->level);
    r = r != 0 ? r : cmp_u64(a->locality, b->locality);
    return r != 0 ? r : cmp_u64(a->order, b->order);
}

static int host_cmp(const void *pa, const void *pb)
{
    return cmp_u64((*(const struct host *const *)pa)->key, (*(const struct host *const *)pb)->key);
}

/* EDS: the first of equal endpoints in one locality stands for all, as in Envoy. */
static bool placement_is_duplicate(const struct builder *b, size_t i)
{
    const struct placement *p = b->by_key[i];
    const struct placement *before = i > 0 ? b->by_key[i - 1] : NULL;

    return cluster_config_of(b->cluster)->type == DISCOVERY_EDS && before != NULL &&
           before->key == p->key && before->level == p->level && before->locality == p->locality;
}

/* An old host whose connections may serve the endpoint. */
static bool host_fits(const struct host *h, const struct placement *p)
{
    return h->key == p->key && h->transport_hash == transport_match_hash(p->match);
}

/* Gives each placement an old host with its key, or a new one. Both sides are walked in the order
 * of keys; old hosts that nobody takes are detached. */
static void builder_make_hosts(struct builder *b, struct priority_set *old)
{
    size_t old_count = old != NULL ? old->host_count : 0;
    size_t at = 0;

    if (b->count > 0) {
        qsort(b->by_key, b->count, sizeof(struct placement *), placement_cmp);
    }
    if (old_count > 0) {
        qsort(old->hosts, old_count, sizeof(struct host *), host_cmp);
    }
    for (size_t i = 0; i < b->count; i++) {
        struct placement *p = b->by_key[i];

        if (placement_is_duplicate(b, i)) {
            continue;
        }
        while (at < old_count && old->hosts[at]->key < p->key) {
            host_detach(old->hosts[at++]);
        }
        if (at < old_count && host_fits(old->hosts[at], p)) {
            p->host = old->hosts[at++];
            p->host->cluster = b->cluster;
            host_update(p->host, p->endpoint, p->match);
        } else {
            p->host = host_new(b->cluster, p->endpoint, p->key, p->match);
        }
    }
    while (at < old_count) {
        host_detach(old->hosts[at++]);
    }
}

/* --- Lists ------------------------------------------------------------------------------------ */

static void source_add(struct lb_source *s, struct host *h)
{
    s->hosts[s->count++] = h;
}

/* Counts first, then windows into one array per list kind. */
static void builder_size_lists(struct builder *b)
{
    struct arena *a = &b->set->arena;

    for (size_t i = 0; i < b->count; i++) {
        const struct placement *p = &b->placements[i];

        if (p->host != NULL) {
            b->set->levels[p->level].all.count++;
            b->set->levels[p->level].localities[p->locality].host_count++;
            b->set->levels[p->level].localities[p->locality].eligible_count +=
                !p->host->is_excluded;
        }
    }
    for (size_t i = 0; i < b->set->level_count; i++) {
        struct priority_level *level = &b->set->levels[i];

        level->all.hosts = ARENA_ARRAY(a, struct host *, level->all.count);
        level->healthy.hosts = ARENA_ARRAY(a, struct host *, level->all.count);
        level->degraded.hosts = ARENA_ARRAY(a, struct host *, level->all.count);
        level->all.count = 0;
        for (size_t j = 0; level->has_locality_weights && j < level->locality_count; j++) {
            struct locality_hosts *l = &level->localities[j];

            l->healthy.hosts = ARENA_ARRAY(a, struct host *, l->host_count);
            l->degraded.hosts = ARENA_ARRAY(a, struct host *, l->host_count);
        }
    }
}

static void builder_fill_lists(struct builder *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct placement *p = &b->placements[i];
        struct priority_level *level = &b->set->levels[p->level];
        struct locality_hosts *l = &level->localities[p->locality];
        struct host *h = p->host;

        if (h == NULL) {
            continue;
        }
        b->set->hosts[b->set->host_count++] = h;
        source_add(&level->all, h);
        if (h->health == HOST_HEALTHY) {
            source_add(&level->healthy, h);
        } else if (h->health == HOST_DEGRADED) {
            source_add(&level->degraded, h);
        }
        if (level->has_locality_weights && h->health != HOST_UNHEALTHY) {
            source_add(h->health == HOST_HEALTHY ? &l->healthy : &l->degraded, h);
        }
    }
}

static double effective_weight(const struct locality_hosts *l, uint32_t available,
                               uint32_t overprovisioning)
{
    double ratio = l->eligible_count == 0 ? 0 : (double)available / l->eligible_count;

    ratio *= overprovisioning / 100.0;
    return l->weight * (ratio < 1 ? ratio : 1);
}

/* How many hosts, or what they weigh together; those that are excluded left out. */
static uint64_t source_sum(const struct lb_source *s, bool by_weight)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        if (!s->hosts[i]->is_excluded) {
            sum += by_weight ? s->hosts[i]->weight : 1;
        }
    }
    return sum;
}

static void set_compute_loads(struct priority_set *set, uint32_t overprovisioning,
                              bool by_host_weight, double panic_threshold)
{
    struct level_health *health = xcalloc(set->level_count, sizeof(*health));
    struct level_load *loads = xcalloc(set->level_count, sizeof(*loads));

    for (size_t i = 0; i < set->level_count; i++) {
        struct priority_level *level = &set->levels[i];
        struct level_health *h = &health[i];

        h->size = level->all.count;
        h->total = source_sum(&level->all, false);
        h->healthy = level->healthy.count;
        h->degraded = level->degraded.count;
        h->total_weight = source_sum(&level->all, by_host_weight);
        h->healthy_weight = source_sum(&level->healthy, by_host_weight);
        h->degraded_weight = source_sum(&level->degraded, by_host_weight);
        for (size_t j = 0; j < level->locality_count; j++) {
            struct locality_hosts *l = &level->localities[j];

            l->effective_weight[0] = effective_weight(l, l->healthy.count, overprovisioning);
            l->effective_weight[1] = effective_weight(l, l->degraded.count, overprovisioning);
        }
    }
    priority_loads(health, set->level_count, overprovisioning, panic_threshold, loads);
    for (size_t i = 0; i < set->level_count; i++) {
        set->levels[i].healthy_load = loads[i].healthy;
        set->levels[i].degraded_load = loads[i].degraded;
        set->levels[i].is_panic = loads[i].is_panic;
    }
    free(health);
    free(loads);
}

static void set_make_levels(struct priority_set *set, const struct endpoint_set *endpoints)
{
    size_t *locality_counts;

    set->level_count = 1;
    for (size_t i = 0; endpoints != NULL && i < endpoints->locality_count; i++) {
        if (endpoints->localities[i].priority >= set->level_count) {
            set->level_count = endpoints->localities[i].priority + 1;
        }
    }
    set->levels = ARENA_ARRAY(&set->arena, struct priority_level, set->level_count);
    locality_counts = xcalloc(set->level_count, sizeof(*locality_counts));
    for (size_t i = 0; endpoints != NULL && i < endpoints->locality_count; i++) {
        locality_counts[endpoints->localities[i].priority]++;
    }
    for (size_t i = 0; i < set->level_count; i++) {
        set->levels[i].localities =
            ARENA_ARRAY(&set->arena, struct locality_hosts, locality_counts[i]);
    }
    free(locality_counts);
}

/* --- Public ------------------------------------------------------------------------------------
 */

static void source_done(struct lb_source *s)
{
    edf_free(s->edf);
}

/* All but the hosts. */
static void set_drop_lists(struct priority_set *set)
{
    for (size_t i = 0; i < set->level_count; i++) {
        struct priority_level *level = &set->levels[i];

        source_done(&level->all);
        source_done(&level->healthy);
        source_done(&level->degraded);
        edf_free(level->locality_edf[0]);
        edf_free(level->locality_edf[1]);
        for (size_t j = 0; j < level->locality_count; j++) {
            source_done(&level->localities[j].healthy);
            source_done(&level->localities[j].degraded);
        }
    }
    arena_done(&set->arena);
    memset(set, 0, sizeof(*set));
}

void priority_set_init(struct priority_set *set, struct cluster *c,
                       const struct endpoint_set *endpoints, double panic_threshold,
                       struct priority_set *old)
{
    struct builder b = {.set = set, .cluster = c, .endpoints = endpoints};

    memset(set, 0, sizeof(*set));
    arena_init(&set->arena, NULL);
    set_make_levels(set, endpoints);
    if (endpoints != NULL) {
        builder_place(&b);
    }
    builder_make_hosts(&b, old);
    set->hosts = ARENA_ARRAY(&set->arena, struct host *, b.count);
    builder_size_lists(&b);
    builder_fill_lists(&b);
    free(b.placements);
    free(b.by_key);
    set_compute_loads(set, endpoints != NULL ? endpoints->overprovisioning_factor : 140,
                      endpoints != NULL && endpoints->weighted_priority_health, panic_threshold);
    if (old != NULL) {
        set_drop_lists(old);
    }
}

void priority_set_done(struct priority_set *set)
{
    for (size_t i = 0; i < set->host_count; i++) {
        host_detach(set->hosts[i]);
    }
    set_drop_lists(set);
}
