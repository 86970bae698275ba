/* The index of a virtual host's routes. Building is main's, finding anyone's. It knows paths only:
 * headers, queries and fractions are the caller's to test. */

#include "config/model/route_index.h"

#include <stdlib.h>

#include "config/model/path_trie.h"
#include "config/model/regex_prefix.h"
#include "config/model/str_table.h"
#include "dataplane/base/xalloc.h"

/* Up to here one look at each route costs no more than the index. */
#define LINEAR_MAX 6
/* Regexes that are matched together; hits are a bit mask. */
#define REGEX_GROUP_MAX 64
/* Below this, an automaton of its own does not pay. */
#define REGEX_SET_MIN 4
/* Lists that one path may be in before the index gives up and looks at every route: nested prefixes
 * deeper than this do not occur by accident. */
#define LISTS_MAX 32

/* A run of ascending route indexes. */
struct index_list {
    uint32_t at; /* in route_index.pool */
    uint32_t count;
};

struct regex_group {
    struct index_list list;
    struct regex_set *set; /* NULL: one by one */
};

/* What hangs at one key of a trie. */
struct trie_entry {
    struct index_list prefixes;
    struct index_list separated; /* only when the path ends here or goes on with '/' */
    uint32_t group_at;           /* in route_index.groups */
    uint32_t group_count;
};

/* One trie for case-sensitive routes, one for the others. */
struct prefix_index {
    const struct path_trie *trie;
    const struct trie_entry *entries; /* by key of the trie */
    struct str_table exact;           /* value: place in `exact_lists` */
    const struct index_list *exact_lists;
};

enum { CASE_SENSITIVE, CASE_IGNORED, CASE_COUNT };

struct route_index {
    const struct route *routes;
    size_t count;
    bool is_linear;
    struct prefix_index by_case[CASE_COUNT];
    uint32_t *pool;
    struct regex_group *groups;
    size_t group_count;
    struct index_list connects; /* routes for CONNECT, whatever the path */
};

/* --- the rule itself ------------------------------------------------------------------------ */

static bool path_starts(const struct route *r, struct str path)
{
    return r->case_sensitive ? str_starts(path, r->path) : str_starts_nocase(path, r->path);
}

bool route_matches_path(const struct route *r, struct str path, bool is_connect)
{
    if (r->path_kind == PATH_MATCH_CONNECT) {
        return is_connect;
    }
    if (path.ptr == NULL) {
        return false;
    }
    switch (r->path_kind) {
    case PATH_MATCH_EXACT:
        return r->case_sensitive ? str_eq(path, r->path) : str_eq_nocase(path, r->path);
    case PATH_MATCH_PREFIX:
        return path_starts(r, path);
    case PATH_MATCH_SEPARATED_PREFIX:
        return path_starts(r, path) && (path.len == r->path.len || path.ptr[r->path.len] == '/');
    case PATH_MATCH_REGEX:
        return regex_full_match(r->path_regex, path);
    case PATH_MATCH_CONNECT:
        break; /* seen to */
    }
    return false;
}

/* --- building ------------------------------------------------------------------------------- */

struct index_builder {
    struct arena *arena;
    struct route_index *index;
    uint32_t pool_len;
};

/* A route with the text under which it stands. */
struct draft {
    struct str key;
    uint64_t head; /* the key's first bytes beyond what all keys share, for quick comparison */
    uint32_t index;
    enum path_match_kind kind;
};

static struct str lower_copy(struct arena *a, struct str s)
{
    char *copy = arena_memdup(a, s.ptr, s.len);

    str_lower_in_place(copy, s.len);
    return str_n(copy, s.len);
}

static int route_case(const struct route *r)
{
    return r->case_sensitive ? CASE_SENSITIVE : CASE_IGNORED;
}

static void builder_push(struct index_builder *b, struct index_list *list, uint32_t index)
{
    if (list->count == 0) {
        list->at = b->pool_len;
    }
    CHECK(list->at + list->count == b->pool_len);
    b->index->pool[b->pool_len++] = index;
    list->count++;
}

