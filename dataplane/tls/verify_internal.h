#ifndef DATAPLANE_TLS_VERIFY_INTERNAL_H
#define DATAPLANE_TLS_VERIFY_INTERNAL_H

/* What ca_bundle.c, trust.c, verify.c and spiffe.c share. */

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/tls.h"
#include "dataplane/tls/trust.h"

/* A context's own validation and its secret's, looked at as one. */
struct validation {
    const struct tls_validation *parts[2]; /* those that are there, for the lists */
    size_t part_count;
    bool has_ca;
    const struct tls_trust *ca; /* with `has_ca`; NULL: nobody is trusted */
    STACK_OF(X509_CRL) * crls;  /* NULL: none configured; may be empty */
    bool has_sans;
    bool has_hashes;
    bool allows_expired;
    bool accepts_untrusted;
    bool only_leaf_crl;
    struct opt_u32 max_verify_depth;
    bool suppresses_client_ca_list;
    bool is_spiffe;
    const struct tls_trust_domain *trust_domains;
    size_t trust_domain_count;
};

/* What PEM text holds; NULL when some of it is broken. Text between the blocks is nothing. */
STACK_OF(X509_INFO) * tls_read_pem(struct str text);

struct validation tls_validation_merge(const struct tls_validation *const parts[2]);

/* A judgement while it is made. */
struct verdict {
    const struct tls_verify_params *params;
    struct strbuf *reason;
    uint8_t alert;
    bool is_validated;
};

/* One run of X509_verify_cert. `purpose` NULL: any; `depth` negative: the default. */
struct chain_check {
    X509_STORE *store; /* NULL: nobody is trusted */
    const char *purpose;
    unsigned long flags;
    bool allows_expired;
    STACK_OF(X509_CRL) * crls; /* besides those of the store; NULL: none */
    int depth;
};

/* Appends the sentence and sets the alert when the chain is refused. */
bool tls_chain_is_trusted(STACK_OF(X509) * chain, const struct chain_check *check,
                          struct verdict *verdict);

/* The SPIFFE validator (X.509-SVID). */
enum tls_verify_result tls_verify_spiffe(STACK_OF(X509) * chain, const struct validation *v,
                                         struct verdict *verdict);

#endif
