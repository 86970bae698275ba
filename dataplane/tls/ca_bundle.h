#ifndef DATAPLANE_TLS_CA_BUNDLE_H
#define DATAPLANE_TLS_CA_BUNDLE_H

/*
 * The CAs of one PEM text. A thousand clusters that trust the same public CAs share one: parsed,
 * the 140 of them take half a megabyte. Made and counted on main, read by all threads.
 */

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/list.h"
#include "dataplane/base/str.h"

struct ca_bundle {
    struct list node; /* of all there are */
    uint32_t refs;
    uint8_t digest[32]; /* SHA-256 of the text */
    X509_STORE *store;
    STACK_OF(X509) * cas;
    STACK_OF(CRYPTO_BUFFER) * names; /* subjects, each once */
    bool has_crls;                   /* the store has them */
};

/* The one of this text, with a reference of the caller's; NULL when some of it is broken or no
 * certificate is in it. Main thread. */
struct ca_bundle *ca_bundle_of(struct str pem);
void ca_bundle_unref(struct ca_bundle *b); /* NULL allowed. Main thread. */

#endif
