/* Bundles of CAs, found again by the digest of their text. */

#include "dataplane/tls/ca_bundle.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/stack.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/tls/verify_internal.h"

static struct list bundles = {&bundles, &bundles}; /* main thread */

static void ca_bundle_free(struct ca_bundle *b)
{
    list_remove(&b->node);
    X509_STORE_free(b->store);
    sk_X509_pop_free(b->cas, X509_free);
    sk_CRYPTO_BUFFER_pop_free(b->names, CRYPTO_BUFFER_free);
    free(b);
}

/* The subject, unless it is there already. */
static void add_name(STACK_OF(CRYPTO_BUFFER) * names, const X509 *ca)
{
    uint8_t *der = NULL;
    int len = i2d_X509_NAME(X509_get_subject_name(ca), &der);
    CRYPTO_BUFFER *name;
    size_t i;

    if (len <= 0) {
        return;
    }
    for (i = 0; i < sk_CRYPTO_BUFFER_num(names); i++) {
        const CRYPTO_BUFFER *other = sk_CRYPTO_BUFFER_value(names, i);

        if (CRYPTO_BUFFER_len(other) == (size_t)len &&
            memcmp(CRYPTO_BUFFER_data(other), der, (size_t)len) == 0) {
            OPENSSL_free(der);
            return;
        }
    }
    name = CRYPTO_BUFFER_new(der, (size_t)len, NULL);
    OPENSSL_free(der);
    CHECK(name != NULL && sk_CRYPTO_BUFFER_push(names, name) > 0);
}

static void add_ca(struct ca_bundle *b, X509 *ca)
{
    CHECK(X509_STORE_add_cert(b->store, ca));
    CHECK(X509_up_ref(ca) && sk_X509_push(b->cas, ca) > 0);
    add_name(b->names, ca);
}

static struct ca_bundle *ca_bundle_new(const STACK_OF(X509_INFO) * list, const uint8_t digest[32])
{
    struct ca_bundle *b = (struct ca_bundle *)xcalloc(1, sizeof(*b));
    size_t i;

    b->refs = 1;
    memcpy(b->digest, digest, sizeof(b->digest));
    b->store = X509_STORE_new();
    b->cas = sk_X509_new_null();
    b->names = sk_CRYPTO_BUFFER_new_null();
    CHECK(b->store != NULL && b->cas != NULL && b->names != NULL);
    for (i = 0; i < sk_X509_INFO_num(list); i++) {
        const X509_INFO *item = sk_X509_INFO_value(list, i);

        if (item->x509 != NULL) {
            add_ca(b, item->x509);
        }
        if (item->crl != NULL) {
            CHECK(X509_STORE_add_crl(b->store, item->crl));
            b->has_crls = true;
        }
    }
    list_add_tail(&bundles, &b->node);
    return b;
}

struct ca_bundle *ca_bundle_of(struct str pem)
{
    STACK_OF(X509_INFO) * list;
    uint8_t digest[32];
    struct ca_bundle *b;

    SHA256((const uint8_t *)pem.ptr, pem.len, digest);
    list_for_each (b, &bundles, struct ca_bundle, node) {
        if (memcmp(b->digest, digest, sizeof(digest)) == 0) {
            b->refs++;
            return b;
        }
    }
    list = tls_read_pem(pem);
    if (list == NULL) {
        return NULL;
    }
    b = ca_bundle_new(list, digest);
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    if (sk_X509_num(b->cas) == 0) {
        ca_bundle_unref(b);
        return NULL;
    }
    return b;
}

void ca_bundle_unref(struct ca_bundle *b)
{
    if (b != NULL && --b->refs == 0) {
        ca_bundle_free(b);
    }
}
