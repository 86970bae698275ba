/* The TLS contexts of both sides. Main thread. */

#include "config/parse/tls_context.h"

#include "config/any.h"
#include "config/parse/canonical.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/secret_key.h"
#include "config/parse/tls_secret.h"

/* protoc-c's names are as long as the path. */
#define TLS(suffix) Envoy__Extensions__TransportSockets__Tls__V3__##suffix
#define TLS_ENUM(suffix) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__##suffix
#define TLS_DESCRIPTOR(suffix) envoy__extensions__transport_sockets__tls__v3__##suffix
#define COMMON_VALIDATION(suffix) TLS_ENUM(COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_##suffix)

#define SNI_MAX 255
#define ALPN_MAX 255
#define ALPN_ALL_MAX 65535

/* --- parameters ------------------------------------------------------------------------------- */

static enum tls_version version_of(TLS(TlsParameters__TlsProtocol) v, enum tls_version absent)
{
    static const enum tls_version VERSIONS[] = {
        [TLS_ENUM(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_0)] = TLS_1_0,
        [TLS_ENUM(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_1)] = TLS_1_1,
        [TLS_ENUM(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2)] = TLS_1_2,
        [TLS_ENUM(TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3)] = TLS_1_3,
    };

    return v == TLS_ENUM(TLS_PARAMETERS__TLS_PROTOCOL__TLS_AUTO) ? absent : VERSIONS[v];
}

static struct str join(struct parse_context *ctx, char *const *items, size_t n, char between)
{
    struct strbuf text;
    struct str out;

    strbuf_init(&text);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            strbuf_add(&text, &between, 1);
        }
        strbuf_add_c(&text, items[i]);
    }
    out = arena_str(parse_arena(ctx), strbuf_str(&text));
    strbuf_done(&text);
    return out;
}

static int parse_compliance(struct parse_context *ctx, const TLS(TlsParameters) * m,
                            struct tls_common *ret)
{
    if (m->n_compliance_policies > 1) {
        return parse_fail(ctx, E_INVALID, "compliance_policies",
                          "value must contain no more than 1 item(s)");
    }
    if (m->n_compliance_policies == 0) {
        return 0;
    }
    switch (m->compliance_policies[0]) {
    case TLS_ENUM(TLS_PARAMETERS__COMPLIANCE_POLICY__FIPS_202205):
        ret->compliance = TLS_COMPLIANCE_FIPS_202205;
        break;
    case TLS_ENUM(TLS_PARAMETERS__COMPLIANCE_POLICY__CNSA2_202603):
        ret->compliance = TLS_COMPLIANCE_CNSA2_202603;
        break;
    case TLS_ENUM(TLS_PARAMETERS__COMPLIANCE_POLICY__CNSA1_202603):
        ret->compliance = TLS_COMPLIANCE_CNSA1_202603;
        break;
    default:
        return parse_fail(ctx, E_INVALID, "compliance_policies", "Unknown compliance policy: %d",
                          (int)m->compliance_policies[0]);
    }
    return 0;
}

static int parse_parameters(struct parse_context *ctx, const TLS(TlsParameters) * m,
                            struct tls_common *ret)
{
    const ProtobufCEnumDescriptor *d = &TLS_DESCRIPTOR(tls_parameters__tls_protocol__descriptor);
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "tls_params");
    r = parse_check_enum(ctx, "tls_minimum_protocol_version", (int)m->tls_minimum_protocol_version,
                         d);
    if (r == 0) {
        r = parse_check_enum(ctx, "tls_maximum_protocol_version",
                             (int)m->tls_maximum_protocol_version, d);
    }
    if (r == 0) {
        r = parse_compliance(ctx, m, ret);
    }
    if (r < 0) {
        return r;
    }
    ret->min_version = version_of(m->tls_minimum_protocol_version, ret->min_version);
    ret->max_version = version_of(m->tls_maximum_protocol_version, ret->max_version);
    ret->cipher_suites = join(ctx, m->cipher_suites, m->n_cipher_suites, ':');
    ret->curves = join(ctx, m->ecdh_curves, m->n_ecdh_curves, ':');
    ret->signature_algorithms = join(ctx, m->signature_algorithms, m->n_signature_algorithms, ':');
    path_pop(ctx, at);
    return 0;
}

