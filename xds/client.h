#ifndef XDS_CLIENT_H
#define XDS_CLIENT_H

/*
 * All discovery of the process: the one ADS stream, gRPC sources of their own, watched files.
 * Made by server/, which hands in what xds/ must not know: how to reach a cluster (dial), who the
 * node is, where counters go. Main thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/base/str.h"
#include "dataplane/event/loop.h"
#include "xds/subscription.h"

struct xds_transport_factory; /* xds/transport.h: tests bring their own */

/* Outcome of a dial: a connected, non-blocking socket that the callee owns, or -1 with a reason. */
typedef void xds_dialed_fn(void *user, int take_fd, struct str reason);

struct xds_dialer {
    /* Connects to a host of `cluster` (load balancing, DNS, TLS bridge are the dialer's). The
     * answer never comes from inside. Returns a handle for cancel. */
    void *(*dial)(void *ctx, struct str cluster, xds_dialed_fn *on_dialed, void *user);
    /* No callback afterwards. */
    void (*cancel)(void *ctx, void *handle);
    void *ctx;
};

struct xds_client_params {
    struct loop *loop; /* main's */
    struct xds_dialer dialer;
    const uint8_t *node; /* serialized core.v3.Node */
    size_t node_len;
    uint32_t max_message_bytes; /* 0: 64 MiB */
    /* Text files to serialized DiscoveryResponses (config/ knows how). */
    int (*read_file)(struct str path, uint8_t **ret_bytes, size_t *ret_len, struct error *reterr);
    struct xds_transport_factory *transports; /* NULL: gRPC; taken over */
};

struct xds_client *xds_client_new(const struct xds_client_params *p);
/* The ADS source, kind XDS_SOURCE_GRPC. Before the first ADS subscription. */
void xds_client_set_ads(struct xds_client *c, const struct xds_source *ads);
/* Closes every stream; runs nothing afterwards; `on_closed` from the loop when memory may go. */
void xds_client_close(struct xds_client *c, void (*on_closed)(void *user), void *user);

#endif
