/*
 * envoy.transport_sockets.upstream_proxy_protocol: a PROXY protocol header as the first bytes of a
 * connection, before whatever another transport socket sends. The header is put into the output
 * when the connection is opened, which from then on speaks through the other socket alone.
 * Configuration on main, the rest on the connection's thread.
 *
 * Trust: addresses and TLVs come from the downstream connection; lengths are bounded here.
 * Buffers: one header, at most 64 KiB.
 * Differs from Envoy: addresses that are no IPs are sent as UNKNOWN and LOCAL (Envoy: version 1
 * ends the process, version 2 sends no header).
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/extension.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/transport_socket.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb-c.h"

typedef Envoy__Extensions__TransportSockets__ProxyProtocol__V3__ProxyProtocolUpstreamTransport
    proxy_message;
typedef Envoy__Config__Core__V3__ProxyProtocolConfig proxy_protocol_message;

#define TLV_HEAD_BYTES 3
#define TLV_TYPE_MAX 255
#define V2_HEAD_BYTES 16
#define V2_PAYLOAD_MAX UINT16_MAX
#define V1_LINE_MAX 108 /* with its NUL */

enum proxy_stat { PROXY_V2_TLVS_EXCEED_MAX_LENGTH, PROXY_STAT_COUNT };

static const struct stat_def proxy_stat_defs[PROXY_STAT_COUNT] = {
    [PROXY_V2_TLVS_EXCEED_MAX_LENGTH] = {"v2_tlvs_exceed_max_length", STAT_COUNTER},
};

static const struct stat_schema proxy_stat_schema = {
    .defs = proxy_stat_defs,
    .count = PROXY_STAT_COUNT,
    .shown_untouched = true,
};

struct proxy_config {
    bool is_v1;
    bool passes_all;
    bool passes[TLV_TYPE_MAX + 1];
    bool adds[TLV_TYPE_MAX + 1];          /* types among `added` */
    struct str added;                     /* encoded */
    const struct transport_socket *inner; /* NULL: raw */
    const void *inner_config;
    struct stat_scope *stats; /* NULL: nobody counts (tests of parsers) */
};

/* --- configuration ------------------------------------------------------------------------ */

static void proxy_scope_free(void *object)
{
    stat_scope_unref(object);
}

static void proxy_make_scope(struct parse_context *ctx, struct proxy_config *c)
{
    struct str cluster = ctx->cluster_stat_name;

    if (ctx->stats == NULL || cluster.len == 0) {
        return;
    }
    c->stats = stat_scope_ref(
        ctx->stats,
        &(struct stat_scope_spec){
            .prefix = arena_printf(parse_arena(ctx), "cluster.%.*s.upstream.proxyprotocol.",
                                   STR_ARG(cluster)),
            .tagged_prefix = STR("cluster.upstream.proxyprotocol."),
            .tags = {{STR("envoy.cluster_name"), cluster}},
            .tag_count = 1,
            .schema = &proxy_stat_schema,
        });
    part_on_free(ctx->part, proxy_scope_free, c->stats);
    (void)stat_scope_block(c->stats, LOOP_MAIN_INDEX);
}

static int proxy_parse_passed(struct parse_context *ctx,
                              const Envoy__Config__Core__V3__ProxyProtocolPassThroughTLVs *m,
                              struct proxy_config *c)
{
    if (m == NULL) {
        return 0;
    }
    c->passes_all =
        m->match_type ==
        ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_PASS_THROUGH_TLVS__PASS_TLVS_MATCH_TYPE__INCLUDE_ALL;
    for (size_t i = 0; i < m->n_tlv_type; i++) {
        if (m->tlv_type[i] > TLV_TYPE_MAX) {
            return parse_fail(ctx, E_INVALID, "pass_through_tlvs.tlv_type",
                              "value must be less than 256");
        }
        c->passes[m->tlv_type[i]] = true;
    }
    return 0;
}

static int proxy_check_tlv(struct parse_context *ctx, const Envoy__Config__Core__V3__TlvEntry *m)
{
    if (m->type > TLV_TYPE_MAX) {
        return parse_fail(ctx, E_INVALID, "type", "value must be less than 256");
    }
    if (m->value.len > 0 && m->format_string != NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Invalid TLV configuration: only one of 'value' or 'format_string' may "
                          "be set.");
    }
    if (m->value.len == 0 && m->format_string == NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Invalid TLV configuration: one of 'value' or 'format_string' must be "
                          "set.");
    }
    return m->format_string != NULL ? parse_report_unsupported(ctx, &m->base, "format_string") : 0;
}

static size_t tlv_encode(uint8_t *to, uint8_t type, const void *value, size_t len)
{
    to[0] = type;
    to[1] = (uint8_t)(len >> 8);
    to[2] = (uint8_t)len;
    memcpy(to + TLV_HEAD_BYTES, value, len);
    return TLV_HEAD_BYTES + len;
}

