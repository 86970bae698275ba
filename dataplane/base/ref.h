#ifndef DATAPLANE_BASE_REF_H
#define DATAPLANE_BASE_REF_H

/* Plain reference count for one thread (style rule 10: x_ref / x_unref). */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/check.h"

struct ref {
    uint32_t count;
};

static inline void ref_init(struct ref *r)
{
    r->count = 1;
}

static inline void ref_get(struct ref *r)
{
    CHECK(r->count > 0 && r->count < UINT32_MAX);
    r->count++;
}

/* True when this was the last one: the caller frees. */
static inline bool ref_put(struct ref *r)
{
    CHECK(r->count > 0);
    return --r->count == 0;
}

#endif
