#ifndef DATAPLANE_NET_TRANSPORT_SOCKET_H
#define DATAPLANE_NET_TRANSPORT_SOCKET_H

/*
 * What stands between a socket and its consumer: raw bytes (all callbacks NULL) or TLS. Bytes are
 * pushed through; the transport never touches the socket.
 */

#include <stdbool.h>
#include <stddef.h>

#include "config/model/extension.h"
#include "dataplane/base/buf.h"
#include "dataplane/base/str.h"

struct conn;

struct transport_socket {
    struct extension ext;
    /* Per connection state from the parsed config; NULL: none. */
    int (*open)(struct conn *c, const void *config, bool is_server, void **ret_state);
    /* Takes all of `wire` and adds what is plain to `plain`; may add to c->wire (handshake). E_TLS
     * sets the connection's failure_reason. There when `encrypt` is; NULL: untouched. */
    int (*decrypt)(struct conn *c, void *state, struct buf *wire, struct buf *plain);
    /* Takes of `plain` what it can and adds it to `wire`, before writing. NULL: untouched. */
    int (*encrypt)(struct conn *c, void *state, struct buf *plain, struct buf *wire);
    /* Whether the handshake is done; NULL: at once. */
    bool (*is_ready)(const struct conn *c, const void *state);
    /* Negotiated ALPN protocol; empty when none. NULL: none. */
    struct str (*alpn)(const struct conn *c, const void *state);
    /* Before FIN (close_notify). */
    void (*shutdown)(struct conn *c, void *state, struct buf *wire);
    void (*free)(void *state);
};

#endif
