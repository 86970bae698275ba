/*
 * Names, slots and versions of every resource. Main thread. Does not decide what is published
 * (warming.c) nor where resources come from (discovery.c).
 */

#include "config/store.h"

#include <stdlib.h>
#include <string.h>

#include "config/parse/canonical.h"
#include "config/parse/secret_key.h"
#include "config/parse/tls_secret.h"
#include "config/pb_unpack.h"
#include "config/secret_files.h"
#include "config/store_internal.h"
#include "config/subscription_stats.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

#define SLOT_TRIM_COUNT 1024

/* --- slots -------------------------------------------------------------------------------- */

struct slot *store_slot_at(const struct config_store *s, enum part_kind kind, uint32_t index)
{
    const struct slot_list *l = &s->slots[kind];

    return index < l->count ? l->by_index[index] : NULL;
}

static uint32_t slot_list_take_index(struct slot_list *l)
{
    if (l->free_count > 0) {
        return l->free_indexes[--l->free_count];
    }
    if (l->count == l->cap) {
        l->cap = l->cap < 16 ? 16 : l->cap * 2;
        l->by_index = xreallocarray(l->by_index, l->cap, sizeof(*l->by_index));
    }
    return l->count++;
}

struct slot *store_slot_find(const struct config_store *s, enum part_kind kind, struct str key)
{
    return map_get(&s->slots[kind].by_key, key);
}

struct slot *store_slot_get(struct config_store *s, enum part_kind kind, struct str key)
{
    struct slot_list *l = &s->slots[kind];
    struct slot *slot = map_get(&l->by_key, key);

    if (slot != NULL) {
        return slot;
    }
    slot = xcalloc(1, sizeof(*slot) + key.len + 1);
    memcpy(slot + 1, key.ptr, key.len);
    slot->store = s;
    slot->kind = kind;
    slot->key = str_n((const char *)(slot + 1), key.len);
    slot->name = secret_key_name(slot->key);
    slot->index = slot_list_take_index(l);
    l->by_index[slot->index] = slot;
    map_put(&l->by_key, slot->key, slot);
    return slot;
}

/* Gives back the end of the arrays that nobody uses any more. Numbers in use stay. */
static void slot_list_trim(struct slot_list *l)
{
    uint32_t kept = 0;

    if (l->count < SLOT_TRIM_COUNT || l->free_count < l->count - l->count / 4 ||
        l->by_index[l->count - 1] != NULL) {
        return;
    }
    while (l->count > 0 && l->by_index[l->count - 1] == NULL) {
        l->count--;
    }
    for (uint32_t i = 0; i < l->free_count; i++) {
        if (l->free_indexes[i] < l->count) {
            l->free_indexes[kept++] = l->free_indexes[i];
        }
    }
    l->free_count = kept;
    l->cap = l->count;
    l->by_index = xreallocarray(l->by_index, l->cap + 1, sizeof(*l->by_index));
    l->free_cap = kept;
    l->free_indexes = xreallocarray(l->free_indexes, kept + 1, sizeof(*l->free_indexes));
}

void store_slot_unref(struct slot *slot)
{
    struct slot_list *l = &slot->store->slots[slot->kind];

    CHECK(slot->refs > 0);
    if (--slot->refs > 0) {
        if (slot->refs == 1 && slot->resource != NULL &&
            list_is_linked(&slot->resource->removal_node)) {
            store_commit_soon(slot->store); /* the last part that named it is gone */
        }
        return;
    }
    CHECK(slot->resource == NULL && slot->users == 0 && slot->subscribers == 0);
    discovery_forget_source(slot);
    subscription_stats_close(slot);
    map_remove(&l->by_key, slot->key);
    l->by_index[slot->index] = NULL;
    if (l->free_count == l->free_cap) {
        l->free_cap = l->free_cap == 0 ? 16 : l->free_cap * 2;
        l->free_indexes = xreallocarray(l->free_indexes, l->free_cap, sizeof(*l->free_indexes));
    }
    l->free_indexes[l->free_count++] = slot->index;
    free(slot);
    slot_list_trim(l);
}

