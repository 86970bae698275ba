#ifndef XDS_SUBSCRIPTION_H
#define XDS_SUBSCRIPTION_H

/*
 * The only header of xds/ that others use. A subscription is an interest in resources of one type
 * from one source (the ADS stream, a gRPC source of its own, or a file). The same interface for
 * state-of-the-world and delta. Main thread; callbacks run from the loop, never from inside
 * start or update_names.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

/* Bytes stay valid until the callback returns. */
struct xds_resource {
    struct str name;     /* delta, or wrapped in discovery.v3.Resource; else empty: read it from the bytes */
    struct str version;
    struct str type_url; /* of the Any inside */
    const uint8_t *bytes; /* the resource message itself */
    size_t len;
    bool undecodable;    /* the wrapper around it could not be decoded */
};

/* One response, not yet acknowledged. */
struct xds_update {
    struct str type_url;
    struct str version_info; /* system_version_info for delta */
    bool is_delta;
    const struct xds_resource *resources;
    size_t resource_count;
    const struct str *removed; /* delta only */
    size_t removed_count;
};

/* Filled by the callback: the verdict that becomes ACK or NACK. */
struct xds_verdict {
    bool accepted;         /* every resource was */
    struct strbuf detail;  /* NACK text: one line per refused resource; empty when accepted */
};

struct xds_subscription;

struct xds_subscriber {
    /* Validate, keep what is good, say what is not. Must not start or close subscriptions of the
     * same type from inside; names may be updated. */
    void (*on_update)(void *user, const struct xds_update *u, struct xds_verdict *ret_verdict);
    /* Connection lost or refused, or a file could not be read: nothing changes but counters. */
    void (*on_error)(void *user, struct str reason);
    /* initial_fetch_timeout passed without the first response for these names. Empty names: the
     * wildcard. */
    void (*on_fetch_timeout)(void *user, const struct str *names, size_t n);
};

#endif
