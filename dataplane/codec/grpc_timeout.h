#ifndef DATAPLANE_CODEC_GRPC_TIMEOUT_H
#define DATAPLANE_CODEC_GRPC_TIMEOUT_H

/* The grpc-timeout header: at most eight digits and a unit. No state, any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

/* In milliseconds, rounded up. False: no timeout as Envoy reads it (which is a little more lenient
 * than gRPC: blanks and a plus sign pass), to be treated as if there were none. */
bool grpc_timeout_parse(struct str value, uint64_t *ret_ms);

/* Into at most GRPC_TIMEOUT_BYTES; returns how many. Eight digits at most: coarser units for longer
 * times, as Envoy rounds (down). */
#define GRPC_TIMEOUT_BYTES 9
size_t grpc_timeout_format(uint64_t ms, char ret_text[GRPC_TIMEOUT_BYTES]);

#endif
