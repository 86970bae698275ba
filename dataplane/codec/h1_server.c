/*
 * The server side of HTTP/1: requests in, responses out, one at a time. Does no I/O and sets no
 * timers; closing the connection is the owner's, told by should_close.
 */

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h1_body.h"
#include "dataplane/codec/h1_codec.h"
#include "dataplane/codec/h1_encode.h"
#include "dataplane/codec/h1_stats.h"

#define H1_SERVER_MAGIC MAGIC('H', '1', 'S', 'V')
#define MOST_AT_ONCE 32

enum recv_state {
    RECV_IDLE, /* between requests */
    RECV_HEAD,
    RECV_BODY,
    RECV_DONE,   /* the request is complete, its response is not */
    RECV_HELD,   /* a tunnel was asked for: what follows waits for the answer */
    RECV_TUNNEL, /* it was accepted: bytes */
    RECV_CLOSED, /* no more requests: bytes are dropped */
};

enum send_state {
    SEND_HEAD, /* nothing of the final response sent */
    SEND_BODY,
    SEND_DONE,
};

enum send_framing { FRAME_NONE, FRAME_LENGTH, FRAME_CHUNKED, FRAME_UNTIL_CLOSE };

/* What one request needs, in its stream's arena. */
struct h1_exchange {
    struct h1_parser parser;
    struct h1_body body;
    uint64_t send_remaining; /* FRAME_LENGTH */
    bool is_upgrade;         /* accepted with 101; else, a CONNECT, with 2xx */
};

struct h1_server {
    struct codec base;
    uint32_t magic;
    uint8_t recv; /* enum recv_state */
    uint8_t send; /* enum send_state */
    uint8_t send_framing;
    bool has_stream;
    bool should_close;
    bool is_draining;
    bool is_output_high;
    bool waits; /* reading is disabled until the stream ends or output has drained */
    bool rests; /* it was dealt MOST_AT_ONCE requests: reading goes on with the next dispatch */
    uint32_t read_disables; /* asked for by the stream */
    struct h1_exchange *exchange;
    struct codec_stream stream;
};

static struct h1_server *server_from_codec(struct codec *c)
{
    struct h1_server *s = container_of(c, struct h1_server, base);

    CHECK(s->magic == H1_SERVER_MAGIC);
    return s;
}

static const struct h1_server *server_from_const_codec(const struct codec *c)
{
    const struct h1_server *s = (const void *)c; /* base comes first */

    CHECK(s->magic == H1_SERVER_MAGIC);
    return s;
}

static struct h1_server *server_from_stream(struct codec_stream *st)
{
    struct h1_server *s = container_of(st, struct h1_server, stream);

    CHECK(s->magic == H1_SERVER_MAGIC);
    return s;
}

static void disable_read(struct h1_server *s, bool disable)
{
    s->base.callbacks->on_read_disable(s->base.owner, disable);
}

/* Bytes are there that cannot be looked at yet. */
static void wait_start(struct h1_server *s)
{
    if (!s->waits) {
        s->waits = true;
        disable_read(s, true);
    }
}

static void wait_end(struct h1_server *s)
{
    if (s->waits) {
        s->waits = false;
        disable_read(s, false);
    }
}

/* --- Requests --------------------------------------------------------------------------------- */

/* The stream is over, complete or not. */
static void server_end_stream(struct h1_server *s)
{
    struct codec_stream *st = &s->stream;

    s->has_stream = false;
    if (s->recv != RECV_DONE || s->send != SEND_DONE) {
        s->should_close = true;
    }
    s->recv = s->should_close ? RECV_CLOSED : RECV_IDLE;
    s->exchange = NULL;
    st->callbacks = NULL;
    while (s->read_disables > 0) {
        s->read_disables--;
        disable_read(s, false);
    }
    s->base.callbacks->on_stream_end(s->base.owner, st);
    if (!s->is_output_high) {
        wait_end(s);
    }
}

static int server_error(struct h1_server *s, const struct codec_error *e)
{
    s->recv = RECV_CLOSED;
    s->should_close = true;
    s->base.callbacks->on_error(s->base.owner, e);
    return E_PROTOCOL;
}

