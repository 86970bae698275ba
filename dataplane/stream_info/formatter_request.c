/*
 * What operators say of a request's head: its path, its query, the name it was sent to. Owns
 * nothing; the thread of the stream. Plain header values are formatter_ops.c's.
 */

#include "dataplane/stream_info/formatter_ops.h"

#include <string.h>

/* --- the name ----------------------------------------------------------------------------- */

static bool is_of_hostname(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-';
}

/* What a client claims as server name may be any bytes: a log shows them as Envoy does. */
static void set_server_name(struct formatted *out, struct str name)
{
    static const char MARK[] = "invalid:";
    size_t len = sizeof(MARK) - 1;
    bool is_valid = true;

    for (size_t i = 0; i < name.len; i++) {
        is_valid = is_valid && is_of_hostname(name.ptr[i]);
    }
    if (is_valid) {
        formatted_set_optional(out, name);
        return;
    }
    memcpy(out->scratch, MARK, len);
    for (size_t i = 0; i < name.len && len < sizeof(out->scratch); i++) {
        out->scratch[len++] = is_of_hostname(name.ptr[i]) ? name.ptr[i] : '_';
    }
    formatted_set_scratch(out, len);
}

static struct str host_of(enum format_host which, const struct header_map *request)
{
    struct str host = STR_NONE;

    if (request == NULL) {
        return host;
    }
    if (which != FORMAT_HOST_NOW) {
        host = header_get(request, HDR_X_ENVOY_ORIGINAL_HOST);
    }
    if (host.len == 0 && which != FORMAT_HOST_ORIG) {
        host = header_get(request, HDR_AUTHORITY);
    }
    return host;
}

static void set_requested_name(struct formatted *out, const struct format_item *item,
                               const struct access_log_entry *e)
{
    bool is_host_first = item->server_name == FORMAT_NAME_HOST_FIRST;

    if (!is_host_first) {
        set_server_name(out, e->info->requested_server_name);
    }
    if (out->kind == FORMATTED_NONE && item->server_name != FORMAT_NAME_SNI_ONLY) {
        formatted_set_optional(out, host_of(item->host, e->request_headers));
    }
    if (out->kind == FORMATTED_NONE && is_host_first) {
        set_server_name(out, e->info->requested_server_name);
    }
}

/* --- path and query ----------------------------------------------------------------------- */

