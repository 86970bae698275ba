/* Iterating a stream's filters in both directions. See filter_chain.h. */

#include "dataplane/http/filter_chain.h"

#include "dataplane/base/check.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/local_reply.h"

/* What waits in front of a filter (or behind it: the part it has seen). */
struct filter_gate {
    bool is_closed;
    bool shows_data; /* FILTER_STOP_AND_BUFFER: the filter sees the data that is held */
    bool is_over_limit;
    bool holds_headers; /* the filter has seen them, the next has not */
    bool headers_end;   /* they end the message */
    bool holds_end;     /* the last of the data ends the message */
    bool holds_trailers;
    bool has_seen_end;      /* the filter was shown the end of the data */
    bool has_seen_trailers; /* and the trailers */
    size_t seen;            /* bytes in front of `data` that the filter was shown */
    struct buf data;
};

/* --- creation ----------------------------------------------------------------------------- */

/* Whether the route wants this filter, most specific level first. */
static bool filter_is_enabled(const struct http_stream *s, const struct http_filter_config *fc)
{
    const struct route_match *m = &s->match;
    const struct filter_overrides *levels[4] = {NULL};

    if (m->route != NULL) {
        levels[0] = m->weighted != NULL ? &m->weighted->overrides : NULL;
        levels[1] = &m->route->overrides;
    }
    if (m->vhost != NULL) {
        levels[2] = &m->vhost->overrides;
        levels[3] = &s->table->overrides;
    }
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        const struct filter_override *o = levels[i] != NULL && levels[i]->count > 0
                                              ? filter_overrides_find(levels[i], fc->name)
                                              : NULL;

        if (o != NULL) {
            return !o->disabled;
        }
    }
    return !fc->is_disabled;
}

static void chain_tell_watermark(struct http_stream *s, bool is_above)
{
    for (size_t i = 0; i < s->filter_count && s->phase != STREAM_ENDED; i++) {
        struct http_filter *f = &s->filters[i];

        if (f->type->on_downstream_watermark != NULL) {
            f->type->on_downstream_watermark(f, is_above);
        }
    }
}

void filter_chain_create(struct http_stream *s)
{
    const struct http_conn_manager_config *c = s->cm->config;
    bool is_special = s->upgrade != NULL && s->upgrade->filters != NULL;
    const struct http_filter_config *configs = is_special ? s->upgrade->filters : c->filters;
    size_t count = is_special ? s->upgrade->filter_count : c->filter_count;

    CHECK(!s->has_filters);
    s->has_filters = true;
    s->filters = arena_calloc(&s->arena, count, sizeof(*s->filters));
    for (size_t i = 0; i < count; i++) {
        const struct http_filter_config *fc = &configs[i];
        struct http_filter *f = &s->filters[s->filter_count];

        if (!fc->type->ext.is_terminal && !filter_is_enabled(s, fc)) {
            continue;
        }
        f->type = fc->type;
        f->config = fc->config;
        f->name = fc->name;
        f->stream = s;
        if (fc->type->stream_size > 0) {
            f->state = arena_calloc(&s->arena, 1, fc->type->stream_size);
        }
        s->filter_count++;
    }
    if (s->watermark_count > 0) { /* since before the head was complete */
        chain_tell_watermark(s, true);
    }
}

void filter_chain_complete(struct http_stream *s)
{
    if (s->has_told_end) {
        return;
    }
    s->has_told_end = true;
    for (size_t i = 0; i < s->filter_count; i++) {
        struct http_filter *f = &s->filters[i];

        if (f->type->on_stream_complete != NULL) {
            f->type->on_stream_complete(f);
        }
    }
}

void filter_chain_destroy(struct http_stream *s)
{
    for (size_t i = 0; i < s->filter_count; i++) {
        struct http_filter *f = &s->filters[i];

        if (f->type->on_destroy != NULL) {
            f->type->on_destroy(f);
        }
        for (size_t dir = 0; dir < ARRAY_LEN(f->gates); dir++) {
            if (f->gates[dir] != NULL) {
                buf_reset(&f->gates[dir]->data);
            }
        }
    }
}

/* --- the two directions ------------------------------------------------------------------- */

/* Decoding passes every filter, the terminal one last; encoding starts below it. */
static int chain_first(const struct http_stream *s, enum chain_direction dir)
{
    return dir == CHAIN_DECODE ? 0 : (int)s->filter_count - 2;
}

static int chain_step(enum chain_direction dir)
{
    return dir == CHAIN_DECODE ? 1 : -1;
}

static bool chain_has(const struct http_stream *s, int i)
{
    return i >= 0 && i < (int)s->filter_count;
}

/* Whether filters may still be called in this direction. */
static bool chain_is_alive(const struct http_stream *s, enum chain_direction dir)
{
    return s->phase != STREAM_ENDED && !(dir == CHAIN_DECODE ? s->is_decode_cut : s->is_encode_cut);
}

