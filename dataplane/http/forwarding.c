/* Request and response headers that the connection manager owns. See forwarding.h. */

#include "dataplane/http/forwarding.h"

#include "dataplane/base/check.h"
#include "dataplane/http/client_address.h"
#include "dataplane/http/client_cert.h"

/* Where a uuid's trace reason stands, and what stands there when there is no trace. */
#define UUID_TRACE_POSITION 14
#define UUID_NO_TRACE '4'

static bool header_has_token(struct str value, struct str token)
{
    struct str part;

    while (str_split(&value, ',', &part)) {
        if (str_eq_nocase(str_trim(part), token)) {
            return true;
        }
    }
    return false;
}

bool forwarding_is_upgrade(const struct header_map *h)
{
    return header_has(h, HDR_UPGRADE) && header_has(h, HDR_CONNECTION) &&
           header_has_token(header_get(h, HDR_CONNECTION), STR("upgrade"));
}

/* --- requests: hop by hop ------------------------------------------------------------------ */

/* Removals where absence is the rule: nothing is said about how many there were. */
static void drop(struct header_map *h, enum header_id id)
{
    (void)header_remove(h, id);
}

/* Of TE only "trailers" may be passed on. */
static void sanitize_te(struct header_map *h)
{
    if (!header_has(h, HDR_TE)) {
        return;
    }
    if (header_has_token(header_get(h, HDR_TE), STR("trailers"))) {
        header_set(h, HDR_TE, STR("trailers"));
    } else {
        drop(h, HDR_TE);
    }
}

static bool is_url_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' &&
           c != '`' && c != '{' && c != '|' && c != '}' && c != '#';
}

static bool is_absolute_url(struct str s)
{
    size_t colon = str_find(s, STR("://"));
    struct str authority;

    if (colon == STR_NPOS || colon == 0) {
        return false;
    }
    authority = str_sub(s, colon + 3, s.len);
    for (size_t i = 0; i < authority.len; i++) {
        if (authority.ptr[i] == '/' || authority.ptr[i] == '?') {
            authority.len = i;
            break;
        }
    }
    return authority.len > 0 && str_find_char(authority, '@') == STR_NPOS;
}

/* RFC 9110 10.1.3: an absolute or partial URI without fragment and userinfo. */
static bool is_valid_referer(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_url_char((unsigned char)s.ptr[i])) {
            return false;
        }
    }
    if (is_absolute_url(s)) {
        return true;
    }
    for (size_t i = 0; i < s.len && s.ptr[i] != '/'; i++) {
        if (s.ptr[i] == ':') {
            return false; /* not in the first segment of a relative reference */
        }
    }
    return true;
}

static void sanitize_referer(struct header_map *h)
{
    const struct header *first = header_find(h, HDR_REFERER);

    if (first != NULL && (header_next_same(h, first) != NULL || !is_valid_referer(first->value))) {
        drop(h, HDR_REFERER);
    }
}

static void drop_hop_by_hop_request(struct header_map *h)
{
    if (!forwarding_is_upgrade(h)) {
        drop(h, HDR_CONNECTION);
        drop(h, HDR_UPGRADE);
    }
    sanitize_te(h);
    drop(h, HDR_X_ENVOY_INTERNAL);
    drop(h, HDR_KEEP_ALIVE);
    drop(h, HDR_PROXY_CONNECTION);
    drop(h, HDR_TRANSFER_ENCODING);
    sanitize_referer(h);
}

/* --- requests: what outsiders may not say --------------------------------------------------- */

static void drop_internal_headers(const struct forwarding_request *rq, bool is_edge)
{
    static const enum header_id ids[] = {
        HDR_X_ENVOY_RETRIABLE_STATUS_CODES,
        HDR_X_ENVOY_RETRIABLE_HEADER_NAMES,
        HDR_X_ENVOY_RETRY_ON,
        HDR_X_ENVOY_RETRY_GRPC_ON,
        HDR_X_ENVOY_MAX_RETRIES,
        HDR_X_ENVOY_UPSTREAM_ALT_STAT_NAME,
        HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS,
        HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS,
        HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE,
        HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
        HDR_X_ENVOY_FORCE_TRACE,
        HDR_X_ENVOY_IP_TAGS,
        HDR_X_ENVOY_ORIGINAL_URL,
        HDR_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
    };
    struct header_map *h = rq->headers;

    if (is_edge) {
        drop(h, HDR_X_ENVOY_DECORATOR_OPERATION);
        drop(h, HDR_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER);
        drop(h, HDR_X_ENVOY_DOWNSTREAM_SERVICE_NODE);
        drop(h, HDR_X_ENVOY_ORIGINAL_PATH);
        drop(h, HDR_X_ENVOY_ORIGINAL_HOST);
    }
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        drop(h, ids[i]);
    }
    for (size_t i = 0; rq->table != NULL && i < rq->table->internal_only_header_count; i++) {
        (void)header_remove_name(h, rq->table->internal_only_headers[i]);
    }
}

/* --- requests: identity --------------------------------------------------------------------- */

