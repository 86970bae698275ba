#ifndef DATAPLANE_HTTP_CONN_MANAGER_CONFIG_H
#define DATAPLANE_HTTP_CONN_MANAGER_CONFIG_H

/*
 * What an HttpConnectionManager message says, validated, immutable: built by
 * extensions/filters/network/http_connection_manager.c inside the filter chain's part, read by
 * every worker. A timeout of 0 is off.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/core.h"
#include "config/model/format.h"
#include "config/model/listener.h"
#include "config/model/log_filter.h"
#include "config/model/route.h"
#include "dataplane/base/address.h"
#include "dataplane/http/filter.h"
#include "dataplane/stats/stats.h"

enum http_codec_type { HTTP_CODEC_AUTO, HTTP_CODEC_HTTP1, HTTP_CODEC_HTTP2, HTTP_CODEC_HTTP3 };

enum server_header_transformation {
    SERVER_OVERWRITE,
    SERVER_APPEND_IF_ABSENT,
    SERVER_PASS_THROUGH
};

enum escaped_slashes_action {
    ESCAPED_SLASHES_KEEP,
    ESCAPED_SLASHES_REJECT,
    ESCAPED_SLASHES_REDIRECT,
    ESCAPED_SLASHES_FORWARD,
};

/* The port behind the host of a request: kept, dropped where it is the listener's, or always. */
enum strip_port_mode { STRIP_PORT_NONE, STRIP_PORT_MATCHING, STRIP_PORT_ANY };

/* What becomes of x-forwarded-client-cert. */
enum forward_client_cert {
    CLIENT_CERT_SANITIZE, /* dropped */
    CLIENT_CERT_FORWARD_ONLY,
    CLIENT_CERT_APPEND_FORWARD,
    CLIENT_CERT_SANITIZE_SET,
    CLIENT_CERT_ALWAYS_FORWARD_ONLY, /* also without a client certificate */
};

/* What is said of the client's certificate, beside By and Hash. */
struct client_cert_details {
    bool cert;
    bool chain;
    bool subject;
    bool uri;
    bool dns;
    bool issuer;
    bool is_json;
};

/* One HTTP filter as configured, in chain order. */
struct http_filter_config {
    const struct http_filter_type *type;
    const void *config;
    struct str name;
    bool is_disabled; /* unless a route enables it */
};

/* upgrade_configs: which upgrades are allowed, and the filters that such requests pass. */
struct http_upgrade_config {
    struct str type;
    bool is_enabled;
    const struct http_filter_config *filters; /* NULL: the connection manager's own chain */
    size_t filter_count;
};

/* local_reply_config: the first mapper whose filter matches decides what a local reply becomes. */
struct local_reply_mapper {
    struct log_filter filter;
    int status; /* 0: as it is */
    bool has_body;
    struct str body;
    struct header_ops headers;
    const struct substitution_format *format; /* NULL: that of the whole */
};

struct local_reply_config {
    const struct local_reply_mapper *mappers;
    size_t mapper_count;
    const struct substitution_format *format; /* NULL: the body as it is */
};

/* forward_proto_config: x-forwarded-proto by the port that the client meant to connect to, where
 * listener filters know it (PROXY protocol, original destination). */
struct forward_proto {
    const uint32_t *https_ports;
    size_t https_port_count;
    const uint32_t *http_ports;
    size_t http_port_count;
};

/* original_ip_detection_extensions. */
struct ip_detection {
    const struct ip_detector_type *type; /* http/client_address.h */
    const void *config;
};

/* early_header_mutation_extensions. */
struct early_mutation {
    const struct early_mutation_type *type; /* http/early_mutation.h */
    const void *config;
};

/* What a request id extension parses to. */
struct request_id_config {
    bool pack_trace_reason; /* the 14th digit of a kept id says that the request is not traced */
};

struct http_conn_manager_config {
    enum http_codec_type codec_type;
    struct str stat_prefix;
    struct stat_scope *stats;          /* "http.<stat_prefix>."; NULL when nobody counts (tests) */
    struct stat_scope *listener_stats; /* "listener.<address>.http.<stat_prefix>." */
    struct stat_scope *http1_stats;    /* "http1.", one for all; NULL when nobody counts */
    struct stat_scope *http2_stats;    /* "http2.", likewise */

    /* Routes: inline, or the table that is in this slot at the time of the request. */
    const struct route_config *inline_routes;
    uint32_t route_slot; /* SLOT_NONE with inline routes */

    const struct http_filter_config *filters; /* the last is terminal */
    size_t filter_count;
    bool has_disabled_filters;

    /* Connections. */
    uint64_t idle_timeout_ms;
    uint64_t max_connection_duration_ms;
    double max_connection_duration_jitter; /* percent */
    /* HTTP/1 that has reached it says so with its next response, rather than draining for a time.
     */
    bool http1_safe_max_connection_duration;
    uint64_t drain_timeout_ms;
    double drain_timeout_jitter; /* percent */
    uint64_t delayed_close_timeout_ms;
    uint32_t max_requests_per_connection; /* 0: no limit */

    /* Requests. */
    uint64_t request_headers_timeout_ms;
    uint64_t request_timeout_ms;
    uint64_t stream_idle_timeout_ms;
    struct opt_ms stream_flush_timeout; /* unset: as the idle timeout */
    uint64_t max_stream_duration_ms;
    uint32_t max_request_headers_bytes;
    uint32_t max_headers_count;
    enum underscore_action headers_with_underscores;
    struct http1_options http1;
    struct http2_options http2;
    const struct http_upgrade_config *upgrades;
    size_t upgrade_count;
    bool proxy_100_continue;
    bool append_local_overload;
    bool normalize_path;
    bool merge_slashes;
    enum escaped_slashes_action escaped_slashes;
    enum strip_port_mode strip_port;
    bool strip_trailing_host_dot;
    struct local_reply_config local_reply;

    /* Who the client is, and what it may say about itself. */
    bool use_remote_address;
    bool skip_xff_append;
    uint32_t xff_num_trusted_hops;
    /* Asked one after another where the peer's address does not count; none: x-forwarded-for. */
    const struct ip_detection *ip_detections;
    size_t ip_detection_count;
    const struct early_mutation *early_mutations;
    size_t early_mutation_count;
    bool append_x_forwarded_port;
    struct forward_proto forward_proto;
    bool unix_sockets_are_internal;
    const struct cidr *internal_ranges;
    size_t internal_range_count;
    /* This machine's first address: what Envoy appends to x-forwarded-for for a loopback peer. */
    struct str local_ip;
    bool add_user_agent; /* requests say by which node and cluster they came */
    struct str via;
    /* Of :scheme. */
    struct str scheme_to_overwrite; /* also of x-forwarded-proto; empty: none */
    bool scheme_matches_upstream;   /* "https" to encrypted upstreams, else "http" */
    enum forward_client_cert forward_client_cert;
    struct client_cert_details client_cert_details;

    bool generate_request_id;
    bool preserve_external_request_id;
    bool always_set_request_id_in_response;
    struct request_id_config request_id;

    struct str server_name;
    enum server_header_transformation server_header;

    struct access_logs access_logs; /* told at the end of each request, and: */
    bool logs_new_requests;
    bool logs_tunnels;        /* when one is established */
    uint64_t log_interval_ms; /* 0: not in between */
};

#endif
