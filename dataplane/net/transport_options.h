#ifndef DATAPLANE_NET_TRANSPORT_OPTIONS_H
#define DATAPLANE_NET_TRANSPORT_OPTIONS_H

/*
 * struct transport_options as a key: which of them may share connections, and copies that outlive
 * the request they came with. What the pool itself fills in for each connection (host_name,
 * alpn_fallback) is no part of it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net/transport_socket.h"

/* 0: nothing is set. What requesters put into `hash`. */
uint64_t transport_options_hash(const struct transport_options *o);
bool transport_options_eq(const struct transport_options *a, const struct transport_options *b);
/* One block, for free(). */
struct transport_options *transport_options_copy(const struct transport_options *o);

#endif
