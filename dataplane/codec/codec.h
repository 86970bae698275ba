#ifndef DATAPLANE_CODEC_CODEC_H
#define DATAPLANE_CODEC_CODEC_H

/*
 * The face that HTTP/1 and HTTP/2 (and later HTTP/3) share: bytes in, events out; messages in,
 * bytes out through a buf. No I/O, no timers. One codec per connection; one codec_stream per
 * request. All callbacks come from inside codec_dispatch (or, for resets, from inside the call that
 * provoked them); after each, the codec re-checks whether it has been closed.
 *
 * Tunnels have one form here, HTTP/1's, whatever the wire: an upgrade is a request with `upgrade`
 * and `connection: upgrade` whose response is 101; HTTP/2's extended CONNECT is turned into that
 * and back by its codec. A plain CONNECT has no path and is accepted with 2xx. From acceptance on,
 * data are the tunnel's bytes both ways and end_stream is half-close. Until then nothing behind the
 * request's head is handed out by a server codec, nor sent by an HTTP/1 client codec: bytes meant
 * for a tunnel that was refused reach nobody.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/buf.h"
#include "dataplane/base/str.h"
#include "dataplane/codec/header_map.h"

struct http1_options;
struct http2_options;
struct stat_block;

enum http_protocol { HTTP_10, HTTP_11, HTTP_2, HTTP_3 };
const char *http_protocol_name(enum http_protocol p); /* "HTTP/1.1" */

enum stream_reset_reason {
    RESET_LOCAL,                    /* we gave up */
    RESET_REMOTE,                   /* the peer did */
    RESET_REMOTE_REFUSED,           /* provably not processed */
    RESET_LOCAL_CONNECTION_FAILURE, /* could not be opened: our side (limits, no socket) */
    RESET_REMOTE_CONNECTION_FAILURE,
    RESET_CONNECTION_TIMEOUT,
    RESET_CONNECTION_TERMINATION, /* the connection closed under the stream */
    RESET_OVERFLOW,               /* circuit breaker */
    RESET_PROTOCOL_ERROR,
    RESET_CONNECT_ERROR, /* HTTP/2's CONNECT_ERROR: the tunnel's far end broke */
    RESET_NO_ERROR,      /* the response is complete, the rest of the request is not wanted */
};
const char *stream_reset_reason_name(enum stream_reset_reason r);
/* As the response code's details in logs: "upstream_reset_before_response_started{<reason>}", with
 * "|<transport>" after the reason where a transport failed; no white space, which would break the
 * fields of a log line. In `a`. */
struct str stream_reset_details(enum stream_reset_reason r, bool is_response_started,
                                struct str transport, struct arena *a);

/* Informational responses before the final one; more is an attack on our patience. */
#define INFORMATIONAL_MAX 32
/* Those that are passed on, as Envoy does; others are read past. */
static inline bool informational_is_passed_on(unsigned status)
{
    return status == 100 || (status >= 102 && status <= 104);
}

struct codec_stream;

/*
 * What the codec tells about one stream. `user` is codec_stream.user.
 * Client: after end_stream (or on_reset) the stream is over, even if its request was not complete
 * (the connection then closes): do not touch it again.
 */
struct codec_stream_callbacks {
    /* Server: the request head. Client: the final response head. In codec_stream.headers. */
    void (*on_headers)(void *user, bool end_stream);
    /* Client: an informational response (100, 103, not 101); headers live until it returns. */
    void (*on_1xx)(void *user, struct header_map *headers);
    /* Takes what it wants of `data`; the rest is dropped by the codec afterwards. */
    void (*on_data)(void *user, struct buf *data, bool end_stream);
    void (*on_trailers)(void *user, struct header_map *trailers); /* ends the stream */
    /* The stream is over abnormally; no callback afterwards. `details` is response_code_details
     * ("http1.codec_error", ...), static, may be empty. */
    void (*on_reset)(void *user, enum stream_reset_reason reason, struct str details);
    /* Output of this stream rose above (true) or fell to the low watermark (false). */
    void (*on_watermark)(void *user, bool is_above);
};

