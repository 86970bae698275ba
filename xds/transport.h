#ifndef XDS_TRANSPORT_H
#define XDS_TRANSPORT_H

/*
 * A bidirectional stream of messages to a management server. One implementation over gRPC C core
 * (transport_grpc.c), one in memory for tests (fake_ads.c). Main thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"
#include "xds/subscription.h"

struct xds_transport;

struct xds_transport_callbacks {
    /* One response; the bytes live until it returns. The next one is read after that. */
    void (*on_message)(void *user, struct str bytes);
    /* The stream ended (never from inside open, send or close). No callback afterwards; the
     * transport frees itself. `too_large`: the message limit was exceeded. */
    void (*on_closed)(void *user, struct str reason, bool too_large);
};

struct xds_transport_params {
    struct str method; /* "/envoy.service.discovery.v3..." */
    const struct xds_source *source;
    uint32_t max_message_bytes;
};

struct xds_transport_factory {
    /* Takes `fd`, a connected socket. */
    struct xds_transport *(*open)(struct xds_transport_factory *f, int take_fd,
                                  const struct xds_transport_params *p,
                                  const struct xds_transport_callbacks *cb, void *user);
    /* Copies. Messages are sent in order. */
    void (*send)(struct xds_transport *t, struct str message);
    /* No callback afterwards. */
    void (*close)(struct xds_transport *t);
    /* After the last stream was closed: stops what runs behind it; `on_closed` from the loop. */
    void (*shutdown)(struct xds_transport_factory *f, void (*on_closed)(void *user), void *user);
};

struct loop;
/* Has the kernel notice a peer that vanished, unless the socket is so already. For sockets between
 * which and gRPC something stands. */
void xds_socket_keep_alive(int fd);
/* gRPC C core, started with the first stream. */
struct xds_transport_factory *xds_grpc_transport_new(struct loop *l);

#endif
