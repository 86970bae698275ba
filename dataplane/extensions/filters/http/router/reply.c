/* What both halves of the router use: its own answers, the clock, the charging of status codes.
 * A worker's thread. */

#include "dataplane/base/clock.h"
#include "dataplane/extensions/filters/http/router/router.h"
#include "dataplane/http/conn_manager_stats.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/upstream/cluster_stats.h"
#include "dataplane/upstream/host.h"

#define NS_PER_MS 1000000u

struct loop *router_loop(const struct router *r)
{
    return http_filter_thread(r->filter)->loop;
}

uint64_t router_now_ns(const struct router *r, uint64_t hint_ns)
{
    return hint_ns / NS_PER_MS >= loop_now_ms(router_loop(r)) ? hint_ns : clock_mono_ns();
}

uint64_t router_elapsed_ms(const struct router *r)
{
    return r->request_done_ns != 0 ? (clock_mono_ns() - r->request_done_ns) / NS_PER_MS : 0;
}

void router_record_budget(struct router *r, uint64_t now_ns)
{
    struct stat_block *b = cluster_budget_stats(r->cluster);

    if (NUNCIO_UNLIKELY(b != NULL) && r->request_done_ns != 0) {
        cluster_stats_charge_budget(b, CLUSTER_BUDGET_USED,
                                    (now_ns - r->request_done_ns) / NS_PER_MS,
                                    r->timeouts.response_ms);
    }
}

void router_charge_code(struct router *r, unsigned status, const struct host *host)
{
    if (!r->config->counts_codes || http_filter_info(r->filter)->is_health_check ||
        (r->is_grpc && r->config->excludes_grpc_codes)) {
        return;
    }
    cluster_stats_charge_code(cluster_stats(r->cluster), status, r->is_internal,
                              r->request.is_canary || (host != NULL && host->is_canary));
    route_series_charge_code(&r->series, status);
}

void router_charge_abort(struct router *r, unsigned status)
{
    struct upstream_request *rq = &r->request;
    struct host *host = rq->is_host_charged ? rq->host : NULL;

    if (r->is_response_started) {
        if (rq->awaits_grpc_status) {
            rq->awaits_grpc_status = false;
            host_stat_add(rq->host, HOST_RQ_ERROR, 1);
            http_filter_count(r->filter, CM_ROUTER_RQ_RESET_AFTER_RESPONSE_STARTED);
        }
        return;
    }
    router_charge_code(r, status, host);
    if (host != NULL) {
        host_stat_add(host, HOST_RQ_ERROR, 1);
    }
}

bool router_includes_attempts(const struct router *r)
{
    const struct virtual_host *vh = http_filter_virtual_host(r->filter);

    return vh != NULL && vh->include_attempt_count_in_response;
}

struct str router_format(const struct router *r, uint64_t v)
{
    char *digits = arena_alloc(http_filter_arena(r->filter), U64_DIGITS);

    return str_n(digits, format_u64(v, digits));
}

void router_read_disable(struct router *r, bool disable)
{
    if (r->is_read_disabled != disable) {
        r->is_read_disabled = disable;
        http_filter_read_disable(r->filter, disable);
    }
}

void router_abort(struct router *r, int status, struct str body, bool is_dropped,
                  enum response_flag flag, struct str details)
{
    struct header_map extra;

    header_map_init(&extra, http_filter_arena(r->filter));
    if (is_dropped && !r->config->suppresses_envoy_headers) {
        header_add(&extra, HDR_X_ENVOY_OVERLOADED, STR("true"));
    }
    if (router_includes_attempts(r)) {
        header_add(&extra, HDR_X_ENVOY_ATTEMPT_COUNT,
                   router_format(r, http_filter_info(r->filter)->attempt_count));
    }
    timer_cancel(router_loop(r), &r->timer);
    loop_task_cancel(&r->retry_task);
    retry_state_done(&r->retry);
    if (r->was_answered != NULL) {
        *r->was_answered = true;
    }
    http_filter_local_reply(r->filter, status, body, &extra, flag, details);
}
