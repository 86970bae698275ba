#ifndef DATAPLANE_CODEC_H2_TESTING_H
#define DATAPLANE_CODEC_H2_TESTING_H

/*
 * A client and a server codec back to back, without sockets. Each side logs what it is told, a line
 * per event: "H<id> :method=GET; ...;[.]" head, "I<id> ..." informational, "D<id> <bytes>[.]" body,
 * "T<id> ..." trailers, "R<id> <reason> <details>" reset, "X<id>" end of stream, "E <details>"
 * error, "G" goaway. A dot is the message's end. For tests only.
 */

#include <stdio.h>
#include <string.h>

#include "config/model/core.h"
#include "dataplane/base/check.h"
#include "dataplane/codec/h2_codec.h"
#include "dataplane/codec/h2_stats.h"

#define H2_TEST_STREAMS 256

struct h2_side {
    struct codec *codec;
    struct buf out;
    struct strbuf log;
    struct codec_stream *last;                     /* the latest stream */
    struct codec_stream *streams[H2_TEST_STREAMS]; /* open ones, in order of opening */
    size_t stream_count;
    size_t body_bytes; /* all that on_data brought */
    size_t ended;
    bool is_quiet; /* logs no data */
    bool refuses;  /* new streams */
    bool is_pending;
    bool is_dead; /* on_error came */
    bool is_outbound_flood;
    int above; /* streams above their watermark */
    int capacity_calls;
    int ping_acks;
    struct h2_pair *pair;
};

struct h2_pair {
    struct buf_pool pool;
    struct arena arena;
    struct stat_store *store;
    struct stat_scope *scope;
    struct stat_block *stats;
    struct http2_options options;
    struct h2_side client;
    struct h2_side server;
};

/* What is shared by a stream's callbacks. */
struct h2_test_stream {
    struct h2_side *side;
    struct codec_stream *cs;
    struct header_map headers;
    unsigned disables; /* of reading, that the test asked for */
};

static inline struct h2_test_stream *test_stream_new(struct h2_side *side)
{
    struct h2_test_stream *ts = ARENA_NEW(&side->pair->arena, struct h2_test_stream);

    ts->side = side;
    header_map_init(&ts->headers, &side->pair->arena);
    return ts;
}

static inline void log_map(struct h2_side *side, const struct header_map *m)
{
    header_for_each(h, m)
    {
        strbuf_addf(&side->log, " %.*s=%.*s;", STR_ARG(h->name), STR_ARG(h->value));
    }
}

static inline void on_headers(void *user, bool end_stream)
{
    struct h2_test_stream *ts = user;

    strbuf_addf(&ts->side->log, "H%u", ts->cs->id);
    log_map(ts->side, ts->cs->headers);
    strbuf_add_c(&ts->side->log, end_stream ? ".\n" : "\n");
}

static inline void on_1xx(void *user, struct header_map *headers)
{
    struct h2_test_stream *ts = user;

    strbuf_addf(&ts->side->log, "I%u", ts->cs->id);
    log_map(ts->side, headers);
    strbuf_add_char(&ts->side->log, '\n');
}

static inline void on_data(void *user, struct buf *data, bool end_stream)
{
    struct h2_test_stream *ts = user;
    char text[64];
    size_t n = buf_copy_out(data, 0, text, sizeof(text));

    ts->side->body_bytes += buf_len(data);
    if (!ts->side->is_quiet) {
        strbuf_addf(&ts->side->log, "D%u %.*s%s\n", ts->cs->id, (int)n, text,
                    end_stream ? "." : "");
    }
}

static inline void on_trailers(void *user, struct header_map *trailers)
{
    struct h2_test_stream *ts = user;

    strbuf_addf(&ts->side->log, "T%u", ts->cs->id);
    log_map(ts->side, trailers);
    strbuf_add_char(&ts->side->log, '\n');
}