/* arg1: "WQ" (with query, default) or "NQ"; arg2: "PATH", "ORIG" or "ORIG_OR_PATH" (default). */
static void set_path(struct formatted *out, const struct format_item *item,
                     const struct header_map *request)
{
    struct str path = STR_NONE;

    out->kind = FORMATTED_NONE;
    if (request == NULL) {
        return;
    }
    if (!str_eq(item->arg2, STR("PATH"))) {
        path = header_get(request, HDR_X_ENVOY_ORIGINAL_PATH);
    }
    if (path.len == 0 && !str_eq(item->arg2, STR("ORIG"))) {
        path = header_get(request, HDR_PATH);
    }
    if (str_eq(item->arg1, STR("NQ"))) {
        path = str_sub(path, 0, str_find_char(path, '?'));
    }
    if (path.ptr != NULL) {
        formatted_set_string(out, path); /* as Envoy: also where nothing stands before the query */
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%41" at `i` stands for; -1: none. */
static int percent_byte(struct str s, size_t i)
{
    int high = s.ptr[i] == '%' && i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
    int low = high >= 0 ? hex_digit(s.ptr[i + 2]) : -1;

    return low >= 0 ? high << 4 | low : -1;
}

/* As Envoy: what is not percent-encoded right is left as it is. */
static struct str percent_decode(struct str s, struct arena *a)
{
    char *text;
    size_t len = 0;

    if (str_find_char(s, '%') == STR_NPOS) {
        return s;
    }
    text = arena_alloc(a, s.len);
    for (size_t i = 0; i < s.len; i++) {
        int c = percent_byte(s, i);

        text[len++] = c >= 0 ? (char)c : s.ptr[i];
        i += c >= 0 ? 2 : 0;
    }
    return str_n(text, len);
}

/* As Envoy: only what becomes visible ASCII; a '%' before two characters that are no number goes.
 */
static struct str percent_decode_visible(struct str s, struct arena *a)
{
    char *text = arena_alloc(a, s.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        int c = percent_byte(s, i);

        if (c > ' ' && c < 0x7f) {
            text[len++] = (char)c;
            i += 2;
        } else if (c >= 0 || s.ptr[i] != '%' || i + 2 >= s.len) {
            text[len++] = s.ptr[i];
        }
    }
    return str_n(text, len);
}

/* What follows '?'; ptr NULL: there is none. */
static struct str query_of(const struct header_map *request)
{
    struct str path = request != NULL ? header_get(request, HDR_PATH) : STR_NONE;
    size_t at = str_find_char(path, '?');

    return at != STR_NPOS ? str_sub(path, at + 1, path.len) : STR_NONE;
}

/* As Envoy: the first of that name, decoded; it is there without a value too. */
static void set_query_param(struct formatted *out, struct str name,
                            const struct header_map *request)
{
    struct str query = query_of(request);
    struct str pair;

    while (query.ptr != NULL && str_split(&query, '&', &pair)) {
        size_t eq = str_find_char(pair, '=');

        if (str_eq(percent_decode(str_sub(pair, 0, eq), request->arena), name)) {
            pair = eq == STR_NPOS ? STR("") : str_sub(pair, eq + 1, pair.len);
            formatted_set_string(out, percent_decode(pair, request->arena));
            return;
        }
    }
}

static void set_query(struct formatted *out, bool is_decoded, const struct header_map *request)
{
    struct str query = query_of(request);

    if (query.ptr != NULL) {
        formatted_set_string(out,
                             is_decoded ? percent_decode_visible(query, request->arena) : query);
    }
}

/* --- x-forwarded-client-cert ---------------------------------------------------------------- */

/* What stands before the next `separator` that is not in quotes. False: nothing is left, or quotes
 * do not end. */
static bool split_unquoted(struct str *rest, char separator, struct str *ret)
{
    bool is_quoted = false;
    size_t backslashes = 0;
    size_t i;

    if (rest->ptr == NULL) {
        return false;
    }
    for (i = 0; i < rest->len && (is_quoted || rest->ptr[i] != separator); i++) {
        is_quoted ^= rest->ptr[i] == '"' && backslashes % 2 == 0;
        backslashes = rest->ptr[i] == '\\' ? backslashes + 1 : 0;
    }
    *ret = str_sub(*rest, 0, i);
    *rest = i < rest->len ? str_sub(*rest, i + 1, rest->len) : STR_NONE;
    return !is_quoted;
}

static struct str unescape(struct str s, struct arena *a)
{
    char *text;
    size_t len = 0;

    if (str_find_char(s, '\\') == STR_NPOS) {
        return s;
    }
    text = arena_alloc(a, s.len);
    for (size_t i = 0; i < s.len; i++) {
        bool is_escape =
            s.ptr[i] == '\\' && i + 1 < s.len && (s.ptr[i + 1] == '"' || s.ptr[i + 1] == '\\');

        i += is_escape;
        text[len++] = s.ptr[i];
    }
    return str_n(text, len);
}

/* Of "key=value"; false: it is of another key. */
static bool xfcc_pair(struct str pair, struct str key, struct arena *a, struct str *ret)
{
    size_t eq = str_find_char(pair, '=');
    struct str value = eq == STR_NPOS ? STR("") : str_trim(str_sub(pair, eq + 1, pair.len));

    if (!str_eq_nocase(str_trim(str_sub(pair, 0, eq)), key)) {
        return false;
    }
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
        value = str_sub(value, 1, value.len - 1);
    }
    *ret = unescape(value, a);
    return true;
}

/* As Envoy: the first of that key, from the left: what the first proxy of the way has seen. */
static void set_xfcc(struct formatted *out, struct str key, const struct header_map *request)
{
    struct str rest = request != NULL ? header_get(request, HDR_X_FORWARDED_CLIENT_CERT) : STR_NONE;
    struct str element;
    struct str pair;
    struct str value;

    while (split_unquoted(&rest, ',', &element)) {
        while (split_unquoted(&element, ';', &pair)) {
            if (xfcc_pair(pair, key, request->arena, &value)) {
                formatted_set_string(out, value);
                return;
            }
        }
    }
}

/* --- all of them ----------------------------------------------------------------------------- */

bool format_request(const struct format_item *item, const struct access_log_entry *e,
                    struct formatted *out)
{
    switch (item->op) {
    case FORMAT_PATH:
        set_path(out, item, e->request_headers);
        return true;
    case FORMAT_QUERY_PARAM:
        set_query_param(out, item->arg1, e->request_headers);
        return true;
    case FORMAT_QUERY_PARAMS:
    case FORMAT_QUERY_PARAMS_DECODED:
        set_query(out, item->op == FORMAT_QUERY_PARAMS_DECODED, e->request_headers);
        return true;
    case FORMAT_XFCC_VALUE:
        set_xfcc(out, item->arg1, e->request_headers);
        return true;
    case FORMAT_REQUESTED_SERVER_NAME:
        set_requested_name(out, item, e);
        return true;
    default:
        return false;
    }
}
