#ifndef CONFIG_MODEL_LOG_FILTER_H
#define CONFIG_MODEL_LOG_FILTER_H

/*
 * config.accesslog.v3.AccessLogFilter: of which streams a logger is told, and to which a
 * local_reply_config's mapper applies. Parsed by config/parse/log_filter.c, evaluated by
 * dataplane/stream_info/log_filter.c. Immutable; any thread.
 */

#include "config/model/core.h"
#include "config/model/value_matcher.h"

struct header_matcher; /* config/model/route.h */

/* At which moment of a stream an entry is written; the numbers are Envoy's AccessLogType. */
#define ACCESS_LOG_TYPE_LIST(X)                                                                    \
    X(NOT_SET, "NotSet")                                                                           \
    X(TCP_UPSTREAM_CONNECTED, "TcpUpstreamConnected")                                              \
    X(TCP_PERIODIC, "TcpPeriodic")                                                                 \
    X(TCP_CONNECTION_END, "TcpConnectionEnd")                                                      \
    X(DOWNSTREAM_START, "DownstreamStart")                                                         \
    X(DOWNSTREAM_PERIODIC, "DownstreamPeriodic")                                                   \
    X(DOWNSTREAM_END, "DownstreamEnd")                                                             \
    X(UPSTREAM_POOL_READY, "UpstreamPoolReady")                                                    \
    X(UPSTREAM_PERIODIC, "UpstreamPeriodic")                                                       \
    X(UPSTREAM_END, "UpstreamEnd")                                                                 \
    X(DOWNSTREAM_TUNNEL_SUCCESSFULLY_ESTABLISHED, "DownstreamTunnelSuccessfullyEstablished")       \
    X(UDP_TUNNEL_UPSTREAM_CONNECTED, "UdpTunnelUpstreamConnected")                                 \
    X(UDP_PERIODIC, "UdpPeriodic")                                                                 \
    X(UDP_SESSION_END, "UdpSessionEnd")                                                            \
    X(TCP_CONNECTION_START, "TcpConnectionStart")

enum access_log_type {
#define ACCESS_LOG_TYPE_ENUM(id, name) ACCESS_LOG_##id,
    ACCESS_LOG_TYPE_LIST(ACCESS_LOG_TYPE_ENUM)
#undef ACCESS_LOG_TYPE_ENUM
        ACCESS_LOG_TYPE_COUNT
};

enum log_filter_kind {
    LOG_FILTER_STATUS_CODE,
    LOG_FILTER_DURATION, /* milliseconds */
    LOG_FILTER_NOT_HEALTH_CHECK,
    LOG_FILTER_TRACEABLE,
    LOG_FILTER_RUNTIME,
    LOG_FILTER_AND,
    LOG_FILTER_OR,
    LOG_FILTER_HEADER,
    LOG_FILTER_RESPONSE_FLAG,
    LOG_FILTER_GRPC_STATUS,
    LOG_FILTER_METADATA,
    LOG_FILTER_LOG_TYPE,
};

enum log_filter_op { LOG_FILTER_EQ, LOG_FILTER_GE, LOG_FILTER_LE, LOG_FILTER_NE };

struct log_filter {
    enum log_filter_kind kind;
    enum log_filter_op op; /* STATUS_CODE, DURATION: against `value` */
    uint64_t value;
    struct str runtime_key;   /* STATUS_CODE, DURATION, RUNTIME: goes before what is configured */
    struct fraction fraction; /* RUNTIME */
    bool is_independent;      /* RUNTIME: not decided by the request's id */
    uint64_t set;             /* bits of flags, gRPC statuses or log types; no flag: any flag */
    bool exclude;             /* GRPC_STATUS, LOG_TYPE: those that are not in the set */
    const struct header_matcher *header;
    struct metadata_matcher metadata;
    bool has_metadata;
    bool matches_absent;            /* METADATA: where there is no such value */
    const struct log_filter *parts; /* AND, OR */
    size_t part_count;
};

#endif
