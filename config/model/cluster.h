#ifndef CONFIG_MODEL_CLUSTER_H
#define CONFIG_MODEL_CLUSTER_H

/* A cluster and its endpoint set, validated, immutable. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/core.h"
#include "config/model/extension.h"
#include "config/model/part.h"

enum discovery_type {
    DISCOVERY_STATIC,
    DISCOVERY_STRICT_DNS,
    DISCOVERY_LOGICAL_DNS,
    DISCOVERY_EDS,
};

enum lb_kind { LB_ROUND_ROBIN, LB_LEAST_REQUEST, LB_RANDOM };

enum health_status {
    HEALTH_UNKNOWN,
    HEALTH_HEALTHY,
    HEALTH_UNHEALTHY,
    HEALTH_DRAINING,
    HEALTH_TIMEOUT,
    HEALTH_DEGRADED,
};

/* One LbEndpoint. For DNS clusters the address holds only the port until it is resolved. */
struct endpoint {
    struct address address;
    struct str hostname; /* Endpoint.hostname */
    struct str dns_name; /* the name to resolve; empty for IP and unix addresses */
    uint32_t weight;     /* 1 when unset */
    enum health_status health;
    const struct value *metadata;
    const struct address *additional; /* additional_addresses */
    size_t additional_count;
};

struct locality_endpoints {
    struct locality locality;
    uint32_t priority;
    struct opt_u32 weight; /* load_balancing_weight */
    const struct value *metadata;
    const struct endpoint *endpoints;
    size_t endpoint_count;
};

/* PART_ENDPOINTS: from EDS, from load_assignment, or from a DNS answer. */
struct endpoint_set {
    struct part part;
    const struct locality_endpoints *localities;
    size_t locality_count;
    uint32_t overprovisioning_factor; /* percent, 140 unless set */
    bool weighted_priority_health;
};

/* What has become of asking a control plane for one. */
struct endpoint_updates {
    uint64_t init_fetch_timeouts;
    uint64_t attempts;
    uint64_t failures;
    uint64_t rejections;
    uint64_t successes;
    uint64_t succeeded_wall_ms; /* the last time */
    struct str version;         /* of the last that was good; borrowed */
};

struct circuit_breaker_limits {
    uint32_t max_connections;      /* 1024 */
    uint32_t max_pending_requests; /* 1024 */
    uint32_t max_requests;         /* 1024 */
    uint32_t max_retries;          /* 3 */
    bool track_remaining;
};

/* Also what a load balancing policy extension parses to. */
struct lb_config {
    enum lb_kind kind;
    uint32_t choice_count;      /* least request, 2 */
    double active_request_bias; /* 1.0 */
    bool locality_weighted;
};

/* Which HTTP requests to a cluster go out as. */
enum upstream_http_protocol {
    UPSTREAM_HTTP1,
    UPSTREAM_HTTP2,           /* without negotiation */
    UPSTREAM_HTTP_DOWNSTREAM, /* use_downstream_protocol_config: as the request came in */
    UPSTREAM_HTTP_AUTO,       /* auto_config: ALPN decides, HTTP/1 where nothing is negotiated */
};

/* What upstreams.http.v3.HttpProtocolOptions parses to. */
struct upstream_http_options {
    bool has_common;
    struct http_options common; /* common_http_protocol_options */
    enum upstream_http_protocol protocol;
    struct http1_options http1;
    struct http2_options http2;
    /* upstream_http_protocol_options. */
    bool auto_sni;                       /* the SNI is the request's host */
    bool auto_san_validation;            /* which must be among the certificate's names */
    struct str override_auto_sni_header; /* lower case; where the host is instead; empty: none */
};

enum dns_lookup_family { DNS_AUTO, DNS_V4_ONLY, DNS_V6_ONLY, DNS_V4_PREFERRED, DNS_ALL };

/* How names are resolved; also what clusters.dns.v3.DnsCluster parses to. */
struct dns_options {
    bool is_logical;        /* one endpoint, whatever the number of addresses: LOGICAL_DNS */
    bool has_all_addresses; /* logical: the others are additional addresses of the endpoint */
    enum dns_lookup_family lookup_family;
    uint64_t refresh_rate_ms;         /* 5000 */
    uint64_t failure_refresh_base_ms; /* the refresh rate unless set */
    uint64_t failure_refresh_max_ms;
    uint64_t jitter_ms;
    bool respect_ttl;
};

