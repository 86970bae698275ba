/* Wires upstream/dns_cluster.c to the store. Main thread. */

#include "dataplane/server/dns_clusters.h"

#include <stdlib.h>

#include "config/store.h"
#include "dataplane/base/list.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/dns.h"
#include "dataplane/upstream/dns_cluster.h"

struct dns_entry {
    struct list node;
    const struct cluster_config *config;
    struct dns_cluster *cluster;
};

struct dns_clusters {
    struct dns_cluster_params params;
    struct config_store *store;
    struct list entries;
};

static void dns_on_endpoints(void *user, const struct cluster_config *c, struct endpoint_set *take)
{
    config_store_put_endpoints(((struct dns_clusters *)user)->store, c->endpoints_slot, take);
}

static void dns_on_failed(void *user, const struct cluster_config *c)
{
    config_store_give_up(((struct dns_clusters *)user)->store, PART_ENDPOINTS, c->endpoints_slot);
}

static const struct dns_cluster_ops dns_ops = {
    .on_endpoints = dns_on_endpoints,
    .on_failed = dns_on_failed,
};

int dns_clusters_new(struct loop *l, struct cluster_registry *registry, struct dns_clusters **ret)
{
    struct dns_clusters *d = xcalloc(1, sizeof(*d));
    int r = dns_resolver_new(l, &d->params.resolver);

    if (r != 0) {
        free(d);
        return r;
    }
    list_init(&d->entries);
    d->params.loop = l;
    d->params.registry = registry;
    d->params.ops = &dns_ops;
    d->params.user = d;
    *ret = d;
    return 0;
}

void dns_clusters_set_store(struct dns_clusters *d, struct config_store *s)
{
    d->store = s;
}

void dns_clusters_start(struct dns_clusters *d, const struct cluster_config *c)
{
    struct dns_entry *e;

    if (c->type != DISCOVERY_STRICT_DNS && c->type != DISCOVERY_LOGICAL_DNS) {
        return;
    }
    e = xcalloc(1, sizeof(*e));
    e->config = c;
    e->cluster = dns_cluster_start(&d->params, c);
    list_add_tail(&d->entries, &e->node);
}

static void dns_entry_free(struct dns_entry *e)
{
    dns_cluster_stop(e->cluster);
    list_remove(&e->node);
    free(e);
}

void dns_clusters_stop(struct dns_clusters *d, const struct cluster_config *c)
{
    struct dns_entry *e;

    list_for_each (e, &d->entries, struct dns_entry, node) {
        if (e->config == c) {
            dns_entry_free(e);
            return;
        }
    }
}

void dns_clusters_close(struct dns_clusters *d)
{
    struct dns_entry *e;

    if (d == NULL) {
        return;
    }
    list_for_each (e, &d->entries, struct dns_entry, node) {
        dns_entry_free(e);
    }
    dns_resolver_close(d->params.resolver);
    free(d);
}
