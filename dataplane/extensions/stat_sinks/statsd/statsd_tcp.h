#ifndef DATAPLANE_EXTENSIONS_STAT_SINKS_STATSD_STATSD_TCP_H
#define DATAPLANE_EXTENSIONS_STAT_SINKS_STATSD_STATSD_TCP_H

/* What carries the lines of the statsd sinks where that is no datagram. Main thread. */

#include "dataplane/base/str.h"

struct thread_context;

struct statsd_tcp;

struct statsd_tcp *statsd_tcp_new(struct thread_context *t, struct str cluster_name);
void statsd_tcp_free(struct statsd_tcp *s);
/* Copies. Dropped while there is no connection (the next flush tries again), or too much waits. */
void statsd_tcp_send(struct statsd_tcp *s, struct str lines);

#endif