static uint32_t store_resolve_slot(struct slot_resolver *r, enum part_kind kind, struct str key)
{
    return store_slot_get(container_of(r, struct config_store, resolver), kind, key)->index;
}

static bool store_has_resource(struct slot_resolver *r, enum part_kind kind, struct str key)
{
    return config_store_has(container_of(r, struct config_store, resolver), kind, key);
}

static const struct part *store_accepted(struct slot_resolver *r, enum part_kind kind,
                                         uint32_t index)
{
    const struct slot *slot =
        store_slot_at(container_of(r, struct config_store, resolver), kind, index);

    return slot != NULL && slot->resource != NULL ? slot->resource->accepted : NULL;
}

/* --- what a part names -------------------------------------------------------------------- */

static void store_each_own_dep(struct config_store *s, const struct part *p,
                               void (*fn)(struct config_store *s, struct slot *slot, void *user),
                               void *user)
{
    for (size_t i = 0; i < p->dep_count; i++) {
        struct slot *slot = store_slot_at(s, p->deps[i].kind, p->deps[i].slot);

        CHECK(slot != NULL);
        fn(s, slot, user);
    }
}

void store_each_dep(struct config_store *s, const struct part *p,
                    void (*fn)(struct config_store *s, struct slot *slot, void *user), void *user)
{
    store_each_own_dep(s, p, fn, user);
    if (p->kind == PART_LISTENER) {
        const struct listener_config *l = (const struct listener_config *)p;

        for (size_t i = 0; i < l->chain_count; i++) {
            store_each_own_dep(s, &l->chains[i]->part, fn, user);
        }
        if (l->default_chain != NULL) {
            store_each_own_dep(s, &l->default_chain->part, fn, user);
        }
    }
}

/* A live part holds the slots that it mentions by number, whatever becomes of the names. */
struct dep_hold {
    struct config_store *store;
    const struct part *part;
};

static void slot_ref_fn(struct config_store *s, struct slot *slot, void *user)
{
    (void)s;
    (void)user;
    slot->refs++;
}

static void slot_unref_fn(struct config_store *s, struct slot *slot, void *user)
{
    (void)s;
    (void)user;
    store_slot_unref(slot);
}

static void dep_hold_release(void *object)
{
    struct dep_hold *h = object;

    store_each_own_dep(h->store, h->part, slot_unref_fn, NULL);
}

static void store_hold_deps(struct config_store *s, struct part *p)
{
    struct dep_hold *h;

    if (p->dep_count == 0) {
        return;
    }
    h = ARENA_NEW(&p->arena, struct dep_hold);
    h->store = s;
    h->part = p;
    store_each_own_dep(s, p, slot_ref_fn, NULL);
    part_on_free(p, dep_hold_release, h);
}

/* Filter chains are parts of their own, made inside the listener's parser. */
static void store_resolver_hold(struct slot_resolver *r, struct part *p)
{
    store_hold_deps(container_of(r, struct config_store, resolver), p);
}

static bool kind_is_by_name(enum part_kind kind)
{
    return kind != PART_CLUSTER && kind != PART_LISTENER;
}

static void slot_use_fn(struct config_store *s, struct slot *slot, void *user)
{
    struct resource *r = slot->resource;

    slot->users += (uint32_t) * (const int *)user;
    if (slot->users == 0) {
        slot->missing_since_ms = 0;
        slot->is_given_up = false;
    }
    /* EDS, RDS and SDS resources live as long as something names them; secrets of the bootstrap for
     * good. */
    if (r == NULL || !kind_is_by_name(slot->kind) || r->is_static) {
        return;
    }
    if (slot->users > 0) {
        list_remove(&r->removal_node);
    } else if (!list_is_linked(&r->removal_node)) {
        list_add_tail(&s->removals[slot->kind], &r->removal_node);
        store_commit_soon(s);
    }
}

static void slot_subscribe_fn(struct config_store *s, struct slot *slot, void *user)
{
    int delta = *(const int *)user;

    slot->subscribers += (uint32_t)delta;
    if (slot->subscribers == 0) {
        discovery_unsubscribe(s, slot);
    } else if (delta > 0 && slot->subscribers == 1) {
        discovery_subscribe(s, slot);
    }
}

