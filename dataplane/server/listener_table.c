/* Listeners by address. Worker thread; owns its entries, not the listeners. */

#include "dataplane/server/listener_table.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/xalloc.h"

/* Family, port, IP: two addresses are the same listener's when these are. */
struct address_key {
    char bytes[1 + 2 + 16];
};

struct listener_entry {
    struct address_key key;
    struct worker_listener *listener;
};

static struct str key_str(const struct address_key *k)
{
    return str_n(k->bytes, sizeof(k->bytes));
}

static struct address_key key_of(const struct address *a)
{
    struct address_key k = {{0}};
    uint16_t port = address_port(a);
    bool is_v6 = a->sa.sa_family == AF_INET6;

    k.bytes[0] = is_v6;
    memcpy(k.bytes + 1, &port, sizeof(port));
    if (is_v6) {
        memcpy(k.bytes + 3, &a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
    } else {
        memcpy(k.bytes + 3, &a->in.sin_addr, sizeof(a->in.sin_addr));
    }
    return k;
}

static struct address_key wildcard_key(bool is_v6, uint16_t port)
{
    struct address_key k = {{is_v6}};

    memcpy(k.bytes + 1, &port, sizeof(port));
    return k;
}

void listener_table_init(struct listener_table *t)
{
    map_init(&t->by_address);
}

void listener_table_done(struct listener_table *t)
{
    map_for_each (e, &t->by_address) {
        free(e->value);
    }
    map_done(&t->by_address);
}

static void table_put(struct listener_table *t, struct address_key key, struct worker_listener *wl)
{
    struct listener_entry *e = map_get(&t->by_address, key_str(&key));

    if (e == NULL) {
        e = xcalloc(1, sizeof(*e));
        e->key = key;
        (void)map_put(&t->by_address, key_str(&e->key), e); /* there was none */
    }
    e->listener = wl;
}

static void table_drop(struct listener_table *t, struct address_key key,
                       const struct worker_listener *wl)
{
    struct listener_entry *e = map_get(&t->by_address, key_str(&key));

    if (e != NULL && e->listener == wl) {
        (void)map_remove(&t->by_address, key_str(&key)); /* it is e */
        free(e);
    }
}

/* [::] with ipv4_compat takes IPv4 too. */
static bool is_both(const struct listener_config *l, const struct address *a)
{
    return l->ipv4_compat && a->sa.sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

void listener_table_add(struct listener_table *t, const struct listener_config *l,
                        struct worker_listener *wl)
{
    for (size_t i = 0; i < l->address_count; i++) {
        const struct address *a = &l->addresses[i];

        if (address_is_ip(a)) {
            table_put(t, key_of(a), wl);
        }
        if (is_both(l, a)) {
            table_put(t, wildcard_key(false, address_port(a)), wl);
        }
    }
}

void listener_table_remove(struct listener_table *t, const struct listener_config *l,
                           const struct worker_listener *wl)
{
    for (size_t i = 0; i < l->address_count; i++) {
        const struct address *a = &l->addresses[i];

        if (address_is_ip(a)) {
            table_drop(t, key_of(a), wl);
        }
        if (is_both(l, a)) {
            table_drop(t, wildcard_key(false, address_port(a)), wl);
        }
    }
}

struct worker_listener *listener_table_find(const struct listener_table *t,
                                            const struct address *destination)
{
    struct address_key key;
    const struct listener_entry *e;

    if (!address_is_ip(destination)) {
        return NULL;
    }
    key = key_of(destination);
    e = map_get(&t->by_address, key_str(&key));
    if (e == NULL) {
        key = wildcard_key(destination->sa.sa_family == AF_INET6, address_port(destination));
        e = map_get(&t->by_address, key_str(&key));
    }
    return e != NULL ? e->listener : NULL;
}
