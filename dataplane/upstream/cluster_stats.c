/* Tables of a cluster's series and the charging of response codes. No state. */

#include "dataplane/upstream/cluster_stats.h"

static const struct stat_def cluster_stat_defs[CLUSTER_STAT_COUNT] = {
#define CLUSTER_STAT_DEF(id, name, kind) [CLUSTER_##id] = {name, kind},
    CLUSTER_STAT_LIST(CLUSTER_STAT_DEF)
#undef CLUSTER_STAT_DEF
};

const struct stat_schema cluster_stat_schema = {.defs = cluster_stat_defs,
                                                .count = CLUSTER_STAT_COUNT};

static const struct stat_def cluster_main_stat_defs[CLUSTER_MAIN_STAT_COUNT] = {
    [CLUSTER_MEMBERSHIP_TOTAL] = {"membership_total", STAT_GAUGE},
    [CLUSTER_MEMBERSHIP_HEALTHY] = {"membership_healthy", STAT_GAUGE},
    [CLUSTER_MEMBERSHIP_DEGRADED] = {"membership_degraded", STAT_GAUGE},
    [CLUSTER_MEMBERSHIP_EXCLUDED] = {"membership_excluded", STAT_GAUGE},
    [CLUSTER_MEMBERSHIP_CHANGE] = {"membership_change", STAT_COUNTER},
    [CLUSTER_UPDATE_ATTEMPT] = {"update_attempt", STAT_COUNTER},
    [CLUSTER_UPDATE_SUCCESS] = {"update_success", STAT_COUNTER},
    [CLUSTER_UPDATE_FAILURE] = {"update_failure", STAT_COUNTER},
    [CLUSTER_UPDATE_EMPTY] = {"update_empty", STAT_COUNTER},
    [CLUSTER_UPDATE_NO_REBUILD] = {"update_no_rebuild", STAT_COUNTER},
    [CLUSTER_DEFAULT_TOTAL_MATCH_COUNT] = {"default.total_match_count", STAT_COUNTER},
};

const struct stat_schema cluster_main_stat_schema = {.defs = cluster_main_stat_defs,
                                                     .count = CLUSTER_MAIN_STAT_COUNT};

static const struct stat_def cluster_breaker_stat_defs[CLUSTER_BREAKER_STAT_COUNT] = {
    [CLUSTER_DEFAULT_CX_OPEN] = {"circuit_breakers.default.cx_open", STAT_GAUGE},
    [CLUSTER_DEFAULT_RQ_PENDING_OPEN] = {"circuit_breakers.default.rq_pending_open", STAT_GAUGE},
    [CLUSTER_DEFAULT_RQ_OPEN] = {"circuit_breakers.default.rq_open", STAT_GAUGE},
    [CLUSTER_DEFAULT_RQ_RETRY_OPEN] = {"circuit_breakers.default.rq_retry_open", STAT_GAUGE},
    [CLUSTER_HIGH_CX_OPEN] = {"circuit_breakers.high.cx_open", STAT_GAUGE},
    [CLUSTER_HIGH_RQ_PENDING_OPEN] = {"circuit_breakers.high.rq_pending_open", STAT_GAUGE},
    [CLUSTER_HIGH_RQ_OPEN] = {"circuit_breakers.high.rq_open", STAT_GAUGE},
    [CLUSTER_HIGH_RQ_RETRY_OPEN] = {"circuit_breakers.high.rq_retry_open", STAT_GAUGE},
    [CLUSTER_DEFAULT_REMAINING_CX] = {"circuit_breakers.default.remaining_cx", STAT_GAUGE},
    [CLUSTER_DEFAULT_REMAINING_PENDING] = {"circuit_breakers.default.remaining_pending",
                                           STAT_GAUGE},
    [CLUSTER_DEFAULT_REMAINING_RQ] = {"circuit_breakers.default.remaining_rq", STAT_GAUGE},
    [CLUSTER_DEFAULT_REMAINING_RETRIES] = {"circuit_breakers.default.remaining_retries",
                                           STAT_GAUGE},
    [CLUSTER_HIGH_REMAINING_CX] = {"circuit_breakers.high.remaining_cx", STAT_GAUGE},
    [CLUSTER_HIGH_REMAINING_PENDING] = {"circuit_breakers.high.remaining_pending", STAT_GAUGE},
    [CLUSTER_HIGH_REMAINING_RQ] = {"circuit_breakers.high.remaining_rq", STAT_GAUGE},
    [CLUSTER_HIGH_REMAINING_RETRIES] = {"circuit_breakers.high.remaining_retries", STAT_GAUGE},
};

const struct stat_schema cluster_breaker_stat_schema = {.defs = cluster_breaker_stat_defs,
                                                        .count = CLUSTER_BREAKER_STAT_COUNT};

static const struct stat_def cluster_size_stat_defs[CLUSTER_SIZE_STAT_COUNT] = {
    [CLUSTER_RQ_HEADERS_SIZE] = {"upstream_rq_headers_size", STAT_HISTOGRAM},
    [CLUSTER_RQ_HEADERS_COUNT] = {"upstream_rq_headers_count", STAT_HISTOGRAM},
    [CLUSTER_RQ_BODY_SIZE] = {"upstream_rq_body_size", STAT_HISTOGRAM},
    [CLUSTER_RS_HEADERS_SIZE] = {"upstream_rs_headers_size", STAT_HISTOGRAM},
    [CLUSTER_RS_HEADERS_COUNT] = {"upstream_rs_headers_count", STAT_HISTOGRAM},
    [CLUSTER_RS_BODY_SIZE] = {"upstream_rs_body_size", STAT_HISTOGRAM},
};

