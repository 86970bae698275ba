#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_UPSTREAM_LOG_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_UPSTREAM_LOG_H

/*
 * The router's upstream_log: an entry for each attempt at a request, at its end and, where that is
 * wanted, when it has a connection and in between. As Envoy, what operators show is the attempt's:
 * the protocol, bytes and flags towards the host, the response as the host gave it.
 *
 * All take the attempt's log, which is NULL where nothing is configured. A worker's thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/access_log.h"
#include "dataplane/stream_info/response_flags.h"

struct header_map;
struct upstream_log;
struct upstream_request;

struct upstream_log_config {
    struct access_logs logs;
    uint64_t interval_ms; /* between entries of an attempt that goes on; 0: none */
    bool logs_connected;  /* flush_upstream_log_on_upstream_stream */
};

/* The attempt starts; in its request's arena. */
struct upstream_log *upstream_log_new(const struct upstream_log_config *c,
                                      struct upstream_request *rq);
/* It has a connection, and was not sent yet. */
void upstream_log_connected(struct upstream_log *l);
/* As they came; copied. */
void upstream_log_headers(struct upstream_log *l, const struct header_map *h);
void upstream_log_trailers(struct upstream_log *l, const struct header_map *h);
void upstream_log_flag(struct upstream_log *l, enum response_flag flag);
/* It is over; while the open stream's counts can still be read. */
void upstream_log_end(struct upstream_log *l);

#endif
