#ifndef DATAPLANE_TLS_CONTEXT_H
#define DATAPLANE_TLS_CONTEXT_H

/*
 * A TLS context of either side, as a transport socket uses it: the SSL_CTX with everything that is
 * the same for all connections, and the configuration by which each handshake chooses certificate,
 * verification and tickets. Made on main while its listener or cluster is parsed, freed with that
 * part; read by all threads (session caches lock inside).
 */

#include "config/model/tls.h"
#include "dataplane/base/error.h"
#include "dataplane/stats/stats.h"

/* What config/ has its certificates and CAs made by. */
extern const struct tls_builder tls_builder;

struct tls_context;

struct tls_context_params {
    const struct tls_server_config *server; /* one of the two; both live as long as the part */
    const struct tls_client_config *client;
    /* Where ssl.* is counted: `stat_scope` is of the listener or cluster ("cluster.<name>."; its
     * schema is not looked at). `stats` NULL: nobody counts. */
    struct stat_store *stats;
    struct stat_scope_spec stat_scope;
};

/* E_INVALID in Envoy's words ("Failed to initialize cipher suites ..."). */
int tls_context_build(struct part *part, const struct tls_context_params *p,
                      const struct tls_context **ret, struct error *reterr) MUST_CHECK;

/* Whether it can use the secret, of a slot that it names: as Envoy, what is wrong is said when the
 * secret comes, not when a peer does. E_INVALID. Main thread. */
int tls_context_check_secret(const struct tls_context *c, const struct secret_config *secret,
                             struct error *reterr) MUST_CHECK;

/* The configuration it was made of: one of the two is NULL. */
const struct tls_server_config *tls_context_server(const struct tls_context *c);
const struct tls_client_config *tls_context_client(const struct tls_context *c);

/* A discovered secret was published in that slot: counted by every context that names it. Main
 * thread. */
void tls_contexts_count_update(uint32_t slot);

#endif
