#ifndef DATAPLANE_HTTP_LOCAL_REPLY_H
#define DATAPLANE_HTTP_LOCAL_REPLY_H

/* The shape of responses that this proxy makes itself: Envoy's, for plain HTTP and for gRPC. */

#include <stdbool.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/stream_info/access_log.h"

struct local_reply_config; /* dataplane/http/conn_manager_config.h */
struct substitution_format;
struct thread_context;

struct local_reply {
    int status;
    struct str body;
    /* Set by local_reply_rewrite. Of the body; empty: text/plain, unless a header says so. */
    struct str content_type;
    bool replaces_content_type;     /* whatever the headers said of the body that was */
    struct str details;             /* response_code_details; static or in the stream's arena */
    const struct header_map *extra; /* NULL: none */
    bool has_grpc_status;           /* else it follows from `status` */
    uint64_t grpc_status;
    bool has_route_headers; /* the route's response header operations apply */
};

/* Response head for `reply`, in `a`, without the length and type of its body. */
struct header_map *local_reply_headers(const struct local_reply *reply, struct arena *a);
/* local_reply_config: what it makes of a reply whose head is `h`. `entry` is what filters and
 * formats see; `info` is its stream_info. */
void local_reply_rewrite(const struct local_reply_config *c, struct local_reply *reply,
                         struct stream_info *info, const struct access_log_entry *entry,
                         struct thread_context *t, struct header_map *h);
/* `body` as `f` writes it, in `a`; `*type` becomes the type that f gives it, if any. */
struct str local_reply_format(const struct substitution_format *f, struct str body,
                              struct stream_info *info, const struct access_log_entry *entry,
                              struct thread_context *t, struct arena *a, struct str *type);
/* Then: length and type, or for gRPC the status as headers. Returns the body to send: empty for
 * gRPC and for HEAD. */
struct str local_reply_finish(const struct local_reply *reply, bool is_grpc, bool is_head,
                              struct header_map *h);

#endif
