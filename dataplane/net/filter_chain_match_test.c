/*
 * Filter chain choice: Envoy's precedence case by case, then random listeners against a second
 * implementation that walks the levels the way Envoy's nested maps do: pick the one key of this
 * level, go on with what is under it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/base/rand.h"
#include "dataplane/net/filter_chain_match.h"

#define CHAINS_MAX 32

/* A listener made by hand. */
struct fixture {
    struct filter_chain_config chains[CHAINS_MAX];
    const struct filter_chain_config *pointers[CHAINS_MAX];
    struct filter_chain_config fallback;
    struct address address;
    struct listener_config listener;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(address_from_ip(STR("10.0.0.1"), 443, &f->address), 0);
    f->fallback.name = STR("default");
    f->listener.addresses = &f->address;
    f->listener.address_count = 1;
    f->listener.chains = f->pointers;
}

static struct filter_chain_match *add_chain(struct fixture *f, const char *name)
{
    struct filter_chain_config *c = &f->chains[f->listener.chain_count];

    c->name = str_c(name);
    f->pointers[f->listener.chain_count++] = c;
    return &c->match;
}

static struct address ip(const char *text, uint16_t port)
{
    struct address a;

    assert_int_equal(address_from_ip(str_c(text), port, &a), 0);
    return a;
}

static struct cidr range(const char *text, uint32_t bits)
{
    struct cidr c;

    assert_int_equal(cidr_parse(str_c(text), bits, &c), 0);
    return c;
}

/* What the choice looks at; STR_NONE and NULL for nothing. */
struct visit {
    const char *destination;
    uint16_t port;
    const char *server_name;
    const char *transport;
    const char *alpn[2];
    const char *direct_source;
    const char *source;
    uint16_t source_port;
};

static const char *find(const struct fixture *f, const struct visit *v)
{
    struct filter_chain_index *ix;
    struct address destination =
        ip(v->destination != NULL ? v->destination : "10.0.0.1", v->port != 0 ? v->port : 443);
    struct address source = ip(v->source != NULL ? v->source : "192.0.2.1", v->source_port);
    struct address direct = v->direct_source != NULL ? ip(v->direct_source, 1) : source;
    struct str alpn[2] = {str_c(v->alpn[0]), str_c(v->alpn[1])};
    struct filter_chain_key key = {
        .destination = &destination,
        .source = &source,
        .direct_source = &direct,
        .server_name = str_c(v->server_name),
        .transport_protocol = str_c(v->transport != NULL ? v->transport : "raw_buffer"),
        .application_protocols = alpn,
        .application_protocol_count = (v->alpn[0] != NULL) + (v->alpn[1] != NULL),
    };
    struct error e;
    const struct filter_chain_config *found;

    error_init(&e);
    assert_int_equal(filter_chain_index_new(&f->listener, &ix, &e), 0);
    found = filter_chain_index_find(ix, &key);
    filter_chain_index_free(ix);
    error_done(&e);
    return found != NULL ? found->name.ptr : NULL;
}

#define FIND(f, ...) find((f), &(struct visit){__VA_ARGS__})

static void one_chain_without_conditions_takes_all(void **state)
{
    struct fixture f;

    fixture_init(&f);
    (void)add_chain(&f, "a");
    assert_string_equal(FIND(&f, .port = 1), "a");
}

static void no_chain_at_all(void **state)
{
    struct fixture f;

    fixture_init(&f);
    assert_null(FIND(&f, .port = 1));
    f.listener.default_chain = &f.fallback;
    assert_string_equal(FIND(&f, .port = 1), "default");
}

