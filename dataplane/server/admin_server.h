#ifndef DATAPLANE_SERVER_ADMIN_SERVER_H
#define DATAPLANE_SERVER_ADMIN_SERVER_H

/*
 * The admin listener: an ordinary listener with an ordinary HTTP connection manager on main's
 * loop; only its terminal filter is admin's.
 */

#include "dataplane/base/error.h"

struct address;
struct server;
struct admin_server;

/* Binds, listens and serves, if the bootstrap has an admin address; writes --admin-address-path.
 * E_SYS with the reason. */
int server_admin_start(struct server *s, struct error *reterr) MUST_CHECK;
/* Closes the listener and its connections. `on_closed` comes when the last is gone, at once when
 * there is none. */
void server_admin_stop(struct server *s, void (*on_closed)(void *user), void *user);
/* Hot restart: the socket that listens on `a`, for the next process; -1: admin listens elsewhere.
 * Stops accepting until resumed. */
int server_admin_pause(struct server *s, const struct address *a);
void server_admin_resume(struct server *s);
/* The next process is live: closes the listener, its connections and the socket. */
void server_admin_hand_over(struct server *s);
/* After that. */
/* Series that are computed when stats are shown. */
void server_admin_refresh_stats(struct server *s);
void server_admin_free(struct server *s);

#endif
