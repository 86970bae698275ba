#ifndef DATAPLANE_UPSTREAM_CLUSTER_STATS_H
#define DATAPLANE_UPSTREAM_CLUSTER_STATS_H

/*
 * The series of one cluster, under Envoy's names below "cluster.<name>.". Traffic is counted by
 * the threads that see it, in a block that exists only where there was some; membership and
 * circuit breaker state are written on main by cluster_registry. Only what moves here is listed.
 */

#include <stdbool.h>

#include "dataplane/stats/stats.h"

#define CLUSTER_STAT_LIST(X)                                                                       \
    X(UPSTREAM_CX_TOTAL, "upstream_cx_total", STAT_COUNTER)                                        \
    X(UPSTREAM_CX_ACTIVE, "upstream_cx_active", STAT_GAUGE)                                        \
    X(UPSTREAM_CX_HTTP1_TOTAL, "upstream_cx_http1_total", STAT_COUNTER)                            \
    X(UPSTREAM_CX_HTTP2_TOTAL, "upstream_cx_http2_total", STAT_COUNTER)                            \
    X(UPSTREAM_CX_CLOSE_NOTIFY, "upstream_cx_close_notify", STAT_COUNTER)                          \
    X(UPSTREAM_CX_CONNECT_ATTEMPTS_EXCEEDED, "upstream_cx_connect_attempts_exceeded",              \
      STAT_COUNTER)                                                                                \
    X(UPSTREAM_CX_CONNECT_FAIL, "upstream_cx_connect_fail", STAT_COUNTER)                          \
    X(UPSTREAM_CX_CONNECT_TIMEOUT, "upstream_cx_connect_timeout", STAT_COUNTER)                    \
    X(UPSTREAM_CX_CONNECT_MS, "upstream_cx_connect_ms", STAT_HISTOGRAM)                            \
    X(UPSTREAM_CX_LENGTH_MS, "upstream_cx_length_ms", STAT_HISTOGRAM)                              \
    X(UPSTREAM_CX_DESTROY, "upstream_cx_destroy", STAT_COUNTER)                                    \
    X(UPSTREAM_CX_DESTROY_LOCAL, "upstream_cx_destroy_local", STAT_COUNTER)                        \
    X(UPSTREAM_CX_DESTROY_REMOTE, "upstream_cx_destroy_remote", STAT_COUNTER)                      \
    X(UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ, "upstream_cx_destroy_with_active_rq", STAT_COUNTER)      \
    X(UPSTREAM_CX_DESTROY_LOCAL_WITH_ACTIVE_RQ, "upstream_cx_destroy_local_with_active_rq",        \
      STAT_COUNTER)                                                                                \
    X(UPSTREAM_CX_DESTROY_REMOTE_WITH_ACTIVE_RQ, "upstream_cx_destroy_remote_with_active_rq",      \
      STAT_COUNTER)                                                                                \
    X(UPSTREAM_CX_IDLE_TIMEOUT, "upstream_cx_idle_timeout", STAT_COUNTER)                          \
    X(UPSTREAM_CX_MAX_DURATION_REACHED, "upstream_cx_max_duration_reached", STAT_COUNTER)          \
    X(UPSTREAM_CX_MAX_REQUESTS, "upstream_cx_max_requests", STAT_COUNTER)                          \
    X(UPSTREAM_CX_NONE_HEALTHY, "upstream_cx_none_healthy", STAT_COUNTER)                          \
    X(UPSTREAM_CX_OVERFLOW, "upstream_cx_overflow", STAT_COUNTER)                                  \
    X(UPSTREAM_CX_PROTOCOL_ERROR, "upstream_cx_protocol_error", STAT_COUNTER)                      \
    X(UPSTREAM_CX_RX_BYTES_TOTAL, "upstream_cx_rx_bytes_total", STAT_COUNTER)                      \
    X(UPSTREAM_CX_TX_BYTES_TOTAL, "upstream_cx_tx_bytes_total", STAT_COUNTER)                      \
    X(UPSTREAM_FLOW_CONTROL_BACKED_UP_TOTAL, "upstream_flow_control_backed_up_total",              \
      STAT_COUNTER)                                                                                \
    X(UPSTREAM_FLOW_CONTROL_DRAINED_TOTAL, "upstream_flow_control_drained_total", STAT_COUNTER)    \
    X(UPSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL, "upstream_flow_control_paused_reading_total",    \
      STAT_COUNTER)                                                                                \
    X(UPSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL, "upstream_flow_control_resumed_reading_total",  \
      STAT_COUNTER)                                                                                \
    X(UPSTREAM_RQ_TOTAL, "upstream_rq_total", STAT_COUNTER)                                        \
    X(UPSTREAM_RQ_ACTIVE, "upstream_rq_active", STAT_GAUGE)                                        \
    X(UPSTREAM_RQ_PENDING_TOTAL, "upstream_rq_pending_total", STAT_COUNTER)                        \
    X(UPSTREAM_RQ_PENDING_ACTIVE, "upstream_rq_pending_active", STAT_GAUGE)                        \
    X(UPSTREAM_RQ_PENDING_OVERFLOW, "upstream_rq_pending_overflow", STAT_COUNTER)                  \
    X(UPSTREAM_RQ_ACTIVE_OVERFLOW, "upstream_rq_active_overflow", STAT_COUNTER)                    \
    X(UPSTREAM_RQ_PER_CX, "upstream_rq_per_cx", STAT_HISTOGRAM)                                    \
    X(UPSTREAM_RQ_PENDING_FAILURE_EJECT, "upstream_rq_pending_failure_eject", STAT_COUNTER)        \
    X(UPSTREAM_RQ_CANCELLED, "upstream_rq_cancelled", STAT_COUNTER)                                \
    X(UPSTREAM_RQ_RX_RESET, "upstream_rq_rx_reset", STAT_COUNTER)                                  \
    X(UPSTREAM_RQ_TX_RESET, "upstream_rq_tx_reset", STAT_COUNTER)                                  \
    X(UPSTREAM_RQ_TIMEOUT, "upstream_rq_timeout", STAT_COUNTER)                                    \
    X(UPSTREAM_RQ_MAX_DURATION_REACHED, "upstream_rq_max_duration_reached", STAT_COUNTER)          \
    X(UPSTREAM_RQ_PER_TRY_TIMEOUT, "upstream_rq_per_try_timeout", STAT_COUNTER)                    \
    X(UPSTREAM_RQ_RETRY, "upstream_rq_retry", STAT_COUNTER)                                        \
    X(UPSTREAM_RQ_RETRY_SUCCESS, "upstream_rq_retry_success", STAT_COUNTER)                        \
    X(UPSTREAM_RQ_RETRY_OVERFLOW, "upstream_rq_retry_overflow", STAT_COUNTER)                      \
    X(UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED, "upstream_rq_retry_limit_exceeded", STAT_COUNTER)          \
    X(UPSTREAM_RQ_COMPLETED, "upstream_rq_completed", STAT_COUNTER)                                \
    X(UPSTREAM_RQ_1XX, "upstream_rq_1xx", STAT_COUNTER)                                            \
    X(UPSTREAM_RQ_2XX, "upstream_rq_2xx", STAT_COUNTER)                                            \
    X(UPSTREAM_RQ_3XX, "upstream_rq_3xx", STAT_COUNTER)                                            \
    X(UPSTREAM_RQ_4XX, "upstream_rq_4xx", STAT_COUNTER)                                            \
    X(UPSTREAM_RQ_5XX, "upstream_rq_5xx", STAT_COUNTER)                                            \
    X(UPSTREAM_RQ_UNKNOWN, "upstream_rq_unknown", STAT_COUNTER)                                    \
    X(UPSTREAM_RQ_CODES, "upstream_rq_", STAT_CODE_RANGE)                                          \
    X(UPSTREAM_RQ_TIME, "upstream_rq_time", STAT_HISTOGRAM)                                        \
    X(INTERNAL_UPSTREAM_RQ_COMPLETED, "internal.upstream_rq_completed", STAT_COUNTER)              \
    X(INTERNAL_UPSTREAM_RQ_1XX, "internal.upstream_rq_1xx", STAT_COUNTER)                          \
    X(INTERNAL_UPSTREAM_RQ_2XX, "internal.upstream_rq_2xx", STAT_COUNTER)                          \
    X(INTERNAL_UPSTREAM_RQ_3XX, "internal.upstream_rq_3xx", STAT_COUNTER)                          \
    X(INTERNAL_UPSTREAM_RQ_4XX, "internal.upstream_rq_4xx", STAT_COUNTER)                          \
    X(INTERNAL_UPSTREAM_RQ_5XX, "internal.upstream_rq_5xx", STAT_COUNTER)                          \
    X(INTERNAL_UPSTREAM_RQ_UNKNOWN, "internal.upstream_rq_unknown", STAT_COUNTER)                  \
    X(INTERNAL_UPSTREAM_RQ_CODES, "internal.upstream_rq_", STAT_CODE_RANGE)                        \
    X(INTERNAL_UPSTREAM_RQ_TIME, "internal.upstream_rq_time", STAT_HISTOGRAM)                      \
    X(EXTERNAL_UPSTREAM_RQ_COMPLETED, "external.upstream_rq_completed", STAT_COUNTER)              \
    X(EXTERNAL_UPSTREAM_RQ_1XX, "external.upstream_rq_1xx", STAT_COUNTER)                          \
    X(EXTERNAL_UPSTREAM_RQ_2XX, "external.upstream_rq_2xx", STAT_COUNTER)                          \
    X(EXTERNAL_UPSTREAM_RQ_3XX, "external.upstream_rq_3xx", STAT_COUNTER)                          \
    X(EXTERNAL_UPSTREAM_RQ_4XX, "external.upstream_rq_4xx", STAT_COUNTER)                          \
    X(EXTERNAL_UPSTREAM_RQ_5XX, "external.upstream_rq_5xx", STAT_COUNTER)                          \
    X(EXTERNAL_UPSTREAM_RQ_UNKNOWN, "external.upstream_rq_unknown", STAT_COUNTER)                  \
    X(EXTERNAL_UPSTREAM_RQ_CODES, "external.upstream_rq_", STAT_CODE_RANGE)                        \
    X(EXTERNAL_UPSTREAM_RQ_TIME, "external.upstream_rq_time", STAT_HISTOGRAM)                      \
    X(CANARY_UPSTREAM_RQ_COMPLETED, "canary.upstream_rq_completed", STAT_COUNTER)                  \
    X(CANARY_UPSTREAM_RQ_1XX, "canary.upstream_rq_1xx", STAT_COUNTER)                              \
    X(CANARY_UPSTREAM_RQ_2XX, "canary.upstream_rq_2xx", STAT_COUNTER)                              \
    X(CANARY_UPSTREAM_RQ_3XX, "canary.upstream_rq_3xx", STAT_COUNTER)                              \
    X(CANARY_UPSTREAM_RQ_4XX, "canary.upstream_rq_4xx", STAT_COUNTER)                              \
    X(CANARY_UPSTREAM_RQ_5XX, "canary.upstream_rq_5xx", STAT_COUNTER)                              \
    X(CANARY_UPSTREAM_RQ_UNKNOWN, "canary.upstream_rq_unknown", STAT_COUNTER)                      \
    X(CANARY_UPSTREAM_RQ_CODES, "canary.upstream_rq_", STAT_CODE_RANGE)                            \
    X(CANARY_UPSTREAM_RQ_TIME, "canary.upstream_rq_time", STAT_HISTOGRAM)                          \
    X(LB_HEALTHY_PANIC, "lb_healthy_panic", STAT_COUNTER)                                          \
    X(BIND_ERRORS, "bind_errors", STAT_COUNTER)

