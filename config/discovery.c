/*
 * Where resources come from: turns the names that accepted parts mention into subscriptions, and
 * responses into accepted or refused resources and the verdict for the control plane. Main thread.
 * No protocol here (xds/), no decision about publishing (warming.c).
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse/secret_key.h"
#include "config/store_internal.h"
#include "config/subscription_stats.h"
#include "config/xds_source.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

#define REFUSED_AGAIN_DELAY_MIN_MS 100
#define REFUSED_AGAIN_DELAY_MAX_MS 5000

/* One (kind, source) pair with its subscription. */
struct discovery_source {
    struct list node;
    struct config_store *store;
    enum part_kind kind;
    struct arena arena; /* of `source` */
    struct xds_source source;
    struct str only_for;                   /* one key; empty: whatever comes from there */
    uint64_t source_hash;                  /* in the keys of secrets */
    struct xds_subscription *subscription; /* NULL until the first name */
    uint32_t slot_count;                   /* slots that point here */
    /* The response refused last: an identical one is answered from here, slowly. */
    uint64_t refused_hash;
    char *refused_detail;
    uint64_t refused_delay_ms;
};

struct discovery {
    struct list sources;
    uint64_t generation; /* of the response being read: finds duplicates and absences */
    struct discovery_source *cds;
    struct discovery_source *lds;
    bool is_lds_subscribed;
};

/* --- sources ------------------------------------------------------------------------------ */

/* As Envoy, a secret that comes over a stream of its own has that for itself: agents on a node end
 * the stream for one that they do not have, and some serve one name a stream. */
static struct str sole_key(enum part_kind kind, const struct config_source *c, struct str key)
{
    return kind == PART_SECRET && c->kind == CONFIG_SOURCE_API ? key : STR("");
}

/* `key`: of the resource; empty: all of them. */
static struct discovery_source *discovery_source_get(struct config_store *s, enum part_kind kind,
                                                     const struct config_source *c, struct str key)
{
    struct str only_for = sole_key(kind, c, key);
    struct discovery_source *d;
    struct arena arena;
    struct xds_source x;

    arena_init(&arena, NULL);
    x = xds_source_from(c, &arena);
    list_for_each (d, &s->discovery->sources, struct discovery_source, node) {
        if (d->kind == kind && xds_source_eq(&d->source, &x) && str_eq(d->only_for, only_for)) {
            arena_done(&arena);
            return d;
        }
    }
    d = xcalloc(1, sizeof(*d));
    d->store = s;
    d->kind = kind;
    d->source_hash = config_source_hash(c);
    d->arena = arena;
    d->only_for = arena_str(&d->arena, only_for);
    d->source = x;
    list_add_tail(&s->discovery->sources, &d->node);
    return d;
}

static void discovery_source_free(struct discovery_source *d)
{
    if (d->subscription != NULL) {
        xds_subscription_close(d->subscription);
    }
    list_remove(&d->node);
    free(d->refused_detail);
    arena_done(&d->arena);
    free(d);
}

/* --- responses ---------------------------------------------------------------------------- */

/* Envoy's words in front of the list of refused resources. */
static const char *refusal_prefix(enum part_kind kind)
{
    switch (kind) {
    case PART_CLUSTER:
        return "Error adding/updating cluster(s) ";
    case PART_LISTENER:
        return "Error adding/updating listener(s) ";
    default:
        return "";
    }
}

/* The slots that a resource of some name from some source fills: one, but a secret for each use
 * that is made of it. */
struct named_slots {
    struct slot *slots[SECRET_KIND_COUNT];
    size_t count;
};

static void named_slots_add(struct named_slots *n, struct slot *slot)
{
    if (slot != NULL) {
        n->slots[n->count++] = slot;
    }
}

static struct named_slots named_slots(const struct discovery_source *d, struct str name)
{
    struct named_slots found = {.count = 0};
    struct arena scratch;

