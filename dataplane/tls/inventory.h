#ifndef DATAPLANE_TLS_INVENTORY_H
#define DATAPLANE_TLS_INVENTORY_H

/*
 * The certificates of all contexts: what is served and what is trusted, when it ends, and which
 * contexts accept whoever comes. For admins: no handshake looks here. Main thread.
 */

#include <stdint.h>

#include "dataplane/base/admin_endpoint.h"

struct loop;
struct tls_context;

struct tls_expiry {
    uint32_t days_until_first_certificate; /* UINT32_MAX: there are none */
    uint64_t seconds_until_first_staple;   /* 0: over, or there are none */
};

/* Looks through all contexts whose secrets are there, and brings their gauges
 * ssl.certificate.<name>.expiration_unix_time_seconds up to date. `main` is the main thread's. */
struct tls_expiry tls_inventory_refresh(const struct loop *main, uint64_t wall_ns);

/* Why a context believes peers that it has no reason to: a sentence, constant; NULL: it does not.
 * Of a context that waits for its validation secret that is not known yet: NULL. `main` NULL: it
 * names none. */
const char *tls_context_credulity(const struct tls_context *c, const struct loop *main);

/* /certs; its context is the main thread's struct loop. */
extern const struct admin_endpoint tls_certs_endpoint;

#endif
