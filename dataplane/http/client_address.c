/* Who sent a request. See client_address.h. */

#include "dataplane/http/client_address.h"

/* --- what headers say --------------------------------------------------------------------- */

void client_from_xff(const struct header_map *h, uint32_t skip, struct client_address *ret)
{
    struct str xff = header_get(h, HDR_X_FORWARDED_FOR);
    size_t comma;
    struct str ip;

    for (uint32_t i = 0; i < skip; i++) {
        comma = str_rfind_char(xff, ',');
        if (comma == STR_NPOS) {
            return;
        }
        xff = str_sub(xff, 0, comma);
    }
    comma = str_rfind_char(xff, ',');
    ip = comma == STR_NPOS || comma + 1 >= xff.len ? xff : str_sub(xff, comma + 1, xff.len);
    if (address_from_ip(str_trim(ip), 0, &ret->address) == 0) {
        ret->is_trusted = comma == STR_NPOS && skip == 0;
    }
}

static bool is_in(const struct cidr *ranges, size_t count, const struct address *a)
{
    for (size_t i = 0; i < count; i++) {
        if (cidr_contains(&ranges[i], a)) {
            return true;
        }
    }
    return false;
}

/* Something between the commas. */
static bool has_entry(struct str list)
{
    struct str part;

    while (str_split(&list, ',', &part)) {
        if (str_trim(part).len > 0) {
            return true;
        }
    }
    return false;
}

void client_from_xff_beyond(const struct header_map *h, const struct cidr *trusted, size_t count,
                            struct client_address *ret)
{
    struct str xff = header_get(h, HDR_X_FORWARDED_FOR);
    size_t seen = 0;

    while (xff.len > 0) {
        size_t comma = str_rfind_char(xff, ',');
        struct str ip = str_trim(comma == STR_NPOS ? xff : str_sub(xff, comma + 1, xff.len));

        xff = comma == STR_NPOS ? STR_NONE : str_sub(xff, 0, comma);
        if (ip.len == 0) {
            continue;
        }
        seen++;
        if (address_from_ip(ip, 0, &ret->address) != 0) {
            return; /* what stands before it is not to be believed */
        }
        if (!is_in(trusted, count, &ret->address)) {
            break;
        }
    }
    ret->is_trusted = seen == 1 && !has_entry(xff);
}

/* --- what they are told ------------------------------------------------------------------- */

static bool has_port(const uint32_t *ports, size_t count, uint32_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (ports[i] == port) {
            return true;
        }
    }
    return false;
}

struct str client_scheme(const struct forwarding_request *rq)
{
    const struct forward_proto *f = &rq->config->forward_proto;
    uint32_t port = rq->peer->is_local_restored ? address_port(rq->peer->local) : 0;

    if (has_port(f->https_ports, f->https_port_count, port)) {
        return STR("https");
    }
    if (has_port(f->http_ports, f->http_port_count, port)) {
        return STR("http");
    }
    return rq->peer->is_tls ? STR("https") : STR("http");
}

void client_set_forwarded_port(const struct forwarding_request *rq)
{
    char *text;

    if (rq->peer->local == NULL || !address_is_ip(rq->peer->local)) {
        return;
    }
    text = arena_alloc(rq->headers->arena, U64_DIGITS);
    header_set(rq->headers, HDR_X_FORWARDED_PORT,
               str_n(text, format_u64(address_port(rq->peer->local), text)));
}

static void append_peer(const struct forwarding_request *rq)
{
    const struct http_conn_manager_config *c = rq->config;
    struct str ip = rq->peer->remote_ip;

    if (ip.len == 0) {
        return;
    }
    if (address_is_loopback(rq->peer->remote) && c->local_ip.len > 0) {
        ip = c->local_ip;
    }
    header_append_value(rq->headers, HDR_X_FORWARDED_FOR, ip);
}

/* --- who it is ---------------------------------------------------------------------------- */

static void client_from_peer(const struct forwarding_request *rq, struct client_address *ret)
{
    const struct http_conn_manager_config *c = rq->config;
    struct header_map *h = rq->headers;

    if (c->xff_num_trusted_hops > 0) {
        client_from_xff(h, c->xff_num_trusted_hops - 1, ret);
    }
    if (!address_is_set(&ret->address)) {
        ret->address = *rq->peer->remote;
    }
    ret->is_trusted = !header_has(h, HDR_X_FORWARDED_FOR);
    if (!c->skip_xff_append) {
        append_peer(rq);
    }
    if (c->xff_num_trusted_hops == 0 || !header_has(h, HDR_X_FORWARDED_PROTO)) {
        header_set(h, HDR_X_FORWARDED_PROTO, client_scheme(rq));
    }
    if (c->append_x_forwarded_port &&
        (c->xff_num_trusted_hops == 0 || !header_has(h, HDR_X_FORWARDED_PORT))) {
        client_set_forwarded_port(rq);
    }
}

static void client_from_detectors(const struct forwarding_request *rq, struct client_address *ret)
{
    const struct http_conn_manager_config *c = rq->config;

    for (size_t i = 0; i < c->ip_detection_count; i++) {
        const struct ip_detection *d = &c->ip_detections[i];

        d->type->detect(d->config, rq->headers, rq->peer->remote, ret);
        if (ret->reject_status != 0) {
            return;
        }
        if (ret->appends_peer) {
            append_peer(rq);
        }
        if (address_is_set(&ret->address)) {
            return;
        }
    }
}

void client_address_find(const struct forwarding_request *rq, struct client_address *ret)
{
    *ret = (struct client_address){.is_trusted = false};
    if (rq->config->use_remote_address) {
        client_from_peer(rq, ret);
    } else if (rq->config->ip_detection_count > 0) {
        client_from_detectors(rq, ret);
    } else {
        client_from_xff(rq->headers, rq->config->xff_num_trusted_hops, ret);
    }
}

bool client_is_internal(const struct http_conn_manager_config *c, const struct address *a)
{
    return address_is_ip(a) ? is_in(c->internal_ranges, c->internal_range_count, a)
                            : c->unix_sockets_are_internal;
}
