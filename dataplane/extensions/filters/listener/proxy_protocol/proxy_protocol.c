/*
 * envoy.filters.listener.proxy_protocol: believes the header in front of a connection. Its
 * addresses become the connection's, its TLVs metadata. The connection's thread.
 *
 * Trust: whoever can connect can say anything: only for listeners that proxies alone reach.
 * Buffers: one header, at most 64 KiB, as long as its own length says.
 * Differs from Envoy: tlv_location FILTER_STATE and typed metadata are not there; a sign in front
 * of a port of version 1 is refused.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "dataplane/base/base64.h"
#include "dataplane/event/loop.h"
#include "dataplane/extensions/filters/listener/proxy_protocol/proxy_header.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb-c.h"

/* protoc-c's names are as long as the path. */
#define PROXY_PROTOCOL(suffix) Envoy__Extensions__Filters__Listener__ProxyProtocol__V3__##suffix
#define ENCODING_BASE64                                                                            \
    ENVOY__EXTENSIONS__FILTERS__LISTENER__PROXY_PROTOCOL__V3__PROXY_PROTOCOL__KEY_VALUE_PAIR__VALUE_STRING_ENCODING__BASE64
#define ENCODING_DESCRIPTOR                                                                        \
    (&envoy__extensions__filters__listener__proxy_protocol__v3__proxy_protocol__key_value_pair__value_string_encoding__descriptor)
#define INCLUDE_ALL                                                                                \
    ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_PASS_THROUGH_TLVS__PASS_TLVS_MATCH_TYPE__INCLUDE_ALL

#define DEFAULT_NAMESPACE STR("envoy.filters.listener.proxy_protocol")
#define TLV_TYPES 256

/* --- stats -------------------------------------------------------------------------------- */

enum proxy_protocol_stat {
    PROXY_PROTOCOL_NOT_FOUND_ALLOWED,
    PROXY_PROTOCOL_NOT_FOUND_DISALLOWED,
    PROXY_PROTOCOL_STAT_COUNT
};

static const struct stat_def general_stat_defs[PROXY_PROTOCOL_STAT_COUNT] = {
    [PROXY_PROTOCOL_NOT_FOUND_ALLOWED] = {"not_found_allowed", STAT_COUNTER},
    [PROXY_PROTOCOL_NOT_FOUND_DISALLOWED] = {"not_found_disallowed", STAT_COUNTER},
};

static const struct stat_schema general_stat_schema = {
    .defs = general_stat_defs,
    .count = PROXY_PROTOCOL_STAT_COUNT,
    .shown_untouched = true,
};

enum proxy_version_stat {
    PROXY_VERSION_DISALLOWED,
    PROXY_VERSION_ERROR,
    PROXY_VERSION_FOUND,
    PROXY_VERSION_STAT_COUNT
};

static const struct stat_def version_stat_defs[PROXY_VERSION_STAT_COUNT] = {
    [PROXY_VERSION_DISALLOWED] = {"disallowed", STAT_COUNTER},
    [PROXY_VERSION_ERROR] = {"error", STAT_COUNTER},
    [PROXY_VERSION_FOUND] = {"found", STAT_COUNTER},
};

static const struct stat_schema version_stat_schema = {
    .defs = version_stat_defs,
    .count = PROXY_VERSION_STAT_COUNT,
    .shown_untouched = true,
};

/* Envoy's older name for all errors, at the root. */
static const struct stat_def legacy_stat_defs[] = {
    {"downstream_cx_proxy_proto_error", STAT_COUNTER},
};

static const struct stat_schema legacy_stat_schema = {
    .defs = legacy_stat_defs,
    .count = 1,
    .shown_untouched = true,
};

struct tlv_rule {
    bool is_set;
    bool is_base64;
    struct str name_space;
    struct str key;
};

struct proxy_protocol_config {
    struct proxy_header_rules rules;
    const struct tlv_rule *tlv_rules; /* by type; NULL: none */
    bool passes_tlv[TLV_TYPES];       /* on to the upstream's header */
    struct stat_scope *general;       /* NULL, as all of them: nobody counts */
    struct stat_scope *versions[2];
    struct stat_scope *legacy;
};

/* --- configuration ------------------------------------------------------------------------ */

static void proxy_protocol_scope_free(void *object)
{
    stat_scope_unref(object);
}

static struct stat_scope *proxy_protocol_scope(struct parse_context *ctx,
                                               const struct stat_scope_spec *spec)
{
    struct stat_scope *s = stat_scope_ref(ctx->stats, spec);

    part_on_free(ctx->part, proxy_protocol_scope_free, s);
    (void)stat_scope_block(s, LOOP_MAIN_INDEX); /* zeros are shown from the start */
    return s;
}

static void proxy_protocol_make_scopes(struct parse_context *ctx, struct str stat_prefix,
                                       struct proxy_protocol_config *c)
{
    struct arena *a = parse_arena(ctx);
    struct stat_scope_spec spec = {
        .prefix = stat_prefix.len > 0 ? arena_printf(a, "proxy_proto.%.*s.", STR_ARG(stat_prefix))
                                      : STR("proxy_proto."),
        .tagged_prefix = STR("proxy_proto."),
        .schema = &general_stat_schema,
    };
    struct str general_prefix = spec.prefix;

