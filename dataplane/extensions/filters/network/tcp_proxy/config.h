#ifndef DATAPLANE_EXTENSIONS_FILTERS_NETWORK_TCP_PROXY_CONFIG_H
#define DATAPLANE_EXTENSIONS_FILTERS_NETWORK_TCP_PROXY_CONFIG_H

/* What a TcpProxy message says, read on main, immutable afterwards; part of its filter chain. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/access_log.h"
#include "config/model/core.h"
#include "config/model/format.h"
#include "config/model/listener.h"
#include "config/model/route.h"
#include "dataplane/stats/stats.h"

struct ProtobufCMessage;
struct parse_context;

/* "tcp.<stat_prefix>." */
#define TCP_PROXY_STAT_LIST(X)                                                                     \
    X(CX_DRAIN_CLOSE, "downstream_cx_drain_close", STAT_COUNTER)                                   \
    X(CX_NO_ROUTE, "downstream_cx_no_route", STAT_COUNTER)                                         \
    X(CX_RX_BYTES_BUFFERED, "downstream_cx_rx_bytes_buffered", STAT_GAUGE)                         \
    X(CX_RX_BYTES_TOTAL, "downstream_cx_rx_bytes_total", STAT_COUNTER)                             \
    X(CX_TOTAL, "downstream_cx_total", STAT_COUNTER)                                               \
    X(CX_TX_BYTES_BUFFERED, "downstream_cx_tx_bytes_buffered", STAT_GAUGE)                         \
    X(CX_TX_BYTES_TOTAL, "downstream_cx_tx_bytes_total", STAT_COUNTER)                             \
    X(FLOW_CONTROL_PAUSED, "downstream_flow_control_paused_reading_total", STAT_COUNTER)           \
    X(FLOW_CONTROL_RESUMED, "downstream_flow_control_resumed_reading_total", STAT_COUNTER)         \
    X(EARLY_DATA_RECEIVED, "early_data_received_count_total", STAT_COUNTER)                        \
    X(IDLE_TIMEOUT, "idle_timeout", STAT_COUNTER)                                                  \
    X(MAX_DURATION, "max_downstream_connection_duration", STAT_COUNTER)                            \
    X(UPSTREAM_FLUSH_ACTIVE, "upstream_flush_active", STAT_GAUGE)                                  \
    X(UPSTREAM_FLUSH_TOTAL, "upstream_flush_total", STAT_COUNTER)

enum tcp_proxy_stat {
#define TCP_PROXY_STAT_ENUM(id, name, kind) TCP_PROXY_##id,
    TCP_PROXY_STAT_LIST(TCP_PROXY_STAT_ENUM)
#undef TCP_PROXY_STAT_ENUM
        TCP_PROXY_STAT_COUNT
};

struct tcp_cluster {
    struct str name;
    uint32_t slot;
    uint32_t weight;
};

enum tcp_hash_policy { TCP_HASH_NONE, TCP_HASH_SOURCE_IP, TCP_HASH_FILTER_STATE };

/* The bytes go through an HTTP proxy. */
struct tcp_tunnel_config {
    struct format hostname;
    bool is_post; /* else CONNECT */
    struct str post_path;
    struct header_ops headers;   /* only additions */
    bool keeps_response_headers; /* as filter state */
    bool keeps_response_trailers;
};

enum tcp_connect_mode { TCP_CONNECT_AT_ONCE, TCP_CONNECT_ON_DATA, TCP_CONNECT_ON_TLS_HANDSHAKE };

/* What becomes of TLVs that the client's PROXY header brought along. */
enum tcp_tlv_merge {
    TCP_TLV_ADD_IF_ABSENT, /* ours only where there was no header */
    TCP_TLV_OVERWRITE,     /* ours, then those of other types */
    TCP_TLV_APPEND,        /* theirs, then ours */
};

struct tcp_tlv {
    uint8_t type;
    struct str value;
    const struct substitution_format *format; /* for each connection; NULL: `value` */
};

struct tcp_proxy_config {
    struct str stat_prefix;
    struct stat_scope *stats;           /* NULL: nobody counts (tests of parsers) */
    const struct tcp_cluster *clusters; /* one, or the weighted ones; none: no route */
    size_t cluster_count;
    bool is_weighted;
    uint64_t total_weight;
    enum tcp_hash_policy hash_policy;
    struct str hash_key;        /* of the filter state's object */
    uint64_t idle_timeout_ms;   /* 0: none */
    uint64_t max_duration_ms;   /* 0: none */
    double max_duration_jitter; /* percent */
    uint32_t max_connect_attempts;
    uint64_t backoff_base_ms; /* 0: the next attempt comes at once */
    uint64_t backoff_max_ms;
    const struct tcp_tunnel_config *tunnel; /* NULL: none */
    bool checks_drain_close;
    enum tcp_connect_mode connect_mode;
    struct opt_u32 max_early_data_bytes; /* read before there is a host; unset: nothing is */
    const struct tcp_tlv *tlvs;          /* for PROXY headers: fixed ones first */
    size_t tlv_count;
    enum tcp_tlv_merge tlv_merge;
    struct access_logs access_logs;
    uint64_t log_interval_ms; /* 0: none */
    bool logs_start;
    bool logs_connected;
};

extern const struct stat_schema tcp_proxy_stat_schema;

/* struct extension's `parse`. */
int tcp_proxy_parse(struct parse_context *ctx, const struct ProtobufCMessage *msg,
                    const void **ret_config);

#endif
