#ifndef DATAPLANE_CODEC_H1_TESTING_H
#define DATAPLANE_CODEC_H1_TESTING_H

/*
 * A codec with a user that writes down what it is told: for tests and fuzzers of the HTTP/1 codecs.
 * The log of a stream: "H name=value;..." (+ "." when it ends there), "D bytes", "T ...", "1 ..."
 * (informational), "R reason", "E status details", "X" (stream over); "W+", "W-" (watermark). Of
 * the connection: "U" (it is a tunnel now), "F" (nothing more is sent).
 */

#include "config/model/core.h"
#include "dataplane/base/buf.h"
#include "dataplane/base/error.h"
#include "dataplane/codec/codec.h"
#include "dataplane/codec/h1_codec.h"

struct h1_tester {
    struct buf_pool pool;
    struct arena arena;
    struct header_map headers;
    struct buf in;
    struct buf out;
    struct codec *codec;
    struct codec_stream *stream; /* NULL: none open */
    struct strbuf log;
    bool is_in_data; /* the last thing written down is data: the next data continues it */
    bool answers;    /* server: a request that is complete is answered at once */
    bool answers_errors;
    bool refuses; /* server: refuses new streams */
    bool wants_dispatch;
    int read_disables;
    int streams;
    int pieces; /* times the codec wanted a dispatch to go on */
};

static void h1_note(struct h1_tester *t, const char *what)
{
    strbuf_add_c(&t->log, what);
    t->is_in_data = false;
}

static void h1_note_headers(struct h1_tester *t, const char *what, const struct header_map *m,
                            bool end_stream)
{
    h1_note(t, what);
    header_for_each(h, m)
    {
        strbuf_addf(&t->log, " %.*s=", STR_ARG(h->name));
        strbuf_add_str(&t->log, h->value);
        strbuf_add_c(&t->log, ";");
    }
    strbuf_add_c(&t->log, end_stream ? ".\n" : "\n");
}

static void h1_reply(struct h1_tester *t, const char *status, bool has_body)
{
    struct header_map m;
    struct buf body;

    header_map_init(&m, &t->arena);
    header_add(&m, HDR_STATUS, str_c(status));
    if (has_body) {
        header_add(&m, HDR_CONTENT_LENGTH, STR("2"));
    }
    t->stream->ops->encode_headers(t->stream, &m, !has_body);
    if (has_body) {
        buf_init(&body, &t->pool);
        buf_add_str(&body, STR("ok"));
        t->stream->ops->encode_data(t->stream, &body, true);
        buf_reset(&body);
    }
}

static void h1_complete(struct h1_tester *t)
{
    if (t->answers && t->stream != NULL) {
        h1_reply(t, "200", true);
    }
}

static void h1_on_headers(void *user, bool end_stream)
{
    struct h1_tester *t = user;

    h1_note_headers(t, "H", &t->headers, end_stream);
    if (end_stream) {
        h1_complete(t);
    }
}

static void h1_on_1xx(void *user, struct header_map *headers)
{
    h1_note_headers(user, "1", headers, false);
}

static void h1_on_data(void *user, struct buf *data, bool end_stream)
{
    struct h1_tester *t = user;

    if (buf_len(data) > 0) {
        if (t->is_in_data) {
            strbuf_truncate(&t->log, t->log.len - 1);
        } else {
            h1_note(t, "D ");
        }
        while (buf_len(data) > 0) {
            struct str front = buf_front(data);

            strbuf_add_str(&t->log, front);
            buf_drain(data, front.len);
        }
        strbuf_add_c(&t->log, "\n");
        t->is_in_data = true;
    }
    if (end_stream) {
        h1_note(t, ".\n");
        h1_complete(t);
    }
}

static void h1_on_trailers(void *user, struct header_map *trailers)
{
    struct h1_tester *t = user;

    h1_note_headers(t, "T", trailers, true);
    h1_complete(t);
}

static void h1_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct h1_tester *t = user;

    h1_note(t, "R ");
    strbuf_addf(&t->log, "%s\n", stream_reset_reason_name(reason));
}

static void h1_on_watermark(void *user, bool is_above)
{
    h1_note(user, is_above ? "W+\n" : "W-\n");
}

