/* What is known about a relayed connection, and its lines in the access logs. The connection's
 * thread; keeps nothing. */

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/extensions/filters/network/tcp_proxy/session.h"
#include "dataplane/net/listener.h"
#include "dataplane/stream_info/access_log.h"
#include "dataplane/stream_info/filter_state.h"

void tcp_session_init_info(struct tcp_session *s)
{
    const struct listener_connection *lc = s->filter->lc;
    struct stream_info *info = &s->info;

    info->start_mono_ns = lc->accepted_ns;
    info->start_wall_ns = loop_wall_ns(s->loop, info->start_mono_ns);
    info->connection = s->client;
    info->connection_id = s->client->id;
    info->stream_id = s->client->id;
    info->keeps_attempts = true;
    info->local = &s->client->local;
    info->direct_remote = conn_direct_remote(s->client);
    info->remote = s->client->remote;
    info->requested_server_name = lc->requested_server_name;
    info->connection_info = lc->info;
    info->listener = lc->listener;
    info->filter_chain = lc->chain;
    if (lc->cluster_name.len > 0) {
        struct filter_state_object *o = ARENA_NEW(&s->arena, struct filter_state_object);

        o->name = STR("envoy.tcp_proxy.cluster");
        o->plain = lc->cluster_name;
        o->text = lc->cluster_name;
        filter_state_add(info, o);
    }
}

void tcp_session_log(struct tcp_session *s, enum access_log_type type)
{
    const struct tcp_proxy_config *c = s->config;
    const struct access_log_entry entry = {.info = &s->info, .type = type};

    if (c->access_logs.count == 0) {
        return;
    }
    s->info.end_ns = clock_mono_ns();
    access_logs_write(&c->access_logs, s->filter->lc->thread, &entry);
}
