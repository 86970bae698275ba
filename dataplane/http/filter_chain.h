#ifndef DATAPLANE_HTTP_FILTER_CHAIN_H
#define DATAPLANE_HTTP_FILTER_CHAIN_H

/*
 * Walks a stream's filters: requests from the first to the terminal one, responses back to the
 * first and on to the codec. A filter that stops closes its gate: what arrives there is held until
 * the filter continues. Each filter has a gate of its own per direction, so nothing overtakes.
 */

#include <stdbool.h>

#include "dataplane/http/stream.h"

enum chain_direction { CHAIN_DECODE, CHAIN_ENCODE };

/* Makes the stream's filters from the configuration, without those that are disabled for `route`.
 * Once per stream; the state of all is zeroed. */
void filter_chain_create(struct http_stream *s);
/* Calls on_stream_complete of each, once. */
void filter_chain_complete(struct http_stream *s);
/* Calls on_destroy of each, and drops what gates hold. */
void filter_chain_destroy(struct http_stream *s);

void filter_chain_decode_headers(struct http_stream *s, bool end_stream);
void filter_chain_decode_data(struct http_stream *s, struct buf *data, bool end_stream);
void filter_chain_decode_trailers(struct http_stream *s);

/* From the terminal filter's side. Headers and trailers are the stream's. */
void filter_chain_encode_1xx(struct http_stream *s, struct header_map *h);
void filter_chain_encode_headers(struct http_stream *s, bool end_stream);
void filter_chain_encode_data(struct http_stream *s, struct buf *data, bool end_stream);
void filter_chain_encode_trailers(struct http_stream *s);

/* `f` continues; harmless when it is not stopped. */
void filter_chain_continue(struct http_filter *f, enum chain_direction dir);
/* See http_filter_decoding_buffer and http_filter_add_encoded_data. */
struct buf *filter_chain_buffer(struct http_filter *f, enum chain_direction dir);
void filter_chain_add_data(struct http_filter *f, enum chain_direction dir, struct buf *take_data);
/* There is (no longer) more response than the client, or a filter that holds it back, can take.
 * Counted: filters are told of the first and of the last. */
void filter_chain_on_watermark(struct http_stream *s, bool is_above);

#endif