/* Of a published version whose resource was withdrawn: it stays in use, but asks for nothing. */
static void store_subscribe_deps(struct config_store *s, const struct part *p, int delta)
{
    store_each_dep(s, p, slot_subscribe_fn, &delta);
}

static void store_count_users(struct config_store *s, const struct part *p, int delta)
{
    store_each_dep(s, p, slot_use_fn, &delta);
}

void store_use_deps(struct config_store *s, const struct part *p, int delta)
{
    store_count_users(s, p, delta);
    store_subscribe_deps(s, p, delta);
}

/* --- resources ---------------------------------------------------------------------------- */

struct resource *store_resource_of(struct slot *slot)
{
    struct resource *r = slot->resource;

    if (r == NULL) {
        r = xcalloc(1, sizeof(*r));
        r->slot = slot;
        list_init(&r->pending_node);
        list_init(&r->removal_node);
        slot->resource = r;
        slot->refs++;
    }
    return r;
}

static void rejection_free(struct resource_rejection *x)
{
    if (x != NULL) {
        free(x->details);
        free(x->version);
        free(x->bytes);
        free(x);
    }
}

static void resource_forget_rejection(struct resource *r)
{
    rejection_free(r->rejection);
    r->rejection = NULL;
    secret_files_free(r->refused_files);
    r->refused_files = NULL;
}

static void unsupported_report_free(struct unsupported_report *u)
{
    if (u != NULL) {
        for (size_t i = 0; i < u->count; i++) {
            free(u->paths[i]);
        }
        free(u->paths);
        free(u);
    }
}

void store_resource_free(struct config_store *s, struct resource *r)
{
    struct slot *slot = r->slot;

    list_remove(&r->pending_node);
    list_remove(&r->removal_node);
    if (r->accepted != NULL && r->accepted != r->published) {
        store_use_deps(s, r->accepted, -1);
        part_unref(r->accepted);
    }
    if (r->published != NULL) {
        store_count_users(s, r->published, -1);
        if (r->removed_at_ms == 0) {
            store_subscribe_deps(s, r->published, -1);
        }
        part_unref(r->published);
    }
    rejection_free(r->rejection);
    unsupported_report_free(r->unsupported);
    secret_files_free(r->files);
    secret_files_free(r->refused_files);
    free(r->bytes);
    free(r->version);
    free(r);
    slot->resource = NULL;
    store_slot_unref(slot);
}

static void resource_set_version(struct resource *r, struct str version)
{
    free(r->version);
    r->version = xstrndup(version.ptr, version.len);
    r->updated_wall_ns = clock_wall_ns();
}

static void store_cluster_event(struct config_store *s, const struct part *p, bool is_start)
{
    const struct cluster_config *c = (const struct cluster_config *)p;

    if (p->kind != PART_CLUSTER) {
        return;
    }
    if (is_start && s->params.ops.cluster_start != NULL) {
        s->params.ops.cluster_start(s->params.ops.ctx, c);
    } else if (!is_start && s->params.ops.cluster_stop != NULL) {
        s->params.ops.cluster_stop(s->params.ops.ctx, c);
    }
}

/* Drops an accepted part that was never published. */
static void resource_drop_unpublished(struct config_store *s, struct resource *r)
{
    const struct part *old = r->accepted;

    if (old == NULL || old == r->published) {
        return;
    }
    if (old->kind == PART_LISTENER && s->params.ops.listener_discard != NULL) {
        s->params.ops.listener_discard(s->params.ops.ctx, (const struct listener_config *)old);
    }
    store_cluster_event(s, old, false);
    r->accepted = r->published;
    store_use_deps(s, old, -1);
    part_unref(old);
}

/* It was withdrawn and is there again. */
static void resource_come_back(struct config_store *s, struct resource *r)
{
    if (r->removed_at_ms != 0) {
        r->removed_at_ms = 0;
        list_remove(&r->removal_node);
        if (r->published != NULL) {
            store_subscribe_deps(s, r->published, 1);
        }
    }
}

