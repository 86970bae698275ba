#ifndef DATAPLANE_HTTP_LOCAL_REPLY_H
#define DATAPLANE_HTTP_LOCAL_REPLY_H

/* The shape of responses that this proxy makes itself: Envoy's, for plain HTTP and for gRPC. */

#include <stdbool.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"
#include "dataplane/codec/header_map.h"

struct local_reply {
    int status;
    struct str body;
    struct str details;             /* response_code_details; static or in the stream's arena */
    const struct header_map *extra; /* NULL: none */
    bool has_grpc_status;           /* else it follows from `status` */
    uint64_t grpc_status;
    bool has_route_headers; /* the route's response header operations apply */
};

/* Response head for `reply`, in `a`, without the length and type of its body. */
struct header_map *local_reply_headers(const struct local_reply *reply, struct arena *a);
/* Then: length and type, or for gRPC the status as headers. Returns the body to send: empty for
 * gRPC and for HEAD. */
struct str local_reply_finish(const struct local_reply *reply, bool is_grpc, bool is_head,
                              struct header_map *h);

#endif
