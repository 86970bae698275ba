#ifndef XDS_SUBSCRIPTION_H
#define XDS_SUBSCRIPTION_H

/*
 * The only header of xds/ that others use. A subscription is an interest in resources of one type
 * from one source (the ADS stream, a gRPC source of its own, or a file). The same interface for
 * state-of-the-world and delta. Main thread; callbacks run from the loop, never from inside
 * the calls below.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

/* Bytes stay valid until the callback returns. */
struct xds_resource {
    struct str name; /* of the discovery.v3.Resource around it; empty without: read the bytes */
    struct str version;
    struct str type_url;  /* of the Any inside */
    const uint8_t *bytes; /* the resource message itself */
    size_t len;
    bool undecodable; /* the wrapper around it could not be decoded */
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
    bool accepted;        /* every resource was */
    struct strbuf detail; /* NACK text: one line per refused resource; empty when accepted */
    /* Hold this answer back: a server that resends what was just refused is slowed down. */
    uint64_t delay_ms;
};

struct xds_client; /* xds/client.h: made by server/ */
struct xds_subscription;

enum xds_source_kind { XDS_SOURCE_ADS, XDS_SOURCE_GRPC, XDS_SOURCE_PATH };

struct xds_metadata {
    struct str key;
    struct str value;
};

/* Where a type comes from. Borrowed during xds_subscribe; what is needed is copied. */
struct xds_source {
    enum xds_source_kind kind;
    struct str path;              /* PATH: the file */
    struct str watched_directory; /* PATH: empty: the file's own directory is watched for renames */
    bool is_delta;                /* GRPC */
    struct str cluster_name;      /* GRPC */
    struct str authority;         /* GRPC: empty: the cluster name */
    const struct xds_metadata *initial_metadata;
    size_t initial_metadata_count;
    bool set_node_on_first_message_only;
    uint64_t initial_fetch_timeout_ms; /* of the wildcard; 0: wait for ever */
};

struct xds_subscriber {
    /* Validate, keep what is good, say what is not. Names may be added and removed from inside. */
    void (*on_update)(void *user, const struct xds_update *u, struct xds_verdict *ret_verdict);
    /* Connection lost or refused, a file could not be read, a message was too large: nothing
     * changes but counters (update_failure). */
    void (*on_error)(void *user, struct str reason);
    /* The fetch timeout passed without an accepted response that holds these names (a refused one
     * may have held them, and they may be good); a file was read and does not hold them. n = 0: the
     * wildcard subscription (LDS, CDS) got no response at all. Told once per name. */
    void (*on_fetch_timeout)(void *user, const struct str *names, size_t n);
};

/* One subscription per type on the ADS stream (checked); any number on other sources.
 * `is_wildcard`: LDS and CDS, no names. Nothing is sent before the end of the turn. */
struct xds_subscription *xds_subscribe(struct xds_client *c, const struct xds_source *src,
                                       struct str type_url, bool is_wildcard,
                                       const struct xds_subscriber *cb, void *user);
/* Names are copied and counted; requests go out once per turn with what changed. The timeout is
 * that of the mention that made the name wanted (0: wait for ever). When the last mention is
 * removed, the resource is forgotten: whoever adds the name again gets it again. */
void xds_subscription_add(struct xds_subscription *s, struct str name, uint64_t fetch_timeout_ms);
void xds_subscription_remove(struct xds_subscription *s, struct str name);
/* No callback afterwards; allowed from inside one. */
void xds_subscription_close(struct xds_subscription *s);

/* The name inside a resource message: field 1 of every resource type. Also when what follows is
 * malformed; empty when there is none. */
struct str xds_message_name(const uint8_t *bytes, size_t len);

/* For admin (/xds) and stats ("control_plane.*"): one row per stream. */
struct xds_stream_status {
    struct str cluster;
    bool is_aggregated; /* the ADS stream */
    bool is_connected;
    bool is_delta;
    uint64_t connected_since_ms;
    uint32_t reconnects;
    struct str last_error;
    struct str control_plane; /* ControlPlane.identifier of the last response */
    uint64_t requests_sent;
    uint64_t responses_received;
    uint32_t too_large_messages;
};
void xds_client_visit(const struct xds_client *c,
                      void (*visit)(void *user, const struct xds_stream_status *s), void *user);

#endif