static inline void on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    struct h2_test_stream *ts = user;

    strbuf_addf(&ts->side->log, "R%u %s %.*s\n", ts->cs->id, stream_reset_reason_name(reason),
                STR_ARG(details));
}

static inline void on_watermark(void *user, bool is_above)
{
    struct h2_test_stream *ts = user;

    ts->side->above += is_above ? 1 : -1;
}

static const struct codec_stream_callbacks test_stream_callbacks = {
    .on_headers = on_headers,
    .on_1xx = on_1xx,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_watermark = on_watermark,
};

static inline void side_add(struct h2_side *side, struct codec_stream *cs)
{
    CHECK(side->stream_count < H2_TEST_STREAMS);
    side->streams[side->stream_count++] = cs;
    side->last = cs;
}

static inline bool on_new_stream(void *owner, struct codec_stream *cs)
{
    struct h2_side *side = owner;
    struct h2_test_stream *ts;

    if (side->refuses) {
        return false;
    }
    ts = test_stream_new(side);
    ts->cs = cs;
    cs->callbacks = &test_stream_callbacks;
    cs->user = ts;
    cs->arena = &side->pair->arena;
    cs->headers = &ts->headers;
    side_add(side, cs);
    return true;
}

static inline void on_stream_end(void *owner, struct codec_stream *cs)
{
    struct h2_side *side = owner;
    size_t kept = 0;

    strbuf_addf(&side->log, "X%u\n", cs->id);
    side->ended++;
    for (size_t i = 0; i < side->stream_count; i++) {
        if (side->streams[i] != cs) {
            side->streams[kept++] = side->streams[i];
        }
    }
    CHECK(kept + 1 == side->stream_count);
    side->stream_count = kept;
}

static inline void on_error(void *owner, const struct codec_error *e)
{
    struct h2_side *side = owner;

    strbuf_addf(&side->log, "E %.*s\n", STR_ARG(e->details));
    side->is_dead = true;
    side->is_outbound_flood = e->is_outbound_flood;
    side->codec->ops->connection_closed(side->codec, RESET_CONNECTION_TERMINATION);
}

static inline void on_goaway(void *owner)
{
    struct h2_side *side = owner;

    strbuf_add_c(&side->log, "G\n");
}

static inline void on_output(void *owner)
{
}

static inline void on_capacity(void *owner)
{
    ((struct h2_side *)owner)->capacity_calls++;
}

static inline void on_ping_ack(void *owner)
{
    ((struct h2_side *)owner)->ping_acks++;
}

static inline void on_pending(void *owner)
{
    ((struct h2_side *)owner)->is_pending = true;
}

static const struct codec_callbacks test_callbacks = {
    .on_new_stream = on_new_stream,
    .on_stream_end = on_stream_end,
    .on_error = on_error,
    .on_goaway = on_goaway,
    .on_output = on_output,
    .on_capacity = on_capacity,
    .on_ping_ack = on_ping_ack,
    .on_pending = on_pending,
};

static inline void side_init(struct h2_side *side, struct h2_pair *p, bool is_server,
                             const struct codec_limits *limits)
{
    *side = (struct h2_side){.pair = p};
    buf_init(&side->out, &p->pool);
    strbuf_init(&side->log);
    side->codec = is_server ? h2_server_codec_new(&test_callbacks, side, &side->out, limits)
                            : h2_client_codec_new(&test_callbacks, side, &side->out, limits);
}

/* `options` may have been changed from http2_options_defaults. */
static inline void h2_pair_init(struct h2_pair *p, const struct http2_options *options)
{
    struct codec_limits limits = {
        .max_headers_bytes = 60 * 1024,
        .max_headers_count = 100,
        .http2 = &p->options,
        .stream_buffer_bytes = 32 * 1024,
    };

    *p = (struct h2_pair){.options = *options};
    buf_pool_init(&p->pool, 16);
    arena_init(&p->arena, NULL);
    p->store = stat_store_new(1);
    p->scope = stat_scope_ref(p->store, &(struct stat_scope_spec){.prefix = STR("http2."),
                                                                  .tagged_prefix = STR("http2."),
                                                                  .schema = &h2_stat_schema});
    p->stats = stat_scope_block(p->scope, 0);
    limits.http2_stats = p->stats;
    side_init(&p->server, p, true, &limits);
    limits.http2_stats = NULL;
    side_init(&p->client, p, false, &limits);
}