enum cluster_stat {
#define CLUSTER_STAT_ENUM(id, name, kind) CLUSTER_##id,
    CLUSTER_STAT_LIST(CLUSTER_STAT_ENUM)
#undef CLUSTER_STAT_ENUM
        CLUSTER_STAT_COUNT
};

extern const struct stat_schema cluster_stat_schema;

/* Main's own. */
enum cluster_main_stat {
    CLUSTER_MEMBERSHIP_TOTAL,
    CLUSTER_MEMBERSHIP_HEALTHY,
    CLUSTER_MEMBERSHIP_DEGRADED,
    CLUSTER_MEMBERSHIP_EXCLUDED,
    CLUSTER_MEMBERSHIP_CHANGE,
    CLUSTER_UPDATE_ATTEMPT, /* DNS */
    CLUSTER_UPDATE_SUCCESS,
    CLUSTER_UPDATE_FAILURE,
    CLUSTER_UPDATE_EMPTY,
    CLUSTER_UPDATE_NO_REBUILD,
    CLUSTER_DEFAULT_TOTAL_MATCH_COUNT, /* endpoints that are not one of transport_socket_matches */
    CLUSTER_MAIN_STAT_COUNT
};

extern const struct stat_schema cluster_main_stat_schema;

/* Main's own, computed from the shared counts: per priority, in the order of enum
 * breaker_resource. */
