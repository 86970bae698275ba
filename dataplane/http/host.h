#ifndef DATAPLANE_HTTP_HOST_H
#define DATAPLANE_HTTP_HOST_H

/* What a connection manager may do to the host of a request before anything is decided by it. Any
 * thread, no state. Results are parts of the input, or live in `a`. */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

/* "h." is "h", also before a port. */
struct str host_strip_trailing_dot(struct str host, struct arena *a);
/* The number behind the last colon that is not inside of brackets; false when there is none. */
bool host_find_port(struct str host, struct str *ret_name, uint32_t *ret_port);

#endif
