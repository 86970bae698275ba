#ifndef DATAPLANE_TLS_SOCKET_H
#define DATAPLANE_TLS_SOCKET_H

/*
 * TLS as a transport socket: the functions that both descriptors in
 * extensions/transport_sockets/tls.c are made of. The parsed configuration is a
 * `const struct tls_context *`. What each does: net/transport_socket.h.
 */

#include <stdbool.h>

#include "dataplane/base/buf.h"
#include "dataplane/base/str.h"
#include "dataplane/net/transport_socket.h"

struct loop;
struct tls_info;

bool tls_socket_is_available(const void *config, const struct loop *l);
int tls_socket_open(struct conn *c, const void *config, bool is_server,
                    const struct transport_options *options, void **ret_state);
/* E_CLOSED: the peer has said that it sends no more. */
int tls_socket_decrypt(struct conn *c, void *state, struct buf *wire, struct buf *plain);
int tls_socket_encrypt(struct conn *c, void *state, struct buf *plain, struct buf *wire);
bool tls_socket_is_ready(const struct conn *c, const void *state);
struct str tls_socket_alpn(const struct conn *c, const void *state);
struct tls_info *tls_socket_info(const struct conn *c, void *state);
void tls_socket_shutdown(struct conn *c, void *state, struct buf *wire);
void tls_socket_free(void *state);

#endif
