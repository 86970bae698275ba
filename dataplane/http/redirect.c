/* Redirect targets as Envoy builds them. Any thread, no state. */

#include "dataplane/http/redirect.h"

#include "dataplane/http/path.h"
#include "dataplane/http/route.h"

/* How much of the path the match covered: what prefix_rewrite replaces. */
static size_t route_matched_bytes(const struct route *r, struct str only)
{
    switch (r->path_kind) {
    case PATH_MATCH_PREFIX:
    case PATH_MATCH_SEPARATED_PREFIX:
        return r->path.len;
    case PATH_MATCH_EXACT:
    case PATH_MATCH_REGEX:
    case PATH_MATCH_CONNECT:
        break;
    }
    return only.len;
}

bool route_rewrite_path(const struct route *r, struct str prefix_rewrite,
                        const struct regex_rewrite *regex, struct str path, struct arena *a,
                        struct str *ret_path)
{
    struct str only = path_only(path);

    if (prefix_rewrite.len > 0) {
        struct str rest = str_sub(path, route_matched_bytes(r, only), path.len);

        *ret_path = arena_concat(a, (struct str[]){prefix_rewrite, rest}, 2);
        return true;
    }
    if (regex->regex != NULL) {
        struct str rewritten = regex_replace_all(regex->regex, only, regex->substitution, a);
        struct str query = str_sub(path, only.len, path.len);

        *ret_path = arena_concat(a, (struct str[]){rewritten, query}, 2);
        return true;
    }
    return false;
}

static struct str redirect_path(const struct route *r, const struct route_redirect *rd,
                                struct str path, struct arena *a)
{
    bool has_own_query = false;

    if (rd->path.len > 0) {
        struct str query = str_sub(path, str_find_char(path, '?'), path.len);

        has_own_query = str_find_char(rd->path, '?') != STR_NPOS;
        path = has_own_query ? rd->path : arena_concat(a, (struct str[]){rd->path, query}, 2);
    } else {
        (void)route_rewrite_path(r, rd->prefix_rewrite, &rd->regex_rewrite, path, a, &path);
    }
    if (rd->strip_query && !has_own_query) {
        path = str_sub(path, 0, str_find_char(path, '?'));
    }
    return path;
}

/* The request's host. A port that the new scheme makes wrong is dropped; `replaces_port`: any. */
static struct str redirect_request_host(const struct header_map *request, struct str old_scheme,
                                        struct str new_scheme, bool replaces_port)
{
    struct str host = header_get(request, HDR_AUTHORITY);
    size_t port_start = host_port_start(host);
    struct str port = str_sub(host, port_start, host.len);

    if (port_start == STR_NPOS) {
        return host;
    }
    if (replaces_port ||
        (str_eq(old_scheme, STR("http")) && str_eq(port, STR(":80")) &&
         str_eq(new_scheme, STR("https"))) ||
        (str_eq(old_scheme, STR("https")) && str_eq(port, STR(":443")) &&
         str_eq(new_scheme, STR("http")))) {
        return str_sub(host, 0, port_start);
    }
    return host;
}

struct str redirect_location(const struct route *r, const struct route_redirect *rd,
                             const struct header_map *request, struct arena *a)
{
    static const struct route_redirect to_itself = {.port = 0};
    struct str old_scheme = header_get(request, HDR_SCHEME);
    struct str port;
    struct str scheme;
    struct str host;

    rd = rd != NULL ? rd : &to_itself;
    port = rd->port != 0 ? arena_printf(a, ":%u", rd->port) : STR_NONE;
    scheme = rd->scheme;
    host = rd->host;
    if (old_scheme.len == 0) {
        old_scheme = header_get(request, HDR_X_FORWARDED_PROTO);
    }
    if (scheme.len == 0) {
        scheme = rd->https_redirect ? STR("https") : old_scheme;
    }
    if (host.len == 0) {
        host = redirect_request_host(request, old_scheme, scheme, port.len > 0);
    }
    return arena_concat(a,
                        (struct str[]){scheme, STR("://"), host, port,
                                       redirect_path(r, rd, header_get(request, HDR_PATH), a)},
                        5);
}
