/*
 * Filter chain choice. Each level keeps, of the chains still in the running, those whose value is
 * the most specific that fits; a chain without a value at a level fits everything, least
 * specifically. There is no way back: if no chain is left the default chain is taken. Read by all
 * workers; built on main.
 *
 * Many chains are split level by level into a tree of hashes, until few enough are left to be tried
 * one by one: a look-up among ten thousand server names costs what one among ten does.
 */

#include "dataplane/net/filter_chain_match.h"

#include <stdlib.h>
#include <string.h>

#include "config/model/cidr_table.h"
#include "config/model/matcher.h"
#include "config/model/network_inputs.h"
#include "config/model/str_table.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/filter_chain_match_internal.h"

#define NO_FIT (-1) /* the chain asks for something else */
#define ANY_FITS 0  /* the chain does not care */
#define EXACT_FIT (1 << 20)

/* So many chains are not worth a hash. */
#define LINEAR_MAX 8

/* Chains that are still in the running when the levels before this one have been looked at. */
struct chain_node {
    size_t level;
    /* Few: compared one by one from `level` on. */
    const struct filter_chain_config *chains[LINEAR_MAX];
    size_t chain_count;
    /* Many: by their values at `level`. */
    bool is_split;
    struct str_table by_value;
    struct str_table by_suffix; /* server names "*.suffix", with the dot */
    struct cidr_table by_range;
    const struct chain_node **children;
    const struct chain_node *any; /* chains without a value; NULL: none */
};

struct filter_chain_index {
    const struct listener_config *listener; /* borrowed */
    bool is_trivial;                        /* one chain without any condition */
    struct arena arena;
    const struct chain_node *root; /* NULL: no chains, or a matcher chooses */
};

/* How specifically a chain fits at one level; higher is more, NO_FIT not at all. */
typedef int level_fn(const struct filter_chain_match *m, const struct filter_chain_key *key);

/* As Envoy: a unix address only fits ranges that hold everything. */
static const struct address *address_or_nowhere(const struct address *a)
{
    static const struct address nowhere = {.in = {.sin_family = AF_INET, .sin_addr = {INADDR_NONE}},
                                           .len = sizeof(nowhere.in)};

    return a != NULL && address_is_ip(a) ? a : &nowhere;
}

