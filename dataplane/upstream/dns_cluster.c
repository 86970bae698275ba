/* Resolving and refreshing the endpoints of DNS clusters. Main thread; see dns_cluster.h. */

#include "dataplane/upstream/dns_cluster.h"

#include <stdlib.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

/* One endpoint whose name is to be resolved. */
struct dns_target {
    struct dns_cluster *cluster;
    const struct endpoint *endpoint;
    struct dns_query *query; /* NULL: waiting for the timer */
    struct timer timer;
    struct address *addresses; /* the last good answer, with the endpoint's port */
    size_t address_count;
    uint64_t backoff_ms; /* after the next failure; 0: start from the base */
    bool has_answered;
};

struct dns_cluster {
    struct dns_cluster_params params;
    const struct cluster_config *config; /* referenced */
    struct dns_target *targets;
    size_t target_count;
    bool has_published;
    bool has_failed; /* on_failed was called */
};

static void target_resolve(struct dns_target *t);

static void cluster_count(struct dns_cluster *d, enum cluster_update_result result)
{
    if (d->params.registry != NULL) {
        cluster_registry_count_update(d->params.registry, d->config, result);
    }
}

/* --- Endpoint sets -------------------------------------------------------------------------------
 */

/* Walks the configured endpoints in order, and with them the targets, which stand in that order. */
struct expansion {
    const struct dns_cluster *cluster;
    struct arena *arena;
    size_t next_target;
};

/* NULL for an IP address or a unix path. */
static const struct dns_target *expansion_target(struct expansion *x, const struct endpoint *e)
{
    const struct dns_cluster *d = x->cluster;

    if (x->next_target < d->target_count && d->targets[x->next_target].endpoint == e) {
        return &d->targets[x->next_target++];
    }
    return NULL;
}

static void release_config(void *object)
{
    part_unref(object);
}

static struct endpoint endpoint_at(const struct endpoint *e, const struct address *a)
{
    struct endpoint at = *e;

    at.address = *a;
    at.hostname = e->hostname.len > 0 ? e->hostname : e->dns_name;
    return at;
}

/* How many endpoints one configured endpoint stands for. */
static size_t expansion_count(struct expansion *x, const struct endpoint *e)
{
    const struct dns_target *t = expansion_target(x, e);

    if (t == NULL) {
        return 1;
    }
    return x->cluster->config->dns.is_logical && t->address_count > 1 ? 1 : t->address_count;
}

static size_t expand(struct expansion *x, const struct endpoint *e, struct endpoint *out)
{
    const struct dns_target *t = expansion_target(x, e);
    const struct dns_options *o = &x->cluster->config->dns;

    if (t == NULL) {
        *out = *e;
        return 1;
    }
    if (t->address_count > 0 && o->is_logical) {
        *out = endpoint_at(e, &t->addresses[0]);
        if (o->has_all_addresses) {
            out->additional_count = t->address_count - 1;
            out->additional = arena_memdup(x->arena, t->addresses + 1,
                                           out->additional_count * sizeof(*t->addresses));
        }
        return 1;
    }
    for (size_t i = 0; i < t->address_count; i++) {
        out[i] = endpoint_at(e, &t->addresses[i]);
    }
    return t->address_count;
}

static void expand_locality(struct expansion *x, const struct locality_endpoints *from,
                            struct locality_endpoints *to)
{
    struct expansion counting = *x;
    struct endpoint *endpoints;
    size_t count = 0;

    for (size_t i = 0; i < from->endpoint_count; i++) {
        count += expansion_count(&counting, &from->endpoints[i]);
    }
    endpoints = ARENA_ARRAY(x->arena, struct endpoint, count);
    *to = *from;
    to->endpoints = endpoints;
    to->endpoint_count = 0;
    for (size_t i = 0; i < from->endpoint_count; i++) {
        to->endpoint_count += expand(x, &from->endpoints[i], &endpoints[to->endpoint_count]);
    }
}

