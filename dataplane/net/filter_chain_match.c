/*
 * Filter chain choice. Each level keeps, of the chains still in the running, those whose value is
 * the most specific that fits; a chain without a value at a level fits everything, least
 * specifically. There is no way back: if no chain is left the default chain is taken. Read by all
 * workers; built on main.
 */

#include "dataplane/net/filter_chain_match.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/xalloc.h"

#define NO_FIT (-1) /* the chain asks for something else */
#define ANY_FITS 0  /* the chain does not care */
#define EXACT_FIT (1 << 20)

struct filter_chain_index {
    const struct listener_config *listener; /* borrowed */
    bool is_trivial;                        /* one chain without any condition */
};

/* How specifically a chain fits at one level; higher is more, NO_FIT not at all. */
typedef int level_fn(const struct filter_chain_match *m, const struct filter_chain_key *key);

static int fit_cidrs(const struct cidr *ranges, size_t count, const struct address *a)
{
    /* As Envoy: a unix address only fits ranges that hold everything. */
    static const struct address nowhere = {.in = {.sin_family = AF_INET, .sin_addr = {INADDR_NONE}},
                                           .len = sizeof(nowhere.in)};
    int best = NO_FIT;

    if (count == 0) {
        return ANY_FITS;
    }
    if (a == NULL || !address_is_ip(a)) {
        a = &nowhere;
    }
    for (size_t i = 0; i < count; i++) {
        if (cidr_contains(&ranges[i], a) && ranges[i].prefix_len + 1 > best) {
            best = ranges[i].prefix_len + 1; /* 0.0.0.0/0 is more specific than nothing */
        }
    }
    return best;
}

static int level_destination_port(const struct filter_chain_match *m,
                                  const struct filter_chain_key *key)
{
    if (!m->destination_port.is_set) {
        return ANY_FITS;
    }
    return address_is_ip(key->destination) &&
                   address_port(key->destination) == m->destination_port.value
               ? EXACT_FIT
               : NO_FIT;
}

static int level_destination(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    return fit_cidrs(m->prefix_ranges, m->prefix_range_count, key->destination);
}

static int level_server_name(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    int best = NO_FIT;

    if (m->server_name_count == 0) {
        return ANY_FITS;
    }
    for (size_t i = 0; i < m->server_name_count; i++) {
        struct str name = m->server_names[i];

        if (str_eq(name, key->server_name)) {
            return EXACT_FIT;
        }
        if (str_starts(name, STR("*."))) {
            struct str suffix = str_sub(name, 1, name.len);

            if (key->server_name.len > suffix.len && str_ends(key->server_name, suffix) &&
                (int)suffix.len > best) {
                best = (int)suffix.len;
            }
        }
    }
    return best;
}

static int level_transport(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    if (m->transport_protocol.len == 0) {
        return ANY_FITS;
    }
    return str_eq(m->transport_protocol, key->transport_protocol) ? EXACT_FIT : NO_FIT;
}

/* The client's first choice that some chain offers wins. */
static int level_application(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    if (m->application_protocol_count == 0) {
        return ANY_FITS;
    }
    for (size_t k = 0; k < key->application_protocol_count; k++) {
        for (size_t i = 0; i < m->application_protocol_count; i++) {
            if (str_eq(m->application_protocols[i], key->application_protocols[k])) {
                return EXACT_FIT - (int)k;
            }
        }
    }
    return NO_FIT;
}

static int level_direct_source(const struct filter_chain_match *m,
                               const struct filter_chain_key *key)
{
    return fit_cidrs(m->direct_source_prefix_ranges, m->direct_source_prefix_range_count,
                     key->direct_source);
}

static bool key_is_local(const struct filter_chain_key *key)
{
    return !address_is_ip(key->source) || address_is_loopback(key->source) ||
           address_eq_ip(key->source, key->destination);
}