static bool chain_is_terminal(const struct http_filter *f, enum chain_direction dir)
{
    return dir == CHAIN_DECODE && f->type->ext.is_terminal;
}

static struct filter_gate *gate_of(struct http_filter *f, enum chain_direction dir)
{
    struct filter_gate *g = f->gates[dir];

    if (g == NULL) {
        g = arena_calloc(&f->stream->arena, 1, sizeof(*g));
        buf_init(&g->data, &stream_loop(f->stream)->bufs);
        f->gates[dir] = g;
    }
    return g;
}

static bool gate_is_closed(const struct filter_gate *g)
{
    return g != NULL && g->is_closed;
}

static struct filter_gate *gate_close(struct http_filter *f, enum chain_direction dir,
                                      enum filter_status status)
{
    struct filter_gate *g = gate_of(f, dir);

    g->is_closed = true;
    g->shows_data = status == FILTER_STOP_AND_BUFFER;
    return g;
}

/* --- limits ------------------------------------------------------------------------------- */

/* Whoever produces the data is asked to pause or go on. */
static void gate_pause_producer(struct http_filter *f, enum chain_direction dir, bool pause)
{
    if (dir == CHAIN_DECODE) {
        stream_read_disable(f->stream, pause);
    } else {
        filter_chain_on_watermark(f->stream, pause);
    }
}

static void gate_too_large(struct http_stream *s, enum chain_direction dir)
{
    if (dir == CHAIN_DECODE) {
        conn_manager_count(s->cm, CM_RQ_TOO_LARGE);
        stream_local_reply(s, &(struct local_reply){
                                  .status = 413,
                                  .body = STR("Payload Too Large"),
                                  .details = STR("request_payload_too_large"),
                              });
        return;
    }
    conn_manager_count(s->cm, CM_RS_TOO_LARGE);
    s->is_encode_cut = true;
    stream_local_reply(s, &(struct local_reply){
                              .status = 500,
                              .body = STR("Internal Server Error"),
                              .details = STR("response_payload_too_large"),
                          });
}

/* Keeps `data` at the closed gate. */
static void gate_hold(struct http_filter *f, enum chain_direction dir, struct buf *data,
                      bool end_stream, bool is_seen)
{
    struct filter_gate *g = f->gates[dir];
    size_t limit = http_filter_buffer_limit(f);

    if (is_seen) {
        g->seen += data->len;
        g->has_seen_end = end_stream;
    }
    buf_move(&g->data, data);
    g->holds_end = g->holds_end || end_stream;
    if (g->data.len <= limit || g->is_over_limit) {
        return;
    }
    if (g->shows_data) {
        gate_too_large(f->stream, dir);
        return;
    }
    g->is_over_limit = true;
    gate_pause_producer(f, dir, true);
}

/* --- headers ------------------------------------------------------------------------------ */

static enum filter_status call_headers(struct http_filter *f, enum chain_direction dir,
                                       bool end_stream)
{
    struct http_stream *s = f->stream;

    if (dir == CHAIN_DECODE) {
        return f->type->decode_headers != NULL
                   ? f->type->decode_headers(f, &s->request_headers, end_stream)
                   : FILTER_CONTINUE;
    }
    return f->type->encode_headers != NULL
               ? f->type->encode_headers(f, s->response_headers, end_stream)
               : FILTER_CONTINUE;
}

static void chain_headers(struct http_stream *s, enum chain_direction dir, int i, bool end_stream)
{
    for (; chain_has(s, i); i += chain_step(dir)) {
        struct http_filter *f = &s->filters[i];
        enum filter_status status = call_headers(f, dir, end_stream);

        if (!chain_is_alive(s, dir)) {
            return;
        }
        if (status != FILTER_CONTINUE && !chain_is_terminal(f, dir)) {
            struct filter_gate *g = gate_close(f, dir, status);

            g->holds_headers = true;
            g->headers_end = end_stream;
            return;
        }
    }
    if (dir == CHAIN_ENCODE) {
        stream_send_headers(s, end_stream);
    }
}

/* The filter lets go of headers it held while more of the message follows at once. False when the
 * stream is over. */
static bool gate_pass_headers(struct http_filter *f, enum chain_direction dir, int i)
{
    struct http_stream *s = f->stream;
    struct filter_gate *g = f->gates[dir];

    if (!g->holds_headers) {
        return true;
    }
    g->holds_headers = false;
    chain_headers(s, dir, i + chain_step(dir), false);
    return chain_is_alive(s, dir);
}

/* --- data --------------------------------------------------------------------------------- */

