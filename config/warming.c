/*
 * Decides what is published: the largest set of accepted resources that is closed under "needs".
 * A listener waits for its route tables, a table for its clusters, a cluster for its endpoints;
 * no wait points upward. What is held keeps its old version in service. Removals go out when
 * nothing published names them any more, or when their bound has passed. Main thread.
 */

#include <stdlib.h>
#include <string.h>

#include "config/store_internal.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

/* Additions are published in this order, so that each finds what it needs already staged. */
static const enum part_kind ADD_ORDER[] = {PART_ENDPOINTS, PART_SECRET, PART_CLUSTER,
                                           PART_ROUTE_TABLE, PART_LISTENER};

void store_commit_soon(struct config_store *s)
{
    if (s->discovery != NULL) { /* else it was stopped: letting go publishes nothing */
        loop_task_schedule(s->params.loop, &s->commit_task);
    }
}

/* --- waiting ------------------------------------------------------------------------------ */

static void store_arm_hold_timer(struct config_store *s, uint64_t delay_ms)
{
    uint64_t now = loop_now_ms(s->params.loop);

    if (!timer_is_armed(&s->hold_timer) || s->hold_timer.deadline_ms > now + delay_ms) {
        timer_arm(s->params.loop, &s->hold_timer, delay_ms);
    }
}

/* Whether a part may be published although (or because) this name is as it is. Pure. */
static bool slot_is_satisfied(const struct config_store *s, const struct slot *slot)
{
    if (slot->resource != NULL && slot->resource->published != NULL) {
        return true;
    }
    if (slot->is_given_up) {
        return true;
    }
    /* Before the listeners are open nothing is in service: what the first CDS response lacks
     * counts as missing. */
    return slot->kind == PART_CLUSTER && !s->is_open && s->is_cds_answered &&
           (slot->resource == NULL || slot->resource->accepted == NULL);
}

struct dep_check {
    bool is_ready;
    const struct slot *waits_for;
};

static void dep_check_fn(struct config_store *s, struct slot *slot, void *user)
{
    struct dep_check *check = user;
    uint64_t now = loop_now_ms(s->params.loop);
    uint64_t hold_ms = s->params.missing_cluster_hold_ms;

    if (slot_is_satisfied(s, slot)) {
        /* Missing at start-up: not waited for after the listeners have opened either. */
        slot->is_given_up |= slot->resource == NULL || slot->resource->published == NULL;
        return;
    }
    /* Only a cluster name has a deadline of ours; the other kinds have their source's
     * initial_fetch_timeout, which arrives as config_store_give_up. It runs while the name is
     * unknown: a cluster that is there but warming is waited for as long as it warms. */
    if (slot->kind == PART_CLUSTER &&
        (slot->resource == NULL || slot->resource->accepted == NULL) && s->is_cds_answered) {
        if (slot->missing_since_ms == 0) {
            slot->missing_since_ms = now > 0 ? now : 1;
        }
        if (now >= slot->missing_since_ms + hold_ms) {
            slot->is_given_up = true;
            return;
        }
        store_arm_hold_timer(s, slot->missing_since_ms + hold_ms - now);
    }
    if (check->is_ready) {
        check->is_ready = false;
        check->waits_for = slot;
    }
}

static bool resource_is_ready(struct config_store *s, const struct resource *r)
{
    struct dep_check check = {.is_ready = true};

    store_each_dep(s, r->accepted, dep_check_fn, &check);
    return check.is_ready;
}

static void dep_first_wait_fn(struct config_store *s, struct slot *slot, void *user)
{
    const struct slot **first = user;

    if (*first == NULL && !slot_is_satisfied(s, slot)) {
        *first = slot;
    }
}