/* A request begins with the next byte. */
static bool server_begin(struct h1_server *s)
{
    struct codec_stream *st = &s->stream;
    uint32_t id = st->id + 1;
    const struct codec_stream_ops *ops = st->ops;

    *st = (struct codec_stream){.ops = ops, .id = id, .protocol = HTTP_11};
    if (!s->base.callbacks->on_new_stream(s->base.owner, st)) {
        s->recv = RECV_CLOSED;
        s->should_close = true;
        return false;
    }
    s->exchange = arena_alloc(st->arena, sizeof(*s->exchange));
    h1_parser_start(&s->exchange->parser, H1_REQUEST, &s->base.limits, st->arena, st->headers);
    s->has_stream = true;
    s->recv = RECV_HEAD;
    s->send = SEND_HEAD;
    s->send_framing = FRAME_NONE;
    return true;
}

/* As the configuration wants it: left out, or reason enough to refuse the request. */
static void count_underscores(struct h1_server *s)
{
    struct h1_parser *p = &s->exchange->parser;
    struct stat_block *stats = s->base.limits.http1_stats;

    if (stats != NULL) {
        stat_add(stats,
                 p->underscores == UNDERSCORES_REJECT ? H1_REQUESTS_REJECTED_WITH_UNDERSCORES
                                                      : H1_DROPPED_HEADERS_WITH_UNDERSCORES,
                 p->dropped_count);
    }
    p->dropped_count = 0;
}

static int server_head(struct h1_server *s, struct buf *in)
{
    struct codec_stream *st = &s->stream;
    struct h1_parser *p = &s->exchange->parser;
    size_t before = buf_len(in);
    enum h1_framing framing = H1_BODY_NONE;
    int r = h1_feed_buf(p, in);

    st->wire_bytes_in += before - buf_len(in);
    if (NUNCIO_UNLIKELY(p->dropped_count > 0)) {
        count_underscores(s);
    }
    if (r == 0) {
        st->header_bytes_in = h1_field_bytes(p);
        /* As Envoy: a version that is not accepted is told so in HTTP/1.1. */
        st->protocol = p->is_http11 || !s->base.limits.http1->accept_http_10 ? HTTP_11 : HTTP_10;
        r = h1_request_finish(p, &framing);
    }
    if (r == E_PROTOCOL) {
        return server_error(s, p->error);
    }
    if (r < 0) {
        return r;
    }
    s->exchange->is_upgrade = p->wants_upgrade && header_has(st->headers, HDR_UPGRADE);
    if (p->wants_close || s->exchange->is_upgrade || p->is_connect) {
        s->should_close = true; /* what follows is no request */
    }
    if (s->exchange->is_upgrade || p->is_connect) {
        s->recv = RECV_HELD; /* whatever it says of its length: as Envoy */
        st->callbacks->on_headers(st->user, false);
        return 0;
    }
    if (framing == H1_BODY_NONE) {
        s->recv = RECV_DONE;
        st->callbacks->on_headers(st->user, true);
        return 0;
    }
    h1_body_start(&s->exchange->body, framing, p->content_length);
    s->recv = RECV_BODY;
    st->callbacks->on_headers(st->user, false);
    return 0;
}

static int server_body(struct h1_server *s, struct buf *in)
{
    struct codec_stream *st = &s->stream;
    struct h1_exchange *x = s->exchange;
    size_t before = buf_len(in);
    bool is_complete;
    struct buf data;
    int r;

    buf_init(&data, in->pool);
    r = h1_body_receive(&x->body, &x->parser, &s->base.limits, st->arena, in, &data);
    st->wire_bytes_in += before - buf_len(in);
    if (r == E_PROTOCOL) {
        /* As Envoy: what came before the error is passed on. */
        if (buf_len(&data) > 0) {
            st->callbacks->on_data(st->user, &data, false);
            buf_reset(&data);
        }
        return s->has_stream ? server_error(s, x->body.error) : 0;
    }
    is_complete = r == 0;
    if (is_complete) {
        s->recv = RECV_DONE;
    }
    if (is_complete && x->body.trailers != NULL && x->body.trailers->count > 0) {
        st->header_bytes_in += h1_field_bytes(&x->parser);
        if (buf_len(&data) > 0) {
            st->callbacks->on_data(st->user, &data, false);
        }
        if (s->has_stream) {
            st->callbacks->on_trailers(st->user, x->body.trailers);
        }
    } else if (is_complete || buf_len(&data) > 0) {
        st->callbacks->on_data(st->user, &data, is_complete);
    }
    buf_reset(&data);
    return 0;
}

