/* What each attempt at a request needs before it starts: a host, and what the request says about
 * it; and the one after an attempt that failed. A worker's thread. */

#include "dataplane/extensions/filters/http/router/router.h"

#include "dataplane/upstream/host.h"

struct host *router_pick_host(struct router *r)
{
    return cluster_pick(r->cluster, &(struct lb_context){.priority = r->forward->priority});
}

void router_rewrite_host(struct router *r, const struct host *host)
{
    if (r->forward->auto_host_rewrite && host_name(host).len > 0) {
        http_filter_rewrite_host(r->filter,
                                 arena_str(http_filter_arena(r->filter), host_name(host)),
                                 !r->config->suppresses_envoy_headers);
    }
}

void router_write_attempt(struct router *r, struct header_map *h)
{
    const struct virtual_host *vh = http_filter_virtual_host(r->filter);
    struct stream_info *info = http_filter_info(r->filter);

    info->attempt_count++;
    if (vh != NULL && vh->include_request_attempt_count) {
        header_set(h, HDR_X_ENVOY_ATTEMPT_COUNT, router_format(r, info->attempt_count));
    }
}

static void router_no_host(struct router *r)
{
    router_charge_code(r, 503, NULL);
    http_filter_info(r->filter)->upstream_remote.len = 0;
    router_abort(r, 503, STR("no healthy upstream"), false, FLAG_NO_HEALTHY_UPSTREAM,
                 STR("no_healthy_upstream"));
}

static void router_on_retry(struct loop_task *t)
{
    struct router *r = container_of(t, struct router, retry_task);
    struct header_map *h = http_filter_request_headers(r->filter);
    struct host *host = router_pick_host(r);

    r->is_retry = true;
    router_write_attempt(r, h);
    if (host == NULL) {
        router_no_host(r);
        return;
    }
    request_timeouts_write(&r->timeouts, router_elapsed_ms(r), !r->config->suppresses_envoy_headers,
                           h);
    router_write_scheme(r, host, h);
    router_rewrite_host(r, host);
    upstream_request_start(&r->request, host);
}

bool router_try_again(struct router *r, enum replay_cause cause)
{
    struct stream_info *info = http_filter_info(r->filter);

    if (r->is_response_started) {
        return false;
    }
    switch (retry_state_on_reset(&r->retry, cause, r->is_body_whole)) {
    case RETRY_NOW:
        loop_task_schedule(router_loop(r), &r->retry_task);
        return true;
    case RETRY_OVERFLOW:
        stream_info_set_flag(info, FLAG_UPSTREAM_OVERFLOW);
        return false;
    case RETRY_LIMIT_EXCEEDED:
        stream_info_set_flag(info, FLAG_UPSTREAM_RETRY_LIMIT_EXCEEDED);
        return false;
    case RETRY_NO:
        break;
    }
    return false;
}

void router_attempts_init(struct router *r)
{
    loop_task_init(&r->retry_task, router_on_retry);
    upstream_request_init(&r->request, r);
}
