/* Virtual hosts by domain: exact ones in a hash, wildcards in tries, suffixes read backwards. */

#include "config/model/domain_index.h"

#include <stdlib.h>

#include "config/model/path_trie.h"
#include "config/model/str_table.h"
#include "dataplane/base/xalloc.h"

/* Wildcards of one kind, the star cut off. */
struct wildcard_index {
    const struct path_trie *trie;
    const uint32_t *hosts; /* virtual host by key of the trie */
};

struct domain_index {
    const struct virtual_host *vhosts;
    struct str_table exact;
    struct wildcard_index suffixes; /* reversed */
    struct wildcard_index prefixes;
    const struct virtual_host *any; /* "*", or NULL */
};

/* --- building ------------------------------------------------------------------------------- */

enum domain_kind { DOMAIN_EXACT, DOMAIN_SUFFIX, DOMAIN_PREFIX, DOMAIN_ANY };

static enum domain_kind domain_kind_of(struct str domain)
{
    if (str_eq(domain, STR("*"))) {
        return DOMAIN_ANY;
    }
    if (str_starts(domain, STR("*"))) {
        return DOMAIN_SUFFIX;
    }
    return str_ends(domain, STR("*")) ? DOMAIN_PREFIX : DOMAIN_EXACT;
}

struct wildcard {
    struct str key;
    uint32_t host;
};

struct domain_builder {
    struct arena *arena;
    struct domain_index *index;
    struct wildcard *suffixes;
    size_t suffix_count;
    struct wildcard *prefixes;
    size_t prefix_count;
    struct error *err;
};

static int duplicate_domain(struct domain_builder *b, struct str domain)
{
    return error_set(b->err, E_EXISTS,
                     "Only unique values for domains are permitted. Duplicate entry of domain "
                     "%.*s",
                     STR_ARG(domain));
}

static struct str reversed(struct arena *a, struct str s)
{
    char *text = arena_alloc(a, s.len);

    for (size_t i = 0; i < s.len; i++) {
        text[i] = s.ptr[s.len - 1 - i];
    }
    return str_n(text, s.len);
}

static int builder_add(struct domain_builder *b, struct str domain, uint32_t host)
{
    size_t exact_before = b->index->exact.count;

    switch (domain_kind_of(domain)) {
    case DOMAIN_ANY:
        if (b->index->any != NULL) {
            return error_set(b->err, E_EXISTS, "Only a single wildcard domain is permitted");
        }
        b->index->any = &b->index->vhosts[host];
        return 0;
    case DOMAIN_SUFFIX:
        b->suffixes[b->suffix_count++] =
            (struct wildcard){reversed(b->arena, str_sub(domain, 1, domain.len)), host};
        return 0;
    case DOMAIN_PREFIX:
        b->prefixes[b->prefix_count++] =
            (struct wildcard){str_sub(domain, 0, domain.len - 1), host};
        return 0;
    case DOMAIN_EXACT:
        (void)str_table_add(&b->index->exact, domain, host); /* a duplicate leaves the count */
        return b->index->exact.count > exact_before ? 0 : duplicate_domain(b, domain);
    }
    return 0;
}

static int wildcard_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct wildcard *)a)->key, ((const struct wildcard *)b)->key);
}

static int builder_make_wildcards(struct domain_builder *b, struct wildcard *list, size_t n,
                                  bool is_suffix, struct wildcard_index *ret)
{
    struct str *keys;
    uint32_t *hosts;

    if (n == 0) {
        return 0;
    }
    qsort(list, n, sizeof(*list), wildcard_cmp);
    keys = xcalloc(n, sizeof(*keys));
    hosts = ARENA_ARRAY(b->arena, uint32_t, n);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && str_eq(list[i].key, list[i - 1].key)) {
            struct str text = is_suffix ? reversed(b->arena, list[i].key) : list[i].key;
            struct str pieces[] = {is_suffix ? STR("*") : text, is_suffix ? text : STR("*")};

            free(keys);
            return duplicate_domain(b, arena_concat(b->arena, pieces, ARRAY_LEN(pieces)));
        }
        keys[i] = list[i].key;
        hosts[i] = list[i].host;
    }
    ret->trie = path_trie_build(b->arena, keys, n);
    ret->hosts = hosts;
    free(keys);
    return 0;
}

static int builder_run(struct domain_builder *b, size_t host_count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < host_count; i++) {
        const struct virtual_host *v = &b->index->vhosts[i];

        for (size_t j = 0; r == 0 && j < v->domain_count; j++) {
            r = builder_add(b, v->domains[j], (uint32_t)i);
        }
    }
    if (r == 0) {
        r = builder_make_wildcards(b, b->suffixes, b->suffix_count, true, &b->index->suffixes);
    }
    return r < 0 ? r
                 : builder_make_wildcards(b, b->prefixes, b->prefix_count, false,
                                          &b->index->prefixes);
}

int domain_index_build(struct part *owner, const struct virtual_host *vhosts, size_t count,
                       const struct domain_index **ret_index, struct error *reterr)
{
    struct domain_builder b = {.arena = &owner->arena, .err = reterr};
    size_t counts[] = {
        [DOMAIN_EXACT] = 0, [DOMAIN_SUFFIX] = 0, [DOMAIN_PREFIX] = 0, [DOMAIN_ANY] = 0};
    int r;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < vhosts[i].domain_count; j++) {
            counts[domain_kind_of(vhosts[i].domains[j])]++;
        }
    }
    b.index = ARENA_NEW(b.arena, struct domain_index);
    b.index->vhosts = vhosts;
    str_table_init(&b.index->exact, b.arena, counts[DOMAIN_EXACT], true);
    b.suffixes = xcalloc(counts[DOMAIN_SUFFIX] + 1, sizeof(*b.suffixes));
    b.prefixes = xcalloc(counts[DOMAIN_PREFIX] + 1, sizeof(*b.prefixes));
    r = builder_run(&b, count);
    free(b.suffixes);
    free(b.prefixes);
    if (r == 0) {
        *ret_index = b.index;
    }
    return r;
}

/* --- finding -------------------------------------------------------------------------------- */

/* The star stands for at least one character, as in Envoy. */
static const struct virtual_host *find_wildcard(const struct domain_index *ix,
                                                const struct wildcard_index *w, struct str host,
                                                int flags)
{
    const struct virtual_host *longest = NULL;
    struct trie_walk walk;
    uint32_t key;

    trie_walk_init(&walk, w->trie, host, flags | TRIE_IGNORE_CASE);
    while (trie_walk_next(&walk, &key)) {
        if (walk.depth < host.len) {
            longest = &ix->vhosts[w->hosts[key]];
        }
    }
    return longest;
}

const struct virtual_host *domain_index_find(const struct domain_index *ix, struct str host)
{
    uint32_t exact = str_table_find(&ix->exact, host);
    const struct virtual_host *v;

    if (exact != STR_TABLE_NONE) {
        return &ix->vhosts[exact];
    }
    v = find_wildcard(ix, &ix->suffixes, host, TRIE_BACKWARDS);
    if (v == NULL) {
        v = find_wildcard(ix, &ix->prefixes, host, 0);
    }
    return v != NULL ? v : ix->any;
}
