#ifndef XDS_STREAM_H
#define XDS_STREAM_H

/*
 * One discovery stream with the types it carries: all of them for ADS, one for a source of its
 * own. Connects, reconnects with jittered backoff (0.5 s to 30 s), sends what the types have to
 * say once per loop turn, hands responses to their subscribers. Main thread.
 */

#include "dataplane/base/arena.h"
#include "dataplane/event/loop.h"
#include "xds/client.h"
#include "xds/transport.h"
#include "xds/type_state.h"

struct xds_stream;

struct xds_stream_params {
    struct loop *loop;
    const struct xds_dialer *dialer;
    struct xds_transport_factory *transports;
    struct str node; /* serialized */
    uint32_t max_message_bytes;
    const struct xds_source *source; /* kind XDS_SOURCE_GRPC; copied */
    bool is_aggregated;
};

/* Connects when the first subscription says something. */
struct xds_stream *xds_stream_new(const struct xds_stream_params *p);
/* Subscriptions must be closed before. Allowed from inside their callbacks, as closing them is:
 * nothing is called afterwards. */
void xds_stream_free(struct xds_stream *s);
void xds_stream_status(const struct xds_stream *s, struct xds_stream_status *ret_status);

struct xds_stream_type; /* one subscription */

struct xds_stream_type *xds_stream_subscribe(struct xds_stream *s, struct str type_url,
                                             bool is_wildcard, uint64_t fetch_timeout_ms,
                                             const struct xds_subscriber *cb, void *user);
void xds_stream_type_add(struct xds_stream_type *t, struct str name, uint64_t fetch_timeout_ms);
void xds_stream_type_remove(struct xds_stream_type *t, struct str name);
void xds_stream_type_close(struct xds_stream_type *t);

#endif
