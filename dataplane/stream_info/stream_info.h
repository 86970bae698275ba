#ifndef DATAPLANE_STREAM_INFO_STREAM_INFO_H
#define DATAPLANE_STREAM_INFO_STREAM_INFO_H

/*
 * What is known about one request (or connection), written by both sides of the proxy and read by
 * access logs, header formatters and stats. Lives in the stream; strings live in its arena or
 * longer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/core.h"
#include "dataplane/base/address.h"
#include "dataplane/base/str.h"
#include "dataplane/codec/codec.h"
#include "dataplane/stream_info/response_flags.h"

struct arena;
struct conn;                /* dataplane/net/connection.h */
struct connection_info;     /* dataplane/net/listener_filter.h */
struct filter_chain_config; /* config/model/listener.h */
struct filter_state_object; /* filter_state.h */
struct tls_info;            /* dataplane/tls/info.h */
struct worker_listener;     /* dataplane/net/listener.h */

/* A host that the TCP proxy tried before the one that stream_info shows. */
struct upstream_attempt {
    struct upstream_attempt *next;
    struct address remote;
    struct str host_name;
    uint64_t connection_id; /* 0: there was no connection */
};

struct stream_info {
    uint64_t start_wall_ns;
    uint64_t start_mono_ns;
    /* Monotonic, 0 until it happened. */
    uint64_t last_rx_byte_ns; /* downstream request complete */
    uint64_t first_upstream_tx_ns;
    uint64_t last_upstream_tx_ns;
    uint64_t first_upstream_rx_ns;
    uint64_t last_upstream_rx_ns;
    uint64_t first_downstream_tx_ns;
    uint64_t last_downstream_tx_ns;
    uint64_t end_ns;
    /* The connection to the host, and the way there. */
    uint64_t upstream_request_ns; /* a connection was asked for, and there */
    uint64_t upstream_ready_ns;
    uint64_t upstream_connect_start_ns;
    uint64_t upstream_connect_end_ns;
    uint64_t first_upstream_body_rx_ns;

    enum http_protocol protocol;
    bool has_protocol;
    enum http_protocol upstream_protocol;
    bool is_upstream_connected; /* upstream_remote is a connection's, and not only a host's */
    bool has_upstream_protocol;
    int response_code; /* 0: none was sent */
    uint64_t flags;    /* bits of enum response_flag */
    struct str response_code_details;
    struct str connection_termination_details;
    uint64_t bytes_received; /* body */
    uint64_t bytes_sent;
    uint64_t header_bytes_received;
    uint64_t header_bytes_sent;
    uint64_t wire_bytes_received;
    uint64_t wire_bytes_sent;
    uint64_t upstream_wire_bytes_sent;
    uint64_t upstream_wire_bytes_received;
    uint64_t upstream_header_bytes_sent;
    uint64_t upstream_header_bytes_received;
    uint64_t connection_id;
    uint64_t stream_id;
    uint32_t attempt_count;

    /* Downstream connection; lives as long. Its TLS story: conn_tls_info. NULL: none (a request of
     * our own). */
    struct conn *connection;
    const struct address *local;
    const struct address *direct_remote;
    struct address remote; /* after x-forwarded-for */
    struct str requested_server_name;
    const struct connection_info *connection_info; /* what listener filters found; NULL: nothing */
    const struct worker_listener *listener;        /* NULL: none (a request of our own) */
    const struct filter_chain_config *filter_chain;

    /* Route. */
    struct str route_name;
    struct str virtual_cluster_name;
    const struct value *route_metadata;
    const struct value *virtual_host_metadata;

    /* Upstream. */
    struct str upstream_cluster; /* observability name (alt_stat_name) */
    struct str upstream_cluster_raw;
    struct address upstream_remote; /* the host's; len 0 until one was chosen */
    struct str upstream_host_name;
    struct address upstream_local;
    struct str upstream_transport_failure_reason;
    struct tls_info *upstream_tls;   /* stream_info_set_upstream_tls; NULL: none */
    uint64_t upstream_connection_id; /* 0: none */
    const struct value *cluster_metadata;
    /* Where the host has its own, which an update may change. */
    const struct value *const *upstream_host_metadata;
    struct upstream_attempt *earlier_attempts; /* latest first */
    bool keeps_attempts; /* also those that failed (as Envoy: the TCP proxy's alone) */

    const struct filter_state_object *filter_state; /* what filters left; NULL: nothing */
    bool is_health_check;
    struct str local_reply_body;
};

/* The TLS story of the connection to the host, kept for the log when that connection has gone;
 * takes a reference. NULL: none any more, as when the stream_info ends. */
void stream_info_set_upstream_tls(struct stream_info *si, struct tls_info *tls);

/* Another host is tried: what is known of this one moves to the earlier attempts, where they are
 * kept. Nothing where none was chosen yet. */
void stream_info_next_attempt(struct stream_info *si, struct arena *a);

static inline void stream_info_set_flag(struct stream_info *si, enum response_flag f)
{
    si->flags |= (uint64_t)1 << f;
}

static inline bool stream_info_has_flag(const struct stream_info *si, enum response_flag f)
{
    return (si->flags & ((uint64_t)1 << f)) != 0;
}

#endif
