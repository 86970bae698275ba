/*
 * Whether a peer's chain is accepted: Envoy's default certificate validator, in its order, with
 * its sentences. Runs inside the handshake, on the connection's thread; nothing is kept.
 */

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/tls/san.h"
#include "dataplane/tls/trust.h"
#include "dataplane/tls/verify_internal.h"
#include "dataplane/tls/x509_text.h"

/* --- the chain ------------------------------------------------------------------------------ */

/* Where the certificate says its CRLs are: for an operator who gave us others. */
static void add_distribution_points(const X509 *x509, struct strbuf *out)
{
    CRL_DIST_POINTS *points =
        (CRL_DIST_POINTS *)X509_get_ext_d2i(x509, NID_crl_distribution_points, NULL, NULL);
    size_t count = points != NULL ? sk_DIST_POINT_num(points) : 0;
    const char *before = ", certificate CRL distribution points: [";
    size_t start = out->len;
    size_t i;
    size_t j;

    for (i = 0; i < count; i++) {
        const DIST_POINT_NAME *name = sk_DIST_POINT_value(points, i)->distpoint;

        for (j = 0; name != NULL && name->type == 0 && j < sk_GENERAL_NAME_num(name->name.fullname);
             j++) {
            strbuf_add_c(out, before);
            (void)x509_san_text(sk_GENERAL_NAME_value(name->name.fullname, j),
                                out); /* or nothing */
            before = ", ";
        }
    }
    if (out->len > start) {
        strbuf_add_char(out, ']');
    }
    CRL_DIST_POINTS_free(points);
}

/* What Envoy sets apart: the certificate itself may be well. */
static const char *crl_prefix(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_REVOKED:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "certificate revocation check against provided CRLs failed: ";
    default:
        return "";
    }
}

static void refuse_chain(X509_STORE_CTX *ctx, struct verdict *verdict)
{
    int error = X509_STORE_CTX_get_error(ctx);
    const char *prefix = crl_prefix(error);

    strbuf_addf(verdict->reason,
                "verify cert failed: X509_verify_cert: certificate verification error at depth %d: "
                "%s%s",
                X509_STORE_CTX_get_error_depth(ctx), prefix, X509_verify_cert_error_string(error));
    if (prefix[0] != '\0') {
        add_distribution_points(X509_STORE_CTX_get_current_cert(ctx), verdict->reason);
    }
    verdict->alert = (uint8_t)SSL_alert_from_verify_result(error);
}

/* BoringSSL's verify callback: what is wrong with a time is not wrong. */
static int verify_on_expired(int ok, X509_STORE_CTX *ctx)
{
    switch (X509_STORE_CTX_get_error(ctx)) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return 1;
    default:
        return ok;
    }
}

static struct tls_issuer *issuer_new(const X509 *x509)
{
    struct tls_issuer *i;
    struct strbuf serial;

    strbuf_init(&serial);
    x509_serial_text(x509, &serial);
    i = (struct tls_issuer *)xmalloc(sizeof(*i) + serial.len);
    i->serial = str_n(memcpy(i + 1, serial.ptr, serial.len), serial.len);
    CHECK(X509_digest(x509, EVP_sha256(), i->sha256, NULL));
    strbuf_done(&serial);
    return i;
}

static void note_issuer(X509_STORE_CTX *ctx, const struct tls_verify_params *p)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);

    if (p->ret_issuer != NULL && sk_X509_num(chain) > 1) {
        free(*p->ret_issuer);
        *p->ret_issuer = issuer_new(sk_X509_value(chain, 1));
    }
}