enum cluster_breaker_stat {
    CLUSTER_DEFAULT_CX_OPEN,
    CLUSTER_DEFAULT_RQ_PENDING_OPEN,
    CLUSTER_DEFAULT_RQ_OPEN,
    CLUSTER_DEFAULT_RQ_RETRY_OPEN,
    CLUSTER_HIGH_CX_OPEN,
    CLUSTER_HIGH_RQ_PENDING_OPEN,
    CLUSTER_HIGH_RQ_OPEN,
    CLUSTER_HIGH_RQ_RETRY_OPEN,
    CLUSTER_DEFAULT_REMAINING_CX, /* with track_remaining only */
    CLUSTER_DEFAULT_REMAINING_PENDING,
    CLUSTER_DEFAULT_REMAINING_RQ,
    CLUSTER_DEFAULT_REMAINING_RETRIES,
    CLUSTER_HIGH_REMAINING_CX,
    CLUSTER_HIGH_REMAINING_PENDING,
    CLUSTER_HIGH_REMAINING_RQ,
    CLUSTER_HIGH_REMAINING_RETRIES,
    CLUSTER_BREAKER_STAT_COUNT
};

extern const struct stat_schema cluster_breaker_stat_schema;

/* Of clusters that ask for them (track_cluster_stats): an attempt each. */
enum cluster_size_stat {
    CLUSTER_RQ_HEADERS_SIZE,
    CLUSTER_RQ_HEADERS_COUNT,
    CLUSTER_RQ_BODY_SIZE,
    CLUSTER_RS_HEADERS_SIZE,
    CLUSTER_RS_HEADERS_COUNT,
    CLUSTER_RS_BODY_SIZE,
    CLUSTER_SIZE_STAT_COUNT
};

