/*
 * The client side of HTTP/1: requests out, responses in, one at a time. Whether the connection may
 * carry another request is told by should_close when a stream ends.
 */

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h1_body.h"
#include "dataplane/codec/h1_codec.h"
#include "dataplane/codec/h1_encode.h"
#include "dataplane/codec/h1_errors.h"

#define H1_CLIENT_MAGIC MAGIC('H', '1', 'C', 'L')

enum recv_state {
    RECV_IDLE, /* no request */
    RECV_HEAD,
    RECV_BODY,
};

enum send_state { SEND_HEAD, SEND_BODY, SEND_DONE };

/* What one request needs, in its stream's arena. */
struct h1_exchange {
    struct h1_parser parser;
    struct h1_body body;
    uint64_t send_remaining; /* of a body with content-length */
    struct buf held;         /* for a tunnel that is not accepted yet */
    bool is_held_end;        /* with nothing after it */
};

enum tunnel_state {
    TUNNEL_NONE,
    TUNNEL_UPGRADE, /* asked for, 101 accepts it */
    TUNNEL_CONNECT, /* likewise, 2xx */
    TUNNEL_OPEN,
};

struct h1_client {
    struct codec base;
    uint32_t magic;
    uint8_t recv; /* enum recv_state */
    uint8_t send; /* enum send_state */
    uint8_t informational_count;
    uint8_t tunnel; /* enum tunnel_state */
    bool has_stream;
    bool should_close;
    bool is_given_up; /* a stream was reset: what still comes was asked for, but is not wanted */
    bool is_chunked;  /* the request's body */
    bool is_head;
    uint32_t read_disables;
    struct h1_exchange *exchange;
    struct codec_stream stream;
};

static struct h1_client *client_from_codec(struct codec *c)
{
    struct h1_client *s = container_of(c, struct h1_client, base);

    CHECK(s->magic == H1_CLIENT_MAGIC);
    return s;
}

static const struct h1_client *client_from_const_codec(const struct codec *c)
{
    const struct h1_client *s = (const void *)c; /* base comes first */

    CHECK(s->magic == H1_CLIENT_MAGIC);
    return s;
}

static struct h1_client *client_from_stream(struct codec_stream *st)
{
    struct h1_client *s = container_of(st, struct h1_client, stream);

    CHECK(s->magic == H1_CLIENT_MAGIC);
    return s;
}

/* --- The end of a stream ---------------------------------------------------------------------- */

static void enable_reads(struct h1_client *s)
{
    while (s->read_disables > 0) {
        s->read_disables--;
        s->base.callbacks->on_read_disable(s->base.owner, false);
    }
}

/* From here on what the stream's user still says is not heard. */
static void detach(struct h1_client *s)
{
    buf_reset(&s->exchange->held);
    s->has_stream = false;
    s->recv = RECV_IDLE;
    s->exchange = NULL;
    if (s->send != SEND_DONE) {
        s->stream.end_reason = RESET_LOCAL;
        s->should_close = true; /* the server would take the next request for this one's body */
    }
}

static void ended(struct h1_client *s)
{
    enable_reads(s);
    s->base.callbacks->on_stream_end(s->base.owner, &s->stream);
}

static int client_error(struct h1_client *s, const struct codec_error *e)
{
    struct codec_stream *st = &s->stream;

    s->should_close = true;
    if (s->has_stream) {
        st->end_reason = RESET_PROTOCOL_ERROR;
        detach(s);
        st->callbacks->on_reset(st->user, RESET_PROTOCOL_ERROR, e->details);
        ended(s);
    }
    return E_PROTOCOL;
}

static void client_encode_data(struct codec_stream *st, struct buf *take_data, bool end_stream);

/* --- Responses -------------------------------------------------------------------------------- */

static void await_head(struct h1_client *s)
{
    struct codec_stream *st = &s->stream;

    header_map_init(st->headers, st->arena);
    h1_parser_start(&s->exchange->parser, H1_RESPONSE, &s->base.limits, st->arena, st->headers);
}

