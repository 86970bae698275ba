#ifndef DATAPLANE_HTTP_STREAM_INTERNAL_H
#define DATAPLANE_HTTP_STREAM_INTERNAL_H

/* Shared by stream.c (the request's side) and stream_response.c (the response's). */

#include "dataplane/http/stream.h"

/* Checks the magic. */
struct http_stream *stream_from(void *p);
/* Bytes moved: the idle deadline starts anew. */
void stream_touch(struct http_stream *s);
/* The response is complete here, and has to reach the client in time: as Envoy, the route's
 * flush_timeout, else the connection manager's, else its stream_idle_timeout. */
void stream_await_flush(struct http_stream *s);

/* --- stream_log.c ------------------------------------------------------------------------- */

/* Tells the access logs, with what the codec has counted. */
void stream_log(struct http_stream *s, enum access_log_type type);
/* A new request, before its filters; from here on in between, if that is wanted. */
void stream_log_start(struct http_stream *s);
/* The stream ends: takes the codec's last counts. */
void stream_log_stop(struct http_stream *s);

#endif
