/*
 * Header blocks as they arrive: bounded, cookie crumbs joined, extended CONNECT turned into
 * HTTP/1's upgrade. nghttp2 has checked characters, order of pseudo-headers, connection-specific
 * fields and content-length (RFC 9113, 8.2 and 8.3). A connection's thread.
 *
 * Bounds are on what is stored: names and values, a joined cookie once. Bytes come from the
 * stream's arena, so a block costs at most about twice its bound.
 */

#include <string.h>

#include "dataplane/codec/h2_internal.h"

#define COOKIE_JOIN "; "
#define COOKIE_FIRST_CAP 256

void h2_block_start(struct h2_stream *st, struct header_map *map)
{
    st->filling = map;
    st->cookie = NULL;
    st->cookie_cap = 0;
}

static bool is_within_limits(const struct h2_stream *st)
{
    const struct codec_limits *l = &st->conn->base.limits;

    return st->filling->byte_size <= l->max_headers_bytes &&
           st->filling->count <= l->max_headers_count;
}

static int refuse_block(struct h2_stream *st, enum h2_stat stat, struct str details)
{
    h2_count(st->conn, stat);
    st->details = details;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* RFC 9113, 8.2.3: one field outside HTTP/2. The value grows in place, doubling. */
static void join_cookie(struct h2_stream *st, struct str crumb)
{
    struct header_map *m = st->filling;
    size_t old_len;
    size_t len;
    char *joined;

    if (st->cookie == NULL) {
        st->cookie_cap = crumb.len > COOKIE_FIRST_CAP ? crumb.len : COOKIE_FIRST_CAP;
        joined = arena_alloc(m->arena, st->cookie_cap);
        memcpy(joined, crumb.ptr, crumb.len);
        (void)header_push(m, HDR_COOKIE, header_name(HDR_COOKIE), str_n(joined, crumb.len));
        st->cookie = header_find(m, HDR_COOKIE);
        return;
    }
    st->cookie = header_find(m, HDR_COOKIE); /* the map may have grown elsewhere */
    old_len = st->cookie->value.len;
    len = old_len + strlen(COOKIE_JOIN) + crumb.len;
    joined = (char *)(uintptr_t)st->cookie->value.ptr; /* ours, see above */
    if (len > st->cookie_cap) {
        st->cookie_cap = len * 2;
        joined = arena_alloc(m->arena, st->cookie_cap);
        memcpy(joined, st->cookie->value.ptr, old_len);
    }
    memcpy(joined + old_len, COOKIE_JOIN, strlen(COOKIE_JOIN));
    memcpy(joined + old_len + strlen(COOKIE_JOIN), crumb.ptr, crumb.len);
    st->cookie->value = str_n(joined, len);
    m->byte_size += (uint32_t)(len - old_len);
}

/* As Envoy: host is another name of :authority, which wins where both are there. */
static void take_host(struct h2_stream *st, struct str value)
{
    if (!header_has(st->filling, HDR_AUTHORITY)) {
        header_add(st->filling, HDR_AUTHORITY, arena_str(st->filling->arena, value));
    }
}

int h2_block_field(struct h2_stream *st, struct str name, struct str value)
{
    struct h2_conn *h = st->conn;
    struct header_map *m = st->filling;
    enum header_id id = header_id_of(name);

    if (h->is_server && h->base.limits.underscores != UNDERSCORES_ALLOW && id == HDR_UNKNOWN &&
        memchr(name.ptr, '_', name.len) != NULL) {
        if (h->base.limits.underscores == UNDERSCORES_REJECT) {
            return refuse_block(st, H2_REQUESTS_REJECTED_WITH_UNDERSCORES,
                                STR("http2.unexpected_underscore"));
        }
        h2_count(h, H2_DROPPED_HEADERS_WITH_UNDERSCORES);
        return 0;
    }
    if (m->byte_size + name.len + value.len > h->base.limits.max_headers_bytes) {
        return refuse_block(st, H2_HEADER_LIST_SIZE_TOO_LARGE,
                            STR("http2.header_list_size_too_large"));
    }
    if (id == HDR_COOKIE && m != st->trailers) {
        join_cookie(st, value);
    } else if (id == HDR_HOST && h->is_server && m != st->trailers) {
        take_host(st, value);
    } else {
        (void)header_push(m, id, id != HDR_UNKNOWN ? header_name(id) : arena_str(m->arena, name),
                          arena_str(m->arena, value));
    }
    return is_within_limits(st)
               ? 0
               : refuse_block(st, H2_HEADER_OVERFLOW, STR("http2.too_many_headers"));
}

void h2_request_head_done(struct h2_stream *st)
{
    struct header_map *h = st->base.headers;
    struct str protocol = header_get(h, HDR_PROTOCOL);

    if (!str_eq(header_get(h, HDR_METHOD), STR("CONNECT"))) {
        return;
    }
    st->is_held = true;
    if (protocol.ptr == NULL) {
        return;
    }
    st->is_upgrade = true;
    header_set(h, HDR_METHOD, STR("GET"));
    (void)header_remove(h, HDR_PROTOCOL);
    header_set(h, HDR_UPGRADE, protocol);
    header_set(h, HDR_CONNECTION, STR("upgrade"));
}

void h2_response_head_done(struct h2_stream *st)
{
    struct header_map *h = st->base.headers;

    if (st->is_upgrade && str_eq(header_get(h, HDR_STATUS), STR("200"))) {
        header_set(h, HDR_STATUS, STR("101"));
        header_set(h, HDR_CONNECTION, STR("upgrade"));
        header_set(h, HDR_UPGRADE, st->upgrade_type);
    }
}
