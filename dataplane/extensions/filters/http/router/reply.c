/* What both halves of the router use: its own answers, the clock, the charging of status codes.
 * A worker's thread. */

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/extensions/filters/http/router/router.h"
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

void router_charge_code(struct router *r, unsigned status, const struct host *host)
{
    if (!r->config->counts_codes || http_filter_info(r->filter)->is_health_check) {
        return;
    }
    cluster_stats_charge_code(cluster_stats(r->cluster), status, r->is_internal,
                              r->is_canary || (host != NULL && host->is_canary));
}

bool router_includes_attempts(const struct router *r)
{
    const struct virtual_host *vh = http_filter_virtual_host(r->filter);

    return vh != NULL && vh->include_attempt_count_in_response;
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
        header_add(&extra, HDR_X_ENVOY_ATTEMPT_COUNT, STR("1"));
    }
    timer_cancel(router_loop(r), &r->timer);
    timer_cancel(router_loop(r), &r->duration_timer);
    if (r->was_answered != NULL) {
        *r->was_answered = true;
    }
    http_filter_local_reply(r->filter, status, body, &extra, flag, details);
}
