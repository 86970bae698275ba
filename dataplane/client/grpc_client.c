/*
 * gRPC calls over client_stream: framing both ways, and every way to end turned into a status, as
 * Envoy's own gRPC client does. Its loop's thread.
 *
 * A call lies in an arena of its own, which goes at the end of the turn in which the call ends.
 */

#include "dataplane/client/grpc_client.h"

#include "dataplane/base/error.h"
#include "dataplane/codec/grpc_frames.h"
#include "dataplane/event/deferred.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/grpc_status.h"

struct grpc_client_call {
    struct client_stream stream;
    struct arena arena; /* holds this very struct */
    const struct grpc_client_ops *ops;
    void *user;
    struct buf in;       /* of the response, not yet a whole message */
    struct buf message;  /* the one being handed out */
    struct buf response; /* unary: the last message */
    grpc_client_done on_done;
    void *unary_user;
    uint32_t max_message_bytes;
    bool is_paused;
    bool is_over;    /* on_close was called, or the call cancelled: dies at the end of the turn */
    bool has_result; /* the response is complete: `result` waits for the messages before it */
    bool is_delivering;
    bool has_response; /* unary: `response` is one, maybe empty */
    struct grpc_client_result result;
    struct loop_task resume_task;
    struct deferred deferred;
};

static struct grpc_client_call *call_of(struct client_stream *s)
{
    return container_of(s, struct grpc_client_call, stream);
}

static struct loop *call_loop(const struct grpc_client_call *c)
{
    return c->stream.thread->loop;
}

struct grpc_client_target grpc_client_target_of(const struct grpc_service_config *s)
{
    return (struct grpc_client_target){
        .cluster = {.name = s->cluster_name, .slot = SLOT_NONE},
        .authority = s->authority,
        .metadata = s->initial_metadata,
        .metadata_count = s->initial_metadata_count,
        .timeout = s->timeout,
    };
}

/* --- The end -------------------------------------------------------------------------------------
 */

static void call_free(struct deferred *d)
{
    struct grpc_client_call *c = container_of(d, struct grpc_client_call, deferred);
    struct arena arena = c->arena; /* which holds `c` */

    buf_reset(&c->in);
    buf_reset(&c->message);
    buf_reset(&c->response);
    arena_done(&arena);
}

static void call_drop(struct grpc_client_call *c)
{
    c->is_over = true;
    client_stream_cancel(&c->stream);
    loop_task_cancel(&c->resume_task);
    deferred_free(call_loop(c), &c->deferred, call_free);
}

static void call_close(struct grpc_client_call *c, const struct grpc_client_result *r)
{
    call_drop(c);
    c->ops->on_close(c->user, r);
}

void grpc_client_cancel(struct grpc_client_call *c)
{
    if (!c->is_over) {
        call_drop(c);
    }
}

/* The response broke the rules: the stream is reset, what was not handed out is dropped. */
static void call_break(struct grpc_client_call *c, enum grpc_code code, struct str details)
{
    call_close(c, &(struct grpc_client_result){.code = code, .details = details});
}

/* --- The response --------------------------------------------------------------------------------
 */

static void call_deliver_message(struct grpc_client_call *c)
{
    if (c->ops->on_message != NULL) {
        c->ops->on_message(c->user, &c->message);
    }
}

/* Hands out what is whole; then, if that was all, how the call ended. */
static void call_deliver(struct grpc_client_call *c)
{
    uint8_t flags;
    int r = 0;

    if (c->is_delivering) {
        return;
    }
    c->is_delivering = true;
    while (!c->is_over && !c->is_paused && r == 0) {
        buf_reset(&c->message);
        r = grpc_frame_take(&c->in, c->max_message_bytes, GRPC_FRAME_COMPRESSED, &c->message,
                            &flags);
        if (r == 0 && flags != 0 && buf_len(&c->message) > 0) {
            r = E_PROTOCOL; /* we never said that we accept a compression */
        }
        if (r == 0) {
            call_deliver_message(c);
        }
    }
    c->is_delivering = false;
    if (c->is_over || c->is_paused) {
        return;
    }
    if (r == E_AGAIN && c->has_result) {
        call_close(c, &c->result);
    } else if (r == E_LIMIT) {
        call_break(c, GRPC_RESOURCE_EXHAUSTED, STR("grpc_message_too_large"));
    } else if (r != E_AGAIN) {
        call_break(c, GRPC_INTERNAL, STR("grpc_bad_frame"));
    }
}