void store_accept_part(struct config_store *s, struct slot *slot, const struct part *take_part)
{
    struct resource *r = store_resource_of(slot);
    const struct part *unpublished = r->accepted != r->published ? r->accepted : NULL;

    /* Names of the new version are used before those of the old one are let go, so that what
     * both mention is never unsubscribed in between. */
    store_use_deps(s, take_part, 1);
    if (unpublished != NULL) {
        resource_drop_unpublished(s, r);
    }
    resource_come_back(s, r);
    r->accepted = take_part;
    if (!list_is_linked(&r->pending_node)) {
        list_add_tail(&s->pending[slot->kind], &r->pending_node);
        r->held_since_ms = loop_now_ms(s->params.loop);
    }
    store_cluster_event(s, take_part, true);
    store_commit_soon(s);
}

void store_reject(struct config_store *s, enum part_kind kind, struct str key, const uint8_t *bytes,
                  size_t len, struct str version, const char *details)
{
    struct resource *r = store_resource_of(store_slot_get(s, kind, key));
    struct resource_rejection *x = xcalloc(1, sizeof(*x));

    x->details = xstrdup(details);
    x->version = xstrndup(version.ptr, version.len);
    x->wall_ns = clock_wall_ns();
    if (len > 0) {
        x->bytes = xmalloc(len);
        memcpy(x->bytes, bytes, len);
        x->len = len;
    }
    rejection_free(r->rejection);
    r->rejection = x;
}

static struct unsupported_report *unsupported_report_new(const struct parse_context *ctx)
{
    struct unsupported_report *u;

    if (ctx->unsupported_count == 0) {
        return NULL;
    }
    u = xcalloc(1, sizeof(*u));
    u->paths = xcalloc(ctx->unsupported_count, sizeof(*u->paths));
    for (const struct unsupported_field *f = ctx->unsupported; f != NULL; f = f->next) {
        struct strbuf line;

        if (u->count == ctx->unsupported_count) {
            break;
        }
        strbuf_init(&line);
        strbuf_addf(&line, "%.*s (%.*s)", STR_ARG(f->path), STR_ARG(f->message));
        u->paths[u->count++] = strbuf_take(&line);
    }
    return u;
}

/* Turns one message into a part that may be accepted; on success the caller owns it. */
static int store_parse(struct config_store *s, struct slot *slot, const ProtobufCMessage *msg,
                       const struct part *previous, bool is_static, struct part **ret_part,
                       struct unsupported_report **ret_unsupported, struct error *reterr)
{
    enum part_kind kind = slot->kind;
    const struct resource_type *t = resource_type_of(kind);
    struct parse_context ctx;
    struct part *part = part_new(t->part_bytes, kind, slot->name);
    int r;

    part->slot = slot->index;
    parse_context_init(&ctx, part, s->params.registry, &s->resolver, reterr);
    ctx.is_static = is_static;
    ctx.is_strict = s->params.is_strict;
    ctx.rejects_unknown =
        is_static ? !s->params.allows_unknown_static : s->params.rejects_unknown_dynamic;
    ctx.stats = s->params.stats;
    ctx.access_logs = s->params.access_logs;
    ctx.tls = s->params.tls;
    ctx.secret_kind = kind == PART_SECRET ? secret_key_kind(slot->key) : 0;
    ctx.local_ip = s->params.local_ip;
    r = parse_check_tree(&ctx, msg);
    if (r == 0) {
        r = t->parse(&ctx, msg, previous);
    }
    if (r == 0 && kind == PART_LISTENER && s->params.ops.listener_prepare != NULL) {
        r = s->params.ops.listener_prepare(s->params.ops.ctx, (const struct listener_config *)part,
                                           (const struct listener_config *)previous, reterr);
    }
    for (size_t i = 0; r == 0 && i < ctx.subscription_count; i++) {
        struct subscription_ref *ref = &ctx.subscriptions[i];

        discovery_set_source(s, store_slot_get(s, ref->kind, ref->name), ref->source, ref->owner);
    }
    if (kind == PART_SECRET && !is_static) {
        secret_files_watch(s, slot, &ctx, r == 0); /* what could not be read may come */
    }
    *ret_unsupported = r == 0 ? unsupported_report_new(&ctx) : NULL;
    if (r == 0 && (is_static || !s->params.ignores_unknown_dynamic)) {
        s->counters[kind].unsupported_fields += ctx.unsupported_count;
    }
    parse_context_finish(&ctx);
    /* Also after a failure: slots made on the way are let go with the part. */
    store_hold_deps(s, part);
    if (r != 0) {
        part_unref(part);
        return r;
    }
    *ret_part = part;
    return 0;
}

