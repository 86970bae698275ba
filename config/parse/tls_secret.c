/* Certificates, validation contexts, ticket keys and the secrets that carry them. Main thread. */

#include "config/parse/tls_secret.h"

#include <string.h>

#include "config/any.h"
#include "config/parse/canonical.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/matcher.h"
#include "dataplane/base/base64.h"
#include "dataplane/base/hash.h"
#include "proto/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.pb-c.h"

/* protoc-c's names are as long as the path. */
#define TLS(suffix) Envoy__Extensions__TransportSockets__Tls__V3__##suffix
#define TLS_ENUM(suffix) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__##suffix
#define TLS_DESCRIPTOR(suffix) envoy__extensions__transport_sockets__tls__v3__##suffix

typedef Envoy__Config__Core__V3__DataSource data_source;
typedef Envoy__Config__Core__V3__WatchedDirectory watched_directory;

#define DATA(suffix) ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_##suffix
#define DEFAULT_VALIDATOR "envoy.tls.cert_validator.default"
#define SPIFFE_VALIDATOR "envoy.tls.cert_validator.spiffe"
#define SPIFFE_TYPE "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"

/* --- data sources ----------------------------------------------------------------------------- */

/* A secret is another one when its files are, under the same configuration. (A filter chain keeps
 * its connections then: Envoy does not look at such files again either.) */
static void mix_into_part(struct parse_context *ctx, struct str bytes)
{
    if (ctx->part->kind == PART_SECRET) {
        ctx->part->hash = hash_mix(ctx->part->hash, bytes.ptr, bytes.len);
    }
}

static void note_file(struct parse_context *ctx, const struct tls_data *data)
{
    struct secret_file *f;

    mix_into_part(ctx, data->bytes);
    if (ctx->part->kind == PART_SECRET) {
        f = ARENA_NEW(parse_arena(ctx), struct secret_file);
        *f = (struct secret_file){.next = ctx->files, .path = data->name, .bytes = data->bytes};
        ctx->files = f;
    }
}

/* `watched` NULL: the directory that the file stands in. */
static void watch_file(struct parse_context *ctx, struct str path, const watched_directory *watched)
{
    size_t slash = str_rfind_char(path, '/');

    if (watched != NULL) {
        parse_watch(ctx, parse_str(ctx, watched->path));
    } else {
        parse_watch(ctx, slash == STR_NPOS ? STR(".") : str_sub(path, 0, slash == 0 ? 1 : slash));
    }
}

/* `m` NULL: stays empty. `field` NULL: at the current path. */
static int read_data(struct parse_context *ctx, const char *field, const data_source *m,
                     const watched_directory *watched, struct tls_data *ret)
{
    size_t at;
    int r;

    *ret = (struct tls_data){0};
    if (m == NULL) {
        return 0;
    }
    at = field != NULL ? path_push(ctx, field) : ctx->path.len;
    if (m->specifier_case == DATA(FILENAME)) {
        ret->name = parse_str(ctx, m->filename);
        watch_file(ctx, ret->name, watched);
    }
    r = parse_data_source(ctx, m, 0, &ret->bytes);
    if (r < 0) {
        return r;
    }
    if (ret->name.len > 0) {
        note_file(ctx, ret);
    } else if (ret->bytes.len > 0) {
        ret->name = STR("<inline>");
    }
    path_pop(ctx, at);
    return 0;
}

/* As Envoy reads certificates and keys that no control plane sent: a file or variable that is not
 * there is as an empty one. */
static int read_if_there(struct parse_context *ctx, const char *field, const data_source *m,
                         const watched_directory *watched, struct tls_data *ret)
{
    bool is_named =
        m != NULL &&
        ((m->specifier_case == DATA(FILENAME) && m->filename[0] != '\0') ||
         (m->specifier_case == DATA(ENVIRONMENT_VARIABLE) && m->environment_variable[0] != '\0'));
    bool is_discovered = ctx->part->kind == PART_SECRET && !ctx->is_static;
    struct error *err = ctx->err;
    struct error ignored;
    size_t at = ctx->path.len;

    if (!is_named || is_discovered) {
        return read_data(ctx, field, m, watched, ret);
    }
    error_init(&ignored);
    ctx->err = &ignored;
    if (read_data(ctx, field, m, watched, ret) < 0) {
        ret->bytes = STR_NONE;
        path_pop(ctx, at);
    }
    ctx->err = err;
    error_done(&ignored);
    return 0;
}

