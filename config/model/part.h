#ifndef CONFIG_MODEL_PART_H
#define CONFIG_MODEL_PART_H

/*
 * A part is one immutable piece of configuration: listener, filter chain, route table, cluster,
 * endpoint set or secret, with the arena that holds all of it. Parts refer to each other by slot
 * number, so that replacing one copies nothing of the others. `refs` is a plain integer that only
 * the main thread touches; workers hold part_handles (part_handle.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

enum part_kind {
    PART_LISTENER,
    PART_FILTER_CHAIN, /* not slotted: owned by its listener, shared between its versions */
    PART_ROUTE_TABLE,
    PART_CLUSTER,
    PART_ENDPOINTS,
    PART_SECRET,
    PART_KIND_COUNT
};

const char *part_kind_name(enum part_kind k);

#define SLOT_NONE UINT32_MAX

/* "This part needs that slot to be filled": what warming looks at. */
struct part_dep {
    enum part_kind kind;
    uint32_t slot;
};

struct part_cleanup {
    struct part_cleanup *next;
    void (*run)(void *object);
    void *object;
};

struct part {
    enum part_kind kind;
    uint32_t slot; /* SLOT_NONE for filter chains */
    uint32_t refs; /* main thread only */
    uint64_t hash; /* of the canonical bytes: equal hash means unchanged */
    struct str name;
    struct arena arena;
    struct part_cleanup *cleanups; /* for what no arena holds: regexes, TLS contexts */
    const struct part_dep *deps;
    size_t dep_count;
};

/* Main thread. The concrete struct (listener_config, ...) starts with `struct part part` and is the
 * first allocation of its own arena: `part_new(sizeof(struct cluster_config), PART_CLUSTER, ...)`.
 * refs = 1. */
void *part_new(size_t bytes, enum part_kind kind, struct str name);
void part_ref(const struct part *p);
void part_unref(const struct part *p); /* NULL allowed; runs cleanups at the last */
void part_on_free(struct part *p, void (*run)(void *object), void *object);

#endif