static void store_warn_unsupported(struct slot *slot, const struct unsupported_report *u)
{
    if (u != NULL) {
        log_warn(LOG_C_CONFIG, "%s '%.*s': %zu field(s) not supported and ignored, the first: %s",
                 part_kind_name(slot->kind), STR_ARG(slot->name), u->count, u->paths[0]);
    }
}

/* The version to compare and share with: the newest good one. */
static const struct part *resource_newest(const struct resource *r)
{
    return r == NULL ? NULL : r->accepted != NULL ? r->accepted : r->published;
}

static void unref_part(void *object)
{
    part_unref(object);
}

/* A static cluster's endpoints are published like any others, in the cluster's own slot. They lie
 * in the cluster's arena. */
static void store_put_own_endpoints(struct config_store *s, const struct cluster_config *c)
{
    struct endpoint_set *set;

    if (c->type != DISCOVERY_STATIC) {
        return;
    }
    set = part_new(sizeof(*set), PART_ENDPOINTS, c->name);
    set->localities = c->load_assignment;
    set->locality_count = c->load_assignment_count;
    set->overprovisioning_factor = c->overprovisioning_factor;
    set->weighted_priority_health = c->weighted_priority_health;
    part_ref(&c->part);
    part_on_free(&set->part, unref_part, (void *)(uintptr_t)&c->part);
    config_store_put_endpoints(s, c->endpoints_slot, set);
}

static int store_put_message(struct config_store *s, struct slot *slot, const ProtobufCMessage *msg,
                             const uint8_t *bytes, size_t len, struct str version, bool is_static,
                             struct error *reterr)
{
    struct discovery_counters *n = &s->counters[slot->kind];
    const struct part *previous = resource_newest(slot->resource);
    struct unsupported_report *unsupported = NULL;
    struct part *part = NULL;
    struct resource *res;
    bool is_new;
    int r;

    r = store_parse(s, slot, msg, previous, is_static, &part, &unsupported, reterr);
    if (r != 0) {
        return r;
    }
    res = store_resource_of(slot);
    is_new = previous == NULL || res->removed_at_ms != 0;
    free(res->bytes);
    res->bytes = xmalloc(len > 0 ? len : 1);
    memcpy(res->bytes, bytes, len);
    res->len = len;
    res->is_static = is_static;
    resource_set_version(res, version);
    resource_forget_rejection(res);
    unsupported_report_free(res->unsupported);
    res->unsupported = unsupported;
    if (is_static || !s->params.ignores_unknown_dynamic) {
        store_warn_unsupported(slot, unsupported);
    }
    if (is_new) {
        n->added++;
    } else {
        n->modified++;
    }
    if (!is_new && slot->kind == PART_LISTENER &&
        ((const struct listener_config *)previous)->listener_hash ==
            ((const struct listener_config *)part)->listener_hash) {
        n->in_place_updated++; /* only filter chains changed */
    }
    store_accept_part(s, slot, part);
    if (slot->kind == PART_CLUSTER) {
        store_put_own_endpoints(s, (const struct cluster_config *)part);
    }
    return 0;
}

/* Of the version that serves; what was refused after it stays refused. */
static void store_accept_again(struct config_store *s, struct slot *slot, struct part *take_part)
{
    struct resource *r = slot->resource;

    if (r->rejection != NULL && r->rejection->is_of_files) {
        resource_forget_rejection(r);
    }
    if (r->accepted->hash == take_part->hash) {
        part_unref(take_part); /* another file of the directory */
        return;
    }
    r->updated_wall_ns = clock_wall_ns();
    s->counters[slot->kind].modified++;
    store_accept_part(s, slot, take_part);
}

