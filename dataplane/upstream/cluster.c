/* A thread's clusters: hosts, and the counts they share. One thread. */

#include "dataplane/upstream/cluster.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster_registry.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/grpc_series.h"
#include "dataplane/upstream/upstream.h"

static const struct endpoint_set *endpoints_of(const struct part_handle *h)
{
    return h != NULL ? (const struct endpoint_set *)h->part : NULL;
}

/* Envoy rounds the percentage before it compares. */
static double cluster_panic_threshold(const struct cluster *c)
{
    double percent = c->config->panic_threshold;

    return percent >= 100 ? 100 : (double)(uint32_t)(percent + 0.5);
}

/* Whether connections made under the old configuration may serve the new one. */
static bool cluster_shares_pools(const struct cluster *old, const struct cluster *c)
{
    return old != NULL && old->config->pool_hash == c->config->pool_hash &&
           old->config->shared == c->config->shared;
}

struct cluster *cluster_new(struct thread_context *t, struct part_handle *config,
                            struct part_handle *endpoints, struct cluster *old)
{
    struct cluster *c = xcalloc(1, sizeof(*c));

    c->refs = 1;
    c->thread = t;
    c->config = (const struct cluster_config *)config->part;
    c->config_handle = config;
    c->endpoints_handle = endpoints;
    part_handle_ref(config);
    if (endpoints != NULL) {
        part_handle_ref(endpoints);
    }
    c->stats = cluster_shared_stats(c->config->shared, t->loop->index);
    c->breakers = cluster_shared_breakers(c->config->shared);
    c->is_current = true;
    priority_set_init(&c->set, c, endpoints_of(endpoints), cluster_panic_threshold(c),
                      cluster_shares_pools(old, c) ? &old->set : NULL);
    return c;
}

void cluster_set_endpoints(struct cluster *c, struct part_handle *endpoints)
{
    struct part_handle *before = c->endpoints_handle;
    struct priority_set old = c->set;

    if (endpoints != NULL) {
        part_handle_ref(endpoints);
    }
    c->endpoints_handle = endpoints;
    priority_set_init(&c->set, c, endpoints_of(endpoints), cluster_panic_threshold(c), &old);
    part_handle_unref(before);
}

void cluster_retire(struct cluster *c, struct cluster *successor)
{
    c->is_current = false;
    if (successor != NULL) {
        cluster_ref(successor);
        c->successor = successor;
        priority_set_done(&c->set);
    }
    for (size_t i = 0; i < c->set.host_count; i++) {
        host_drain(c->set.hosts[i]);
    }
    cluster_unref(c);
}

void cluster_ref(struct cluster *c)
{
    CHECK(c->refs > 0);
    c->refs++;
}

void cluster_unref(struct cluster *c)
{
    if (c == NULL) {
        return;
    }
    CHECK(c->refs > 0);
    if (--c->refs == 0) {
        CHECK(!c->is_current);
        if (c->set.host_count > 0) {
            c->refs = 1; /* detached hosts hold it until their connections are gone */
            priority_set_done(&c->set);
            cluster_unref(c);
            return;
        }
        priority_set_done(&c->set);
        cluster_unref(c->successor);
        part_handle_unref(c->endpoints_handle);
        part_handle_unref(c->config_handle);
        free(c);
    }
}

const struct cluster_config *cluster_config_of(const struct cluster *c)
{
    return c->config;
}

struct stat_block *cluster_stats(struct cluster *c)
{
    return c->stats;
}

struct stat_block *cluster_size_stats(struct cluster *c)
{
    return c->config->tracks_sizes
               ? cluster_shared_size_stats(c->config->shared, c->thread->loop->index)
               : NULL;
}

struct stat_block *cluster_budget_stats(struct cluster *c)
{
    return c->config->tracks_budgets
               ? cluster_shared_budget_stats(c->config->shared, c->thread->loop->index)
               : NULL;
}

struct stat_block *cluster_grpc_series(struct cluster *c, enum grpc_family family,
                                       const struct grpc_method *method, bool replaces_dots)
{
    return grpc_series_set_get(cluster_shared_grpc(c->config->shared),
                               (size_t)(c->thread->loop->index - LOOP_MAIN_INDEX), family, method,
                               replaces_dots);
}

struct host *cluster_pick(struct cluster *c, const struct lb_context *ctx)
{
    bool is_panic;
    struct host *h;

    while (NUNCIO_UNLIKELY(c->successor != NULL)) {
        c = c->successor;
    }
    h = lb_pick(&c->set, &c->config->lb, ctx, &c->thread->loop->rng, &is_panic);
    if (is_panic) {
        stat_inc(c->stats, CLUSTER_LB_HEALTHY_PANIC);
    }
    if (h == NULL) {
        stat_inc(c->stats, CLUSTER_UPSTREAM_CX_NONE_HEALTHY);
        return NULL;
    }
    host_ref(h);
    return h;
}

void cluster_make_host_stats(struct cluster *c, struct host *h)
{
    if (h->stats == NULL) {
        h->stats = cluster_shared_add_host_stats(c->config->shared, h->key);
    }
}
