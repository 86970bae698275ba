#ifndef DATAPLANE_TLS_OCSP_H
#define DATAPLANE_TLS_OCSP_H

/*
 * What a stapled OCSP response says, read strictly (RFC 6960, DER). The signature is not looked
 * at, as Envoy: a staple comes with the certificate, from whoever configures us; clients check it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

struct tls_ocsp {
    struct str serial;     /* the INTEGER's content as in the response */
    int64_t this_update_s; /* wall clock */
    bool has_next_update;
    int64_t next_update_s;
};

/* E_INVALID in Envoy's words. `ret->serial` points into `der`. Any thread. */
int tls_ocsp_parse(struct str der, struct tls_ocsp *ret, struct error *reterr) MUST_CHECK;

#endif
