/* What may become a tunnel. See upgrade.h. As Envoy: the route's word, type by type, goes before
 * the connection manager's; types are compared without case, and as a whole. */

#include "dataplane/http/upgrade.h"

#include "dataplane/http/forwarding.h"

static bool is_connect(const struct header_map *h)
{
    return str_eq(header_get(h, HDR_METHOD), STR("CONNECT"));
}

static struct str upgrade_type(const struct header_map *h)
{
    if (is_connect(h)) {
        return STR("CONNECT");
    }
    return forwarding_is_upgrade(h) ? header_get(h, HDR_UPGRADE) : STR_NONE;
}

static const struct route_upgrade *find_in_route(const struct route *r, struct str type)
{
    if (r != NULL && r->action == ROUTE_FORWARD) {
        for (size_t i = 0; i < r->forward.upgrade_count; i++) {
            if (str_eq_nocase(r->forward.upgrades[i].type, type)) {
                return &r->forward.upgrades[i];
            }
        }
    }
    return NULL;
}

static const struct http_upgrade_config *find_in_manager(const struct http_conn_manager_config *c,
                                                         struct str type)
{
    for (size_t i = 0; i < c->upgrade_count; i++) {
        if (str_eq_nocase(c->upgrades[i].type, type)) {
            return &c->upgrades[i];
        }
    }
    return NULL;
}

enum upgrade_verdict upgrade_decide(const struct http_conn_manager_config *config,
                                    const struct route *route, const struct header_map *request,
                                    const struct http_upgrade_config **ret_config)
{
    struct str type = upgrade_type(request);
    const struct route_upgrade *of_route;
    const struct http_upgrade_config *of_manager;
    bool is_allowed;

    *ret_config = NULL;
    if (type.len == 0) {
        return UPGRADE_NONE;
    }
    of_route = find_in_route(route, type);
    of_manager = find_in_manager(config, type);
    is_allowed =
        of_route != NULL ? of_route->is_enabled : of_manager != NULL && of_manager->is_enabled;
    if (!is_allowed) {
        return UPGRADE_REFUSED;
    }
    *ret_config = of_manager;
    return UPGRADE_ALLOWED;
}

bool upgrade_is_accepted(const struct header_map *request, int status)
{
    if (is_connect(request)) {
        return status / 100 == 2;
    }
    return forwarding_is_upgrade(request) && status == 101;
}
