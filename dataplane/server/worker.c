/*
 * A worker thread: applies published versions by diff between two callbacks, owns its listeners.
 * Runs on the worker's thread except worker_start, worker_publish, worker_drain, worker_stop and
 * worker_join, which main calls.
 */

#include "dataplane/server/worker.h"

#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "config/model/listener.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/listener.h"
#include "dataplane/overload/overload_manager.h"
#include "dataplane/server/crash.h"
#include "dataplane/server/listener_log.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/publish.h"
#include "dataplane/upstream/upstream.h"

/* Memory that a worker takes from the heap before it looks how much there is. */
#define GROWTH_STEP_BYTES (64u * 1024)
/* As Envoy: so many streams are reset at a time, then it is looked again. */
#define RESETS_AT_ONCE 50

/* A listener of this worker with the version it runs. */
struct worker_listener_slot {
    struct worker_listener *listener;     /* NULL: none */
    struct listener_version *version;     /* referenced */
    const struct listener_config *config; /* referenced, through the version's publication */
};

/* --- parts and filter chains -------------------------------------------------------------- */

static void release_part(void *object)
{
    part_unref(object);
}

static void release_listener_version(void *object)
{
    listener_version_unref(object);
}

static void release_listener_sockets(void *object)
{
    listener_version_close(object);
}

static void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

static void worker_release_part(struct part_releaser *r, const struct part *p)
{
    struct worker *w = container_of(r, struct worker, releaser);

    release_batch_add(&w->released, release_part, unconst(p));
}

/* This worker's hold on one filter chain: a count per listener version that has it and one per
 * connection. Backed by one part reference taken by main. */
struct chain_hold {
    const struct filter_chain_config *chain; /* also the map key, by address */
    size_t count;
};

static struct str chain_key(const struct chain_hold *h)
{
    return str_n((const char *)&h->chain, sizeof(h->chain));
}

static void worker_chain_ref(void *user, const struct filter_chain_config *chain, int delta)
{
    struct worker *w = user;
    struct chain_hold key = {.chain = chain};
    struct chain_hold *h = map_get(&w->chains, chain_key(&key));

    CHECK(h != NULL);
    h->count += (size_t)delta;
    if (h->count == 0) {
        (void)map_remove(&w->chains, chain_key(h));
        release_batch_add(&w->released, release_part, unconst(&chain->part));
        free(h);
    }
}

/* A version brings one reference per chain; where this worker holds the chain already, the
 * reference goes straight back. */
static void worker_chain_add(struct worker *w, const struct filter_chain_config *chain)
{
    struct chain_hold key = {.chain = chain};
    struct chain_hold *h = map_get(&w->chains, chain_key(&key));

    if (h != NULL) {
        release_batch_add(&w->released, release_part, unconst(&chain->part));
    } else {
        h = xcalloc(1, sizeof(*h));
        h->chain = chain;
        map_put(&w->chains, chain_key(h), h);
    }
    h->count++;
}

static void worker_chains_add(struct worker *w, const struct listener_config *l)
{
    for (size_t i = 0; i < l->chain_count; i++) {
        worker_chain_add(w, l->chains[i]);
    }
    if (l->default_chain != NULL) {
        worker_chain_add(w, l->default_chain);
    }
}

static void worker_chains_drop(struct worker *w, const struct listener_config *l)
{
    for (size_t i = 0; i < l->chain_count; i++) {
        worker_chain_ref(w, l->chains[i], -1);
    }
    if (l->default_chain != NULL) {
        worker_chain_ref(w, l->default_chain, -1);
    }
}

/* --- listeners ---------------------------------------------------------------------------- */

static struct worker_listener_slot *worker_listener_slot_at(struct worker *w, uint32_t slot)
{
    if (slot >= w->listener_count) {
        uint32_t count = slot + 16;

        w->listeners = xreallocarray(w->listeners, count, sizeof(*w->listeners));
        memset(w->listeners + w->listener_count, 0,
               (count - w->listener_count) * sizeof(*w->listeners));
        w->listener_count = count;
    }
    return &w->listeners[slot];
}

struct keep_chain {
    const struct listener_config *before;
    const struct listener_config *after;
}; /* worker.keep points to one during an update */

/* A chain stays when the new version shares it and nothing around it changed. */
static bool worker_keep_chain(void *user, const struct filter_chain_config *chain)
{
    const struct keep_chain *k = ((const struct worker *)user)->keep;

    if (k->before->listener_hash != k->after->listener_hash) {
        return false;
    }
    for (size_t i = 0; i < k->after->chain_count; i++) {
        if (k->after->chains[i] == chain) {
            return true;
        }
    }
    return k->after->default_chain == chain;
}