static enum filter_status call_data(struct http_filter *f, enum chain_direction dir,
                                    struct buf *data, bool end_stream)
{
    if (dir == CHAIN_DECODE) {
        return f->type->decode_data != NULL ? f->type->decode_data(f, data, end_stream)
                                            : FILTER_CONTINUE;
    }
    return f->type->encode_data != NULL ? f->type->encode_data(f, data, end_stream)
                                        : FILTER_CONTINUE;
}

static bool has_data_callback(const struct http_filter *f, enum chain_direction dir)
{
    return dir == CHAIN_DECODE ? f->type->decode_data != NULL : f->type->encode_data != NULL;
}

/* Opens the gate of a filter that was shown all that is held there: `data` becomes what was held
 * and then `data`. */
static bool gate_open_with(struct http_filter *f, enum chain_direction dir, int i, struct buf *data)
{
    struct filter_gate *g = f->gates[dir];

    g->is_closed = false;
    if (g->is_over_limit) {
        g->is_over_limit = false;
        gate_pause_producer(f, dir, false);
    }
    if (!gate_pass_headers(f, dir, i)) {
        return false;
    }
    buf_move(&g->data, data);
    buf_move(data, &g->data);
    g->seen = 0;
    return true;
}

static void chain_data(struct http_stream *s, enum chain_direction dir, int i, struct buf *data,
                       bool end_stream)
{
    for (; chain_has(s, i); i += chain_step(dir)) {
        struct http_filter *f = &s->filters[i];
        enum filter_status status;

        if (gate_is_closed(f->gates[dir]) && !f->gates[dir]->shows_data) {
            gate_hold(f, dir, data, end_stream, false);
            return;
        }
        status = call_data(f, dir, data, end_stream);
        if (!chain_is_alive(s, dir) || chain_is_terminal(f, dir)) {
            return;
        }
        if (gate_is_closed(f->gates[dir]) && !has_data_callback(f, dir)) {
            status = FILTER_STOP_AND_BUFFER; /* it waits for something else than data */
        }
        if (status != FILTER_CONTINUE) {
            (void)gate_close(f, dir, status);
            gate_hold(f, dir, data, end_stream, true);
            return;
        }
        if (gate_is_closed(f->gates[dir]) && !gate_open_with(f, dir, i, data)) {
            return;
        }
        if (data->len == 0 && !end_stream) {
            return; /* the filter took it all */
        }
    }
    if (dir == CHAIN_ENCODE) {
        stream_send_data(s, data, end_stream);
    }
}

/* --- trailers ----------------------------------------------------------------------------- */

static enum filter_status call_trailers(struct http_filter *f, enum chain_direction dir)
{
    struct http_stream *s = f->stream;

    if (dir == CHAIN_DECODE) {
        return f->type->decode_trailers != NULL ? f->type->decode_trailers(f, s->request_trailers)
                                                : FILTER_CONTINUE;
    }
    return f->type->encode_trailers != NULL ? f->type->encode_trailers(f, s->response_trailers)
                                            : FILTER_CONTINUE;
}

/* It is closed, or the filter has just added data. */
static bool gate_goes_before_trailers(const struct filter_gate *g)
{
    return g != NULL && (g->is_closed || g->data.len > 0);
}

/* Trailers pass a gate: first goes what it holds. False when the stream is over. */
static bool gate_flush_before_trailers(struct http_filter *f, enum chain_direction dir, int i)
{
    struct http_stream *s = f->stream;
    struct buf data;

    buf_init(&data, &stream_loop(s)->bufs);
    if (!gate_open_with(f, dir, i, &data)) {
        return false;
    }
    if (data.len > 0) {
        chain_data(s, dir, i + chain_step(dir), &data, false);
        buf_reset(&data);
    }
    return chain_is_alive(s, dir);
}

static void chain_trailers(struct http_stream *s, enum chain_direction dir, int i)
{
    for (; chain_has(s, i); i += chain_step(dir)) {
        struct http_filter *f = &s->filters[i];
        enum filter_status status;

        if (gate_is_closed(f->gates[dir]) && !f->gates[dir]->shows_data) {
            f->gates[dir]->holds_trailers = true;
            return;
        }
        status = call_trailers(f, dir);
        if (!chain_is_alive(s, dir)) {
            return;
        }
        if (status != FILTER_CONTINUE && !chain_is_terminal(f, dir)) {
            struct filter_gate *g = gate_close(f, dir, status);

            g->holds_trailers = true;
            g->has_seen_trailers = true;
            return;
        }
        if (gate_goes_before_trailers(f->gates[dir]) && !gate_flush_before_trailers(f, dir, i)) {
            return;
        }
    }
    if (dir == CHAIN_ENCODE) {
        stream_send_trailers(s, s->response_trailers);
    }
}

/* --- going on ----------------------------------------------------------------------------- */