static int fit_cidrs(const struct cidr *ranges, size_t count, const struct address *a)
{
    int best = NO_FIT;

    if (count == 0) {
        return ANY_FITS;
    }
    a = address_or_nowhere(a);
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

        if (name.len == 0) {
            best = best > ANY_FITS ? best : ANY_FITS; /* as Envoy: the same as not to say */
        } else if (str_eq(name, key->server_name)) {
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

static int level_source_type(const struct filter_chain_match *m, const struct filter_chain_key *key)
{
    switch (m->source_type) {
    case SOURCE_SAME_IP_OR_LOOPBACK:
        return network_source_is_local(key->source, key->destination) ? EXACT_FIT : NO_FIT;
    case SOURCE_EXTERNAL:
        return network_source_is_local(key->source, key->destination) ? NO_FIT : EXACT_FIT;
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

enum level {
    LEVEL_DESTINATION_PORT,
    LEVEL_DESTINATION,
    LEVEL_SERVER_NAME,
    LEVEL_TRANSPORT,
    LEVEL_APPLICATION,
    LEVEL_DIRECT_SOURCE,
    LEVEL_SOURCE_TYPE,
    LEVEL_SOURCE,
    LEVEL_SOURCE_PORT,
    LEVEL_COUNT
};

static level_fn *const LEVELS[LEVEL_COUNT] = {
    [LEVEL_DESTINATION_PORT] = level_destination_port, [LEVEL_DESTINATION] = level_destination,
    [LEVEL_SERVER_NAME] = level_server_name,           [LEVEL_TRANSPORT] = level_transport,
    [LEVEL_APPLICATION] = level_application,           [LEVEL_DIRECT_SOURCE] = level_direct_source,
    [LEVEL_SOURCE_TYPE] = level_source_type,           [LEVEL_SOURCE] = level_source,
    [LEVEL_SOURCE_PORT] = level_source_port,
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

/* --- finding ------------------------------------------------------------------------------- */

static struct str port_key(const uint32_t *port)
{
    return str_n((const char *)port, sizeof(*port));
}

static uint32_t find_address_port(const struct str_table *t, const struct address *a)
{
    uint32_t port = address_is_ip(a) ? address_port(a) : UINT32_MAX;

    return str_table_find(t, port_key(&port));
}

static uint32_t find_server_name(const struct chain_node *n, struct str name)
{
    uint32_t child = str_table_find(&n->by_value, name);

    for (size_t at = 1; child == STR_TABLE_NONE && at + 1 < name.len; at++) {
        if (name.ptr[at] == '.') {
            child = str_table_find(&n->by_suffix, str_sub(name, at, name.len));
        }
    }
    return child;
}

static uint32_t find_range(const struct chain_node *n, const struct address *a)
{
    size_t position = 0;

    return cidr_table_next(&n->by_range, address_or_nowhere(a), &position);
}

static uint32_t find_application(const struct chain_node *n, const struct filter_chain_key *key)
{
    uint32_t child = STR_TABLE_NONE;

    for (size_t i = 0; child == STR_TABLE_NONE && i < key->application_protocol_count; i++) {
        child = str_table_find(&n->by_value, key->application_protocols[i]);
    }
    return child;
}

/* The most specific group of this level that fits; STR_TABLE_NONE: only those without a value. */
static uint32_t find_child(const struct chain_node *n, const struct filter_chain_key *key)
{
    uint32_t type;

    switch ((enum level)n->level) {
    case LEVEL_DESTINATION_PORT:
        return find_address_port(&n->by_value, key->destination);
    case LEVEL_DESTINATION:
        return find_range(n, key->destination);
    case LEVEL_SERVER_NAME:
        return find_server_name(n, key->server_name);
    case LEVEL_TRANSPORT:
        return str_table_find(&n->by_value, key->transport_protocol);
    case LEVEL_APPLICATION:
        return find_application(n, key);
    case LEVEL_DIRECT_SOURCE:
        return find_range(n, key->direct_source);
    case LEVEL_SOURCE_TYPE:
        type = network_source_is_local(key->source, key->destination) ? SOURCE_SAME_IP_OR_LOOPBACK
                                                                      : SOURCE_EXTERNAL;
        return str_table_find(&n->by_value, port_key(&type));
    case LEVEL_SOURCE:
        return find_range(n, key->source);
    case LEVEL_SOURCE_PORT:
        return find_address_port(&n->by_value, key->source);
    case LEVEL_COUNT:
        break;
    }
    return STR_TABLE_NONE;
}

static const struct filter_chain_config *find_among(const struct chain_node *n,
                                                    const struct filter_chain_key *key)
{
    const struct filter_chain_config *chains[LINEAR_MAX];
    size_t count = n->chain_count;

    memcpy(chains, n->chains, count * sizeof(*chains));
    for (size_t i = n->level; i < LEVEL_COUNT && count > 0; i++) {
        count = level_keep_best(LEVELS[i], key, chains, count);
    }
    return count > 0 ? chains[0] : NULL;
}

static const struct filter_chain_config *find_by_matcher(const struct listener_config *l,
                                                         const struct filter_chain_key *key)
{
    const struct network_match_data data = {
        .destination = key->destination,
        .source = key->source,
        .direct_source = key->direct_source,
        .server_name = key->server_name,
        .transport_protocol = key->transport_protocol,
        .application_protocols = key->application_protocols,
        .application_protocol_count = key->application_protocol_count,
    };
    const void *action;

    return matcher_match(l->chain_matcher, &data, &action) == MATCHER_MATCH
               ? ((const struct filter_chain_action *)action)->chain
               : l->default_chain;
}

const struct filter_chain_config *filter_chain_index_find(const struct filter_chain_index *ix,
                                                          const struct filter_chain_key *key)
{
    const struct filter_chain_config *found = NULL;
    const struct chain_node *n = ix->root;

    if (ix->is_trivial) {
        return ix->listener->chains[0];
    }
    if (ix->listener->chain_matcher != NULL) {
        return find_by_matcher(ix->listener, key);
    }
    while (n != NULL && n->is_split) {
        uint32_t child = find_child(n, key);

        n = child != STR_TABLE_NONE ? n->children[child] : n->any;
    }
    if (n != NULL) {
        found = find_among(n, key);
    }
    return found != NULL ? found : ix->listener->default_chain;
}

/* --- building ------------------------------------------------------------------------------ */

/* One value of a chain at a level. */
struct level_value {
    struct str text;
    const struct cidr *range; /* instead */
    bool is_suffix;
};

static struct level_value value_of_name(struct str name)
{
    bool is_suffix = str_starts(name, STR("*."));

    return (struct level_value){
        .text = is_suffix ? str_sub(name, 1, name.len) : name,
        .is_suffix = is_suffix,
    };
}

/* The `i`-th value; false at the end. No value at all: the chain does not care. */
static bool level_value_at(const struct filter_chain_match *m, size_t level, size_t i,
                           struct level_value *v)
{
    bool is_one = i == 0;

    *v = (struct level_value){.text = STR_NONE};
    switch ((enum level)level) {
    case LEVEL_DESTINATION_PORT:
        v->text = port_key(&m->destination_port.value);
        return is_one && m->destination_port.is_set;
    case LEVEL_DESTINATION:
        v->range = &m->prefix_ranges[i];
        return i < m->prefix_range_count;
    case LEVEL_SERVER_NAME:
        if (i < m->server_name_count) {
            *v = value_of_name(m->server_names[i]);
        }
        return i < m->server_name_count;
    case LEVEL_TRANSPORT:
        v->text = m->transport_protocol;
        return is_one && m->transport_protocol.len > 0;
    case LEVEL_APPLICATION:
        v->text = i < m->application_protocol_count ? m->application_protocols[i] : STR_NONE;
        return i < m->application_protocol_count;
    case LEVEL_DIRECT_SOURCE:
        v->range = &m->direct_source_prefix_ranges[i];
        return i < m->direct_source_prefix_range_count;
    case LEVEL_SOURCE_TYPE:
        v->text = str_n((const char *)&m->source_type, sizeof(m->source_type));
        return is_one && m->source_type != SOURCE_ANY;
    case LEVEL_SOURCE:
        v->range = &m->source_prefix_ranges[i];
        return i < m->source_prefix_range_count;
    case LEVEL_SOURCE_PORT:
        v->text = i < m->source_port_count ? port_key(&m->source_ports[i]) : STR_NONE;
        return i < m->source_port_count;
    case LEVEL_COUNT:
        break;
    }
    return false;
}

/* Chains of one child, while it is being made. */
struct chain_list {
    const struct filter_chain_config **chains;
    size_t count;
    size_t cap;
};

static void chain_list_add(struct chain_list *l, const struct filter_chain_config *c)
{
    if (l->count > 0 && l->chains[l->count - 1] == c) {
        return; /* it says the same twice */
    }
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 4 : 2 * l->cap;
        l->chains = xreallocarray(l->chains, l->cap, sizeof(*l->chains));
    }
    l->chains[l->count++] = c;
}

static uint32_t node_child(struct chain_node *n, const struct level_value *v, uint32_t next)
{
    if (v->range != NULL) {
        return cidr_table_add(&n->by_range, v->range, next);
    }
    return str_table_add(v->is_suffix ? &n->by_suffix : &n->by_value, v->text, next);
}

static const struct chain_node *node_build(struct arena *a, const struct chain_list *l,
                                           size_t level);

/* Splits `l` by the values at n->level, of which there are `values`. */
static void node_split(struct arena *a, struct chain_node *n, const struct chain_list *l,
                       size_t values)
{
    struct chain_list *lists = xcalloc(values + 1, sizeof(*lists));
    struct chain_list *any = &lists[values];
    uint32_t children = 0;

    str_table_init(&n->by_value, a, values, false);
    str_table_init(&n->by_suffix, a, values, false);
    cidr_table_init(&n->by_range, a, values);
    for (size_t c = 0; c < l->count; c++) {
        struct level_value v;
        size_t i = 0;

        for (; level_value_at(&l->chains[c]->match, n->level, i, &v); i++) {
            if (v.range == NULL && v.text.len == 0) {
                chain_list_add(any, l->chains[c]);
                continue;
            }
            uint32_t child = node_child(n, &v, children);

            children += child == children;
            chain_list_add(&lists[child], l->chains[c]);
        }
        if (i == 0) {
            chain_list_add(any, l->chains[c]);
        }
    }
    n->is_split = true;
    n->children = ARENA_ARRAY(a, const struct chain_node *, children);
    for (uint32_t i = 0; i < children; i++) {
        n->children[i] = node_build(a, &lists[i], n->level + 1);
        free(lists[i].chains);
    }
    n->any = any->count > 0 ? node_build(a, any, n->level + 1) : NULL;
    free(any->chains);
    free(lists);
}

/* Depth: one per level. */
static const struct chain_node *node_build(struct arena *a, const struct chain_list *l,
                                           size_t level)
{
    struct chain_node *n = ARENA_NEW(a, struct chain_node);
    struct level_value v;

    n->level = level;
    for (; l->count > LINEAR_MAX && n->level < LEVEL_COUNT; n->level++) {
        size_t values = 0;

        for (size_t c = 0; c < l->count; c++) {
            for (size_t i = 0; level_value_at(&l->chains[c]->match, n->level, i, &v); i++) {
                values++;
            }
        }
        if (values > 0) {
            node_split(a, n, l, values);
            return n;
        }
    }
    n->chain_count = l->count < LINEAR_MAX ? l->count : LINEAR_MAX;
    memcpy(n->chains, l->chains, n->chain_count * sizeof(*n->chains));
    return n;
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
    struct chain_list all = {0};
    int r = l->chain_matcher == NULL ? filter_chain_check_overlap(l, reterr) : 0;

    if (r != 0) {
        return r;
    }
    ix = xcalloc(1, sizeof(*ix));
    ix->listener = l;
    arena_init(&ix->arena, NULL);
    if (l->chain_matcher == NULL) {
        ix->is_trivial = l->chain_count == 1 && match_is_empty(&l->chains[0]->match);
        for (size_t i = 0; i < l->chain_count; i++) {
            chain_list_add(&all, l->chains[i]);
        }
        ix->root = all.count > 0 ? node_build(&ix->arena, &all, 0) : NULL;
        free(all.chains);
    }
    *ret = ix;
    return 0;
}

void filter_chain_index_free(struct filter_chain_index *ix)
{
    if (ix != NULL) {
        arena_done(&ix->arena);
        free(ix);
    }
}