static void a_port_that_matches_leaves_no_way_back(void **state)
{
    struct fixture f;
    struct filter_chain_match *m;
    const struct str names[] = {STR("a.com")};

    fixture_init(&f);
    f.listener.default_chain = &f.fallback;
    m = add_chain(&f, "port");
    m->destination_port.is_set = true;
    m->destination_port.value = 80;
    m->server_names = names;
    m->server_name_count = 1;
    (void)add_chain(&f, "any");
    assert_string_equal(FIND(&f, .port = 80, .server_name = "a.com"), "port");
    assert_string_equal(FIND(&f, .port = 80, .server_name = "b.com"), "default");
    assert_string_equal(FIND(&f, .port = 81, .server_name = "b.com"), "any");
}

static void the_longest_destination_prefix_wins(void **state)
{
    struct fixture f;
    const struct cidr wide[] = {range("10.0.0.0", 8)};
    const struct cidr narrow[] = {range("10.1.0.0", 16), range("10.2.3.4", 32)};
    struct filter_chain_match *m;

    fixture_init(&f);
    m = add_chain(&f, "wide");
    m->prefix_ranges = wide;
    m->prefix_range_count = 1;
    m = add_chain(&f, "narrow");
    m->prefix_ranges = narrow;
    m->prefix_range_count = 2;
    assert_string_equal(FIND(&f, .destination = "10.9.9.9"), "wide");
    assert_string_equal(FIND(&f, .destination = "10.1.9.9"), "narrow");
    assert_string_equal(FIND(&f, .destination = "10.2.3.4"), "narrow");
    assert_null(FIND(&f, .destination = "11.0.0.1"));
    assert_null(FIND(&f, .destination = "::1"));
}

static void server_names_from_exact_to_none(void **state)
{
    struct fixture f;
    const struct str exact[] = {STR("www.example.com")};
    const struct str near[] = {STR("*.example.com")};
    const struct str far[] = {STR("*.com")};
    struct filter_chain_match *m;

    fixture_init(&f);
    m = add_chain(&f, "far");
    m->server_names = far;
    m->server_name_count = 1;
    m = add_chain(&f, "near");
    m->server_names = near;
    m->server_name_count = 1;
    m = add_chain(&f, "exact");
    m->server_names = exact;
    m->server_name_count = 1;
    (void)add_chain(&f, "any");
    assert_string_equal(FIND(&f, .server_name = "www.example.com"), "exact");
    assert_string_equal(FIND(&f, .server_name = "a.b.example.com"), "near");
    assert_string_equal(FIND(&f, .server_name = "example.com"), "far");
    assert_string_equal(FIND(&f, .server_name = "xexample.com"), "far");
    assert_string_equal(FIND(&f, .server_name = "com"), "any");
    assert_string_equal(FIND(&f, .server_name = ""), "any");
}

static void transport_and_application_protocols(void **state)
{
    struct fixture f;
    const struct str h2[] = {STR("h2")};
    const struct str both[] = {STR("http/1.1"), STR("http/1.0")};
    struct filter_chain_match *m;

    fixture_init(&f);
    m = add_chain(&f, "tls h2");
    m->transport_protocol = STR("tls");
    m->application_protocols = h2;
    m->application_protocol_count = 1;
    m = add_chain(&f, "tls h1");
    m->transport_protocol = STR("tls");
    m->application_protocols = both;
    m->application_protocol_count = 2;
    (void)add_chain(&f, "any");
    assert_string_equal(FIND(&f, .transport = "tls", .alpn = {"http/1.1", "h2"}), "tls h1");
    assert_string_equal(FIND(&f, .transport = "tls", .alpn = {"h2", "http/1.1"}), "tls h2");
    assert_null(FIND(&f, .transport = "tls", .alpn = {"x"}));
    assert_string_equal(FIND(&f, .alpn = {"h2"}), "any");
}

