#ifndef DATAPLANE_SERVER_ADMIN_ENDPOINTS_H
#define DATAPLANE_SERVER_ADMIN_ENDPOINTS_H

/* Admin pages of the process itself; their context is the struct server. */

#include "dataplane/base/admin_endpoint.h"

struct admin;
struct server;

void server_admin_register(struct admin *a, struct server *s);

extern const struct admin_endpoint admin_server_info_endpoint; /* admin_server_info.c */
extern const struct admin_endpoint admin_memory_endpoint;      /* admin_server_info.c; no context */
extern const struct admin_endpoint admin_logging_endpoint;     /* admin_logging.c; no context */

#endif
