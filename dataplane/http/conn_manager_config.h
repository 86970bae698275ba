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
#include "config/model/listener.h"
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

/* What a request id extension parses to. */
struct request_id_config {
    bool pack_trace_reason; /* the 14th digit of a kept id says that the request is not traced */
};

struct http_conn_manager_config {
    enum http_codec_type codec_type;
    struct str stat_prefix;
    struct stat_scope *stats;          /* "http.<stat_prefix>."; NULL when nobody counts (tests) */
    struct stat_scope *listener_stats; /* "listener.<address>.http.<stat_prefix>." */
    struct stat_scope *http2_stats;    /* "http2.", one for all; NULL when nobody counts */

    /* Routes: inline, or the table that is in this slot at the time of the request. */
    const struct route_config *inline_routes;
    uint32_t route_slot; /* SLOT_NONE with inline routes */

    const struct http_filter_config *filters; /* the last is terminal */
    size_t filter_count;
    bool has_disabled_filters;

    /* Connections. */
    uint64_t idle_timeout_ms;
    uint64_t max_connection_duration_ms;
    uint64_t drain_timeout_ms;
    uint64_t delayed_close_timeout_ms;
    uint32_t max_requests_per_connection; /* 0: no limit */

    /* Requests. */
    uint64_t request_headers_timeout_ms;
    uint64_t request_timeout_ms;
    uint64_t stream_idle_timeout_ms;
    uint64_t max_stream_duration_ms;
    uint32_t max_request_headers_bytes;
    uint32_t max_headers_count;
    enum underscore_action headers_with_underscores;
    struct http1_options http1;
    struct http2_options http2;
    const struct http_upgrade_config *upgrades;
    size_t upgrade_count;
    bool proxy_100_continue;
    bool normalize_path;
    bool merge_slashes;
    enum escaped_slashes_action escaped_slashes;

    /* Who the client is, and what it may say about itself. */
    bool use_remote_address;
    bool skip_xff_append;
    uint32_t xff_num_trusted_hops;
    bool unix_sockets_are_internal;
    const struct cidr *internal_ranges;
    size_t internal_range_count;
    /* This machine's first address: what Envoy appends to x-forwarded-for for a loopback peer. */
    struct str local_ip;
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

    struct access_logs access_logs;
};

#endif
