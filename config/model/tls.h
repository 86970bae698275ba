#ifndef CONFIG_MODEL_TLS_H
#define CONFIG_MODEL_TLS_H

/*
 * TLS as configured: secrets and the contexts of both sides, validated, immutable. Data sources
 * have been read. What BoringSSL made of certificates and CAs is opaque here: config/ reads the
 * messages, dataplane/tls/ builds through struct tls_builder, which server/ hands in.
 *
 * A context names its secrets by value or by slot (PART_SECRET). Slots are looked up at each
 * handshake, in the thread's part_table, so a rotated secret serves the next one; nothing is built
 * at that moment.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/core.h"
#include "config/model/part.h"
#include "dataplane/base/error.h"

struct tls_certificate; /* dataplane/tls/certificate.h: chain, key, staple, ready to be served */
struct tls_trust;       /* dataplane/tls/trust.h: CAs and CRLs */

/* --- what is built -------------------------------------------------------------------------- */

/* A DataSource that was read: the bytes, and how messages call it ("<inline>" or the file). */
struct tls_data {
    struct str bytes; /* empty: not configured */
    struct str name;
};

/* TlsCertificate. */
struct tls_certificate_source {
    struct tls_data chain; /* PEM */
    struct tls_data key;   /* PEM */
    struct tls_data password;
    struct tls_data pkcs12; /* instead of chain and key */
    struct tls_data ocsp_staple;
};

/* The trust of a CertificateValidationContext. */
struct tls_trust_source {
    struct tls_data ca;  /* PEM; may be empty when there is only a CRL */
    struct tls_data crl; /* PEM */
    /* The SPIFFE validator's bundle of this domain: errors name it. Empty: not one. */
    struct str trust_domain;
};

struct secret_config;

/* Errors are Envoy's sentences ("Failed to load certificate chain from <inline>"); the caller puts
 * the path in front. What was built lives until the part is freed. Main thread. */
struct tls_builder {
    int (*certificate)(struct part *part, const struct tls_certificate_source *src,
                       const struct tls_certificate **ret, struct error *reterr);
    int (*trust)(struct part *part, const struct tls_trust_source *src,
                 const struct tls_trust **ret, struct error *reterr);
    /* Whether an otherName matcher may have this OID. */
    bool (*is_oid)(struct str oid);
    /* Whether every context that there is and that names the secret's slot can use it. NULL: yes.
     */
    int (*fits)(const struct secret_config *secret, struct error *reterr);
};

/* --- secrets -------------------------------------------------------------------------------- */

enum tls_san_type {
    TLS_SAN_ANY, /* match_subject_alt_names (deprecated): DNS, URI, email and IP */
    TLS_SAN_EMAIL,
    TLS_SAN_DNS,
    TLS_SAN_URI,
    TLS_SAN_IP,
    TLS_SAN_OTHER_NAME,
};

struct tls_san_matcher {
    enum tls_san_type type;
    struct str oid; /* TLS_SAN_OTHER_NAME: dotted */
    struct string_matcher matcher;
};

struct tls_digest {
    uint8_t bytes[32]; /* SHA-256 */
};

struct tls_trust_domain {
    struct str name;
    const struct tls_trust *bundle;
};

/* CertificateValidationContext. Of a combined one two are looked at as one: repeated fields add up,
 * of the others that of the secret counts where it is set. */
struct tls_validation {
    const struct tls_trust *trust; /* NULL: no CA, no CRL */
    bool has_ca;
    bool has_crl;
    struct str crl_name;                /* of one that is not empty */
    const struct tls_san_matcher *sans; /* any of them; none: any name */
    size_t san_count;
    const struct tls_digest *certificate_hashes; /* either list may match */
    size_t certificate_hash_count;
    const struct tls_digest *spki_hashes;
    size_t spki_hash_count;
    bool allow_expired;
    bool accepts_untrusted; /* trust_chain_verification: ACCEPT_UNTRUSTED */
    bool only_verify_leaf_crl;
    struct opt_u32 max_verify_depth;
    bool suppresses_client_ca_list; /* a server does not say whom it trusts */
    bool is_spiffe;                 /* the SPIFFE validator; the CA counts for nothing then */
    const struct tls_trust_domain *trust_domains;
    size_t trust_domain_count;
};

