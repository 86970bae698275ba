#ifndef DATAPLANE_CODEC_H2_INTERNAL_H
#define DATAPLANE_CODEC_H2_INTERNAL_H

/*
 * What the files of the HTTP/2 codec share.
 *
 *   h2_setup.c    how a session is made
 *   h2_callbacks.c  what nghttp2 tells, written down
 *   h2_session.c  a connection: the order in which it is handed out, windows, ends
 *   h2_headers.c  received header blocks
 *   h2_encode.c   what a stream sends
 *   h2_flood.c    how much of what a peer may cause
 *   h2_history.c  which streams there were
 *   h2_server.c, h2_client.c  what differs between the two sides
 *
 * nghttp2's callbacks only write down what came (h2_stream's fields, the lists of h2_conn); owners
 * are called when it has returned. Every entry from outside is bracketed by h2_enter and h2_leave:
 * the outermost leave sends, tells of ends and frees.
 */

#include <nghttp2/nghttp2.h>

#include "config/model/core.h"
#include "dataplane/base/check.h"
#include "dataplane/base/list.h"
#include "dataplane/codec/h2_codec.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/stats/stats.h"

#define H2_CONN_MAGIC MAGIC('H', '2', 'C', 'N')
#define H2_STREAM_MAGIC MAGIC('H', '2', 'S', 'T')
#define H2_FRAME_HEAD_BYTES 9

/* Frames that lie in the connection's output up to byte `end` of all that was ever put there. */
struct h2_mark {
    uint64_t end;
    uint32_t frames;
    uint32_t control_frames;
};

struct h2_flood {
    uint64_t opened_streams;
    uint64_t priority_frames;
    uint64_t window_update_frames;
    uint64_t data_frames_sent;
    uint32_t empty_frames; /* in a row */
    uint32_t outbound_frames;
    uint32_t outbound_control_frames;
    uint64_t queued_bytes;
    struct h2_mark *marks; /* ring */
    uint32_t mark_cap;
    uint32_t mark_first;
    uint32_t mark_count;
};

/* How a stream ended, see h2_history.c. */
enum h2_past_end {
    H2_PAST_OPEN,
    H2_PAST_RESET, /* by us */
    H2_PAST_PEER_RESET,
    H2_PAST_COMPLETE, /* both sides said END_STREAM */
};

#define H2_HISTORY 16

struct h2_past {
    uint32_t id;
    uint8_t end; /* enum h2_past_end */
};

/* Where in the stream of frames the bytes fed so far end. */
struct h2_scan {
    uint32_t skip; /* of the preface or a payload */
    uint8_t head_len;
    uint8_t head[H2_FRAME_HEAD_BYTES];
};

struct h2_conn {
    struct codec base;
    uint32_t magic;
    bool is_server;
    bool is_blocked;        /* the connection's output is above its watermark: no DATA */
    bool is_closed;         /* connection_closed was called */
    bool is_failed;         /* `failure` was reported */
    bool has_goaway;        /* received */
    bool has_sent_goaway;   /* the final one */
    bool is_control_frame;  /* the frame being sent is one that floods are made of */
    bool wants_goaway_call; /* to be told when nghttp2 has returned: */
    bool wants_capacity_call;
    bool wants_ping_ack_call;
    bool wants_pending_call;
    uint32_t depth; /* of h2_enter */
    nghttp2_session *session;
    const struct codec_stream_ops *stream_ops;
    const struct http2_options *options;
    struct buf_seg *feeding; /* what nghttp2 is reading from */
    struct list streams;     /* all that exist */
    struct list ready;       /* something was received for them */
    struct list closed;      /* nghttp2 closed them, the owner does not know */
    struct list measured;    /* their output may have crossed the watermark */
    struct list dead;        /* to be freed */
    uint32_t open_count;     /* streams that nghttp2 has open */
    struct str failure;      /* empty: none */
    uint32_t failure_code;   /* for GOAWAY */
    uint32_t goaway_code;    /* what our own says that is no failure */
    bool is_outbound_flood;
    struct h2_flood flood;
    struct h2_scan scan;
    uint32_t last_id; /* server: the highest stream id that was opened */
    struct h2_past history[H2_HISTORY];
};

struct h2_informational {
    struct h2_informational *next;
    struct header_map headers;
};

