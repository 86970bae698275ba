#ifndef DATAPLANE_CLIENT_GRPC_CLIENT_H
#define DATAPLANE_CLIENT_GRPC_CLIENT_H

/*
 * gRPC calls of ours to an ordinary cluster: unary, and streams in either direction or both.
 * Messages are bytes; who calls knows what they mean. Deadlines, resets, bad framing and a server
 * that is not there all end as a gRPC status, told once. README.md: an example, and who holds what.
 *
 * Callbacks come from the loop only, never from inside a call of this file, except on_watermark
 * (from grpc_client_send). From any callback the call may be cancelled. Its own loop's thread,
 * worker or main.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/client/client_stream.h"
#include "dataplane/client/grpc_metadata.h"

struct thread_context;

/* gRPC's own default. README, "Differs from Envoy": there nothing is bounded unless configured. */
#define GRPC_CLIENT_MESSAGE_BYTES_MAX (4 * 1024 * 1024)

/* Where calls go and how: what a GrpcService configures. Borrowed for the length of
 * grpc_client_start; what becomes part of the request is copied. */
struct grpc_client_target {
    struct client_cluster cluster;
    struct str authority; /* empty: the cluster's name */
    const struct initial_metadata *metadata;
    size_t metadata_count;
    struct opt_ms timeout;      /* for the whole call; sent as grpc-timeout */
    uint32_t max_message_bytes; /* received; 0: GRPC_CLIENT_MESSAGE_BYTES_MAX */
    struct str forwarded_for;   /* x-forwarded-for: this machine's address; empty: not sent */
    bool skips_envoy_headers;   /* neither that nor x-envoy-internal */
};

/* With everything that `s` says. */
struct grpc_client_target grpc_client_target_of(const struct grpc_service_config *s);

struct grpc_client_result {
    enum grpc_code code;
    struct str message; /* grpc-message decoded, or why there is none */
    struct str details; /* response_code_details: "via_upstream" where the server had the word */
    /* The trailers, or the head that is all there is of a response; NULL: neither came. */
    const struct header_map *trailers;
    const struct client_failure *failure; /* NULL: there was a response, whatever it said */
};

struct grpc_client_call;

/* NULL for what nobody wants, except on_close. */
struct grpc_client_ops {
    /* Initial metadata, once, before any message; not for a call that was refused outright. */
    void (*on_headers)(void *user, const struct header_map *h);
    /* Takes what it wants of `message`; the rest is dropped. Paused: not called. */
    void (*on_message)(void *user, struct buf *message);
    /* The call is over. Last callback; the call, and all that `r` shows, dies when it returns. */
    void (*on_close)(void *user, const struct grpc_client_result *r);
    /* What was sent and has not left rose above the connection's buffer limit (stop sending), or
     * fell below. */
    void (*on_watermark)(void *user, bool is_above);
};

/* Starts a call to `path` ("/pkg.Service/Method", copied). Never NULL: what goes wrong is told by
 * on_close, later. The caller ends it: by waiting for on_close or with grpc_client_cancel, at the
 * latest before its thread's clusters go. */
struct grpc_client_call *grpc_client_start(struct thread_context *t,
                                           const struct grpc_client_target *target, struct str path,
                                           const struct grpc_client_ops *ops, void *user);
/* One message; `is_last`: nothing follows. Dropped when the call is over or nothing may follow. */
void grpc_client_send(struct grpc_client_call *c, struct buf *take_message, bool is_last);
/* The same for bytes that are copied. */
void grpc_client_send_bytes(struct grpc_client_call *c, struct str message, bool is_last);
/* Nothing follows. */
void grpc_client_finish(struct grpc_client_call *c);
bool grpc_client_is_above(const struct grpc_client_call *c);
/* Paused: no on_message, the server is held back by flow control, and on_close waits for the
 * messages before it (unless the call breaks). Resumes at the end of the turn. */
void grpc_client_pause(struct grpc_client_call *c, bool is_paused);
/* Ends the call at once, without a callback; the call dies. */
void grpc_client_cancel(struct grpc_client_call *c);

/* One message there, one back. `response` is NULL unless r->code is GRPC_OK; takes what it wants of
 * it. Of several messages the last counts, as in Envoy; none is GRPC_INTERNAL. */
typedef void (*grpc_client_done)(void *user, const struct grpc_client_result *r,
                                 struct buf *response);
struct grpc_client_call *grpc_client_unary(struct thread_context *t,
                                           const struct grpc_client_target *target, struct str path,
                                           struct buf *take_message, grpc_client_done on_done,
                                           void *user);

#endif
