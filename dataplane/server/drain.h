#ifndef DATAPLANE_SERVER_DRAIN_H
#define DATAPLANE_SERVER_DRAIN_H

/*
 * Draining that was asked of the whole process while it goes on living: /healthcheck/fail,
 * /drain_listeners, and the parent's part of a hot restart. As Envoy's DrainManager; what draining
 * does to connections is net/listener.c's. SIGTERM, which ends the process, is server.c's. Main
 * thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/core.h"
#include "dataplane/event/timer.h"

struct admin;
struct loop;
struct server;

/* Which listeners, by their traffic_direction. The later include the earlier. */
enum drain_direction { DRAIN_NO_LISTENER, DRAIN_INBOUND, DRAIN_ALL_LISTENERS };

static inline bool drain_direction_covers(enum drain_direction d, enum traffic_direction of)
{
    return d == DRAIN_ALL_LISTENERS || (d == DRAIN_INBOUND && of == TRAFFIC_INBOUND);
}

/* Stops the listeners of its direction when the drain time is over. */
struct drain_end {
    struct timer timer;
    struct server *server;
    enum drain_direction direction;
};

struct drain_manager {
    struct server *server;
    enum drain_direction draining;
    enum drain_direction stopped; /* their sockets are closed, or about to be */
    struct drain_end ends[2];     /* inbound, all */
    bool has_failed_health_check;
};

void drain_manager_init(struct drain_manager *d, struct server *s);
void drain_manager_done(struct drain_manager *d);
/* Connections are told, as --drain-strategy says, and go on being accepted. */
void drain_manager_start(struct drain_manager *d, enum drain_direction direction);
/* Accepts what is queued, then the ports refuse; connections live on. */
void drain_manager_stop_listeners(struct drain_manager *d, enum drain_direction direction);
/* /healthcheck/fail, /healthcheck/ok, /drain_listeners. */
void drain_manager_register(struct drain_manager *d, struct admin *a);

#endif