/* A 101 that does not say to what is none. */
static bool is_tunnel_accepted(const struct h1_client *s, unsigned status)
{
    return s->tunnel == TUNNEL_UPGRADE ? status == 101 && header_has(s->stream.headers, HDR_UPGRADE)
                                       : s->tunnel == TUNNEL_CONNECT && status / 100 == 2;
}

/* From here on bytes, both ways. What was kept back goes out. */
static void client_tunnel_accepted(struct h1_client *s)
{
    struct codec_stream *st = &s->stream;
    struct h1_exchange *x = s->exchange;
    bool was_holding = buf_len(&x->held) > 0;

    s->tunnel = TUNNEL_OPEN;
    s->should_close = true;
    h1_body_start(&x->body, H1_BODY_UNTIL_CLOSE, 0);
    s->recv = RECV_BODY;
    s->base.callbacks->on_tunnel(s->base.owner);
    if (was_holding || x->is_held_end) {
        client_encode_data(st, &x->held, x->is_held_end);
    }
    if (was_holding) {
        st->callbacks->on_watermark(st->user, false);
    }
    if (s->has_stream) {
        st->callbacks->on_headers(st->user, false);
    }
}

static int client_informational(struct h1_client *s)
{
    struct codec_stream *st = &s->stream;
    unsigned status = s->exchange->parser.status;

    if (status == 101 || ++s->informational_count > INFORMATIONAL_MAX) {
        return client_error(s, &h1_error_message); /* no upgrade was asked for */
    }
    if (informational_is_passed_on(status) && st->callbacks->on_1xx != NULL) {
        st->callbacks->on_1xx(st->user, st->headers);
    }
    if (s->has_stream) {
        await_head(s);
    }
    return 0;
}

static int client_head(struct h1_client *s, struct buf *in)
{
    struct codec_stream *st = &s->stream;
    struct h1_parser *p = &s->exchange->parser;
    size_t before = buf_len(in);
    enum h1_framing framing = H1_BODY_NONE;
    int r = h1_feed_buf(p, in);

    st->wire_bytes_in += before - buf_len(in);
    if (r == 0) {
        st->header_bytes_in += h1_field_bytes(p);
        st->protocol = p->is_http11 ? HTTP_11 : HTTP_10;
        r = h1_response_finish(p, s->is_head, &framing);
    }
    if (r == E_PROTOCOL) {
        return client_error(s, p->error);
    }
    if (r < 0) {
        return r;
    }
    if (NUNCIO_UNLIKELY(s->tunnel != TUNNEL_NONE)) {
        if (is_tunnel_accepted(s, p->status)) {
            client_tunnel_accepted(s);
            return 0;
        }
        s->should_close = p->status >= 200; /* it may be in use for something else by now */
    }
    if (p->status < 200) {
        return client_informational(s);
    }
    st->says_close = p->wants_close || (!p->is_http11 && !p->wants_keep_alive);
    if (st->says_close || framing == H1_BODY_UNTIL_CLOSE) {
        s->should_close = true;
    }
    if (framing == H1_BODY_NONE) {
        if (buf_len(in) > 0) {
            s->should_close = true; /* bytes that nobody asked for */
        }
        detach(s);
        st->callbacks->on_headers(st->user, true);
        ended(s);
        return 0;
    }
    h1_body_start(&s->exchange->body, framing, p->content_length);
    s->recv = RECV_BODY;
    st->callbacks->on_headers(st->user, false);
    return 0;
}

/* Hands on `data`, the last of the body, and trailers. */
static void finish_body(struct h1_client *s, struct header_map *trailers, struct buf *data)
{
    struct codec_stream *st = &s->stream;

    if (trailers == NULL || trailers->count == 0) {
        detach(s);
        st->callbacks->on_data(st->user, data, true);
        ended(s);
        return;
    }
    if (buf_len(data) > 0) {
        st->callbacks->on_data(st->user, data, false);
        if (!s->has_stream) {
            return;
        }
    }
    detach(s);
    st->callbacks->on_trailers(st->user, trailers);
    ended(s);
}

