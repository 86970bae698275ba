#ifndef XDS_RESPONSE_H
#define XDS_RESPONSE_H

/* A discovery response, read in place: everything points into the message's bytes. */

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"
#include "xds/subscription.h"

struct xds_response {
    struct xds_update update; /* resources and removed live in the arena */
    struct str nonce;
    struct str control_plane; /* ControlPlane.identifier */
};

/*
 * DiscoveryResponse, or DeltaDiscoveryResponse with `is_delta`. Resources wrapped in
 * discovery.v3.Resource are unwrapped; a broken wrapper is marked, not an error; one that wraps
 * nothing (the heartbeat of a time to live) is left out. E_INVALID when the envelope itself is
 * malformed, its strings included.
 */
int xds_response_decode(struct str bytes, bool is_delta, struct arena *a,
                        struct xds_response *ret_response) MUST_CHECK;
/* The wrapper's name, or without one the resource's own: field 1 of every resource message. Empty
 * when it cannot be read. */
struct str xds_resource_name(const struct xds_resource *r);

#endif