static int store_read_accepted_again(struct config_store *s, struct slot *slot,
                                     struct error *reterr)
{
    struct resource *r = slot->resource;
    struct unsupported_report *unsupported = NULL;
    struct part *part = NULL;
    ProtobufCMessage *msg = NULL;
    struct arena scratch;
    int code;

    arena_init(&scratch, &s->params.loop->arenas);
    code = pb_unpack(resource_type_of(slot->kind)->descriptor, r->bytes, r->len, &scratch, &msg,
                     reterr);
    if (code == 0) {
        r->reading = READING_ACCEPTED_AGAIN;
        code = store_parse(s, slot, msg, r->accepted, false, &part, &unsupported, reterr);
        r->reading = READING_NEW;
    }
    arena_done(&scratch);
    if (code == 0) {
        unsupported_report_free(r->unsupported);
        r->unsupported = unsupported;
        store_accept_again(s, slot, part);
    } else if (r->rejection == NULL || r->rejection->is_of_files) {
        store_reject(s, slot->kind, slot->key, r->bytes, r->len, str_c(r->version),
                     error_message(reterr));
        r->rejection->is_of_files = true;
    }
    return code;
}

static int store_read_refused_again(struct config_store *s, struct slot *slot, struct error *reterr)
{
    struct resource_rejection *x = slot->resource->rejection;
    int code;

    slot->resource->rejection = NULL;
    slot->resource->reading = READING_REFUSED_AGAIN;
    code = store_put(s, slot->kind, slot->key, x->bytes, x->len, str_c(x->version), false, reterr);
    slot->resource->reading = READING_NEW;
    if (code != 0) {
        store_reject(s, slot->kind, slot->key, x->bytes, x->len, str_c(x->version),
                     error_message(reterr));
    }
    rejection_free(x);
    return code;
}

void store_read_again(struct config_store *s, struct slot *slot, bool is_refused, bool is_check)
{
    const struct resource_rejection *x = slot->resource->rejection;
    char *before = is_check && x != NULL ? xstrdup(x->details) : NULL;
    struct error err;
    int r;

    error_init(&err);
    r = is_refused ? store_read_refused_again(s, slot, &err)
                   : store_read_accepted_again(s, slot, &err);
    if (r != 0 && (before == NULL || strcmp(before, error_message(&err)) != 0)) {
        subscription_stats_count(slot, SDS_KEY_ROTATION_FAILED);
        log_warn(LOG_C_CONFIG, "%s '%.*s' was read again and refused: %s",
                 part_kind_name(slot->kind), STR_ARG(slot->name), error_message(&err));
    }
    error_done(&err);
    free(before);
}

/* Equal bytes, or equal once maps are sorted: nothing to parse, nothing to publish. */
static bool resource_is_unchanged(const struct resource *r, const uint8_t *bytes, size_t len)
{
    if (r == NULL || r->accepted == NULL || r->bytes == NULL) {
        return false;
    }
    if (r->len == len && memcmp(r->bytes, bytes, len) == 0) {
        return true;
    }
    return config_canonical_equal(resource_type_of(r->slot->kind)->descriptor, r->bytes, r->len,
                                  bytes, len);
}

int store_put(struct config_store *s, enum part_kind kind, struct str key, const uint8_t *bytes,
              size_t len, struct str version, bool is_static, struct error *reterr)
{
    struct slot *slot = store_slot_get(s, kind, key);
    struct resource *res = slot->resource;
    struct arena scratch;
    ProtobufCMessage *msg = NULL;
    int r;

    slot->refs++; /* a refused first version must not leave its slot behind */
    if (res != NULL && res->is_static && !is_static) {
        r = 0; /* as Envoy: what the bootstrap defines is not replaced over xDS */
    } else if (resource_is_unchanged(res, bytes, len)) {
        resource_set_version(res, version);
        resource_forget_rejection(res);
        resource_come_back(s, res);
        r = 0;
    } else {
        arena_init(&scratch, &s->params.loop->arenas);
        r = pb_unpack(resource_type_of(kind)->descriptor, bytes, len, &scratch, &msg, reterr);
        if (r == 0) {
            r = store_put_message(s, slot, msg, bytes, len, version, is_static, reterr);
        }
        arena_done(&scratch);
    }
    store_slot_unref(slot);
    return r;
}

