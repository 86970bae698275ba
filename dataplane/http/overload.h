#ifndef DATAPLANE_HTTP_OVERLOAD_H
#define DATAPLANE_HTTP_OVERLOAD_H

/* What an HTTP connection does when the overload manager says so. The connection's thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn_manager;
struct http_stream;
struct overload;

/* NULL: this connection is never overloaded (the admin interface, bypass_overload_manager). */
const struct overload *conn_manager_overload(const struct conn_manager *cm);
/* When the connection's or the stream's timeout is over: sooner than its deadline while timeouts
 * are cut. NO_DEADLINE stays. */
uint64_t conn_manager_idle_due(const struct conn_manager *cm);
uint64_t conn_manager_duration_due(const struct conn_manager *cm);
uint64_t stream_idle_due(const struct http_stream *s);
/* Timeouts are cut by another measure now. */
void conn_manager_on_timeouts_scaled(struct conn_manager *cm);
/* Ends at most `most` streams that hold `min_bytes` or more. Returns how many. */
size_t conn_manager_reset_streams(struct conn_manager *cm, uint64_t min_bytes, size_t most);
/* First of a request: true when it was answered with 503. */
bool stream_is_shed(struct http_stream *s);
/* Before a response head: the connection may be told to end with it. */
void conn_manager_check_keepalive(struct conn_manager *cm);
/* Before input is looked at: true when the connection is not to go on. */
bool conn_manager_sheds_input(struct conn_manager *cm);

#endif