/* Eds/ConfigSource: where the endpoints come from. */
enum config_source_kind {
    CONFIG_SOURCE_NONE,
    CONFIG_SOURCE_ADS,
    CONFIG_SOURCE_PATH,
    CONFIG_SOURCE_API,
};

enum api_type { API_GRPC, API_DELTA_GRPC };

struct initial_metadata {
    struct str key;
    struct str value;
};

struct grpc_service_config {
    struct str cluster_name; /* envoy_grpc, or the target of google_grpc */
    bool is_google_grpc;
    struct str authority;
    struct opt_ms timeout;
    const struct initial_metadata *initial_metadata;
    size_t initial_metadata_count;
};

struct config_source {
    enum config_source_kind kind;
    struct str path;
    struct str watched_directory;
    enum api_type api_type;
    struct grpc_service_config grpc;
    bool set_node_on_first_message_only;
    uint64_t initial_fetch_timeout_ms; /* 15000 unless set; 0 waits for ever */
};

/* One of Cluster.transport_socket_matches: the first whose pairs are all among those of the
 * endpoint's (else its locality's) metadata envoy.transport_socket_match is that of the endpoint.
 */
struct transport_socket_match {
    struct str name;
    const struct value *match; /* NULL or empty: every endpoint */
    const struct extension *ext;
    const void *config;
    uint64_t hash; /* of what is configured: a changed one drains the endpoint's connections */
};

struct cluster_shared; /* dataplane/upstream/cluster_registry.h */

struct cluster_config {
    struct part part;
    struct str name;
    struct str stat_name;  /* alt_stat_name or name */
    bool tracks_endpoints; /* track_cluster_stats.per_endpoint_stats */
    bool tracks_sizes;     /* request_response_sizes */
    bool tracks_budgets;   /* timeout_budgets */
    enum discovery_type type;
    uint32_t endpoints_slot; /* always valid: EDS, static and DNS sets are published there */
    struct str eds_service_name;
    const struct config_source *eds_source;           /* NULL unless EDS */
    const struct locality_endpoints *load_assignment; /* DNS: what to resolve */
    size_t load_assignment_count;
    uint32_t overprovisioning_factor;
    bool weighted_priority_health;
    uint64_t connect_timeout_ms; /* 5000 */
    uint32_t per_connection_buffer_limit_bytes;
    struct lb_config lb;
    struct circuit_breaker_limits breakers[PRIORITY_COUNT];
    double panic_threshold; /* percent, 50 unless set, 0 switches panic off */
    /* HTTP protocol options towards the upstream. */
    struct opt_ms idle_timeout; /* 1 h when unset, 0 off */
    struct opt_ms max_connection_duration;
    double max_connection_duration_jitter; /* percent of it, added at random */
    struct opt_ms max_stream_duration;
    uint32_t max_requests_per_connection;      /* 0: no limit */
    struct opt_u32 max_response_headers_count; /* 100 */
    struct opt_u32 max_response_headers_kb;
    enum upstream_http_protocol http_protocol;
    struct http1_options http1;
    struct http2_options http2;
    bool auto_sni; /* these three as in struct upstream_http_options */
    bool auto_san_validation;
    struct str override_auto_sni_header;
    bool added_via_api; /* from CDS, not the bootstrap */
    struct dns_options dns;
    struct address bind_address; /* upstream_bind_config, len 0 for none */
    const struct socket_option *socket_options;
    size_t socket_option_count;
    struct tcp_keepalive tcp_keepalive;
    const struct extension *transport_socket; /* NULL: raw */
    const void *transport_socket_config;
    const struct transport_socket_match *transport_socket_matches;
    size_t transport_socket_match_count;
    const struct value *metadata;
    uint64_t pool_hash; /* of all that shapes a connection; a changed key drains pools */
    /* What outlives versions (stats, breaker counts): set on main by upstream/cluster_registry
     * before the first publication, kept alive by the part. */
    struct cluster_shared *shared;
};

#endif