/* What was held goes on: the part that the filter has seen to the next one, the rest to itself. */
static void gate_release_data(struct http_filter *f, enum chain_direction dir, int i,
                              const struct filter_gate *was, struct buf *held)
{
    struct http_stream *s = f->stream;
    bool ends = was->holds_end;
    struct buf seen;

    buf_init(&seen, &stream_loop(s)->bufs);
    buf_move_n(&seen, held, was->seen);
    if (seen.len > 0 || (ends && was->has_seen_end)) {
        chain_data(s, dir, i + chain_step(dir), &seen, ends && was->has_seen_end);
        buf_reset(&seen);
    }
    if (chain_is_alive(s, dir) && (held->len > 0 || (ends && !was->has_seen_end))) {
        chain_data(s, dir, i, held, ends);
    }
}

void filter_chain_continue(struct http_filter *f, enum chain_direction dir)
{
    struct http_stream *s = f->stream;
    struct filter_gate *g = f->gates[dir];
    int i = (int)(f - s->filters);
    struct filter_gate was;
    struct buf held;

    if (!gate_is_closed(g) || !chain_is_alive(s, dir)) {
        return;
    }
    was = *g;
    buf_init(&held, &stream_loop(s)->bufs);
    buf_move(&held, &g->data);
    *g = (struct filter_gate){.data = g->data};
    if (was.is_over_limit) {
        gate_pause_producer(f, dir, false);
    }
    if (was.holds_headers) {
        chain_headers(s, dir, i + chain_step(dir), was.headers_end);
    }
    if (chain_is_alive(s, dir)) {
        gate_release_data(f, dir, i, &was, &held);
    }
    if (was.holds_trailers && chain_is_alive(s, dir)) {
        chain_trailers(s, dir, was.has_seen_trailers ? i + chain_step(dir) : i);
    }
    buf_reset(&held);
}

struct buf *filter_chain_buffer(struct http_filter *f, enum chain_direction dir)
{
    return f->gates[dir] != NULL ? &f->gates[dir]->data : NULL;
}

void filter_chain_add_data(struct http_filter *f, enum chain_direction dir, struct buf *take_data)
{
    struct filter_gate *g = gate_of(f, dir);

    g->seen += take_data->len;
    buf_move(&g->data, take_data);
}

/* --- entries ------------------------------------------------------------------------------ */

void filter_chain_decode_headers(struct http_stream *s, bool end_stream)
{
    chain_headers(s, CHAIN_DECODE, chain_first(s, CHAIN_DECODE), end_stream);
}

void filter_chain_decode_data(struct http_stream *s, struct buf *data, bool end_stream)
{
    if (chain_is_alive(s, CHAIN_DECODE)) {
        chain_data(s, CHAIN_DECODE, chain_first(s, CHAIN_DECODE), data, end_stream);
    }
}

void filter_chain_decode_trailers(struct http_stream *s)
{
    if (chain_is_alive(s, CHAIN_DECODE)) {
        chain_trailers(s, CHAIN_DECODE, chain_first(s, CHAIN_DECODE));
    }
}

void filter_chain_encode_1xx(struct http_stream *s, struct header_map *h)
{
    for (int i = chain_first(s, CHAIN_ENCODE); chain_has(s, i); i--) {
        struct http_filter *f = &s->filters[i];

        if (f->type->encode_1xx != NULL && f->type->encode_1xx(f, h) != FILTER_CONTINUE) {
            return; /* an interim response may always be left out */
        }
        if (!chain_is_alive(s, CHAIN_ENCODE)) {
            return;
        }
    }
    stream_send_1xx(s, h);
}

void filter_chain_encode_headers(struct http_stream *s, bool end_stream)
{
    if (chain_is_alive(s, CHAIN_ENCODE)) {
        chain_headers(s, CHAIN_ENCODE, chain_first(s, CHAIN_ENCODE), end_stream);
    }
}

void filter_chain_encode_data(struct http_stream *s, struct buf *data, bool end_stream)
{
    if (chain_is_alive(s, CHAIN_ENCODE)) {
        chain_data(s, CHAIN_ENCODE, chain_first(s, CHAIN_ENCODE), data, end_stream);
    }
}

void filter_chain_encode_trailers(struct http_stream *s)
{
    if (chain_is_alive(s, CHAIN_ENCODE)) {
        chain_trailers(s, CHAIN_ENCODE, chain_first(s, CHAIN_ENCODE));
    }
}

void filter_chain_on_watermark(struct http_stream *s, bool is_above)
{
    CHECK(is_above || s->watermark_count > 0);
    s->watermark_count += is_above ? 1U : (uint32_t)-1;
    if (s->watermark_count != (is_above ? 1U : 0U)) {
        return; /* it was above for another reason, or still is */
    }
    chain_tell_watermark(s, is_above);
}
