#ifndef DATAPLANE_HTTP_STREAM_DURATION_H
#define DATAPLANE_HTTP_STREAM_DURATION_H

/* How long a stream may live, by its route, the connection manager and the client. Any thread, no
 * state. */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/route.h"
#include "dataplane/codec/header_map.h"

/* As Envoy: gRPC's client decides where the route heeds grpc-timeout, else the route, else
 * `manager_ms` (0: no limit). Counted from the stream's start; 0 is over at once. False: no limit.
 * What gRPC's server should know of it is written into `request`'s grpc-timeout. */
bool stream_duration_decide(const struct route_forward *f, uint64_t manager_ms,
                            struct header_map *request, uint64_t *ret_ms);

#endif
