#ifndef CONFIG_MODEL_LISTENER_H
#define CONFIG_MODEL_LISTENER_H

/* Listeners and filter chains, validated, immutable. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/access_log.h"
#include "config/model/core.h"
#include "config/model/extension.h"
#include "config/model/part.h"

/* One configured filter of any kind: its type's descriptor and its own parsed struct. */
struct filter_config {
    struct str name; /* free text */
    const struct extension *ext;
    const void *config;
    bool disabled; /* HTTP filters */
};

enum listener_predicate_kind {
    LISTENER_PREDICATE_ANY,
    LISTENER_PREDICATE_NOT, /* of the one rule */
    LISTENER_PREDICATE_AND,
    LISTENER_PREDICATE_OR,
    LISTENER_PREDICATE_DESTINATION_PORT,
};

struct listener_predicate {
    enum listener_predicate_kind kind;
    const struct listener_predicate *rules;
    size_t rule_count;
    int32_t port_from; /* this one is inside */
    int32_t port_to;   /* this one is not */
};

struct listener_filter_config {
    struct filter_config filter;
    const struct listener_predicate *disabled; /* passed over where it holds; NULL: never */
};

enum source_type { SOURCE_ANY, SOURCE_SAME_IP_OR_LOOPBACK, SOURCE_EXTERNAL };

struct filter_chain_match {
    struct opt_u32 destination_port;
    const struct cidr *prefix_ranges;
    size_t prefix_range_count;
    const struct cidr *direct_source_prefix_ranges;
    size_t direct_source_prefix_range_count;
    enum source_type source_type;
    const struct cidr *source_prefix_ranges;
    size_t source_prefix_range_count;
    const uint32_t *source_ports;
    size_t source_port_count;
    const struct str *server_names; /* lower case */
    size_t server_name_count;
    struct str transport_protocol; /* "", "raw_buffer", "tls" */
    const struct str *application_protocols;
    size_t application_protocol_count;
};

struct matcher; /* config/model/matcher.h */
struct unsupported_field;

/* PART_FILTER_CHAIN: connections pin it. */
struct filter_chain_config {
    struct part part;
    struct str name;
    struct filter_chain_match match;
    const struct filter_config *filters; /* network filters; none: accepts and closes */
    size_t filter_count;
    const struct extension *transport_socket; /* NULL: raw_buffer */
    const void *transport_socket_config;
    uint64_t transport_socket_connect_timeout_ms; /* 0: none */
    const struct value *metadata;
    /* Fields that were not understood, for the reports of every version that shares the chain. */
    const struct unsupported_field *unsupported; /* config/parse/context.h */
};

/* An action of listener_config.chain_matcher. */
struct filter_chain_action {
    const struct filter_chain_config *chain; /* NULL: no chain has the name */
};

struct filter_chain_index; /* net/filter_chain_match.h builds it from the model on main */

enum drain_type { DRAIN_DEFAULT, DRAIN_MODIFY_ONLY };

struct listener_config {
    struct part part;
    struct str name;
    struct str stat_prefix;          /* "" : from the address */
    const struct address *addresses; /* address, then additional_addresses */
    size_t address_count;
    bool bind_to_port;
    /* Connections whose destination was restored go to the listener at that address. */
    bool use_original_dst;
    bool reuse_port;
    bool is_balanced_exactly;   /* between workers, by how many connections each has */
    int backlog;                /* 0: the system's maximum */
    uint32_t accepts_per_event; /* 0: not set */
    bool is_transparent;
    bool is_freebind;
    bool is_mptcp;
    struct opt_u32 fast_open_queue;
    struct tcp_keepalive keepalive; /* of accepted connections */
    uint32_t unix_mode;             /* 0: leave */
    bool ipv4_compat;
    struct opt_u32 per_connection_buffer_limit_bytes; /* 1 MiB when unset */
    enum traffic_direction traffic_direction;
    enum drain_type drain_type;
    const struct socket_option *socket_options;
    size_t socket_option_count;
    const struct filter_chain_config *const *chains; /* each holds one reference */
    size_t chain_count;
    const struct filter_chain_config *default_chain; /* NULL: none */
    /* Instead of what the chains say of themselves; its actions are filter_chain_action. NULL:
     * none. */
    const struct matcher *chain_matcher;
    struct access_logs access_logs;
    const struct listener_filter_config *listener_filters;
    size_t listener_filter_count;
    uint64_t listener_filters_timeout_ms; /* 15000; 0 off */
    bool continue_on_listener_filters_timeout;
    struct str connection_limit_key; /* of the runtime */
    bool ignore_global_conn_limit;
    bool bypass_overload_manager;
    const struct value *metadata;
    /* Hash of everything but the filter chains: equal means an in-place (chain-only) update. */
    uint64_t listener_hash;
    bool is_static;
};

#endif