static int client_body(struct h1_client *s, struct buf *in)
{
    struct codec_stream *st = &s->stream;
    struct h1_exchange *x = s->exchange;
    size_t before = buf_len(in);
    struct buf data;
    int r;

    buf_init(&data, in->pool);
    r = h1_body_receive(&x->body, &x->parser, &s->base.limits, st->arena, in, &data);
    st->wire_bytes_in += before - buf_len(in);
    if (r == 0) {
        if (buf_len(in) > 0) {
            s->should_close = true; /* bytes that nobody asked for */
        }
        if (x->body.trailers != NULL && x->body.trailers->count > 0) {
            st->header_bytes_in += h1_field_bytes(&x->parser);
        }
        finish_body(s, x->body.trailers, &data);
    } else if (buf_len(&data) > 0) {
        st->callbacks->on_data(st->user, &data, false);
    }
    buf_reset(&data);
    return r == E_PROTOCOL ? client_error(s, &h1_error_message) : 0;
}

/* As Envoy: a message that breaks off in the middle is a protocol error, silence is not, and
 * neither is the end of a tunnel. */
static bool is_cut_off(const struct h1_client *s)
{
    return s->tunnel != TUNNEL_OPEN &&
           (s->recv == RECV_BODY || h1_parser_has_begun(&s->exchange->parser));
}

/* FIN: the end of a body that nothing else delimits; of anything else, its loss. */
static int client_fin(struct h1_client *s)
{
    struct codec_stream *st = &s->stream;
    struct buf none;

    s->should_close = true;
    if (!s->has_stream) {
        return 0;
    }
    if (s->tunnel == TUNNEL_OPEN && s->send != SEND_DONE) { /* as Envoy: both ways are lost then */
        detach(s);
        st->callbacks->on_reset(st->user, RESET_CONNECTION_TERMINATION, STR_NONE);
        ended(s);
        return 0;
    }
    if (s->recv == RECV_BODY && s->exchange->body.framing == H1_BODY_UNTIL_CLOSE) {
        buf_init(&none, s->base.out->pool);
        finish_body(s, NULL, &none);
        return 0;
    }
    return is_cut_off(s) ? client_error(s, &h1_error_message) : E_CLOSED;
}

static int client_dispatch(struct codec *c, struct buf *in, bool end_stream)
{
    struct h1_client *s = client_from_codec(c);
    int r = 0;

    while (r == 0 && buf_len(in) > 0) {
        switch ((enum recv_state)s->recv) {
        case RECV_IDLE:
            buf_reset(in);
            r = s->is_given_up ? 0 : client_error(s, &h1_error_message);
            break;
        case RECV_HEAD:
            r = client_head(s, in);
            break;
        case RECV_BODY:
            r = s->read_disables > 0 ? E_AGAIN : client_body(s, in);
            break;
        }
    }
    if (r == 0 || r == E_AGAIN) {
        r = end_stream && buf_len(in) == 0 ? client_fin(s) : 0;
    }
    return r;
}

/* --- Requests --------------------------------------------------------------------------------- */

static struct codec_stream *client_new_stream(struct codec *c,
                                              const struct codec_stream_callbacks *cb, void *user,
                                              struct arena *arena, struct header_map *headers)
{
    struct h1_client *s = client_from_codec(c);
    struct codec_stream *st = &s->stream;
    uint32_t id = st->id + 1;
    const struct codec_stream_ops *ops = st->ops;

    CHECK(!s->has_stream && !s->should_close);
    *st = (struct codec_stream){
        .ops = ops,
        .callbacks = cb,
        .user = user,
        .arena = arena,
        .headers = headers,
        .id = id,
        .protocol = HTTP_11,
        .end_reason = RESET_NO_ERROR,
    };
    s->exchange = arena_alloc(arena, sizeof(*s->exchange));
    buf_init(&s->exchange->held, s->base.out->pool);
    s->exchange->is_held_end = false;
    s->tunnel = TUNNEL_NONE;
    s->has_stream = true;
    s->recv = RECV_HEAD;
    s->send = SEND_HEAD;
    s->informational_count = 0;
    await_head(s);
    return st;
}

static void output_added(struct h1_client *s, size_t before)
{
    s->stream.wire_bytes_out += buf_len(s->base.out) - before;
    s->base.callbacks->on_output(s->base.owner);
}