static int server_tunnel(struct h1_server *s, struct buf *in)
{
    struct codec_stream *st = &s->stream;

    st->wire_bytes_in += buf_len(in);
    st->callbacks->on_data(st->user, in, false);
    buf_reset(in);
    return 0;
}

/* Empty lines before a request are passed over (RFC 9112, 2.2). */
static void skip_empty_lines(struct buf *in)
{
    uint8_t two[2];

    while (buf_copy_out(in, 0, two, 2) == 2 && two[0] == '\r' && two[1] == '\n') {
        buf_drain(in, 2);
    }
}

/* One step with what is in `in`. 0: go on; E_AGAIN: nothing more can be done now. */
static int server_step(struct h1_server *s, struct buf *in)
{
    switch ((enum recv_state)s->recv) {
    case RECV_IDLE:
        if (s->is_output_high) {
            wait_start(s);
            return E_AGAIN;
        }
        skip_empty_lines(in);
        if (buf_len(in) == 0 || (buf_len(in) == 1 && *in->head->data == '\r')) {
            return E_AGAIN;
        }
        return server_begin(s) ? 0 : E_CLOSED;
    case RECV_HEAD:
        return server_head(s, in);
    case RECV_BODY:
        return s->read_disables > 0 ? E_AGAIN : server_body(s, in);
    case RECV_DONE:
        if (s->should_close) {
            buf_reset(in);
        } else {
            wait_start(s);
        }
        return E_AGAIN;
    case RECV_HELD:
        wait_start(s);
        return E_AGAIN;
    case RECV_TUNNEL:
        return s->read_disables > 0 ? E_AGAIN : server_tunnel(s, in);
    case RECV_CLOSED:
        buf_reset(in);
        return E_AGAIN;
    }
    return E_AGAIN;
}

/* Streams are freed at the end of a batch of tasks, so one that answers at once must not bring
 * thousands of requests in one piece. */
static void server_rest(struct h1_server *s)
{
    s->rests = true;
    wait_start(s);
    s->base.callbacks->on_pending(s->base.owner);
}

static int server_dispatch(struct codec *c, struct buf *in, bool end_stream)
{
    struct h1_server *s = server_from_codec(c);
    unsigned begun = 0;
    int r = 0;

    if (s->rests) {
        s->rests = false;
        wait_end(s);
    }
    while (r == 0 && buf_len(in) > 0) {
        if (s->recv == RECV_IDLE && begun++ == MOST_AT_ONCE) {
            server_rest(s);
            return 0;
        }
        r = server_step(s, in);
    }
    if (r != 0 && r != E_AGAIN) {
        return r;
    }
    return end_stream && (s->recv == RECV_HEAD || s->recv == RECV_BODY) ? E_CLOSED : 0;
}

/* --- Responses -------------------------------------------------------------------------------- */

static unsigned status_of(const struct header_map *h)
{
    uint64_t status;
    int r = parse_u64(header_get(h, HDR_STATUS), &status);

    CHECK(r == 0 && status >= 100 && status <= 999);
    return (unsigned)status;
}

/* Whether the response's Connection field holds "close". */
static bool says_close(const struct header_map *h)
{
    for (const struct header *f = header_find(h, HDR_CONNECTION); f != NULL;
         f = header_next_same(h, f)) {
        struct str rest = f->value;
        struct str part;

        while (str_split(&rest, ',', &part)) {
            if (str_eq_nocase(str_trim(part), STR("close"))) {
                return true;
            }
        }
    }
    return false;
}

static void output_added(struct h1_server *s, size_t before)
{
    s->stream.wire_bytes_out += buf_len(s->base.out) - before;
    s->base.callbacks->on_output(s->base.owner);
}

static void response_done(struct h1_server *s)
{
    if (s->send_framing == FRAME_LENGTH && s->exchange->send_remaining > 0) {
        s->should_close = true; /* promised more: only closing tells the client */
    }
    s->send = SEND_DONE;
    server_end_stream(s);
}

static bool is_proper_case(const struct h1_server *s)
{
    return s->base.limits.http1->header_key_format == HEADER_KEY_PROPER;
}

