/*
 * No two filter chains of a listener may want the same connection, nor may one want it twice (as
 * Envoy). Main thread, when a listener is
 * prepared. Chains that cannot meet are never compared: what both must have in common is hashed
 * first, so that ten thousand chains cost ten thousand look-ups.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/map.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/filter_chain_match.h"
#include "dataplane/net/filter_chain_match_internal.h"

static bool cidrs_meet(const struct cidr *a, size_t na, const struct cidr *b, size_t nb)
{
    for (size_t i = 0; i < na; i++) {
        for (size_t j = 0; j < nb; j++) {
            if (a[i].is_v6 == b[j].is_v6 && a[i].prefix_len == b[j].prefix_len &&
                memcmp(a[i].bytes, b[j].bytes, sizeof(a[i].bytes)) == 0) {
                return true;
            }
        }
    }
    return na == 0 && nb == 0;
}

static bool strs_meet(const struct str *a, size_t na, const struct str *b, size_t nb)
{
    for (size_t i = 0; i < na; i++) {
        for (size_t j = 0; j < nb; j++) {
            if (str_eq(a[i], b[j])) {
                return true;
            }
        }
    }
    return na == 0 && nb == 0;
}

static bool ports_meet(const uint32_t *a, size_t na, const uint32_t *b, size_t nb)
{
    for (size_t i = 0; i < na; i++) {
        for (size_t j = 0; j < nb; j++) {
            if (a[i] == b[j]) {
                return true;
            }
        }
    }
    return na == 0 && nb == 0;
}

/* Equally specific at every level: some connection would fit both. */
static bool matches_meet(const struct filter_chain_match *a, const struct filter_chain_match *b)
{
    return a->destination_port.is_set == b->destination_port.is_set &&
           a->destination_port.value == b->destination_port.value &&
           a->source_type == b->source_type &&
           str_eq(a->transport_protocol, b->transport_protocol) &&
           cidrs_meet(a->prefix_ranges, a->prefix_range_count, b->prefix_ranges,
                      b->prefix_range_count) &&
           strs_meet(a->server_names, a->server_name_count, b->server_names,
                     b->server_name_count) &&
           strs_meet(a->application_protocols, a->application_protocol_count,
                     b->application_protocols, b->application_protocol_count) &&
           cidrs_meet(a->direct_source_prefix_ranges, a->direct_source_prefix_range_count,
                      b->direct_source_prefix_ranges, b->direct_source_prefix_range_count) &&
           cidrs_meet(a->source_prefix_ranges, a->source_prefix_range_count,
                      b->source_prefix_ranges, b->source_prefix_range_count) &&
           ports_meet(a->source_ports, a->source_port_count, b->source_ports, b->source_port_count);
}

static bool cidrs_equal(const struct cidr *a, size_t na, const struct cidr *b, size_t nb)
{
    for (size_t i = 0; na == nb && i < na; i++) {
        if (!cidrs_meet(&a[i], 1, &b[i], 1)) {
            return false;
        }
    }
    return na == nb;
}

static bool strs_equal(const struct str *a, size_t na, const struct str *b, size_t nb)
{
    for (size_t i = 0; na == nb && i < na; i++) {
        if (!str_eq(a[i], b[i])) {
            return false;
        }
    }
    return na == nb;
}

/* Of two matches that meet: whether nothing tells them apart. */
static bool lists_equal(const struct filter_chain_match *a, const struct filter_chain_match *b)
{
    return cidrs_equal(a->prefix_ranges, a->prefix_range_count, b->prefix_ranges,
                       b->prefix_range_count) &&
           strs_equal(a->server_names, a->server_name_count, b->server_names,
                      b->server_name_count) &&
           strs_equal(a->application_protocols, a->application_protocol_count,
                      b->application_protocols, b->application_protocol_count) &&
           cidrs_equal(a->direct_source_prefix_ranges, a->direct_source_prefix_range_count,
                       b->direct_source_prefix_ranges, b->direct_source_prefix_range_count) &&
           cidrs_equal(a->source_prefix_ranges, a->source_prefix_range_count,
                       b->source_prefix_ranges, b->source_prefix_range_count) &&
           a->source_port_count == b->source_port_count &&
           (a->source_port_count == 0 ||
            memcmp(a->source_ports, b->source_ports,
                   a->source_port_count * sizeof(*a->source_ports)) == 0);
}

static bool cidrs_repeat(const struct cidr *a, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (cidrs_meet(&a[i], 1, &a[i + 1], n - i - 1)) {
            return true;
        }
    }
    return false;
}

/* Whether one of the lists that are no part of the key holds a value twice. */
static bool lists_repeat(const struct filter_chain_match *m)
{
    for (size_t i = 0; i + 1 < m->application_protocol_count; i++) {
        if (strs_meet(&m->application_protocols[i], 1, &m->application_protocols[i + 1],
                      m->application_protocol_count - i - 1)) {
            return true;
        }
    }
    for (size_t i = 0; i + 1 < m->source_port_count; i++) {
        if (ports_meet(&m->source_ports[i], 1, &m->source_ports[i + 1],
                       m->source_port_count - i - 1)) {
            return true;
        }
    }
    return cidrs_repeat(m->direct_source_prefix_ranges, m->direct_source_prefix_range_count) ||
           cidrs_repeat(m->source_prefix_ranges, m->source_prefix_range_count);
}

