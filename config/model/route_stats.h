#ifndef CONFIG_MODEL_ROUTE_STATS_H
#define CONFIG_MODEL_ROUTE_STATS_H

/*
 * The series of a virtual cluster ("vhost.<virtual host>.vcluster.<name>.") and of a route with a
 * stat_prefix ("vhost.<virtual host>.route.<stat_prefix>."), under Envoy's names. Only the table;
 * config/parse makes the scopes, the router counts.
 */

#include "dataplane/stats/stats.h"

enum route_stat {
    ROUTE_STAT_RQ_TOTAL,
    ROUTE_STAT_RQ_RETRY,
    ROUTE_STAT_RQ_RETRY_LIMIT_EXCEEDED,
    ROUTE_STAT_RQ_RETRY_OVERFLOW,
    ROUTE_STAT_RQ_RETRY_SUCCESS,
    ROUTE_STAT_RQ_TIMEOUT,
    ROUTE_STAT_RQ_COMPLETED, /* from here on in the order of a code family, cluster_stats.h */
    ROUTE_STAT_RQ_1XX,
    ROUTE_STAT_RQ_2XX,
    ROUTE_STAT_RQ_3XX,
    ROUTE_STAT_RQ_4XX,
    ROUTE_STAT_RQ_5XX,
    ROUTE_STAT_RQ_UNKNOWN,
    ROUTE_STAT_RQ_CODES,
    ROUTE_STAT_RQ_TIME,
    ROUTE_STAT_COUNT
};

extern const struct stat_schema route_stat_schema;

#endif
