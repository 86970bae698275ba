/* See route_stats.h. No state. */

#include "config/model/route_stats.h"

static const struct stat_def route_stat_defs[ROUTE_STAT_COUNT] = {
    [ROUTE_STAT_RQ_TOTAL] = {"upstream_rq_total", STAT_COUNTER},
    [ROUTE_STAT_RQ_RETRY] = {"upstream_rq_retry", STAT_COUNTER},
    [ROUTE_STAT_RQ_RETRY_LIMIT_EXCEEDED] = {"upstream_rq_retry_limit_exceeded", STAT_COUNTER},
    [ROUTE_STAT_RQ_RETRY_OVERFLOW] = {"upstream_rq_retry_overflow", STAT_COUNTER},
    [ROUTE_STAT_RQ_RETRY_SUCCESS] = {"upstream_rq_retry_success", STAT_COUNTER},
    [ROUTE_STAT_RQ_TIMEOUT] = {"upstream_rq_timeout", STAT_COUNTER},
    [ROUTE_STAT_RQ_COMPLETED] = {"upstream_rq_completed", STAT_COUNTER},
    [ROUTE_STAT_RQ_1XX] = {"upstream_rq_1xx", STAT_COUNTER},
    [ROUTE_STAT_RQ_2XX] = {"upstream_rq_2xx", STAT_COUNTER},
    [ROUTE_STAT_RQ_3XX] = {"upstream_rq_3xx", STAT_COUNTER},
    [ROUTE_STAT_RQ_4XX] = {"upstream_rq_4xx", STAT_COUNTER},
    [ROUTE_STAT_RQ_5XX] = {"upstream_rq_5xx", STAT_COUNTER},
    [ROUTE_STAT_RQ_UNKNOWN] = {"upstream_rq_unknown", STAT_COUNTER},
    [ROUTE_STAT_RQ_CODES] = {"upstream_rq_", STAT_CODE_RANGE},
    [ROUTE_STAT_RQ_TIME] = {"upstream_rq_time", STAT_HISTOGRAM},
};

const struct stat_schema route_stat_schema = {.defs = route_stat_defs, .count = ROUTE_STAT_COUNT};
