/* Draining by command: what admin asks, passed on to the workers. Main thread. */

#include "dataplane/server/drain.h"

#include "dataplane/admin/admin.h"
#include "dataplane/base/list.h"
#include "dataplane/base/log.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/server.h"
#include "dataplane/server/server_stats.h"
#include "dataplane/server/worker.h"

static void drain_end_fire(struct timer *t)
{
    struct drain_end *e = container_of(t, struct drain_end, timer);

    drain_manager_stop_listeners(&e->server->drain, e->direction);
}

void drain_manager_init(struct drain_manager *d, struct server *s)
{
    *d = (struct drain_manager){.server = s};
    for (size_t i = 0; i < ARRAY_LEN(d->ends); i++) {
        d->ends[i].server = s;
        d->ends[i].direction = i == 0 ? DRAIN_INBOUND : DRAIN_ALL_LISTENERS;
        timer_init(&d->ends[i].timer, drain_end_fire);
    }
}

void drain_manager_done(struct drain_manager *d)
{
    for (size_t i = 0; i < ARRAY_LEN(d->ends); i++) {
        timer_cancel(&d->server->loop, &d->ends[i].timer);
    }
}

void drain_manager_start(struct drain_manager *d, enum drain_direction direction)
{
    struct server *s = d->server;

    if (direction <= d->draining) {
        return;
    }
    d->draining = direction;
    for (size_t i = 0; i < s->worker_count; i++) {
        worker_start_drain(&s->workers[i], direction);
    }
}

static void drain_on_listeners_stopped(void *user)
{
    struct drain_manager *d = user;

    server_stats_count_stopped(d->server->server_stats,
                               listener_manager_close_sockets(d->server->listeners));
}

void drain_manager_stop_listeners(struct drain_manager *d, enum drain_direction direction)
{
    struct server *s = d->server;

    if (direction <= d->stopped) {
        return;
    }
    d->stopped = direction;
    listener_manager_stop(s->listeners, direction);
    worker_stop_listeners(s->workers, s->worker_count, &s->loop, direction,
                          drain_on_listeners_stopped, d);
}

/* --- admin -------------------------------------------------------------------------------- */

static void drain_set_health(struct drain_manager *d, bool has_failed)
{
    struct server *s = d->server;

    d->has_failed_health_check = has_failed;
    for (size_t i = 0; i < s->worker_count; i++) {
        worker_set_health(&s->workers[i], has_failed);
    }
    server_stats_set_state(s->server_stats, server_visible_state(s));
}

static void health_fail_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    (void)rq;
    drain_set_health(context, true);
    strbuf_add_c(&rs->body, "OK\n");
}

static void health_ok_render(void *context, const struct admin_request *rq,
                             struct admin_response *rs)
{
    (void)rq;
    drain_set_health(context, false);
    strbuf_add_c(&rs->body, "OK\n");
}

/* A second one of the same direction changes nothing, even where the first was to skip the end: as
 * Envoy. */
static void drain_gracefully(struct drain_manager *d, enum drain_direction direction,
                             bool skips_exit)
{
    struct drain_end *end = &d->ends[direction == DRAIN_ALL_LISTENERS];

    if (direction <= d->draining) {
        return;
    }
    drain_manager_start(d, direction);
    if (!skips_exit) {
        timer_arm(&d->server->loop, &end->timer, (uint64_t)d->server->options.drain_time_s * 1000);
    }
}

static void drain_listeners_render(void *context, const struct admin_request *rq,
                                   struct admin_response *rs)
{
    struct drain_manager *d = context;
    enum drain_direction direction =
        admin_param(rq, STR("inboundonly")) != NULL ? DRAIN_INBOUND : DRAIN_ALL_LISTENERS;
    bool skips_exit = admin_param(rq, STR("skip_exit")) != NULL;

    if (admin_param(rq, STR("graceful")) != NULL) {
        drain_gracefully(d, direction, skips_exit);
    } else {
        drain_manager_start(d, direction);
        if (!skips_exit) {
            drain_manager_stop_listeners(d, direction);
        }
    }
    strbuf_add_c(&rs->body, "OK\n");
}

static const struct admin_endpoint health_fail_endpoint = {
    .path = "/healthcheck/fail",
    .help = "cause the server to fail health checks",
    .needs_post = true,
    .render = health_fail_render,
};

static const struct admin_endpoint health_ok_endpoint = {
    .path = "/healthcheck/ok",
    .help = "cause the server to pass health checks",
    .needs_post = true,
    .render = health_ok_render,
};

static const struct admin_param_doc drain_listeners_params[] = {
    {.name = "graceful",
     .help = "When draining listeners, enter a graceful drain period prior to closing listeners. "
             "This behaviour and duration is configurable via server options or CLI",
     .is_flag = true},
    {.name = "skip_exit",
     .help = "When draining listeners, drain the connections but never stop the listeners. The "
             "graceful parameter has no effect when this is set, since the drain period only "
             "delays stopping the listeners",
     .is_flag = true},
    {.name = "inboundonly",
     .help = "Drains all inbound listeners. traffic_direction field in "
             "envoy_v3_api_msg_config.listener.v3.Listener is used to determine whether a "
             "listener is inbound or outbound.",
     .is_flag = true},
};

static const struct admin_endpoint drain_listeners_endpoint = {
    .path = "/drain_listeners",
    .help = "drain listeners",
    .params = drain_listeners_params,
    .param_count = ARRAY_LEN(drain_listeners_params),
    .needs_post = true,
    .render = drain_listeners_render,
};

void drain_manager_register(struct drain_manager *d, struct admin *a)
{
    admin_add(a, &health_fail_endpoint, d);
    admin_add(a, &health_ok_endpoint, d);
    admin_add(a, &drain_listeners_endpoint, d);
}
