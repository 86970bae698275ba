#ifndef DATAPLANE_HTTP_STREAM_H
#define DATAPLANE_HTTP_STREAM_H

/*
 * One request and its response, from the first byte of the head to the access log. Lives in its
 * own arena, as that arena's first allocation, and is freed at the end of the turn in which it
 * ended. The connection manager's thread.
 *
 *   codec ── on_headers ──► stream: request steps ──► filter chain, decode ──► terminal filter
 *     ▲                                                                          │
 *     └── encode ◄── stream: response steps ◄── filter chain, encode ◄── http_filter_respond_*
 *
 * After any call that runs filters or the codec, the stream may have ended: ask stream_has_ended.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/part_handle.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/list.h"
#include "dataplane/codec/codec.h"
#include "dataplane/event/deferred.h"
#include "dataplane/http/conn_manager_config.h"
#include "dataplane/http/filter.h"
#include "dataplane/http/route.h"
#include "dataplane/stream_info/access_log.h"
#include "dataplane/stream_info/stream_info.h"

#define HTTP_STREAM_MAGIC MAGIC('H', 'S', 'T', 'R')
#define NO_DEADLINE UINT64_MAX

struct conn_manager;

enum stream_phase {
    STREAM_READING_HEAD,
    STREAM_DECODING, /* the head is there; filters run */
    STREAM_ENDED,
};

enum response_phase {
    RESPONSE_NONE,
    RESPONSE_STARTED, /* the final head was given to the codec */
    RESPONSE_COMPLETE,
};

struct http_stream {
    uint32_t magic;
    uint8_t phase;    /* enum stream_phase */
    uint8_t response; /* enum response_phase */
    bool is_request_complete;
    bool is_head_request;
    bool is_grpc_request;
    bool wants_close;     /* the connection closes after this response */
    bool has_filters;     /* the chain was created */
    bool has_route;       /* `match` is decided */
    bool is_decode_cut;   /* a local reply was sent: filters see no more of the request */
    bool is_encode_cut;   /* a local reply replaces a response that filters held back */
    bool is_direct_reply; /* it goes to the codec past the filters */
    bool has_head;        /* the request's head is complete */
    bool has_told_end;    /* they were told that it is over */
    bool is_upgrade;      /* it may become a tunnel */
    bool is_upgrade_refused;
    bool is_tunnel; /* it has become one */
    uint8_t filter_count;
    uint32_t connect_port; /* stripped from a CONNECT's host: where it leads; 0: none was */
    uint32_t read_disable_count;
    uint32_t watermark_count; /* reasons why the response should pause */

    struct conn_manager *cm;
    struct list node;           /* in cm->streams */
    struct codec_stream *codec; /* NULL once it is over */
    struct arena arena;         /* this struct lies in it */
    struct http_filter *filters;
    const struct http_upgrade_config *upgrade; /* its filters are passed; NULL: the usual ones */
    struct header_map request_headers;
    struct header_map *request_trailers;
    struct header_map *response_headers;
    struct header_map *response_trailers;

    const struct route_config *table;   /* NULL: there is none yet */
    struct part_handle *table_pin;      /* NULL for inline tables */
    struct stream_log_timer *log_timer; /* stream_log.c; NULL: logged at the end only */
    struct route_match match;
    uint64_t random;

    /* Loop milliseconds; NO_DEADLINE for none. The connection's one timer watches them. */
    uint64_t head_deadline_ms;
    uint64_t request_deadline_ms;
    uint64_t duration_deadline_ms;
    uint64_t idle_deadline_ms;
    uint64_t idle_timeout_ms;    /* 0: none */
    struct opt_ms flush_timeout; /* the route's; unset: the connection manager's */

    struct stream_info info;
    struct deferred deferred;
};

/* Counts it, adds it to cm->streams. */
struct http_stream *stream_new(struct conn_manager *cm, struct codec_stream *cs);
static inline bool stream_has_ended(const struct http_stream *s)
{
    return s->phase == STREAM_ENDED;
}
/* The codec stream is complete or reset: logs, frees. Harmless when it has ended. */
void stream_end(struct http_stream *s);
/* Handles deadlines that have passed; the stream may have ended afterwards. */
void stream_check_deadlines(struct http_stream *s, uint64_t now_ms);
uint64_t stream_next_deadline(const struct http_stream *s);

/* Answers in place of the upstream, see local_reply.h. */
struct local_reply;
void stream_local_reply(struct http_stream *s, const struct local_reply *reply);
/* Ends a stream whose response has begun: the client sees a broken message. */
void stream_reset(struct http_stream *s);
/* The route for this request; decided at the first call. */
const struct route *stream_route(struct http_stream *s);
struct access_log_entry stream_log_entry(const struct http_stream *s);
/* Now, no earlier than the start: the loop's clock, without a system call. */
uint64_t stream_coarse_ns(const struct http_stream *s);

/* The end of the encode chain: what goes to the codec. */
void stream_send_1xx(struct http_stream *s, struct header_map *h);
void stream_send_headers(struct http_stream *s, bool end_stream);
void stream_send_data(struct http_stream *s, struct buf *take_data, bool end_stream);
void stream_send_trailers(struct http_stream *s, struct header_map *trailers);

/* Counted backpressure towards the client. */
void stream_read_disable(struct http_stream *s, bool disable);

struct loop *stream_loop(const struct http_stream *s);

#endif
