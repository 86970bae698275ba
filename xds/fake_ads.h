#ifndef XDS_FAKE_ADS_H
#define XDS_FAKE_ADS_H

/*
 * For tests: a management server in this process, behind the dialer and the transport factory that
 * xds_client_new takes. It keeps no state of the protocol: it shows the requests, decoded, and
 * sends what the test says, in any order, valid or not. The loop's own thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/list.h"
#include "dataplane/event/loop.h"
#include "xds/client.h"
#include "xds/transport.h"

struct fake_ads;
struct fake_stream; /* one that a client opened; gone when either side has ended it */

struct fake_version {
    struct str name;
    struct str version;
};

/* A DiscoveryRequest or, on a delta stream, a DeltaDiscoveryRequest. */
struct fake_request {
    struct list node;
    struct arena arena;
    struct fake_stream *stream; /* NULL: it has ended since */
    uint64_t stream_number;     /* from 1 */
    bool is_delta;
    bool has_node;
    struct str type_url;
    struct str version; /* SotW */
    struct str nonce;
    bool has_error; /* a NACK */
    struct str error;
    uint64_t error_code;
    struct str *names; /* SotW: all wanted; delta: resource_names_subscribe */
    size_t name_count;
    struct str *unsubscribed; /* delta */
    size_t unsubscribed_count;
    struct fake_version *held; /* delta: initial_resource_versions */
    size_t held_count;
};

struct fake_resource {
    struct str name;    /* with one, or on a delta stream, it is wrapped in discovery.v3.Resource */
    struct str version; /* of the wrapper */
    struct str type_url; /* empty: the response's */
    struct str bytes;
};

struct fake_response {
    struct str type_url;
    struct str version;
    struct str nonce;
    struct str control_plane;
    const struct fake_resource *resources;
    size_t resource_count;
    const struct str *removed; /* delta */
    size_t removed_count;
};

struct fake_ads *fake_ads_new(struct loop *l);
/* After the client's on_closed. */
void fake_ads_free(struct fake_ads *f);
struct xds_dialer fake_ads_dialer(struct fake_ads *f);
struct xds_transport_factory *fake_ads_transports(struct fake_ads *f);

/* Whether dials succeed (they do at first). They are answered in the turn after. */
void fake_ads_set_reachable(struct fake_ads *f, bool is_reachable);
/* Whether dials are answered at all; those that wait are when it is true again. */
void fake_ads_set_answers_dials(struct fake_ads *f, bool answers);
size_t fake_ads_dial_count(const struct fake_ads *f);
/* The newest open stream, NULL for none. */
struct fake_stream *fake_ads_stream(const struct fake_ads *f);
/* The newest with this method. */
struct fake_stream *fake_ads_stream_of(const struct fake_ads *f, struct str method);
size_t fake_ads_open_count(const struct fake_ads *f);
uint64_t fake_stream_number(const struct fake_stream *st); /* from 1 */
struct str fake_stream_method(const struct fake_stream *st);
/* Value of one of the client's initial_metadata; empty when not sent. */
struct str fake_stream_metadata(const struct fake_stream *st, struct str key);

/* The oldest request that was not taken yet; NULL: none. The caller's. */
struct fake_request *fake_ads_take(struct fake_ads *f);
void fake_request_free(struct fake_request *rq);
/* The caller's; `message` must be one that a client made. */
struct fake_request *fake_request_decode(struct str message, bool is_delta);
/*
 * What it says besides node and type, in one line to compare with (the request's memory):
 *     SotW   "version=1 nonce=A names=a,b error=..."   (version, nonce and error when there)
 *     delta  "nonce=A +a,b -c held=a:1,b:1 error=..."  (each part when there)
 * Names are sorted.
 */
const char *fake_request_text(struct fake_request *rq);
/* Delivers at once, as from the loop. The stream may be gone afterwards. */
void fake_stream_respond(struct fake_stream *st, const struct fake_response *rs);
void fake_stream_send(struct fake_stream *st, struct str message);
/* Ends it, as a server does. */
void fake_stream_end(struct fake_stream *st, struct str reason, bool too_large);

#endif
