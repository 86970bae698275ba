#ifndef DATAPLANE_HTTP_REDIRECT_H
#define DATAPLANE_HTTP_REDIRECT_H

/* Where a redirect points, and the path rewriting that redirects and forwarding share. */

#include <stdbool.h>

#include "config/model/route.h"
#include "dataplane/base/arena.h"
#include "dataplane/codec/header_map.h"

/* The value of Location, in `a`: where `rd` sends a request that matched `r`. NULL `rd`: to itself,
 * which is what Envoy gives direct responses of 201 and 3xx. */
struct str redirect_location(const struct route *r, const struct route_redirect *rd,
                             const struct header_map *request, struct arena *a);

/* `path` (with its query) with what the route matched replaced by `prefix_rewrite`, or its whole
 * path rewritten by `regex`. False when neither is configured. */
bool route_rewrite_path(const struct route *r, struct str prefix_rewrite,
                        const struct regex_rewrite *regex, struct str path, struct arena *a,
                        struct str *ret_path);

#endif
