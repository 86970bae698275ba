#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_GRPC_WEB_GRPC_WEB_TEXT_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_GRPC_WEB_GRPC_WEB_TEXT_H

/*
 * gRPC-Web's text form, both ways, as a body streams: base64, in which each message of a response
 * is padded on its own. Nothing is held back but what does not fill a group.
 */

#include "dataplane/base/base64.h"
#include "dataplane/base/buf.h"
#include "dataplane/codec/grpc_frames.h"

/* Turns `data` into what it spells. As Envoy: padding may stand only where `data` ends (but for a
 * group that goes on in the next one). Returns 0 or E_PROTOCOL. A body may end where d->count is 0.
 */
int grpc_web_text_decode(struct base64_decoder *d, struct buf *data) MUST_CHECK;

/* All zeroes begins. */
struct grpc_web_text_encoder {
    struct base64_encoder base64;
    struct grpc_frame_counter frames;
};

/* Turns `data` into text; the end of the body completes an incomplete message. */
void grpc_web_text_encode(struct grpc_web_text_encoder *e, struct buf *data, bool end_stream);

#endif