void resource_waits_for(const struct resource *r, struct strbuf *out)
{
    struct config_store *s = r->slot->store;
    const struct slot *first = NULL;

    if (r->accepted == NULL || r->accepted == r->published) {
        return;
    }
    store_each_dep(s, r->accepted, dep_first_wait_fn, &first);
    if (first != NULL) {
        strbuf_addf(out, "%s '%.*s'", part_kind_name(first->kind), STR_ARG(first->name));
    } else if (r->slot->kind == PART_LISTENER && !s->is_open) {
        strbuf_add_c(out, "initialization");
    }
}

/* --- staging ------------------------------------------------------------------------------ */

static void store_stage(struct config_store *s, enum part_kind kind, uint32_t slot,
                        const struct part *before, const struct part *after)
{
    if (s->staged_count == s->staged_cap) {
        s->staged_cap = s->staged_cap == 0 ? 16 : s->staged_cap * 2;
        s->staged = xreallocarray(s->staged, s->staged_cap, sizeof(*s->staged));
    }
    part_ref(before);
    part_ref(after);
    s->staged[s->staged_count++] =
        (struct snapshot_change){.kind = kind, .slot = slot, .before = before, .after = after};
}

/* What it lacks is published as missing, and not waited for again. */
static void dep_mark_missing_fn(struct config_store *s, struct slot *slot, void *user)
{
    (void)s;
    (void)user;
    if (slot->resource == NULL || slot->resource->published == NULL) {
        slot->is_given_up = true;
    }
}

/* The accepted version becomes the published one. */
static void store_stage_resource(struct config_store *s, struct resource *r)
{
    const struct part *before = r->published;

    store_stage(s, r->slot->kind, r->slot->index, before, r->accepted);
    r->published = r->accepted;
    r->held_since_ms = 0;
    list_remove(&r->pending_node);
    r->slot->missing_since_ms = 0;
    r->slot->is_given_up = false;
    store_each_dep(s, r->published, dep_mark_missing_fn, NULL);
    if (before == NULL) {
        return;
    }
    if (before->kind == PART_LISTENER && s->params.ops.listener_discard != NULL) {
        s->params.ops.listener_discard(s->params.ops.ctx, (const struct listener_config *)before);
    }
    if (before->kind == PART_CLUSTER && s->params.ops.cluster_stop != NULL) {
        s->params.ops.cluster_stop(s->params.ops.ctx, (const struct cluster_config *)before);
    }
    store_use_deps(s, before, -1);
    part_unref(before);
}

static bool store_stage_additions(struct config_store *s)
{
    bool any = false;

    for (size_t k = 0; k < ARRAY_LEN(ADD_ORDER); k++) {
        struct resource *r;

        if (ADD_ORDER[k] == PART_LISTENER && !s->is_open) {
            continue;
        }
        list_for_each (r, &s->pending[ADD_ORDER[k]], struct resource, pending_node) {
            /* On its way out before it came in: nobody names it any more. */
            if (!list_is_linked(&r->removal_node) && resource_is_ready(s, r)) {
                store_stage_resource(s, r);
                any = true;
            }
        }
    }
    return any;
}

/* Whether a withdrawn resource may go now. Parts that are published no more but still pinned count
 * as users: a connection that drains on its old filter chain still looks up that chain's table. */
static bool resource_may_go(struct config_store *s, const struct resource *r)
{
    uint64_t now = loop_now_ms(s->params.loop);
    bool is_mentioned = r->slot->refs > 1; /* one is the resource's own */
    uint64_t deadline;

    /* Endpoints go with the last cluster that uses them: a removed cluster that is still pinned
     * keeps the hosts it has. (A static set references its cluster, which mentions its slot:
     * waiting for the mention would be waiting for itself.) */
    if (r->slot->kind == PART_LISTENER || r->slot->kind == PART_ENDPOINTS || !is_mentioned) {
        return true;
    }
    if (r->slot->kind != PART_CLUSTER) {
        return false;
    }
    deadline = r->removed_at_ms + s->params.removed_cluster_hold_ms;
    if (now >= deadline) {
        return true;
    }
    store_arm_hold_timer(s, deadline - now);
    return false;
}