/* As Envoy, which joins the list with commas and cuts it again: an item may be several. With an
 * empty name among them BoringSSL takes the list for broken: a server chooses none then. */
static int parse_alpn(struct parse_context *ctx, const TLS(CommonTlsContext) * m, bool is_server,
                      struct tls_common *ret)
{
    struct str rest = STR_NONE;
    bool has_empty = false;
    size_t count = m->n_alpn_protocols;
    struct str *names;
    struct str name;

    rest = join(ctx, m->alpn_protocols, count, ',');
    for (size_t i = 0; i < rest.len; i++) {
        count += rest.ptr[i] == ',';
    }
    if (rest.len >= ALPN_ALL_MAX) {
        return parse_fail(ctx, E_INVALID, "alpn_protocols", "Invalid ALPN protocol string");
    }
    names = ARENA_ARRAY(parse_arena(ctx), struct str, count);
    has_empty = str_ends(rest, STR(","));
    while (rest.len > 0 && str_split(&rest, ',', &name)) {
        has_empty |= name.len == 0;
        if (name.len > ALPN_MAX || (has_empty && !is_server)) {
            return parse_fail(ctx, E_INVALID, "alpn_protocols", "Invalid ALPN protocol string");
        }
        names[ret->alpn_count++] = name;
    }
    if (has_empty) {
        ret->alpn_count = 0;
    }
    ret->alpn = names;
    return 0;
}

static int parse_key_log(struct parse_context *ctx, const TLS(TlsKeyLog) * m,
                         struct tls_key_log *ret)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "key_log");
    r = parse_check_not_empty(ctx, "path", m->path);
    if (r == 0) {
        r = parse_cidrs(ctx, "local_address_range", m->n_local_address_range,
                        m->local_address_range, &ret->local_ranges, &ret->local_range_count);
    }
    if (r == 0) {
        r = parse_cidrs(ctx, "remote_address_range", m->n_remote_address_range,
                        m->remote_address_range, &ret->remote_ranges, &ret->remote_range_count);
    }
    ret->path = parse_str(ctx, m->path);
    path_pop(ctx, at);
    return r;
}

/* --- secrets by name -------------------------------------------------------------------------- */

/* How Envoy calls a static secret that is not there. */
static const char *const STATIC_SECRET_NAMES[] = {
    [SECRET_TLS_CERTIFICATE] = "static secret",
    [SECRET_SESSION_TICKET_KEYS] = "tls session ticket keys",
    [SECRET_VALIDATION_CONTEXT] = "static certificate validation context",
};

static int parse_sds(struct parse_context *ctx, const TLS(SdsSecretConfig) * m,
                     enum secret_kind kind, uint32_t *ret_slot)
{
    struct config_source *source;
    struct str name = parse_str(ctx, m->name);
    struct str key;
    size_t at;
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r < 0) {
        return r;
    }
    if (m->sds_config == NULL) {
        key = secret_key(parse_arena(ctx), name, kind, 0);
        if (!parse_has(ctx, PART_SECRET, key)) {
            return parse_fail(ctx, E_INVALID, NULL, "Unknown %s: %s", STATIC_SECRET_NAMES[kind],
                              m->name);
        }
        *ret_slot = parse_slot(ctx, PART_SECRET, key);
        return 0;
    }
    source = ARENA_NEW(parse_arena(ctx), struct config_source);
    at = path_push(ctx, "sds_config");
    r = parse_config_source(ctx, m->sds_config, source);
    if (r < 0) {
        return r;
    }
    path_pop(ctx, at);
    key = secret_key(parse_arena(ctx), name, kind, config_source_hash(source));
    *ret_slot = parse_slot(ctx, PART_SECRET, key);
    parse_subscribe(ctx, PART_SECRET, key, source, STR(""));
    return 0;
}