static const struct codec_stream_callbacks h1_stream_callbacks = {
    .on_headers = h1_on_headers,
    .on_1xx = h1_on_1xx,
    .on_data = h1_on_data,
    .on_trailers = h1_on_trailers,
    .on_reset = h1_on_reset,
    .on_watermark = h1_on_watermark,
};

static bool h1_on_new_stream(void *owner, struct codec_stream *s)
{
    struct h1_tester *t = owner;

    if (t->refuses) {
        return false;
    }
    arena_done(&t->arena);
    header_map_init(&t->headers, &t->arena);
    s->callbacks = &h1_stream_callbacks;
    s->user = t;
    s->arena = &t->arena;
    s->headers = &t->headers;
    t->stream = s;
    t->streams++;
    return true;
}

static void h1_on_stream_end(void *owner, struct codec_stream *s)
{
    struct h1_tester *t = owner;

    CHECK(t->stream == s);
    t->stream = NULL;
    h1_note(t, "X\n");
}

static void h1_on_error(void *owner, const struct codec_error *e)
{
    struct h1_tester *t = owner;

    h1_note(t, "E ");
    strbuf_addf(&t->log, "%d\n", e->status);
    if (t->answers_errors && t->stream != NULL) {
        h1_reply(t, "400", false);
    }
}

static void h1_on_output(void *owner)
{
    (void)owner;
}

static void h1_on_pending(void *owner)
{
    struct h1_tester *t = owner;

    t->wants_dispatch = true;
    t->pieces++;
}

static void h1_on_read_disable(void *owner, bool disable)
{
    struct h1_tester *t = owner;

    t->read_disables += disable ? 1 : -1;
    CHECK(t->read_disables >= 0);
}

static void h1_on_tunnel(void *owner)
{
    h1_note(owner, "U\n");
}

static void h1_on_shutdown_write(void *owner)
{
    h1_note(owner, "F\n");
}

static const struct codec_callbacks h1_owner_callbacks = {
    .on_new_stream = h1_on_new_stream,
    .on_stream_end = h1_on_stream_end,
    .on_error = h1_on_error,
    .on_output = h1_on_output,
    .on_pending = h1_on_pending,
    .on_read_disable = h1_on_read_disable,
    .on_tunnel = h1_on_tunnel,
    .on_shutdown_write = h1_on_shutdown_write,
};

static void h1_tester_init(struct h1_tester *t, bool is_server, const struct codec_limits *limits)
{
    *t = (struct h1_tester){0};
    buf_pool_init(&t->pool, 4);
    arena_init(&t->arena, NULL);
    header_map_init(&t->headers, &t->arena);
    buf_init(&t->in, &t->pool);
    buf_init(&t->out, &t->pool);
    strbuf_init(&t->log);
    t->codec = is_server ? h1_server_codec_new(&h1_owner_callbacks, t, &t->out, limits)
                         : h1_client_codec_new(&h1_owner_callbacks, t, &t->out, limits);
}

static void h1_tester_done(struct h1_tester *t)
{
    t->codec->ops->connection_closed(t->codec, RESET_CONNECTION_TERMINATION);
    CHECK(t->stream == NULL);
    t->codec->ops->free(t->codec);
    buf_reset(&t->in);
    buf_reset(&t->out);
    strbuf_done(&t->log);
    arena_done(&t->arena);
    buf_pool_done(&t->pool);
}

/* Client: sends a request without a body. */
static void h1_request(struct h1_tester *t, const char *method)
{
    struct header_map m;

    arena_done(&t->arena);
    header_map_init(&t->headers, &t->arena);
    t->stream =
        t->codec->ops->new_stream(t->codec, &h1_stream_callbacks, t, &t->arena, &t->headers);
    t->streams++;
    header_map_init(&m, &t->arena);
    header_add(&m, HDR_METHOD, str_c(method));
    header_add(&m, HDR_PATH, STR("/"));
    header_add(&m, HDR_AUTHORITY, STR("a"));
    t->stream->ops->encode_headers(t->stream, &m, true);
}

static int h1_feed(struct h1_tester *t, const void *p, size_t len, bool end_stream)
{
    int r;

    buf_add(&t->in, p, len);
    do {
        t->wants_dispatch = false;
        r = t->codec->ops->dispatch(t->codec, &t->in, end_stream);
    } while (r == 0 && t->wants_dispatch);
    return r;
}

#endif
