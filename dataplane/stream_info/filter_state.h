#ifndef DATAPLANE_STREAM_INFO_FILTER_STATE_H
#define DATAPLANE_STREAM_INFO_FILTER_STATE_H

/*
 * What filters leave under a name for %FILTER_STATE(name)%. Objects live in the stream's arena, or
 * as long; their filter may write into them for as long as the stream lives.
 */

#include "config/model/core.h"
#include "dataplane/stream_info/stream_info.h"

struct filter_state_object {
    const struct filter_state_object *next;
    struct str name;           /* Envoy's key: "envoy.filters.http.grpc_stats" */
    struct str plain;          /* PLAIN; ptr NULL: has none */
    const struct value *typed; /* TYPED in a JSON log; NULL: has none */
    struct str text;           /* TYPED in text: the message as Envoy prints it */
};

/* Once per name. */
static inline void filter_state_add(struct stream_info *si, struct filter_state_object *o)
{
    o->next = si->filter_state;
    si->filter_state = o;
}

/* NULL: nobody has left one. */
static inline const struct filter_state_object *filter_state_get(const struct stream_info *si,
                                                                 struct str name)
{
    const struct filter_state_object *o = si->filter_state;

    while (o != NULL && !str_eq(o->name, name)) {
        o = o->next;
    }
    return o;
}

#endif