const struct stat_schema cluster_size_stat_schema = {.defs = cluster_size_stat_defs,
                                                     .count = CLUSTER_SIZE_STAT_COUNT};

static const struct stat_def cluster_budget_stat_defs[CLUSTER_BUDGET_STAT_COUNT] = {
    [CLUSTER_BUDGET_USED] = {"upstream_rq_timeout_budget_percent_used", STAT_HISTOGRAM},
    [CLUSTER_BUDGET_PER_TRY_USED] = {"upstream_rq_timeout_budget_per_try_percent_used",
                                     STAT_HISTOGRAM},
};

const struct stat_schema cluster_budget_stat_schema = {.defs = cluster_budget_stat_defs,
                                                       .count = CLUSTER_BUDGET_STAT_COUNT};

static const struct stat_def cluster_eds_stat_defs[CLUSTER_EDS_STAT_COUNT] = {
    [CLUSTER_EDS_INIT_FETCH_TIMEOUT] = {"init_fetch_timeout", STAT_COUNTER},
    [CLUSTER_EDS_UPDATE_ATTEMPT] = {"update_attempt", STAT_COUNTER},
    [CLUSTER_EDS_UPDATE_FAILURE] = {"update_failure", STAT_COUNTER},
    [CLUSTER_EDS_UPDATE_REJECTED] = {"update_rejected", STAT_COUNTER},
    [CLUSTER_EDS_UPDATE_SUCCESS] = {"update_success", STAT_COUNTER},
    [CLUSTER_EDS_UPDATE_TIME] = {"update_time", STAT_GAUGE},
    [CLUSTER_EDS_VERSION] = {"version", STAT_GAUGE},
    [CLUSTER_EDS_VERSION_TEXT] = {"version_text", STAT_TEXT},
};

const struct stat_schema cluster_eds_stat_schema = {
    .defs = cluster_eds_stat_defs, .count = CLUSTER_EDS_STAT_COUNT, .shown_untouched = true};

/* Each family stands in the order completed, 1xx..5xx, unknown, codes, time. */
enum { FAMILY_CLASSES = 1, FAMILY_UNKNOWN = 6, FAMILY_CODES = 7, FAMILY_TIME = 8 };

_Static_assert(
    CLUSTER_UPSTREAM_RQ_CODES == CLUSTER_UPSTREAM_RQ_COMPLETED + FAMILY_CODES &&
        CLUSTER_UPSTREAM_RQ_TIME == CLUSTER_UPSTREAM_RQ_COMPLETED + FAMILY_TIME &&
        CLUSTER_INTERNAL_UPSTREAM_RQ_TIME == CLUSTER_INTERNAL_UPSTREAM_RQ_COMPLETED + FAMILY_TIME &&
        CLUSTER_EXTERNAL_UPSTREAM_RQ_TIME == CLUSTER_EXTERNAL_UPSTREAM_RQ_COMPLETED + FAMILY_TIME &&
        CLUSTER_CANARY_UPSTREAM_RQ_TIME == CLUSTER_CANARY_UPSTREAM_RQ_COMPLETED + FAMILY_TIME,
    "stat_family_charge_code relies on the order");

void stat_family_charge_code(struct stat_block *b, size_t completed, unsigned status)
{
    unsigned class = status / 100;

    stat_inc(b, completed); /* as Envoy: for a 1xx as well */
    if (class >= 1 && class <= 5) {
        stat_inc(b, completed + FAMILY_CLASSES + class - 1);
        stat_inc_code(b, completed + FAMILY_CODES, status);
    } else {
        stat_inc(b, completed + FAMILY_UNKNOWN);
    }
}

static enum cluster_stat origin_family(bool is_internal)
{
    return is_internal ? CLUSTER_INTERNAL_UPSTREAM_RQ_COMPLETED
                       : CLUSTER_EXTERNAL_UPSTREAM_RQ_COMPLETED;
}

void cluster_stats_charge_code(struct stat_block *b, unsigned status, bool is_internal,
                               bool is_canary)
{
    stat_family_charge_code(b, CLUSTER_UPSTREAM_RQ_COMPLETED, status);
    stat_family_charge_code(b, origin_family(is_internal), status);
    if (is_canary) {
        stat_family_charge_code(b, CLUSTER_CANARY_UPSTREAM_RQ_COMPLETED, status);
    }
}

void cluster_stats_charge_time(struct stat_block *b, uint64_t ms, bool is_internal, bool is_canary)
{
    stat_record(b, CLUSTER_UPSTREAM_RQ_TIME, ms);
    stat_record(b, origin_family(is_internal) + FAMILY_TIME, ms);
    if (is_canary) {
        stat_record(b, CLUSTER_CANARY_UPSTREAM_RQ_TIME, ms);
    }
}

void cluster_stats_charge_budget(struct stat_block *b, enum cluster_budget_stat stat, uint64_t ms,
                                 uint64_t of_ms)
{
    stat_record(b, stat, of_ms > 0 ? ms * 100 / of_ms : 0);
}
