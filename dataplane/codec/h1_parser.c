/*
 * HTTP/1 heads and trailers, line by line. Owns nothing but what it puts into the stream's arena.
 * What the lines mean together (framing, target, Host, Connection) is in h1_finish.c; chunked
 * framing is in h1_chunks.c.
 */

#include "dataplane/codec/h1_parser.h"

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_errors.h"
#include "dataplane/codec/h1_scan.h"

/* What is copied at once: most heads are smaller, and what follows a head is not ours. */
#define COPY_MAX 2048
#define BUFFER_MIN 256
/* Start lines shorter than this are looked at again with each feed, so that garbage is refused
 * before its line ends. */
#define EARLY_LOOK_MAX 32
#define METHOD_MAX 11
#define VERSION_LEN 8
#define FIELD_EXTRA_BYTES 3 /* ':' and CR LF */
#define FIELDS_EXPECTED 28

const struct codec_error h1_error_message = H1_ERROR(400, "http1.codec_error", "Bad Request");
const struct codec_error h1_error_characters =
    H1_ERROR(400, "http1.invalid_characters", "Bad Request");
const struct codec_error h1_error_low_version = H1_ERROR(426, "low_version", "Upgrade Required");
static const struct codec_error error_underscore =
    H1_ERROR(400, "http1.unexpected_underscore", "Bad Request");
static const struct codec_error error_too_many =
    H1_ERROR(431, "http1.too_many_headers", "Request Header Fields Too Large");
static const struct codec_error error_too_large =
    H1_ERROR(431, "http1.headers_too_large", "Request Header Fields Too Large");

/* clang-format off */
const uint8_t h1_token_lower[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|',
    ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
    ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',
    ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',
    ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',
    ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};
/* clang-format on */

/* Fields that say something about the message's framing or its connection. */
static const bool is_special[HDR_COUNT] = {
    [HDR_HOST] = true,       [HDR_CONTENT_LENGTH] = true,   [HDR_TRANSFER_ENCODING] = true,
    [HDR_CONNECTION] = true, [HDR_PROXY_CONNECTION] = true,
};

/* Fields that a trailer may not hold (RFC 9110, 6.5.1): dropped. */
static const bool is_no_trailer[HDR_COUNT] = {
    [HDR_HOST] = true,
    [HDR_CONTENT_LENGTH] = true,
    [HDR_TRANSFER_ENCODING] = true,
    [HDR_CONNECTION] = true,
    [HDR_TE] = true,
    [HDR_TRAILER] = true,
    [HDR_AUTHORIZATION] = true,
    [HDR_CONTENT_TYPE] = true,
    [HDR_SET_COOKIE] = true,
    [HDR_COOKIE] = true,
    [HDR_UPGRADE] = true,
    [HDR_EXPECT] = true,
    [HDR_CACHE_CONTROL] = true,
    [HDR_KEEP_ALIVE] = true,
    [HDR_PROXY_CONNECTION] = true,
};

const struct http1_options h1_default_options;

void h1_parser_start(struct h1_parser *p, enum h1_kind kind, const struct codec_limits *limits,
                     struct arena *arena, struct header_map *headers)
{
    *p = (struct h1_parser){
        .arena = arena,
        .headers = headers,
        .options = limits->http1 != NULL ? limits->http1 : &h1_default_options,
        .max_bytes = limits->max_headers_bytes,
        .max_count = limits->max_headers_count,
        .kind = (uint8_t)kind,
        .underscores = kind == H1_REQUEST ? limits->underscores : (uint8_t)UNDERSCORES_ALLOW,
        .is_start_line_done = kind == H1_TRAILERS,
    };
    if (NUNCIO_UNLIKELY(p->options->header_key_format == HEADER_KEY_PRESERVED) &&
        kind != H1_TRAILERS) {
        p->header_case = header_case_new(arena, &p->options->header_case);
        headers->header_case = p->header_case;
    }
}

