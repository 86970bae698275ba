#ifndef DATAPLANE_HTTP_CONN_MANAGER_STATS_H
#define DATAPLANE_HTTP_CONN_MANAGER_STATS_H

/* The counters of a connection manager, under Envoy's names. */

#include "dataplane/stats/stats.h"

#define CONN_MANAGER_STAT_LIST(X)                                                                  \
    X(CM_CX_ACTIVE, "downstream_cx_active", STAT_GAUGE)                                            \
    X(CM_CX_DELAYED_CLOSE_TIMEOUT, "downstream_cx_delayed_close_timeout", STAT_COUNTER)            \
    X(CM_CX_DESTROY, "downstream_cx_destroy", STAT_COUNTER)                                        \
    X(CM_CX_DESTROY_ACTIVE_RQ, "downstream_cx_destroy_active_rq", STAT_COUNTER)                    \
    X(CM_CX_DESTROY_LOCAL, "downstream_cx_destroy_local", STAT_COUNTER)                            \
    X(CM_CX_DESTROY_LOCAL_ACTIVE_RQ, "downstream_cx_destroy_local_active_rq", STAT_COUNTER)        \
    X(CM_CX_DESTROY_REMOTE, "downstream_cx_destroy_remote", STAT_COUNTER)                          \
    X(CM_CX_DESTROY_REMOTE_ACTIVE_RQ, "downstream_cx_destroy_remote_active_rq", STAT_COUNTER)      \
    X(CM_CX_DRAIN_CLOSE, "downstream_cx_drain_close", STAT_COUNTER)                                \
    X(CM_CX_HTTP1_ACTIVE, "downstream_cx_http1_active", STAT_GAUGE)                                \
    X(CM_CX_HTTP1_SOFT_DRAIN, "downstream_cx_http1_soft_drain", STAT_GAUGE)                        \
    X(CM_CX_HTTP1_TOTAL, "downstream_cx_http1_total", STAT_COUNTER)                                \
    X(CM_CX_HTTP2_ACTIVE, "downstream_cx_http2_active", STAT_GAUGE)                                \
    X(CM_CX_HTTP2_TOTAL, "downstream_cx_http2_total", STAT_COUNTER)                                \
    X(CM_CX_HTTP3_ACTIVE, "downstream_cx_http3_active", STAT_GAUGE)                                \
    X(CM_CX_HTTP3_TOTAL, "downstream_cx_http3_total", STAT_COUNTER)                                \
    X(CM_CX_IDLE_TIMEOUT, "downstream_cx_idle_timeout", STAT_COUNTER)                              \
    X(CM_CX_LENGTH_MS, "downstream_cx_length_ms", STAT_HISTOGRAM)                                  \
    X(CM_CX_MAX_DURATION_REACHED, "downstream_cx_max_duration_reached", STAT_COUNTER)              \
    X(CM_CX_MAX_REQUESTS_REACHED, "downstream_cx_max_requests_reached", STAT_COUNTER)              \
    X(CM_CX_OVERLOAD_DISABLE_KEEPALIVE, "downstream_cx_overload_disable_keepalive", STAT_COUNTER)  \
    X(CM_CX_PROTOCOL_ERROR, "downstream_cx_protocol_error", STAT_COUNTER)                          \
    X(CM_CX_RX_BYTES_BUFFERED, "downstream_cx_rx_bytes_buffered", STAT_GAUGE)                      \
    X(CM_CX_RX_BYTES_TOTAL, "downstream_cx_rx_bytes_total", STAT_COUNTER)                          \
    X(CM_CX_SSL_ACTIVE, "downstream_cx_ssl_active", STAT_GAUGE)                                    \
    X(CM_CX_SSL_TOTAL, "downstream_cx_ssl_total", STAT_COUNTER)                                    \
    X(CM_CX_TOTAL, "downstream_cx_total", STAT_COUNTER)                                            \
    X(CM_CX_TX_BYTES_BUFFERED, "downstream_cx_tx_bytes_buffered", STAT_GAUGE)                      \
    X(CM_CX_TX_BYTES_TOTAL, "downstream_cx_tx_bytes_total", STAT_COUNTER)                          \
    X(CM_CX_UPGRADES_ACTIVE, "downstream_cx_upgrades_active", STAT_GAUGE)                          \
    X(CM_CX_UPGRADES_TOTAL, "downstream_cx_upgrades_total", STAT_COUNTER)                          \
    X(CM_FLOW_CONTROL_PAUSED, "downstream_flow_control_paused_reading_total", STAT_COUNTER)        \
    X(CM_FLOW_CONTROL_RESUMED, "downstream_flow_control_resumed_reading_total", STAT_COUNTER)      \
    X(CM_RQ_1XX, "downstream_rq_1xx", STAT_COUNTER)                                                \
    X(CM_RQ_2XX, "downstream_rq_2xx", STAT_COUNTER)                                                \
    X(CM_RQ_3XX, "downstream_rq_3xx", STAT_COUNTER)                                                \
    X(CM_RQ_4XX, "downstream_rq_4xx", STAT_COUNTER)                                                \
    X(CM_RQ_5XX, "downstream_rq_5xx", STAT_COUNTER)                                                \
    X(CM_RQ_ACTIVE, "downstream_rq_active", STAT_GAUGE)                                            \
    X(CM_RQ_COMPLETED, "downstream_rq_completed", STAT_COUNTER)                                    \
    X(CM_RQ_FAILED_PATH_NORMALIZATION, "downstream_rq_failed_path_normalization", STAT_COUNTER)    \
    X(CM_RQ_HEADER_TIMEOUT, "downstream_rq_header_timeout", STAT_COUNTER)                          \
    X(CM_RQ_HTTP1_TOTAL, "downstream_rq_http1_total", STAT_COUNTER)                                \
    X(CM_RQ_HTTP2_TOTAL, "downstream_rq_http2_total", STAT_COUNTER)                                \
    X(CM_RQ_HTTP3_TOTAL, "downstream_rq_http3_total", STAT_COUNTER)                                \
    X(CM_RQ_IDLE_TIMEOUT, "downstream_rq_idle_timeout", STAT_COUNTER)                              \
    X(CM_RQ_MAX_DURATION_REACHED, "downstream_rq_max_duration_reached", STAT_COUNTER)              \
    X(CM_RQ_NON_RELATIVE_PATH, "downstream_rq_non_relative_path", STAT_COUNTER)                    \
    X(CM_RQ_OVERLOAD_CLOSE, "downstream_rq_overload_close", STAT_COUNTER)                          \
    X(CM_RQ_REDIRECTED_WITH_NORMALIZED_PATH, "downstream_rq_redirected_with_normalized_path",      \
      STAT_COUNTER)                                                                                \
    X(CM_RQ_REJECTED_VIA_IP_DETECTION, "downstream_rq_rejected_via_ip_detection", STAT_COUNTER)    \
    X(CM_RQ_RESPONSE_BEFORE_RQ_COMPLETE, "downstream_rq_response_before_rq_complete",              \
      STAT_COUNTER)                                                                                \
    X(CM_RQ_RX_RESET, "downstream_rq_rx_reset", STAT_COUNTER)                                      \
    X(CM_RQ_TIME, "downstream_rq_time", STAT_HISTOGRAM)                                            \
    X(CM_RQ_TIMEOUT, "downstream_rq_timeout", STAT_COUNTER)                                        \
    X(CM_RQ_TOO_LARGE, "downstream_rq_too_large", STAT_COUNTER)                                    \
    X(CM_RQ_TOO_MANY_PREMATURE_RESETS, "downstream_rq_too_many_premature_resets", STAT_COUNTER)    \
    X(CM_RQ_TOTAL, "downstream_rq_total", STAT_COUNTER)                                            \
    X(CM_RQ_TX_RESET, "downstream_rq_tx_reset", STAT_COUNTER)                                      \
    X(CM_RQ_WS_ON_NON_WS_ROUTE, "downstream_rq_ws_on_non_ws_route", STAT_COUNTER)                  \
    X(CM_RS_TOO_LARGE, "rs_too_large", STAT_COUNTER)                                               \
    /* The router's, under the same prefix. */                                                     \
    X(CM_ROUTER_NO_CLUSTER, "no_cluster", STAT_COUNTER)                                            \
    X(CM_ROUTER_NO_ROUTE, "no_route", STAT_COUNTER)                                                \
    X(CM_ROUTER_RQ_DIRECT_RESPONSE, "rq_direct_response", STAT_COUNTER)                            \
    X(CM_ROUTER_RQ_OVERLOAD_LOCAL_REPLY, "rq_overload_local_reply", STAT_COUNTER)                  \
    X(CM_ROUTER_RQ_REDIRECT, "rq_redirect", STAT_COUNTER)                                          \
    X(CM_ROUTER_RQ_RESET_AFTER_RESPONSE_STARTED, "rq_reset_after_downstream_response_started",     \
      STAT_COUNTER)                                                                                \
    X(CM_ROUTER_RQ_TOTAL, "rq_total", STAT_COUNTER)

enum conn_manager_stat {
#define CONN_MANAGER_STAT_ENUM(id, name, kind) id,
    CONN_MANAGER_STAT_LIST(CONN_MANAGER_STAT_ENUM)
#undef CONN_MANAGER_STAT_ENUM
        CM_STAT_COUNT
};

/* Per listener: "listener.<address>.http.<stat_prefix>." */
enum conn_manager_listener_stat {
    CM_LISTENER_RQ_1XX,
    CM_LISTENER_RQ_2XX,
    CM_LISTENER_RQ_3XX,
    CM_LISTENER_RQ_4XX,
    CM_LISTENER_RQ_5XX,
    CM_LISTENER_RQ_COMPLETED,
    CM_LISTENER_STAT_COUNT
};

extern const struct stat_schema conn_manager_stat_schema;
extern const struct stat_schema conn_manager_listener_stat_schema;

#endif