    if (d->kind != PART_SECRET) {
        named_slots_add(&found, store_slot_find(d->store, d->kind, name));
        return found;
    }
    arena_init(&scratch, &d->store->params.loop->arenas);
    for (int k = 0; k < SECRET_KIND_COUNT; k++) {
        struct str key = secret_key(&scratch, name, (enum secret_kind)k, d->source_hash);

        named_slots_add(&found, store_slot_find(d->store, d->kind, key));
    }
    arena_done(&scratch);
    return found;
}

struct response {
    struct discovery_source *source;
    const struct xds_update *update;
    struct xds_verdict *verdict;
    size_t refused;
    bool has_unnamed; /* a resource that cannot even be named: removals are not believed */
};

static bool kind_is_removable(enum part_kind kind)
{
    return kind == PART_CLUSTER || kind == PART_LISTENER;
}

/* Whether somebody named it as coming from here. Some servers answer more than was asked. */
static bool response_is_wanted(const struct response *rs, const struct slot *slot)
{
    return slot->users > 0 && slot->source == rs->source;
}

/* As Envoy: while nothing is in service yet, start-up goes on without what was refused. */
static void response_give_up(struct response *rs, const struct slot *slot)
{
    struct config_store *s = rs->source->store;

    if (!s->is_open && (slot->resource == NULL || slot->resource->accepted == NULL)) {
        config_store_give_up(s, slot->kind, slot->index);
    }
}

/* Remembers what was refused for the slot with that key. */
static void response_reject(struct response *rs, struct str key, const struct xds_resource *r,
                            const char *reason)
{
    store_reject(rs->source->store, rs->source->kind, key, r->bytes, r->len,
                 rs->update->version_info, reason);
}

static void response_refuse_text(struct response *rs, struct str name, const struct xds_resource *r,
                                 const char *reason)
{
    struct strbuf *detail = &rs->verdict->detail;

    strbuf_add_c(detail, rs->refused == 0 ? refusal_prefix(rs->source->kind) : ", ");
    if (name.len > 0) {
        strbuf_addf(detail, "%.*s: %s", STR_ARG(name), reason);
    } else {
        strbuf_addf(detail, "resources[%zu]: %s", (size_t)(r - rs->update->resources), reason);
    }
    rs->refused++;
}

static void response_refuse_slot(struct response *rs, struct slot *slot,
                                 const struct xds_resource *r, const char *reason)
{
    subscription_stats_count(slot, SUBSCRIPTION_UPDATE_REJECTED);
    response_reject(rs, slot->key, r, reason);
    response_give_up(rs, slot);
}

static void response_refuse(struct response *rs, struct str name, const struct xds_resource *r,
                            const char *reason)
{
    response_refuse_text(rs, name, r, reason);
    if (name.len > 0 && kind_is_removable(rs->source->kind)) {
        response_reject(rs, name, r, reason);
    } else if (name.len > 0) {
        struct named_slots found = named_slots(rs->source, name);

        for (size_t i = 0; i < found.count; i++) {
            if (response_is_wanted(rs, found.slots[i])) {
                response_refuse_slot(rs, found.slots[i], r, reason);
            }
        }
    }
}

/* True when the resource is of the subscribed type and has a name. */
static bool response_name(struct response *rs, const struct xds_resource *r, struct str *ret_name)
{
    const struct resource_type *t = resource_type_of(rs->source->kind);
    struct str own;

    if (r->undecodable || !str_eq(r->type_url, str_c(t->type_url))) {
        struct strbuf reason;

        strbuf_init(&reason);
        if (r->undecodable) {
            strbuf_addf(&reason, "resource cannot be decoded");
        } else {
            strbuf_addf(&reason, "%.*s does not match the wrong type URL %s", STR_ARG(r->type_url),
                        t->type_url);
        }
        rs->has_unnamed |= r->name.len == 0;
        response_refuse(rs, r->name, r, strbuf_str(&reason).ptr);
        strbuf_done(&reason);
        return false;
    }
    own = xds_message_name(r->bytes, r->len);
    if (own.len == 0) {
        own = r->name;
    }
    if (own.len == 0) {
        rs->has_unnamed = true;
        response_refuse(rs, own, r, "resource without a name, or not decodable");
        return false;
    }
    *ret_name = own;
    return true;
}

