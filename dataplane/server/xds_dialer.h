#ifndef DATAPLANE_SERVER_XDS_DIALER_H
#define DATAPLANE_SERVER_XDS_DIALER_H

/*
 * How the control-plane client reaches its cluster: an ordinary cluster of main's, picked and
 * connected like any other, then handed over as a plain socket. One with a transport socket stays
 * with us, behind a bridge.
 */

#include "dataplane/runtime/thread_context.h"
#include "dataplane/server/xds_bridge.h"
#include "xds/client.h"

struct xds_dialing {
    struct thread_context *thread; /* main's */
    struct xds_bridges bridges;
};

/* `d` is kept. */
struct xds_dialer xds_dialing_init(struct xds_dialing *d, struct thread_context *main_thread);
/* Once the client is closed: bridges end. False: there are none; else `on_closed` comes from the
 * loop when they have. */
bool xds_dialing_close(struct xds_dialing *d, void (*on_closed)(void *user), void *user);

#endif