static void store_stage_removals(struct config_store *s)
{
    for (size_t k = ARRAY_LEN(ADD_ORDER); k-- > 0;) {
        struct resource *r;

        list_for_each (r, &s->removals[ADD_ORDER[k]], struct resource, removal_node) {
            if (!resource_may_go(s, r)) {
                continue;
            }
            if (r->published != NULL) {
                const struct part *gone = r->published;

                store_stage(s, r->slot->kind, r->slot->index, gone, NULL);
                if (gone->kind == PART_LISTENER && s->params.ops.listener_discard != NULL) {
                    s->params.ops.listener_discard(s->params.ops.ctx,
                                                   (const struct listener_config *)gone);
                }
                if (gone->kind == PART_CLUSTER && s->params.ops.cluster_stop != NULL) {
                    s->params.ops.cluster_stop(s->params.ops.ctx,
                                               (const struct cluster_config *)gone);
                }
            }
            store_resource_free(s, r);
        }
    }
}

static void store_publish_staged(struct config_store *s)
{
    struct snapshot *snap;

    if (s->staged_count == 0) {
        return;
    }
    snap = xcalloc(1, sizeof(*snap));
    snap->version = ++s->version;
    snap->changes = s->staged;
    snap->change_count = s->staged_count;
    s->staged = NULL;
    s->staged_count = 0;
    s->staged_cap = 0;
    log_debug(LOG_C_CONFIG, "version %llu: %zu change(s)", (unsigned long long)snap->version,
              snap->change_count);
    if (s->params.ops.publish != NULL) {
        s->params.ops.publish(s->params.ops.ctx, snap);
    } else {
        snapshot_free(snap);
    }
}

/* --- initialisation sequence: clusters, then listeners, then open ------------------------- */

/* First versions only: an update that is held does not delay start-up. */
static bool store_has_unready_first(struct config_store *s, enum part_kind kind)
{
    struct resource *r;

    list_for_each (r, &s->pending[kind], struct resource, pending_node) {
        if (r->published == NULL && !resource_is_ready(s, r)) {
            return true;
        }
    }
    return false;
}

static void store_advance_init(struct config_store *s)
{
    if (!s->is_started || s->is_open) {
        return;
    }
    if (!s->is_cds_answered || store_has_unready_first(s, PART_CLUSTER)) {
        return;
    }
    if (!s->are_clusters_ready) {
        s->are_clusters_ready = true;
        if (s->params.ops.clusters_ready != NULL) {
            s->params.ops.clusters_ready(s->params.ops.ctx);
        }
    }
    discovery_listeners_start(s);
    if (!s->is_lds_answered || store_has_unready_first(s, PART_ROUTE_TABLE) ||
        store_has_unready_first(s, PART_LISTENER)) {
        return;
    }
    s->is_open = true;
    (void)store_stage_additions(s);
    if (s->params.ops.initialized != NULL) {
        s->params.ops.initialized(s->params.ops.ctx);
    }
}

static void store_commit(struct config_store *s)
{
    (void)store_stage_additions(s);
    store_stage_removals(s);
    store_advance_init(s);
    store_publish_staged(s);
    discovery_sweep(s);
}

static void store_commit_task_run(struct loop_task *t)
{
    store_commit(container_of(t, struct config_store, commit_task));
}

static void store_hold_timer_fire(struct timer *t)
{
    store_commit(container_of(t, struct config_store, hold_timer));
}

void store_warming_init(struct config_store *s)
{
    loop_task_init(&s->commit_task, store_commit_task_run);
    timer_init(&s->hold_timer, store_hold_timer_fire);
}

void store_warming_done(struct config_store *s)
{
    loop_task_cancel(&s->commit_task);
    timer_cancel(s->params.loop, &s->hold_timer);
    for (size_t i = 0; i < s->staged_count; i++) {
        part_unref(s->staged[i].before);
        part_unref(s->staged[i].after);
    }
    s->staged_count = 0;
}