static void call_set_result(struct grpc_client_call *c, const struct header_map *trailers)
{
    c->has_result = true;
    c->result = (struct grpc_client_result){
        .code = GRPC_UNKNOWN,
        .details = STR("via_upstream"),
        .trailers = trailers,
    };
    (void)grpc_metadata_read_status(trailers, &c->result.code, &c->result.message);
}

static void call_on_headers(struct client_stream *s, bool end_stream)
{
    struct grpc_client_call *c = call_of(s);
    const struct header_map *h = &s->response;
    bool is_ok = str_eq(header_get(h, HDR_STATUS), STR("200"));
    uint64_t status;

    if (end_stream && (is_ok || header_get(h, HDR_GRPC_STATUS).len > 0)) {
        call_set_result(c, h);
        call_deliver(c);
    } else if (!is_ok) {
        if (parse_u64(header_get(h, HDR_STATUS), &status) != 0) {
            status = 0;
        }
        call_close(c, &(struct grpc_client_result){
                          .code = (enum grpc_code)grpc_status_of_http((int)status),
                          .details = STR("via_upstream"),
                          .trailers = h,
                      });
    } else if (c->ops->on_headers != NULL) {
        c->ops->on_headers(c->user, h);
    }
}

static void call_on_data(struct client_stream *s, struct buf *data, bool end_stream)
{
    struct grpc_client_call *c = call_of(s);

    buf_move(&c->in, data);
    if (end_stream) { /* without trailers nobody knows how it ended */
        c->has_result = true;
        c->result = (struct grpc_client_result){
            .code = GRPC_UNKNOWN,
            .details = STR("via_upstream"),
        };
    }
    call_deliver(c);
}

static void call_on_trailers(struct client_stream *s, struct header_map *trailers)
{
    struct grpc_client_call *c = call_of(s);

    call_set_result(c, trailers);
    call_deliver(c);
}

/* As Envoy, where the router answers such a request with its HTTP status as a gRPC one: also a
 * timeout is "unavailable" (502, 503 and 504 all are). */
static void call_on_failure(struct client_stream *s, const struct client_failure *f)
{
    struct grpc_client_result r = {
        .code = (enum grpc_code)grpc_status_of_http(f->http_status),
        .message = f->body,
        .details = f->details,
        .failure = f,
    };

    if (f->kind == CLIENT_NO_CLUSTER) {
        r.message = STR("Cluster not available");
    } else if (f->is_response_started) {
        r.code = GRPC_INTERNAL;
        r.message = STR("");
    }
    call_close(call_of(s), &r);
}

static void call_on_watermark(struct client_stream *s, bool is_above)
{
    struct grpc_client_call *c = call_of(s);

    if (c->ops->on_watermark != NULL) {
        c->ops->on_watermark(c->user, is_above);
    }
}

static const struct client_stream_ops call_stream_ops = {
    .on_headers = call_on_headers,
    .on_data = call_on_data,
    .on_trailers = call_on_trailers,
    .on_failure = call_on_failure,
    .on_watermark = call_on_watermark,
};

/* --- Calls ---------------------------------------------------------------------------------------
 */

static void call_on_resume(struct loop_task *t)
{
    struct grpc_client_call *c = container_of(t, struct grpc_client_call, resume_task);

    client_stream_pause(&c->stream, c->is_paused);
    call_deliver(c);
}

static struct grpc_client_call *call_new(struct thread_context *t,
                                         const struct grpc_client_target *target)
{
    struct arena arena;
    struct grpc_client_call *c;

    arena_init(&arena, &t->loop->arenas);
    c = ARENA_NEW(&arena, struct grpc_client_call);
    c->arena = arena;
    c->max_message_bytes =
        target->max_message_bytes > 0 ? target->max_message_bytes : GRPC_CLIENT_MESSAGE_BYTES_MAX;
    buf_init(&c->in, &t->loop->bufs);
    buf_init(&c->message, &t->loop->bufs);
    buf_init(&c->response, &t->loop->bufs);
    loop_task_init(&c->resume_task, call_on_resume);
    client_stream_init(&c->stream, t, &c->arena, &call_stream_ops);
    c->stream.is_grpc = true;
    return c;
}

