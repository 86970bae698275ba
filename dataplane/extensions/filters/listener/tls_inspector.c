/*
 * envoy.filters.listener.tls_inspector: whether a connection begins with a ClientHello, whom it
 * asks for, what it offers, whose handwriting it is. The connection's thread.
 *
 * Trust: none; dataplane/tls/client_hello.c reads hostile bytes.
 * Buffers: up to max_client_hello_size of a hello that comes in pieces.
 * Differs from Envoy: a hello in the manner of SSL 2.0 is no TLS. Bytes are read, not peeked at, so
 * initial_read_buffer_size has nothing to size: it is checked and of no effect.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"
#include "dataplane/tls/client_hello.h"
#include "proto/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h"

#define MAX_CLIENT_HELLO_BYTES 16384
#define PROTOCOLS_MAX 64
/* Of what the hello says at its beginning, whatever its extensions say. */
#define TLS_VERSION_MIN 0x0301
#define TLS_VERSION_MAX 0x0304

typedef Envoy__Extensions__Filters__Listener__TlsInspector__V3__TlsInspector tls_inspector_message;

enum tls_inspector_stat {
    TLS_INSPECTOR_ALPN_FOUND,
    TLS_INSPECTOR_ALPN_NOT_FOUND,
    TLS_INSPECTOR_BYTES_PROCESSED,
    TLS_INSPECTOR_CLIENT_HELLO_TOO_LARGE,
    TLS_INSPECTOR_SNI_FOUND,
    TLS_INSPECTOR_SNI_NOT_FOUND,
    TLS_INSPECTOR_TLS_FOUND,
    TLS_INSPECTOR_TLS_NOT_FOUND,
    TLS_INSPECTOR_STAT_COUNT
};

static const struct stat_def tls_inspector_stat_defs[TLS_INSPECTOR_STAT_COUNT] = {
    [TLS_INSPECTOR_ALPN_FOUND] = {"alpn_found", STAT_COUNTER},
    [TLS_INSPECTOR_ALPN_NOT_FOUND] = {"alpn_not_found", STAT_COUNTER},
    [TLS_INSPECTOR_BYTES_PROCESSED] = {"bytes_processed", STAT_HISTOGRAM},
    [TLS_INSPECTOR_CLIENT_HELLO_TOO_LARGE] = {"client_hello_too_large", STAT_COUNTER},
    [TLS_INSPECTOR_SNI_FOUND] = {"sni_found", STAT_COUNTER},
    [TLS_INSPECTOR_SNI_NOT_FOUND] = {"sni_not_found", STAT_COUNTER},
    [TLS_INSPECTOR_TLS_FOUND] = {"tls_found", STAT_COUNTER},
    [TLS_INSPECTOR_TLS_NOT_FOUND] = {"tls_not_found", STAT_COUNTER},
};

static const struct stat_schema tls_inspector_stat_schema = {
    .defs = tls_inspector_stat_defs,
    .count = TLS_INSPECTOR_STAT_COUNT,
    .shown_untouched = true,
};

struct tls_inspector_config {
    struct stat_scope *stats; /* NULL: nobody counts */
    uint32_t max_bytes;
    bool wants_ja3;
    bool wants_ja4;
    bool closes_on_errors;
};

/* --- configuration ------------------------------------------------------------------------ */

static void tls_inspector_scope_free(void *object)
{
    stat_scope_unref(object);
}

static void tls_inspector_make_scope(struct parse_context *ctx, struct tls_inspector_config *c)
{
    if (ctx->stats == NULL) {
        return;
    }
    c->stats = stat_scope_ref(ctx->stats, &(struct stat_scope_spec){
                                              .prefix = STR("tls_inspector."),
                                              .tagged_prefix = STR("tls_inspector."),
                                              .schema = &tls_inspector_stat_schema,
                                          });
    part_on_free(ctx->part, tls_inspector_scope_free, c->stats);
    (void)stat_scope_block(c->stats, LOOP_MAIN_INDEX); /* zeros are shown from the start */
}

static int tls_inspector_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    const tls_inspector_message *m = (const tls_inspector_message *)msg;
    struct tls_inspector_config *c = ARENA_NEW(parse_arena(ctx), struct tls_inspector_config);

    if (m->initial_read_buffer_size != NULL && (m->initial_read_buffer_size->value <= 255 ||
                                                m->initial_read_buffer_size->value >= 65537)) {
        return parse_fail(ctx, E_INVALID, "initial_read_buffer_size",
                          "value must be inside range (255, 65537)");
    }
    c->max_bytes = parse_u32_or(m->max_client_hello_size, MAX_CLIENT_HELLO_BYTES);
    if (c->max_bytes <= 255 || c->max_bytes > MAX_CLIENT_HELLO_BYTES) {
        return parse_fail(ctx, E_INVALID, "max_client_hello_size",
                          "value must be inside range (255, 16384]");
    }
    c->wants_ja3 = parse_bool_or(m->enable_ja3_fingerprinting, false);
    c->wants_ja4 = parse_bool_or(m->enable_ja4_fingerprinting, false);
    c->closes_on_errors = m->close_connection_on_client_hello_parsing_errors;
    tls_inspector_make_scope(ctx, c);
    *ret_config = c;
    return 0;
}

/* --- the filter --------------------------------------------------------------------------- */

static void tls_inspector_count(const struct listener_filter *f, enum tls_inspector_stat stat)
{
    const struct tls_inspector_config *c = f->config;

    if (c->stats != NULL) {
        stat_inc(stat_scope_block(c->stats, f->inspection->thread->loop->index), stat);
    }
}

