/* Writing HTTP/1 heads and chunks into a buf. Decides nothing: that is the codec's. */

#include "dataplane/codec/h1_encode.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/codec/header_case.h"

/* Version, status, reason, separators and the tail. */
#define HEAD_FIXED_MAX 256
#define FIELD_SEPARATORS 4 /* ": " and CR LF */
#define CRLF_BYTES 2
/* 16 hex digits and CR LF. */
#define CHUNK_LINE_MAX 18

/* Ids whose fields are not copied from the map. */
static const bool is_held_back[HDR_COUNT] = {
    [HDR_METHOD] = true,     [HDR_PATH] = true,   [HDR_AUTHORITY] = true,
    [HDR_SCHEME] = true,     [HDR_STATUS] = true, [HDR_PROTOCOL] = true,
    [HDR_CONNECTION] = true, [HDR_HOST] = true,   [HDR_TRANSFER_ENCODING] = true,
};

/* Envoy's phrases. */
static const struct {
    unsigned short status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Payload Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Entity"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
    {599, "Last Unassigned Server Error Code"}, /* as Envoy */
};

const char *h1_reason_phrase(unsigned status)
{
    if (status == 200) {
        return "OK";
    }
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "Unknown";
}

struct str h1_connection_line(const struct header_map *m, struct arena *a)
{
    struct str value = header_get(m, HDR_CONNECTION);

    return value.len > 0
               ? arena_concat(a, (struct str[]){STR("connection: "), value, STR("\r\n")}, 3)
               : STR_NONE;
}

