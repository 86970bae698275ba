#ifndef DATAPLANE_SERVER_LISTENER_LOG_H
#define DATAPLANE_SERVER_LISTENER_LOG_H

/* A listener's own access logs: one entry per connection, also for those that no filter chain
 * wanted. Worker thread. */

#include "dataplane/net/listener.h"
#include "dataplane/runtime/thread_context.h"

void listener_log_write(struct thread_context *t, const struct listener_log *l);

#endif
