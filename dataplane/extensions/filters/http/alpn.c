/*
 * istio.alpn, Istio's filter: what a request offers as ALPN to its upstream, by the HTTP version
 * that is spoken there, so that the sidecar at the other end finds the chain for HTTP of its own
 * kind. Leaves the list in the filter state, where the router finds it. Worker threads; alpn_parse:
 * main thread.
 *
 * Trust: configuration only. Buffers: nothing.
 * Differs from Envoy: Envoy itself has no such filter; as Istio's proxy. An upstream_protocol that
 * is none of the enum's refuses the configuration (Istio's proxy ends).
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "dataplane/http/filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/upstream/request_transport.h"
#include "proto/istio/filters/http/alpn/config.pb-c.h"

typedef Istio__Envoy__Config__Filter__Http__Alpn__V2alpha1__FilterConfig alpn_message;
typedef Istio__Envoy__Config__Filter__Http__Alpn__V2alpha1__FilterConfig__AlpnOverride
    alpn_override;

#define PROTOCOL_DESCRIPTOR                                                                        \
    istio__envoy__config__filter__http__alpn__v2alpha1__filter_config__protocol__descriptor

enum alpn_protocol { ALPN_HTTP10, ALPN_HTTP11, ALPN_HTTP2, ALPN_PROTOCOL_COUNT }; /* the proto's */

struct alpn_config {
    struct str lists[ALPN_PROTOCOL_COUNT]; /* as the filter state has them; empty: as configured */
};

/* What is spoken to the cluster, as far as it is known before it is asked. */
static enum alpn_protocol alpn_protocol_of(const struct cluster_config *c,
                                           enum http_protocol downstream)
{
    switch (c->http_protocol) {
    case UPSTREAM_HTTP1:
        return ALPN_HTTP11;
    case UPSTREAM_HTTP2:
    case UPSTREAM_HTTP_AUTO: /* the one it prefers */
        return ALPN_HTTP2;
    case UPSTREAM_HTTP_DOWNSTREAM:
        break;
    }
    switch (downstream) {
    case HTTP_10:
        return ALPN_HTTP10;
    case HTTP_11:
        return ALPN_HTTP11;
    default:
        return ALPN_HTTP2;
    }
}

/* Cluster metadata istio: {alpn_override: "false"}. */
static bool alpn_is_switched_off(const struct cluster_config *c)
{
    const struct value *istio = c->metadata != NULL ? value_get(c->metadata, STR("istio")) : NULL;
    const struct value *says = istio != NULL ? value_get(istio, STR("alpn_override")) : NULL;

    return says != NULL && says->kind == VALUE_STRING && str_eq(says->string, STR("false"));
}

static const struct cluster_config *alpn_cluster(const struct http_filter *f,
                                                 const struct header_map *h)
{
    const struct route *route = http_filter_route(f);
    const struct cluster *c;
    struct str name;

    if (route == NULL || route->action != ROUTE_FORWARD) {
        return NULL;
    }
    c = cluster_manager_routed(http_filter_thread(f)->clusters, &route->forward,
                               http_filter_weighted_cluster(f), h, &name);
    return c != NULL ? cluster_config_of(c) : NULL;
}

static enum filter_status alpn_decode_headers(struct http_filter *f, struct header_map *h,
                                              bool end_stream)
{
    const struct alpn_config *config = f->config;
    const struct cluster_config *cluster = alpn_cluster(f, h);
    struct stream_info *info = http_filter_info(f);
    struct filter_state_object *o = f->state;
    struct str list;

    (void)end_stream;
    if (cluster == NULL || alpn_is_switched_off(cluster)) {
        return FILTER_CONTINUE;
    }
    list = config->lists[alpn_protocol_of(cluster, info->protocol)];
    if (list.len > 0 && filter_state_get(info, STR(UPSTREAM_ALPN_KEY)) == NULL) {
        o->name = STR(UPSTREAM_ALPN_KEY);
        o->plain = list;
        filter_state_add(info, o);
    }
    return FILTER_CONTINUE;
}

static struct str alpn_join(struct parse_context *ctx, const alpn_override *m)
{
    struct strbuf text;
    struct str list;

    strbuf_init(&text);
    for (size_t i = 0; i < m->n_alpn_override; i++) {
        strbuf_addf(&text, "%s%s", i > 0 ? "," : "", m->alpn_override[i]);
    }
    list = arena_str(parse_arena(ctx), strbuf_str(&text));
    strbuf_done(&text);
    return list;
}

static int alpn_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                      const void **ret_config)
{
    const alpn_message *m = (const alpn_message *)msg;
    struct alpn_config *c = ARENA_NEW(parse_arena(ctx), struct alpn_config);
    bool is_given[ALPN_PROTOCOL_COUNT] = {false};

    for (size_t i = 0; i < m->n_alpn_override; i++) {
        int protocol = (int)m->alpn_override[i]->upstream_protocol;
        size_t at = path_push_index(ctx, "alpn_override", i);
        int r = parse_check_enum(ctx, "upstream_protocol", protocol, &PROTOCOL_DESCRIPTOR);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
        if (!is_given[protocol]) { /* of two for one protocol the first counts */
            is_given[protocol] = true;
            c->lists[protocol] = alpn_join(ctx, m->alpn_override[i]);
        }
    }
    *ret_config = c;
    return 0;
}

const struct http_filter_type http_filter_alpn = {
    .ext =
        {
            .name = "istio.alpn",
            .category = EXT_HTTP_FILTER,
            .descriptor =
                &istio__envoy__config__filter__http__alpn__v2alpha1__filter_config__descriptor,
            .parse = alpn_parse,
        },
    .stream_size = sizeof(struct filter_state_object),
    .decode_headers = alpn_decode_headers,
};

#undef PROTOCOL_DESCRIPTOR
