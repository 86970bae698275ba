#ifndef DATAPLANE_SERVER_OVERLOAD_H
#define DATAPLANE_SERVER_OVERLOAD_H

/*
 * The overload manager in this process: what its limits are by default, and what workers do when it
 * says so. Main thread.
 */

#include "dataplane/server/server.h"

/* Whether the control group limits this process's memory: for bootstrap_load. */
bool server_memory_is_limited(void);
/* Makes s->overload from the bootstrap. E_* with a sentence. */
int server_overload_init(struct server *s, struct error *reterr) MUST_CHECK;

#endif
