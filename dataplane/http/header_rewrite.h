#ifndef DATAPLANE_HTTP_HEADER_REWRITE_H
#define DATAPLANE_HTTP_HEADER_REWRITE_H

/*
 * What a route table does to headers on the way through: header operations of weighted cluster,
 * route, virtual host and table, host and path rewriting. Values live in the map's arena or in the
 * table, which the stream pins.
 */

#include <stdbool.h>

#include "config/model/route.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/http/route.h"
#include "dataplane/stream_info/access_log.h"

struct thread_context;

struct header_rewrite {
    const struct route_config *table;
    const struct route_match *match;
    const struct access_log_entry *entry; /* what operators in values refer to */
    struct thread_context *thread;
};

/* One level's operations: removals, then overwriting, then additions; values are computed before
 * any of that but after the removals, as Envoy does. */
void header_ops_apply(const struct header_ops *ops, const struct header_rewrite *rw,
                      struct header_map *h);
/* Headers whose values no header may have are removed: of messages that nobody can refuse. */
void header_drop_invalid(struct header_map *h);
/* :path as route_rewrite_path() makes it of a request that matched `r`; nothing without a rewrite.
 */
void header_rewrite_path(const struct route *r, struct str prefix_rewrite,
                         const struct regex_rewrite *regex, bool keeps_original,
                         struct header_map *h);
/* All levels, most specific first, so that the table has the last word; the other way round with
 * most_specific_header_mutations_wins. */
void header_rewrite_request(const struct header_rewrite *rw, bool keeps_original,
                            struct header_map *h);
/* Invalid values are dropped; of requests they are the router's to refuse. */
void header_rewrite_response(const struct header_rewrite *rw, struct header_map *h);

/* :authority becomes `host`; the old one goes to x-envoy-original-host (`keeps_original`) and, if
 * asked for and not its last value already, to x-forwarded-host. */
void header_rewrite_host(struct header_map *h, struct str host, bool keeps_original,
                         bool appends_forwarded_host);

#endif