static void tls_inspector_count_bytes(const struct listener_filter *f, size_t bytes)
{
    const struct tls_inspector_config *c = f->config;

    if (c->stats != NULL) {
        stat_record(stat_scope_block(c->stats, f->inspection->thread->loop->index),
                    TLS_INSPECTOR_BYTES_PROCESSED, bytes);
    }
}

static void tls_inspector_set_reason(struct listener_filter *f, struct str reason)
{
    inspection_set_metadata(f->inspection, STR("envoy.filters.listener.tls_inspector"),
                            STR("failure_reason"), reason);
}

static void tls_inspector_keep_server_name(struct listener_filter *f, struct str name)
{
    struct arena *a = &f->inspection->arena;
    char *lower;

    if (name.len == 0) {
        tls_inspector_count(f, TLS_INSPECTOR_SNI_NOT_FOUND);
        return;
    }
    lower = arena_memdup(a, name.ptr, name.len);
    str_lower_in_place(lower, name.len);
    f->inspection->info.server_name = str_n(lower, name.len);
    tls_inspector_count(f, TLS_INSPECTOR_SNI_FOUND);
}

static void tls_inspector_keep_alpn(struct listener_filter *f, struct str alpn)
{
    struct str protocols[PROTOCOLS_MAX];
    size_t count = 0;

    while (count < PROTOCOLS_MAX && client_hello_next_protocol(&alpn, &protocols[count])) {
        count++;
    }
    if (count > 0) {
        inspection_set_protocols(f->inspection, protocols, count);
    }
    tls_inspector_count(f, count > 0 ? TLS_INSPECTOR_ALPN_FOUND : TLS_INSPECTOR_ALPN_NOT_FOUND);
}

static enum listener_filter_status tls_inspector_found(struct listener_filter *f,
                                                       const struct client_hello *h)
{
    const struct tls_inspector_config *c = f->config;
    struct inspection *i = f->inspection;

    if (c->wants_ja3) {
        char *text = arena_alloc(&i->arena, CLIENT_HELLO_JA3_LEN);

        client_hello_ja3(h, text);
        i->info.ja3 = str_n(text, CLIENT_HELLO_JA3_LEN);
    }
    if (c->wants_ja4) {
        char *text = arena_alloc(&i->arena, CLIENT_HELLO_JA4_LEN);

        client_hello_ja4(h, text);
        i->info.ja4 = str_n(text, CLIENT_HELLO_JA4_LEN);
    }
    tls_inspector_keep_server_name(f, h->server_name);
    if (h->version < TLS_VERSION_MIN || h->version > TLS_VERSION_MAX) {
        tls_inspector_count(f, TLS_INSPECTOR_TLS_NOT_FOUND);
        tls_inspector_set_reason(f, STR("ClientHelloInvalidTlsVersion"));
        return LISTENER_FILTER_CLOSE;
    }
    tls_inspector_count(f, TLS_INSPECTOR_TLS_FOUND);
    tls_inspector_keep_alpn(f, h->alpn);
    i->info.transport_protocol = STR("tls");
    return LISTENER_FILTER_CONTINUE;
}

static enum listener_filter_status tls_inspector_too_large(struct listener_filter *f)
{
    tls_inspector_count(f, TLS_INSPECTOR_CLIENT_HELLO_TOO_LARGE);
    tls_inspector_set_reason(f, STR("ClientHelloTooLarge"));
    return LISTENER_FILTER_CLOSE;
}

static enum listener_filter_status tls_inspector_not_tls(struct listener_filter *f, size_t seen)
{
    const struct tls_inspector_config *c = f->config;

    if (c->closes_on_errors && seen >= c->max_bytes) {
        return tls_inspector_too_large(f);
    }
    tls_inspector_count(f, TLS_INSPECTOR_TLS_NOT_FOUND);
    tls_inspector_set_reason(f, STR("ClientHelloNotDetected"));
    return c->closes_on_errors ? LISTENER_FILTER_CLOSE : LISTENER_FILTER_CONTINUE;
}

static enum listener_filter_status tls_inspector_on_accept(struct listener_filter *f)
{
    (void)f;
    return LISTENER_FILTER_WAIT;
}

static enum listener_filter_status tls_inspector_on_data(struct listener_filter *f,
                                                         struct str bytes)
{
    const struct tls_inspector_config *c = f->config;
    struct str seen = str_sub(bytes, 0, c->max_bytes);
    struct client_hello hello;
    size_t size;

    switch (client_hello_parse(seen, &f->inspection->arena, &hello, &size)) {
    case CLIENT_HELLO_FOUND:
        tls_inspector_count_bytes(f, size);
        return tls_inspector_found(f, &hello);
    case CLIENT_HELLO_NOT_TLS:
        tls_inspector_count_bytes(f, size);
        return tls_inspector_not_tls(f, seen.len);
    case CLIENT_HELLO_PARTIAL:
        break;
    }
    if (seen.len < c->max_bytes) {
        return LISTENER_FILTER_WAIT;
    }
    tls_inspector_count_bytes(f, seen.len);
    return tls_inspector_too_large(f);
}

const struct listener_filter_type listener_filter_tls_inspector = {
    .ext =
        {
            .name = "envoy.filters.listener.tls_inspector",
            .category = EXT_LISTENER_FILTER,
            .descriptor =
                &envoy__extensions__filters__listener__tls_inspector__v3__tls_inspector__descriptor,
            .parse = tls_inspector_parse,
        },
    .on_accept = tls_inspector_on_accept,
    .on_data = tls_inspector_on_data,
};