/* As Envoy: a request of these methods without a body says nothing about its length. */
static bool is_bodyless_method(struct str m)
{
    return str_eq(m, STR("GET")) || str_eq(m, STR("HEAD")) || str_eq(m, STR("DELETE")) ||
           str_eq(m, STR("TRACE")) || str_eq(m, STR("CONNECT"));
}

static void client_encode_headers(struct codec_stream *st, const struct header_map *h,
                                  bool end_stream)
{
    struct h1_client *s = client_from_stream(st);
    struct str method = header_get(h, HDR_METHOD);
    const struct header *length = header_find(h, HDR_CONTENT_LENGTH);
    const struct http1_options *options = s->base.limits.http1;
    struct h1_head_tail tail = {.is_proper_case = options->header_key_format == HEADER_KEY_PROPER};
    size_t before = buf_len(s->base.out);

    if (!s->has_stream || s->send != SEND_HEAD) {
        return;
    }
    s->is_head = str_eq(method, STR("HEAD"));
    s->is_chunked = false;
    s->exchange->send_remaining = 0;
    if (header_has(h, HDR_UPGRADE) || str_eq(method, STR("CONNECT"))) {
        s->tunnel = header_has(h, HDR_UPGRADE) ? TUNNEL_UPGRADE : TUNNEL_CONNECT;
        tail.connection = h1_connection_line(h, st->arena);
    } else if (length != NULL) {
        if (parse_u64(length->value, &s->exchange->send_remaining) < 0) {
            s->should_close = true;
        }
    } else if (!end_stream) {
        s->is_chunked = true;
        tail.framing = STR("transfer-encoding: chunked\r\n");
    } else if (!is_bodyless_method(method)) {
        tail.framing = STR("content-length: 0\r\n");
    }
    st->header_bytes_out +=
        h1_encode_request_head(s->base.out, h, options->send_fully_qualified_url, &tail);
    s->exchange->is_held_end = end_stream && s->tunnel != TUNNEL_NONE;
    s->send = end_stream && s->exchange->send_remaining == 0 && s->tunnel == TUNNEL_NONE
                  ? SEND_DONE
                  : SEND_BODY;
    output_added(s, before);
}

/* Not a byte goes out before the tunnel is accepted: a server that refuses it would read a request
 * there (CVE-2026-73548). */
static void client_hold(struct h1_client *s, struct buf *take_data, bool end_stream)
{
    struct codec_stream *st = &s->stream;
    bool was_empty = buf_len(&s->exchange->held) == 0;

    s->exchange->is_held_end = end_stream;
    buf_move(&s->exchange->held, take_data);
    if (was_empty && buf_len(&s->exchange->held) > 0) {
        st->callbacks->on_watermark(st->user, true);
    }
}

static void client_encode_data(struct codec_stream *st, struct buf *take_data, bool end_stream)
{
    struct h1_client *s = client_from_stream(st);
    size_t before = buf_len(s->base.out);

    if (!s->has_stream || s->send != SEND_BODY) {
        buf_reset(take_data);
        return;
    }
    if (s->tunnel == TUNNEL_OPEN) {
        buf_move(s->base.out, take_data);
        if (end_stream) {
            s->send = SEND_DONE;
            s->base.callbacks->on_shutdown_write(s->base.owner);
        }
    } else if (s->tunnel != TUNNEL_NONE) {
        client_hold(s, take_data, end_stream);
        return;
    } else if (s->is_chunked) {
        h1_encode_chunk(s->base.out, take_data);
        if (end_stream) {
            h1_encode_last_chunk(s->base.out, NULL);
        }
    } else if (buf_len(take_data) > s->exchange->send_remaining) {
        buf_reset(take_data); /* more than was promised: not a byte of it may be sent */
        s->should_close = true;
    } else {
        s->exchange->send_remaining -= buf_len(take_data);
        buf_move(s->base.out, take_data);
    }
    /* A body that falls short leaves the request incomplete: the connection is not used again. */
    if (end_stream && s->exchange->send_remaining == 0) {
        s->send = SEND_DONE;
    }
    output_added(s, before);
}

