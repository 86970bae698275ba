#ifndef DATAPLANE_SERVER_NODE_H
#define DATAPLANE_SERVER_NODE_H

/*
 * The Node that discovery requests carry: the bootstrap's, with id, cluster and zone overridden by
 * the flags, and what this build is and has.
 */

#include <stddef.h>
#include <stdint.h>

#include "config/model/extension.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"
#include "dataplane/server/options.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"

struct node {
    Envoy__Config__Core__V3__Node *message; /* in the arena */
    uint8_t *bytes;
    size_t len;
};

/* Edits `bootstrap->node` in place (making one when there is none). */
void node_build(Envoy__Config__Bootstrap__V3__Bootstrap *bootstrap, const struct options *o,
                const struct extension_registry *registry, struct arena *arena,
                struct node *ret_node);

#endif
