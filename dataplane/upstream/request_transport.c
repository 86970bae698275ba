/* Transport options of HTTP requests. See request_transport.h. */

#include "dataplane/upstream/request_transport.h"

#include "dataplane/net/transport_options.h"
#include "dataplane/stream_info/filter_state.h"

/* As Envoy: what follows the last colon is a port only when it is one. */
static struct str without_port(struct str s)
{
    size_t i = s.len;
    uint64_t port;

    if (s.len == 0 || s.ptr[s.len - 1] == ']') {
        return s;
    }
    while (i > 0 && s.ptr[i - 1] != ':') {
        i--;
    }
    if (i == 0 || parse_u64(str_sub(s, i, s.len), &port) != 0 || port > UINT16_MAX) {
        return s;
    }
    return str_sub(s, 0, i - 1);
}

bool authority_host(struct str authority, struct str *ret_host)
{
    struct str host = without_port(authority);
    struct str ip = host;
    struct address ignored;

    if (ip.len > 2 && ip.ptr[0] == '[' && ip.ptr[ip.len - 1] == ']') {
        ip = str_sub(ip, 1, ip.len - 1);
    }
    if (address_from_ip(ip, 0, &ignored) == 0) {
        *ret_host = ip;
        return true;
    }
    *ret_host = host;
    return false;
}

struct str request_transport_name_header(const struct cluster *c, const struct header_map *request)
{
    const struct cluster_config *config = cluster_config_of(c);
    struct str name = config->override_auto_sni_header;
    const struct header *first;

    if (name.len == 0 || !(config->auto_sni || config->auto_san_validation)) {
        return STR_NONE;
    }
    first = header_find_name(request, name); /* as Envoy: of several the first */
    return first != NULL ? first->value : STR_NONE;
}

static struct str left_in(const struct stream_info *info, struct str name)
{
    const struct filter_state_object *o = info != NULL ? filter_state_get(info, name) : NULL;

    return o != NULL ? o->plain : STR_NONE;
}

static const struct str *split_list(struct str s, struct arena *a, size_t *ret_count)
{
    size_t count = 1;
    struct str *list;
    size_t from = 0;

    if (s.len == 0) {
        return NULL;
    }
    for (size_t i = 0; i < s.len; i++) {
        count += s.ptr[i] == ',';
    }
    list = ARENA_ARRAY(a, struct str, count);
    for (size_t i = 0, at = 0; i <= s.len; i++) {
        if (i == s.len || s.ptr[i] == ',') {
            list[at++] = str_sub(s, from, i);
            from = i + 1;
        }
    }
    *ret_count = count;
    return list;
}

struct transport_options *request_transport_options(const struct cluster *c, struct str name,
                                                    const struct stream_info *info, struct arena *a)
{
    const struct cluster_config *config = cluster_config_of(c);
    bool is_auto = config->auto_sni || config->auto_san_validation;
    struct transport_options *o;
    struct str host;
    bool is_ip;

    if (!is_auto && (info == NULL || info->filter_state == NULL)) {
        return NULL;
    }
    o = ARENA_NEW(a, struct transport_options);
    o->server_name = left_in(info, STR(UPSTREAM_SERVER_NAME_KEY));
    o->alpn = split_list(left_in(info, STR(UPSTREAM_ALPN_KEY)), a, &o->alpn_count);
    o->sans = split_list(left_in(info, STR(UPSTREAM_SANS_KEY)), a, &o->san_count);
    is_ip = authority_host(name, &host);
    if (config->auto_sni && !is_ip && o->server_name.len == 0) {
        o->server_name = arena_str(a, host);
    }
    if (config->auto_san_validation && o->san_count == 0) {
        struct str *san = ARENA_NEW(a, struct str); /* an empty one, too: it fits no certificate */

        *san = arena_str(a, host);
        o->sans = san;
        o->san_count = 1;
    }
    o->hash = transport_options_hash(o);
    return o->hash != 0 ? o : NULL;
}