static void server_encode_1xx(struct codec_stream *st, const struct header_map *h)
{
    struct h1_server *s = server_from_stream(st);
    const struct h1_head_tail tail = {.is_proper_case = is_proper_case(s)};
    size_t before = buf_len(s->base.out);

    if (!s->has_stream || s->send != SEND_HEAD || st->protocol == HTTP_10) {
        return;
    }
    st->header_bytes_out += h1_encode_response_head(s->base.out, false, status_of(h), h, &tail);
    output_added(s, before);
}

/* Chooses the framing (as Envoy does) and the line that says so. */
static struct str choose_framing(struct h1_server *s, const struct header_map *h, unsigned status,
                                 bool end_stream)
{
    bool is_head = s->exchange->parser.is_head;
    bool is_bodyless = status < 200 || status == 204 || status == 304;
    const struct header *length = header_find(h, HDR_CONTENT_LENGTH);

    s->send_framing = FRAME_NONE;
    if (length != NULL) {
        s->exchange->send_remaining = 0;
        if (!is_head && !is_bodyless) {
            s->send_framing = FRAME_LENGTH;
            if (parse_u64(length->value, &s->exchange->send_remaining) < 0) {
                s->should_close = true; /* no body is better than one nobody can delimit */
            }
        }
        return STR_NONE;
    }
    if (is_bodyless) {
        return STR_NONE;
    }
    if (end_stream && !is_head) {
        return STR("content-length: 0\r\n");
    }
    if (s->stream.protocol == HTTP_10) {
        s->send_framing = is_head ? FRAME_NONE : FRAME_UNTIL_CLOSE;
        return STR_NONE;
    }
    s->send_framing = is_head ? FRAME_NONE : FRAME_CHUNKED;
    return STR("transfer-encoding: chunked\r\n");
}

static bool is_tunnel_accepted(const struct h1_server *s, unsigned status)
{
    return s->recv == RECV_HELD &&
           (s->exchange->is_upgrade ? status == 101 : status >= 200 && status < 300);
}

/* From here on bytes, both ways; the connection goes with them. */
static void server_accept_tunnel(struct h1_server *s, const struct header_map *h, unsigned status)
{
    const struct h1_head_tail tail = {
        .connection = h1_connection_line(h, s->stream.arena),
        .is_proper_case = is_proper_case(s),
    };
    size_t before = buf_len(s->base.out);

    s->stream.header_bytes_out += h1_encode_response_head(s->base.out, false, status, h, &tail);
    s->recv = RECV_TUNNEL;
    s->send = SEND_BODY;
    s->send_framing = FRAME_UNTIL_CLOSE;
    output_added(s, before);
    wait_end(s);
}

static void server_encode_headers(struct codec_stream *st, const struct header_map *h,
                                  bool end_stream)
{
    struct h1_server *s = server_from_stream(st);
    size_t before = buf_len(s->base.out);
    unsigned status = status_of(h);
    struct h1_head_tail tail = {.is_proper_case = is_proper_case(s)};

    if (!s->has_stream || s->send != SEND_HEAD) {
        return;
    }
    if (NUNCIO_UNLIKELY(is_tunnel_accepted(s, status))) {
        server_accept_tunnel(s, h, status);
        if (end_stream) {
            response_done(s);
        }
        return;
    }
    tail.framing = choose_framing(s, h, status, end_stream);
    /* As Envoy: a response that overtakes its request ends the connection. */
    if (s->is_draining || s->recv != RECV_DONE || s->send_framing == FRAME_UNTIL_CLOSE ||
        says_close(h)) {
        s->should_close = true;
    }
    if (s->should_close) {
        tail.connection = STR("connection: close\r\n");
    } else if (st->protocol == HTTP_10) {
        tail.connection = STR("connection: keep-alive\r\n");
    }
    st->header_bytes_out +=
        h1_encode_response_head(s->base.out, st->protocol == HTTP_10, status, h, &tail);
    s->send = SEND_BODY;
    output_added(s, before);
    if (end_stream) {
        response_done(s);
    }
}

