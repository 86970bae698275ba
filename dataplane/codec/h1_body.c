/* Takes the framing off a message body; the bytes in between move by reference. */

#include "dataplane/codec/h1_body.h"

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_errors.h"

void h1_body_start(struct h1_body *b, enum h1_framing framing, uint64_t content_length)
{
    *b = (struct h1_body){.framing = (uint8_t)framing};
    h1_chunks_start(&b->chunks);
    if (framing == H1_BODY_LENGTH) {
        b->chunks.remaining = content_length;
    }
}

int h1_feed_buf(struct h1_parser *p, struct buf *in)
{
    int r = E_AGAIN;

    while (r == E_AGAIN && buf_len(in) > 0) {
        struct str front = buf_front(in);
        size_t used;

        r = h1_parser_feed(p, front.ptr, front.len, &used);
        buf_drain(in, used);
    }
    return r;
}

/* Moves data of which chunks.remaining is left. */
static void take_data(struct h1_body *b, struct buf *in, struct buf *data)
{
    size_t n = buf_len(in);

    if (n > b->chunks.remaining) {
        n = (size_t)b->chunks.remaining;
    }
    buf_move_n(data, in, n);
    b->chunks.remaining -= n;
}

static int refuse(struct h1_body *b, const struct codec_error *e)
{
    b->error = e;
    return E_PROTOCOL;
}

static int receive_trailers(struct h1_body *b, struct h1_parser *parser, struct buf *in)
{
    int r = h1_feed_buf(parser, in);

    return r == E_PROTOCOL ? refuse(b, parser->error) : r;
}

static void start_trailers(struct h1_body *b, struct h1_parser *parser,
                           const struct codec_limits *limits, struct arena *arena)
{
    if (parser->options->enable_trailers) {
        b->trailers = arena_alloc(arena, sizeof(*b->trailers));
        header_map_init(b->trailers, arena);
    }
    h1_parser_start(parser, H1_TRAILERS, limits, arena, b->trailers);
    b->is_in_trailers = true;
}

static int receive_chunks(struct h1_body *b, struct h1_parser *parser,
                          const struct codec_limits *limits, struct arena *arena, struct buf *in,
                          struct buf *data)
{
    while (buf_len(in) > 0) {
        struct str front;
        size_t used;
        int r;

        if (b->chunks.remaining > 0) {
            take_data(b, in, data);
            continue;
        }
        front = buf_front(in);
        r = h1_chunks_feed(&b->chunks, front.ptr, front.len, &used);
        buf_drain(in, used);
        if (r == E_PROTOCOL) {
            return refuse(b, &h1_error_message);
        }
        if (r == 1) {
            start_trailers(b, parser, limits, arena);
            return receive_trailers(b, parser, in);
        }
    }
    return E_AGAIN;
}

int h1_body_receive(struct h1_body *b, struct h1_parser *parser, const struct codec_limits *limits,
                    struct arena *arena, struct buf *in, struct buf *data)
{
    switch ((enum h1_framing)b->framing) {
    case H1_BODY_NONE:
        return 0;
    case H1_BODY_LENGTH:
        take_data(b, in, data);
        return b->chunks.remaining > 0 ? E_AGAIN : 0;
    case H1_BODY_CHUNKED:
        return b->is_in_trailers ? receive_trailers(b, parser, in)
                                 : receive_chunks(b, parser, limits, arena, in, data);
    case H1_BODY_UNTIL_CLOSE:
        buf_move(data, in);
        return E_AGAIN;
    }
    return refuse(b, &h1_error_message);
}