/* Exact paths: count per key, then fill. */
static void builder_make_exact(struct index_builder *b, int which, size_t exact_count)
{
    struct prefix_index *p = &b->index->by_case[which];
    struct index_list *lists = ARENA_ARRAY(b->arena, struct index_list, exact_count);
    uint32_t *list_of;
    uint32_t n = 0;

    if (exact_count == 0) {
        return;
    }
    list_of = xcalloc(b->index->count, sizeof(*list_of));
    str_table_init(&p->exact, b->arena, exact_count, which == CASE_IGNORED);
    for (uint32_t i = 0; i < b->index->count; i++) {
        const struct route *r = &b->index->routes[i];

        if (r->path_kind == PATH_MATCH_EXACT && route_case(r) == which) {
            list_of[i] = str_table_add(&p->exact, r->path, n);
            n += list_of[i] == n;
            lists[list_of[i]].count++;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        lists[i].at = b->pool_len;
        b->pool_len += lists[i].count;
        lists[i].count = 0;
    }
    for (uint32_t i = 0; i < b->index->count; i++) {
        const struct route *r = &b->index->routes[i];

        if (r->path_kind == PATH_MATCH_EXACT && route_case(r) == which) {
            struct index_list *l = &lists[list_of[i]];

            b->index->pool[l->at + l->count++] = i;
        }
    }
    free(list_of);
    p->exact_lists = lists;
}

static int draft_cmp(const void *a, const void *b)
{
    const struct draft *x = a;
    const struct draft *y = b;
    int r;

    if (x->head != y->head) {
        return x->head < y->head ? -1 : 1;
    }
    r = str_cmp(x->key, y->key);
    if (r == 0) {
        r = (x->kind > y->kind) - (x->kind < y->kind);
    }
    return r != 0 ? r : x->index < y->index ? -1 : 1;
}

/* Eight bytes from `from` on as a number that orders as they do; missing ones count as 0. */
static uint64_t key_head(struct str key, size_t from)
{
    uint64_t head = 0;

    for (size_t i = from; i < from + sizeof(head); i++) {
        head = head << 8 | (i < key.len ? (unsigned char)key.ptr[i] : 0);
    }
    return head;
}

static void drafts_sort(struct draft *drafts, size_t n)
{
    size_t shared = n > 0 ? drafts[0].key.len : 0;

    for (size_t i = 1; i < n; i++) {
        size_t len = drafts[i].key.len < shared ? drafts[i].key.len : shared;

        for (shared = 0; shared < len && drafts[i].key.ptr[shared] == drafts[0].key.ptr[shared];) {
            shared++;
        }
    }
    for (size_t i = 0; i < n; i++) {
        drafts[i].head = key_head(drafts[i].key, shared);
    }
    qsort(drafts, n, sizeof(*drafts), draft_cmp);
}

/* The regexes drafts[0..n), all under one key, in groups. */
static void builder_add_regexes(struct index_builder *b, struct trie_entry *entry,
                                const struct draft *drafts, size_t n)
{
    entry->group_at = (uint32_t)b->index->group_count;
    for (size_t i = 0; i < n; i += REGEX_GROUP_MAX) {
        struct regex_group *g = &b->index->groups[b->index->group_count++];
        size_t end = i + REGEX_GROUP_MAX < n ? i + REGEX_GROUP_MAX : n;
        struct str patterns[REGEX_GROUP_MAX];

        for (size_t j = i; j < end; j++) {
            patterns[j - i] = b->index->routes[drafts[j].index].path;
            builder_push(b, &g->list, drafts[j].index);
        }
        if (end - i < REGEX_SET_MIN || regex_set_new(patterns, end - i, &g->set) < 0) {
            g->set = NULL;
        }
        entry->group_count++;
    }
}

/* The drafts [at, end) have one key: fills its entry. They are ordered by kind, then index. */
static void builder_add_key(struct index_builder *b, struct trie_entry *entry,
                            const struct draft *drafts, size_t n)
{
    size_t i = 0;

    for (; i < n && drafts[i].kind == PATH_MATCH_PREFIX; i++) {
        builder_push(b, &entry->prefixes, drafts[i].index);
    }
    for (; i < n && drafts[i].kind == PATH_MATCH_SEPARATED_PREFIX; i++) {
        builder_push(b, &entry->separated, drafts[i].index);
    }
    builder_add_regexes(b, entry, drafts + i, n - i);
}

static size_t count_keys(const struct draft *drafts, size_t n)
{
    size_t keys = 0;

    for (size_t i = 0; i < n; i++) {
        keys += i == 0 || !str_eq(drafts[i].key, drafts[i - 1].key);
    }
    return keys;
}

static void builder_make_trie(struct index_builder *b, int which, struct draft *drafts, size_t n)
{
    struct prefix_index *p = &b->index->by_case[which];
    struct trie_entry *entries;
    struct str *keys;
    size_t key_count;
    size_t at = 0;

    drafts_sort(drafts, n);
    key_count = count_keys(drafts, n);
    keys = xcalloc(key_count + 1, sizeof(*keys));
    entries = ARENA_ARRAY(b->arena, struct trie_entry, key_count);
    for (size_t k = 0; k < key_count; k++) {
        size_t end = at + 1;

        while (end < n && str_eq(drafts[end].key, drafts[at].key)) {
            end++;
        }
        keys[k] = drafts[at].key;
        builder_add_key(b, &entries[k], drafts + at, end - at);
        at = end;
    }
    p->trie = path_trie_build(b->arena, keys, key_count);
    p->entries = entries;
    free(keys);
}

static struct str route_key(struct index_builder *b, const struct route *r)
{
    if (r->path_kind == PATH_MATCH_REGEX) {
        return regex_literal_prefix(b->arena, r->path);
    }
    return r->case_sensitive ? r->path : lower_copy(b->arena, r->path);
}

static void builder_run(struct index_builder *b)
{
    struct draft *drafts = xcalloc(b->index->count, sizeof(*drafts));

    for (int which = 0; which < CASE_COUNT; which++) {
        size_t exact = 0;
        size_t n = 0;

        for (uint32_t i = 0; i < b->index->count; i++) {
            const struct route *r = &b->index->routes[i];

            if (route_case(r) != which || r->path_kind == PATH_MATCH_CONNECT) {
                continue;
            }
            if (r->path_kind == PATH_MATCH_EXACT) {
                exact++;
            } else {
                drafts[n++] =
                    (struct draft){.key = route_key(b, r), .index = i, .kind = r->path_kind};
            }
        }
        builder_make_exact(b, which, exact);
        builder_make_trie(b, which, drafts, n);
    }
    free(drafts);
    for (uint32_t i = 0; i < b->index->count; i++) {
        if (b->index->routes[i].path_kind == PATH_MATCH_CONNECT) {
            builder_push(b, &b->index->connects, i);
        }
    }
}

static void route_index_cleanup(void *object)
{
    struct route_index *ix = object;

    for (size_t i = 0; i < ix->group_count; i++) {
        regex_set_free(ix->groups[i].set);
    }
}

const struct route_index *route_index_build(struct part *owner, const struct route *routes,
                                            size_t count)
{
    struct index_builder b = {.arena = &owner->arena};
    size_t regexes = 0;

    b.index = ARENA_NEW(b.arena, struct route_index);
    b.index->routes = routes;
    b.index->count = count;
    b.index->is_linear = count <= LINEAR_MAX;
    if (b.index->is_linear) {
        return b.index;
    }
    CHECK(count < UINT32_MAX);
    for (size_t i = 0; i < count; i++) {
        regexes += routes[i].path_kind == PATH_MATCH_REGEX;
    }
    b.index->pool = ARENA_ARRAY(b.arena, uint32_t, count); /* every route stands in one list */
    if (regexes > 0) {
        b.index->groups = ARENA_ARRAY(b.arena, struct regex_group, regexes);
        part_on_free(owner, route_index_cleanup, b.index);
    }
    builder_run(&b);
    return b.index;
}

/* --- finding -------------------------------------------------------------------------------- */

/* One list that the path is in, and how far it was read. For regexes it goes through the groups of
 * one key, whose routes ascend; a group is matched only when its first route would be the next
 * candidate. */
struct cursor {
    const uint32_t *next;
    const uint32_t *end;
    const struct regex_group *group; /* NULL: every route of the list matches */
    uint32_t groups_left;            /* behind `group` */
    bool is_matched;
    uint64_t hits; /* of `group`, bit 0 is *next */
};

struct cursors {
    struct cursor items[LISTS_MAX];
    size_t count;
};

static void cursor_set_list(struct cursor *c, const struct route_index *ix,
                            const struct index_list *list)
{
    c->next = ix->pool + list->at;
    c->end = c->next + list->count;
}

static bool cursors_add(struct cursors *c, const struct route_index *ix,
                        const struct index_list *list)
{
    if (list->count == 0) {
        return true;
    }
    if (c->count == LISTS_MAX) {
        return false;
    }
    c->items[c->count] = (struct cursor){.group = NULL};
    cursor_set_list(&c->items[c->count++], ix, list);
    return true;
}

static bool cursors_add_groups(struct cursors *c, const struct route_index *ix,
                               const struct trie_entry *e)
{
    const struct regex_group *first;

    if (e->group_count == 0) {
        return true;
    }
    first = ix->groups + e->group_at;
    if (!cursors_add(c, ix, &first->list)) {
        return false;
    }
    c->items[c->count - 1].group = first;
    c->items[c->count - 1].groups_left = e->group_count - 1;
    return true;
}

static bool cursors_add_entry(struct cursors *c, const struct route_index *ix,
                              const struct trie_entry *e, struct str path, size_t depth)
{
    bool is_separated = depth == path.len || path.ptr[depth] == '/';

    return cursors_add(c, ix, &e->prefixes) &&
           (!is_separated || cursors_add(c, ix, &e->separated)) && cursors_add_groups(c, ix, e);
}

/* False when the path is in more lists than fit. */
static bool cursors_fill(struct cursors *c, const struct route_index *ix, struct str path,
                         bool is_connect)
{
    c->count = 0;
    if (is_connect) {
        (void)cursors_add(c, ix, &ix->connects); /* the first always fits */
    }
    if (path.ptr == NULL) {
        return true;
    }
    for (int which = 0; which < CASE_COUNT; which++) {
        const struct prefix_index *p = &ix->by_case[which];
        uint32_t found = str_table_find(&p->exact, path);
        struct trie_walk walk;

        if (found != STR_TABLE_NONE && !cursors_add(c, ix, &p->exact_lists[found])) {
            return false;
        }
        trie_walk_init(&walk, p->trie, path, which == CASE_IGNORED ? TRIE_IGNORE_CASE : 0);
        while (trie_walk_next(&walk, &found)) {
            if (!cursors_add_entry(c, ix, &p->entries[found], path, walk.depth)) {
                return false;
            }
        }
    }
    return true;
}

/* The cursor with the lowest next route, or NULL. */
static struct cursor *cursors_lowest(struct cursors *c)
{
    struct cursor *lowest = NULL;

    for (size_t i = 0; i < c->count; i++) {
        struct cursor *it = &c->items[i];

        if (it->next < it->end && (lowest == NULL || *it->next < *lowest->next)) {
            lowest = it;
        }
    }
    return lowest;
}

/* Moves to the first hit at or after `next`, or to the next group. */
static void cursor_skip_misses(struct cursor *c, const struct route_index *ix)
{
    if (c->hits != 0) {
        int misses = __builtin_ctzll(c->hits);

        c->next += misses;
        c->hits >>= misses;
    } else if (c->groups_left > 0) {
        c->groups_left--;
        c->group++;
        c->is_matched = false;
        cursor_set_list(c, ix, &c->group->list);
    } else {
        c->next = c->end;
    }
}

static void cursor_match_group(struct cursor *c, const struct route_index *ix, struct str path)
{
    int found[REGEX_GROUP_MAX];
    int n = c->group->set != NULL ? regex_set_all(c->group->set, path, found, REGEX_GROUP_MAX) : -2;

    c->is_matched = true;
    for (int i = 0; i < n; i++) {
        c->hits |= (uint64_t)1 << found[i];
    }
    if (n < 0) { /* no automaton, or it ran out of memory */
        for (size_t i = 0; i < c->group->list.count; i++) {
            bool is_hit = regex_full_match(ix->routes[c->next[i]].path_regex, path);

            c->hits |= (uint64_t)is_hit << i;
        }
    }
    cursor_skip_misses(c, ix);
}

static void cursor_advance(struct cursor *c, const struct route_index *ix)
{
    c->next++;
    if (c->group != NULL) {
        c->hits >>= 1;
        cursor_skip_misses(c, ix);
    }
}

static const struct route *find_linear(const struct route_index *ix, struct str path,
                                       bool is_connect, route_candidate_fn *accept, void *user)
{
    for (size_t i = 0; i < ix->count; i++) {
        if (route_matches_path(&ix->routes[i], path, is_connect) && accept(user, &ix->routes[i])) {
            return &ix->routes[i];
        }
    }
    return NULL;
}

const struct route *route_index_find(const struct route_index *ix, struct str path, bool is_connect,
                                     route_candidate_fn *accept, void *user)
{
    struct cursors cursors;
    struct cursor *c;

    if (ix->is_linear || !cursors_fill(&cursors, ix, path, is_connect)) {
        return find_linear(ix, path, is_connect, accept, user);
    }
    while ((c = cursors_lowest(&cursors)) != NULL) {
        const struct route *r;

        if (c->group != NULL && !c->is_matched) {
            cursor_match_group(c, ix, path);
            continue;
        }
        r = &ix->routes[*c->next];
        if (accept(user, r)) {
            return r;
        }
        cursor_advance(c, ix);
    }
    return NULL;
}