bool tls_chain_is_trusted(STACK_OF(X509) * chain, const struct chain_check *check,
                          struct verdict *verdict)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool is_trusted = false;

    if (ctx == NULL || check->store == NULL ||
        !X509_STORE_CTX_init(ctx, check->store, sk_X509_value(chain, 0), chain) ||
        (check->purpose != NULL && !X509_STORE_CTX_set_default(ctx, check->purpose))) {
        strbuf_add_c(verdict->reason, "verify cert failed: init and setup X509_STORE_CTX");
        goto done;
    }
    X509_STORE_CTX_set_flags(ctx, check->flags);
    X509_STORE_CTX_set_time(ctx, 0, (time_t)verdict->params->now_s);
    if (check->allows_expired) {
        X509_STORE_CTX_set_verify_cb(ctx, verify_on_expired);
    }
    if (check->depth >= 0) {
        X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), check->depth);
    }
    if (check->crls != NULL) {
        X509_STORE_CTX_set0_crls(ctx, check->crls);
    }
    is_trusted = X509_verify_cert(ctx) == 1;
    if (is_trusted) {
        note_issuer(ctx, verdict->params);
    } else {
        refuse_chain(ctx, verdict);
    }
done:
    X509_STORE_CTX_free(ctx);
    return is_trusted;
}

static bool is_chain_trusted(STACK_OF(X509) * chain, const struct validation *v, X509_STORE *store,
                             struct verdict *verdict)
{
    struct chain_check check = {
        .store = store,
        .purpose = verdict->params->is_server ? "ssl_client" : "ssl_server",
        .flags = X509_V_FLAG_PARTIAL_CHAIN,
        .allows_expired = v->allows_expired,
        .crls = v->crls,
        .depth = -1,
    };

    if (v->crls != NULL || (v->ca != NULL && v->ca->has_bundled_crls)) {
        check.flags |= X509_V_FLAG_CRL_CHECK;
        check.flags |= v->only_leaf_crl ? 0 : X509_V_FLAG_CRL_CHECK_ALL;
    }
    /* As Envoy: a limit for clients only, the trust anchor counted (BoringSSL leaves it out). */
    if (verdict->params->is_server && v->max_verify_depth.is_set) {
        uint32_t depth = v->max_verify_depth.value;

        check.depth = depth > INT32_MAX ? INT32_MAX : depth > 0 ? (int)depth - 1 : 0;
    }
    return tls_chain_is_trusted(chain, &check, verdict);
}

/* --- the leaf ------------------------------------------------------------------------------- */

static bool is_any_expected(const GENERAL_NAMES *sans, const struct tls_verify_params *p)
{
    size_t i;
    size_t j;

    for (i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
        for (j = 0; j < p->san_count; j++) {
            if (tls_san_is(sk_GENERAL_NAME_value(sans, i), p->sans[j])) {
                return true;
            }
        }
    }
    return false;
}

/* Where there is a typed matcher, the untyped (deprecated) ones are as if they were not there. */
static bool has_typed_matcher(const struct validation *v)
{
    size_t i;
    size_t j;

    for (i = 0; i < v->part_count; i++) {
        for (j = 0; j < v->parts[i]->san_count; j++) {
            if (v->parts[i]->sans[j].type != TLS_SAN_ANY) {
                return true;
            }
        }
    }
    return false;
}

static bool san_matches_part(const GENERAL_NAME *san, const struct tls_validation *part,
                             bool only_typed)
{
    size_t i;

    for (i = 0; i < part->san_count; i++) {
        if ((!only_typed || part->sans[i].type != TLS_SAN_ANY) &&
            tls_san_matches(san, &part->sans[i])) {
            return true;
        }
    }
    return false;
}

static bool do_sans_match(const GENERAL_NAMES *sans, const struct validation *v)
{
    bool only_typed = has_typed_matcher(v);
    size_t i;
    size_t j;

    for (i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
        for (j = 0; j < v->part_count; j++) {
            if (san_matches_part(sk_GENERAL_NAME_value(sans, i), v->parts[j], only_typed)) {
                return true;
            }
        }
    }
    return false;
}

static bool is_server_name_among(const GENERAL_NAMES *sans, struct str server_name)
{
    size_t i;

    for (i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
        if (tls_san_is_dns(sk_GENERAL_NAME_value(sans, i), server_name)) {
            return true;
        }
    }
    return false;
}

static enum tls_verify_result refuse_matchers(const GENERAL_NAMES *sans, struct verdict *verdict)
{
    strbuf_add_c(verdict->reason, "verify cert failed: SAN matcher, certificate SANs are [");
    tls_sans_text(sans, verdict->reason);
    strbuf_add_char(verdict->reason, ']');
    return TLS_FAIL_SAN;
}