static void where_a_connection_comes_from(void **state)
{
    struct fixture f;
    const struct cidr near[] = {range("192.0.2.0", 24)};
    const uint32_t ports[] = {1000, 1001};
    struct filter_chain_match *m;

    fixture_init(&f);
    f.listener.default_chain = &f.fallback;
    m = add_chain(&f, "local");
    m->source_type = SOURCE_SAME_IP_OR_LOOPBACK;
    m = add_chain(&f, "near");
    m->source_prefix_ranges = near;
    m->source_prefix_range_count = 1;
    m = add_chain(&f, "near ports");
    m->source_prefix_ranges = near;
    m->source_prefix_range_count = 1;
    m->source_ports = ports;
    m->source_port_count = 2;
    assert_string_equal(FIND(&f, .source = "127.0.0.1"), "local");
    assert_string_equal(FIND(&f, .source = "10.0.0.1"), "local");
    assert_string_equal(FIND(&f, .source = "127.0.1.1"), "default");
    assert_string_equal(FIND(&f, .source = "192.0.2.9", .source_port = 5), "near");
    assert_string_equal(FIND(&f, .source = "192.0.2.9", .source_port = 1001), "near ports");
    assert_string_equal(FIND(&f, .source = "198.51.100.1"), "default");
}

static void the_direct_source_is_the_sockets_own(void **state)
{
    struct fixture f;
    const struct cidr proxies[] = {range("172.16.0.0", 12)};
    struct filter_chain_match *m;

    fixture_init(&f);
    m = add_chain(&f, "proxied");
    m->direct_source_prefix_ranges = proxies;
    m->direct_source_prefix_range_count = 1;
    (void)add_chain(&f, "any");
    assert_string_equal(FIND(&f, .source = "192.0.2.1", .direct_source = "172.16.0.9"), "proxied");
    assert_string_equal(FIND(&f, .source = "172.16.0.9", .direct_source = "192.0.2.1"), "any");
}

static void a_unix_address_fits_what_holds_everything(void **state)
{
    struct fixture f;
    const struct cidr all[] = {range("0.0.0.0", 0)};
    struct filter_chain_index *ix;
    struct address path;
    struct filter_chain_key key = {.destination = &path, .source = &path, .direct_source = &path};
    struct error e;

    fixture_init(&f);
    error_init(&e);
    assert_int_equal(address_from_path(STR("/s"), &path), 0);
    add_chain(&f, "all")->prefix_ranges = all;
    f.chains[0].match.prefix_range_count = 1;
    assert_int_equal(filter_chain_index_new(&f.listener, &ix, &e), 0);
    assert_ptr_equal(filter_chain_index_find(ix, &key), &f.chains[0]);
    filter_chain_index_free(ix);
    error_done(&e);
}

static void expect_refusal(const struct fixture *f, const char *want)
{
    struct filter_chain_index *ix = NULL;
    struct error e;

    error_init(&e);
    assert_int_equal(filter_chain_index_new(&f->listener, &ix, &e), E_EXISTS);
    assert_string_equal(error_message(&e), want);
    error_done(&e);
}

static void equal_and_overlapping_matches_are_refused(void **state)
{
    struct fixture f;
    const struct str ab[] = {STR("a"), STR("b")};
    const struct str bc[] = {STR("b"), STR("c")};
    struct filter_chain_match *m;

    fixture_init(&f);
    m = add_chain(&f, "one");
    m->server_names = ab;
    m->server_name_count = 2;
    m = add_chain(&f, "two");
    m->server_names = ab;
    m->server_name_count = 2;
    expect_refusal(&f, "filter_chains[1]: error adding listener '10.0.0.1:443': filter chain 'two' "
                       "has the same matching rules defined as 'one'");
    m->server_names = bc;
    expect_refusal(&f, "filter_chains[1]: error adding listener '10.0.0.1:443': multiple filter "
                       "chains with overlapping matching rules are defined");
    m->source_type = SOURCE_EXTERNAL;
    assert_string_equal(FIND(&f, .server_name = "b"), "two");
}

