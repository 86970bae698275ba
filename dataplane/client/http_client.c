/* One HTTP request of ours, whole, over client_stream. Its loop's thread. It lies in an arena of
 * its own, which goes at the end of the turn in which it ends. */

#include "dataplane/client/http_client.h"

#include "dataplane/event/deferred.h"
#include "dataplane/runtime/thread_context.h"

struct http_client_request {
    struct client_stream stream;
    struct arena arena; /* holds this very struct */
    http_client_done on_done;
    void *user;
    uint64_t max_response_bytes;
    struct buf body; /* of the response */
    bool is_over;
    struct deferred deferred;
};

static struct http_client_request *request_of(struct client_stream *s)
{
    return container_of(s, struct http_client_request, stream);
}

static void request_free(struct deferred *d)
{
    struct http_client_request *rq = container_of(d, struct http_client_request, deferred);
    struct arena arena = rq->arena; /* which holds `rq` */

    buf_reset(&rq->body);
    arena_done(&arena);
}

static void request_drop(struct http_client_request *rq)
{
    rq->is_over = true;
    client_stream_cancel(&rq->stream);
    deferred_free(rq->stream.thread->loop, &rq->deferred, request_free);
}

void http_client_cancel(struct http_client_request *rq)
{
    if (!rq->is_over) {
        request_drop(rq);
    }
}

static int request_status(const struct http_client_request *rq)
{
    uint64_t status;

    return parse_u64(header_get(&rq->stream.response, HDR_STATUS), &status) == 0 && status <= 999
               ? (int)status
               : 0;
}

static void request_done(struct http_client_request *rq)
{
    struct http_client_result r = {
        .outcome = HTTP_CLIENT_RESPONSE,
        .status = request_status(rq),
        .headers = &rq->stream.response,
        .body = &rq->body,
    };

    request_drop(rq);
    rq->on_done(rq->user, &r);
}

static void request_on_headers(struct client_stream *s, bool end_stream)
{
    if (end_stream) {
        request_done(request_of(s));
    }
}

static void request_on_data(struct client_stream *s, struct buf *data, bool end_stream)
{
    struct http_client_request *rq = request_of(s);

    if (buf_len(data) > rq->max_response_bytes - buf_len(&rq->body)) {
        struct http_client_result r = {
            .outcome = HTTP_CLIENT_TOO_LARGE,
            .status = request_status(rq),
        };

        request_drop(rq);
        rq->on_done(rq->user, &r);
        return;
    }
    buf_move(&rq->body, data);
    if (end_stream) {
        request_done(rq);
    }
}

static void request_on_trailers(struct client_stream *s, struct header_map *trailers)
{
    (void)trailers; /* nobody asks for them */
    request_done(request_of(s));
}

static void request_on_failure(struct client_stream *s, const struct client_failure *f)
{
    struct http_client_request *rq = request_of(s);
    struct http_client_result r = {
        .outcome = HTTP_CLIENT_FAILURE,
        .status = f->http_status,
        .failure = f,
    };

    request_drop(rq);
    rq->on_done(rq->user, &r);
}

static const struct client_stream_ops request_stream_ops = {
    .on_headers = request_on_headers,
    .on_data = request_on_data,
    .on_trailers = request_on_trailers,
    .on_failure = request_on_failure,
};

/* As Envoy: a length where there is a body, or where the method wants one. */
static void request_write_length(struct header_map *h, size_t len)
{
    struct str method = header_get(h, HDR_METHOD);
    char *digits;

    if (len > 0 || str_eq(method, STR("POST")) || str_eq(method, STR("PUT"))) {
        digits = arena_alloc(h->arena, U64_DIGITS);
        header_set(h, HDR_CONTENT_LENGTH, str_n(digits, format_u64(len, digits)));
    }
}

static void request_write_head(struct http_client_request *rq, const struct http_client_options *o,
                               const struct header_map *headers, size_t body_bytes)
{
    struct header_map *h = &rq->stream.request;

    header_map_copy(h, headers, &rq->arena);
    if (header_get(h, HDR_AUTHORITY).len == 0) {
        header_set(h, HDR_AUTHORITY, arena_str(&rq->arena, o->cluster.name));
    }
    header_set(h, HDR_SCHEME, client_stream_scheme(rq->stream.thread, &o->cluster));
    request_write_length(h, body_bytes);
    if (!o->skips_envoy_headers) {
        client_stream_add_envoy_headers(&rq->stream, o->forwarded_for);
    }
}

static struct http_client_request *request_new(struct thread_context *t)
{
    struct arena arena;
    struct http_client_request *rq;

    arena_init(&arena, &t->loop->arenas);
    rq = ARENA_NEW(&arena, struct http_client_request);
    rq->arena = arena;
    buf_init(&rq->body, &t->loop->bufs);
    client_stream_init(&rq->stream, t, &rq->arena, &request_stream_ops);
    return rq;
}

struct http_client_request *http_client_start(struct thread_context *t,
                                              const struct http_client_options *o,
                                              const struct header_map *headers,
                                              struct buf *take_body, http_client_done on_done,
                                              void *user)
{
    struct http_client_request *rq = request_new(t);
    size_t body_bytes = take_body != NULL ? buf_len(take_body) : 0;

    rq->on_done = on_done;
    rq->user = user;
    rq->max_response_bytes =
        o->max_response_bytes > 0 ? o->max_response_bytes : HTTP_CLIENT_RESPONSE_BYTES_MAX;
    request_write_head(rq, o, headers, body_bytes);
    client_stream_start(&rq->stream, &o->cluster, o->timeout_ms, body_bytes == 0);
    if (body_bytes > 0) {
        client_stream_send(&rq->stream, take_body, true);
    }
    return rq;
}