static int parse_certificates(struct parse_context *ctx, const TLS(CommonTlsContext) * m,
                              struct tls_common *ret)
{
    size_t n = m->n_tls_certificates;
    size_t sds = m->n_tls_certificate_sds_secret_configs;
    const struct tls_certificate **certificates =
        arena_alloc(parse_arena(ctx), n * sizeof(*certificates));
    uint32_t *slots = arena_alloc(parse_arena(ctx), sds * sizeof(*slots));

    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "tls_certificates", i);
        int r = 0;

        if (tls_certificate_is_said(m->tls_certificates[i])) {
            r = parse_tls_certificate(ctx, m->tls_certificates[i],
                                      &certificates[ret->certificate_count++]);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    for (size_t i = 0; i < sds; i++) {
        size_t at = path_push_index(ctx, "tls_certificate_sds_secret_configs", i);
        int r = parse_sds(ctx, m->tls_certificate_sds_secret_configs[i], SECRET_TLS_CERTIFICATE,
                          &slots[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->certificates = certificates;
    ret->certificate_slots = slots;
    ret->certificate_slot_count = sds;
    return 0;
}

static int parse_combined(struct parse_context *ctx,
                          const TLS(CommonTlsContext__CombinedCertificateValidationContext) * m,
                          struct tls_validation *validation, uint32_t *ret_slot)
{
    size_t at;
    int r = parse_check_present(ctx, "default_validation_context", m->default_validation_context);

    if (r == 0) {
        r = parse_check_present(ctx, "validation_context_sds_secret_config",
                                m->validation_context_sds_secret_config);
    }
    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "default_validation_context");
    r = parse_validation_context(ctx, m->default_validation_context, validation);
    if (r < 0) {
        return r;
    }
    path_pop(ctx, at);
    at = path_push(ctx, "validation_context_sds_secret_config");
    r = parse_sds(ctx, m->validation_context_sds_secret_config, SECRET_VALIDATION_CONTEXT,
                  ret_slot);
    path_pop(ctx, at);
    return r;
}

/* With the secret, if it is there. One that is yet to come is refused when it does not fit. */
static int check_validation(struct parse_context *ctx, bool is_san_from_sni,
                            const struct tls_common *c)
{
    const struct secret_config *secret = NULL;
    struct error err;
    int r;

    if (c->validation_slot != SLOT_NONE) {
        secret = (const struct secret_config *)parse_accepted(ctx, PART_SECRET, c->validation_slot);
        if (secret == NULL) {
            return 0;
        }
    }
    error_init(&err);
    r = tls_validation_check(c->validation, secret != NULL ? &secret->validation : NULL,
                             is_san_from_sni, &err);
    if (r < 0) {
        r = parse_fail(ctx, r, NULL, "%s", error_message(&err));
    }
    error_done(&err);
    return r;
}

static int parse_validation(struct parse_context *ctx, const TLS(CommonTlsContext) * m,
                            bool is_san_from_sni, struct tls_common *ret)
{
    struct tls_validation *validation = ARENA_NEW(parse_arena(ctx), struct tls_validation);
    size_t at;
    int r;

    switch (m->validation_context_type_case) {
    case COMMON_VALIDATION(VALIDATION_CONTEXT):
        at = path_push(ctx, "validation_context");
        r = parse_validation_context(ctx, m->validation_context, validation);
        ret->validation = validation;
        break;
    case COMMON_VALIDATION(VALIDATION_CONTEXT_SDS_SECRET_CONFIG):
        at = path_push(ctx, "validation_context_sds_secret_config");
        r = parse_sds(ctx, m->validation_context_sds_secret_config, SECRET_VALIDATION_CONTEXT,
                      &ret->validation_slot);
        break;
    case COMMON_VALIDATION(COMBINED_VALIDATION_CONTEXT):
        at = path_push(ctx, "combined_validation_context");
        r = parse_combined(ctx, m->combined_validation_context, validation, &ret->validation_slot);
        ret->validation = validation;
        break;
    default:
        return 0;
    }
    if (r == 0) {
        r = check_validation(ctx, is_san_from_sni, ret);
    }
    path_pop(ctx, at);
    return r;
}

/* --- what both sides share -------------------------------------------------------------------- */

/* Extension points of which no extension is here. */
static int refuse_extension(struct parse_context *ctx, const char *field,
                            const Envoy__Config__Core__V3__TypedExtensionConfig *m)
{
    struct str type;
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, field);
    r = parse_check_not_empty(ctx, "name", m->name);
    if (r == 0) {
        r = parse_check_present(ctx, "typed_config", m->typed_config);
    }
    if (r == 0) {
        type = any_type_name(m->typed_config);
        r = parse_fail(ctx, E_UNSUPPORTED, NULL,
                       "Didn't find a registered implementation for '%s' with type URL: '%.*s'",
                       m->name, STR_ARG(type));
    }
    path_pop(ctx, at);
    return r;
}

static int parse_common_fields(struct parse_context *ctx, const TLS(CommonTlsContext) * m,
                               bool is_server, bool is_san_from_sni, struct tls_common *ret)
{
    int r = parse_parameters(ctx, m->tls_params, ret);

    if (r == 0) {
        r = parse_alpn(ctx, m, is_server, ret);
    }
    if (r == 0) {
        r = refuse_extension(ctx, "custom_handshaker", m->custom_handshaker);
    }
    if (r == 0) {
        r = refuse_extension(ctx, "custom_tls_certificate_selector",
                             m->custom_tls_certificate_selector);
    }
    if (r == 0) {
        r = parse_certificates(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_validation(ctx, m, is_san_from_sni, ret);
    }
    return r == 0 ? parse_key_log(ctx, m->key_log, &ret->key_log) : r;
}

/* `m` NULL is as an empty one. `ret` has the side's default versions. */
static int parse_common(struct parse_context *ctx, const TLS(CommonTlsContext) * m, bool is_server,
                        bool is_san_from_sni, struct tls_common *ret)
{
    size_t at;
    int r;

    ret->validation_slot = SLOT_NONE;
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "common_tls_context");
    r = parse_common_fields(ctx, m, is_server, is_san_from_sni, ret);
    path_pop(ctx, at);
    ret->hash = config_message_hash(&m->base);
    return r;
}

/* --- servers ---------------------------------------------------------------------------------- */

static int check_server_certificates(struct parse_context *ctx, const TLS(CommonTlsContext) * m)
{
    size_t given = m != NULL ? m->n_tls_certificates : 0;
    size_t by_sds = m != NULL ? m->n_tls_certificate_sds_secret_configs : 0;

    if (given + by_sds == 0) {
        return parse_fail(ctx, E_INVALID, NULL, "No TLS certificates found for server context");
    }
    if (given > 0 && by_sds > 0) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "SDS and non-SDS TLS certificates may not be mixed in server contexts");
    }
    return 0;
}