static void worker_listener_slot_drop(struct worker *w, struct worker_listener_slot *s)
{
    worker_chains_drop(w, s->config);
    release_batch_add(&w->released, release_listener_version, s->version);
    release_batch_add(&w->released, release_part, unconst(&s->config->part));
    s->version = NULL;
    s->config = NULL;
}

/* One listener fewer is closing; the last one ends a worker that is stopping. */
static void worker_closing_done(struct worker *w)
{
    CHECK(w->closing_listeners > 0);
    if (--w->closing_listeners == 0 && w->is_stopping) {
        loop_stop(&w->loop);
    }
}

/* A listener, or a version of one, that has been replaced: what its last connections use of it is
 * held. */
struct held_listener {
    struct worker *worker;
    struct worker_listener_slot held;
};

static struct held_listener *held_listener_new(struct worker *w,
                                               const struct worker_listener_slot *s)
{
    struct held_listener *h = xcalloc(1, sizeof(*h));

    h->worker = w;
    h->held = *s;
    return h;
}

static void worker_listener_released(void *user)
{
    struct held_listener *h = user;

    worker_listener_slot_drop(h->worker, &h->held);
    free(h);
}

static void worker_listener_closed(void *user)
{
    struct worker *w = ((struct held_listener *)user)->worker;

    worker_listener_released(user);
    worker_closing_done(w);
}

static void worker_listener_close_slot(struct worker *w, struct worker_listener_slot *s,
                                       bool accept_queued, uint64_t drain_ms)
{
    struct worker_listener *wl = s->listener;
    struct held_listener *h;

    if (wl == NULL) {
        return;
    }
    listener_table_remove(&w->listener_table, s->config, wl);
    h = held_listener_new(w, s);
    *s = (struct worker_listener_slot){0};
    w->closing_listeners++;
    /* Before the version itself, which may be released at once. */
    release_batch_add(&w->released, release_listener_sockets, h->held.version);
    worker_listener_close(wl, accept_queued, drain_ms, worker_listener_closed, h);
}

static struct worker_listener *worker_find_listener(void *user, const struct address *destination)
{
    return listener_table_find(&((struct worker *)user)->listener_table, destination);
}

static void worker_log_connection(void *user, const struct listener_log *l)
{
    listener_log_write(&((struct worker *)user)->context, l);
}

/* What this worker accepts from. Heap; the caller frees. */
static int *worker_listener_fds(const struct worker *w, const struct listener_version *v,
                                size_t *ret_count)
{
    size_t most = 0;
    size_t n = 0;
    int *fds;

    for (size_t i = 0; i < v->socket_count; i++) {
        most += v->sockets[i]->fd_count;
    }
    fds = xcalloc(most + 1, sizeof(*fds));
    for (size_t i = 0; i < v->socket_count; i++) {
        n += listen_socket_fds_of(v->sockets[i], (size_t)w->loop.index, w->worker_count, fds + n);
    }
    *ret_count = n;
    return fds;
}

/* A connection between two workers. Holds what it counts against. */
struct handover {
    struct post post;
    uint32_t slot;
    struct listener_count *count;
    struct accepted_socket accepted;
};

static void worker_on_handover(struct loop *l, struct post *p)
{
    struct handover *h = container_of(p, struct handover, post);
    const struct worker *w = l->owner;
    const struct worker_listener_slot *s =
        h->slot < w->listener_count ? &w->listeners[h->slot] : NULL;

    /* As Envoy: a listener that has gone meanwhile takes it with it. */
    if (s != NULL && s->listener != NULL && s->version->count == h->count) {
        worker_listener_take(s->listener, &h->accepted);
    } else {
        accepted_socket_drop(&h->accepted);
    }
    listener_count_unref(h->count);
    free(h);
}

static void worker_hand_over(void *user, struct worker_listener *wl, size_t worker,
                             const struct accepted_socket *take_accepted)
{
    struct worker *w = user;
    struct worker *to = &w->peers[worker];
    uint32_t slot = worker_listener_config(wl)->part.slot;

    (void)atomic_fetch_add(&to->arriving, 1);
    if (atomic_load(&to->takes_nothing)) {
        worker_listener_take(wl, take_accepted);
    } else {
        struct handover *h = xmalloc(sizeof(*h));

        h->slot = slot;
        h->count = w->listeners[slot].version->count;
        h->accepted = *take_accepted;
        h->post.run = worker_on_handover;
        listener_count_ref(h->count);
        post_send(&to->loop, &h->post);
    }
    (void)atomic_fetch_sub(&to->arriving, 1);
}

