/* Hosts: identity, counting, leaving the table. One thread each; their counts are read by main. */

#include "dataplane/upstream/host.h"

#include <stdlib.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/transport_socket.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/conn_pool.h"
#include "dataplane/upstream/option_pools.h"
#include "dataplane/upstream/transport_match.h"
#include "dataplane/upstream/upstream.h"

enum host_health host_health_of(enum health_status s)
{
    switch (s) {
    case HEALTH_UNHEALTHY:
    case HEALTH_DRAINING:
    case HEALTH_TIMEOUT:
        return HOST_UNHEALTHY;
    case HEALTH_DEGRADED:
        return HOST_DEGRADED;
    case HEALTH_UNKNOWN:
    case HEALTH_HEALTHY:
        break;
    }
    return HOST_HEALTHY;
}

uint64_t endpoint_key(const struct endpoint *e)
{
    uint64_t h = address_hash(&e->address);

    for (size_t i = 0; i < e->additional_count; i++) {
        uint64_t a = address_hash(&e->additional[i]);

        h = hash_mix(h, &a, sizeof(a));
    }
    return hash_mix(h, e->hostname.ptr, e->hostname.len);
}

struct host *host_new(struct cluster *c, const struct endpoint *e, uint64_t key,
                      const struct transport_socket_match *match)
{
    size_t addresses_bytes = (1 + e->additional_count) * sizeof(struct address);
    struct host *h = xcalloc(1, sizeof(*h) + addresses_bytes + e->hostname.len);
    char *text = (char *)h + sizeof(*h) + addresses_bytes;

    h->refs = 1;
    h->cluster = c;
    h->key = key;
    h->address_count = 1 + e->additional_count;
    h->addresses[0] = e->address;
    for (size_t i = 0; i < e->additional_count; i++) {
        h->addresses[1 + i] = e->additional[i];
    }
    if (e->hostname.len > 0) {
        memcpy(text, e->hostname.ptr, e->hostname.len);
    }
    h->hostname = str_n(text, e->hostname.len);
    host_update(h, e, match);
    return h;
}

bool endpoint_is_canary(const struct endpoint *e)
{
    const struct value *lb = e->metadata != NULL ? value_get(e->metadata, STR("envoy.lb")) : NULL;
    const struct value *canary = lb != NULL ? value_get(lb, STR("canary")) : NULL;

    return canary != NULL && canary->kind == VALUE_BOOL && canary->boolean;
}

static void host_set_transport(struct host *h, const struct transport_socket_match *match)
{
    const struct cluster_config *config = h->cluster->config;
    const struct extension *ext = match != NULL ? match->ext : config->transport_socket;

    h->transport = (const struct transport_socket *)ext;
    h->transport_config = match != NULL ? match->config : config->transport_socket_config;
    h->transport_hash = transport_match_hash(match);
}

void host_update(struct host *h, const struct endpoint *e,
                 const struct transport_socket_match *match)
{
    host_set_transport(h, match);
    h->weight = e->weight > 0 ? e->weight : 1;
    h->health = host_health_of(e->health);
    h->is_excluded = e->health == HEALTH_DRAINING;
    h->is_canary = endpoint_is_canary(e);
    h->metadata = e->metadata;
}

void host_ref(struct host *h)
{
    CHECK(h->refs > 0);
    h->refs++;
}

static void host_free(struct host *h)
{
    struct cluster *c = h->is_detached ? h->cluster : NULL;

    for (size_t i = 0; i < PRIORITY_COUNT; i++) {
        for (size_t j = 0; j < POOL_PROTOCOL_COUNT; j++) {
            conn_pool_free(h->pools[i][j]);
        }
    }
    option_pools_free(h->option_pools);
    if (h->stats != NULL) {
        atomic_store_explicit(&h->stats->is_retired, true, memory_order_release);
    }
    free(h);
    cluster_unref(c);
}

void host_unref(struct host *h)
{
    if (h == NULL) {
        return;
    }
    CHECK(h->refs > 0);
    if (--h->refs == 0) {
        host_free(h);
    }
}

void host_drain(struct host *h)
{
    for (size_t i = 0; i < PRIORITY_COUNT; i++) {
        for (size_t j = 0; j < POOL_PROTOCOL_COUNT; j++) {
            if (h->pools[i][j] != NULL) {
                conn_pool_drain(h->pools[i][j]);
            }
        }
    }
    option_pools_drain(h->option_pools);
}

void host_detach(struct host *h)
{
    CHECK(!h->is_detached);
    h->is_detached = true;
    h->metadata = NULL;
    cluster_ref(h->cluster);
    host_drain(h);
    host_unref(h);
}

const struct address *host_address(const struct host *h)
{
    return &h->addresses[0];
}

const struct value *const *host_metadata(const struct host *h)
{
    return &h->metadata;
}

struct str host_name(const struct host *h)
{
    return h->hostname;
}

const struct transport_socket *host_transport(const struct host *h)
{
    return h->transport;
}

const void *host_transport_config(const struct host *h)
{
    return h->transport_config;
}

bool host_is_secure(const struct host *h)
{
    return transport_is_secure(h->transport, h->transport_config);
}
