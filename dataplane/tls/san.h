#ifndef DATAPLANE_TLS_SAN_H
#define DATAPLANE_TLS_SAN_H

/*
 * The names of a certificate against those that are expected. A name with a NUL inside matches
 * nothing: what a CA read up to the NUL and what we read beyond it would be two names.
 */

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/model/tls.h"
#include "dataplane/base/str.h"

/* The leaf's subject alternative names; NULL: it has none, or they are malformed. The caller frees
 * them (GENERAL_NAMES_free). */
GENERAL_NAMES *tls_sans_of(const X509 *leaf);

bool tls_san_matches(const GENERAL_NAME *san, const struct tls_san_matcher *m);
/* As an exact matcher: DNS names by the rules for wildcards, the others byte by byte. */
bool tls_san_is(const GENERAL_NAME *san, struct str expected);
/* Whether the DNS name `san` stands for `host`; false for other kinds. */
bool tls_san_is_dns(const GENERAL_NAME *san, struct str host);

/* "a.example, spiffe://b/c": for messages. `sans` may be NULL. */
void tls_sans_text(const GENERAL_NAMES *sans, struct strbuf *out);

#endif
