#ifndef CONFIG_MODEL_ROUTE_H
#define CONFIG_MODEL_ROUTE_H

/*
 * A route table (RouteConfiguration), validated and indexed, immutable. Clusters are slot numbers
 * that main resolved at parse time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/core.h"
#include "config/model/extension.h"
#include "config/model/format.h"
#include "config/model/part.h"

enum header_append_action {
    HEADER_APPEND_IF_EXISTS_OR_ADD,
    HEADER_ADD_IF_ABSENT,
    HEADER_OVERWRITE_IF_EXISTS_OR_ADD,
    HEADER_OVERWRITE_IF_EXISTS,
};

struct header_add {
    struct str name; /* lower case; ":authority", ":path" allowed as Envoy allows */
    struct format value;
    enum header_append_action action;
    bool keep_empty_value;
};

/* In Envoy's order of evaluation within a level: removals before additions. */
struct header_ops {
    const struct header_add *add;
    size_t add_count;
    const struct str *remove; /* lower case */
    size_t remove_count;
};

enum header_match_kind {
    HEADER_MATCH_PRESENT,
    HEADER_MATCH_STRING,
    HEADER_MATCH_RANGE, /* [start, end) */
};

struct header_matcher {
    struct str name; /* lower case */
    enum header_match_kind kind;
    bool present; /* present_match's value */
    struct string_matcher string;
    int64_t range_start;
    int64_t range_end;
    bool invert;
    bool treat_missing_as_empty;
};

struct query_matcher {
    struct str name;
    bool is_present_only;
    bool present;
    struct string_matcher string;
};

enum path_match_kind {
    PATH_MATCH_PREFIX,
    PATH_MATCH_EXACT,
    PATH_MATCH_SEPARATED_PREFIX,
    PATH_MATCH_REGEX,
    PATH_MATCH_CONNECT, /* connect_matcher: CONNECT requests, whatever their path */
};

/* typed_per_filter_config: by the filter's name in the chain. */
struct filter_override {
    struct str filter_name;
    bool disabled;
    bool is_enabled_only;        /* FilterConfig with an empty Any: switches on, no configuration */
    const struct extension *ext; /* NULL when nothing is configured (or optional and unknown) */
    const void *config;
};

struct filter_overrides {
    const struct filter_override *items;
    size_t count;
};

const struct filter_override *filter_overrides_find(const struct filter_overrides *o,
                                                    struct str filter_name);

struct weighted_cluster {
    struct str name;
    uint32_t slot;
    struct str cluster_header; /* instead of a name */
    uint32_t weight;
    struct header_ops request_headers;
    struct header_ops response_headers;
    struct filter_overrides overrides;
    struct str host_rewrite;
};

enum route_action_kind {
    ROUTE_FORWARD,
    ROUTE_REDIRECT,
    ROUTE_DIRECT_RESPONSE,
    ROUTE_NON_FORWARDING,
};

struct route_forward {
    struct str cluster_name; /* empty with weighted clusters or cluster_header */
    uint32_t cluster_slot;   /* SLOT_NONE likewise */
    struct str cluster_header;
    const struct weighted_cluster *weighted;
    size_t weighted_count;
    uint64_t total_weight;
    struct str weight_header;     /* header_name that carries the random value */
    int cluster_not_found_status; /* 503 default, 404, 500 */
    struct str prefix_rewrite;
    struct regex_rewrite path_regex_rewrite;
    struct str host_rewrite_literal;
    struct str host_rewrite_header;
    struct regex_rewrite host_rewrite_path_regex; /* of the path without its query */
    bool auto_host_rewrite;
    bool append_x_forwarded_host;
    struct opt_ms timeout;       /* unset 15 s, 0 off */
    struct opt_ms idle_timeout;  /* unset: the connection manager's */
    struct opt_ms flush_timeout; /* likewise */
    enum routing_priority priority;
    const struct route_upgrade *upgrades; /* upgrade_configs: over the connection manager's */
    size_t upgrade_count;
    /* max_stream_duration (RouteAction.MaxStreamDuration). As Envoy: where it stands, even empty,
     * `timeout` and the deprecated pair mean nothing. */
    bool has_stream_duration;
    struct opt_ms max_stream_duration;
    struct opt_ms grpc_timeout_header_max;
    struct opt_ms grpc_timeout_header_offset;
    /* The deprecated pair before it. */
    struct opt_ms max_grpc_timeout;
    struct opt_ms grpc_timeout_offset;
};

struct route_redirect {
    bool https_redirect;
    struct str scheme;
    struct str host;
    uint32_t port; /* 0: none */
    struct str path;
    struct str prefix_rewrite;
    struct regex_rewrite regex_rewrite;
    int status; /* 301, 302, 303, 307, 308 */
    bool strip_query;
};

struct route_direct_response {
    int status;
    struct str body;
    const struct substitution_format *format; /* NULL: the body as it is */
};

struct stat_scope;

struct route {
    struct str name;
    uint32_t index; /* position in its virtual host: the lowest match wins */
    enum path_match_kind path_kind;
    bool case_sensitive;
    struct str path; /* prefix, exact path, separated prefix */
    struct regex *path_regex;
    const struct header_matcher *headers;
    size_t header_count;
    const struct query_matcher *queries;
    size_t query_count;
    bool is_grpc_only; /* RouteMatch.grpc */
    bool has_runtime_fraction;
    struct fraction runtime_fraction;
    enum route_action_kind action;
    union {
        struct route_forward forward;
        struct route_redirect redirect;
        struct route_direct_response direct;
    };
    struct header_ops request_headers;
    struct header_ops response_headers;
    struct filter_overrides overrides;
    const struct value *metadata;
    struct opt_u64 body_buffer_limit; /* of requests; its virtual host's unless set */
    struct stat_scope *stats;         /* stat_prefix: config/model/route_stats.h; else NULL */
};

enum require_tls { REQUIRE_TLS_NONE, REQUIRE_TLS_EXTERNAL_ONLY, REQUIRE_TLS_ALL };

/* Requests of a virtual host that are counted together, whatever their routes. */
struct virtual_cluster {
    struct str name;                      /* as logs show it; empty for "other", as in Envoy */
    const struct header_matcher *headers; /* all match */
    size_t header_count;
    struct stat_scope *stats; /* config/model/route_stats.h; NULL: nobody counts */
};

struct route_index; /* config/model/route_index.h */

struct virtual_host {
    struct str name;
    const struct str *domains;
    size_t domain_count;
    const struct route *routes; /* in configured order */
    size_t route_count;
    const struct route_index *index;
    enum require_tls require_tls;
    bool include_attempt_count_in_response;
    bool include_request_attempt_count;
    bool include_is_timeout_retry_header;
    struct header_ops request_headers;
    struct header_ops response_headers;
    struct filter_overrides overrides;
    const struct value *metadata;
    /* The first that matches counts. Either none, or the last is "other", which matches
     * every request. */
    const struct virtual_cluster *virtual_clusters;
    size_t virtual_cluster_count;
};

struct domain_index; /* config/model/route_index.h */

struct route_config {
    struct part part; /* unused (refs 0) when inline in a connection manager */
    struct str name;
    const struct virtual_host *vhosts;
    size_t vhost_count;
    const struct domain_index *domains;
    const struct str *internal_only_headers;
    size_t internal_only_header_count;
    struct header_ops request_headers;
    struct header_ops response_headers;
    bool most_specific_header_mutations_wins;
    bool ignore_port_in_host_matching;
    bool ignore_path_parameters;
    struct filter_overrides overrides;
};

#endif
