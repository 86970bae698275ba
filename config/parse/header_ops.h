#ifndef CONFIG_PARSE_HEADER_OPS_H
#define CONFIG_PARSE_HEADER_OPS_H

/* Headers to add and remove. Main thread. */

#include "config/model/route.h"
#include "config/parse/context.h"
#include "proto/envoy/config/core/v3/base.pb-c.h"

/* The two repeated fields of one set of operations, with their names for errors. */
struct header_ops_fields {
    const char *add_field;
    size_t add_count;
    Envoy__Config__Core__V3__HeaderValueOption *const *add;
    const char *remove_field;
    size_t remove_count;
    char *const *remove;
    bool
        remove_may_be_empty; /* where Envoy's rules let an empty name pass, which removes nothing */
};

/* As Envoy: ':'-prefixed names and Host are neither added nor removed. */
int parse_header_ops(struct parse_context *ctx, const struct header_ops_fields *f,
                     struct header_ops *ret) MUST_CHECK;

/* For a message with the usual four fields. */
#define HEADER_OPS_FIELDS(m, direction)                                                            \
    (&(struct header_ops_fields){.add_field = #direction "_headers_to_add",                        \
                                 .add_count = (m)->n_##direction##_headers_to_add,                 \
                                 .add = (m)->direction##_headers_to_add,                           \
                                 .remove_field = #direction "_headers_to_remove",                  \
                                 .remove_count = (m)->n_##direction##_headers_to_remove,           \
                                 .remove = (m)->direction##_headers_to_remove})

#endif