/* Addresses as Envoy prints them: "127.0.0.1:80,[::1]:80". */
static void list_addresses(const struct listener_config *l, struct strbuf *out)
{
    for (size_t i = 0; i < l->address_count; i++) {
        char text[ADDRESS_TEXT_MAX];
        size_t len = address_format(&l->addresses[i], text);

        strbuf_add_c(out, i > 0 ? "," : "");
        strbuf_add(out, text, len);
    }
}

static int refuse_overlap(const struct listener_config *l, size_t i, size_t j, struct error *reterr)
{
    const struct filter_chain_config *a = l->chains[j];
    const struct filter_chain_config *b = l->chains[i];
    struct strbuf where;

    strbuf_init(&where);
    list_addresses(l, &where);
    if (i != j && lists_equal(&a->match, &b->match)) {
        (void)error_set(reterr, E_EXISTS,
                        "filter_chains[%zu]: error adding listener '%.*s': filter chain '%.*s' has "
                        "the same matching rules defined as '%.*s'",
                        i, STR_ARG(strbuf_str(&where)), STR_ARG(b->name), STR_ARG(a->name));
    } else {
        (void)error_set(reterr, E_EXISTS,
                        "filter_chains[%zu]: error adding listener '%.*s': multiple filter chains "
                        "with overlapping matching rules are defined",
                        i, STR_ARG(strbuf_str(&where)));
    }
    strbuf_done(&where);
    return E_EXISTS;
}

/* --- candidates ---------------------------------------------------------------------------- */

/* Chains with one combination of port, prefix, server name, source type and transport protocol. */
struct meeting {
    struct meeting *next; /* a later chain */
    size_t chain;
};

struct meetings {
    struct arena arena;
    struct map by_key; /* to the first meeting */
    bool has_repeat;   /* a chain came under one key twice: it names a value twice */
};

static void add_name(struct strbuf *key, const struct filter_chain_match *m, size_t name)
{
    if (m->server_name_count > 0) {
        strbuf_add_char(key, '=');
        strbuf_add_str(key, m->server_names[name]);
    }
}

static void meeting_key(const struct filter_chain_match *m, size_t name, size_t range,
                        struct strbuf *key)
{
    strbuf_reset(key);
    strbuf_add(key, &m->destination_port.value, sizeof(m->destination_port.value));
    strbuf_add_char(key, (char)m->source_type);
    if (m->prefix_range_count > 0) {
        strbuf_add(key, &m->prefix_ranges[range], sizeof(m->prefix_ranges[range]));
    }
    strbuf_add_char(key, '/');
    strbuf_add_str(key, m->transport_protocol);
    add_name(key, m, name);
}

/* Enters chain `i` under one key. The lowest chain before it that it really meets, or `i`. */
static size_t meetings_enter(struct meetings *all, const struct listener_config *l, size_t i,
                             struct str key)
{
    struct meeting *m = map_get(&all->by_key, key);
    struct meeting *entry = ARENA_NEW(&all->arena, struct meeting);

    entry->chain = i;
    if (m == NULL) {
        (void)map_put(&all->by_key, arena_str(&all->arena, key), entry); /* there was none */
        return i;
    }
    for (;; m = m->next) {
        all->has_repeat |= m->chain == i;
        if (m->chain != i && matches_meet(&l->chains[m->chain]->match, &l->chains[i]->match)) {
            return m->chain;
        }
        if (m->next == NULL) {
            break;
        }
    }
    m->next = entry;
    return i;
}

static size_t meetings_find(struct meetings *all, const struct listener_config *l, size_t i,
                            struct strbuf *key)
{
    const struct filter_chain_match *m = &l->chains[i]->match;
    size_t names = m->server_name_count > 0 ? m->server_name_count : 1;
    size_t ranges = m->prefix_range_count > 0 ? m->prefix_range_count : 1;
    size_t lowest = i;

    for (size_t n = 0; n < names; n++) {
        for (size_t r = 0; r < ranges; r++) {
            size_t j;

            meeting_key(m, n, r, key);
            j = meetings_enter(all, l, i, strbuf_str(key));
            lowest = j < lowest ? j : lowest;
        }
    }
    return lowest;
}

int filter_chain_check_overlap(const struct listener_config *l, struct error *reterr)
{
    struct meetings all = {.has_repeat = false};
    struct strbuf key;
    int r = 0;

    arena_init(&all.arena, NULL);
    map_init(&all.by_key);
    strbuf_init(&key);
    for (size_t i = 0; r == 0 && i < l->chain_count; i++) {
        size_t j = meetings_find(&all, l, i, &key);

        if (j != i || all.has_repeat || lists_repeat(&l->chains[i]->match)) {
            r = refuse_overlap(l, i, j, reterr);
        }
    }
    strbuf_done(&key);
    map_done(&all.by_key);
    arena_done(&all.arena);
    return r;
}