struct h2_stream {
    struct codec_stream base;
    uint32_t magic;
    struct h2_conn *conn;
    struct list node;
    struct list ready_node;
    struct list closed_node; /* also in `dead` */
    struct list measured_node;
    bool is_attached;  /* its owner knows it, and is to be told of its end */
    bool is_open;      /* nghttp2 has it */
    bool has_head;     /* a head waits to be handed out */
    bool has_final;    /* the final head was received */
    bool is_head_sent; /* the final head */
    bool is_remote_end;
    bool is_end_delivered;
    bool is_local_end; /* the last was encoded */
    bool is_local_end_sent;
    bool is_deferred; /* nghttp2 asks for no data until resumed */
    bool is_above;    /* the owner was told so */
    bool is_invalid;  /* nghttp2 found its messages broken */
    bool is_peer_reset;
    bool is_upgrade; /* extended CONNECT on the wire */
    bool is_held;    /* a tunnel that is not accepted: nothing is handed out */
    uint8_t informational_count;
    uint32_t close_code;
    uint32_t read_disables;
    uint32_t window;            /* ours, for what we receive */
    uint32_t window_consumed;   /* since it last grew */
    size_t unconsumed;          /* handed out, not yet given back to the peer's window */
    struct str details;         /* of its end */
    struct str upgrade_type;    /* client: what was asked for */
    struct header_map *filling; /* where the block being received goes */
    struct header *cookie;      /* in `filling`: the crumbs so far */
    size_t cookie_cap;          /* bytes that its value may grow to in place */
    struct h2_informational *informational;
    struct header_map *trailers; /* received */
    struct buf recv;             /* body that was not handed out */
    struct buf send;             /* body that nghttp2 has not framed */
    nghttp2_nv *send_trailers;   /* in the arena */
    size_t send_trailer_count;
};

static inline struct h2_conn *h2_from_codec(struct codec *c)
{
    struct h2_conn *h = container_of(c, struct h2_conn, base);

    CHECK(h->magic == H2_CONN_MAGIC);
    return h;
}

static inline const struct h2_conn *h2_from_const_codec(const struct codec *c)
{
    const struct h2_conn *h = (const void *)c; /* base comes first */

    CHECK(h->magic == H2_CONN_MAGIC);
    return h;
}

static inline struct h2_conn *h2_from_user(void *user)
{
    struct h2_conn *h = user;

    CHECK(h->magic == H2_CONN_MAGIC);
    return h;
}

static inline struct h2_stream *h2_from_stream(struct codec_stream *s)
{
    struct h2_stream *st = container_of(s, struct h2_stream, base);

    CHECK(st->magic == H2_STREAM_MAGIC);
    return st;
}

static inline void h2_count(struct h2_conn *h, enum h2_stat stat)
{
    if (h->base.limits.http2_stats != NULL) {
        stat_inc(h->base.limits.http2_stats, stat);
    }
}

static inline void h2_gauge(struct h2_conn *h, enum h2_stat stat, int64_t delta)
{
    if (h->base.limits.http2_stats != NULL) {
        stat_add(h->base.limits.http2_stats, stat, (uint64_t)delta);
    }
}

/* --- h2_callbacks.c, h2_setup.c ----------------------------------------------------------------
 */

/* The table of callbacks, to be deleted by the caller. */
nghttp2_session_callbacks *h2_callbacks_new(void);

struct h2_role {
    const struct codec_ops *ops;
    const struct codec_stream_ops *stream_ops;
    bool is_server;
};

/* With what a connection begins with in `out`. The rest is as codec.h says of its makers. */
struct codec *h2_codec_new(const struct h2_role *role, const struct codec_callbacks *callbacks,
                           void *owner, struct buf *out, const struct codec_limits *limits);

/* --- h2_session.c ----------------------------------------------------------------------------- */