/* As Envoy, which enters every combination of a chain's values into one table. */
static void a_value_given_twice_is_refused(void **state)
{
    static const char WANT[] = "filter_chains[0]: error adding listener '10.0.0.1:443': multiple "
                               "filter chains with overlapping matching rules are defined";
    const struct str names[] = {STR("a"), STR("b"), STR("a")};
    const uint32_t ports[] = {1, 2, 1};
    const struct cidr ranges[] = {{.prefix_len = 8, .bytes = {10}},
                                  {.prefix_len = 9, .bytes = {10}},
                                  {.prefix_len = 8, .bytes = {10}}};

    for (int list = 0; list < 6; list++) {
        struct fixture f;
        struct filter_chain_match *m;

        fixture_init(&f);
        m = add_chain(&f, "one");
        m->server_names = list == 0 ? names : NULL;
        m->application_protocols = list == 1 ? names : NULL;
        m->source_ports = list == 2 ? ports : NULL;
        m->prefix_ranges = list == 3 ? ranges : NULL;
        m->source_prefix_ranges = list == 4 ? ranges : NULL;
        m->direct_source_prefix_ranges = list == 5 ? ranges : NULL;
        for (size_t n = 3; n >= 2; n--) { /* three values, then the two that differ */
            m->server_name_count = list == 0 ? n : 0;
            m->application_protocol_count = list == 1 ? n : 0;
            m->source_port_count = list == 2 ? n : 0;
            m->prefix_range_count = list == 3 ? n : 0;
            m->source_prefix_range_count = list == 4 ? n : 0;
            m->direct_source_prefix_range_count = list == 5 ? n : 0;
            if (n == 3) {
                expect_refusal(&f, WANT);
            }
        }
        (void)FIND(&f, .server_name = "a"); /* the two are accepted */
    }
}

/* --- Against Envoy's way ---------------------------------------------------------------------- */

/* One chain as one combination of single values ("" and -1 for none), as Envoy's maps hold it. */
struct leaf {
    const struct filter_chain_config *chain;
    int port;
    int prefix; /* index into PREFIXES, -1 none; likewise below */
    int name;
    int transport;
    int alpn;
    int direct;
    int type;
    int source;
    int source_port;
};

static const char *const PREFIX_TEXT[] = {"10.0.0.0", "10.0.0.0", "10.0.1.0", "10.0.1.1"};
static const uint32_t PREFIX_BITS[] = {0, 8, 24, 32};
static const char *const NAMES[] = {"a.x.com", "*.x.com", "*.com", "b.com"};
static const char *const TRANSPORTS[] = {"tls", "raw_buffer"};
static const char *const ALPN[] = {"h2", "http/1.1"};

/* Keeps the leaves whose value at `offset` is `value`. */
static size_t keep(struct leaf *l, size_t n, size_t offset, int value)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (*(const int *)(const void *)((const char *)&l[i] + offset) == value) {
            l[kept++] = l[i];
        }
    }
    return kept;
}

static bool has(const struct leaf *l, size_t n, size_t offset, int value)
{
    for (size_t i = 0; i < n; i++) {
        if (*(const int *)(const void *)((const char *)&l[i] + offset) == value) {
            return true;
        }
    }
    return false;
}

static size_t by_prefix(struct leaf *l, size_t n, size_t offset, const char *address)
{
    struct address a = ip(address, 1);

    for (int i = (int)ARRAY_LEN(PREFIX_BITS) - 1; i >= 0; i--) {
        struct cidr c = range(PREFIX_TEXT[i], PREFIX_BITS[i]);

        if (cidr_contains(&c, &a) && has(l, n, offset, i)) {
            return keep(l, n, offset, i);
        }
    }
    return keep(l, n, offset, -1);
}

