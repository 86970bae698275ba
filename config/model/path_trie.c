/* The compressed trie. Nodes stand in breadth-first order, so that siblings are neighbours and one
 * memchr over their first bytes finds the child. Building is main's, walking anyone's. */

#include "config/model/path_trie.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"

#define NO_KEY UINT32_MAX

struct trie_node {
    const char *label; /* the edge into this node */
    uint32_t label_len;
    uint32_t first_child;
    uint32_t child_count; /* at most 256 */
    uint32_t key;         /* that ends here, or NO_KEY */
};

struct path_trie {
    const struct trie_node *nodes;    /* [0] is the root, with an empty label */
    const unsigned char *first_bytes; /* of every node's label */
    uint32_t node_count;
};

/* --- building ------------------------------------------------------------------------------- */

/* A node that is being built: the keys [lo, hi) share their first `depth` bytes. */
struct draft {
    uint32_t lo;
    uint32_t hi;
    size_t depth;
};

struct builder {
    const struct str *keys;
    struct trie_node *nodes;
    struct draft *drafts;
    uint32_t count;
};

static size_t common_prefix(struct str a, struct str b, size_t from)
{
    size_t n = a.len < b.len ? a.len : b.len;

    while (from < n && a.ptr[from] == b.ptr[from]) {
        from++;
    }
    return from;
}

/* The end of the run of keys from `lo` on that have the same byte at `depth`. */
static uint32_t run_end(const struct builder *b, uint32_t lo, uint32_t hi, size_t depth)
{
    unsigned char c = (unsigned char)b->keys[lo].ptr[depth];

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if ((unsigned char)b->keys[mid].ptr[depth] > c) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return lo;
}

static void builder_add(struct builder *b, uint32_t lo, uint32_t hi, size_t depth)
{
    /* Sorted: what the first and the last share, all share. */
    size_t end = common_prefix(b->keys[lo], b->keys[hi - 1], depth);

    CHECK(end - depth < UINT32_MAX);
    b->nodes[b->count] = (struct trie_node){
        .label = b->keys[lo].ptr + depth, .label_len = (uint32_t)(end - depth), .key = NO_KEY};
    b->drafts[b->count] = (struct draft){lo, hi, end};
    b->count++;
}

/* Gives node `i` its key and its children, which go to the end of the queue. */
static void builder_expand(struct builder *b, uint32_t i)
{
    struct draft d = b->drafts[i];
    struct trie_node *node = &b->nodes[i];

    if (d.lo < d.hi && b->keys[d.lo].len == d.depth) {
        node->key = d.lo++;
    }
    node->first_child = b->count;
    while (d.lo < d.hi) {
        uint32_t end = run_end(b, d.lo, d.hi, d.depth);

        builder_add(b, d.lo, end, d.depth);
        d.lo = end;
    }
    node->child_count = b->count - node->first_child;
}

const struct path_trie *path_trie_build(struct arena *a, const struct str *keys, size_t n)
{
    struct builder b = {.keys = keys};
    struct path_trie *t;
    unsigned char *bytes;

    if (n == 0) {
        return NULL;
    }
    CHECK(n < UINT32_MAX / 4);
    /* Every node but the root ends a key or has two children: at most 2n, and the root. */
    b.nodes = xcalloc(2 * n + 1, sizeof(*b.nodes));
    b.drafts = xcalloc(2 * n + 1, sizeof(*b.drafts));
    b.nodes[0] = (struct trie_node){.label = "", .key = NO_KEY};
    b.drafts[0] = (struct draft){0, (uint32_t)n, 0};
    b.count = 1;
    for (uint32_t i = 0; i < b.count; i++) {
        builder_expand(&b, i);
    }
    t = ARENA_NEW(a, struct path_trie);
    t->node_count = b.count;
    t->nodes = arena_memdup(a, b.nodes, b.count * sizeof(*b.nodes));
    bytes = arena_alloc(a, b.count);
    for (uint32_t i = 0; i < b.count; i++) {
        bytes[i] = i > 0 ? (unsigned char)b.nodes[i].label[0] : 0;
    }
    t->first_bytes = bytes;
    free(b.nodes);
    free(b.drafts);
    return t;
}

/* --- walking -------------------------------------------------------------------------------- */

void trie_walk_init(struct trie_walk *w, const struct path_trie *trie, struct str text, int flags)
{
    *w = (struct trie_walk){.trie = trie, .text = text, .flags = flags};
}

static char walk_char(const struct trie_walk *w, size_t i)
{
    char c = w->text.ptr[(w->flags & TRIE_BACKWARDS) != 0 ? w->text.len - 1 - i : i];

    return (w->flags & TRIE_IGNORE_CASE) != 0 ? ascii_lower(c) : c;
}

static bool walk_label_matches(const struct trie_walk *w, const struct trie_node *node)
{
    if (w->text.len - w->depth < node->label_len) {
        return false;
    }
    if (w->flags == 0) {
        return memcmp(w->text.ptr + w->depth, node->label, node->label_len) == 0;
    }
    for (size_t i = 0; i < node->label_len; i++) {
        if (walk_char(w, w->depth + i) != node->label[i]) {
            return false;
        }
    }
    return true;
}

/* Goes down one edge; false when there is none for the text. */
static bool walk_step(struct trie_walk *w)
{
    const struct path_trie *t = w->trie;
    const struct trie_node *node = &t->nodes[w->node];
    const unsigned char *hit;

    if (w->depth == w->text.len || node->child_count == 0) {
        return false;
    }
    hit = memchr(t->first_bytes + node->first_child, (unsigned char)walk_char(w, w->depth),
                 node->child_count);
    if (hit == NULL) {
        return false;
    }
    w->node = (uint32_t)(hit - t->first_bytes);
    node = &t->nodes[w->node];
    if (!walk_label_matches(w, node)) {
        return false;
    }
    w->depth += node->label_len;
    return true;
}

bool trie_walk_next(struct trie_walk *w, uint32_t *ret_key)
{
    if (w->trie == NULL) {
        return false;
    }
    do {
        if (w->is_started && !walk_step(w)) {
            w->trie = NULL; /* stays at its end */
            return false;
        }
        w->is_started = true;
    } while (w->trie->nodes[w->node].key == NO_KEY);
    *ret_key = w->trie->nodes[w->node].key;
    return true;
}