static bool resource_is_withdrawable(const struct resource *r)
{
    return r != NULL && !r->is_static && (r->accepted != NULL || r->rejection != NULL);
}

/* State of the world: what the response no longer names is gone. */
static void response_remove_absent(struct response *rs, const struct map *present)
{
    struct config_store *s = rs->source->store;
    struct slot_list *l = &s->slots[rs->source->kind];

    for (uint32_t i = 0; i < l->count; i++) {
        struct resource *r = l->by_index[i] != NULL ? l->by_index[i]->resource : NULL;

        if (!resource_is_withdrawable(r) || map_get(present, l->by_index[i]->name) != NULL) {
            continue;
        }
        if (r->accepted == NULL) {
            store_resource_free(s, r); /* only ever refused */
        } else {
            store_remove(s, r);
        }
    }
}

static void response_remove_named(struct response *rs)
{
    struct config_store *s = rs->source->store;

    for (size_t i = 0; i < rs->update->removed_count; i++) {
        const struct slot *slot = store_slot_find(s, rs->source->kind, rs->update->removed[i]);
        struct resource *r = slot != NULL ? slot->resource : NULL;

        if (!kind_is_removable(rs->source->kind)) {
            s->counters[rs->source->kind].ignored_removals++; /* as Envoy */
        } else if (resource_is_withdrawable(r)) {
            if (r->accepted == NULL) {
                store_resource_free(s, r);
            } else {
                store_remove(s, r);
            }
        }
    }
}

static struct str response_version(const struct response *rs, const struct xds_resource *r)
{
    return r->version.len > 0 ? r->version : rs->update->version_info;
}

/* Under the key; false when it was refused. */
static bool response_put_key(struct response *rs, struct str key, const struct xds_resource *r,
                             struct error *reterr)
{
    return store_put(rs->source->store, rs->source->kind, key, r->bytes, r->len,
                     response_version(rs, r), false, reterr) == 0;
}

static const struct part *slot_accepted(const struct slot *slot)
{
    return slot->resource != NULL ? slot->resource->accepted : NULL;
}

static void response_put_slots(struct response *rs, struct str name, const struct xds_resource *r)
{
    struct named_slots found = named_slots(rs->source, name);

    for (size_t i = 0; i < found.count; i++) {
        struct slot *slot = found.slots[i];
        const struct part *before = slot_accepted(slot);
        struct error err;

        if (!response_is_wanted(rs, slot)) {
            continue; /* ignored, as Envoy */
        }
        subscription_stats_count(slot, SUBSCRIPTION_UPDATE_ATTEMPT);
        error_init(&err);
        if (response_put_key(rs, slot->key, r, &err)) {
            subscription_stats_success(slot, response_version(rs, r),
                                       slot_accepted(slot) != before);
        } else {
            response_refuse_text(rs, name, r, error_message(&err));
            response_refuse_slot(rs, slot, r, error_message(&err));
        }
        error_done(&err);
    }
}

static void response_put(struct response *rs, struct str name, const struct xds_resource *r)
{
    struct error err;

    if (!kind_is_removable(rs->source->kind)) {
        response_put_slots(rs, name, r);
        return;
    }
    error_init(&err);
    if (!response_put_key(rs, name, r, &err)) {
        response_refuse(rs, name, r, error_message(&err));
    }
    error_done(&err);
}

/* Two passes: names first (duplicates, absences), then contents, so that an address given up by
 * a removed listener is free for a new one in the same response. */
