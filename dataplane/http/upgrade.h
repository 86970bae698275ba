#ifndef DATAPLANE_HTTP_UPGRADE_H
#define DATAPLANE_HTTP_UPGRADE_H

/*
 * Which requests may turn their connection, or HTTP/2 stream, into a tunnel: upgrade_configs of the
 * route and of the connection manager. CONNECT is an upgrade by that name.
 */

#include "config/model/route.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/http/conn_manager_config.h"

enum upgrade_verdict {
    UPGRADE_NONE,    /* none is asked for */
    UPGRADE_ALLOWED, /* the upstream decides */
    UPGRADE_REFUSED,
};

/* `route` may be NULL. Allowed: `ret_config` is the connection manager's entry, whose filters such
 * requests pass, or NULL when only the route has one. */
enum upgrade_verdict upgrade_decide(const struct http_conn_manager_config *config,
                                    const struct route *route, const struct header_map *request,
                                    const struct http_upgrade_config **ret_config);
/* Whether a response with this status begins the tunnel that `request` asked for. */
bool upgrade_is_accepted(const struct header_map *request, int status);

#endif