static void cluster_publish(struct dns_cluster *d)
{
    const struct cluster_config *c = d->config;
    struct endpoint_set *set = part_new(sizeof(*set), PART_ENDPOINTS, c->name);
    struct locality_endpoints *localities =
        ARENA_ARRAY(&set->part.arena, struct locality_endpoints, c->load_assignment_count);
    struct expansion x = {.cluster = d, .arena = &set->part.arena};

    /* Names and metadata stay in the cluster's part. */
    part_ref(&c->part);
    part_on_free(&set->part, release_config, (void *)(uintptr_t)&c->part);
    for (size_t i = 0; i < c->load_assignment_count; i++) {
        expand_locality(&x, &c->load_assignment[i], &localities[i]);
        for (size_t j = 0; j < localities[i].endpoint_count; j++) {
            uint64_t key = endpoint_key(&localities[i].endpoints[j]);

            set->part.hash = hash_mix(set->part.hash, &key, sizeof(key));
        }
    }
    set->localities = localities;
    set->locality_count = c->load_assignment_count;
    set->overprovisioning_factor = c->overprovisioning_factor;
    d->has_published = true;
    d->params.ops->on_endpoints(d->params.user, c, set);
}

/* --- Answers -------------------------------------------------------------------------------------
 */

static bool addresses_have(const struct address *list, size_t count, const struct address *a)
{
    for (size_t i = 0; i < count; i++) {
        if (address_eq(&list[i], a)) {
            return true;
        }
    }
    return false;
}

/* By IP and port, so that a server which rotates its answers changes nothing. */
static int address_cmp(const void *pa, const void *pb)
{
    const struct address *a = pa;
    const struct address *b = pb;
    uint64_t x;
    uint64_t y;

    if (a->sa.sa_family != b->sa.sa_family) {
        return a->sa.sa_family < b->sa.sa_family ? -1 : 1;
    }
    if (a->sa.sa_family == AF_INET6) {
        return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
    }
    x = ntohl(a->in.sin_addr.s_addr);
    y = ntohl(b->in.sin_addr.s_addr);
    return x < y ? -1 : x > y;
}

/* The answer with the endpoint's port, sorted, without duplicates. */
static struct address *answer_addresses(const struct dns_target *t, const struct dns_answer *a,
                                        size_t *ret_count)
{
    struct address *list = xcalloc(a->address_count + 1, sizeof(*list));
    size_t count = 0;

    for (size_t i = 0; i < a->address_count; i++) {
        list[i] = a->addresses[i];
        address_set_port(&list[i], address_port(&t->endpoint->address));
    }
    qsort(list, a->address_count, sizeof(*list), address_cmp);
    for (size_t i = 0; i < a->address_count; i++) {
        if (count == 0 || !address_eq(&list[count - 1], &list[i])) {
            list[count++] = list[i];
        }
    }
    *ret_count = count;
    return list;
}

/* Takes `take_list` as the target's addresses; whether that changes the endpoints. */
static bool target_take(struct dns_target *t, struct address *take_list, size_t count)
{
    const struct dns_options *o = &t->cluster->config->dns;
    bool is_same = count == t->address_count;

    for (size_t i = 0; is_same && i < count; i++) {
        is_same = address_eq(&take_list[i], &t->addresses[i]);
    }
    if (o->is_logical && !o->has_all_addresses && t->address_count > 0 &&
        addresses_have(take_list, count, &t->addresses[0])) {
        is_same = true; /* the address in use is still one of them */
    }
    if (is_same) {
        free(take_list);
        return false;
    }
    free(t->addresses);
    t->addresses = take_list;
    t->address_count = count;
    return true;
}

static uint64_t target_refresh_ms(struct dns_target *t, const struct dns_answer *a)
{
    const struct dns_options *o = &t->cluster->config->dns;
    uint64_t ms = o->refresh_rate_ms;

    /* A TTL of 0 would be a query per loop turn. */
    if (o->respect_ttl && a->ttl_s > 0) {
        ms = a->ttl_s * 1000;
    }
    if (o->jitter_ms > 0) {
        ms += rng_below(&t->cluster->params.loop->rng, o->jitter_ms);
    }
    return ms;
}

/* Doubles from the base to the maximum; the upper half of the interval is random. */
static uint64_t target_failure_ms(struct dns_target *t)
{
    const struct dns_options *o = &t->cluster->config->dns;
    uint64_t ms = t->backoff_ms > 0 ? t->backoff_ms : o->failure_refresh_base_ms;

    if (o->failure_refresh_max_ms <= o->failure_refresh_base_ms) {
        return o->failure_refresh_base_ms;
    }
    t->backoff_ms = ms * 2 < o->failure_refresh_max_ms ? ms * 2 : o->failure_refresh_max_ms;
    return ms / 2 + rng_below(&t->cluster->params.loop->rng, ms / 2 + 1);
}