    if (ctx->stats == NULL) {
        return;
    }
    if (stat_prefix.len > 0) {
        spec.tags[spec.tag_count++] =
            (struct stat_tag){STR("envoy.proxy_protocol_prefix"), stat_prefix};
    }
    c->general = proxy_protocol_scope(ctx, &spec);
    spec.schema = &version_stat_schema;
    spec.tag_count++;
    for (int i = 0; i < 2; i++) {
        spec.prefix = arena_printf(a, "%.*sversions.v%d.", STR_ARG(general_prefix), i + 1);
        spec.tags[spec.tag_count - 1] =
            (struct stat_tag){STR("envoy.proxy_protocol_version"), i == 0 ? STR("1") : STR("2")};
        c->versions[i] = proxy_protocol_scope(ctx, &spec);
    }
    c->legacy = proxy_protocol_scope(ctx, &(struct stat_scope_spec){.schema = &legacy_stat_schema});
}

static int proxy_protocol_parse_rule(struct parse_context *ctx,
                                     const PROXY_PROTOCOL(ProxyProtocol__Rule) * m,
                                     struct tlv_rule *rules)
{
    const PROXY_PROTOCOL(ProxyProtocol__KeyValuePair) *kv = m->on_tlv_present;
    struct tlv_rule *rule;
    size_t at;
    int r;

    if (m->tlv_type >= TLV_TYPES) {
        return parse_fail(ctx, E_INVALID, "tlv_type", "value must be less than 256");
    }
    rule = &rules[m->tlv_type];
    rule->is_set = true; /* the last rule of a type counts */
    rule->is_base64 = false;
    rule->name_space = DEFAULT_NAMESPACE;
    rule->key = STR_NONE;
    if (kv == NULL) {
        return 0;
    }
    at = path_push(ctx, "on_tlv_present");
    r = parse_check_not_empty(ctx, "key", kv->key);
    if (r == 0) {
        r = parse_check_enum(ctx, "value_string_encoding", (int)kv->value_string_encoding,
                             ENCODING_DESCRIPTOR);
    }
    path_pop(ctx, at);
    rule->key = parse_str(ctx, kv->key);
    rule->is_base64 = kv->value_string_encoding == ENCODING_BASE64;
    if (kv->metadata_namespace[0] != '\0') {
        rule->name_space = parse_str(ctx, kv->metadata_namespace);
    }
    return r;
}

static int proxy_protocol_parse_pass(struct parse_context *ctx,
                                     const Envoy__Config__Core__V3__ProxyProtocolPassThroughTLVs *m,
                                     struct proxy_protocol_config *c)
{
    if (m == NULL) {
        return 0;
    }
    for (size_t i = 0; i < m->n_tlv_type; i++) {
        if (m->tlv_type[i] >= TLV_TYPES) {
            return parse_fail(ctx, E_INVALID, "pass_through_tlvs.tlv_type",
                              "value must be less than 256");
        }
        c->passes_tlv[m->tlv_type[i]] = true;
    }
    for (size_t i = 0; m->match_type == INCLUDE_ALL && i < TLV_TYPES; i++) {
        c->passes_tlv[i] = true;
    }
    return 0;
}

static int proxy_protocol_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                const void **ret_config)
{
    const PROXY_PROTOCOL(ProxyProtocol) *m = (const PROXY_PROTOCOL(ProxyProtocol) *)msg;
    struct proxy_protocol_config *c = ARENA_NEW(parse_arena(ctx), struct proxy_protocol_config);
    int r = 0;

    if (m->n_rules > 0) {
        struct tlv_rule *rules = ARENA_ARRAY(parse_arena(ctx), struct tlv_rule, TLV_TYPES);

        for (size_t i = 0; r == 0 && i < m->n_rules; i++) {
            size_t at = path_push_index(ctx, "rules", i);

            r = proxy_protocol_parse_rule(ctx, m->rules[i], rules);
            path_pop(ctx, at);
        }
        c->tlv_rules = rules;
    }
    if (r == 0) {
        r = proxy_protocol_parse_pass(ctx, m->pass_through_tlvs, c);
    }
    if (r < 0) {
        return r;
    }
    c->rules = (struct proxy_header_rules){m->allow_requests_without_proxy_protocol, true, true};
    for (size_t i = 0; i < m->n_disallowed_versions; i++) {
        if (m->disallowed_versions[i] ==
            ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V1) {
            c->rules.allows_v1 = false;
        } else {
            c->rules.allows_v2 = false;
        }
    }
    if (!c->rules.allows_v1 && !c->rules.allows_v2) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Proxy Protocol filter is misconfigured: all proxy protocol versions are "
                          "disallowed.");
    }
    proxy_protocol_make_scopes(ctx, parse_str(ctx, m->stat_prefix), c);
    *ret_config = c;
    return 0;
}

/* --- TLVs --------------------------------------------------------------------------------- */