static int parse_resumption(struct parse_context *ctx, const TLS(DownstreamTlsContext) * m,
                            struct tls_server_config *ret)
{
    size_t at;
    int r = 0;

    ret->ticket_keys_slot = SLOT_NONE;
    switch (m->session_ticket_keys_type_case) {
    case TLS_ENUM(DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_SESSION_TICKET_KEYS):
        at = path_push(ctx, "session_ticket_keys");
        r = parse_ticket_keys(ctx, m->session_ticket_keys, &ret->ticket_keys);
        path_pop(ctx, at);
        break;
    case TLS_ENUM(
        DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_SESSION_TICKET_KEYS_SDS_SECRET_CONFIG):
        at = path_push(ctx, "session_ticket_keys_sds_secret_config");
        r = parse_sds(ctx, m->session_ticket_keys_sds_secret_config, SECRET_SESSION_TICKET_KEYS,
                      &ret->ticket_keys_slot);
        path_pop(ctx, at);
        break;
    case TLS_ENUM(
        DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_DISABLE_STATELESS_SESSION_RESUMPTION):
        ret->disable_stateless_resumption = m->disable_stateless_session_resumption;
        break;
    default:
        break;
    }
    ret->disable_stateful_resumption = m->disable_stateful_session_resumption;
    if (r == 0) {
        r = parse_opt_ms(ctx, "session_timeout", m->session_timeout, DURATION_ANY,
                         &ret->session_timeout);
    }
    if (r == 0 && ret->session_timeout.is_set &&
        ret->session_timeout.ms / 1000 >= UINT64_C(4294967296)) {
        r = parse_fail(ctx, E_INVALID, "session_timeout", "value must be less than 4294967296s");
    }
    return r;
}

