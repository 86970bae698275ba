#ifndef DATAPLANE_HTTP_FILTER_H
#define DATAPLANE_HTTP_FILTER_H

/*
 * The HTTP filter interface. A filter is a const descriptor plus per-stream state in the stream's
 * arena. Requests run down the chain (decode), responses back up (encode). NULL callback = pass
 * through. The last filter is terminal (the router): it answers with the stream_encode_* calls.
 *
 * Statuses: FILTER_CONTINUE hands on; FILTER_STOP keeps headers here and later body pieces wait
 * in the stream's buffer up to its watermark (reads stop above it); FILTER_STOP_AND_BUFFER the
 * same, but the body keeps coming to this filter's *_data up to the buffer limit, above which the
 * stream answers 413 (request) or 500 (response). A stopped filter goes on through
 * http_filter_continue_decoding / _encoding, from any later callback.
 *
 * A data callback may take bytes out of its buf and put others in; what it takes out without end of
 * stream is simply not passed on.
 *
 * After http_filter_local_reply the filter must return FILTER_STOP and touch nothing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "config/model/extension.h"
#include "config/model/route.h"
#include "dataplane/base/buf.h"
#include "dataplane/codec/codec.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/stream_info/stream_info.h"

struct http_filter;
struct http_stream;
struct thread_context;

enum filter_status { FILTER_CONTINUE, FILTER_STOP, FILTER_STOP_AND_BUFFER };

struct http_filter_type {
    struct extension ext;
    size_t stream_size; /* state per stream, zeroed */
    enum filter_status (*decode_headers)(struct http_filter *f, struct header_map *h,
                                         bool end_stream);
    enum filter_status (*decode_data)(struct http_filter *f, struct buf *data, bool end_stream);
    enum filter_status (*decode_trailers)(struct http_filter *f, struct header_map *trailers);
    enum filter_status (*encode_1xx)(struct http_filter *f, struct header_map *h);
    enum filter_status (*encode_headers)(struct http_filter *f, struct header_map *h,
                                         bool end_stream);
    enum filter_status (*encode_data)(struct http_filter *f, struct buf *data, bool end_stream);
    enum filter_status (*encode_trailers)(struct http_filter *f, struct header_map *trailers);
    /* Downstream cannot take more response (true) or can again (false): terminal filters pause
     * the upstream. */
    void (*on_downstream_watermark)(struct http_filter *f, bool is_above);
    /* The stream is about to be logged, or its response is complete, though the client may take
     * long to read it: the last moment to write into its stream_info, and to end what works for
     * it. Nothing may be sent or answered any more. Called once. */
    void (*on_stream_complete)(struct http_filter *f);
    /* The stream is over; timers and side calls must be gone when this returns. State memory is
     * the stream's. Called once, also when decode_headers never ran for this filter. */
    void (*on_destroy)(struct http_filter *f);
};

struct filter_gate; /* http/filter_chain.c */

struct http_filter {
    const struct http_filter_type *type;
    const void *config;
    struct str name; /* as configured: the key of per-route configuration */
    struct http_stream *stream;
    void *state; /* type->stream_size bytes */
    /* Private to the filter chain: what is held back here, decode and encode; NULL: never
     * stopped. */
    struct filter_gate *gates[2];
};

/* What a filter may ask of its stream. */
struct thread_context *http_filter_thread(const struct http_filter *f);
struct arena *http_filter_arena(const struct http_filter *f);
struct stream_info *http_filter_info(const struct http_filter *f);
struct header_map *http_filter_request_headers(const struct http_filter *f);
/* The route chosen for this request; NULL for none. Fixed for the stream once computed (first
 * use), with the route table pinned. */