/* One that is configured is not empty. */
static int check_data(struct parse_context *ctx, const char *field, const struct tls_data *data)
{
    if (data->bytes.len > 0) {
        return 0;
    }
    return data->name.len > 0
               ? parse_fail(ctx, E_INVALID, field, "file %.*s is empty", STR_ARG(data->name))
               : parse_fail(ctx, E_INVALID, field, "DataSource cannot be empty");
}

/* The error of a builder, at the current path. */
static int builder_failed(struct parse_context *ctx, int code, const struct error *err)
{
    return parse_fail(ctx, code, NULL, "%s", error_message(err));
}

/* --- certificates ----------------------------------------------------------------------------- */

static int check_watched(struct parse_context *ctx, const watched_directory *m)
{
    return m != NULL ? parse_check_not_empty(ctx, "watched_directory.path", m->path) : 0;
}

static int check_certificate_sources(struct parse_context *ctx, const TLS(TlsCertificate) * m)
{
    if (m->pkcs12 != NULL && (m->certificate_chain != NULL || m->private_key != NULL)) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Certificate configuration can't have both pkcs12 and %s",
                          m->private_key != NULL ? "private_key" : "certificate_chain");
    }
    if (m->private_key_provider != NULL) {
        int r = parse_check_not_empty(ctx, "private_key_provider.provider_name",
                                      m->private_key_provider->provider_name);

        return r < 0
                   ? r
                   : parse_fail(ctx, E_UNSUPPORTED, NULL, "Failed to load private key provider: %s",
                                m->private_key_provider->provider_name);
    }
    if (m->ocsp_staple != NULL && m->ocsp_staple->specifier_case == DATA(INLINE_STRING)) {
        return parse_fail(ctx, E_INVALID, NULL, "OCSP staple cannot be provided via inline_string");
    }
    return check_watched(ctx, m->watched_directory);
}

static int read_certificate(struct parse_context *ctx, const TLS(TlsCertificate) * m,
                            struct tls_certificate_source *ret)
{
    int r = read_if_there(ctx, "certificate_chain", m->certificate_chain, m->watched_directory,
                          &ret->chain);

    if (r == 0) {
        r = read_if_there(ctx, "private_key", m->private_key, m->watched_directory, &ret->key);
    }
    if (r == 0) {
        r = read_if_there(ctx, "pkcs12", m->pkcs12, m->watched_directory, &ret->pkcs12);
    }
    if (r == 0) {
        r = read_if_there(ctx, "password", m->password, m->watched_directory, &ret->password);
    }
    return r < 0 ? r
                 : read_data(ctx, "ocsp_staple", m->ocsp_staple, m->watched_directory,
                             &ret->ocsp_staple);
}

int parse_tls_certificate(struct parse_context *ctx, const TLS(TlsCertificate) * m,
                          const struct tls_certificate **ret)
{
    struct tls_certificate_source source;
    struct error err;
    int r = check_certificate_sources(ctx, m);

    *ret = NULL;
    if (r == 0) {
        r = read_certificate(ctx, m, &source);
    }
    if (r == 0 && m->pkcs12 != NULL && source.pkcs12.bytes.len == 0) {
        r = parse_fail(ctx, E_INVALID, NULL, "Failed to load certificate chain from");
    }
    if (r < 0 || ctx->tls == NULL) {
        return r;
    }
    error_init(&err);
    r = ctx->tls->certificate(ctx->part, &source, ret, &err);
    if (r < 0) {
        r = builder_failed(ctx, r, &err);
    }
    error_done(&err);
    return r;
}

bool tls_certificate_is_said(const TLS(TlsCertificate) * m)
{
    return m->private_key_provider != NULL || m->certificate_chain != NULL ||
           m->private_key != NULL || m->pkcs12 != NULL;
}

/* --- what peers are held against -------------------------------------------------------------- */