static void response_apply(struct response *rs)
{
    const struct xds_update *u = rs->update;
    struct str *names = xcalloc(u->resource_count + 1, sizeof(*names));
    struct map present;

    map_init(&present);
    for (size_t i = 0; i < u->resource_count; i++) {
        struct str name;

        if (!response_name(rs, &u->resources[i], &name)) {
            if (u->resources[i].name.len > 0) {
                map_put(&present, u->resources[i].name, rs); /* named, though bad: not absent */
            }
            continue;
        }
        if (map_get(&present, name) != NULL) {
            struct strbuf reason;

            strbuf_init(&reason);
            strbuf_addf(&reason, "duplicate %s %.*s found", part_kind_name(rs->source->kind),
                        STR_ARG(name));
            response_refuse(rs, name, &u->resources[i], strbuf_str(&reason).ptr);
            strbuf_done(&reason);
            continue;
        }
        map_put(&present, name, rs);
        names[i] = name;
    }
    if (u->is_delta) {
        response_remove_named(rs);
    } else if (kind_is_removable(rs->source->kind) && !rs->has_unnamed) {
        response_remove_absent(rs, &present);
    }
    for (size_t i = 0; i < u->resource_count; i++) {
        if (names[i].len > 0) {
            response_put(rs, names[i], &u->resources[i]);
        }
    }
    map_done(&present);
    free(names);
}

static uint64_t hash_mix_str(uint64_t h, struct str part)
{
    h = hash_mix(h, &part.len, sizeof(part.len));
    return hash_mix(h, part.ptr, part.len);
}

static uint64_t update_hash(const struct xds_update *u)
{
    uint64_t h = u->resource_count;

    for (size_t i = 0; i < u->resource_count; i++) {
        const struct xds_resource *r = &u->resources[i];

        h = hash_mix_str(h, r->name);
        h = hash_mix_str(h, r->type_url);
        h = hash_mix_str(h, str_n((const char *)r->bytes, r->len));
    }
    for (size_t i = 0; i < u->removed_count; i++) {
        h = hash_mix_str(h, u->removed[i]);
    }
    return h;
}

static uint64_t refused_again_delay_ms(uint64_t before_ms)
{
    if (before_ms == 0) {
        return REFUSED_AGAIN_DELAY_MIN_MS;
    }
    return before_ms * 2 < REFUSED_AGAIN_DELAY_MAX_MS ? before_ms * 2 : REFUSED_AGAIN_DELAY_MAX_MS;
}

static void discovery_count_success(struct discovery_source *d, const struct xds_update *u)
{
    struct discovery_counters *n = &d->store->counters[d->kind];

    n->update_success++;
    n->config_reload++;
    n->update_time_ms = clock_wall_ns() / 1000000;
    free((void *)(uintptr_t)n->version.ptr);
    n->version = str_n(xstrndup(u->version_info.ptr, u->version_info.len), u->version_info.len);
}

static void discovery_mark_answered(struct discovery_source *d)
{
    struct config_store *s = d->store;

    if (d == s->discovery->cds) {
        s->is_cds_answered = true;
    } else if (d == s->discovery->lds) {
        s->is_lds_answered = true;
    }
    store_commit_soon(s);
}

/* A listener is also refused for what may pass, such as an address in use, a secret for its files.
 */
static bool kind_has_lasting_verdict(enum part_kind kind)
{
    return kind != PART_LISTENER && kind != PART_SECRET;
}

static void discovery_remember_refusal(struct discovery_source *d, uint64_t hash,
                                       const struct xds_verdict *v)
{
    free(d->refused_detail);
    d->refused_detail = xstrndup(v->detail.ptr, v->detail.len);
    d->refused_hash = hash;
}

static void discovery_forget_refusal(struct discovery_source *d)
{
    free(d->refused_detail);
    d->refused_detail = NULL;
}

