#ifndef DATAPLANE_BASE_LIST_H
#define DATAPLANE_BASE_LIST_H

/* Circular doubly linked intrusive list. A node that is in no list points to itself. */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/check.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

/* For a node: whether it is in some list. */
static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_add_tail(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void list_add_head(struct list *l, struct list *node)
{
    node->next = l->next;
    node->prev = l;
    l->next->prev = node;
    l->next = node;
}

/* Harmless on a node that is in no list. */
static inline void list_remove(struct list *node)
{
    node->next->prev = node->prev;
    node->prev->next = node->next;
    node->next = node;
    node->prev = node;
}

/* Moves all nodes of `from` to the end of `l`. */
static inline void list_splice(struct list *l, struct list *from)
{
    if (list_is_empty(from)) {
        return;
    }
    from->next->prev = l->prev;
    from->prev->next = l;
    l->prev->next = from->next;
    l->prev = from->prev;
    list_init(from);
}

#define list_first(l, type, member)                                                                \
    (list_is_empty(l) ? NULL : container_of((l)->next, type, member))
#define list_last(l, type, member) (list_is_empty(l) ? NULL : container_of((l)->prev, type, member))
/* The current node may be removed during the walk; no other may. */
#define list_for_each(var, l, type, member)                                                        \
    for (struct list *it_##var = (l)->next, *nx_##var = it_##var->next;                            \
         it_##var != (l) && ((var) = container_of(it_##var, type, member), true);                  \
         it_##var = nx_##var, nx_##var = it_##var->next)

#endif