/* Its loop is about to end: whoever is handing something over has done so. */
static void worker_take_nothing(struct worker *w)
{
    atomic_store(&w->takes_nothing, true);
    while (atomic_load(&w->arriving) > 0) {
        (void)sched_yield();
    }
}

static void worker_apply_listener(struct worker *w, const struct snapshot_change *c,
                                  struct listener_version *version)
{
    struct worker_listener_slot *s = worker_listener_slot_at(w, c->slot);
    const struct listener_config *l = (const struct listener_config *)c->after;
    struct worker_listener_params params;
    int *fds = NULL;
    int r;

    if (l == NULL) {
        worker_listener_close_slot(w, s, true, w->context.drain.policy.time_ms);
        return;
    }
    worker_chains_add(w, l);
    params = (struct worker_listener_params){
        .thread = &w->context,
        .config = l,
        .chains = version->chains,
        .scope = version->scope->stats,
        .limit = &version->count->connections,
        .balance = l->is_balanced_exactly ? version->count->balance : NULL,
        .hand_over = worker_hand_over,
        .chain_ref = worker_chain_ref,
        .find_listener = worker_find_listener,
        .log = worker_log_connection,
        .user = w,
    };
    if (!drain_direction_covers(w->stopped, l->traffic_direction)) {
        fds = worker_listener_fds(w, version, &params.fd_count);
        params.fds = fds;
    }
    if (s->listener == NULL) {
        r = worker_listener_new(&params, &s->listener);
    } else {
        struct keep_chain keep = {.before = s->config, .after = l};

        listener_table_remove(&w->listener_table, s->config, s->listener);
        w->keep = &keep;
        release_batch_add(&w->released, release_listener_sockets, s->version);
        r = worker_listener_update(s->listener, &params, worker_keep_chain,
                                   w->context.drain.policy.time_ms, worker_listener_released,
                                   held_listener_new(w, s));
        w->keep = NULL;
    }
    free(fds);
    if (drain_direction_covers(w->draining, l->traffic_direction)) {
        worker_listener_start_drain(s->listener);
    }
    s->version = version;
    s->config = l;
    listener_table_add(&w->listener_table, l, s->listener);
    if (r != 0) {
        log_error(LOG_C_MAIN, "worker %d cannot listen for '%.*s': %s", w->loop.index,
                  STR_ARG(l->name), error_name(r));
    }
}

/* --- applying a version ------------------------------------------------------------------- */

void part_table_apply(struct part_table *t, struct cluster_manager *cm,
                      const struct snapshot_change *c)
{
    switch (c->kind) {
    case PART_ENDPOINTS:
    case PART_CLUSTER:
        /* The manager lets go of its pointers into the old part before its handle goes. */
        if (c->after == NULL) {
            cluster_manager_apply(cm, c);
            part_table_set(t, c->kind, c->slot, NULL);
        } else {
            struct part_handle *old = part_table_get(t, c->kind, c->slot);

            if (old != NULL) {
                part_handle_ref(old);
            }
            part_table_set(t, c->kind, c->slot, c->after);
            cluster_manager_apply(cm, c);
            part_handle_unref(old);
        }
        break;
    case PART_ROUTE_TABLE:
    case PART_SECRET:
        part_table_set(t, c->kind, c->slot, c->after);
        break;
    default:
        CHECK(false);
    }
}

static void worker_apply(struct loop *l, struct post *p)
{
    struct publication_post *pp = container_of(p, struct publication_post, post);
    struct publication *pub = pp->publication;
    struct worker *w = pp->worker;

    (void)l;
    for (size_t i = 0; i < pub->snapshot->change_count; i++) {
        const struct snapshot_change *c = &pub->snapshot->changes[i];

        if (c->kind == PART_LISTENER) {
            worker_apply_listener(w, c, pub->listeners[i]);
        } else {
            part_table_apply(&w->parts, w->context.clusters, c);
        }
    }
    atomic_store_explicit(&w->seen_version, pub->snapshot->version, memory_order_release);
    publication_applied(pub);
}

void worker_publish(struct worker *w, struct publication *p)
{
    for (size_t i = 0; i < p->snapshot->change_count; i++) {
        if (p->listeners[i] != NULL) {
            listener_version_ref(p->listeners[i]);
            listener_version_open(p->listeners[i]);
        }
    }
    p->posts[w->loop.index].post.run = worker_apply;
    post_send(&w->loop, &p->posts[w->loop.index].post);
}

/* --- life --------------------------------------------------------------------------------- */

