/* See retry_state.h. */

#include "dataplane/extensions/filters/http/router/retry_state.h"

#include "dataplane/extensions/filters/http/router/route_series.h"
#include "dataplane/upstream/circuit_breaker.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_stats.h"

/* One replay suffices: a peer that goes away refuses once, then it is gone. */
#define REPLAYS_MAX 1

void retry_state_init(struct retry_state *rs, struct cluster *c, enum routing_priority priority,
                      const struct route_series *series)
{
    *rs = (struct retry_state){
        .cluster = c,
        .series = series,
        .priority = priority,
        .replays_left = REPLAYS_MAX,
    };
}

/* The retry that was under way is over. */
static void retry_state_release(struct retry_state *rs)
{
    if (rs->is_retrying) {
        rs->is_retrying = false;
        breaker_release(&rs->cluster->breakers[rs->priority], BREAKER_RETRIES);
    }
}

void retry_state_done(struct retry_state *rs)
{
    retry_state_release(rs);
    rs->causes = 0;
}

enum retry_verdict retry_state_on_reset(struct retry_state *rs, enum replay_cause cause,
                                        bool is_request_whole)
{
    struct stat_block *stats = cluster_stats(rs->cluster);
    uint32_t max = cluster_limit(rs->cluster, rs->priority, BREAKER_RETRIES);

    retry_state_release(rs);
    if (cause == REPLAY_NOT || (rs->causes >> cause & 1) == 0 || !is_request_whole) {
        return RETRY_NO;
    }
    if (rs->replays_left == 0) {
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED);
        route_series_count(rs->series, ROUTE_STAT_RQ_RETRY_LIMIT_EXCEEDED);
        return RETRY_LIMIT_EXCEEDED;
    }
    rs->replays_left--;
    if (!breaker_try_acquire(&rs->cluster->breakers[rs->priority], BREAKER_RETRIES, max)) {
        stat_inc(stats, CLUSTER_UPSTREAM_RQ_RETRY_OVERFLOW);
        route_series_count(rs->series, ROUTE_STAT_RQ_RETRY_OVERFLOW);
        return RETRY_OVERFLOW;
    }
    rs->is_retrying = true;
    stat_inc(stats, CLUSTER_UPSTREAM_RQ_RETRY);
    route_series_count(rs->series, ROUTE_STAT_RQ_RETRY);
    return RETRY_NOW;
}

void retry_state_on_response(struct retry_state *rs)
{
    if (rs->is_retrying) {
        stat_inc(cluster_stats(rs->cluster), CLUSTER_UPSTREAM_RQ_RETRY_SUCCESS);
        route_series_count(rs->series, ROUTE_STAT_RQ_RETRY_SUCCESS);
    }
    retry_state_done(rs);
}
