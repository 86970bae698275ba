#ifndef DATAPLANE_SERVER_XDS_DIALER_H
#define DATAPLANE_SERVER_XDS_DIALER_H

/*
 * How the control-plane client reaches its cluster: an ordinary cluster of main's, picked and
 * connected like any other, then handed over as a plain socket.
 */

#include "dataplane/runtime/thread_context.h"
#include "xds/client.h"

struct xds_dialer xds_dialer_for(struct thread_context *main_thread);

#endif
