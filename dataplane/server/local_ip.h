#ifndef DATAPLANE_SERVER_LOCAL_IP_H
#define DATAPLANE_SERVER_LOCAL_IP_H

/* This machine's address, as far as a proxy has one. Main thread. */

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

/* As Envoy: the first IPv4 address of an interface that is not loopback; 127.0.0.1 without one. */
struct str local_ip(struct arena *a, bool is_v6);

#endif
