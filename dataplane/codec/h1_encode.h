#ifndef DATAPLANE_CODEC_H1_ENCODE_H
#define DATAPLANE_CODEC_H1_ENCODE_H

/*
 * Writing HTTP/1 messages. A head is formatted in one run of memory; lines that came from HTTP/1
 * and were not touched are copied as they stand, neighbours together. Connection and
 * Transfer-Encoding of the map never go out: the codec writes its own. Names go out in lower case,
 * unless the map keeps their spelling or they are to be written X-Like-This.
 */

#include "dataplane/base/buf.h"
#include "dataplane/codec/header_map.h"

/* What a codec adds behind the map's fields; whole lines with CR LF. The map's Connection field is
 * not copied: h1_connection_line makes one of it, for upgrades. */
struct h1_head_tail {
    struct str connection;
    struct str framing;
    bool is_proper_case; /* names go out X-Like-This, unless the map keeps theirs */
};

const char *h1_reason_phrase(unsigned status);
struct str h1_connection_line(const struct header_map *m, struct arena *a);
/* Both return the bytes of the fields, without start line and last line. */
size_t h1_encode_response_head(struct buf *out, bool is_http10, unsigned status,
                               const struct header_map *m, const struct h1_head_tail *tail);
/* :method, :path (CONNECT: :authority) and Host come from the map; with `is_absolute` also the
 * target's scheme and host. */
size_t h1_encode_request_head(struct buf *out, const struct header_map *m, bool is_absolute,
                              const struct h1_head_tail *tail);
/* One chunk; empty data writes nothing. */
void h1_encode_chunk(struct buf *out, struct buf *take_data);
/* `trailers` may be NULL. Returns the bytes of their fields. */
size_t h1_encode_last_chunk(struct buf *out, const struct header_map *trailers);

#endif
