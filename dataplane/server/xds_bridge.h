#ifndef DATAPLANE_SERVER_XDS_BRIDGE_H
#define DATAPLANE_SERVER_XDS_BRIDGE_H

/*
 * gRPC C core speaks in plain over a socket it is given: it has no TLS library in this process. A
 * control plane behind a transport socket (TLS) is reached through a bridge: gRPC has one end of a
 * socketpair, the other is ours, and bytes go between it and the cluster's connection, both ways,
 * no faster than the slower side takes them. Main thread.
 */

#include <stdbool.h>

#include "config/model/part_handle.h"
#include "dataplane/base/list.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"

struct xds_bridges {
    struct list open; /* of struct xds_bridge */
    void (*on_closed)(void *user);
    void *user;
};

void xds_bridges_init(struct xds_bridges *b);
/* Cuts them all off. False: there is none; else `on_closed` comes from the loop, after the last. */
bool xds_bridges_close(struct xds_bridges *b, void (*on_closed)(void *user), void *user);

/* Takes `take_outer`, which is connected. The socket for gRPC, or -1: out of descriptors, and the
 * connection is closed. A bridge ends when either side does. `config` (NULL allowed), which the
 * connection's transport looks at, is held until then. */
int xds_bridge_open(struct xds_bridges *b, struct conn *take_outer, struct part_handle *config);

#endif