static size_t by_name(struct leaf *l, size_t n, const char *name)
{
    size_t offset = offsetof(struct leaf, name);
    static const char *const order[][3] = {
        {"a.x.com", "*.x.com", "*.com"}, {"c.x.com", "*.x.com", "*.com"}, {"b.com", "*.com", "-"}};

    for (size_t o = 0; o < ARRAY_LEN(order); o++) {
        for (size_t k = 0; strcmp(order[o][0], name) == 0 && k < 3; k++) {
            for (int i = 0; i < (int)ARRAY_LEN(NAMES); i++) {
                if (strcmp(NAMES[i], order[o][k]) == 0 && has(l, n, offset, i)) {
                    return keep(l, n, offset, i);
                }
            }
        }
    }
    return keep(l, n, offset, -1);
}

static size_t by_value(struct leaf *l, size_t n, size_t offset, int value)
{
    return keep(l, n, offset, value >= 0 && has(l, n, offset, value) ? value : -1);
}

static const struct filter_chain_config *walk(struct leaf *l, size_t n, const struct visit *v,
                                              int transport, int alpn0, int alpn1)
{
    struct address source = ip(v->source, v->source_port);
    struct address destination = ip(v->destination, v->port);
    bool is_local = strcmp(v->source, "127.0.0.1") == 0 || address_eq_ip(&source, &destination);
    int wanted = is_local ? SOURCE_SAME_IP_OR_LOOPBACK : SOURCE_EXTERNAL;

    n = by_value(l, n, offsetof(struct leaf, port), v->port);
    n = by_prefix(l, n, offsetof(struct leaf, prefix), v->destination);
    n = by_name(l, n, v->server_name);
    n = by_value(l, n, offsetof(struct leaf, transport), transport);
    n = by_value(l, n, offsetof(struct leaf, alpn),
                 has(l, n, offsetof(struct leaf, alpn), alpn0) ? alpn0 : alpn1);
    n = by_prefix(l, n, offsetof(struct leaf, direct), v->direct_source);
    n = keep(l, n, offsetof(struct leaf, type),
             has(l, n, offsetof(struct leaf, type), wanted) ? wanted : SOURCE_ANY);
    n = by_prefix(l, n, offsetof(struct leaf, source), v->source);
    n = by_value(l, n, offsetof(struct leaf, source_port), v->source_port);
    return n > 0 ? l[0].chain : NULL;
}

static struct rng rng;

/* Below n, or -1 about half of the time. */
static int choose(int n)
{
    return rng_below(&rng, 2) == 0 ? -1 : (int)rng_below(&rng, (uint64_t)n);
}

struct values {
    struct cidr cidrs[3];
    struct str name;
    struct str alpn;
    uint32_t source_port;
};

static void make_chain(struct fixture *f, struct leaf *l, struct values *v)
{
    struct filter_chain_match *m = add_chain(f, "c");

    l->chain = &f->chains[f->listener.chain_count - 1];
    l->port = choose(2) == 0 ? 443 : -1;
    m->destination_port.is_set = l->port > 0;
    m->destination_port.value = l->port > 0 ? 443 : 0;
    l->prefix = choose(4);
    l->direct = choose(4);
    l->source = choose(4);
    for (int i = 0; i < 3; i++) {
        int p = i == 0 ? l->prefix : i == 1 ? l->direct : l->source;

        if (p >= 0) {
            v->cidrs[i] = range(PREFIX_TEXT[p], PREFIX_BITS[p]);
        }
    }
    m->prefix_ranges = &v->cidrs[0];
    m->prefix_range_count = l->prefix >= 0;
    m->direct_source_prefix_ranges = &v->cidrs[1];
    m->direct_source_prefix_range_count = l->direct >= 0;
    m->source_prefix_ranges = &v->cidrs[2];
    m->source_prefix_range_count = l->source >= 0;
    l->name = choose(4);
    v->name = l->name >= 0 ? str_c(NAMES[l->name]) : STR_NONE;
    m->server_names = &v->name;
    m->server_name_count = l->name >= 0;
    l->transport = choose(2);
    m->transport_protocol = l->transport >= 0 ? str_c(TRANSPORTS[l->transport]) : STR("");
    l->alpn = choose(2);
    v->alpn = l->alpn >= 0 ? str_c(ALPN[l->alpn]) : STR_NONE;
    m->application_protocols = &v->alpn;
    m->application_protocol_count = l->alpn >= 0;
    l->type = (int)rng_below(&rng, 3);
    m->source_type = (enum source_type)l->type;
    l->source_port = choose(2) == 0 ? 7 : -1;
    v->source_port = 7;
    m->source_ports = &v->source_port;
    m->source_port_count = l->source_port > 0;
}