static int proxy_parse_added(struct parse_context *ctx, const proxy_protocol_message *m,
                             struct proxy_config *c)
{
    size_t bytes = 0;
    uint8_t *encoded;
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->n_added_tlvs; i++) {
        size_t at = path_push_index(ctx, "added_tlvs", i);

        r = proxy_check_tlv(ctx, m->added_tlvs[i]);
        bytes += TLV_HEAD_BYTES + m->added_tlvs[i]->value.len;
        path_pop(ctx, at);
    }
    if (r < 0) {
        return r;
    }
    encoded = arena_alloc(parse_arena(ctx), bytes + 1);
    c->added = str_n((const char *)encoded, 0);
    for (size_t i = 0; i < m->n_added_tlvs; i++) {
        const Envoy__Config__Core__V3__TlvEntry *t = m->added_tlvs[i];

        if (t->value.len > 0 && t->value.len <= UINT16_MAX) {
            c->adds[t->type] = true;
            c->added.len +=
                tlv_encode(encoded + c->added.len, (uint8_t)t->type, t->value.data, t->value.len);
        }
    }
    return 0;
}

static int proxy_parse_protocol(struct parse_context *ctx, const proxy_protocol_message *m,
                                struct proxy_config *c)
{
    size_t at;
    int r;

    c->is_v1 =
        m == NULL || m->version == ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V1;
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "config");
    r = proxy_parse_passed(ctx, m->pass_through_tlvs, c);
    if (r == 0) {
        r = proxy_parse_added(ctx, m, c);
    }
    path_pop(ctx, at);
    return r;
}

static int proxy_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                       const void **ret_config)
{
    const proxy_message *m = (const proxy_message *)msg;
    struct proxy_config *c = ARENA_NEW(parse_arena(ctx), struct proxy_config);
    const struct extension *inner = NULL;
    int r = parse_check_present(ctx, "transport_socket", m->transport_socket);
    size_t at;

    if (r == 0) {
        r = proxy_parse_protocol(ctx, m->config, c);
    }
    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "transport_socket");
    r = parse_transport_socket(ctx, EXT_UPSTREAM_TRANSPORT_SOCKET, m->transport_socket, &inner,
                               &c->inner_config);
    path_pop(ctx, at);
    if (r < 0) {
        return r;
    }
    c->inner = (const struct transport_socket *)inner;
    proxy_make_scope(ctx, c);
    *ret_config = c;
    return 0;
}

/* --- headers ------------------------------------------------------------------------------ */

/* Who is on either end, as the header says it. */
struct proxy_ends {
    const struct address *source;
    const struct address *destination;
    bool is_ours; /* nobody else's: there is no downstream connection */
};

static bool ends_are_ip(const struct proxy_ends *e)
{
    return address_is_ip(e->source) && address_is_ip(e->destination);
}

/* An IPv4 address among IPv6 ones is mapped. */
static struct in6_addr address_v6(const struct address *a)
{
    struct in6_addr out = IN6ADDR_ANY_INIT;

    if (a->sa.sa_family == AF_INET6) {
        return a->in6.sin6_addr;
    }
    out.s6_addr[10] = 0xff;
    out.s6_addr[11] = 0xff;
    memcpy(&out.s6_addr[12], &a->in.sin_addr, sizeof(a->in.sin_addr));
    return out;
}

static bool ends_are_v4(const struct proxy_ends *e)
{
    return e->source->sa.sa_family == AF_INET && e->destination->sa.sa_family == AF_INET;
}

static void address_text(const struct address *a, bool is_v4, char out[INET6_ADDRSTRLEN])
{
    struct in6_addr v6;

    if (is_v4) {
        (void)inet_ntop(AF_INET, &a->in.sin_addr, out, INET6_ADDRSTRLEN); /* it has the room */
    } else {
        v6 = address_v6(a);
        (void)inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN);
    }
}

static void header_v1(const struct proxy_ends *e, struct buf *out)
{
    char source[INET6_ADDRSTRLEN];
    char destination[INET6_ADDRSTRLEN];
    char line[V1_LINE_MAX];
    bool is_v4;
    int n;

    if (!ends_are_ip(e)) {
        buf_add_str(out, STR("PROXY UNKNOWN\r\n"));
        return;
    }
    is_v4 = ends_are_v4(e);
    address_text(e->source, is_v4, source);
    address_text(e->destination, is_v4, destination);
    n = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n", is_v4 ? '4' : '6', source,
                 destination, (unsigned)address_port(e->source),
                 (unsigned)address_port(e->destination));
    CHECK(n > 0 && (size_t)n < sizeof(line));
    buf_add(out, line, (size_t)n);
}