struct worker_command {
    struct post post;
    struct worker *worker;
    uint64_t grace_ms;              /* worker_on_stop */
    uint64_t min_bytes;             /* worker_on_reset_streams */
    bool flag;                      /* of worker_on_stop, worker_on_health */
    enum drain_direction direction; /* of worker_on_start_drain, worker_on_stop_listeners */
    struct worker_barrier *barrier; /* of worker_on_stop_listeners */
};

static void worker_command_send(struct worker *w, void (*run)(struct loop *l, struct post *p),
                                const struct worker_command *command)
{
    struct worker_command *c = xmalloc(sizeof(*c));

    *c = *command;
    c->worker = w;
    c->post.run = run;
    post_send(&w->loop, &c->post);
}

/* What a posted message asks; the message is freed. */
static struct worker_command worker_command_take(struct post *p)
{
    struct worker_command *c = container_of(p, struct worker_command, post);
    struct worker_command copy = *c;

    free(c);
    return copy;
}

static void worker_on_drain(struct loop *l, struct post *p)
{
    struct worker *w = worker_command_take(p).worker;

    (void)l;
    w->context.drain.is_ending = true;
    for (uint32_t i = 0; i < w->listener_count; i++) {
        if (w->listeners[i].listener != NULL) {
            worker_listener_drain(w->listeners[i].listener);
        }
    }
}

void worker_drain(struct worker *w)
{
    worker_command_send(w, worker_on_drain, &(struct worker_command){0});
}

static void worker_on_start_drain(struct loop *l, struct post *p)
{
    struct worker_command c = worker_command_take(p);
    struct worker *w = c.worker;

    (void)l;
    w->draining = c.direction;
    for (uint32_t i = 0; i < w->listener_count; i++) {
        const struct worker_listener_slot *s = &w->listeners[i];

        if (s->listener != NULL &&
            drain_direction_covers(c.direction, s->config->traffic_direction)) {
            worker_listener_start_drain(s->listener);
        }
    }
}

void worker_start_drain(struct worker *w, enum drain_direction direction)
{
    worker_command_send(w, worker_on_start_drain, &(struct worker_command){.direction = direction});
}

static void worker_on_health(struct loop *l, struct post *p)
{
    struct worker_command c = worker_command_take(p);

    (void)l;
    c.worker->context.drain.has_failed_health_check = c.flag;
}

void worker_set_health(struct worker *w, bool has_failed)
{
    worker_command_send(w, worker_on_health, &(struct worker_command){.flag = has_failed});
}

/* Something that all workers do, after which main goes on. */
struct worker_barrier {
    struct post done_post;
    struct loop *main_loop;
    _Atomic(size_t) pending;
    void (*done)(void *user);
    void *user;
};

static void worker_barrier_done(struct loop *l, struct post *p)
{
    struct worker_barrier *b = container_of(p, struct worker_barrier, done_post);

    (void)l;
    b->done(b->user);
    free(b);
}

static void worker_barrier_arrive(struct worker_barrier *b)
{
    if (atomic_fetch_sub_explicit(&b->pending, 1, memory_order_acq_rel) == 1) {
        b->done_post.run = worker_barrier_done;
        post_send(b->main_loop, &b->done_post);
    }
}

static void worker_on_stop_listeners(struct loop *l, struct post *p)
{
    struct worker_command c = worker_command_take(p);
    struct worker *w = c.worker;

    (void)l;
    w->stopped = c.direction;
    for (uint32_t i = 0; i < w->listener_count; i++) {
        const struct worker_listener_slot *s = &w->listeners[i];

        if (s->listener != NULL &&
            drain_direction_covers(c.direction, s->config->traffic_direction)) {
            worker_listener_stop_accepting(s->listener);
        }
    }
    worker_barrier_arrive(c.barrier);
}

void worker_stop_listeners(struct worker *workers, size_t count, struct loop *main_loop,
                           enum drain_direction direction, void (*done)(void *user), void *user)
{
    struct worker_barrier *b = xcalloc(1, sizeof(*b));

    b->main_loop = main_loop;
    b->done = done;
    b->user = user;
    atomic_init(&b->pending, count);
    for (size_t i = 0; i < count; i++) {
        worker_command_send(&workers[i], worker_on_stop_listeners,
                            &(struct worker_command){.direction = direction, .barrier = b});
    }
}

