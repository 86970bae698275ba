/* Choosing priority, source, locality and host. See lb.h; nothing here knows about connections. */

#include "dataplane/upstream/lb.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/priority_set.h"
#include "dataplane/upstream/upstream.h"

/* --- Earliest deadline first ------------------------------------------------------------- */

static bool edf_less(const struct heap_node *a, const struct heap_node *b)
{
    const struct edf_entry *x = (const struct edf_entry *)a;
    const struct edf_entry *y = (const struct edf_entry *)b;

    return x->deadline < y->deadline || (x->deadline == y->deadline && x->order < y->order);
}

struct edf *edf_new(void *const *items, size_t count, edf_weight_fn *weight, const void *user,
                    struct rng *rng)
{
    struct edf *e = xcalloc(1, sizeof(*e) + count * sizeof(e->entries[0]));

    heap_init(&e->heap, edf_less);
    for (size_t i = 0; i < count; i++) {
        struct edf_entry *entry = &e->entries[e->count];
        double w = weight(items[i], user);

        if (w <= 0) {
            continue;
        }
        *entry = (struct edf_entry){.node = {HEAP_NONE},
                                    .deadline = rng_unit(rng) / w,
                                    .order = e->next_order++,
                                    .item = items[i]};
        heap_insert(&e->heap, &entry->node);
        e->count++;
    }
    if (e->count == 0) {
        edf_free(e);
        return NULL;
    }
    return e;
}

void edf_free(struct edf *e)
{
    if (e != NULL) {
        heap_done(&e->heap);
        free(e);
    }
}

void *edf_pick(struct edf *e, edf_weight_fn *weight, const void *user)
{
    struct edf_entry *entry = (struct edf_entry *)heap_min(&e->heap);

    entry->deadline += 1 / weight(entry->item, user);
    entry->order = e->next_order++;
    heap_update(&e->heap, &entry->node);
    return entry->item;
}

/* --- Sources ------------------------------------------------------------------------------- */

static const struct lb_policy *lb_policy_of(enum lb_kind k)
{
    switch (k) {
    case LB_ROUND_ROBIN:
        return &lb_round_robin;
    case LB_LEAST_REQUEST:
        return &lb_least_request;
    case LB_RANDOM:
        return &lb_random;
    }
    CHECK(false);
    return NULL;
}

static void lb_source_prepare(struct lb_source *s, const struct lb_policy *policy,
                              const struct lb_config *c, struct rng *rng)
{
    s->state = LB_SOURCE_EQUAL;
    for (uint32_t i = 1; policy->weight != NULL && i < s->count; i++) {
        if (s->hosts[i]->weight != s->hosts[0]->weight) {
            s->edf = edf_new((void *const *)s->hosts, s->count, policy->weight, c, rng);
            s->state = LB_SOURCE_WEIGHTED;
            return;
        }
    }
    s->cursor = (uint32_t)rng_below(rng, s->count);
}

static struct host *lb_source_pick(struct lb_source *s, const struct lb_config *c, struct rng *rng)
{
    const struct lb_policy *policy = lb_policy_of(c->kind);

    if (s->count == 0) {
        return NULL;
    }
    if (NUNCIO_UNLIKELY(s->state == LB_SOURCE_FRESH)) {
        lb_source_prepare(s, policy, c, rng);
    }
    if (s->state == LB_SOURCE_EQUAL) {
        return policy->pick_equal(s, c, rng);
    }
    return edf_pick(s->edf, policy->weight, c);
}

/* --- Priority and locality ----------------------------------------------------------------- */

enum lb_availability { LB_HEALTHY, LB_DEGRADED };

/* As Envoy: one roll over the loads of healthy, then of degraded hosts. */
static struct priority_level *lb_choose_level(struct priority_set *set,
                                              const struct lb_context *ctx, struct rng *rng,
                                              enum lb_availability *ret_availability)
{
    uint64_t hash;
    uint32_t roll;
    uint32_t sum = 0;

    *ret_availability = LB_HEALTHY;
    if (NUNCIO_LIKELY(set->levels[0].healthy_load == 100)) {
        return &set->levels[0];
    }
    hash = ctx != NULL && ctx->has_hash ? ctx->hash : rng_next(rng);
    roll = (uint32_t)(hash % 100) + 1;
    for (size_t i = 0; i < set->level_count; i++) {
        sum += set->levels[i].healthy_load;
        if (roll <= sum) {
            return &set->levels[i];
        }
    }
    *ret_availability = LB_DEGRADED;
    for (size_t i = 0; i < set->level_count; i++) {
        sum += set->levels[i].degraded_load;
        if (roll <= sum) {
            return &set->levels[i];
        }
    }
    /* Loads add up to 100; not so only when there is no host at all. */
    *ret_availability = LB_HEALTHY;
    return &set->levels[0];
}

static double healthy_locality_weight(const void *item, const void *user)
{
    (void)user;
    return ((const struct locality_hosts *)item)->effective_weight[LB_HEALTHY];
}

static double degraded_locality_weight(const void *item, const void *user)
{
    (void)user;
    return ((const struct locality_hosts *)item)->effective_weight[LB_DEGRADED];
}

/* NULL: localities play no part. */
static struct locality_hosts *lb_choose_locality(struct priority_level *level,
                                                 enum lb_availability a, struct rng *rng)
{
    edf_weight_fn *weight = a == LB_HEALTHY ? healthy_locality_weight : degraded_locality_weight;

    if (!level->is_locality_edf_built[a]) {
        void **items = xcalloc(level->locality_count + 1, sizeof(*items));

        for (size_t i = 0; i < level->locality_count; i++) {
            items[i] = &level->localities[i];
        }
        level->locality_edf[a] = edf_new(items, level->locality_count, weight, NULL, rng);
        level->is_locality_edf_built[a] = true;
        free(items);
    }
    return level->locality_edf[a] != NULL ? edf_pick(level->locality_edf[a], weight, NULL) : NULL;
}

static struct host *lb_pick_once(struct priority_set *set, const struct lb_config *c,
                                 const struct lb_context *ctx, struct rng *rng, bool *ret_panic)
{
    enum lb_availability a;
    struct priority_level *level = lb_choose_level(set, ctx, rng, &a);
    struct locality_hosts *l = NULL;

    *ret_panic = level->is_panic;
    if (level->is_panic) {
        return lb_source_pick(&level->all, c, rng);
    }
    if (c->locality_weighted && level->has_locality_weights) {
        l = lb_choose_locality(level, a, rng);
    }
    if (a == LB_DEGRADED) {
        return lb_source_pick(l != NULL ? &l->degraded : &level->degraded, c, rng);
    }
    return lb_source_pick(l != NULL ? &l->healthy : &level->healthy, c, rng);
}

struct host *lb_pick(struct priority_set *set, const struct lb_config *c,
                     const struct lb_context *ctx, struct rng *rng, bool *ret_panic)
{
    struct host *h = lb_pick_once(set, c, ctx, rng, ret_panic);

    /* As Envoy's host_selection_retry_max_attempts, 1 by default: then the unwanted one is taken
     * after all. */
    if (h != NULL && ctx != NULL && ctx->avoid != NULL && ctx->avoid(ctx->user, h)) {
        h = lb_pick_once(set, c, ctx, rng, ret_panic);
    }
    return h;
}