static void add_port(struct buf *out, const struct address *a)
{
    uint16_t port = htons(address_port(a));

    buf_add(out, &port, sizeof(port));
}

static void add_addresses(struct buf *out, const struct proxy_ends *e)
{
    struct in6_addr source = address_v6(e->source);
    struct in6_addr destination = address_v6(e->destination);
    size_t skip = ends_are_v4(e) ? 12 : 0;

    buf_add(out, source.s6_addr + skip, sizeof(source) - skip);
    buf_add(out, destination.s6_addr + skip, sizeof(destination) - skip);
    add_port(out, e->source);
    add_port(out, e->destination);
}

/* What of `tlvs` goes along: all of ours, of others what is passed on and not ours to say. False
 * when there was no room for one. */
static bool add_tlvs(const struct proxy_config *c, struct str tlvs, bool is_added, struct buf *out)
{
    bool is_whole = true;

    while (tlvs.len >= TLV_HEAD_BYTES) {
        const uint8_t *p = (const uint8_t *)tlvs.ptr;
        size_t len = TLV_HEAD_BYTES + ((size_t)p[1] << 8 | p[2]);

        if (len > tlvs.len) {
            break;
        }
        if (is_added || (!c->adds[p[0]] && (c->passes_all || c->passes[p[0]]))) {
            if (buf_len(out) + len <= V2_PAYLOAD_MAX) {
                buf_add(out, p, len);
            } else {
                is_whole = false;
            }
        }
        tlvs = str_sub(tlvs, len, tlvs.len);
    }
    return is_whole;
}

static void header_v2(const struct proxy_config *c, const struct proxy_ends *e, struct str passed,
                      struct conn *conn, struct buf *out)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    bool is_local = e->is_ours || !ends_are_ip(e);
    bool is_whole = true;
    uint8_t kind[2] = {is_local ? 0x20 : 0x21, 0};
    struct buf payload;
    uint16_t length;

    buf_init(&payload, out->pool);
    if (!is_local) {
        kind[1] = ends_are_v4(e) ? 0x11 : 0x21;
        add_addresses(&payload, e);
        is_whole = add_tlvs(c, c->added, true, &payload);
        is_whole = add_tlvs(c, passed, false, &payload) && is_whole;
    }
    if (!is_whole && c->stats != NULL) {
        stat_inc(stat_scope_block(c->stats, conn->loop->index), PROXY_V2_TLVS_EXCEED_MAX_LENGTH);
    }
    length = htons((uint16_t)buf_len(&payload));
    buf_add(out, signature, sizeof(signature) - 1);
    buf_add(out, kind, sizeof(kind));
    buf_add(out, &length, sizeof(length));
    buf_move(out, &payload);
}

/* --- the transport socket ----------------------------------------------------------------- */

static int proxy_open(struct conn *conn, const void *config, bool is_server,
                      const struct transport_options *options, void **ret_state)
{
    const struct proxy_config *c = config;
    struct address local = {.len = sizeof(local.un)};
    bool has_ends = options != NULL && options->proxy_source != NULL;
    struct proxy_ends ends = {&local, &conn->remote, true};
    struct buf header;
    struct buf *out;
    int r = conn_open_transport(conn, c->inner, c->inner_config, is_server, options);

    (void)ret_state; /* the other one's */
    if (r < 0) {
        return r;
    }
    if (has_ends) {
        ends = (struct proxy_ends){options->proxy_source, options->proxy_destination, false};
    } else if (getsockname(conn_fd(conn), &local.sa, &local.len) != 0) {
        local.len = 0; /* the connection is failing anyway */
    }
    buf_init(&header, &conn->loop->bufs);
    if (c->is_v1) {
        header_v1(&ends, &header);
    } else {
        header_v2(c, &ends, has_ends ? options->proxy_tlvs : STR_NONE, conn, &header);
    }
    out = conn->wire != NULL ? conn->wire : &conn->out;
    buf_move(&header, out); /* what the other one has said already comes after it */
    buf_move(out, &header);
    return 0;
}

static const struct transport_socket *proxy_inner(const void *config)
{
    return ((const struct proxy_config *)config)->inner;
}

const struct transport_socket transport_socket_proxy_protocol = {
    .ext =
        {
            .name = "envoy.transport_sockets.upstream_proxy_protocol",
            .category = EXT_UPSTREAM_TRANSPORT_SOCKET,
            .descriptor =
                &envoy__extensions__transport_sockets__proxy_protocol__v3__proxy_protocol_upstream_transport__descriptor,
            .parse = proxy_parse,
        },
    .wants_proxy_addresses = true,
    .inner = proxy_inner,
    .open = proxy_open,
};