static void call_write_head(struct grpc_client_call *c, const struct grpc_client_target *target,
                            struct str path)
{
    struct str authority = target->authority.len > 0 ? target->authority : target->cluster.name;
    struct grpc_request_head head = {
        .scheme = client_stream_scheme(c->stream.thread, &target->cluster),
        .authority = arena_str(&c->arena, authority),
        .path = arena_str(&c->arena, path),
        .timeout_ms = target->timeout.ms,
        .has_timeout = target->timeout.is_set,
        .metadata = target->metadata,
        .metadata_count = target->metadata_count,
    };

    grpc_metadata_write_head(&c->stream.request, &head);
    if (!target->skips_envoy_headers) {
        client_stream_add_envoy_headers(&c->stream, target->forwarded_for);
    }
}

struct grpc_client_call *grpc_client_start(struct thread_context *t,
                                           const struct grpc_client_target *target, struct str path,
                                           const struct grpc_client_ops *ops, void *user)
{
    struct grpc_client_call *c = call_new(t, target);

    c->ops = ops;
    c->user = user;
    call_write_head(c, target, path);
    client_stream_start(&c->stream, &target->cluster,
                        target->timeout.is_set ? target->timeout.ms : 0, false);
    return c;
}

void grpc_client_send(struct grpc_client_call *c, struct buf *take_message, bool is_last)
{
    struct grpc_frame_head h = {.length = (uint32_t)buf_len(take_message)};
    uint8_t head[GRPC_FRAME_HEAD_BYTES];
    struct buf frame;

    CHECK(buf_len(take_message) <= UINT32_MAX);
    buf_init(&frame, take_message->pool);
    grpc_frame_head_write(h, head);
    buf_add(&frame, head, sizeof(head));
    buf_move(&frame, take_message);
    client_stream_send(&c->stream, &frame, is_last);
}

void grpc_client_send_bytes(struct grpc_client_call *c, struct str message, bool is_last)
{
    struct buf copy;

    buf_init(&copy, &call_loop(c)->bufs);
    buf_add_str(&copy, message);
    grpc_client_send(c, &copy, is_last);
}

void grpc_client_finish(struct grpc_client_call *c)
{
    struct buf nothing;

    buf_init(&nothing, &call_loop(c)->bufs);
    client_stream_send(&c->stream, &nothing, true);
}

bool grpc_client_is_above(const struct grpc_client_call *c)
{
    return client_stream_is_above(&c->stream);
}

void grpc_client_pause(struct grpc_client_call *c, bool is_paused)
{
    if (c->is_over || c->is_paused == is_paused) {
        return;
    }
    c->is_paused = is_paused;
    if (is_paused) {
        client_stream_pause(&c->stream, true);
    } else {
        loop_task_schedule(call_loop(c), &c->resume_task);
    }
}

/* --- Unary ---------------------------------------------------------------------------------------
 */

static void unary_on_message(void *user, struct buf *message)
{
    struct grpc_client_call *c = user;

    buf_reset(&c->response);
    buf_move(&c->response, message);
    c->has_response = true;
}

static void unary_on_close(void *user, const struct grpc_client_result *r)
{
    struct grpc_client_call *c = user;
    struct grpc_client_result no_response = *r;

    if (r->code == GRPC_OK && c->has_response) {
        c->on_done(c->unary_user, r, &c->response);
        return;
    }
    if (r->code == GRPC_OK) {
        no_response.code = GRPC_INTERNAL;
    }
    c->on_done(c->unary_user, &no_response, NULL);
}

static const struct grpc_client_ops unary_ops = {
    .on_message = unary_on_message,
    .on_close = unary_on_close,
};

struct grpc_client_call *grpc_client_unary(struct thread_context *t,
                                           const struct grpc_client_target *target, struct str path,
                                           struct buf *take_message, grpc_client_done on_done,
                                           void *user)
{
    struct grpc_client_call *c = grpc_client_start(t, target, path, &unary_ops, NULL);

    c->user = c; /* no callback comes before this turn ends */
    c->on_done = on_done;
    c->unary_user = user;
    grpc_client_send(c, take_message, true);
    return c;
}