static int level_source_type(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    switch (m->source_type) {
    case SOURCE_SAME_IP_OR_LOOPBACK:
        return key_is_local(key) ? EXACT_FIT : NO_FIT;
    case SOURCE_EXTERNAL:
        return key_is_local(key) ? NO_FIT : EXACT_FIT;
    default:
        return ANY_FITS;
    }
}

static int level_source(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    return fit_cidrs(m->source_prefix_ranges, m->source_prefix_range_count, key->source);
}

static int level_source_port(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    if (m->source_port_count == 0) {
        return ANY_FITS;
    }
    for (size_t i = 0; i < m->source_port_count; i++) {
        if (address_is_ip(key->source) && address_port(key->source) == m->source_ports[i]) {
            return EXACT_FIT;
        }
    }
    return NO_FIT;
}

static level_fn *const LEVELS[] = {
    level_destination_port, level_destination, level_server_name,
    level_transport,        level_application, level_direct_source,
    level_source_type,      level_source,      level_source_port,
};

/* Keeps the best of `chains` in place; returns how many. */
static size_t level_keep_best(level_fn *fit, const struct filter_chain_key *key,
                              const struct filter_chain_config **chains, size_t count)
{
    int best = NO_FIT;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        int s = fit(&chains[i]->match, key);

        best = s > best ? s : best;
    }
    for (size_t i = 0; best != NO_FIT && i < count; i++) {
        if (fit(&chains[i]->match, key) == best) {
            chains[kept++] = chains[i];
        }
    }
    return kept;
}

#define CHAINS_ON_STACK 64

const struct filter_chain_config *filter_chain_index_find(const struct filter_chain_index *ix,
                                                          const struct filter_chain_key *key)
{
    const struct listener_config *l = ix->listener;
    const struct filter_chain_config *on_stack[CHAINS_ON_STACK];
    const struct filter_chain_config **chains = on_stack;
    const struct filter_chain_config *found = l->default_chain;
    size_t count = l->chain_count;

    if (ix->is_trivial) {
        return l->chains[0];
    }
    if (count > CHAINS_ON_STACK) {
        chains = xcalloc(count, sizeof(*chains));
    }
    for (size_t i = 0; i < count; i++) {
        chains[i] = l->chains[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(LEVELS) && count > 0; i++) {
        count = level_keep_best(LEVELS[i], key, chains, count);
    }
    if (count > 0) {
        found = chains[0];
    }
    if (chains != on_stack) {
        free(chains);
    }
    return found;
}

/* --- building: no two chains may want the same connection ---------------------------------- */

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
    if (lists_equal(&a->match, &b->match)) {
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

static int check_overlap(const struct listener_config *l, struct error *reterr)
{
    for (size_t i = 1; i < l->chain_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (matches_meet(&l->chains[j]->match, &l->chains[i]->match)) {
                return refuse_overlap(l, i, j, reterr);
            }
        }
    }
    return 0;
}

static bool match_is_empty(const struct filter_chain_match *m)
{
    return !m->destination_port.is_set && m->prefix_range_count == 0 && m->server_name_count == 0 &&
           m->transport_protocol.len == 0 && m->application_protocol_count == 0 &&
           m->direct_source_prefix_range_count == 0 && m->source_type == SOURCE_ANY &&
           m->source_prefix_range_count == 0 && m->source_port_count == 0;
}

int filter_chain_index_new(const struct listener_config *l, struct filter_chain_index **ret,
                           struct error *reterr)
{
    struct filter_chain_index *ix;
    int r = check_overlap(l, reterr);

    if (r != 0) {
        return r;
    }
    ix = xcalloc(1, sizeof(*ix));
    ix->listener = l;
    ix->is_trivial = l->chain_count == 1 && match_is_empty(&l->chains[0]->match);
    *ret = ix;
    return 0;
}

void filter_chain_index_free(struct filter_chain_index *ix)
{
    free(ix);
}
