/* Endpoint metadata against transport_socket_matches. No state. */

#include "dataplane/upstream/transport_match.h"

#define MATCH_NAMESPACE STR("envoy.transport_socket_match")

/* Depth is bounded by what the configuration may nest. */
static bool value_eq(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_NUMBER:
        return a->number == b->number;
    case VALUE_STRING:
        return str_eq(a->string, b->string);
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_STRUCT:
    case VALUE_LIST:
        break;
    }
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        bool is_struct = a->kind == VALUE_STRUCT;

        if (is_struct && !str_eq(a->fields[i].name, b->fields[i].name)) {
            return false;
        }
        if (!value_eq(is_struct ? &a->fields[i].value : &a->items[i],
                      is_struct ? &b->fields[i].value : &b->items[i])) {
            return false;
        }
    }
    return true;
}

/* Every pair of `match` is among those of `labels`. */
static bool match_is_met(const struct value *match, const struct value *labels)
{
    if (match == NULL || match->count == 0) {
        return true;
    }
    if (labels == NULL) {
        return false;
    }
    for (size_t i = 0; i < match->count; i++) {
        const struct value *is = value_get(labels, match->fields[i].name);

        if (is == NULL || !value_eq(is, &match->fields[i].value)) {
            return false;
        }
    }
    return true;
}

static const struct transport_socket_match *first_met(const struct cluster_config *c,
                                                      const struct value *metadata)
{
    const struct value *labels = metadata != NULL ? value_get(metadata, MATCH_NAMESPACE) : NULL;

    for (size_t i = 0; i < c->transport_socket_match_count; i++) {
        if (match_is_met(c->transport_socket_matches[i].match, labels)) {
            return &c->transport_socket_matches[i];
        }
    }
    return NULL;
}

const struct transport_socket_match *transport_match_find(const struct cluster_config *c,
                                                          const struct value *endpoint_metadata,
                                                          const struct value *locality_metadata)
{
    const struct transport_socket_match *m = first_met(c, endpoint_metadata);

    return m != NULL ? m : first_met(c, locality_metadata);
}
