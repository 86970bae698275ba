/*
 * The SPIFFE validator: a peer is who its X.509-SVID says, judged by the bundle of that trust
 * domain and by no other. Neither purposes nor host names are looked at, as Envoy.
 */

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "dataplane/tls/san.h"
#include "dataplane/tls/verify_internal.h"
#include "dataplane/tls/x509_text.h"

/* An SVID of a leaf signs no other certificate (X.509-SVID 5.2). One without key usage may do
 * everything, so it is refused (as Envoy). */
static bool is_leaf(X509 *leaf)
{
    return (X509_get_extension_flags(leaf) & EXFLAG_CA) == 0 &&
           (X509_get_key_usage(leaf) & (X509v3_KU_CRL_SIGN | X509v3_KU_KEY_CERT_SIGN)) == 0;
}

/* "spiffe://domain/path" has a domain, "spiffe://domain" has none; empty when there is none. */
static struct str trust_domain_of(struct str uri)
{
    struct str prefix = STR("spiffe://");
    struct str rest;
    size_t slash;

    if (!str_starts(uri, prefix)) {
        return STR_NONE;
    }
    rest = str_sub(uri, prefix.len, uri.len);
    slash = str_find_char(rest, '/');
    return slash != STR_NPOS ? str_sub(rest, 0, slash) : STR_NONE;
}

/* An SVID has one URI (X.509-SVID 2); of several, Envoy goes by the first. */
static struct str trust_domain_in(const GENERAL_NAMES *sans)
{
    size_t i;

    for (i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);

        if (san->type == GEN_URI) {
            return trust_domain_of(x509_string(san->d.uniformResourceIdentifier));
        }
    }
    return STR_NONE;
}

static const struct tls_trust *bundle_for(const GENERAL_NAMES *sans, const struct validation *v)
{
    struct str domain = trust_domain_in(sans);
    size_t i;

    for (i = 0; i < v->trust_domain_count && domain.len > 0; i++) {
        if (str_eq(v->trust_domains[i].name, domain)) {
            return v->trust_domains[i].bundle;
        }
    }
    return NULL;
}

/* Of the matchers only those for URIs count; the deprecated kind includes URIs. */
static bool do_uris_match(const GENERAL_NAMES *sans, const struct validation *v)
{
    bool has_matcher = false;
    size_t i;
    size_t j;
    size_t k;

    for (i = 0; i < v->part_count; i++) {
        for (j = 0; j < v->parts[i]->san_count; j++) {
            const struct tls_san_matcher *m = &v->parts[i]->sans[j];

            if (m->type != TLS_SAN_URI && m->type != TLS_SAN_ANY) {
                continue;
            }
            has_matcher = true;
            for (k = 0; k < sk_GENERAL_NAME_num(sans); k++) {
                const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, k);

                if (san->type == GEN_URI && tls_san_matches(san, m)) {
                    return true;
                }
            }
        }
    }
    return !has_matcher;
}

enum tls_verify_result tls_verify_spiffe(STACK_OF(X509) * chain, const struct validation *v,
                                         struct verdict *verdict)
{
    X509 *leaf = sk_X509_value(chain, 0);
    struct chain_check check = {
        .allows_expired = v->allows_expired,
        .depth = -1,
    };
    enum tls_verify_result result = TLS_FAIL_ERROR;
    const struct tls_trust *bundle;
    GENERAL_NAMES *sans;

    if (!is_leaf(leaf)) {
        strbuf_add_c(verdict->reason, "verify cert failed: cert precheck");
        return TLS_FAIL_ERROR;
    }
    sans = tls_sans_of(leaf);
    bundle = bundle_for(sans, v);
    if (bundle == NULL || bundle->store == NULL) {
        strbuf_add_c(verdict->reason, "verify cert failed: no trust bundle store");
        goto done;
    }
    check.store = bundle->store;
    if (bundle->has_bundled_crls) {
        check.flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    }
    if (!tls_chain_is_trusted(chain, &check, verdict)) {
        verdict->alert = SSL_AD_CERTIFICATE_UNKNOWN; /* Envoy says no more than that here */
        goto done;
    }
    if (!do_uris_match(sans, v)) {
        strbuf_add_c(verdict->reason, "verify cert failed: SAN match");
        result = TLS_FAIL_SAN;
        goto done;
    }
    verdict->is_validated = true;
    result = TLS_VERIFIED;
done:
    GENERAL_NAMES_free(sans);
    return result;
}