static enum tls_verify_result refuse_list(const GENERAL_NAMES *sans, struct verdict *verdict)
{
    const struct tls_verify_params *p = verdict->params;
    size_t i;

    strbuf_add_c(verdict->reason, "verify cert failed: verify SAN list, expected SANs: [");
    for (i = 0; i < p->san_count; i++) {
        strbuf_add_c(verdict->reason, i > 0 ? ", " : "");
        strbuf_add_str(verdict->reason, p->sans[i]);
    }
    strbuf_add_c(verdict->reason, "], certificate SANs: [");
    tls_sans_text(sans, verdict->reason);
    strbuf_add_char(verdict->reason, ']');
    return TLS_FAIL_SAN;
}

/* The names: a list for this connection alone is looked at besides the configured matchers; the
 * server name takes their place. */
static enum tls_verify_result check_names(X509 *leaf, const struct validation *v,
                                          struct verdict *verdict)
{
    const struct tls_verify_params *p = verdict->params;
    bool by_server_name = p->san_count == 0 && p->is_san_from_sni && p->server_name.len > 0;
    enum tls_verify_result result = TLS_VERIFIED;
    GENERAL_NAMES *sans;

    if (p->san_count == 0 && !by_server_name && !v->has_sans) {
        return TLS_VERIFIED;
    }
    sans = tls_sans_of(leaf);
    if (p->san_count > 0 && !is_any_expected(sans, p)) {
        result = refuse_list(sans, verdict);
    } else if (by_server_name ? !is_server_name_among(sans, p->server_name)
                              : v->has_sans && !do_sans_match(sans, v)) {
        result = refuse_matchers(sans, verdict);
    }
    GENERAL_NAMES_free(sans);
    verdict->is_validated = result == TLS_VERIFIED;
    return result;
}

static bool is_among(const uint8_t digest[32], const struct tls_digest *list, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (memcmp(digest, list[i].bytes, sizeof(list[i].bytes)) == 0) {
            return true;
        }
    }
    return false;
}

static bool certificate_digest(const X509 *leaf, uint8_t ret[32])
{
    unsigned len;

    return X509_digest(leaf, EVP_sha256(), ret, &len) && len == 32;
}

static bool spki_digest(const X509 *leaf, uint8_t ret[32])
{
    uint8_t *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);

    if (len < 0) {
        return false;
    }
    SHA256(der, (size_t)len, ret);
    OPENSSL_free(der);
    return true;
}

/* Certificate or key, either will do. */
static enum tls_verify_result check_hashes(X509 *leaf, const struct validation *v,
                                           struct verdict *verdict)
{
    uint8_t certificate[32];
    uint8_t spki[32];
    bool has_digests;
    size_t i;

    if (!v->has_hashes) {
        return TLS_VERIFIED;
    }
    has_digests = certificate_digest(leaf, certificate) && spki_digest(leaf, spki);
    for (i = 0; has_digests && i < v->part_count; i++) {
        const struct tls_validation *part = v->parts[i];

        if (is_among(certificate, part->certificate_hashes, part->certificate_hash_count) ||
            is_among(spki, part->spki_hashes, part->spki_hash_count)) {
            verdict->is_validated = true;
            return TLS_VERIFIED;
        }
    }
    strbuf_add_c(verdict->reason, "verify cert failed: cert hash and spki");
    verdict->alert = SSL_AD_BAD_CERTIFICATE_HASH_VALUE;
    verdict->is_validated = false;
    return TLS_FAIL_CERT_HASH;
}

/* --- the judgement -------------------------------------------------------------------------- */

static enum tls_verify_result verify_default(STACK_OF(X509) * chain, const struct validation *v,
                                             struct verdict *verdict)
{
    X509 *leaf = sk_X509_value(chain, 0);
    enum tls_verify_result result;

    if (v->has_ca) {
        if (!is_chain_trusted(chain, v, v->ca != NULL ? v->ca->store : NULL, verdict)) {
            return TLS_FAIL_ERROR;
        }
        verdict->is_validated = true;
    }
    result = check_names(leaf, v, verdict);
    return result == TLS_VERIFIED ? check_hashes(leaf, v, verdict) : result;
}

