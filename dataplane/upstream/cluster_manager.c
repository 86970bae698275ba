/*
 * A thread's clusters by slot, made at their first use and changed by diff. One thread; server/
 * applies changes between two callbacks.
 */

#include "dataplane/upstream/cluster_manager.h"

#include <stdlib.h>

#include "config/model/part_handle.h"
#include "config/model/route.h"
#include "config/model/snapshot.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/upstream.h"

#define SLOTS_STEP 64

/* Grows an array of pointers so that `slot` is inside. */
static struct cluster **slots_grow(struct cluster **slots, uint32_t *count, uint32_t slot)
{
    uint32_t more = slot + 1 + slot / 2 + SLOTS_STEP;

    if (slot < *count) {
        return slots;
    }
    slots = xreallocarray(slots, more, sizeof(*slots));
    memset(slots + *count, 0, (more - *count) * sizeof(*slots));
    *count = more;
    return slots;
}

struct cluster_manager *cluster_manager_new(struct thread_context *t)
{
    struct cluster_manager *cm = xcalloc(1, sizeof(*cm));

    cm->thread = t;
    map_init(&cm->names);
    return cm;
}

/* --- Which cluster uses which endpoint set ------------------------------------------------------
 */

static void manager_add_user(struct cluster_manager *cm, struct cluster *c)
{
    uint32_t slot = c->config->endpoints_slot;

    cm->endpoint_users = slots_grow(cm->endpoint_users, &cm->endpoint_user_count, slot);
    c->next_user = cm->endpoint_users[slot];
    cm->endpoint_users[slot] = c;
}

static void manager_remove_user(struct cluster_manager *cm, struct cluster *c)
{
    struct cluster **at = &cm->endpoint_users[c->config->endpoints_slot];

    while (*at != c) {
        at = &(*at)->next_user;
    }
    *at = c->next_user;
    c->next_user = NULL;
}

/* --- Clusters ------------------------------------------------------------------------------------
 */

static struct part_handle *manager_endpoints(struct cluster_manager *cm,
                                             const struct part_handle *config)
{
    const struct cluster_config *c = (const struct cluster_config *)config->part;

    return part_table_get(cm->thread->parts, PART_ENDPOINTS, c->endpoints_slot);
}

/* Takes the place of `old` (NULL: none) in its slot. */
static struct cluster *manager_make(struct cluster_manager *cm, uint32_t slot,
                                    struct part_handle *config, struct cluster *old)
{
    struct cluster *c;

    cm->clusters = slots_grow(cm->clusters, &cm->cluster_count, slot);
    if (old != NULL) {
        manager_remove_user(cm, old);
    }
    c = cluster_new(cm->thread, config, manager_endpoints(cm, config), old);
    cm->clusters[slot] = c;
    manager_add_user(cm, c);
    if (old != NULL) {
        cluster_retire(old, c);
    }
    return c;
}

struct cluster *cluster_manager_get(struct cluster_manager *cm, uint32_t slot)
{
    struct part_handle *config;

    if (NUNCIO_LIKELY(slot < cm->cluster_count && cm->clusters[slot] != NULL)) {
        return cm->clusters[slot];
    }
    config = part_table_get(cm->thread->parts, PART_CLUSTER, slot);
    return config != NULL ? manager_make(cm, slot, config, NULL) : NULL;
}

static void manager_drop(struct cluster_manager *cm, uint32_t slot)
{
    struct cluster *c = cm->clusters[slot];

    cm->clusters[slot] = NULL;
    manager_remove_user(cm, c);
    cluster_retire(c, NULL);
}

void cluster_manager_free(struct cluster_manager *cm)
{
    if (cm == NULL) {
        return;
    }
    for (uint32_t i = 0; i < cm->cluster_count; i++) {
        if (cm->clusters[i] != NULL) {
            manager_drop(cm, i);
        }
    }
    free(cm->clusters);
    free(cm->endpoint_users);
    map_done(&cm->names);
    free(cm);
}

/* --- By name -------------------------------------------------------------------------------------
 */

/* Values are slot + 1, so that none is NULL. Keys lie in the parts, which the table pins. */
static void manager_learn_name(struct cluster_manager *cm, const struct part *p)
{
    (void)map_put(&cm->names, ((const struct cluster_config *)p)->name,
                  (void *)((uintptr_t)p->slot + 1));
}

struct cluster *cluster_manager_find(struct cluster_manager *cm, struct str name)
{
    const struct part_table *t = cm->thread->parts;
    void *found;

    if (!cm->has_names) {
        for (uint32_t i = 0; i < t->count[PART_CLUSTER]; i++) {
            const struct part_handle *h = part_table_get(t, PART_CLUSTER, i);

            if (h != NULL) {
                manager_learn_name(cm, h->part);
            }
        }
        cm->has_names = true;
    }
    found = map_get(&cm->names, name);
    return found != NULL ? cluster_manager_get(cm, (uint32_t)((uintptr_t)found - 1)) : NULL;
}

struct cluster *cluster_manager_routed(struct cluster_manager *cm, const struct route_forward *fwd,
                                       const struct weighted_cluster *w,
                                       const struct header_map *request, struct str *ret_name)
{
    struct str header = w != NULL ? w->cluster_header : fwd->cluster_header;
    const struct header *value;

    if (header.len == 0) {
        *ret_name = w != NULL ? w->name : fwd->cluster_name;
        return cluster_manager_get(cm, w != NULL ? w->slot : fwd->cluster_slot);
    }
    value = header_find_name(request, header);
    *ret_name = value != NULL ? value->value : STR("");
    return cluster_manager_find(cm, *ret_name);
}

static void manager_apply_name(struct cluster_manager *cm, const struct snapshot_change *c)
{
    if (!cm->has_names) {
        return;
    }
    if (c->before != NULL) { /* its key goes with it */
        (void)map_remove(&cm->names, ((const struct cluster_config *)c->before)->name);
    }
    if (c->after != NULL) {
        manager_learn_name(cm, c->after);
    }
}

/* --- Changes -------------------------------------------------------------------------------------
 */

static void manager_apply_cluster(struct cluster_manager *cm, const struct snapshot_change *c)
{
    struct cluster *old = c->slot < cm->cluster_count ? cm->clusters[c->slot] : NULL;

    manager_apply_name(cm, c);
    if (old == NULL) {
        return; /* made when asked for */
    }
    if (c->after == NULL) {
        manager_drop(cm, c->slot);
    } else {
        (void)manager_make(cm, c->slot, part_table_get(cm->thread->parts, PART_CLUSTER, c->slot),
                           old);
    }
}

static void manager_apply_endpoints(struct cluster_manager *cm, const struct snapshot_change *c)
{
    struct part_handle *h =
        c->after != NULL ? part_table_get(cm->thread->parts, PART_ENDPOINTS, c->slot) : NULL;
    struct cluster *user = c->slot < cm->endpoint_user_count ? cm->endpoint_users[c->slot] : NULL;

    for (; user != NULL; user = user->next_user) {
        cluster_set_endpoints(user, h);
    }
}

void cluster_manager_apply(struct cluster_manager *cm, const struct snapshot_change *c)
{
    if (c->kind == PART_CLUSTER) {
        manager_apply_cluster(cm, c);
    } else if (c->kind == PART_ENDPOINTS) {
        manager_apply_endpoints(cm, c);
    }
}