const struct route *http_filter_route(const struct http_filter *f);
const struct virtual_host *http_filter_virtual_host(const struct http_filter *f);
const struct route_config *http_filter_route_config(const struct http_filter *f);
/* The chosen member of the route's weighted clusters; NULL when the route has none. */
const struct weighted_cluster *http_filter_weighted_cluster(const struct http_filter *f);
/* Forgets the route: the next question for it matches again, with the headers as they are then. */
void http_filter_clear_route(struct http_filter *f);
/* The client's address as seen by this connection, TLS or not. */
bool http_filter_is_downstream_tls(const struct http_filter *f);
/* :scheme is to say whether the upstream's connection is encrypted. */
bool http_filter_scheme_matches_upstream(const struct http_filter *f);
/* TLVs of its PROXY header that are to go on upstream; empty: none. */
struct str http_filter_proxy_tlvs(const struct http_filter *f);
/* Most specific per-route configuration for this filter's name (weighted cluster, route, virtual
 * host, table) or NULL. */
const void *http_filter_override(const struct http_filter *f);
void http_filter_continue_decoding(struct http_filter *f);
void http_filter_continue_encoding(struct http_filter *f);
/* What of the body is held back at this filter: NULL or empty for nothing. A filter may change it
 * inside a callback of its own that then returns FILTER_CONTINUE. */
struct buf *http_filter_decoding_buffer(struct http_filter *f);
struct buf *http_filter_encoding_buffer(struct http_filter *f);
/* In encode_trailers: more body, which the filters above see before the trailers. Trailers that a
 * filter has emptied end the message without any. */
void http_filter_add_encoded_data(struct http_filter *f, struct buf *take_data);
/* Answers instead of the upstream; once a response has begun, resets the stream instead. `details`
 * is static or lives in the stream's arena; body and extra headers are copied. As Envoy, the
 * response passes all filters' encode path; from the terminal filter it also gets the route's
 * response_headers_to_add. */
void http_filter_local_reply(struct http_filter *f, int status, struct str body,
                             const struct header_map *extra_headers, enum response_flag flag,
                             struct str details);
#define FLAG_NONE FLAG_COUNT
/* Terminal filter: the response. Headers are the stream's own map from here on. */
void http_filter_respond_1xx(struct http_filter *f, struct header_map *h);
void http_filter_respond_headers(struct http_filter *f, struct header_map *take_headers,
                                 bool end_stream);
void http_filter_respond_data(struct http_filter *f, struct buf *take_data, bool end_stream);
void http_filter_respond_trailers(struct http_filter *f, struct header_map *take_trailers);
/* Terminal filter: the upstream died after the response head: reset the downstream stream. */
void http_filter_reset_stream(struct http_filter *f, enum response_flag flag, struct str details);
/* Counts in the connection manager's series (enum conn_manager_stat). */
void http_filter_count(struct http_filter *f, int stat);
/* Terminal filter, first thing in decode_headers: the answer that the route itself gives, sent
 * (redirect, direct response, 404 without a route), or ROUTE_ANSWER_NONE: forward it.
 * `keeps_original`: x-envoy-original-path for the log, where a redirect rewrites the path. */
enum route_answer {
    ROUTE_ANSWER_NONE,
    ROUTE_ANSWER_NO_ROUTE,
    ROUTE_ANSWER_REDIRECT,
    ROUTE_ANSWER_DIRECT_RESPONSE,
};
enum route_answer http_filter_answer_from_route(struct http_filter *f, bool keeps_original);
/* Terminal filter, before the request goes out: the header operations of weighted cluster, route,
 * virtual host and table, then host and path rewriting. `keeps_original`: also
 * x-envoy-original-host and -path, Envoy's default (suppress_envoy_headers is off). */
void http_filter_finalize_request(struct http_filter *f, bool keeps_original);
/* Terminal filter: the response's header operations, on the upstream's head before it is passed
 * on. */
void http_filter_finalize_response(struct http_filter *f, struct header_map *h);
/* Replaces :authority as a host rewrite does (auto_host_rewrite, once the host is chosen). */
void http_filter_rewrite_host(struct http_filter *f, struct str host, bool keeps_original);
/* Backpressure towards the client: counted. */
void http_filter_read_disable(struct http_filter *f, bool disable);
/* Bytes that the stream may hold back: per_connection_buffer_limit_bytes; as Envoy, the route's
 * request_body_buffer_limit where that is more. */
size_t http_filter_buffer_limit(const struct http_filter *f);
/* Bytes of the request's body that may be kept for another attempt: the route's, else those. */
size_t http_filter_repeat_limit(const struct http_filter *f);

#endif
