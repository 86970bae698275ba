#ifndef DATAPLANE_BASE_HEAP_H
#define DATAPLANE_BASE_HEAP_H

/* Intrusive binary min-heap, for EDF schedulers and deadlines. */

#include <stdbool.h>
#include <stddef.h>

struct heap_node {
    size_t index; /* HEAP_NONE when in no heap */
};

#define HEAP_NONE ((size_t)-1)

typedef bool heap_less_fn(const struct heap_node *a, const struct heap_node *b);

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t cap;
    heap_less_fn *less;
};

void heap_init(struct heap *h, heap_less_fn *less);
void heap_done(struct heap *h);
struct heap_node *heap_min(const struct heap *h); /* NULL when empty */
void heap_insert(struct heap *h, struct heap_node *n);
void heap_remove(struct heap *h, struct heap_node *n);
/* After the node's key changed. */
void heap_update(struct heap *h, struct heap_node *n);

#endif
