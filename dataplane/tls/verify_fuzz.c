/* The DER of a leaf from a stranger, below a CA that never signed it: it has texts, and no verdict
 * lets it in. */

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "config/model/part.h"
#include "dataplane/base/check.h"
#include "dataplane/tls/testing.h"
#include "dataplane/tls/trust.h"
#include "dataplane/tls/x509_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made at the first call and kept to the end. */
static const struct tls_trust *our_ca(void)
{
    static const struct tls_trust *trust;
    struct tls_trust_source src = {0};
    struct test_cert ca;
    struct error error;
    struct part *part;

    if (trust == NULL) {
        test_cert_init(&ca, &(struct test_cert_params){.cn = "ca", .is_ca = true});
        part = (struct part *)part_new(sizeof(struct part), PART_SECRET, STR("ca"));
        src.ca = (struct tls_data){strbuf_str(&ca.pem), STR("<inline>")};
        error_init(&error);
        CHECK(tls_trust_build(part, &src, &trust, &error) == 0);
        test_cert_done(&ca);
    }
    return trust;
}

static void check_texts(const X509 *x509)
{
    struct strbuf out;
    int64_t s;

    strbuf_init(&out);
    x509_name_text(X509_get_subject_name(x509), &out);
    x509_name_text(X509_get_issuer_name(x509), &out);
    (void)x509_common_name(x509, &out); /* there may be none */
    x509_serial_text(x509, &out);
    (void)x509_days_left(x509, 0);                  /* only that it ends */
    (void)x509_time(X509_get0_notBefore(x509), &s); /* likewise */
    strbuf_done(&out);
}

static enum tls_verify_result judge(X509 *x509, const struct tls_validation *v)
{
    struct tls_verify_params params = {.parts = {v}, .is_server = true, .now_s = TEST_NOW_S};
    STACK_OF(X509) *chain = sk_X509_new_null();
    enum tls_verify_result result;
    struct strbuf reason;
    bool is_validated = true;
    uint8_t alert = 0;

    CHECK(chain != NULL && sk_X509_push(chain, x509) > 0);
    strbuf_init(&reason);
    result = tls_verify_chain(chain, &params, &reason, &alert, &is_validated);
    CHECK((result == TLS_VERIFIED) == is_validated);
    CHECK(is_validated || (reason.len > 0 && alert != 0));
    strbuf_done(&reason);
    sk_X509_free(chain);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_san_matcher any_uri = {.type = TLS_SAN_URI,
                                      .matcher = {.kind = STRING_MATCH_PREFIX}};
    struct tls_digest digest = {{0}};
    struct tls_trust_domain domain = {STR("td"), our_ca()};
    struct tls_validation by_ca = {.trust = our_ca(), .has_ca = true};
    struct tls_validation by_name = {.sans = &any_uri, .san_count = 1};
    struct tls_validation by_hash = {.spki_hashes = &digest, .spki_hash_count = 1};
    struct tls_validation by_spiffe = {.trust_domains = &domain,
                                       .is_spiffe = true,
                                       .trust_domain_count = 1,
                                       .allow_expired = true};
    CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(data, size, NULL);
    X509 *x509 = X509_parse_from_buffer(buffer);

    if (x509 != NULL) {
        check_texts(x509);
        CHECK(judge(x509, &by_ca) != TLS_VERIFIED);
        CHECK(judge(x509, &by_hash) != TLS_VERIFIED);
        CHECK(judge(x509, &by_spiffe) != TLS_VERIFIED);
        (void)judge(x509, &by_name); /* it may have a URI */
    }
    X509_free(x509);
    CRYPTO_BUFFER_free(buffer);
    ERR_clear_error();
    return 0;
}