static void discovery_on_update(void *user, const struct xds_update *u, struct xds_verdict *v)
{
    struct discovery_source *d = user;
    struct discovery_counters *n = &d->store->counters[d->kind];
    struct response rs = {.source = d, .update = u, .verdict = v};
    uint64_t hash = update_hash(u);
    bool is_again = d->refused_detail != NULL && d->refused_hash == hash;

    n->update_attempt++;
    d->refused_delay_ms = is_again ? refused_again_delay_ms(d->refused_delay_ms) : 0;
    if (is_again && kind_has_lasting_verdict(d->kind)) {
        strbuf_add_c(&v->detail, d->refused_detail);
        v->accepted = false;
    } else {
        response_apply(&rs);
        v->accepted = rs.refused == 0;
    }
    if (v->accepted) {
        discovery_forget_refusal(d);
        discovery_count_success(d, u);
    } else {
        n->update_rejected++;
        v->delay_ms = d->refused_delay_ms;
        discovery_remember_refusal(d, hash, v);
        LOG_AT(LOG_C_CONFIG, is_again ? LOG_DEBUG : LOG_WARN, "%s config rejected: %.*s",
               resource_type_of(d->kind)->type_url, STR_ARG(strbuf_str(&v->detail)));
    }
    discovery_mark_answered(d);
}

/* As Envoy, which has a subscription for each name. */
static void discovery_count_names(const struct discovery_source *d, enum subscription_stat counter)
{
    const struct slot_list *l = &d->store->slots[d->kind];

    for (uint32_t i = 0; i < l->count; i++) {
        if (l->by_index[i] != NULL && l->by_index[i]->source == d) {
            subscription_stats_count(l->by_index[i], counter);
        }
    }
}

static void discovery_on_error(void *user, struct str reason)
{
    struct discovery_source *d = user;

    discovery_count_names(d, SUBSCRIPTION_UPDATE_ATTEMPT);
    discovery_count_names(d, SUBSCRIPTION_UPDATE_FAILURE);
    d->store->counters[d->kind].update_attempt++;
    d->store->counters[d->kind].update_failure++;
    log_debug(LOG_C_CONFIG, "%s update failed: %.*s", part_kind_name(d->kind), STR_ARG(reason));
}

static void discovery_give_up(struct discovery_source *d, struct slot *slot, bool is_timeout)
{
    /* It may have come in a response that was refused for something else. */
    if (slot->source == d && (slot->resource == NULL || slot->resource->accepted == NULL)) {
        d->store->counters[d->kind].init_fetch_timeout += is_timeout;
        if (is_timeout) {
            subscription_stats_count(slot, SUBSCRIPTION_INIT_FETCH_TIMEOUT);
        } else if (slot->resource == NULL) { /* as Envoy: a file that lacks it is a bad one */
            subscription_stats_count(slot, SUBSCRIPTION_UPDATE_ATTEMPT);
            subscription_stats_count(slot, SUBSCRIPTION_UPDATE_REJECTED);
        }
        config_store_give_up(d->store, d->kind, slot->index);
    }
}

/* A file that lacks a name is such an end of waiting too, but no timeout. */
static void discovery_on_fetch_timeout(void *user, const struct str *names, size_t n)
{
    struct discovery_source *d = user;
    struct config_store *s = d->store;
    bool is_timeout = d->source.kind != XDS_SOURCE_PATH;

    if (n == 0) {
        s->counters[d->kind].init_fetch_timeout += is_timeout;
        discovery_mark_answered(d);
    }
    for (size_t i = 0; i < n; i++) {
        struct named_slots found = named_slots(d, names[i]);

        for (size_t k = 0; k < found.count; k++) {
            discovery_give_up(d, found.slots[k], is_timeout);
        }
    }
}

static const struct xds_subscriber discovery_subscriber = {
    .on_update = discovery_on_update,
    .on_error = discovery_on_error,
    .on_fetch_timeout = discovery_on_fetch_timeout,
};

/* --- subscriptions ------------------------------------------------------------------------ */

static void discovery_source_open(struct discovery_source *d, bool is_wildcard)
{
    if (d->subscription == NULL && d->store->params.xds != NULL) {
        d->store->counters[d->kind].update_attempt++; /* as Envoy: the first request is one */
        d->subscription = xds_subscribe(d->store->params.xds, &d->source,
                                        str_c(resource_type_of(d->kind)->type_url), is_wildcard,
                                        &discovery_subscriber, d);
    }
}

void discovery_forget_source(struct slot *slot)
{
    if (slot->source != NULL) {
        slot->source->slot_count--;
        slot->source = NULL;
    }
}

