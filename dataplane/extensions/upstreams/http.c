/*
 * HttpProtocolOptions of a cluster: which HTTP its upstreams speak, and with what limits. Only the
 * configuration; the pools are in upstream/. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: there is no HTTP/2 pool yet: requests to a cluster that asks for it are
 * answered 503 with that reason; use_downstream_protocol_config speaks HTTP/1.
 */

#include "config/model/cluster.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "proto/envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions Options;
typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions__ExplicitHttpConfig Explicit;

static int parse_explicit(struct parse_context *ctx, const Explicit *m,
                          struct upstream_http_options *o)
{
    switch (m->protocol_config_case) {
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS:
        o->http1 = parse_http1_options(ctx, m->http_protocol_options);
        return 0;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS:
        o->protocol = UPSTREAM_HTTP2;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "protocol_config", "value is required");
    }
}

static int http_options_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                              const void **ret_config)
{
    const Options *m = (const Options *)msg;
    struct upstream_http_options *o = ARENA_NEW(parse_arena(ctx), struct upstream_http_options);
    size_t at;
    int r;

    o->http2 = http2_options_defaults(false);
    o->has_common = m->common_http_protocol_options != NULL;
    r = parse_http_options(ctx, "common_http_protocol_options", m->common_http_protocol_options,
                           &o->common);
    if (r != 0) {
        return r;
    }
    switch (m->upstream_protocol_options_case) {
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG:
        at = path_push(ctx, "explicit_http_config");
        r = parse_explicit(ctx, m->explicit_http_config, o);
        path_pop(ctx, at);
        break;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG:
        o->protocol = UPSTREAM_HTTP_DOWNSTREAM;
        o->http1 =
            parse_http1_options(ctx, m->use_downstream_protocol_config->http_protocol_options);
        break;
    default:
        return parse_fail(ctx, E_INVALID, "upstream_protocol_options", "value is required");
    }
    *ret_config = o;
    return r;
}

const struct extension upstream_options_http = {
    .name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    .category = EXT_UPSTREAM_OPTIONS,
    .descriptor = &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
    .parse = http_options_parse,
};