/* Names are expected of a peer whose chain nobody checks: it is checked against no CA at all, and
 * refused (as Envoy, where BoringSSL's own verification does it). */
static enum tls_verify_result verify_by_nobody(STACK_OF(X509) * chain, const struct validation *v,
                                               struct verdict *verdict)
{
    X509_STORE *store = X509_STORE_new();
    bool is_trusted;

    CHECK(store != NULL);
    is_trusted = is_chain_trusted(chain, v, store, verdict);
    X509_STORE_free(store);
    return is_trusted ? TLS_VERIFIED : TLS_FAIL_ERROR;
}

enum tls_verify_result tls_verify_chain(STACK_OF(X509) * chain, const struct tls_verify_params *p,
                                        struct strbuf *reason, uint8_t *ret_alert,
                                        bool *ret_validated)
{
    struct validation v = tls_validation_merge(p->parts);
    struct verdict verdict = {
        .params = p, .reason = reason, .alert = SSL_AD_CERTIFICATE_UNKNOWN, .is_validated = false};
    enum tls_verify_result result;

    if (p->ret_overlooked != NULL) {
        *p->ret_overlooked = TLS_VERIFIED;
    }
    if (p->ret_issuer != NULL) {
        *p->ret_issuer = NULL;
    }
    if (!tls_validation_is_active(p->parts) && p->san_count == 0) {
        *ret_validated = false;
        return TLS_VERIFIED;
    }
    if (sk_X509_num(chain) == 0) {
        strbuf_add_c(reason, "verify cert failed: empty cert chain");
        result = TLS_FAIL_ERROR;
    } else if (v.is_spiffe) {
        result = tls_verify_spiffe(chain, &v, &verdict);
    } else if (!tls_validation_is_active(p->parts)) {
        result = verify_by_nobody(chain, &v, &verdict);
    } else {
        result = verify_default(chain, &v, &verdict);
        if (result != TLS_VERIFIED && v.accepts_untrusted) {
            if (p->ret_overlooked != NULL) {
                *p->ret_overlooked = result;
            }
            strbuf_reset(reason);
            verdict.is_validated = false;
            result = TLS_VERIFIED;
        }
    }
    if (result == TLS_VERIFIED) {
        ERR_clear_error(); /* of a refusal they belong into the log (as Envoy) */
    }
    *ret_validated = result == TLS_VERIFIED && verdict.is_validated;
    *ret_alert = verdict.alert;
    return result;
}

/* Parsed anew rather than asked of BoringSSL: it keeps no X509 with TLS_with_buffers_method. */
static STACK_OF(X509) * parse_chain(const STACK_OF(CRYPTO_BUFFER) * buffers)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    size_t i;

    CHECK(chain != NULL);
    for (i = 0; i < sk_CRYPTO_BUFFER_num(buffers); i++) {
        X509 *x509 = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(buffers, i));

        if (x509 == NULL) {
            sk_X509_pop_free(chain, X509_free);
            ERR_clear_error();
            return NULL;
        }
        CHECK(sk_X509_push(chain, x509) > 0);
    }
    return chain;
}

enum tls_verify_result tls_verify_peer(const SSL *ssl, const struct tls_verify_params *p,
                                       struct strbuf *reason, uint8_t *ret_alert,
                                       bool *ret_validated)
{
    const STACK_OF(CRYPTO_BUFFER) *buffers = SSL_get0_peer_certificates(ssl);
    STACK_OF(X509) *chain = buffers != NULL ? parse_chain(buffers) : NULL;
    enum tls_verify_result result;

    if (chain == NULL) {
        if (p->ret_overlooked != NULL) {
            *p->ret_overlooked = TLS_VERIFIED;
        }
        strbuf_add_c(reason, "verify cert failed: no cert chain");
        *ret_alert = buffers != NULL ? SSL_AD_DECODE_ERROR : SSL_AD_INTERNAL_ERROR;
        *ret_validated = false;
        return TLS_FAIL_ERROR;
    }
    result = tls_verify_chain(chain, p, reason, ret_alert, ret_validated);
    sk_X509_pop_free(chain, X509_free);
    return result;
}