/* What one may tell a stream: the encoder. Implemented by each codec. Server: after end_stream was
 * encoded the codec ends the stream by itself (on_stream_end) once all of it is in the connection's
 * output, whether or not the request was complete; until then only `reset` may be called. */
struct codec_stream_ops {
    void (*encode_1xx)(struct codec_stream *s, const struct header_map *h);
    void (*encode_headers)(struct codec_stream *s, const struct header_map *h, bool end_stream);
    void (*encode_data)(struct codec_stream *s, struct buf *take_data, bool end_stream);
    void (*encode_trailers)(struct codec_stream *s, const struct header_map *trailers);
    /* Ends it abnormally without calling on_reset. */
    void (*reset)(struct codec_stream *s, enum stream_reset_reason reason);
    /* Counted. Stops on_data, and what follows it, for this stream (HTTP/1: the connection's reads;
     * HTTP/2: its window stays closed). */
    void (*read_disable)(struct codec_stream *s, bool disable);
    /* Body that waits here, either way. NULL: only the connection holds any. */
    size_t (*held_bytes)(const struct codec_stream *s);
};

struct codec_stream {
    const struct codec_stream_ops *ops;
    const struct codec_stream_callbacks *callbacks;
    void *user;
    void *owner_data; /* the connection owner's, from new_stream to on_stream_end; NULL at first */
    /* Set by the stream's owner before headers are decoded: where they go. */
    struct arena *arena;
    struct header_map *headers;
    uint32_t id;
    /* HTTP/2 client, set by who opened it: an answer that is complete does not end a request that
     * is not. For tunnels whose ways end on their own. */
    bool keeps_half_open;
    bool says_close; /* HTTP/1 client, at on_stream_end: the answer did, or its version does */
    enum http_protocol protocol; /* of the message received: HTTP/1.0 or 1.1 is known per head */
    uint64_t wire_bytes_in;      /* of this message: head, framing and body */
    uint64_t wire_bytes_out;
    uint64_t header_bytes_in;
    uint64_t header_bytes_out;
    /* Client and TCP, at on_stream_end: why it was reset, by either side (HTTP/1: by this one, also
     * where an answer came before the request was complete); RESET_NO_ERROR: it was not. */
    enum stream_reset_reason end_reason;
};

/* Errors on the whole connection, for the reply and the counters. */
struct codec_error {
    int status;         /* what a server should answer: 400, 426, 431, 501 */
    struct str details; /* Envoy's response_code_details: "http1.invalid_url", ... */
    struct str body;    /* Envoy's local reply body: "Bad Request", ... */
    bool is_outbound_flood;
};

enum goaway_reason { GOAWAY_NO_ERROR, GOAWAY_ENHANCE_YOUR_CALM };

struct codec;

/* The connection's owner (connection manager, or a pool's connection). */
struct codec_callbacks {
    /* Server: a request head begins. Sets s->callbacks, user, arena, headers. Returning false
     * refuses the stream (it is reset). */
    bool (*on_new_stream)(void *owner, struct codec_stream *s);
    /* A stream is over in both directions (complete or reset, by either side, also through
     * ops->reset); `s` dies now. Client: after the stream's own last callback; is_reusable then
     * tells whether the connection may carry another request. */
    void (*on_stream_end)(void *owner, struct codec_stream *s);
    /* Malformed bytes, or a flood; no further dispatch is possible. HTTP/2, both sides: what there
     * is to say (GOAWAY) is in the output, status is 0; `is_outbound_flood`: the peer does not
     * read, so nothing should be waited for. Streams are still open: close, with connection_closed.
     * May come from inside an encoding call. Client: NULL is allowed for HTTP/1, whose errors come
     * as a reset and E_PROTOCOL. HTTP/1 server: the stream is open (what was parsed of the head is
     * in its headers, on_headers may not have come) unless on_new_stream refused it; its on_reset
     * is not called: encode `e->status` with connection: close on it, if its response has not
     * begun, and close. */
    void (*on_error)(void *owner, const struct codec_error *e);
    void (*on_goaway)(void *owner); /* the peer wants no more streams: once; NULL: ignored */
    /* Client: whether and how many streams can be opened may have changed. NULL: ignored. */
    void (*on_capacity)(void *owner);
    /* Something received waits (HTTP/2: a stream is read again; HTTP/1: many came at once):
     * dispatch, with nothing new if need be, from the end of the turn. */
    void (*on_pending)(void *owner);
    /* The answer to ops->ping. NULL: ignored. */
    void (*on_ping_ack)(void *owner);
    /* Bytes were added to `out`. */
    void (*on_output)(void *owner);
    /* Reading from the socket should stop or go on (HTTP/1: backpressure, pipelining). */
    void (*on_read_disable)(void *owner, bool disable);
    /* A tunnel's bytes end: FIN once all output is written, while reading goes on (the owner
     * enables half-close with is_half_close_enabled when on_tunnel says so). HTTP/1 and TCP only.
     */
    void (*on_shutdown_write)(void *owner);
    /* The connection became a tunnel: FIN from the peer is half-close from here on. */
    void (*on_tunnel)(void *owner);
};

