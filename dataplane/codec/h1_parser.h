#ifndef DATAPLANE_CODEC_H1_PARSER_H
#define DATAPLANE_CODEC_H1_PARSER_H

/*
 * RFC 9112 message heads, trailers and chunked framing: strict, incremental, no I/O.
 *
 * A head's bytes are copied once into the stream's arena and parsed there line by line; names are
 * lower-cased in place and the header map's slices point there. A line that is not complete yet is
 * looked at again only once its LF has come, so bytes that trickle in cost no more than bytes that
 * come together; what can be no part of a message is refused at once.
 *
 * Refusals carry Envoy's status and response_code_details. Stricter than Envoy (BalsaParser): bare
 * LF, CR inside a line, obsolete line folding, other whitespace than one SP in the start line, more
 * than one Host, bytes in chunk framing that RFC 9112 does not allow.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/core.h"
#include "dataplane/base/arena.h"
#include "dataplane/codec/codec.h"
#include "dataplane/codec/header_case.h"
#include "dataplane/codec/header_map.h"

enum h1_kind { H1_REQUEST, H1_RESPONSE, H1_TRAILERS };

/* What delimits the body that follows a head (RFC 9112, 6.3). */
enum h1_framing { H1_BODY_NONE, H1_BODY_LENGTH, H1_BODY_CHUNKED, H1_BODY_UNTIL_CLOSE };

struct h1_parser {
    struct arena *arena;
    struct header_map *headers; /* NULL (trailers only): checked and dropped */
    const struct http1_options *options;
    struct header_case *header_case; /* NULL: names are forgotten as they came */
    char *line;                      /* first byte of the line that is to be parsed */
    char *end;                       /* behind the last byte copied; a NUL stands there */
    char *cap;                       /* where `end` may go; H1_SCAN_SLACK bytes follow */
    const struct codec_error *error;
    struct str target; /* request target as sent */
    uint64_t content_length;
    uint32_t max_bytes;
    uint32_t max_count;
    uint32_t head_bytes;  /* of complete lines */
    uint32_t field_bytes; /* as h1_field_bytes(), without fields 0 */
    uint32_t field_count;
    uint32_t dropped_count; /* fields that were left out for the underscores in their names */
    uint16_t status;        /* response */
    uint8_t kind;
    uint8_t underscores; /* enum header_underscores */
    uint8_t host_count;
    uint8_t transfer_encoding_count;
    bool is_start_line_done;
    bool has_content_length;
    bool is_http11;
    bool is_chunked;             /* the one transfer coding is "chunked" */
    bool wants_close;            /* Connection or Proxy-Connection: close */
    bool wants_keep_alive;       /* Connection: keep-alive */
    bool wants_upgrade;          /* Connection: upgrade */
    bool has_connection_options; /* others than those three */
    bool is_head;                /* method, request */
    bool is_connect;
    bool is_options;
};

/* Where codec_limits names none. */
extern const struct http1_options h1_default_options;

/* Begins a message; `headers` has been initialised, `arena` is its own. limits->http1 outlives it.
 */
void h1_parser_start(struct h1_parser *p, enum h1_kind kind, const struct codec_limits *limits,
                     struct arena *arena, struct header_map *headers);
/* Takes bytes. 0: the head is complete; E_AGAIN: all were taken, more are needed; E_PROTOCOL:
 * p->error says why. `*ret_used` is how many were taken, set in all cases. */
int h1_parser_feed(struct h1_parser *p, const char *data, size_t len, size_t *ret_used) MUST_CHECK;
/* Of a complete head or trailer section, as Envoy counts: names and values, three more for each
 * field, and as many for a section without one. */
uint32_t h1_field_bytes(const struct h1_parser *p);
/* Whether it has been fed anything. */
static inline bool h1_parser_has_begun(const struct h1_parser *p)
{
    return p->head_bytes > 0 || p->end != p->line;
}
/* After a complete request head: checks its framing, Host, target and Connection header, sets
 * :authority, :path and (absolute-form) :scheme. E_PROTOCOL. */
int h1_request_finish(struct h1_parser *p, enum h1_framing *ret_framing) MUST_CHECK;
/* After a complete response head; `is_head`: of the request. Statuses below 200 have no body. */
int h1_response_finish(struct h1_parser *p, bool is_head, enum h1_framing *ret_framing) MUST_CHECK;

/* Chunked framing (RFC 9112, 7.1) up to the trailers. */
struct h1_chunks {
    uint64_t remaining; /* data of the chunk that has not come: 0 while framing is read */
    uint64_t size;      /* as read so far */
    uint32_t line_bytes;
    uint8_t state;
    uint8_t digits;
};

void h1_chunks_start(struct h1_chunks *c);
/* Takes framing bytes. 0: `*ret_used` were taken and c->remaining bytes of data follow (the caller
 * takes them and counts `remaining` down to 0 before the next call); 1: the last chunk's line is
 * over, trailers follow; E_AGAIN: all were taken; E_PROTOCOL. */
int h1_chunks_feed(struct h1_chunks *c, const char *data, size_t len, size_t *ret_used) MUST_CHECK;

#endif
