/*
 * What the lines of a complete HTTP/1 head mean together: framing (RFC 9112, 6), request target
 * (3.2), Host and the Connection header, with Envoy's verdicts in Envoy's order.
 */

#include <arpa/inet.h>

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_errors.h"
#include "dataplane/codec/h1_parser.h"

/* As Envoy: more options than this in Connection are an attack, and so is a TE this long. */
#define CONNECTION_OPTIONS_MAX 10
#define TE_VALUE_MAX 256

static const struct codec_error error_url = H1_ERROR(400, "http1.invalid_url", "Bad Request");
static const struct codec_error error_scheme = H1_ERROR(400, "http1.invalid_scheme", "Bad Request");
static const struct codec_error error_authority =
    H1_ERROR(400, "http.invalid_authority", "Bad Request");
static const struct codec_error error_connection =
    H1_ERROR(400, "http1.connection_header_rejected", "Bad Request");
static const struct codec_error error_body = H1_ERROR(400, "http1.body_disallowed", "Bad Request");
static const struct codec_error error_length_and_coding =
    H1_ERROR(400, "http1.content_length_and_chunked_not_allowed", "Bad Request");
static const struct codec_error error_coding =
    H1_ERROR(501, "http1.invalid_transfer_encoding", "Not Implemented");
/* Responses: no status goes anywhere. */
static const struct codec_error error_response_coding =
    H1_ERROR(502, "http1.invalid_transfer_encoding", "");
static const struct codec_error error_coding_not_allowed =
    H1_ERROR(502, "http1.transfer_encoding_not_allowed", "");
static const struct codec_error error_length_not_allowed =
    H1_ERROR(502, "http1.content_length_not_allowed", "");

static int refuse(struct h1_parser *p, const struct codec_error *e)
{
    p->error = e;
    return E_PROTOCOL;
}

static bool is_alnum(char c)
{
    char l = ascii_lower(c);

    return (c >= '0' && c <= '9') || (l >= 'a' && l <= 'z');
}

/* Bytes of reg-name, IP literal, port and userinfo (RFC 3986, 3.2). */
static bool is_authority(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && memchr("-._~!$&'()*+,;=:[]@%", s.ptr[i], 20) == NULL) {
            return false;
        }
    }
    return true;
}

/* --- Request target --------------------------------------------------------------------------- */

/* ":port" or nothing. */
static bool is_port_suffix(struct str s)
{
    uint64_t port;

    return s.len == 0 || (s.ptr[0] == ':' && s.len <= 6 &&
                          parse_u64(str_sub(s, 1, s.len), &port) == 0 && port <= UINT16_MAX);
}

/* As Envoy: a zone, if any, is a number. */
static bool is_ipv6(struct str s)
{
    size_t percent = str_find_char(s, '%');
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    uint64_t zone;

    if (percent != STR_NPOS && parse_u64(str_sub(s, percent + 1, s.len), &zone) < 0) {
        return false;
    }
    s = str_sub(s, 0, percent);
    if (s.len == 0 || s.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &ignored) == 1;
}

/* host[:port] without userinfo. As Envoy: no underscores. */
static bool is_host_port(struct str s)
{
    size_t host = 0;

    if (s.len > 0 && s.ptr[0] == '[') {
        size_t end = str_find_char(s, ']');

        return end != STR_NPOS && is_ipv6(str_sub(s, 1, end)) &&
               is_port_suffix(str_sub(s, end + 1, s.len));
    }
    while (host < s.len && (is_alnum(s.ptr[host]) || s.ptr[host] == '-' || s.ptr[host] == '.')) {
        host++;
    }
    return host > 0 && is_port_suffix(str_sub(s, host, s.len));
}

static void set_path(struct h1_parser *p, struct str path)
{
    header_add(p->headers, HDR_PATH, path);
}

/* http://host:port/path: its authority replaces Host's (RFC 9112, 3.2.2); userinfo goes. */
static int absolute_form(struct h1_parser *p)
{
    struct str rest = p->target;
    size_t colon = 0;
    size_t authority_len = 0;
    struct str scheme;
    struct str authority;
    size_t at;

    while (colon < rest.len && (is_alnum(rest.ptr[colon]) ||
                                (colon > 0 && memchr("+-.", rest.ptr[colon], 3) != NULL))) {
        colon++;
    }
    scheme = str_sub(rest, 0, colon);
    rest = str_sub(rest, colon, rest.len);
    if (colon == 0 || !str_starts(rest, STR("://"))) {
        return refuse(p, &h1_error_message);
    }
    rest = str_sub(rest, 3, rest.len);
    while (authority_len < rest.len && rest.ptr[authority_len] != '/' &&
           rest.ptr[authority_len] != '?') {
        authority_len++;
    }
    authority = str_sub(rest, 0, authority_len);
    rest = str_sub(rest, authority_len, rest.len);
    at = str_rfind_char(authority, '@');
    if (!is_authority(authority) || at != str_find_char(authority, '@')) {
        return refuse(p, &h1_error_message);
    }
    if (p->options->ignores_absolute_url) {
        set_path(p, p->target); /* refused further up for not beginning with a slash */
        return 0;
    }
    if (at != STR_NPOS) {
        authority = str_sub(authority, at + 1, authority.len);
    }
    if (!is_host_port(authority)) {
        return refuse(p, &error_url);
    }
    if (str_eq_nocase(scheme, STR("http"))) {
        header_add(p->headers, HDR_SCHEME, STR("http"));
    } else if (str_eq_nocase(scheme, STR("https"))) {
        header_add(p->headers, HDR_SCHEME, STR("https"));
    } else {
        return refuse(p, &error_scheme);
    }
    header_set(p->headers, HDR_AUTHORITY, authority);
    set_path(p, rest.len > 0 ? rest : STR("/"));
    return 0;
}