static inline void side_done(struct h2_side *side)
{
    if (!side->is_dead) {
        side->codec->ops->connection_closed(side->codec, RESET_CONNECTION_TERMINATION);
    }
    side->codec->ops->free(side->codec);
    buf_reset(&side->out);
    strbuf_done(&side->log);
}

static inline void h2_pair_done(struct h2_pair *p)
{
    side_done(&p->client);
    side_done(&p->server);
    arena_done(&p->arena);
    buf_pool_done(&p->pool);
    stat_scope_unref(p->scope);
    stat_store_free(p->store);
}

static inline uint64_t h2_stat_value(const struct h2_pair *p, enum h2_stat stat)
{
    return atomic_load_explicit(&p->stats->cells[stat], memory_order_relaxed);
}

/* One side's output to the other; true when something moved. */
static inline bool side_flow(struct h2_side *from, struct h2_side *to)
{
    struct buf bytes;

    if (buf_len(&from->out) == 0 && !to->is_pending) {
        return false;
    }
    to->is_pending = false;
    buf_init(&bytes, &from->pair->pool);
    buf_move(&bytes, &from->out);
    if (!to->is_dead) {
        (void)to->codec->ops->dispatch(to->codec, &bytes, false); /* on_error says what is wrong */
    }
    buf_reset(&bytes);
    return true;
}

/* Until neither has anything to say. */
static inline void h2_pump(struct h2_pair *p)
{
    bool is_moving = true;

    while (is_moving) {
        is_moving = side_flow(&p->client, &p->server);
        is_moving |= side_flow(&p->server, &p->client);
    }
}

static inline struct codec_stream *h2_open(struct h2_pair *p)
{
    struct h2_side *side = &p->client;
    struct h2_test_stream *ts = test_stream_new(side);

    ts->cs = side->codec->ops->new_stream(side->codec, &test_stream_callbacks, ts, &p->arena,
                                          &ts->headers);
    side_add(side, ts->cs);
    return ts->cs;
}

/* "name=value name=value ..." into a map that lives as long as the pair. */
static inline struct header_map *h2_map(struct h2_pair *p, const char *text)
{
    struct header_map *m = ARENA_NEW(&p->arena, struct header_map);
    struct str rest = arena_str(&p->arena, str_c(text));
    struct str field;

    header_map_init(m, &p->arena);
    while (str_split(&rest, ' ', &field)) {
        size_t at = str_find_char(field, '=');

        CHECK(at != STR_NPOS);
        header_add_name(m, str_sub(field, 0, at), str_sub(field, at + 1, field.len));
    }
    return m;
}

static inline void h2_send_text(struct codec_stream *cs, struct h2_pair *p, const char *text,
                                bool is_last)
{
    struct buf b;

    buf_init(&b, &p->pool);
    buf_add_str(&b, str_c(text));
    cs->ops->encode_data(cs, &b, is_last);
    CHECK(buf_len(&b) == 0);
}

static inline void h2_send_bytes(struct codec_stream *cs, struct h2_pair *p, size_t len,
                                 bool is_last)
{
    static const char zeros[4096];
    struct buf b;

    buf_init(&b, &p->pool);
    while (len > 0) {
        size_t n = len < sizeof(zeros) ? len : sizeof(zeros);

        buf_add(&b, zeros, n);
        len -= n;
    }
    cs->ops->encode_data(cs, &b, is_last);
}

#endif