static int refuse(struct h1_parser *p, const struct codec_error *e)
{
    p->error = e;
    return E_PROTOCOL;
}

/* The byte at `at` cannot stand there. */
static int refuse_byte(struct h1_parser *p, const char *at)
{
    uint8_t c = (uint8_t)*at;

    return refuse(p, h1_is_control(c) && c != '\r' && c != '\n' ? &h1_error_characters
                                                                : &h1_error_message);
}

/* --- Start lines ------------------------------------------------------------------------------ */

static const char *const methods[] = {
    "ACL",       "BIND",    "CHECKOUT", "CONNECT", "COPY",       "DELETE",      "GET",
    "HEAD",      "LINK",    "LOCK",     "MERGE",   "MKACTIVITY", "MKCALENDAR",  "MKCOL",
    "MOVE",      "MSEARCH", "NOTIFY",   "OPTIONS", "PATCH",      "POST",        "PROPFIND",
    "PROPPATCH", "PURGE",   "PUT",      "QUERY",   "REBIND",     "REPORT",      "SEARCH",
    "SOURCE",    "TRACE",   "UNBIND",   "UNLINK",  "UNLOCK",     "UNSUBSCRIBE", "SUBSCRIBE",
};

/* The methods that Envoy knows; others are refused, as there. */
static bool is_known_method(struct str m)
{
    if (str_eq(m, STR("GET")) || str_eq(m, STR("POST"))) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (str_eq(m, str_c(methods[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/d.d" at `v`, which has VERSION_LEN bytes. */
static bool is_version(const char *v)
{
    return memcmp(v, "HTTP/", 5) == 0 && is_digit(v[5]) && v[6] == '.' && is_digit(v[7]);
}

/* A slot among the pseudo-headers that is filled later, so that nothing moves then. */
static void push_placeholder(struct header_map *m)
{
    header_push(m, HDR_UNKNOWN, STR_NONE, STR_NONE)->id = HDR_REMOVED;
}

static void line_done(struct h1_parser *p, char *next)
{
    p->head_bytes += (uint32_t)(next - p->line);
    p->line = next;
}

/* The byte behind a token. Apart, so that it costs nothing where it is not used. */
static __attribute__((noinline)) char *scan_token(char *p)
{
    while (h1_token_lower[(uint8_t)*p] != 0) {
        p++;
    }
    return p;
}

static int parse_request_line(struct h1_parser *p)
{
    bool is_any_method = p->options->allow_custom_methods;
    char *method_end = NUNCIO_UNLIKELY(is_any_method) ? scan_token(p->line) : p->line;
    char *target;
    char *target_end;
    char *version;
    struct str method;

    while (*method_end >= 'A' && *method_end <= 'Z') {
        method_end++;
    }
    method = str_n(p->line, (size_t)(method_end - p->line));
    if (method_end == p->end) {
        return method.len > METHOD_MAX && !is_any_method ? refuse(p, &h1_error_message) : E_AGAIN;
    }
    if (*method_end != ' ' || method.len == 0 || !(is_any_method || is_known_method(method))) {
        return refuse_byte(p, method_end);
    }
    target = method_end + 1;
    target_end = h1_scan_target(target);
    if (target_end == p->end) {
        return E_AGAIN;
    }
    if (target_end[0] == '\r' && target_end > target) {
        if (target_end + 1 == p->end) {
            return E_AGAIN;
        }
        /* As Envoy: HTTP/0.9 is a version too low. */
        return refuse(p, target_end[1] == '\n' && *target == '/' ? &h1_error_low_version
                                                                 : &h1_error_message);
    }
    if (*target_end != ' ' || target_end == target) {
        return refuse_byte(p, target_end);
    }
    version = target_end + 1;
    if (p->end - version < VERSION_LEN + 2) {
        return memchr(version, '\n', (size_t)(p->end - version)) != NULL
                   ? refuse(p, &h1_error_message)
                   : E_AGAIN;
    }
    if (!is_version(version) || version[VERSION_LEN] != '\r' || version[VERSION_LEN + 1] != '\n') {
        return refuse_byte(p, version + VERSION_LEN);
    }
    p->is_http11 = version[5] == '1' && version[7] == '1';
    p->target = str_n(target, (size_t)(target_end - target));
    p->is_head = str_eq(method, STR("HEAD"));
    p->is_connect = str_eq(method, STR("CONNECT"));
    p->is_options = str_eq(method, STR("OPTIONS"));
    header_map_reserve(p->headers, FIELDS_EXPECTED);
    (void)header_push(p->headers, HDR_METHOD, header_name(HDR_METHOD), method); /* complete */
    push_placeholder(p->headers);                                               /* :path */
    push_placeholder(p->headers);                                               /* :authority */
    push_placeholder(p->headers);                                               /* :scheme */
    p->is_start_line_done = true;
    line_done(p, version + VERSION_LEN + 2);
    return 0;
}

static int parse_status_line(struct h1_parser *p)
{
    static const char example[] = "HTTP/1.1 200";
    char *v = p->line;
    char *code = v + VERSION_LEN + 1;
    size_t have = (size_t)(p->end - v);
    char *stop;

    if (have < sizeof(example)) {
        /* What is there must be the beginning of one. */
        size_t fixed = have < 5 ? have : 5;

        return memcmp(v, example, fixed) == 0 && memchr(v, '\n', have) == NULL
                   ? E_AGAIN
                   : refuse(p, &h1_error_message);
    }
    if (!is_version(v) || v[5] != '1' || v[VERSION_LEN] != ' ' || !is_digit(code[0]) ||
        !is_digit(code[1]) || !is_digit(code[2]) || code[0] == '0') {
        return refuse(p, &h1_error_message);
    }
    if (code[3] != ' ' && code[3] != '\r') {
        return refuse_byte(p, code + 3);
    }
    stop = h1_scan_value(code + 3);
    if (stop == p->end) {
        return E_AGAIN;
    }
    if (stop[0] != '\r') {
        return refuse_byte(p, stop);
    }
    if (stop + 1 == p->end) {
        return E_AGAIN;
    }
    if (stop[1] != '\n') {
        return refuse_byte(p, stop + 1);
    }
    if (NUNCIO_UNLIKELY(p->header_case != NULL) && p->options->header_case.forwards_reason_phrase &&
        stop > code + 4) {
        p->header_case->reason_phrase = str_n(code + 4, (size_t)(stop - code - 4));
    }
    p->is_http11 = v[7] == '1';
    p->status = (uint16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
    header_map_reserve(p->headers, FIELDS_EXPECTED);
    (void)header_push(p->headers, HDR_STATUS, header_name(HDR_STATUS), str_n(code, 3));
    p->is_start_line_done = true;
    line_done(p, stop + 2);
    return 0;
}

/* --- Fields ----------------------------------------------------------------------------------- */

/* Connection and Proxy-Connection. The latter only for "close", as Envoy. */
static void note_connection(struct h1_parser *p, enum header_id id, struct str value)
{
    struct str part;

    while (str_split(&value, ',', &part)) {
        part = str_trim(part);
        if (str_eq_nocase(part, STR("close"))) {
            p->wants_close = true;
        } else if (id == HDR_PROXY_CONNECTION || part.len == 0) {
            continue;
        } else if (str_eq_nocase(part, STR("keep-alive"))) {
            p->wants_keep_alive = true;
        } else if (str_eq_nocase(part, STR("upgrade"))) {
            p->wants_upgrade = true;
        } else {
            p->has_connection_options = true;
        }
    }
}

/* Notes what a special field says. E_PROTOCOL. */
static int note_special(struct h1_parser *p, enum header_id id, struct str value)
{
    switch (id) {
    case HDR_CONTENT_LENGTH:
        if (p->has_content_length || parse_u64(value, &p->content_length) < 0) {
            return refuse(p, &h1_error_message);
        }
        p->has_content_length = true;
        return 0;
    case HDR_TRANSFER_ENCODING:
        p->is_chunked = p->transfer_encoding_count == 0 && str_eq_nocase(value, STR("chunked"));
        p->transfer_encoding_count = p->transfer_encoding_count == 0 ? 1 : 2;
        return 0;
    case HDR_CONNECTION:
    case HDR_PROXY_CONNECTION:
        note_connection(p, id, value);
        return 0;
    default:
        return 0;
    }
}

/* Host becomes :authority. */
static int note_host(struct h1_parser *p, struct str value)
{
    if (++p->host_count > 1) {
        return refuse(p, &h1_error_message);
    }
    header_add(p->headers, HDR_AUTHORITY, value);
    return 0;
}

uint32_t h1_field_bytes(const struct h1_parser *p)
{
    return p->field_bytes > 0 ? p->field_bytes : FIELD_EXTRA_BYTES;
}

static int add_field(struct h1_parser *p, struct str name, struct str value, bool is_wire_line)
{
    enum header_id id = header_id_of(name);

    if (NUNCIO_UNLIKELY(++p->field_count > p->max_count)) {
        return refuse(p, &error_too_many);
    }
    p->field_bytes += (uint32_t)(name.len + value.len) + FIELD_EXTRA_BYTES;
    if (NUNCIO_UNLIKELY(p->underscores != UNDERSCORES_ALLOW) &&
        memchr(name.ptr, '_', name.len) != NULL) {
        p->dropped_count++;
        return p->underscores == UNDERSCORES_REJECT ? refuse(p, &error_underscore) : 0;
    }
    if (NUNCIO_UNLIKELY(p->kind == H1_TRAILERS)) {
        if (p->headers == NULL || is_no_trailer[id]) {
            return 0;
        }
    } else if (is_special[id]) {
        int r;

        if (id == HDR_HOST && p->kind == H1_REQUEST) {
            return note_host(p, value);
        }
        r = note_special(p, id, value);
        if (r < 0) {
            return r;
        }
    }
    header_push(p->headers, id, name, value)->is_wire_line = is_wire_line;
    return 0;
}

/* The line at p->line does not begin with a field name and a colon; `stop` is the first byte that
 * is no part of a name. */
static int end_of_fields(struct h1_parser *p, char *stop)
{
    if (stop == p->end) {
        return E_AGAIN;
    }
    if (stop == p->line && *stop == '\r') {
        if (stop + 1 == p->end) {
            return E_AGAIN;
        }
        if (stop[1] == '\n') {
            line_done(p, stop + 2);
            return 0;
        }
    }
    return refuse_byte(p, stop);
}

/* A field's name, whose line is complete: keeps it as it is, then lower-cases it. */
static void keep_case(struct h1_parser *p, char *name, size_t len)
{
    header_case_note(p->header_case, str_n(arena_memdup(p->arena, name, len), len));
    (void)h1_scan_token_lower(name); /* it ends at the colon */
}

static int parse_fields(struct h1_parser *p)
{
    bool keeps_case = p->header_case != NULL;

    for (;;) {
        char *name = p->line;
        char *colon = NUNCIO_UNLIKELY(keeps_case) ? scan_token(name) : h1_scan_token_lower(name);
        char *value;
        char *stop;
        char *value_end;
        bool is_wire_line;
        int r;

        if (*colon != ':' || colon == name) {
            return end_of_fields(p, colon);
        }
        value = colon + 1;
        while (*value == ' ' || *value == '\t') {
            value++;
        }
        stop = h1_scan_value(value);
        if (NUNCIO_UNLIKELY(stop[0] != '\r' || stop[1] != '\n')) {
            bool is_partial = stop == p->end || (stop[0] == '\r' && stop + 1 == p->end);

            return is_partial ? E_AGAIN : refuse_byte(p, stop[0] == '\r' ? stop + 1 : stop);
        }
        value_end = stop;
        while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t')) {
            value_end--;
        }
        is_wire_line = value == colon + 2 && colon[1] == ' ' && value_end == stop;
        line_done(p, stop + 2);
        if (NUNCIO_UNLIKELY(p->head_bytes > p->max_bytes)) {
            return refuse(p, &error_too_large);
        }
        if (NUNCIO_UNLIKELY(keeps_case)) {
            keep_case(p, name, (size_t)(colon - name));
        }
        r = add_field(p, str_n(name, (size_t)(colon - name)),
                      str_n(value, (size_t)(value_end - value)), is_wire_line);
        if (NUNCIO_UNLIKELY(r < 0)) {
            return r;
        }
    }
}

/* --- Feeding ---------------------------------------------------------------------------------- */

/* Copies as much as fits, making room first when there is none. Only the line that is not parsed
 * yet moves along; slices into the old memory stay valid. */
static size_t copy_in(struct h1_parser *p, const char *data, size_t len)
{
    size_t room = (size_t)(p->cap - p->end);

    if (room == 0) {
        size_t pending = (size_t)(p->end - p->line);
        size_t bytes = pending + (len < COPY_MAX ? len : COPY_MAX);
        char *to;

        bytes = bytes < pending * 2 ? pending * 2 : bytes;
        bytes = bytes < BUFFER_MIN ? BUFFER_MIN : bytes;
        to = arena_alloc(p->arena, bytes + H1_SCAN_SLACK);
        if (pending > 0) {
            memcpy(to, p->line, pending);
        }
        p->line = to;
        p->end = to + pending;
        p->cap = to + bytes;
        room = bytes - pending;
    }
    if (len > room) {
        len = room;
    }
    memcpy(p->end, data, len);
    p->end += len;
    *p->end = '\0';
    return len;
}

/* Whether the unfinished line, of which [from, end) is new and without LF, may still become one. */
static int check_partial_line(struct h1_parser *p, char *from)
{
    char *stop = h1_scan_value(from);

    if (from[-1] == '\r') {
        return refuse_byte(p, from); /* its LF is not there */
    }
    if (stop == p->end || (*stop == '\r' && stop + 1 == p->end)) {
        return E_AGAIN;
    }
    return refuse_byte(p, stop);
}

static int parse_lines(struct h1_parser *p)
{
    if (!p->is_start_line_done) {
        int r = p->kind == H1_REQUEST ? parse_request_line(p) : parse_status_line(p);

        if (r < 0) {
            return r;
        }
    }
    return parse_fields(p);
}

/* Gives what is left of the buffer back to the arena when it was the arena's last allocation. */
static void trim_buffer(struct h1_parser *p)
{
    char *limit = p->cap + H1_SCAN_SLACK;
    size_t unused;

    limit += -(uintptr_t)limit & 15;
    if (p->arena->pos != limit) {
        return;
    }
    unused = (size_t)(limit - p->line) & ~(size_t)15;
    p->arena->pos -= unused;
    p->cap = p->end = p->line;
}

int h1_parser_feed(struct h1_parser *p, const char *data, size_t len, size_t *ret_used)
{
    size_t used = 0;
    int r = E_AGAIN;

    while (used < len && r == E_AGAIN) {
        size_t pending = (size_t)(p->end - p->line);
        size_t n = copy_in(p, data + used, len - used);
        char *from = p->line + pending;

        used += n;
        if (pending > 0 && (p->is_start_line_done || pending >= EARLY_LOOK_MAX) &&
            memchr(from, '\n', n) == NULL) {
            r = check_partial_line(p, from);
        } else {
            r = parse_lines(p);
        }
        if (r == E_AGAIN && p->head_bytes + (size_t)(p->end - p->line) > p->max_bytes) {
            r = refuse(p, &error_too_large);
        }
    }
    if (r == 0) {
        if (p->head_bytes > p->max_bytes) {
            r = refuse(p, &error_too_large);
        }
        used -= (size_t)(p->end - p->line);
        trim_buffer(p);
    }
    *ret_used = used;
    return r;
}