/* Where trust is read from. */
struct trust_fields {
    const char *ca_field;
    const data_source *ca;
    const data_source *crl;
    const watched_directory *watched;
    struct str trust_domain; /* of the SPIFFE validator, else empty */
};

/* Of the SPIFFE validator's bundles the builder says what is wrong. */
static int read_trust(struct parse_context *ctx, const struct trust_fields *from,
                      struct tls_trust_source *ret)
{
    bool is_bundle = from->trust_domain.len > 0;
    const data_source *ca =
        is_bundle && from->ca != NULL && from->ca->specifier_case == DATA(_NOT_SET) ? NULL
                                                                                    : from->ca;
    int r = read_data(ctx, from->ca_field, ca, from->watched, &ret->ca);

    if (r == 0 && ca != NULL && !is_bundle) {
        r = check_data(ctx, from->ca_field, &ret->ca);
    }
    return r < 0 ? r : read_data(ctx, "crl", from->crl, from->watched, &ret->crl);
}

static int build_trust(struct parse_context *ctx, const struct tls_trust_source *source,
                       const struct tls_trust **ret)
{
    struct error err;
    int r;

    if (ctx->tls == NULL || (source->ca.bytes.len == 0 && source->crl.bytes.len == 0 &&
                             source->trust_domain.len == 0)) {
        return 0;
    }
    error_init(&err);
    r = ctx->tls->trust(ctx->part, source, ret, &err);
    if (r < 0) {
        r = builder_failed(ctx, r, &err);
    }
    error_done(&err);
    return r;
}

static enum tls_san_type san_type(TLS(SubjectAltNameMatcher__SanType) type)
{
    switch (type) {
    case TLS_ENUM(SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__EMAIL):
        return TLS_SAN_EMAIL;
    case TLS_ENUM(SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__DNS):
        return TLS_SAN_DNS;
    case TLS_ENUM(SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__URI):
        return TLS_SAN_URI;
    case TLS_ENUM(SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__IP_ADDRESS):
        return TLS_SAN_IP;
    default:
        return TLS_SAN_OTHER_NAME;
    }
}

static int parse_typed_san(struct parse_context *ctx, const TLS(SubjectAltNameMatcher) * m,
                           struct tls_san_matcher *ret)
{
    size_t at;
    int r = parse_check_enum(ctx, "san_type", (int)m->san_type,
                             &TLS_DESCRIPTOR(subject_alt_name_matcher__san_type__descriptor));

    if (r == 0 &&
        m->san_type == TLS_ENUM(SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__SAN_TYPE_UNSPECIFIED)) {
        r = parse_fail(ctx, E_INVALID, "san_type", "value must not be in list [0]");
    }
    if (r == 0) {
        r = parse_check_present(ctx, "matcher", m->matcher);
    }
    if (r < 0) {
        return r;
    }
    ret->type = san_type(m->san_type);
    ret->oid = parse_str(ctx, m->oid);
    if (ret->type == TLS_SAN_OTHER_NAME && ctx->tls != NULL && !ctx->tls->is_oid(ret->oid)) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Failed to create SAN matcher for OTHER_NAME with OID: %s", m->oid);
    }
    at = path_push(ctx, "matcher");
    r = parse_string_matcher(ctx, m->matcher, &ret->matcher);
    path_pop(ctx, at);
    return r;
}

/* The typed ones count; the deprecated list only where there are none. */
static int parse_sans(struct parse_context *ctx, const TLS(CertificateValidationContext) * m,
                      struct tls_validation *ret)
{
    size_t typed = m->n_match_typed_subject_alt_names;
    size_t count = typed > 0 ? typed : m->n_match_subject_alt_names;
    struct tls_san_matcher *sans;

