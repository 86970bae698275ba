/* Turns what net/ knows of a connection into an entry for access loggers. Worker thread; keeps
 * nothing. What network filters know of it is in their own logs. */

#include "dataplane/server/listener_log.h"

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/stream_info/access_log.h"

static void listener_log_of_connection(const struct listener_log *l, struct stream_info *info)
{
    info->connection = l->conn;
    info->connection_id = l->conn->id;
    info->stream_id = l->conn->id;
    info->direct_remote = conn_direct_remote(l->conn);
    info->wire_bytes_received = l->conn->bytes_read;
    info->wire_bytes_sent = l->conn->bytes_written;
}

void listener_log_write(struct thread_context *t, const struct listener_log *l)
{
    struct stream_info info = {
        .start_mono_ns = l->accepted_ns,
        .start_wall_ns = loop_wall_ns(t->loop, l->accepted_ns),
        .end_ns = clock_mono_ns(),
        .local = l->local,
        .remote = *l->remote,
        .direct_remote = l->remote,
        .connection_info = l->info,
        .listener = l->listener,
        .filter_chain = l->chain,
        .requested_server_name = l->info != NULL ? l->info->server_name : STR_NONE,
        .connection_termination_details = l->termination_details,
    };
    const struct access_log_entry entry = {.info = &info, .type = ACCESS_LOG_TCP_CONNECTION_END};

    if (l->conn != NULL) {
        listener_log_of_connection(l, &info);
    }
    if (l->has_no_chain) {
        stream_info_set_flag(&info, FLAG_NO_ROUTE_FOUND);
        info.response_code_details = STR("filter_chain_not_found");
    }
    access_logs_write(&l->config->access_logs, t, &entry);
}