int parse_downstream_tls_context(struct parse_context *ctx, const TLS(DownstreamTlsContext) * m,
                                 struct tls_server_config *ret)
{
    static const enum tls_ocsp_policy POLICIES[] = {
        [TLS_ENUM(DOWNSTREAM_TLS_CONTEXT__OCSP_STAPLE_POLICY__LENIENT_STAPLING)] =
            OCSP_LENIENT_STAPLING,
        [TLS_ENUM(DOWNSTREAM_TLS_CONTEXT__OCSP_STAPLE_POLICY__STRICT_STAPLING)] =
            OCSP_STRICT_STAPLING,
        [TLS_ENUM(DOWNSTREAM_TLS_CONTEXT__OCSP_STAPLE_POLICY__MUST_STAPLE)] = OCSP_MUST_STAPLE,
    };
    int r =
        parse_check_enum(ctx, "ocsp_staple_policy", (int)m->ocsp_staple_policy,
                         &TLS_DESCRIPTOR(downstream_tls_context__ocsp_staple_policy__descriptor));

    if (r < 0) {
        return r;
    }
    ret->common.min_version = TLS_1_2;
    ret->common.max_version = TLS_1_3;
    r = check_server_certificates(ctx, m->common_tls_context);
    if (r == 0) {
        r = parse_common(ctx, m->common_tls_context, true, false, &ret->common);
    }
    if (r == 0 && ret->common.certificate_count + ret->common.certificate_slot_count == 0) {
        r = parse_fail(ctx, E_INVALID, NULL,
                       "Server TlsCertificates must have a certificate specified");
    }
    if (r == 0) {
        r = parse_resumption(ctx, m, ret);
    }
    ret->require_client_certificate = parse_bool_or(m->require_client_certificate, false);
    ret->full_scan_certs_on_sni_mismatch = parse_bool_or(m->full_scan_certs_on_sni_mismatch, false);
    ret->prefer_client_ciphers = m->prefer_client_ciphers;
    ret->ocsp_policy = POLICIES[m->ocsp_staple_policy];
    return r;
}

/* --- clients ---------------------------------------------------------------------------------- */

static int check_client_certificates(struct parse_context *ctx, const TLS(CommonTlsContext) * m)
{
    if (m != NULL && m->n_tls_certificates + m->n_tls_certificate_sds_secret_configs > 1) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Multiple TLS certificates are not supported for client contexts");
    }
    return 0;
}

/* What is read and does nothing (README, "Differs from Envoy"). */
static int report_client(struct parse_context *ctx, const TLS(UpstreamTlsContext) * m)
{
    int r =
        m->allow_renegotiation ? parse_report_unsupported(ctx, &m->base, "allow_renegotiation") : 0;

    if (r == 0 && !parse_bool_or(m->enforce_rsa_key_usage, true)) {
        r = parse_report_unsupported(ctx, &m->base, "enforce_rsa_key_usage");
    }
    return r;
}

int parse_upstream_tls_context(struct parse_context *ctx, const TLS(UpstreamTlsContext) * m,
                               struct tls_client_config *ret)
{
    int r = parse_check_max_bytes(ctx, "sni", m->sni, SNI_MAX);

    if (r == 0) {
        r = check_client_certificates(ctx, m->common_tls_context);
    }
    if (r == 0) {
        r = report_client(ctx, m);
    }
    if (r < 0) {
        return r;
    }
    ret->common.min_version = TLS_1_2;
    ret->common.max_version = TLS_1_2; /* as Envoy */
    r = parse_common(ctx, m->common_tls_context, false, m->auto_sni_san_validation, &ret->common);
    ret->sni = parse_str(ctx, m->sni);
    ret->auto_host_sni = m->auto_host_sni;
    ret->auto_sni_san_validation = m->auto_sni_san_validation;
    ret->allow_renegotiation = m->allow_renegotiation;
    ret->enforce_rsa_key_usage = parse_bool_or(m->enforce_rsa_key_usage, true);
    ret->max_session_keys = parse_u32_or(m->max_session_keys, 1);
    if (r == 0 && ret->auto_sni_san_validation && ret->common.validation == NULL &&
        ret->common.validation_slot == SLOT_NONE) {
        r = parse_fail(ctx, E_INVALID, NULL,
                       "'auto_sni_san_validation' was configured without a validation context");
    }
    return r;
}
