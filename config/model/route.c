/* Lookup in route tables that needs no index. Any thread: route tables are immutable. */

#include "config/model/route.h"

const struct filter_override *filter_overrides_find(const struct filter_overrides *o,
                                                    struct str filter_name)
{
    /* One or two entries in practice. */
    for (size_t i = 0; i < o->count; i++) {
        if (str_eq(o->items[i].filter_name, filter_name)) {
            return &o->items[i];
        }
    }
    return NULL;
}
