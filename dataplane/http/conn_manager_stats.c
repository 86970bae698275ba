/* Names of the connection manager's counters. */

#include "dataplane/http/conn_manager_stats.h"

static const struct stat_def conn_manager_stat_defs[] = {
#define CONN_MANAGER_STAT_DEF(id, stat_name, stat_kind)                                            \
    [id] = {.name = stat_name, .kind = stat_kind},
    CONN_MANAGER_STAT_LIST(CONN_MANAGER_STAT_DEF)
#undef CONN_MANAGER_STAT_DEF
};

static const struct stat_def conn_manager_listener_stat_defs[] = {
    [CM_LISTENER_RQ_1XX] = {.name = "downstream_rq_1xx", .kind = STAT_COUNTER},
    [CM_LISTENER_RQ_2XX] = {.name = "downstream_rq_2xx", .kind = STAT_COUNTER},
    [CM_LISTENER_RQ_3XX] = {.name = "downstream_rq_3xx", .kind = STAT_COUNTER},
    [CM_LISTENER_RQ_4XX] = {.name = "downstream_rq_4xx", .kind = STAT_COUNTER},
    [CM_LISTENER_RQ_5XX] = {.name = "downstream_rq_5xx", .kind = STAT_COUNTER},
    [CM_LISTENER_RQ_COMPLETED] = {.name = "downstream_rq_completed", .kind = STAT_COUNTER},
};

const struct stat_schema conn_manager_stat_schema = {
    .defs = conn_manager_stat_defs,
    .count = CM_STAT_COUNT,
    .shown_untouched = true,
};

const struct stat_schema conn_manager_listener_stat_schema = {
    .defs = conn_manager_listener_stat_defs,
    .count = CM_LISTENER_STAT_COUNT,
    .shown_untouched = true,
};
