#ifndef DATAPLANE_TLS_TLS_INTERNAL_H
#define DATAPLANE_TLS_TLS_INTERNAL_H

/*
 * What the files of contexts and sockets share.
 *
 *   context.c   an SSL_CTX from the configuration, the list of contexts
 *   server.c    a server's handshake: certificate choice, client certificates, tickets
 *   client.c    a client's handshake: names, protocols, sessions that are resumed
 *   socket.c    bytes through BoringSSL, the transport socket
 *   tls_stats.c ssl.*
 */

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/tls.h"
#include "dataplane/base/list.h"
#include "dataplane/net/connection.h"
#include "dataplane/tls/certificate.h"
#include "dataplane/tls/context.h"
#include "dataplane/tls/tls_stats.h"
#include "dataplane/tls/trust.h"

struct loop;
struct part_handle;

/* Sessions that servers gave us, newest first. Any thread: upstream handshakes only. */
struct tls_session_cache {
    pthread_mutex_t lock;
    SSL_SESSION **sessions; /* `max` places */
    uint32_t count;
    uint32_t max;
    uint64_t secrets; /* hash of those that they were made with */
};

/* Where the gauges of a context's certificates are, made as certificates come. Main thread. */
struct tls_gauges {
    struct stat_store *stats; /* NULL: nobody counts */
    char *prefix;             /* "cluster.<name>."; heap */
    size_t kind_len;          /* of "cluster." */
    struct str tag;           /* what the name is */
    struct tls_gauge *first;
};

struct tls_context {
    struct list node; /* main's list of all */
    SSL_CTX *ssl_ctx;
    const struct tls_common *common; /* of one of these two */
    const struct tls_server_config *server;
    const struct tls_client_config *client;
    uint8_t *alpn; /* as in the extension: length, name, ... */
    size_t alpn_len;
    struct tls_session_cache sessions;
    struct stat_scope *stats; /* NULL: nobody counts */
    struct stat_scope *negotiated;
    struct stat_scope *factory_stats; /* server_ssl_socket_factory., client_... */
    struct tls_gauges gauges;
    int key_log_fd; /* -1: none */
};

/* What verification needs of an outgoing connection until its handshake is done. */
struct tls_expected_names {
    struct str server_name;
    struct str *sans;
    size_t san_count;
};

struct tls_socket {
    struct conn *conn;
    const struct tls_context *context;
    SSL *ssl;                            /* NULL: its secrets are not there */
    struct tls_expected_names *expected; /* heap, one block; NULL: nothing to compare with */
    struct tls_info *info;               /* made when first asked for */
    struct buf *in;                      /* during a call: what came */
    struct buf *out;                     /* and where to write */
    char *verify_error;                  /* why the peer's certificate was refused; heap */
    X509 *local_leaf;                    /* what we showed, NULL: nothing */
    struct tls_issuer *issuer;           /* of the peer's leaf, until `info` has it */
    uint64_t ready_ns;                   /* monotonic: the end of the handshake */
    struct part_handle *validation;      /* pinned during a handshake: the secret it began with */
    uint64_t secrets;                    /* a client's, for the sessions it makes */
    uint64_t last_write_ms;              /* record sizes start small after a pause */
    uint32_t burst_bytes;                /* written since then */
    bool is_ready;                       /* the handshake is done */
    bool is_info_final;                  /* `info` was made after the handshake */
    bool is_broken;                      /* nothing may be written any more */
    bool is_peer_validated;
};

/* --- context.c -------------------------------------------------------------------------------- */

/* "\x02h2\x08http/1.1"; NULL for none. Heap. A name longer than 255 bytes is left out. */
uint8_t *tls_alpn_wire(const struct str *names, size_t count, size_t *ret_len);
/* That of a thread's secret, NULL: not there (yet). */
const struct secret_config *tls_secret(const struct loop *l, uint32_t slot);
/* Both validations of a context: its own, and that of `secret`, NULL: none. */
void tls_validation_parts(const struct tls_common *c, const struct secret_config *secret,
                          const struct tls_validation *ret_parts[2]);
/* Whether every secret that it names is there. */
bool tls_context_is_ready(const struct tls_context *c, const struct loop *l);
/* The block of the calling thread, NULL: nobody counts. */
struct stat_block *tls_context_stats(const struct tls_context *c, const struct loop *l);
/* All contexts there are, in the order they were made. Main thread. */
void tls_context_visit(void (*visit)(void *user, struct tls_context *c), void *user);

/* --- inventory.c ------------------------------------------------------------------------------ */

void tls_gauges_init(struct tls_gauges *g, const struct tls_context_params *p);
void tls_gauges_done(struct tls_gauges *g);
/* Whose they are: "cluster.<name>"; empty when nobody counts. */
struct str tls_gauges_owner(const struct tls_gauges *g);

/* --- server.c --------------------------------------------------------------------------------- */

/* What every connection of the context has in common. */
void tls_server_configure(struct tls_context *c);
/* Before the handshake of `s`. */
void tls_server_prepare(struct tls_socket *s);

/* --- client.c --------------------------------------------------------------------------------- */

void tls_client_configure(struct tls_context *c);
/* E_TLS: a name that cannot be sent. */
int tls_client_prepare(struct tls_socket *s, const struct transport_options *o) MUST_CHECK;
void tls_session_cache_init(struct tls_session_cache *sc, uint32_t max);
void tls_session_cache_done(struct tls_session_cache *sc);

/* --- socket.c --------------------------------------------------------------------------------- */

struct tls_socket *tls_socket_of(const SSL *ssl);
/* As the handshake begins: it is judged by the validation secret of this moment until it ends, and
 * so is the session that it makes, however often the secret changes meanwhile. */
void tls_socket_pin_validation(struct tls_socket *s);
const struct secret_config *tls_socket_validation(const struct tls_socket *s);
/* Counts, and gives the connection its reason: a secret is not there (any more). */
void tls_socket_miss_secrets(struct tls_socket *s);
/* BoringSSL's verify callback of both sides. */
enum ssl_verify_result_t tls_verify_callback(SSL *ssl, uint8_t *ret_alert);

#endif