#define MANY_CHAINS 10000

/* One chain per host, every tenth of them with two, every hundredth for all hosts below a name. */
struct many {
    struct filter_chain_config chains[MANY_CHAINS];
    const struct filter_chain_config *pointers[MANY_CHAINS];
    struct str names[MANY_CHAINS][2];
    char texts[MANY_CHAINS][2][32];
    struct listener_config listener;
    struct address address;
};

static struct many *many_new(void)
{
    static const struct str h2[] = {{"h2", 2}};
    struct many *m = calloc(1, sizeof(*m));

    assert_int_equal(address_from_ip(STR("10.0.0.1"), 443, &m->address), 0);
    for (size_t i = 0; i < MANY_CHAINS; i++) {
        struct filter_chain_match *match = &m->chains[i].match;

        (void)snprintf(m->texts[i][0], sizeof(m->texts[i][0]), "%shost%zu.test",
                       i % 100 == 0 ? "*." : "", i);
        (void)snprintf(m->texts[i][1], sizeof(m->texts[i][1]), "alias%zu.test", i);
        m->names[i][0] = str_c(m->texts[i][0]);
        m->names[i][1] = str_c(m->texts[i][1]);
        m->chains[i].name = m->names[i][0];
        match->server_names = m->names[i];
        match->server_name_count = i % 10 == 0 ? 2 : 1;
        match->application_protocols = h2;
        match->application_protocol_count = i % 3 == 0;
        m->pointers[i] = &m->chains[i];
    }
    m->listener.addresses = &m->address;
    m->listener.address_count = 1;
    m->listener.chains = m->pointers;
    m->listener.chain_count = MANY_CHAINS;
    return m;
}

static const struct filter_chain_config *find_named(const struct filter_chain_index *ix,
                                                    const char *name, bool offers_h2)
{
    const struct str h2 = STR("h2");
    struct address a = ip("10.0.0.1", 443);
    const struct filter_chain_key key = {
        .destination = &a,
        .source = &a,
        .direct_source = &a,
        .server_name = str_c(name),
        .transport_protocol = STR("tls"),
        .application_protocols = &h2,
        .application_protocol_count = offers_h2,
    };

    return filter_chain_index_find(ix, &key);
}

static void ten_thousand_names(void **state)
{
    struct many *m = many_new();
    struct filter_chain_index *ix;
    struct error e;
    char name[64];

    error_init(&e);
    assert_int_equal(filter_chain_index_new(&m->listener, &ix, &e), 0);
    for (size_t i = 0; i < MANY_CHAINS; i++) {
        bool needs_h2 = i % 3 == 0;

        (void)snprintf(name, sizeof(name), "%shost%zu.test", i % 100 == 0 ? "deep.down." : "", i);
        assert_ptr_equal(find_named(ix, name, true), m->pointers[i]);
        assert_ptr_equal(find_named(ix, name, false), needs_h2 ? NULL : m->pointers[i]);
        if (i % 10 == 0) {
            assert_ptr_equal(find_named(ix, m->texts[i][1], true), m->pointers[i]);
        }
    }
    assert_null(find_named(ix, "host0.test", true));
    assert_null(find_named(ix, "elsewhere.test", true));
    assert_null(find_named(ix, "", true));
    filter_chain_index_free(ix);
    /* The last one wants a name of the first: among all of them, the two are named. */
    m->names[MANY_CHAINS - 1][0] = m->names[3][0];
    m->chains[MANY_CHAINS - 1].match.application_protocol_count = 1;
    assert_int_equal(filter_chain_index_new(&m->listener, &ix, &e), E_EXISTS);
    assert_non_null(strstr(error_message(&e), "filter_chains[9999]"));
    assert_non_null(strstr(error_message(&e), "as 'host3.test'"));
    error_done(&e);
    free(m);
}

