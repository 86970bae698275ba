#ifndef DATAPLANE_CLIENT_GRPC_METADATA_H
#define DATAPLANE_CLIENT_GRPC_METADATA_H

/*
 * What of gRPC stands in headers and trailers: the request's head, and how a call ended. No state,
 * any thread; all memory is the arena's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/base/arena.h"
#include "dataplane/codec/header_map.h"

enum grpc_code {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
};

/* What goes into a request's head. */
struct grpc_request_head {
    struct str scheme;
    struct str authority;
    struct str path; /* "/pkg.Service/Method" */
    uint64_t timeout_ms;
    bool has_timeout;
    const struct initial_metadata *metadata; /* replaces what has the same name */
    size_t metadata_count;
};

/* Values of names in -bin are sent in base64. Copies the metadata; the other strings must live as
 * long as the arena. */
void grpc_metadata_write_head(struct header_map *h, const struct grpc_request_head *head);

/* grpc-status and grpc-message of trailers (or of a head that is all there is). False: there is no
 * grpc-status. One that is no code gives GRPC_UNKNOWN. */
bool grpc_metadata_read_status(const struct header_map *trailers, enum grpc_code *ret_code,
                               struct str *ret_message);
/* grpc-message's percent-encoding undone; what is no escape stays as it is, as gRPC demands. */
struct str grpc_message_decode(struct arena *a, struct str s);

#endif
