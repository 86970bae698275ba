#ifndef DATAPLANE_TLS_X509_TEXT_H
#define DATAPLANE_TLS_X509_TEXT_H

/*
 * What a certificate says, as text and numbers in Envoy's forms: for logs, headers, /certs. All
 * append to `out`. Any thread.
 */

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"

/* The bytes; they live as long as `s`. */
struct str x509_string(const ASN1_STRING *s);

/* RFC 2253 on one line: "CN=Test,OU=Lyft,O=Lyft". */
void x509_name_text(const X509_NAME *name, struct strbuf *out);
/* The last CN of the subject, in UTF-8; false when there is none. */
bool x509_common_name(const X509 *x509, struct strbuf *out);
/* Lower-case hex. */
void x509_serial_text(const X509 *x509, struct strbuf *out);

/* One SAN as text: DNS, URI and email as they are, IP in its usual form, the value of an
 * otherName. False (and nothing added) for kinds that have no text. */
bool x509_san_text(const GENERAL_NAME *name, struct strbuf *out);

/* Seconds since 1970; false when the certificate's field is malformed. */
bool x509_time(const ASN1_TIME *t, int64_t *ret_s);
/* Whole days until notAfter; 0 when over. */
uint32_t x509_days_left(const X509 *x509, int64_t now_s);

#endif
