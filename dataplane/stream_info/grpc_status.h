#ifndef DATAPLANE_STREAM_INFO_GRPC_STATUS_H
#define DATAPLANE_STREAM_INFO_GRPC_STATUS_H

/* gRPC's status codes as logs and local replies need them. */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"

#define GRPC_STATUS_UNKNOWN 2
#define GRPC_STATUS_DEADLINE_EXCEEDED 4

/* "application/grpc", alone or followed by '+' or ';'. */
bool grpc_is_content_type(struct str content_type);
/* The mapping of gRPC's http-grpc-status-mapping document. */
uint64_t grpc_status_of_http(int http_status);
/* "DeadlineExceeded" or "DEADLINE_EXCEEDED"; empty for a code that gRPC does not know. */
struct str grpc_status_name(uint64_t status, bool is_snake);

#endif
