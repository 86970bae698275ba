#ifndef CONFIG_PARSE_PROTOCOL_H
#define CONFIG_PARSE_PROTOCOL_H

/*
 * The options of HTTP (envoy/config/core/v3/protocol.proto), of a connection manager or a cluster,
 * to model values. `field` is the name of the field that holds the message. Main thread.
 */

#include "config/model/cluster.h"
#include "config/model/core.h"
#include "config/parse/context.h"
#include "proto/envoy/config/core/v3/protocol.pb-c.h"

/* type.v3.Percent, 0 to 100. NULL leaves `ret` as it is. */
int parse_percent(struct parse_context *ctx, const char *field, const Envoy__Type__V3__Percent *m,
                  double *ret) MUST_CHECK;

/* common_http_protocol_options. NULL gives all unset. */
int parse_http_options(struct parse_context *ctx, const char *field,
                       const Envoy__Config__Core__V3__HttpProtocolOptions *m,
                       struct http_options *ret) MUST_CHECK;

/* upstream_http_protocol_options: the last three fields of `ret`. NULL leaves them as they are. */
int parse_upstream_http_options(struct parse_context *ctx,
                                const Envoy__Config__Core__V3__UpstreamHttpProtocolOptions *m,
                                struct upstream_http_options *ret) MUST_CHECK;

/* HTTP/1, `field` being http_protocol_options. NULL gives the defaults. `stream_error` is what
 * holds unless the message overrides it: the connection manager's
 * stream_error_on_invalid_http_message. */
int parse_http1_options(struct parse_context *ctx,
                        const Envoy__Config__Core__V3__Http1ProtocolOptions *m, bool stream_error,
                        struct http1_options *ret) MUST_CHECK;

/* HTTP/2. NULL gives the defaults of that side. `stream_error` as for HTTP/1, but here unset
 * differs from false: where it is set, the message's deprecated field does not count. */
int parse_http2_options(struct parse_context *ctx, const char *field,
                        const Envoy__Config__Core__V3__Http2ProtocolOptions *m, bool is_server,
                        struct opt_bool stream_error, struct http2_options *ret) MUST_CHECK;

#endif