/* Whether the two, looked at as one, make sense (NULL: not there): names, CRLs and dates are looked
 * at only below a CA. E_INVALID in Envoy's words. */
int tls_validation_check(const struct tls_validation *a, const struct tls_validation *b,
                         bool is_san_from_sni, struct error *reterr) MUST_CHECK;

/* One key of 80 bytes: name 16, HMAC-SHA256 32, AES-256-CBC 32. */
#define TLS_TICKET_KEY_BYTES 80

struct tls_ticket_keys {
    const uint8_t (*keys)[TLS_TICKET_KEY_BYTES]; /* the first encrypts */
    size_t count;
};

enum secret_kind {
    SECRET_TLS_CERTIFICATE,
    SECRET_SESSION_TICKET_KEYS,
    SECRET_VALIDATION_CONTEXT,
    SECRET_GENERIC,
    SECRET_KIND_COUNT
};

/* As the field of a Secret: "tls_certificate". */
const char *secret_kind_name(enum secret_kind k);

/* A file that was read for a secret. */
struct secret_file {
    const struct secret_file *next;
    struct str path;
    struct str bytes;
};

/* PART_SECRET. */
struct secret_config {
    struct part part;
    struct str name;
    enum secret_kind kind;
    bool is_static;                            /* of the bootstrap */
    const struct tls_certificate *certificate; /* each by kind */
    struct tls_validation validation;
    struct tls_ticket_keys ticket_keys;
    struct str generic;
    const struct secret_file *files; /* what was read; NULL: nothing */
};

/* --- contexts ------------------------------------------------------------------------------- */

enum tls_version { TLS_AUTO, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 };

/* A secret that comes by SDS; SLOT_NONE: none. */
struct tls_key_log {
    struct str path; /* empty: none */
    const struct cidr *local_ranges;
    size_t local_range_count;
    const struct cidr *remote_ranges;
    size_t remote_range_count;
};

enum tls_compliance {
    TLS_COMPLIANCE_NONE,
    TLS_COMPLIANCE_FIPS_202205,
    TLS_COMPLIANCE_CNSA2_202603,
    TLS_COMPLIANCE_CNSA1_202603,
};

/* CommonTlsContext. */
struct tls_common {
    enum tls_version min_version; /* with each side's default filled in */
    enum tls_version max_version;
    struct str cipher_suites;        /* BoringSSL's syntax; empty: the defaults */
    struct str curves;               /* "X25519:P-256"; empty: the defaults */
    struct str signature_algorithms; /* likewise */
    enum tls_compliance compliance;  /* that policy instead of these lists and versions */
    const struct str *alpn;
    size_t alpn_count;
    const struct tls_certificate *const *certificates;
    size_t certificate_count;
    const uint32_t *certificate_slots;
    size_t certificate_slot_count;
    const struct tls_validation *validation; /* in place, or combined's default; NULL: none */
    uint32_t validation_slot;                /* SLOT_NONE: none */
    struct tls_key_log key_log;
    uint64_t hash; /* of the message: sessions are resumed only under the same */
};

enum tls_ocsp_policy { OCSP_LENIENT_STAPLING, OCSP_STRICT_STAPLING, OCSP_MUST_STAPLE };

/* DownstreamTlsContext. */
struct tls_server_config {
    struct tls_common common;
    bool require_client_certificate;
    bool full_scan_certs_on_sni_mismatch;
    bool prefer_client_ciphers;
    bool disable_stateless_resumption; /* no tickets */
    bool disable_stateful_resumption;  /* no session ids */
    struct opt_ms session_timeout;
    enum tls_ocsp_policy ocsp_policy;
    struct tls_ticket_keys ticket_keys; /* count 0: BoringSSL's own */
    uint32_t ticket_keys_slot;          /* SLOT_NONE: none */
};

/* UpstreamTlsContext. */
struct tls_client_config {
    struct tls_common common;
    struct str sni;
    bool auto_host_sni;           /* the endpoint's hostname */
    bool auto_sni_san_validation; /* the SNI that was sent must be among the SANs */
    bool allow_renegotiation;     /* accepted; an attempt closes the connection (README) */
    bool enforce_rsa_key_usage;
    uint32_t max_session_keys; /* 1 unless set; 0: no resumption */
};

#endif