static bool cluster_all_answered(const struct dns_cluster *d)
{
    for (size_t i = 0; i < d->target_count; i++) {
        if (!d->targets[i].has_answered) {
            return false;
        }
    }
    return true;
}

static void target_on_answer(void *user, const struct dns_answer *a)
{
    struct dns_target *t = user;
    struct dns_cluster *d = t->cluster;
    struct loop *loop = d->params.loop;
    struct address *list;
    size_t count;
    bool is_changed;

    t->query = NULL;
    t->has_answered = true;
    if (a->status != DNS_OK) {
        cluster_count(d,
                      a->status == DNS_NOT_FOUND ? CLUSTER_UPDATE_EMPTIED : CLUSTER_UPDATE_FAILED);
        timer_arm(loop, &t->timer, target_failure_ms(t));
        if (!d->has_published && !d->has_failed && cluster_all_answered(d)) {
            d->has_failed = true;
            d->params.ops->on_failed(d->params.user, d->config);
        }
        return;
    }
    t->backoff_ms = 0;
    timer_arm(loop, &t->timer, target_refresh_ms(t, a));
    list = answer_addresses(t, a, &count);
    is_changed = target_take(t, list, count);
    cluster_count(d, is_changed ? CLUSTER_UPDATE_CHANGED : CLUSTER_UPDATE_UNCHANGED);
    if (is_changed) {
        cluster_publish(d);
    }
}

static void target_resolve(struct dns_target *t)
{
    struct dns_cluster *d = t->cluster;

    cluster_count(d, CLUSTER_UPDATE_STARTED);
    t->query = dns_resolve(d->params.resolver, t->endpoint->dns_name,
                           (int)d->config->dns.lookup_family, target_on_answer, t);
}

static void target_on_timer(struct timer *timer)
{
    target_resolve(container_of(timer, struct dns_target, timer));
}

/* --- Public --------------------------------------------------------------------------------------
 */

/* With nothing to resolve: published from the loop, as every answer is. */
static void cluster_on_static(struct timer *timer)
{
    cluster_publish(container_of(timer, struct dns_target, timer)->cluster);
}

static size_t count_names(const struct cluster_config *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->load_assignment_count; i++) {
        for (size_t j = 0; j < c->load_assignment[i].endpoint_count; j++) {
            n += c->load_assignment[i].endpoints[j].dns_name.len > 0;
        }
    }
    return n;
}

static void cluster_add_targets(struct dns_cluster *d)
{
    const struct cluster_config *c = d->config;

    for (size_t i = 0; i < c->load_assignment_count; i++) {
        for (size_t j = 0; j < c->load_assignment[i].endpoint_count; j++) {
            const struct endpoint *e = &c->load_assignment[i].endpoints[j];
            struct dns_target *t = &d->targets[d->target_count];

            if (e->dns_name.len > 0) {
                t->cluster = d;
                t->endpoint = e;
                timer_init(&t->timer, target_on_timer);
                d->target_count++;
            }
        }
    }
}

struct dns_cluster *dns_cluster_start(const struct dns_cluster_params *p,
                                      const struct cluster_config *c)
{
    struct dns_cluster *d = xcalloc(1, sizeof(*d));

    d->params = *p;
    d->config = c;
    part_ref(&c->part);
    d->targets = xcalloc(count_names(c) + 1, sizeof(*d->targets));
    cluster_add_targets(d);
    if (d->target_count == 0) {
        d->targets[0].cluster = d;
        timer_init(&d->targets[0].timer, cluster_on_static);
        timer_arm(p->loop, &d->targets[0].timer, 0);
    }
    for (size_t i = 0; i < d->target_count; i++) {
        target_resolve(&d->targets[i]);
    }
    return d;
}

void dns_cluster_stop(struct dns_cluster *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->target_count + (d->target_count == 0); i++) {
        struct dns_target *t = &d->targets[i];

        timer_cancel(d->params.loop, &t->timer);
        dns_cancel(t->query);
        free(t->addresses);
    }
    part_unref(&d->config->part);
    free(d->targets);
    free(d);
}
