/* What is wrong with TLS validation as configured, in Envoy's words. No state. */

#include "config/model/tls.h"

int tls_validation_check(const struct tls_validation *a, const struct tls_validation *b,
                         bool is_san_from_sni, struct error *reterr)
{
    static const struct tls_validation none;
    struct str crl;

    a = a != NULL ? a : &none;
    b = b != NULL ? b : &none;
    if (a->is_spiffe || b->is_spiffe || a->has_ca || b->has_ca) {
        return 0;
    }
    crl = b->has_crl ? b->crl_name : a->crl_name;
    if (crl.len > 0) {
        return error_set(reterr, E_INVALID, "Failed to load CRL from %.*s without trusted CA",
                         STR_ARG(crl));
    }
    if (a->san_count > 0 || b->san_count > 0) {
        return error_set(reterr, E_INVALID,
                         "SAN-based verification of peer certificates without trusted CA is "
                         "insecure and not allowed");
    }
    if (a->allow_expired || b->allow_expired) {
        return error_set(reterr, E_INVALID,
                         "Certificate validity period is always ignored without trusted CA");
    }
    if (is_san_from_sni) {
        return error_set(reterr, E_INVALID,
                         "'auto_sni_san_validation' was configured without configuring a trusted "
                         "CA");
    }
    return 0;
}
