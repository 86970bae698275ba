/* Parts: one arena each, counted references, cleanups for what no arena holds. Main thread only.
 * Knows nothing of what the concrete parts contain. */

#include "config/model/part.h"

#include "dataplane/base/check.h"

/* In the first chunk, behind the part: its name, its dependencies and whatever else is small. Ten
 * thousand clusters mostly need no second chunk. */
#define PART_SLACK_BYTES 160

const char *part_kind_name(enum part_kind k)
{
    switch (k) {
    case PART_LISTENER:
        return "listener";
    case PART_FILTER_CHAIN:
        return "filter chain";
    case PART_ROUTE_TABLE:
        return "route configuration";
    case PART_CLUSTER:
        return "cluster";
    case PART_ENDPOINTS:
        return "endpoints";
    case PART_SECRET:
        return "secret";
    case PART_KIND_COUNT:
        break;
    }
    return "unknown";
}

/* References are counted through const pointers: the content is immutable, the count is main's. */
static struct part *part_mutable(const struct part *p)
{
    return (struct part *)(uintptr_t)p;
}

void *part_new(size_t bytes, enum part_kind kind, struct str name)
{
    struct arena arena;
    struct part *p;

    CHECK(bytes >= sizeof(*p));
    arena_init(&arena, NULL);
    p = arena_calloc(&arena, 1, bytes + PART_SLACK_BYTES);
    arena_shrink(&arena, p, bytes);
    p->kind = kind;
    p->slot = SLOT_NONE;
    p->refs = 1;
    p->arena = arena;
    p->name = arena_str(&p->arena, name);
    return p;
}

void part_ref(const struct part *p)
{
    if (p != NULL) {
        CHECK(p->refs > 0);
        part_mutable(p)->refs++;
    }
}

void part_unref(const struct part *p)
{
    struct part *m = part_mutable(p);
    struct arena arena;

    if (m == NULL) {
        return;
    }
    CHECK(m->refs > 0);
    if (--m->refs > 0) {
        return;
    }
    for (struct part_cleanup *c = m->cleanups; c != NULL; c = c->next) {
        c->run(c->object);
    }
    arena = m->arena; /* the part itself lies in it */
    arena_done(&arena);
}

void part_on_free(struct part *p, void (*run)(void *object), void *object)
{
    struct part_cleanup *c = ARENA_NEW(&p->arena, struct part_cleanup);

    c->run = run;
    c->object = object;
    c->next = p->cleanups; /* newest first */
    p->cleanups = c;
}