static int finish_target(struct h1_parser *p)
{
    if (p->is_connect) {
        struct str colon = str_sub(p->target, str_rfind_char(p->target, ':'), p->target.len);

        if (!is_host_port(p->target) || colon.len < 2) {
            return refuse(p, &error_url);
        }
        header_set(p->headers, HDR_AUTHORITY, p->target);
        return 0;
    }
    if (p->target.ptr[0] == '/' || (p->is_options && p->target.ptr[0] == '*')) {
        set_path(p, p->target);
        return 0;
    }
    if (p->target.ptr[0] == '*') {
        if (!p->options->ignores_absolute_url) {
            return refuse(p, &error_url);
        }
        set_path(p, p->target);
        return 0;
    }
    return absolute_form(p);
}

/* --- Connection ------------------------------------------------------------------------------- */

/* TE that Connection names stays when it asks for trailers, for nothing else. */
static int nominate_te(struct h1_parser *p)
{
    struct header *te = header_find(p->headers, HDR_TE);
    struct str rest;
    struct str part;

    if (te == NULL) {
        return 0;
    }
    rest = te->value;
    if (rest.len >= TE_VALUE_MAX) {
        return refuse(p, &error_connection);
    }
    while (str_split(&rest, ',', &part)) {
        if (str_eq_nocase(str_trim(part), STR("trailers"))) {
            header_set(p->headers, HDR_TE, STR("trailers"));
            return 0;
        }
    }
    (void)header_remove(p->headers, HDR_TE); /* how many is of no interest */
    return 0;
}

/* Removes a field that Connection names as hop-by-hop. As Envoy: those that say where a request
 * comes from are none, naming them is refused. */
static int nominate(struct h1_parser *p, struct str option)
{
    char *name = arena_memdup(p->arena, option.ptr, option.len);
    struct str lower = str_n(name, option.len);

    str_lower_in_place(name, option.len);
    if (str_eq(lower, STR("close")) || str_eq(lower, STR("keep-alive")) ||
        str_eq(lower, STR("upgrade")) || str_eq(lower, STR("http2-settings")) ||
        str_eq(lower, STR("connection"))) {
        return 0;
    }
    if (lower.ptr[0] == ':' || str_eq(lower, STR("x-forwarded-for")) ||
        str_eq(lower, STR("x-forwarded-host")) || str_eq(lower, STR("x-forwarded-proto"))) {
        return refuse(p, &error_connection);
    }
    if (str_eq(lower, STR("te"))) {
        return nominate_te(p);
    }
    if (str_eq(lower, STR("host"))) {
        (void)header_remove(p->headers,
                            HDR_AUTHORITY); /* as Envoy: refused later for having none */
        return 0;
    }
    (void)header_remove_name(p->headers, lower); /* how many is of no interest */
    return 0;
}

static int finish_connection(struct h1_parser *p)
{
    size_t options = 0;

    for (const struct header *h = header_find(p->headers, HDR_CONNECTION); h != NULL;
         h = header_next_same(p->headers, h)) {
        struct str rest = h->value;
        struct str option;

        while (str_split(&rest, ',', &option)) {
            option = str_trim(option);
            if (option.len == 0) {
                continue;
            }
            if (++options >= CONNECTION_OPTIONS_MAX) {
                return refuse(p, &error_connection);
            }
            if (nominate(p, option) < 0) {
                return E_PROTOCOL;
            }
        }
    }
    return 0;
}

static bool is_ignored_upgrade(const struct http1_options *o, struct str value)
{
    for (size_t i = 0; i < o->ignored_upgrade_count; i++) {
        if (string_matcher_matches(&o->ignored_upgrades[i], value)) {
            return true;
        }
    }
    return false;
}

/* As Envoy: upgrades to h2c, and those that the configuration names, are ignored: the request goes
 * on without. */