enum header_underscores { UNDERSCORES_ALLOW, UNDERSCORES_REJECT, UNDERSCORES_DROP };

/* What the configuration says about one connection. */
struct codec_limits {
    uint32_t max_headers_bytes; /* 60 KiB */
    uint32_t max_headers_count; /* 100 */
    /* HTTP/1: */
    uint8_t underscores;               /* enum header_underscores, requests only */
    const struct http1_options *http1; /* as http2; NULL: all defaults */
    /* HTTP/2: */
    const struct http2_options *http2; /* of the configuration that the connection pins */
    uint32_t stream_buffer_bytes;      /* watermark for what one stream has not sent yet */
    struct stat_block *http2_stats;    /* codec/h2_stats.h; NULL: nobody counts */
    struct stat_block *http1_stats;    /* codec/h1_stats.h; likewise */
};

struct codec_ops {
    /* Consumes from `in` what it can; what it leaves is to be offered again. `end_stream`: the peer
     * sent FIN, which may complete a response. Returns 0, E_PROTOCOL (on_error has been called, or
     * a client's stream was reset) or E_CLOSED (FIN where a message was not complete: streams still
     * open are reset by connection_closed). */
    int (*dispatch)(struct codec *c, struct buf *in, bool end_stream);
    /* Client: opens a stream; callbacks, user, arena and headers (the response's, initialised) are
     * the caller's. HTTP/1: one at a time. */
    struct codec_stream *(*new_stream)(struct codec *c, const struct codec_stream_callbacks *cb,
                                       void *user, struct arena *arena, struct header_map *headers);
    /* Client: whether another request may follow (HTTP/1: with no stream open, both messages were
     * complete, neither side said close, no byte is left over; HTTP/2: no GOAWAY in either
     * direction and stream ids left). */
    bool (*is_reusable)(const struct codec *c);
    /* Client: streams that may be open at the same time, as the peer and the configuration allow; 1
     * for HTTP/1. */
    uint32_t (*max_streams)(const struct codec *c);
    /* Tells the peer to go elsewhere, while its new streams are still taken: GOAWAY with the
     * highest stream id, or connection: close on the next response. */
    void (*drain)(struct codec *c);
    /* Takes no new streams from here on: GOAWAY with the last stream taken. NULL for HTTP/1. */
    void (*goaway)(struct codec *c, enum goaway_reason reason);
    /* HTTP/2 PING, answered by on_ping_ack; NULL for others. */
    void (*ping)(struct codec *c);
    /* The connection's output crossed a watermark: passed to the streams. */
    void (*on_watermark)(struct codec *c, bool is_above);
    /* Server: the connection can carry no further stream: close it once its output is flushed.
     * Valid from on_stream_end on. */
    bool (*should_close)(const struct codec *c);
    /* The connection is gone: resets open streams (on_reset with `reason`; an HTTP/1 response that
     * breaks off in the middle is a protocol error). */
    void (*connection_closed)(struct codec *c, enum stream_reset_reason reason);
    void (*free)(struct codec *c);
    enum http_protocol protocol;
};

struct codec {
    const struct codec_ops *ops;
    const struct codec_callbacks *callbacks;
    void *owner;
    struct buf *out; /* the connection's output */
    struct codec_limits limits;
};

#endif
