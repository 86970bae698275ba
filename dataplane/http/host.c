/* The host of a request, as Envoy takes it apart. See host.h. */

#include "dataplane/http/host.h"

struct str host_strip_trailing_dot(struct str host, struct arena *a)
{
    size_t dot = str_rfind_char(host, '.');

    if (dot == STR_NPOS) {
        return host;
    }
    if (dot + 1 == host.len) {
        return str_sub(host, 0, dot);
    }
    if (host.ptr[dot + 1] == ':') {
        return arena_concat(
            a, (struct str[]){str_sub(host, 0, dot), str_sub(host, dot + 1, host.len)}, 2);
    }
    return host;
}

bool host_find_port(struct str host, struct str *ret_name, uint32_t *ret_port)
{
    size_t colon = str_rfind_char(host, ':');
    size_t bracket = str_rfind_char(host, ']');
    uint64_t port;

    if (colon == STR_NPOS || (bracket != STR_NPOS && bracket > colon) ||
        parse_u64(str_sub(host, colon + 1, host.len), &port) != 0 || port > UINT32_MAX) {
        return false;
    }
    *ret_name = str_sub(host, 0, colon);
    *ret_port = (uint32_t)port;
    return true;
}