static void drop_upgrade(struct h1_parser *p)
{
    const struct header *upgrade = header_find(p->headers, HDR_UPGRADE);

    if (upgrade == NULL) {
        return;
    }
    if (str_eq_nocase(upgrade->value, STR("h2c"))) {
        (void)header_remove_name(p->headers, STR("http2-settings"));
    } else if (!is_ignored_upgrade(p->options, upgrade->value)) {
        return;
    }
    (void)header_remove(p->headers, HDR_UPGRADE);
    p->wants_upgrade = false;
}

/* As Envoy: what Connection says there is for the server. */
static bool asks_for_tunnel(const struct h1_parser *p)
{
    return p->is_connect || (p->wants_upgrade && header_has(p->headers, HDR_UPGRADE));
}

/* --- Framing ---------------------------------------------------------------------------------- */

/* Content-Length beside Transfer-Encoding. Where that is allowed chunked counts, the length goes,
 * and the connection ends with the message (RFC 9112, 6.1). */
static bool is_length_contradicted(struct h1_parser *p)
{
    if (p->transfer_encoding_count == 0 || !p->has_content_length) {
        return false;
    }
    if (!p->is_chunked || !p->options->allow_chunked_length) {
        return true;
    }
    (void)header_remove(p->headers, HDR_CONTENT_LENGTH); /* there is one */
    p->has_content_length = false;
    p->wants_close = true;
    return false;
}

static int request_framing(struct h1_parser *p, enum h1_framing *ret_framing)
{
    if (p->is_connect && p->has_content_length) {
        if (p->content_length > 0) {
            return refuse(p, &error_body);
        }
        (void)header_remove(p->headers, HDR_CONTENT_LENGTH); /* "0" says nothing */
        p->has_content_length = false;
    }
    if (is_length_contradicted(p)) {
        return refuse(p, &error_length_and_coding);
    }
    if (p->transfer_encoding_count > 0 && (!p->is_chunked || p->is_connect)) {
        return refuse(p, &error_coding);
    }
    *ret_framing = p->is_chunked                                    ? H1_BODY_CHUNKED
                   : p->has_content_length && p->content_length > 0 ? H1_BODY_LENGTH
                                                                    : H1_BODY_NONE;
    return 0;
}

int h1_request_finish(struct h1_parser *p, enum h1_framing *ret_framing)
{
    const struct header *authority;
    int r;

    if (NUNCIO_UNLIKELY(p->wants_upgrade)) {
        drop_upgrade(p);
    }
    r = request_framing(p, ret_framing);
    if (r == 0 && NUNCIO_UNLIKELY(p->has_connection_options) && !asks_for_tunnel(p)) {
        r = finish_connection(p);
    }
    if (r == 0) {
        r = finish_target(p);
    }
    if (r < 0) {
        return r;
    }
    if (NUNCIO_UNLIKELY(!p->is_http11)) {
        struct str host = p->options->default_host_for_http_10;

        if (!p->options->accept_http_10) {
            return refuse(p, &h1_error_low_version);
        }
        /* Framing that HTTP/1.0 does not know (RFC 9112, 6.1). */
        p->wants_close = p->wants_close || p->is_chunked || !p->wants_keep_alive;
        if (!header_has(p->headers, HDR_AUTHORITY) && host.len > 0) {
            header_add(p->headers, HDR_AUTHORITY, host);
        }
    }
    /* A request without any is refused further up, where it is a stream of its own, as in Envoy. */
    authority = header_find(p->headers, HDR_AUTHORITY);
    return authority == NULL || is_authority(authority->value) ? 0 : refuse(p, &error_authority);
}

int h1_response_finish(struct h1_parser *p, bool is_head, enum h1_framing *ret_framing)
{
    bool is_bodyless = p->status < 200 || p->status == 204;

    if (is_bodyless && p->transfer_encoding_count > 0) {
        return refuse(p, &error_coding_not_allowed);
    }
    if (is_bodyless && p->has_content_length) {
        if (p->content_length > 0) {
            return refuse(p, &error_length_not_allowed);
        }
        (void)header_remove(p->headers, HDR_CONTENT_LENGTH); /* "0" is harmless */
    }
    if (is_length_contradicted(p)) {
        return refuse(p, &error_length_and_coding);
    }
    if (p->transfer_encoding_count > 0 && !p->is_chunked) {
        return refuse(p, &error_response_coding);
    }
    if (is_bodyless || is_head || p->status == 304) {
        *ret_framing = H1_BODY_NONE;
    } else if (p->is_chunked) {
        *ret_framing = H1_BODY_CHUNKED;
    } else if (p->has_content_length) {
        *ret_framing = p->content_length > 0 ? H1_BODY_LENGTH : H1_BODY_NONE;
    } else {
        *ret_framing = H1_BODY_UNTIL_CLOSE;
    }
    return 0;
}
