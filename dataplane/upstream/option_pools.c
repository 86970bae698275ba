/* Pools by transport options. One thread. */

#include "dataplane/upstream/option_pools.h"

#include <stdlib.h>

#include "dataplane/base/map.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/transport_options.h"
#include "dataplane/upstream/conn_pool.h"
#include "dataplane/upstream/conn_pool_internal.h"
#include "dataplane/upstream/host.h"

/* From so many pools on, one that is idle goes for each that comes; the oldest few are asked. */
#define MANY_POOLS 1024
#define CANDIDATES 16

struct option_pools {
    struct map by_hash; /* the bytes of options->hash -> the first; others follow in next_same */
    struct list used;   /* of conn_pool, least recently used first */
    size_t count;
};

static struct str key_of(const struct transport_options *o)
{
    return str_n((const char *)&o->hash, sizeof(o->hash));
}

static bool pool_fits(const struct conn_pool *p, enum routing_priority priority,
                      enum pool_protocol protocol, const struct transport_options *options)
{
    return p->priority == priority && p->protocol == protocol &&
           transport_options_eq(p->options, options);
}

/* The map's key lies in the first pool of its hash. */
static void set_first(struct option_pools *ops, struct str old_key, struct conn_pool *first)
{
    (void)map_remove(&ops->by_hash, old_key);
    if (first != NULL) {
        (void)map_put(&ops->by_hash, key_of(first->options), first);
    }
}

static void make_room(struct option_pools *ops)
{
    struct conn_pool *p;
    int asked = 0;

    list_for_each (p, &ops->used, struct conn_pool, used_node) {
        if (asked++ == CANDIDATES || conn_pool_close_idle(p)) {
            return;
        }
    }
}

static struct conn_pool *add(struct option_pools *ops, struct conn_pool *p)
{
    if (ops->count >= MANY_POOLS) {
        make_room(ops);
    }
    p->next_same = map_get(&ops->by_hash, key_of(p->options));
    set_first(ops, key_of(p->options), p);
    list_add_tail(&ops->used, &p->used_node);
    ops->count++;
    return p;
}

struct conn_pool *option_pools_get(struct host *h, enum routing_priority priority,
                                   enum pool_protocol protocol,
                                   const struct transport_options *options)
{
    struct option_pools *ops = h->option_pools;
    struct conn_pool *p;

    if (ops == NULL) {
        ops = xcalloc(1, sizeof(*ops));
        map_init(&ops->by_hash);
        list_init(&ops->used);
        h->option_pools = ops;
    }
    p = map_get(&ops->by_hash, key_of(options));
    while (p != NULL && !pool_fits(p, priority, protocol, options)) {
        p = p->next_same;
    }
    if (p == NULL) {
        return add(ops, conn_pool_new(h, priority, protocol, options));
    }
    list_remove(&p->used_node);
    list_add_tail(&ops->used, &p->used_node);
    return p;
}

void option_pools_remove(struct conn_pool *p)
{
    struct option_pools *ops = p->host->option_pools;
    struct conn_pool *first = map_get(&ops->by_hash, key_of(p->options));
    struct conn_pool *before = first;

    if (first == p) {
        set_first(ops, key_of(p->options), p->next_same);
    } else {
        while (before->next_same != p) {
            before = before->next_same;
        }
        before->next_same = p->next_same;
    }
    list_remove(&p->used_node);
    ops->count--;
    conn_pool_free(p);
}

size_t option_pools_count(const struct option_pools *ops)
{
    return ops != NULL ? ops->count : 0;
}

void option_pools_drain(struct option_pools *ops)
{
    struct conn_pool *p;

    if (ops == NULL) {
        return;
    }
    list_for_each (p, &ops->used, struct conn_pool, used_node) {
        conn_pool_drain(p);
    }
}

void option_pools_free(struct option_pools *ops)
{
    struct conn_pool *p;

    if (ops == NULL) {
        return;
    }
    list_for_each (p, &ops->used, struct conn_pool, used_node) {
        list_remove(&p->used_node);
        conn_pool_free(p);
    }
    map_done(&ops->by_hash);
    free(ops);
}
