#ifndef DATAPLANE_SERVER_SERVER_STATS_H
#define DATAPLANE_SERVER_SERVER_STATS_H

/*
 * "server.", "listener_manager.", "cluster_manager." and "control_plane." under Envoy's names.
 * There from the start, zeros included: Istio's and Envoy Gateway's agents poll them. Refreshed
 * from the store right before they are read. Main thread.
 */

#include "dataplane/server/server.h"

struct server_stats;

struct server_stats *server_stats_new(struct stat_store *store);
void server_stats_free(struct server_stats *s);
void server_stats_refresh(struct server_stats *s, const struct server *server);
void server_stats_set_state(struct server_stats *s, enum server_state state);
void server_stats_count_stopped(struct server_stats *s, size_t listeners);
void server_stats_workers_started(struct server_stats *s);

#endif
