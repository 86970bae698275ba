/* A long-lived stream of messages. Its loop's thread. Keeps no message itself: what waits, waits in
 * the call. */

#include "dataplane/client/grpc_reporter.h"

static void reporter_on_message(void *user, struct buf *message)
{
    struct grpc_reporter *r = user;

    if (r->ops != NULL && r->ops->on_message != NULL) {
        r->ops->on_message(r->user, message);
    }
}

static void reporter_on_close(void *user, const struct grpc_client_result *result)
{
    struct grpc_reporter *r = user;

    r->call = NULL;
    if (r->ops != NULL && r->ops->on_close != NULL) {
        r->ops->on_close(r->user, result);
    }
}

static const struct grpc_client_ops reporter_ops = {
    .on_message = reporter_on_message,
    .on_close = reporter_on_close,
};

void grpc_reporter_init(struct grpc_reporter *r, struct thread_context *t,
                        const struct grpc_client_target *target, struct str path,
                        const struct grpc_reporter_ops *ops, void *user)
{
    *r = (struct grpc_reporter){
        .thread = t,
        .target = *target,
        .path = path,
        .ops = ops,
        .user = user,
    };
    r->target.timeout = (struct opt_ms){.is_set = false};
}

void grpc_reporter_done(struct grpc_reporter *r)
{
    if (r->call != NULL) {
        grpc_client_cancel(r->call);
        r->call = NULL;
    }
}

bool grpc_reporter_send(struct grpc_reporter *r, struct buf *take_message)
{
    if (r->call == NULL) {
        r->opened_streams++;
        r->call = grpc_client_start(r->thread, &r->target, r->path, &reporter_ops, r);
    }
    if (grpc_client_is_above(r->call)) {
        r->dropped_messages++;
        buf_reset(take_message);
        return false;
    }
    r->sent_messages++;
    grpc_client_send(r->call, take_message, false);
    return true;
}
