#ifndef DATAPLANE_STREAM_INFO_GRPC_STATUS_H
#define DATAPLANE_STREAM_INFO_GRPC_STATUS_H

/* gRPC's status codes as logs and local replies need them. */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/header_map.h"

#define GRPC_STATUS_UNKNOWN 2
#define GRPC_STATUS_DEADLINE_EXCEEDED 4
#define GRPC_STATUS_KNOWN_MAX 16
#define GRPC_STATUS_INVALID UINT64_MAX

/* "application/grpc", alone or followed by '+'; as Envoy, not with parameters. */
bool grpc_is_content_type(struct str content_type);
/* As Envoy: by its content type, and not without a path. */
bool grpc_is_request(const struct header_map *h);
/* As Envoy: a 200 with gRPC's content type, or a response without body that has a grpc-status. */
bool grpc_is_response(const struct header_map *h, bool end_stream);
/* A text as grpc-message: percent-encoded where gRPC wants it, and '~' as Envoy does. */
struct str grpc_message_encode(struct arena *a, struct str text);
/* As Envoy: the mapping of gRPC's http-grpc-status-mapping document; 200 too is unknown, for a good
 * answer would say its status. */
uint64_t grpc_status_of_http(int http_status);
/* What a status counts as where HTTP's are counted; 500 for one that gRPC does not know. */
int grpc_status_to_http(uint64_t status);
/* The status in a response's head or trailers. False: there is none. One that is no number, or that
 * gRPC does not know, is GRPC_STATUS_INVALID. */
bool grpc_status_of(const struct header_map *h, uint64_t *ret_status);
/* "DeadlineExceeded" or "DEADLINE_EXCEEDED"; empty for a code that gRPC does not know. */
struct str grpc_status_name(uint64_t status, bool is_snake);

#endif