void discovery_set_source(struct config_store *s, struct slot *slot,
                          const struct config_source *source, struct str owner)
{
    struct discovery_source *d = discovery_source_get(s, slot->kind, source, slot->key);

    slot->fetch_timeout_ms = source->initial_fetch_timeout_ms;
    if (slot->source == d) {
        return;
    }
    /* One source per name: the newest mention wins, as the resource is stored by name. */
    discovery_unsubscribe(s, slot);
    discovery_forget_source(slot);
    slot->source = d;
    d->slot_count++;
    subscription_stats_open(slot, owner);
    if (slot->subscribers > 0) {
        discovery_subscribe(s, slot);
    }
}

void discovery_sweep(struct config_store *s)
{
    struct discovery *discovery = s->discovery;
    struct discovery_source *d;

    list_for_each (d, &discovery->sources, struct discovery_source, node) {
        if (d->slot_count == 0 && d != discovery->cds && d != discovery->lds) {
            discovery_source_free(d);
        }
    }
}

void discovery_subscribe(struct config_store *s, struct slot *slot)
{
    (void)s;
    if (slot->source == NULL || slot->is_subscribed) {
        return;
    }
    discovery_source_open(slot->source, false);
    if (slot->source->subscription != NULL) {
        xds_subscription_add(slot->source->subscription, slot->name, slot->fetch_timeout_ms);
        slot->is_subscribed = true;
        if (slot->source->source.kind != XDS_SOURCE_PATH) {
            subscription_stats_count(slot,
                                     SUBSCRIPTION_UPDATE_ATTEMPT); /* as Envoy: asking is one */
        }
        /* What was refused may hold this name too, ignored so far. */
        discovery_forget_refusal(slot->source);
    }
}

void discovery_unsubscribe(struct config_store *s, struct slot *slot)
{
    (void)s;
    if (slot->is_subscribed) {
        slot->is_subscribed = false;
        xds_subscription_remove(slot->source->subscription, slot->name);
    }
}

void discovery_listeners_start(struct config_store *s)
{
    struct discovery *d = s->discovery;

    if (d->lds != NULL && !d->is_lds_subscribed) {
        d->is_lds_subscribed = true;
        discovery_source_open(d->lds, true);
    }
}

void discovery_start(struct config_store *s, const struct config_source *cds,
                     const struct config_source *lds)
{
    struct discovery *d = s->discovery;

    s->is_started = true;
    if (cds != NULL && cds->kind != CONFIG_SOURCE_NONE) {
        d->cds = discovery_source_get(s, PART_CLUSTER, cds, STR(""));
        discovery_source_open(d->cds, true);
    } else {
        s->is_cds_answered = true;
    }
    if (lds != NULL && lds->kind != CONFIG_SOURCE_NONE) {
        d->lds = discovery_source_get(s, PART_LISTENER, lds, STR(""));
    } else {
        s->is_lds_answered = true;
    }
    store_commit_soon(s);
}

void config_store_start(struct config_store *s, const struct config_source *cds,
                        const struct config_source *lds)
{
    discovery_start(s, cds, lds);
}

void discovery_new(struct config_store *s)
{
    s->discovery = xcalloc(1, sizeof(*s->discovery));
    list_init(&s->discovery->sources);
}

void discovery_free(struct config_store *s)
{
    struct discovery_source *d;

    /* Slots keep pointing at their source until they die; they must not use it any more. */
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        for (uint32_t i = 0; i < s->slots[k].count; i++) {
            if (s->slots[k].by_index[i] != NULL) {
                s->slots[k].by_index[i]->is_subscribed = false;
                s->slots[k].by_index[i]->source = NULL;
            }
        }
        free((void *)(uintptr_t)s->counters[k].version.ptr);
        s->counters[k].version = STR_NONE;
    }
    list_for_each (d, &s->discovery->sources, struct discovery_source, node) {
        discovery_source_free(d);
    }
    free(s->discovery);
    s->discovery = NULL;
}
