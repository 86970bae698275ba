#ifndef DATAPLANE_CLIENT_GRPC_REPORTER_H
#define DATAPLANE_CLIENT_GRPC_REPORTER_H

/*
 * A long-lived stream of messages to a service that only listens: access logs, statistics, spans.
 * The stream opens with the first message and again with the next one after it broke; what was
 * under way then is lost. Messages that the connection cannot take are dropped and counted: memory
 * is bounded by the cluster's per_connection_buffer_limit_bytes and one message. Per thread; its
 * own loop's thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/client/grpc_client.h"

struct grpc_reporter_ops {
    /* NULL for what nobody wants. The stream ended, whoever ended it; the next message opens
     * another. Not called by grpc_reporter_done. */
    void (*on_close)(void *user, const struct grpc_client_result *r);
    void (*on_message)(void *user, struct buf *message);
};

struct grpc_reporter {
    struct thread_context *thread;
    struct grpc_client_target target; /* its strings are borrowed, as `path` */
    struct str path;
    const struct grpc_reporter_ops *ops;
    void *user;
    struct grpc_client_call *call; /* NULL: no stream */
    uint64_t sent_messages;
    uint64_t dropped_messages;
    uint64_t opened_streams;
};

/* `ops` may be NULL. Opens nothing yet. The target's timeout is left out, as in Envoy: it is for
 * calls that end by themselves. */
void grpc_reporter_init(struct grpc_reporter *r, struct thread_context *t,
                        const struct grpc_client_target *target, struct str path,
                        const struct grpc_reporter_ops *ops, void *user);
/* Resets the stream, without a callback. */
void grpc_reporter_done(struct grpc_reporter *r);
/* Whether the next message is the first of a stream, which in most protocols says who is
 * speaking. */
static inline bool grpc_reporter_is_closed(const struct grpc_reporter *r)
{
    return r->call == NULL;
}
/* False: dropped, too much is waiting. True is no proof that it arrives. */
bool grpc_reporter_send(struct grpc_reporter *r, struct buf *take_message);

#endif