static void random_listeners_choose_as_envoys_maps_do(void **state)
{
    static const char *const ips[] = {"10.0.1.1", "10.0.1.2",  "10.9.0.1",
                                      "11.0.0.1", "127.0.0.1", "127.0.1.1"};
    static const char *const sni[] = {"a.x.com", "c.x.com", "b.com", ""};
    int compared = 0;

    rng_seed_with(&rng, 1);
    for (int round = 0; round < 4000; round++) {
        struct fixture f;
        struct leaf leaves[CHAINS_MAX];
        struct values values[CHAINS_MAX];
        struct filter_chain_index *ix;
        struct error e;
        size_t n = 1 + rng_below(&rng, CHAINS_MAX);
        int r;

        fixture_init(&f);
        for (size_t i = 0; i < n; i++) {
            make_chain(&f, &leaves[i], &values[i]);
        }
        error_init(&e);
        r = filter_chain_index_new(&f.listener, &ix, &e);
        error_done(&e);
        if (r != 0) {
            continue; /* two chains met */
        }
        for (int i = 0; i < 50; i++) {
            int t = (int)rng_below(&rng, 2);
            int p0 = (int)rng_below(&rng, 2);
            struct visit v = {
                .destination = ips[rng_below(&rng, 4)],
                .port = rng_below(&rng, 2) == 0 ? 443 : 80,
                .server_name = sni[rng_below(&rng, ARRAY_LEN(sni))],
                .direct_source = ips[rng_below(&rng, ARRAY_LEN(ips))],
                .source = ips[rng_below(&rng, ARRAY_LEN(ips))],
                .source_port = rng_below(&rng, 2) == 0 ? 7 : 8,
            };
            struct address destination = ip(v.destination, v.port);
            struct address source = ip(v.source, v.source_port);
            struct address direct = ip(v.direct_source, 1);
            struct str alpn[] = {str_c(ALPN[p0]), str_c(ALPN[1 - p0])};
            struct filter_chain_key key = {
                .destination = &destination,
                .source = &source,
                .direct_source = &direct,
                .server_name = str_c(v.server_name),
                .transport_protocol = str_c(TRANSPORTS[t]),
                .application_protocols = alpn,
                .application_protocol_count = 2,
            };
            struct leaf copy[CHAINS_MAX];

            memcpy(copy, leaves, sizeof(copy));
            assert_ptr_equal(filter_chain_index_find(ix, &key), walk(copy, n, &v, t, p0, 1 - p0));
            compared++;
        }
        filter_chain_index_free(ix);
    }
    assert_true(compared > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_chain_without_conditions_takes_all),
        cmocka_unit_test(no_chain_at_all),
        cmocka_unit_test(a_port_that_matches_leaves_no_way_back),
        cmocka_unit_test(the_longest_destination_prefix_wins),
        cmocka_unit_test(server_names_from_exact_to_none),
        cmocka_unit_test(transport_and_application_protocols),
        cmocka_unit_test(where_a_connection_comes_from),
        cmocka_unit_test(the_direct_source_is_the_sockets_own),
        cmocka_unit_test(a_unix_address_fits_what_holds_everything),
        cmocka_unit_test(equal_and_overlapping_matches_are_refused),
        cmocka_unit_test(a_value_given_twice_is_refused),
        cmocka_unit_test(ten_thousand_names),
        cmocka_unit_test(random_listeners_choose_as_envoys_maps_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
