#ifndef DATAPLANE_NET_TRANSPORT_SOCKET_H
#define DATAPLANE_NET_TRANSPORT_SOCKET_H

/*
 * What stands between a socket and its consumer: raw bytes (all callbacks NULL) or TLS. Bytes are
 * pushed through; the transport never touches the socket.
 */

#include <stdbool.h>
#include <stddef.h>

#include "config/model/extension.h"
#include "dataplane/base/address.h"
#include "dataplane/base/buf.h"
#include "dataplane/base/str.h"

struct conn;
struct loop;
struct tls_info; /* dataplane/tls/info.h */

/* What the request or connection that an upstream connection is opened for has to say about its
 * transport. Connections of different options are never shared: pools compare `hash`. */
struct transport_options {
    uint64_t hash;          /* of all that follows; 0: nothing is set */
    struct str server_name; /* the SNI instead of the configured one */
    struct str host_name;   /* of the endpoint, for auto_host_sni */
    const struct str *sans; /* one of them must be among the peer's names */
    size_t san_count;
    const struct str *alpn; /* instead of the configured protocols */
    size_t alpn_count;
    const struct str *alpn_fallback; /* when nothing is configured */
    size_t alpn_fallback_count;
    /* PROXY protocol: the downstream connection, NULL for our own address (LOCAL). */
    const struct address *proxy_source;
    const struct address *proxy_destination;
    struct str proxy_tlvs; /* encoded, for version 2 */
};

struct transport_socket {
    struct extension ext;
    /* Encrypted: "https", x-forwarded-client-cert, auto_sni. */
    bool is_secure;
    /* Says whose connection it relays (PROXY protocol): outgoing connections are then not shared
     * between downstream connections. */
    bool wants_proxy_addresses;
    /* The one that comes after what this one puts first, which is then the connection's
     * (`is_secure`, alpn, info); may be NULL: raw. NULL: there is none. */
    const struct transport_socket *(*inner)(const void *config);
    /* Whether it can be opened now: its secrets are there. NULL: at any time. */
    bool (*is_available)(const void *config, const struct loop *l);
    /* Per connection state from the parsed config; NULL: none. `options` (of outgoing connections,
     * NULL for none) lives only during the call. E_TLS: the connection's failure_reason says why.
     */
    int (*open)(struct conn *c, const void *config, bool is_server,
                const struct transport_options *options, void **ret_state);
    /* Takes all of `wire` and adds what is plain to `plain`; may add to c->wire (handshake). E_TLS
     * sets the connection's failure_reason; E_CLOSED: the peer has said that nothing follows.
     * There when `encrypt` is; NULL: untouched. */
    int (*decrypt)(struct conn *c, void *state, struct buf *wire, struct buf *plain);
    /* Takes of `plain` what it can and adds it to `wire`, before writing. NULL: untouched. */
    int (*encrypt)(struct conn *c, void *state, struct buf *plain, struct buf *wire);
    /* Whether the handshake is done; NULL: at once. */
    bool (*is_ready)(const struct conn *c, const void *state);
    /* Negotiated ALPN protocol; empty when none. NULL: none. */
    struct str (*alpn)(const struct conn *c, const void *state);
    /* Of a finished handshake; counted by whoever keeps it. NULL: none. */
    struct tls_info *(*info)(const struct conn *c, void *state);
    /* Everything is in `wire`, FIN follows (close_notify). Once. */
    void (*shutdown)(struct conn *c, void *state, struct buf *wire);
    void (*free)(void *state);
};

/* Whether in the end connections are encrypted. NULL: raw. */
static inline bool transport_is_secure(const struct transport_socket *t, const void *config)
{
    if (t != NULL && t->inner != NULL) {
        t = t->inner(config);
    }
    return t != NULL && t->is_secure;
}

#endif
