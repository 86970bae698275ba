/* The intrusive binary min-heap. One thread per heap. Does not own its nodes. */

#include "dataplane/base/heap.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"

void heap_init(struct heap *h, heap_less_fn *less)
{
    *h = (struct heap){.less = less};
}

void heap_done(struct heap *h)
{
    if (h != NULL) {
        for (size_t i = 0; i < h->count; i++) {
            h->nodes[i]->index = HEAP_NONE;
        }
        free(h->nodes);
        heap_init(h, h->less);
    }
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->count > 0 ? h->nodes[0] : NULL;
}

static void heap_place(struct heap *h, struct heap_node *n, size_t at)
{
    h->nodes[at] = n;
    n->index = at;
}

/* Moves `n`, whose place `at` is a hole, up to where it belongs. */
static void heap_sift_up(struct heap *h, struct heap_node *n, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;

        if (!h->less(n, h->nodes[parent])) {
            break;
        }
        heap_place(h, h->nodes[parent], at);
        at = parent;
    }
    heap_place(h, n, at);
}

static void heap_sift_down(struct heap *h, struct heap_node *n, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && h->less(h->nodes[child + 1], h->nodes[child])) {
            child++;
        }
        if (!h->less(h->nodes[child], n)) {
            break;
        }
        heap_place(h, h->nodes[child], at);
        at = child;
    }
    heap_place(h, n, at);
}

static void heap_settle(struct heap *h, struct heap_node *n, size_t at)
{
    if (at > 0 && h->less(n, h->nodes[(at - 1) / 2])) {
        heap_sift_up(h, n, at);
    } else {
        heap_sift_down(h, n, at);
    }
}

void heap_insert(struct heap *h, struct heap_node *n)
{
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 8 : h->cap * 2;
        h->nodes = xreallocarray(h->nodes, h->cap, sizeof(struct heap_node *));
    }
    h->count++;
    heap_sift_up(h, n, h->count - 1);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    size_t at = n->index;
    struct heap_node *last;

    CHECK(at < h->count && h->nodes[at] == n);
    last = h->nodes[--h->count];
    if (last != n) {
        heap_settle(h, last, at);
    }
    n->index = HEAP_NONE;
}

void heap_update(struct heap *h, struct heap_node *n)
{
    CHECK(n->index < h->count && h->nodes[n->index] == n);
    heap_settle(h, n, n->index);
}