static void client_encode_trailers(struct codec_stream *st, const struct header_map *trailers)
{
    struct h1_client *s = client_from_stream(st);
    size_t before = buf_len(s->base.out);
    struct buf none;

    if (!s->has_stream || s->send != SEND_BODY) {
        return;
    }
    if (s->tunnel != TUNNEL_NONE) { /* bytes have no trailers */
        buf_init(&none, s->base.out->pool);
        client_encode_data(st, &none, true);
        return;
    }
    if (s->is_chunked) {
        st->header_bytes_out += h1_encode_last_chunk(
            s->base.out, s->base.limits.http1->enable_trailers ? trailers : NULL);
    }
    if (s->exchange->send_remaining == 0) {
        s->send = SEND_DONE;
    }
    output_added(s, before);
}

static void client_reset(struct codec_stream *st, enum stream_reset_reason reason)
{
    struct h1_client *s = client_from_stream(st);

    if (s->has_stream) {
        s->should_close = true; /* its response may still come */
        s->stream.end_reason = reason;
        s->is_given_up = true;
        detach(s);
        ended(s);
    }
}

static void client_read_disable(struct codec_stream *st, bool disable)
{
    struct h1_client *s = client_from_stream(st);

    if (!s->has_stream) {
        return;
    }
    CHECK(disable || s->read_disables > 0);
    s->read_disables += disable ? 1U : (uint32_t)-1;
    s->base.callbacks->on_read_disable(s->base.owner, disable);
}

/* --- The connection --------------------------------------------------------------------------- */

static void client_drain(struct codec *c)
{
    client_from_codec(c)->should_close = true;
}

static void client_on_watermark(struct codec *c, bool is_above)
{
    struct h1_client *s = client_from_codec(c);

    if (s->has_stream && s->stream.callbacks->on_watermark != NULL) {
        s->stream.callbacks->on_watermark(s->stream.user, is_above);
    }
}

static bool client_should_close(const struct codec *c)
{
    return client_from_const_codec(c)->should_close;
}

static bool client_is_reusable(const struct codec *c)
{
    const struct h1_client *s = client_from_const_codec(c);

    return !s->has_stream && !s->should_close;
}

static void client_connection_closed(struct codec *c, enum stream_reset_reason reason)
{
    struct h1_client *s = client_from_codec(c);
    struct codec_stream *st = &s->stream;

    s->should_close = true;
    if (s->has_stream) {
        if (reason == RESET_CONNECTION_TERMINATION && is_cut_off(s)) {
            reason = RESET_PROTOCOL_ERROR;
        }
        s->read_disables = 0; /* the connection they stopped is gone */
        st->end_reason = reason;
        detach(s);
        st->callbacks->on_reset(st->user, reason, STR_NONE);
        ended(s);
    }
}

static void client_free(struct codec *c)
{
    if (c != NULL) {
        struct h1_client *s = client_from_codec(c);

        s->magic = 0;
        free(s);
    }
}

static const struct codec_stream_ops client_stream_ops = {
    .encode_headers = client_encode_headers,
    .encode_data = client_encode_data,
    .encode_trailers = client_encode_trailers,
    .reset = client_reset,
    .read_disable = client_read_disable,
};

static const struct codec_ops client_ops = {
    .dispatch = client_dispatch,
    .new_stream = client_new_stream,
    .drain = client_drain,
    .on_watermark = client_on_watermark,
    .is_reusable = client_is_reusable,
    .should_close = client_should_close,
    .connection_closed = client_connection_closed,
    .free = client_free,
    .protocol = HTTP_11,
};

struct codec *h1_client_codec_new(const struct codec_callbacks *callbacks, void *owner,
                                  struct buf *out, const struct codec_limits *limits)
{
    struct h1_client *s = xcalloc(1, sizeof(*s));

    s->base = (struct codec){
        .ops = &client_ops,
        .callbacks = callbacks,
        .owner = owner,
        .out = out,
        .limits = *limits,
    };
    if (limits->http1 == NULL) {
        s->base.limits.http1 = &h1_default_options;
    }
    s->magic = H1_CLIENT_MAGIC;
    s->stream.ops = &client_stream_ops;
    return &s->base;
}
