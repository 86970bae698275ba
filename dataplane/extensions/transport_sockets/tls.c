/*
 * envoy.transport_sockets.tls, both sides: reads the contexts (main thread); the sockets are
 * dataplane/tls's.
 *
 * Trust: peers are what the configuration makes of them; a context that checks nothing accepts
 * everybody, as Envoy's. Buffers: one record, while it is incomplete.
 * Differs from Envoy: allow_renegotiation is accepted, an attempt closes the connection;
 * enforce_rsa_key_usage cannot be switched off.
 */

#include "config/parse/tls_context.h"
#include "dataplane/tls/context.h"
#include "dataplane/tls/socket.h"

/* Against the certificates that are there already; those that come later are held against it. */
static int check_certificates(struct parse_context *ctx, const struct tls_context *c,
                              const struct tls_common *common, struct error *reterr)
{
    for (size_t i = 0; i < common->certificate_slot_count; i++) {
        const struct part *secret = parse_accepted(ctx, PART_SECRET, common->certificate_slots[i]);
        int r = secret != NULL
                    ? tls_context_check_secret(c, (const struct secret_config *)secret, reterr)
                    : 0;

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The context of one side, counted below "<kind>.<name>.". Without a builder (unit tests) there is
 * none. */
static int build(struct parse_context *ctx, struct tls_context_params *params, const char *kind,
                 struct str tag, struct str name, const void **ret_config)
{
    const struct tls_context *context = NULL;
    struct strbuf prefix;
    struct error err;
    int r;

    if (ctx->tls == NULL) {
        return 0;
    }
    strbuf_init(&prefix);
    strbuf_addf(&prefix, "%s%.*s.", kind, STR_ARG(name));
    params->stats = ctx->stats;
    params->stat_scope = (struct stat_scope_spec){
        .prefix = strbuf_str(&prefix),
        .tagged_prefix = str_c(kind),
        .tags = {{tag, name}},
        .tag_count = 1,
    };
    error_init(&err);
    r = tls_context_build(ctx->part, params, &context, &err);
    if (r == 0) {
        r = check_certificates(
            ctx, context,
            params->server != NULL ? &params->server->common : &params->client->common, &err);
    }
    if (r < 0) {
        r = parse_fail(ctx, r, NULL, "%s", error_message(&err));
    }
    error_done(&err);
    strbuf_done(&prefix);
    *ret_config = context;
    return r;
}

static int downstream_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                            const void **ret_config)
{
    struct tls_server_config *config = ARENA_NEW(parse_arena(ctx), struct tls_server_config);
    struct tls_context_params params = {.server = config};
    int r = parse_downstream_tls_context(
        ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext *)msg,
        config);

    return r < 0 ? r
                 : build(ctx, &params, "listener.", STR("envoy.listener_address"),
                         ctx->listener_stat_name, ret_config);
}

static int upstream_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                          const void **ret_config)
{
    struct tls_client_config *config = ARENA_NEW(parse_arena(ctx), struct tls_client_config);
    struct tls_context_params params = {.client = config};
    int r = parse_upstream_tls_context(
        ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext *)msg, config);

    return r < 0 ? r
                 : build(ctx, &params, "cluster.", STR("envoy.cluster_name"),
                         ctx->cluster_stat_name, ret_config);
}

#define TLS_DESCRIPTOR(suffix) envoy__extensions__transport_sockets__tls__v3__##suffix##__descriptor

#define TLS_SOCKET                                                                                 \
    .is_secure = true, .is_available = tls_socket_is_available, .open = tls_socket_open,           \
    .decrypt = tls_socket_decrypt, .encrypt = tls_socket_encrypt, .is_ready = tls_socket_is_ready, \
    .alpn = tls_socket_alpn, .info = tls_socket_info, .shutdown = tls_socket_shutdown,             \
    .free = tls_socket_free

const struct transport_socket transport_socket_tls_downstream = {
    .ext =
        {
            .name = "envoy.transport_sockets.tls",
            .category = EXT_DOWNSTREAM_TRANSPORT_SOCKET,
            .negotiates_alpn = true,
            .descriptor = &TLS_DESCRIPTOR(downstream_tls_context),
            .parse = downstream_parse,
        },
    TLS_SOCKET,
};

const struct transport_socket transport_socket_tls_upstream = {
    .ext =
        {
            .name = "envoy.transport_sockets.tls",
            .category = EXT_UPSTREAM_TRANSPORT_SOCKET,
            .negotiates_alpn = true,
            .descriptor = &TLS_DESCRIPTOR(upstream_tls_context),
            .parse = upstream_parse,
        },
    TLS_SOCKET,
};

#undef TLS_DESCRIPTOR
#undef TLS_SOCKET