    sans = ARENA_ARRAY(parse_arena(ctx), struct tls_san_matcher, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = path_push_index(
            ctx, typed > 0 ? "match_typed_subject_alt_names" : "match_subject_alt_names", i);
        int r = typed > 0
                    ? parse_typed_san(ctx, m->match_typed_subject_alt_names[i], &sans[i])
                    : parse_string_matcher(ctx, m->match_subject_alt_names[i], &sans[i].matcher);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->sans = sans;
    ret->san_count = count;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "DF:6F:..." or "df6f...". As Envoy: in a text of the longer form's length colons do not count. */
static bool read_hex_digest(const char *s, struct tls_digest *ret)
{
    bool skips_colons = strlen(s) == 3 * sizeof(ret->bytes) - 1;
    size_t n = 0;

    for (; *s != '\0'; s++) {
        int digit = hex_digit(*s);

        if (*s == ':' && skips_colons) {
            continue;
        }
        if (digit < 0 || n == 2 * sizeof(ret->bytes)) {
            return false;
        }
        ret->bytes[n / 2] = (uint8_t)(ret->bytes[n / 2] << 4 | digit);
        n++;
    }
    return n == 2 * sizeof(ret->bytes);
}

static bool read_base64_digest(const char *s, struct tls_digest *ret)
{
    struct str text = str_c(s);
    uint8_t bytes[BASE64_DECODED_MAX(44 + 3)];
    struct base64_decoder d = {0};
    size_t n = 0;

    if (text.len != 44 || base64_decode_some(&d, text, bytes, &n) != 0 || n != sizeof(ret->bytes)) {
        return false;
    }
    memcpy(ret->bytes, bytes, n);
    return true;
}

static int parse_digests(struct parse_context *ctx, const char *field, char *const *texts, size_t n,
                         bool is_base64, const struct tls_digest **ret, size_t *ret_count)
{
    struct tls_digest *digests = ARENA_ARRAY(parse_arena(ctx), struct tls_digest, n);

    for (size_t i = 0; i < n; i++) {
        bool ok = is_base64 ? read_base64_digest(texts[i], &digests[i])
                            : read_hex_digest(texts[i], &digests[i]);

        if (!ok) {
            size_t at = path_push_index(ctx, field, i);
            int r = parse_fail(ctx, E_INVALID, NULL,
                               is_base64 ? "Invalid base64-encoded SHA-256 %s"
                                         : "Invalid hex-encoded SHA-256 %s",
                               texts[i]);

            path_pop(ctx, at);
            return r;
        }
    }
    *ret = digests;
    *ret_count = n;
    return 0;
}

/* --- SPIFFE ----------------------------------------------------------------------------------- */

static int check_domain_is_new(struct parse_context *ctx, const TLS(SPIFFECertValidatorConfig) * m,
                               size_t i)
{
    for (size_t before = 0; before < i; before++) {
        if (strcmp(m->trust_domains[before]->name, m->trust_domains[i]->name) == 0) {
            return parse_fail(ctx, E_INVALID, NULL,
                              "Multiple trust bundles are given for one trust domain for %s, "
                              "workload: ",
                              m->trust_domains[i]->name);
        }
    }
    return 0;
}

static int parse_trust_domain(struct parse_context *ctx,
                              const TLS(SPIFFECertValidatorConfig__TrustDomain) * m,
                              struct tls_trust_domain *ret)
{
    /* As Envoy: the field's rule is not looked at. No URI is of the domain without a name. */
    struct trust_fields fields = {
        .ca_field = "trust_bundle",
        .ca = m->trust_bundle,
        .trust_domain = m->name[0] != '\0' ? parse_str(ctx, m->name) : STR("\"\""),
    };
    struct tls_trust_source source = {.trust_domain = fields.trust_domain};
    int r = read_trust(ctx, &fields, &source);

    ret->name = parse_str(ctx, m->name);
    return r < 0 ? r : build_trust(ctx, &source, &ret->bundle);
}

/* Without any domain nobody is believed. */
static int parse_spiffe(struct parse_context *ctx, const TLS(SPIFFECertValidatorConfig) * m,
                        struct tls_validation *ret)
{
    struct tls_trust_domain *domains =
        ARENA_ARRAY(parse_arena(ctx), struct tls_trust_domain, m->n_trust_domains);

    for (size_t i = 0; i < m->n_trust_domains; i++) {
        size_t at = path_push_index(ctx, "trust_domains", i);
        int r = check_domain_is_new(ctx, m, i);

        if (r == 0) {
            r = parse_trust_domain(ctx, m->trust_domains[i], &domains[i]);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->is_spiffe = true;
    ret->trust_domains = domains;
    ret->trust_domain_count = m->n_trust_domains;
    return 0;
}

static int parse_spiffe_any(struct parse_context *ctx, const Google__Protobuf__Any *any,
                            struct tls_validation *ret)
{
    size_t at = path_push(ctx, "typed_config");
    ProtobufCMessage *m = NULL;
    struct arena scratch;
    int r;

    if (!str_eq(any_type_name(any), STR(SPIFFE_TYPE))) {
        return parse_fail(ctx, E_INVALID, NULL, "a " SPIFFE_TYPE " is expected");
    }
    arena_init(&scratch, NULL);
    r = any_unpack(ctx, any, &TLS_DESCRIPTOR(spiffecert_validator_config__descriptor), &scratch,
                   &m);
    if (r == 0) {
        r = parse_spiffe(ctx, (const TLS(SPIFFECertValidatorConfig) *)m, ret);
    }
    arena_done(&scratch);
    path_pop(ctx, at);
    return r;
}

/* As Envoy: found by name. */
static int parse_custom_validator(struct parse_context *ctx,
                                  const Envoy__Config__Core__V3__TypedExtensionConfig *m,
                                  struct tls_validation *ret)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "custom_validator_config");
    r = parse_check_not_empty(ctx, "name", m->name);
    if (r == 0) {
        r = parse_check_present(ctx, "typed_config", m->typed_config);
    }
    if (r == 0 && str_eq(str_c(m->name), STR(SPIFFE_VALIDATOR))) {
        r = parse_spiffe_any(ctx, m->typed_config, ret);
    } else if (r == 0 && !str_eq(str_c(m->name), STR(DEFAULT_VALIDATOR))) {
        r = parse_fail(ctx, E_UNSUPPORTED, NULL,
                       "Failed to get certificate validator factory for %s", m->name);
    }
    path_pop(ctx, at);
    return r;
}

/* --- the validation context ------------------------------------------------------------------- */

static int parse_ca(struct parse_context *ctx, const TLS(CertificateValidationContext) * m,
                    struct tls_validation *ret)
{
    struct trust_fields fields = {
        .ca_field = "trusted_ca",
        .ca = m->trusted_ca,
        .crl = m->crl,
        .watched = m->watched_directory,
    };
    struct tls_trust_source source = {.trust_domain = STR_NONE};
    int r = read_trust(ctx, &fields, &source);

    ret->has_ca = m->trusted_ca != NULL;
    ret->has_crl = m->crl != NULL;
    ret->crl_name = source.crl.bytes.len > 0 ? source.crl.name : STR_NONE;
    return r < 0 || ret->is_spiffe ? r : build_trust(ctx, &source, &ret->trust);
}

static int parse_validation_rules(struct parse_context *ctx,
                                  const TLS(CertificateValidationContext) * m)
{
    int r = parse_check_enum(
        ctx, "trust_chain_verification", (int)m->trust_chain_verification,
        &TLS_DESCRIPTOR(certificate_validation_context__trust_chain_verification__descriptor));

    if (r == 0 && m->max_verify_depth != NULL && m->max_verify_depth->value > 100) {
        r = parse_fail(ctx, E_INVALID, "max_verify_depth",
                       "value must be less than or equal to 100");
    }
    return r == 0 ? check_watched(ctx, m->watched_directory) : r;
}

int parse_validation_context(struct parse_context *ctx, const TLS(CertificateValidationContext) * m,
                             struct tls_validation *ret)
{
    int r = parse_validation_rules(ctx, m);

    *ret = (struct tls_validation){
        .allow_expired = m->allow_expired_certificate,
        .accepts_untrusted =
            m->trust_chain_verification ==
            TLS_ENUM(CERTIFICATE_VALIDATION_CONTEXT__TRUST_CHAIN_VERIFICATION__ACCEPT_UNTRUSTED),
        .only_verify_leaf_crl = m->only_verify_leaf_cert_crl,
        .suppresses_client_ca_list = m->suppress_client_ca_list,
        .max_verify_depth = parse_opt_u32(m->max_verify_depth),
    };
    if (r == 0) {
        r = parse_custom_validator(ctx, m->custom_validator_config, ret);
    }
    if (r == 0) {
        r = parse_ca(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_sans(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_digests(ctx, "verify_certificate_hash", m->verify_certificate_hash,
                          m->n_verify_certificate_hash, false, &ret->certificate_hashes,
                          &ret->certificate_hash_count);
    }
    return r < 0 ? r
                 : parse_digests(ctx, "verify_certificate_spki", m->verify_certificate_spki,
                                 m->n_verify_certificate_spki, true, &ret->spki_hashes,
                                 &ret->spki_hash_count);
}

/* --- ticket keys ------------------------------------------------------------------------------ */

int parse_ticket_keys(struct parse_context *ctx, const TLS(TlsSessionTicketKeys) * m,
                      struct tls_ticket_keys *ret)
{
    uint8_t(*keys)[TLS_TICKET_KEY_BYTES];

    if (m->n_keys == 0) {
        return parse_fail(ctx, E_INVALID, "keys", "value must contain at least 1 item(s)");
    }
    keys = arena_alloc(parse_arena(ctx), m->n_keys * sizeof(*keys));
    for (size_t i = 0; i < m->n_keys; i++) {
        size_t at = path_push_index(ctx, "keys", i);
        struct tls_data key;
        int r = read_data(ctx, NULL, m->keys[i], NULL, &key);

        if (r == 0) {
            r = check_data(ctx, NULL, &key);
        }
        if (r == 0 && key.bytes.len != TLS_TICKET_KEY_BYTES) {
            r = parse_fail(ctx, E_INVALID, NULL,
                           "Incorrect TLS session ticket key length. Length %zu, expected length "
                           "%d.",
                           key.bytes.len, TLS_TICKET_KEY_BYTES);
        }
        if (r < 0) {
            return r;
        }
        memcpy(keys[i], key.bytes.ptr, key.bytes.len);
        path_pop(ctx, at);
    }
    ret->keys = (const uint8_t(*)[TLS_TICKET_KEY_BYTES])keys;
    ret->count = m->n_keys;
    return 0;
}

/* --- secrets ---------------------------------------------------------------------------------- */

enum secret_kind secret_message_kind(const TLS(Secret) * m)
{
    switch (m->type_case) {
    case TLS_ENUM(SECRET__TYPE_SESSION_TICKET_KEYS):
        return SECRET_SESSION_TICKET_KEYS;
    case TLS_ENUM(SECRET__TYPE_VALIDATION_CONTEXT):
        return SECRET_VALIDATION_CONTEXT;
    case TLS_ENUM(SECRET__TYPE_GENERIC_SECRET):
        return SECRET_GENERIC;
    default:
        return SECRET_TLS_CERTIFICATE;
    }
}

int parse_secret(struct parse_context *ctx, const TLS(Secret) * m, struct secret_config *ret)
{
    struct tls_data generic;
    size_t at;
    int r;

    ret->name = parse_str(ctx, m->name);
    ret->kind = secret_message_kind(m);
    ctx->part->hash = config_message_hash(&m->base);
    switch (m->type_case) {
    case TLS_ENUM(SECRET__TYPE_TLS_CERTIFICATE):
        at = path_push(ctx, "tls_certificate");
        r = parse_tls_certificate(ctx, m->tls_certificate, &ret->certificate);
        break;
    case TLS_ENUM(SECRET__TYPE_SESSION_TICKET_KEYS):
        at = path_push(ctx, "session_ticket_keys");
        r = parse_ticket_keys(ctx, m->session_ticket_keys, &ret->ticket_keys);
        break;
    case TLS_ENUM(SECRET__TYPE_VALIDATION_CONTEXT):
        at = path_push(ctx, "validation_context");
        r = parse_validation_context(ctx, m->validation_context, &ret->validation);
        break;
    case TLS_ENUM(SECRET__TYPE_GENERIC_SECRET):
        at = path_push(ctx, "generic_secret");
        r = read_data(ctx, "secret", m->generic_secret->secret, NULL, &generic);
        ret->generic = generic.bytes;
        break;
    default:
        return parse_fail(ctx, E_INVALID, NULL, "Secret type not implemented");
    }
    ret->files = ctx->files;
    if (r == 0) {
        path_pop(ctx, at);
    }
    return r;
}