/* Of a resource of the bootstrap. */
static struct str static_key(enum part_kind kind, const ProtobufCMessage *msg, struct str name,
                             struct arena *scratch)
{
    if (kind != PART_SECRET) {
        return name;
    }
    return secret_key(
        scratch, name,
        secret_message_kind((const Envoy__Extensions__TransportSockets__Tls__V3__Secret *)msg), 0);
}

/* As Envoy: of each kind of secret a name may be used once. */
static int duplicate_static(enum part_kind kind, struct str key, struct error *reterr)
{
    static const char *const SECRETS[SECRET_KIND_COUNT] = {
        [SECRET_TLS_CERTIFICATE] = "TlsCertificate",
        [SECRET_SESSION_TICKET_KEYS] = "TlsSessionTicketKeys",
        [SECRET_VALIDATION_CONTEXT] = "CertificateValidationContext",
        [SECRET_GENERIC] = "GenericSecret",
    };

    if (kind == PART_SECRET) {
        return error_set(reterr, E_EXISTS, "Duplicate static %s secret name %.*s",
                         SECRETS[secret_key_kind(key)], STR_ARG(secret_key_name(key)));
    }
    return error_set(reterr, E_EXISTS, "duplicate %s name '%.*s'", part_kind_name(kind),
                     STR_ARG(key));
}

int config_store_put_static(struct config_store *s, enum part_kind kind,
                            const struct ProtobufCMessage *msg, struct error *reterr)
{
    size_t len = protobuf_c_message_get_packed_size(msg);
    uint8_t *bytes = xmalloc(len > 0 ? len : 1);
    const struct slot *slot;
    struct arena scratch;
    struct str key;
    int r;

    arena_init(&scratch, &s->params.loop->arenas);
    protobuf_c_message_pack(msg, bytes);
    key = xds_message_name(bytes, len);
    key = static_key(kind, msg, key.len > 0 ? key : STR(""), &scratch);
    slot = store_slot_find(s, kind, key);
    if (slot == NULL || slot->resource == NULL) {
        r = store_put(s, kind, key, bytes, len, STR(""), true, reterr);
    } else if (kind == PART_LISTENER) { /* as Envoy: the first one stays */
        log_warn(LOG_C_CONFIG, "listener '%.*s' is there twice: the second is ignored",
                 STR_ARG(key));
        r = 0;
    } else {
        r = duplicate_static(kind, key, reterr);
    }
    arena_done(&scratch);
    free(bytes);
    return r;
}

void config_store_put_endpoints(struct config_store *s, uint32_t index, struct endpoint_set *take)
{
    struct slot *slot = store_slot_at(s, PART_ENDPOINTS, index);

    if (slot == NULL || slot->users == 0) {
        part_unref(&take->part);
        return;
    }
    take->part.slot = index;
    store_accept_part(s, slot, &take->part);
}

void store_remove(struct config_store *s, struct resource *r)
{
    uint64_t now = loop_now_ms(s->params.loop);

    if (r->removed_at_ms != 0) {
        return;
    }
    if (r->accepted != r->published) {
        resource_drop_unpublished(s, r);
        free(r->bytes); /* they were the dropped version's */
        r->bytes = NULL;
        r->len = 0;
    }
    list_remove(&r->pending_node);
    r->held_since_ms = 0;
    r->removed_at_ms = now > 0 ? now : 1;
    if (r->published != NULL) {
        store_subscribe_deps(s, r->published, -1);
    }
    s->counters[r->slot->kind].removed++;
    list_add_tail(&s->removals[r->slot->kind], &r->removal_node);
    store_commit_soon(s);
}