/* As Envoy: each byte that is no UTF-8 becomes a '!'. */
static struct str sanitize_utf8(struct arena *a, struct str s)
{
    char *out = arena_memdup(a, s.ptr, s.len);

    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(out + i, s.len - i);

        if (n == 0) {
            out[i] = '!';
            n = 1;
        }
        i += n;
    }
    return str_n(out, s.len);
}

static struct str encode_base64(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, BASE64_ENCODED_BYTES(s.len) + 1);

    return str_n(out, base64_encode(s, out));
}

static void proxy_protocol_keep_tlv(struct inspection *i, const struct tlv_rule *rule,
                                    struct str value)
{
    const struct value *space = value_get(i->info.metadata, rule->name_space);

    if (value_get(space, rule->key) == NULL) { /* the first one of a key stays */
        inspection_set_metadata(i, rule->name_space, rule->key,
                                rule->is_base64 ? encode_base64(&i->arena, value)
                                                : sanitize_utf8(&i->arena, value));
    }
}

static void proxy_protocol_keep_tlvs(struct listener_filter *f, struct str tlvs)
{
    const struct proxy_protocol_config *c = f->config;
    struct inspection *i = f->inspection;
    char *passed = NULL;
    struct str value;
    uint8_t type;

    for (struct str rest = tlvs; proxy_header_next_tlv(&rest, &type, &value);) {
        if (c->tlv_rules != NULL && c->tlv_rules[type].is_set) {
            proxy_protocol_keep_tlv(i, &c->tlv_rules[type], value);
        }
        if (c->passes_tlv[type]) {
            size_t bytes = PROXY_TLV_HEADER_BYTES + value.len;

            if (passed == NULL) {
                passed = arena_alloc(&i->arena, tlvs.len);
            }
            memcpy(passed + i->info.proxy_tlvs.len, value.ptr - PROXY_TLV_HEADER_BYTES, bytes);
            i->info.proxy_tlvs = str_n(passed, i->info.proxy_tlvs.len + bytes);
        }
    }
}

/* --- the filter --------------------------------------------------------------------------- */

static void proxy_protocol_inc(const struct listener_filter *f, struct stat_scope *scope,
                               size_t stat)
{
    if (scope != NULL) {
        stat_inc(stat_scope_block(scope, f->inspection->thread->loop->index), stat);
    }
}

static void proxy_protocol_count(const struct listener_filter *f, int version,
                                 enum proxy_header_verdict v)
{
    const struct proxy_protocol_config *c = f->config;
    struct stat_scope *scope = version > 0 ? c->versions[version - 1] : c->general;

    if (v == PROXY_HEADER_ERROR) {
        proxy_protocol_inc(f, c->legacy, 0);
    }
    if (version == 0) {
        proxy_protocol_inc(f, scope,
                           v == PROXY_HEADER_NONE ? PROXY_PROTOCOL_NOT_FOUND_ALLOWED
                                                  : PROXY_PROTOCOL_NOT_FOUND_DISALLOWED);
        return;
    }
    proxy_protocol_inc(f, scope,
                       v == PROXY_HEADER_ERROR ? PROXY_VERSION_ERROR : PROXY_VERSION_FOUND);
    if (v == PROXY_HEADER_DENIED) {
        proxy_protocol_inc(f, scope, PROXY_VERSION_DISALLOWED);
    }
}

static void proxy_protocol_apply(struct listener_filter *f, const struct proxy_header *h)
{
    struct inspection *i = f->inspection;

    i->info.has_proxy_header = true;
    proxy_protocol_keep_tlvs(f, h->tlvs);
    if (h->has_addresses) {
        if (!address_eq(&h->destination, &i->conn->local)) {
            inspection_restore_local(i, &h->destination);
        }
        inspection_set_remote(i, &h->source);
    }
    inspection_drain(i, h->size);
}

static enum listener_filter_status proxy_protocol_on_accept(struct listener_filter *f)
{
    (void)f;
    return LISTENER_FILTER_WAIT;
}

static enum listener_filter_status proxy_protocol_on_data(struct listener_filter *f,
                                                          struct str bytes)
{
    const struct proxy_protocol_config *c = f->config;
    struct proxy_header h;
    enum proxy_header_verdict v = proxy_header_parse(bytes, &c->rules, &h);

    if (v == PROXY_HEADER_PARTIAL) {
        return LISTENER_FILTER_WAIT;
    }
    proxy_protocol_count(f, h.version, v);
    if (v == PROXY_HEADER_FOUND) {
        proxy_protocol_apply(f, &h);
    }
    return v == PROXY_HEADER_FOUND || v == PROXY_HEADER_NONE ? LISTENER_FILTER_CONTINUE
                                                             : LISTENER_FILTER_CLOSE;
}

const struct listener_filter_type listener_filter_proxy_protocol = {
    .ext =
        {
            .name = "envoy.filters.listener.proxy_protocol",
            .category = EXT_LISTENER_FILTER,
            .descriptor =
                &envoy__extensions__filters__listener__proxy_protocol__v3__proxy_protocol__descriptor,
            .parse = proxy_protocol_parse,
        },
    .on_accept = proxy_protocol_on_accept,
    .on_data = proxy_protocol_on_data,
};