static void set_request_id(const struct forwarding_request *rq, bool is_edge)
{
    const struct http_conn_manager_config *c = rq->config;
    struct header_map *h = rq->headers;
    struct str id = header_get(h, HDR_X_REQUEST_ID);
    char *uuid;

    if (id.len == 0 || (is_edge && !c->preserve_external_request_id)) {
        uuid = arena_alloc(h->arena, UUID_BYTES);
        rng_uuid4(rq->rng, uuid);
        header_set(h, HDR_X_REQUEST_ID, str_n(uuid, UUID_BYTES));
        return;
    }
    if (is_edge && c->request_id.pack_trace_reason && id.len == UUID_BYTES &&
        id.ptr[UUID_TRACE_POSITION] != UUID_NO_TRACE) {
        uuid = arena_memdup(h->arena, id.ptr, id.len);
        uuid[UUID_TRACE_POSITION] = UUID_NO_TRACE;
        header_set(h, HDR_X_REQUEST_ID, str_n(uuid, id.len));
    }
}

static void append_via(struct header_map *h, struct str via)
{
    struct str old = header_get(h, HDR_VIA);

    if (via.len > 0) {
        header_set(h, HDR_VIA,
                   old.len > 0 ? arena_concat(h->arena, (struct str[]){old, STR(", "), via}, 3)
                               : via);
    }
}

static bool is_http_scheme(struct str scheme)
{
    return str_eq_nocase(scheme, STR("http")) || str_eq_nocase(scheme, STR("https"));
}

static void set_scheme(const struct forwarding_request *rq)
{
    struct header_map *h = rq->headers;
    struct str proto = header_get(h, HDR_X_FORWARDED_PROTO);

    if (rq->config->scheme_to_overwrite.len > 0) {
        header_set(h, HDR_SCHEME, rq->config->scheme_to_overwrite);
        header_set(h, HDR_X_FORWARDED_PROTO, rq->config->scheme_to_overwrite);
        return;
    }
    if (is_http_scheme(header_get(h, HDR_SCHEME))) {
        return;
    }
    if (!is_http_scheme(proto)) {
        proto = client_scheme(rq);
    }
    header_set(h, HDR_SCHEME, proto);
}

/* As Envoy: which requests this proxy has forwarded, its upstream may want to know. */
static void add_user_agent(const struct forwarding_request *rq)
{
    struct header_map *h = rq->headers;
    struct str cluster = str_c(rq->node_cluster);
    struct str node = str_c(rq->node_id);

    header_set(h, HDR_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER, cluster);
    if (header_get(h, HDR_USER_AGENT).len == 0) {
        header_set(h, HDR_USER_AGENT, cluster);
    }
    if (node.len > 0) {
        header_set(h, HDR_X_ENVOY_DOWNSTREAM_SERVICE_NODE, node);
    }
}

static void set_external_address(const struct forwarding_request *rq, const struct address *client)
{
    struct header_map *h = rq->headers;
    struct str ip = rq->peer->remote_ip;

    if (!address_eq_ip(client, rq->peer->remote)) {
        char *text = arena_alloc(h->arena, ADDRESS_TEXT_MAX);

        ip = str_n(text, address_format_ip(client, text));
    }
    header_set(h, HDR_X_ENVOY_EXTERNAL_ADDRESS, ip);
}

int forwarding_mutate_request(const struct forwarding_request *rq, struct address *ret_client)
{
    const struct http_conn_manager_config *c = rq->config;
    struct header_map *h = rq->headers;
    struct client_address client = {.is_trusted = false};
    bool is_internal;
    bool is_edge;

    drop_hop_by_hop_request(h);
    client_address_find(rq, &client);
    if (client.reject_status != 0) {
        return client.reject_status;
    }
    if (!header_has(h, HDR_X_FORWARDED_PROTO)) {
        header_add(h, HDR_X_FORWARDED_PROTO, client_scheme(rq));
    }
    if (c->append_x_forwarded_port && !header_has(h, HDR_X_FORWARDED_PORT)) {
        client_set_forwarded_port(rq);
    }
    set_scheme(rq);
    is_internal = client.is_trusted && address_is_set(&client.address) &&
                  client_is_internal(c, &client.address);
    if (!address_is_set(&client.address)) {
        client.address = *rq->peer->remote;
    }
    is_edge = !is_internal && c->use_remote_address;
    if (is_internal) {
        header_set(h, HDR_X_ENVOY_INTERNAL, STR("true"));
    } else {
        drop_internal_headers(rq, is_edge);
    }
    if (c->add_user_agent) {
        add_user_agent(rq);
    }
    append_via(h, c->via);
    if (is_edge && address_is_ip(&client.address)) {
        set_external_address(rq, &client.address);
    }
    if (c->generate_request_id) {
        set_request_id(rq, is_edge);
    }
    client_cert_mutate_request(c, rq->peer->tls, h);
    *ret_client = client.address;
    return 0;
}

/* --- responses ------------------------------------------------------------------------------ */

void forwarding_mutate_response(const struct http_conn_manager_config *config,
                                const struct header_map *request, bool is_informational,
                                struct header_map *h)
{
    if (request == NULL || !forwarding_is_upgrade(request) || !forwarding_is_upgrade(h)) {
        drop(h, HDR_CONNECTION);
        drop(h, HDR_UPGRADE);
    }
    drop(h, HDR_TRANSFER_ENCODING);
    drop(h, HDR_KEEP_ALIVE);
    drop(h, HDR_PROXY_CONNECTION);
    if (request != NULL && header_has(request, HDR_X_REQUEST_ID) &&
        (config->always_set_request_id_in_response ||
         header_has(request, HDR_X_ENVOY_FORCE_TRACE))) {
        header_set(h, HDR_X_REQUEST_ID, header_get(request, HDR_X_REQUEST_ID));
    }
    if (!is_informational) {
        append_via(h, config->via);
    }
}