static uint8_t *put(uint8_t *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

static uint8_t *put_str(uint8_t *to, struct str s)
{
    return s.len > 0 ? put(to, s.ptr, s.len) : to;
}

static uint8_t *put_field(uint8_t *to, struct str name, struct str value)
{
    to = put_str(to, name);
    to = put(to, ": ", 2);
    to = put_str(to, value);
    return put(to, "\r\n", 2);
}

static bool is_going_out(const struct header *h)
{
    return h->id != HDR_REMOVED && !is_held_back[h->id];
}

/* End of the line that `h` came in, when it stands there still; else NULL. */
static const char *wire_line_end(const struct header *h)
{
    const char *end = h->value.ptr + h->value.len;

    return h->is_wire_line && h->value.ptr == h->name.ptr + h->name.len + 2 && end[0] == '\r' &&
                   end[1] == '\n'
               ? end + 2
               : NULL;
}

static uint8_t *put_fields(uint8_t *to, const struct header_map *m)
{
    const struct header *h = m->items;
    const struct header *last = m->count > 0 ? h + m->count : h;

    while (h < last) {
        const char *begin = h->name.ptr;
        const char *end;

        if (!is_going_out(h)) {
            h++;
            continue;
        }
        end = wire_line_end(h);
        if (end == NULL) {
            to = put_field(to, h->name, h->value);
            h++;
            continue;
        }
        for (h++; h < last && h->name.ptr == end && is_going_out(h); h++) {
            const char *next = wire_line_end(h);

            if (next == NULL) {
                break;
            }
            end = next;
        }
        to = put(to, begin, (size_t)(end - begin));
    }
    return to;
}

/* --- Names in another spelling ---------------------------------------------------------------- */

static uint8_t *put_name(uint8_t *to, struct str name, const struct header_map *m)
{
    if (m->header_case != NULL) {
        header_case_write(m->header_case, name, to);
    } else {
        header_case_write_proper(name, to);
    }
    return to + name.len;
}

static uint8_t *put_spelled_field(uint8_t *to, struct str name, struct str value,
                                  const struct header_map *m)
{
    to = put_name(to, name, m);
    to = put(to, ": ", 2);
    to = put_str(to, value);
    return put(to, "\r\n", 2);
}

static uint8_t *put_spelled_fields(uint8_t *to, const struct header_map *m)
{
    header_for_each(h, m)
    {
        if (is_going_out(h)) {
            to = put_spelled_field(to, h->name, h->value, m);
        }
    }
    return to;
}

/* A line, or nothing. */
static uint8_t *put_spelled_line(uint8_t *to, struct str line, const struct header_map *m)
{
    size_t colon = str_find_char(line, ':');

    if (line.len == 0) {
        return to;
    }
    to = put_name(to, str_sub(line, 0, colon), m);
    return put_str(to, str_sub(line, colon, line.len));
}

static bool is_spelled(const struct header_map *m, const struct h1_head_tail *tail)
{
    return m->header_case != NULL || tail->is_proper_case;
}

/* --- Heads ------------------------------------------------------------------------------------ */

/* Room for a head with the fields of `m` and `extra` bytes. What a buf cannot reserve in one run
 * goes through the heap: head_end copies it. */
static uint8_t *head_begin(struct buf *out, const struct header_map *m, size_t extra,
                           size_t *ret_max)
{
    *ret_max = extra + m->byte_size + (size_t)m->count * FIELD_SEPARATORS + HEAD_FIXED_MAX;
    return *ret_max <= BUF_RESERVE_MAX ? buf_reserve(out, *ret_max) : xmalloc(*ret_max);
}

/* Returns how long it is. */
static size_t head_end(struct buf *out, uint8_t *begin, const uint8_t *end, size_t max)
{
    size_t len = (size_t)(end - begin);

    CHECK(len <= max);
    if (max <= BUF_RESERVE_MAX) {
        buf_commit(out, len);
        return len;
    }
    buf_add(out, begin, len);
    free(begin);
    return len;
}

/* The fields, what the codec adds, and the empty line. */
static uint8_t *put_rest(uint8_t *to, const struct header_map *m, const struct h1_head_tail *tail)
{
    if (NUNCIO_UNLIKELY(is_spelled(m, tail))) {
        to = put_spelled_fields(to, m);
        to = put_spelled_line(to, tail->connection, m);
        to = put_spelled_line(to, tail->framing, m);
    } else {
        to = put_fields(to, m);
        to = put_str(to, tail->connection);
        to = put_str(to, tail->framing);
    }
    return put(to, "\r\n", 2);
}

size_t h1_encode_response_head(struct buf *out, bool is_http10, unsigned status,
                               const struct header_map *m, const struct h1_head_tail *tail)
{
    struct str reason = m->header_case != NULL ? m->header_case->reason_phrase : STR_NONE;
    size_t max;
    uint8_t *begin = head_begin(out, m, reason.len, &max);
    uint8_t *to = begin;
    size_t start_line;

    if (status == 200 && !is_http10 && reason.len == 0) {
        to = put(to, "HTTP/1.1 200 OK\r\n", 17);
    } else {
        char digits[U64_DIGITS];

        to = is_http10 ? put(to, "HTTP/1.0 ", 9) : put(to, "HTTP/1.1 ", 9);
        to = put(to, digits, format_u64(status, digits));
        *to++ = ' ';
        to = put_str(to, reason.len > 0 ? reason : str_c(h1_reason_phrase(status)));
        to = put(to, "\r\n", 2);
    }
    start_line = (size_t)(to - begin);
    return head_end(out, begin, put_rest(to, m, tail), max) - start_line - CRLF_BYTES;
}

size_t h1_encode_request_head(struct buf *out, const struct header_map *m, bool is_absolute,
                              const struct h1_head_tail *tail)
{
    struct str method = header_get(m, HDR_METHOD);
    struct str authority = header_get(m, HDR_AUTHORITY);
    bool is_connect = str_eq(method, STR("CONNECT"));
    size_t max;
    uint8_t *begin = head_begin(out, m, authority.len, &max); /* it may go out twice */
    uint8_t *to = begin;
    size_t start_line;

    to = put_str(to, method);
    *to++ = ' ';
    if (NUNCIO_UNLIKELY(is_absolute) && !is_connect) {
        to = put_str(to, header_get(m, HDR_SCHEME));
        to = put(to, "://", 3);
        to = put_str(to, authority);
    }
    to = put_str(to, is_connect ? authority : header_get(m, HDR_PATH));
    to = put(to, " HTTP/1.1\r\n", 11);
    start_line = (size_t)(to - begin);
    to = NUNCIO_UNLIKELY(is_spelled(m, tail)) ? put_spelled_field(to, STR("host"), authority, m)
                                              : put_field(to, STR("host"), authority);
    return head_end(out, begin, put_rest(to, m, tail), max) - start_line - CRLF_BYTES;
}

void h1_encode_chunk(struct buf *out, struct buf *take_data)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = buf_len(take_data);
    uint8_t *to;
    size_t n = 2;

    if (len == 0) {
        return;
    }
    for (size_t left = len; left > 0; left >>= 4) {
        n++;
    }
    to = buf_reserve(out, CHUNK_LINE_MAX);
    to[n - 2] = '\r';
    to[n - 1] = '\n';
    for (size_t i = n - 2, left = len; i > 0; left >>= 4) {
        to[--i] = (uint8_t)hex[left & 15];
    }
    buf_commit(out, n);
    buf_move(out, take_data);
    buf_add(out, "\r\n", 2);
}

size_t h1_encode_last_chunk(struct buf *out, const struct header_map *trailers)
{
    size_t max;
    uint8_t *begin;
    uint8_t *fields;
    uint8_t *to;

    if (trailers == NULL) {
        buf_add(out, "0\r\n\r\n", 5);
        return 0;
    }
    begin = head_begin(out, trailers, 0, &max);
    fields = put(begin, "0\r\n", 3);
    to = put_fields(fields, trailers);
    head_end(out, begin, put(to, "\r\n", 2), max);
    return (size_t)(to - fields);
}