static void server_encode_data(struct codec_stream *st, struct buf *take_data, bool end_stream)
{
    struct h1_server *s = server_from_stream(st);
    size_t before = buf_len(s->base.out);

    if (!s->has_stream || s->send != SEND_BODY) {
        buf_reset(take_data);
        return;
    }
    switch ((enum send_framing)s->send_framing) {
    case FRAME_NONE:
        buf_reset(take_data);
        break;
    case FRAME_LENGTH:
        if (buf_len(take_data) > s->exchange->send_remaining) {
            /* More than was promised would be read as the next response. */
            struct buf rest;

            buf_init(&rest, take_data->pool);
            buf_move_n(&rest, take_data, (size_t)s->exchange->send_remaining);
            buf_reset(take_data);
            buf_move(take_data, &rest);
            s->should_close = true;
        }
        s->exchange->send_remaining -= buf_len(take_data);
        buf_move(s->base.out, take_data);
        break;
    case FRAME_UNTIL_CLOSE:
        buf_move(s->base.out, take_data);
        break;
    case FRAME_CHUNKED:
        h1_encode_chunk(s->base.out, take_data);
        if (end_stream) {
            h1_encode_last_chunk(s->base.out, NULL);
        }
        break;
    }
    output_added(s, before);
    if (end_stream) {
        response_done(s);
    }
}

static void server_encode_trailers(struct codec_stream *st, const struct header_map *trailers)
{
    struct h1_server *s = server_from_stream(st);
    size_t before = buf_len(s->base.out);

    if (!s->has_stream || s->send != SEND_BODY) {
        return;
    }
    if (s->send_framing == FRAME_CHUNKED) {
        st->header_bytes_out += h1_encode_last_chunk(
            s->base.out, s->base.limits.http1->enable_trailers ? trailers : NULL);
    }
    output_added(s, before);
    response_done(s);
}

static void server_reset(struct codec_stream *st, enum stream_reset_reason reason)
{
    struct h1_server *s = server_from_stream(st);

    if (s->has_stream) {
        s->should_close = true;
        server_end_stream(s);
    }
}

static void server_read_disable(struct codec_stream *st, bool disable)
{
    struct h1_server *s = server_from_stream(st);

    if (!s->has_stream) {
        return;
    }
    CHECK(disable || s->read_disables > 0);
    s->read_disables += disable ? 1U : (uint32_t)-1;
    disable_read(s, disable);
}

/* --- The connection --------------------------------------------------------------------------- */

static void server_drain(struct codec *c)
{
    server_from_codec(c)->is_draining = true;
}

static void server_on_watermark(struct codec *c, bool is_above)
{
    struct h1_server *s = server_from_codec(c);

    s->is_output_high = is_above;
    if (s->has_stream && s->stream.callbacks->on_watermark != NULL) {
        s->stream.callbacks->on_watermark(s->stream.user, is_above);
    }
    if (!is_above && !s->has_stream) {
        wait_end(s);
    }
}

static bool server_should_close(const struct codec *c)
{
    return server_from_const_codec(c)->should_close;
}

static void server_connection_closed(struct codec *c, enum stream_reset_reason reason)
{
    struct h1_server *s = server_from_codec(c);
    struct codec_stream *st = &s->stream;

    s->should_close = true;
    s->recv = RECV_CLOSED;
    if (s->has_stream) {
        const struct codec_stream_callbacks *callbacks = st->callbacks;

        s->has_stream = false;
        s->read_disables = 0; /* the connection they stopped is gone */
        callbacks->on_reset(st->user, reason, STR_NONE);
        s->base.callbacks->on_stream_end(s->base.owner, st);
    }
}

static void server_free(struct codec *c)
{
    if (c != NULL) {
        struct h1_server *s = server_from_codec(c);

        s->magic = 0;
        free(s);
    }
}

static const struct codec_stream_ops server_stream_ops = {
    .encode_1xx = server_encode_1xx,
    .encode_headers = server_encode_headers,
    .encode_data = server_encode_data,
    .encode_trailers = server_encode_trailers,
    .reset = server_reset,
    .read_disable = server_read_disable,
};

static const struct codec_ops server_ops = {
    .dispatch = server_dispatch,
    .drain = server_drain,
    .on_watermark = server_on_watermark,
    .should_close = server_should_close,
    .connection_closed = server_connection_closed,
    .free = server_free,
    .protocol = HTTP_11,
};

struct codec *h1_server_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits)
{
    struct h1_server *s = xcalloc(1, sizeof(*s));

    s->base = (struct codec){
        .ops = &server_ops,
        .callbacks = callbacks,
        .owner = owner,
        .out = out,
        .limits = *limits,
    };
    if (limits->http1 == NULL) {
        s->base.limits.http1 = &h1_default_options;
    }
    s->magic = H1_SERVER_MAGIC;
    s->stream.ops = &server_stream_ops;
    return &s->base;
}
