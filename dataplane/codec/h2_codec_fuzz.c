/*
 * Both HTTP/2 codecs under a script: the input says what the peer sends, bytes or whole frames, and
 * what the owner does in between. Whatever comes, each stream that began ends once, nothing is told
 * after that, and nothing is left counted.
 */

#include <stdint.h>

#include "dataplane/codec/h2_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
    const uint8_t *at;
    size_t left;
};

static uint8_t next(struct script *s)
{
    if (s->left == 0) {
        return 0;
    }
    s->left--;
    return *s->at++;
}

static void feed(struct h2_side *side, const void *bytes, size_t len)
{
    struct buf b;

    buf_init(&b, &side->pair->pool);
    buf_add(&b, bytes, len);
    if (!side->is_dead) {
        (void)side->codec->ops->dispatch(side->codec, &b, false); /* on_error says it */
    }
    buf_reset(&b);
}

static void feed_raw(struct h2_side *side, struct script *s)
{
    size_t n = next(s);

    n = n < s->left ? n : s->left;
    feed(side, s->at, n);
    s->at += n;
    s->left -= n;
}

/* A frame whose head is right, so that its payload is looked at. */
static void feed_frame(struct h2_side *side, struct script *s)
{
    uint8_t frame[9 + 255] = {0};
    size_t n;

    frame[3] = next(s) % 11;
    frame[4] = next(s);
    frame[8] = next(s) % 16;
    n = next(s);
    n = n < s->left ? n : s->left;
    frame[2] = (uint8_t)n;
    memcpy(frame + 9, s->at, n);
    s->at += n;
    s->left -= n;
    feed(side, frame, 9 + n);
}

static void open_request(struct h2_side *side, struct script *s)
{
    struct codec_stream *cs;

    if (side != &side->pair->client || side->stream_count >= 32 ||
        !side->codec->ops->is_reusable(side->codec)) {
        return;
    }
    cs = h2_open(side->pair);
    cs->ops->encode_headers(
        cs, h2_map(side->pair, ":method=POST :scheme=http :authority=h :path=/"), next(s) % 2 == 0);
}

static void toggle_reads(struct codec_stream *cs)
{
    struct h2_test_stream *ts = cs->user;
    bool disable = ts->disables == 0;

    ts->disables += disable ? 1U : (unsigned)-1;
    cs->ops->read_disable(cs, disable);
}

static void act_on_stream(struct h2_side *side, struct script *s, uint8_t what)
{
    struct h2_pair *p = side->pair;
    struct codec_stream *cs;

    if (side->stream_count == 0) {
        return;
    }
    cs = side->streams[next(s) % side->stream_count];
    switch (what) {
    case 0:
        if (side == &p->server) {
            cs->ops->encode_headers(cs, h2_map(p, ":status=200 x-a=b"), next(s) % 2 == 0);
        }
        break;
    case 1:
        h2_send_bytes(cs, p, (size_t)next(s) * 400, next(s) % 4 == 0);
        break;
    case 2:
        cs->ops->encode_trailers(cs, h2_map(p, "x-t=1"));
        break;
    case 3:
        cs->ops->reset(cs, (enum stream_reset_reason)(next(s) % (RESET_NO_ERROR + 1)));
        break;
    case 4:
        toggle_reads(cs);
        break;
    case 5:
        if (side == &p->server) {
            cs->ops->encode_1xx(cs, h2_map(p, ":status=103"));
        }
        break;
    default:
        if (side == &p->server) {
            cs->ops->encode_headers(cs, h2_map(p, ":status=101 upgrade=u connection=upgrade"),
                                    false);
        }
        break;
    }
}

static void act_on_connection(struct h2_side *side, uint8_t what)
{
    struct codec *c = side->codec;

    switch (what) {
    case 0:
    case 1:
        c->ops->on_watermark(c, what == 0);
        break;
    case 2:
        c->ops->drain(c);
        break;
    case 3:
        c->ops->goaway(c, GOAWAY_NO_ERROR);
        break;
    case 4:
        c->ops->ping(c);
        break;
    case 5:
        feed(side, "", 0); /* what on_pending asks for */
        break;
    default:
        buf_drain(&side->out, buf_len(&side->out)); /* the socket took it */
        break;
    }
}

static void step(struct h2_side *side, struct script *s)
{
    uint8_t what = next(s);

    switch (what % 8) {
    case 0:
        feed_raw(side, s);
        break;
    case 1:
    case 2:
    case 3:
        feed_frame(side, s);
        break;
    case 4:
        open_request(side, s);
        break;
    case 5:
    case 6:
        act_on_stream(side, s, (what / 8) % 7);
        break;
    default:
        act_on_connection(side, (what / 8) % 7);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = {data, size};
    uint8_t flags = next(&s);
    struct http2_options options = http2_options_defaults((flags & 1) == 0);
    struct h2_pair p;
    struct h2_side *side;

    options.stream_error_on_invalid_message = (flags & 2) != 0;
    options.allow_connect = (flags & 4) != 0;
    options.max_consecutive_inbound_empty_frames = 20;
    h2_pair_init(&p, &options);
    if ((flags & 8) != 0) {
        h2_pump(&p); /* prefaces and settings are exchanged */
    }
    side = (flags & 1) == 0 ? &p.server : &p.client;
    side->is_quiet = true;
    while (s.left > 0 && !side->is_dead) {
        step(side, &s);
    }
    if (!side->is_dead) {
        side->codec->ops->connection_closed(side->codec, RESET_CONNECTION_TERMINATION);
        side->is_dead = true;
    }
    CHECK(side->stream_count == 0);
    CHECK(h2_stat_value(&p, H2_STREAMS_ACTIVE) == 0 || side == &p.client);
    CHECK(h2_stat_value(&p, H2_PENDING_SEND_BYTES) == 0 || side == &p.client);
    h2_pair_done(&p);
    return 0;
}