extern const struct stat_schema cluster_size_stat_schema;

enum cluster_budget_stat {
    CLUSTER_BUDGET_USED, /* of the route's timeout: a request each */
    CLUSTER_BUDGET_PER_TRY_USED,
    CLUSTER_BUDGET_STAT_COUNT
};

extern const struct stat_schema cluster_budget_stat_schema;

/* Main's own, of clusters whose endpoints a control plane tells: computed too. */
enum cluster_eds_stat {
    CLUSTER_EDS_INIT_FETCH_TIMEOUT,
    CLUSTER_EDS_UPDATE_ATTEMPT,
    CLUSTER_EDS_UPDATE_FAILURE,
    CLUSTER_EDS_UPDATE_REJECTED,
    CLUSTER_EDS_UPDATE_SUCCESS,
    CLUSTER_EDS_UPDATE_TIME,
    CLUSTER_EDS_VERSION,
    CLUSTER_EDS_VERSION_TEXT,
    CLUSTER_EDS_STAT_COUNT
};

extern const struct stat_schema cluster_eds_stat_schema;

/* A family of a response's code, here or elsewhere: nine members from `completed` on, in the order
 * completed, 1xx to 5xx, unknown, codes, time. */
void stat_family_charge_code(struct stat_block *b, size_t completed, unsigned status);
/* As Envoy's code stats: the plain series, internal. or external., and canary. where it is one. */
void cluster_stats_charge_code(struct stat_block *b, unsigned status, bool is_internal,
                               bool is_canary);
/* As Envoy: whole percents; none of no limit (`of_ms` 0). */
void cluster_stats_charge_budget(struct stat_block *b, enum cluster_budget_stat stat, uint64_t ms,
                                 uint64_t of_ms);
void cluster_stats_charge_time(struct stat_block *b, uint64_t ms, bool is_internal, bool is_canary);

#endif