void h2_enter(struct h2_conn *h);
void h2_leave(struct h2_conn *h);
/* nghttp2's frames into the output. Only from outside its callbacks. */
void h2_send(struct h2_conn *h);
/* Ends the connection's life at the next leave; the first reason stays. */
void h2_fail(struct h2_conn *h, uint32_t code, struct str details);
/* Of a known stream, or NULL. */
struct h2_stream *h2_find(struct h2_conn *h, int32_t id);
/* Not attached, not open, in `streams`. */
struct h2_stream *h2_stream_new(struct h2_conn *h);
void h2_stream_attach(struct h2_stream *st);
/* nghttp2 has opened it. */
void h2_stream_opened(struct h2_stream *st, int32_t id);
void h2_stream_mark_ready(struct h2_stream *st);
/* What it has not sent is given up. */
void h2_stream_drop_output(struct h2_stream *st);
/* Nobody refers to it any more: freed when the outermost call returns. */
void h2_stream_bury(struct h2_stream *st);
/* Tells the owner that it is over; `reason` counts only when `is_reset`. */
void h2_stream_end(struct h2_stream *st, bool is_reset, enum stream_reset_reason reason);
/* RST_STREAM at the next send. */
void h2_stream_submit_rst(struct h2_stream *st, uint32_t code);
/* Compares output and watermark; may call the owner. */
void h2_stream_check_watermark(struct h2_stream *st);

/* The parts of codec_ops and codec_stream_ops that are the same for both sides. */
int h2_dispatch(struct codec *c, struct buf *in, bool end_stream);
void h2_on_watermark(struct codec *c, bool is_above);
void h2_drain(struct codec *c);
void h2_goaway(struct codec *c, enum goaway_reason reason);
void h2_ping(struct codec *c);
void h2_connection_closed(struct codec *c, enum stream_reset_reason reason);
bool h2_should_close(const struct codec *c);
void h2_free(struct codec *c);
void h2_stream_reset(struct codec_stream *s, enum stream_reset_reason reason);
void h2_stream_read_disable(struct codec_stream *s, bool disable);

/* --- h2_headers.c ----------------------------------------------------------------------------- */

/* A block begins that goes to `map`. */
void h2_block_start(struct h2_stream *st, struct header_map *map);
/* 0, or NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE: the stream is reset. Name and value are nghttp2's.
 */
int h2_block_field(struct h2_stream *st, struct str name, struct str value);
/* The request's or response's head is complete: into the form that codec.h describes. */
void h2_request_head_done(struct h2_stream *st);
void h2_response_head_done(struct h2_stream *st);

/* --- h2_encode.c ------------------------------------------------------------------------------ */

/* nghttp2 asks for the body. */
ssize_t h2_read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                     uint32_t *flags, nghttp2_data_source *source, void *user);
/* nghttp2 has framed `length` bytes of it. */
int h2_send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                 size_t length, nghttp2_data_source *source, void *user);
/* Something may be sent on it again. */
void h2_stream_resume(struct h2_stream *st);
/* In a client's and a server's stream ops. */
void h2_encode_request(struct codec_stream *s, const struct header_map *h, bool end_stream);
void h2_encode_1xx(struct codec_stream *s, const struct header_map *h);
void h2_encode_response(struct codec_stream *s, const struct header_map *h, bool end_stream);
void h2_encode_data(struct codec_stream *s, struct buf *take_data, bool end_stream);
void h2_encode_trailers(struct codec_stream *s, const struct header_map *trailers);

/* --- h2_flood.c ------------------------------------------------------------------------------- */

/* A frame begins to arrive (HEADERS and CONTINUATION frames one by one); false: the connection has
 * failed. */
bool h2_flood_received(struct h2_conn *h, const nghttp2_frame_hd *hd, size_t padding);
/* A frame of `bytes` is about to go to the output; false likewise. */
bool h2_flood_queued(struct h2_conn *h, size_t bytes, bool is_control);
void h2_flood_done(struct h2_conn *h);

/* --- h2_history.c ----------------------------------------------------------------------------- */

void h2_history_open(struct h2_conn *h, uint32_t id);
void h2_history_end(struct h2_conn *h, uint32_t id, enum h2_past_end end);
/* A DATA or HEADERS frame of stream `id` begins; false: the connection has failed. */
bool h2_history_check(struct h2_conn *h, uint32_t id);
/* nghttp2 says nothing of DATA frames that it ignores. How many of these bytes may be fed before
 * h2_history_check must be asked about stream `*ret_id`; all of them: 0. */
size_t h2_history_scan(struct h2_conn *h, const uint8_t *bytes, size_t len, uint32_t *ret_id);

#endif
