/* Secrets as a control plane may send them: chain, key, password, PKCS#12 and CRL, with a NUL
 * between. What is built can be served; what is not built has a sentence. */

#include "config/model/part.h"
#include "dataplane/base/check.h"
#include "dataplane/tls/certificate.h"
#include "dataplane/tls/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_data next_data(struct str *rest)
{
    struct tls_data d = {.name = STR("<inline>")};

    (void)str_split(rest, '\0', &d.bytes); /* nothing left: nothing configured */
    return d;
}

static void check_certificate(const struct tls_certificate *c)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    SSL *ssl = SSL_new(ctx);
    size_t i;

    CHECK(c->chain_count > 0 && c->leaf != NULL);
    CHECK(SSL_set_chain_and_key(ssl, c->chain, c->chain_count, c->key, NULL));
    for (i = 0; i < c->name_count; i++) {
        CHECK(tls_dns_name_matches(c->names[i], c->names[i]));
    }
    (void)tls_certificate_days_left(c, 0); /* only that it ends */
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct part *part = (struct part *)part_new(sizeof(struct part), PART_SECRET, STR("fuzz"));
    struct str rest = str_n((const char *)data, size);
    struct tls_certificate_source src = {0};
    struct tls_trust_source trust_src = {0};
    const struct tls_certificate *c;
    const struct tls_trust *t;
    struct error error;

    src.chain = next_data(&rest);
    src.key = next_data(&rest);
    src.password = next_data(&rest);
    trust_src.ca = src.chain;
    trust_src.crl = next_data(&rest);
    src.pkcs12 = (struct tls_data){rest, STR("<inline>")};
    error_init(&error);
    if (tls_certificate_build(part, &src, &c, &error) == 0) {
        check_certificate(c);
        CHECK(!error_is_set(&error));
    } else {
        CHECK(error_is_set(&error));
    }
    error_done(&error);
    error_init(&error);
    if (tls_trust_build(part, &trust_src, &t, &error) == 0) {
        CHECK(t->store == NULL || sk_X509_num(t->cas) > 0);
    } else {
        CHECK(error_is_set(&error));
    }
    error_done(&error);
    part_unref(part);
    return 0;
}