static void worker_on_stop(struct loop *l, struct post *p)
{
    struct worker_command c = worker_command_take(p);
    struct worker *w = c.worker;

    (void)l;
    w->is_stopping = true;
    w->closing_listeners++; /* so that the last close is seen after the walk */
    for (uint32_t i = 0; i < w->listener_count; i++) {
        if (w->listeners[i].listener != NULL) {
            if (c.flag) {
                worker_listener_stop_queueing(w->listeners[i].listener);
            }
            worker_listener_drain(w->listeners[i].listener);
        }
        worker_listener_close_slot(w, &w->listeners[i], true, c.grace_ms);
    }
    worker_closing_done(w);
}

void worker_stop(struct worker *w, uint64_t grace_ms, bool owns_sockets)
{
    worker_command_send(w, worker_on_stop,
                        &(struct worker_command){.grace_ms = grace_ms, .flag = owns_sockets});
}

/* --- overload ----------------------------------------------------------------------------- */

static void worker_watch_upstream_reads(struct worker *w)
{
    w->loop.is_short_of_memory =
        overload_is_saturated(w->context.overload, OVERLOAD_PAUSE_UPSTREAM_READS);
}

static void worker_on_growth(struct growth *g)
{
    struct worker *w = container_of(g, struct worker, loop.growth);

    overload_manager_hurry(w->overload);
    worker_watch_upstream_reads(w);
}

static void worker_on_levels(struct loop *l, struct post *p)
{
    struct worker *w = worker_command_take(p).worker;

    (void)l;
    worker_watch_upstream_reads(w);
    for (uint32_t i = 0; i < w->listener_count; i++) {
        if (w->listeners[i].listener != NULL) {
            worker_listener_scale_timeouts(w->listeners[i].listener);
        }
    }
}

void worker_take_levels(struct worker *w)
{
    worker_command_send(w, worker_on_levels, &(struct worker_command){0});
}

static void worker_on_shrink_heap(struct loop *l, struct post *p)
{
    (void)worker_command_take(p);
    loop_shrink_pools(l);
    (void)malloc_trim(0);
}

void worker_shrink_heap(struct worker *w)
{
    worker_command_send(w, worker_on_shrink_heap, &(struct worker_command){0});
}

static void worker_on_reset_streams(struct loop *l, struct post *p)
{
    struct worker_command c = worker_command_take(p);
    struct worker *w = c.worker;
    size_t n = 0;

    for (uint32_t i = 0; i < w->listener_count; i++) {
        if (w->listeners[i].listener != NULL) {
            n += worker_listener_reset_streams(w->listeners[i].listener, c.min_bytes,
                                               RESETS_AT_ONCE - n);
        }
    }
    if (n > 0) {
        stat_add(stat_scope_block(w->context.overload->reset_count, l->index), 0, n);
    }
}

void worker_reset_streams(struct worker *w, uint64_t min_bytes)
{
    worker_command_send(w, worker_on_reset_streams,
                        &(struct worker_command){.min_bytes = min_bytes});
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    void *crash_stack = crash_thread_init();

    loop_run(&w->loop);
    worker_take_nothing(w);
    access_log_hub_stop_thread(w->context.access_logs, &w->context);
    cluster_manager_free(w->context.clusters);
    part_table_done(&w->parts);
    loop_done(&w->loop);
    release_batch_flush(&w->released);
    crash_thread_done(crash_stack);
    return NULL;
}

int worker_start(struct worker *w, const struct worker_params *p)
{
    int r;

    memset(w, 0, sizeof(*w));
    r = loop_init(&w->loop, p->index);
    if (r != 0) {
        return r;
    }
    w->main_loop = p->main_loop;
    w->worker_count = p->worker_count;
    w->peers = p->peers;
    w->loop.owner = w;
    w->context = *p->context;
    w->context.loop = &w->loop;
    w->overload = p->overload;
    if (p->overload != NULL) {
        w->context.overload = overload_manager_state(p->overload);
        w->loop.growth.run = worker_on_growth;
        w->loop.growth.step = GROWTH_STEP_BYTES;
    }
    w->context.parts = &w->parts;
    w->context.next_connection_id = (uint64_t)(p->index + 1) << 48;
    w->releaser.release = worker_release_part;
    release_batch_init(&w->released, &w->loop, p->main_loop);
    part_table_init(&w->parts, &w->releaser);
    w->loop.parts = &w->parts;
    map_init(&w->chains);
    listener_table_init(&w->listener_table);
    w->context.clusters = cluster_manager_new(&w->context);
    if (pthread_create(&w->thread, NULL, worker_thread, w) != 0) {
        return E_SYS;
    }
    return 0;
}

void worker_join(struct worker *w)
{
    (void)pthread_join(w->thread, NULL);
    map_done(&w->chains);
    listener_table_done(&w->listener_table);
    free(w->listeners);
}
