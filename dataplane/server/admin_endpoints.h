#ifndef DATAPLANE_SERVER_ADMIN_ENDPOINTS_H
#define DATAPLANE_SERVER_ADMIN_ENDPOINTS_H

/* Admin pages of the process itself; their context is the struct server. */

struct admin;
struct server;

void server_admin_register(struct admin *a, struct server *s);

#endif
