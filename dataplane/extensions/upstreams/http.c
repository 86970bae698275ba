/*
 * HttpProtocolOptions of a cluster: which HTTP its upstreams speak, and with what limits. Only the
 * configuration; the pools are in upstream/. Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: HTTP/3 is refused; connections go out with the limits of README, "Differs
 * from Envoy", where the configuration is silent.
 */

#include "config/model/cluster.h"
#include "config/parse/context.h"
#include "config/parse/protocol.h"
#include "proto/envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions Options;
typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions__ExplicitHttpConfig Explicit;

#define CASE(suffix)                                                                               \
    ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_##suffix
#define EXPLICIT_CASE(suffix)                                                                      \
    ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_##suffix

static int parse_versions(struct parse_context *ctx,
                          const Envoy__Config__Core__V3__Http1ProtocolOptions *http1,
                          const Envoy__Config__Core__V3__Http2ProtocolOptions *http2,
                          struct upstream_http_options *o)
{
    int r = parse_http1_options(ctx, http1, false, &o->http1);

    if (r < 0) {
        return r;
    }
    return parse_http2_options(ctx, "http2_protocol_options", http2, false,
                               (struct opt_bool){.is_set = false}, &o->http2);
}

static int parse_explicit(struct parse_context *ctx, const Explicit *m,
                          struct upstream_http_options *o)
{
    switch (m->protocol_config_case) {
    case EXPLICIT_CASE(HTTP_PROTOCOL_OPTIONS):
        return parse_versions(ctx, m->http_protocol_options, NULL, o);
    case EXPLICIT_CASE(HTTP2_PROTOCOL_OPTIONS):
        o->protocol = UPSTREAM_HTTP2;
        return parse_versions(ctx, NULL, m->http2_protocol_options, o);
    default:
        return parse_fail(ctx, E_INVALID, "protocol_config", "value is required");
    }
}

static int parse_protocol(struct parse_context *ctx, const Options *m,
                          struct upstream_http_options *o)
{
    size_t at;
    int r;

    switch (m->upstream_protocol_options_case) {
    case CASE(EXPLICIT_HTTP_CONFIG):
        at = path_push(ctx, "explicit_http_config");
        r = parse_explicit(ctx, m->explicit_http_config, o);
        break;
    case CASE(USE_DOWNSTREAM_PROTOCOL_CONFIG):
        o->protocol = UPSTREAM_HTTP_DOWNSTREAM;
        at = path_push(ctx, "use_downstream_protocol_config");
        r = parse_versions(ctx, m->use_downstream_protocol_config->http_protocol_options,
                           m->use_downstream_protocol_config->http2_protocol_options, o);
        break;
    case CASE(AUTO_CONFIG): /* the cluster checks its transport socket */
        o->protocol = UPSTREAM_HTTP_AUTO;
        at = path_push(ctx, "auto_config");
        r = parse_versions(ctx, m->auto_config->http_protocol_options,
                           m->auto_config->http2_protocol_options, o);
        break;
    default:
        return parse_fail(ctx, E_INVALID, "upstream_protocol_options", "value is required");
    }
    path_pop(ctx, at);
    return r;
}

static int http_options_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                              const void **ret_config)
{
    const Options *m = (const Options *)msg;
    struct upstream_http_options *o = ARENA_NEW(parse_arena(ctx), struct upstream_http_options);
    int r;

    o->has_common = m->common_http_protocol_options != NULL;
    r = parse_http_options(ctx, "common_http_protocol_options", m->common_http_protocol_options,
                           &o->common);
    if (r == 0) {
        r = parse_upstream_http_options(ctx, m->upstream_http_protocol_options, o);
    }
    if (r == 0) {
        r = parse_protocol(ctx, m, o);
    }
    if (r == 0) {
        *ret_config = o;
    }
    return r;
}

const struct extension upstream_options_http = {
    .name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    .category = EXT_UPSTREAM_OPTIONS,
    .descriptor = &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
    .parse = http_options_parse,
};