void config_store_give_up(struct config_store *s, enum part_kind kind, uint32_t index)
{
    struct slot *slot = store_slot_at(s, kind, index);

    if (slot != NULL && !slot->is_given_up) {
        slot->is_given_up = true;
        store_commit_soon(s);
    }
}

/* --- life --------------------------------------------------------------------------------- */

struct config_store *config_store_new(const struct config_store_params *p)
{
    struct config_store *s = xcalloc(1, sizeof(*s));

    s->params = *p;
    s->resolver.slot = store_resolve_slot;
    s->resolver.has = store_has_resource;
    s->resolver.accepted = store_accepted;
    s->resolver.hold = store_resolver_hold;
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        map_init(&s->slots[k].by_key);
        list_init(&s->pending[k]);
        list_init(&s->removals[k]);
    }
    store_warming_init(s);
    discovery_new(s);
    return s;
}

void config_store_stop(struct config_store *s)
{
    if (s != NULL && s->discovery != NULL) {
        discovery_free(s);
        store_warming_done(s);
        s->params.xds = NULL;
    }
}

void config_store_free(struct config_store *s)
{
    if (s == NULL) {
        return;
    }
    config_store_stop(s);
    /* Users first: listeners, tables, clusters, then what they name. */
    for (int k = PART_LISTENER; k < PART_KIND_COUNT; k++) {
        for (uint32_t i = 0; i < s->slots[k].count; i++) {
            if (s->slots[k].by_index[i] != NULL && s->slots[k].by_index[i]->resource != NULL) {
                store_resource_free(s, s->slots[k].by_index[i]->resource);
            }
        }
    }
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        /* Parts still pinned elsewhere hold their slots; server/ frees the store last. */
        map_done(&s->slots[k].by_key);
        free(s->slots[k].by_index);
        free(s->slots[k].free_indexes);
    }
    free(s->staged);
    free(s);
}

/* --- for admin ---------------------------------------------------------------------------- */

enum resource_state resource_state_of(const struct resource *r)
{
    if (r->removed_at_ms != 0) {
        return RESOURCE_REMOVING;
    }
    if (r->accepted == NULL) {
        return RESOURCE_REFUSED;
    }
    return r->accepted == r->published ? RESOURCE_LIVE : RESOURCE_WARMING;
}

static int resource_cmp(const void *a, const void *b)
{
    const struct resource *const *x = a;
    const struct resource *const *y = b;

    return str_cmp((*x)->slot->name, (*y)->slot->name);
}

void config_store_visit(const struct config_store *s, enum part_kind kind, resource_visit_fn *visit,
                        void *user)
{
    const struct slot_list *l = &s->slots[kind];
    const struct resource **all;
    size_t n = 0;

    if (l->count == 0) {
        return;
    }
    all = xcalloc(l->count, sizeof(struct resource *));
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->by_index[i] != NULL && l->by_index[i]->resource != NULL) {
            all[n++] = l->by_index[i]->resource;
        }
    }
    qsort(all, n, sizeof(struct resource *), resource_cmp);
    for (size_t i = 0; i < n; i++) {
        visit(user, all[i]);
    }
    free(all);
}

uint64_t config_store_version(const struct config_store *s)
{
    return s->version;
}

bool config_store_is_initialized(const struct config_store *s)
{
    return s->is_open;
}

bool config_store_has(const struct config_store *s, enum part_kind kind, struct str key)
{
    const struct slot *slot = store_slot_find(s, kind, key);

    return slot != NULL && slot->resource != NULL && slot->resource->accepted != NULL;
}

bool config_store_is_removed(const struct config_store *s, enum part_kind kind, struct str name)
{
    const struct slot *slot = store_slot_find(s, kind, name);

    return slot == NULL || slot->resource == NULL || slot->resource->removed_at_ms != 0;
}

bool config_store_has_cds_response(const struct config_store *s)
{
    return s->is_cds_answered;
}

const struct discovery_counters *config_store_counters(const struct config_store *s,
                                                       enum part_kind kind)
{
    return &s->counters[kind];
}
