/*
 * Heads and chunked framing: every vector is fed whole, byte by byte and split at every point; all
 * must give one result, and the one that the table says.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_parser.h"

static const struct codec_limits limits = {.max_headers_bytes = 8192, .max_headers_count = 20};
static const struct http1_options options_10 = {.accept_http_10 = true};
static const struct codec_limits limits_10 = {
    .max_headers_bytes = 8192, .max_headers_count = 20, .http1 = &options_10};

static const char *const framing_names[] = {"none", "length", "chunked", "close"};

/* Feeds `in` in pieces that end at `cuts` (ascending, up to the end) and describes the outcome:
 * "status details" of a refusal, "more", or framing and the fields. */
static char *describe(enum h1_kind kind, const struct codec_limits *l, struct str in,
                      const size_t *cuts, size_t cut_count)
{
    struct arena arena;
    struct header_map map;
    struct h1_parser p;
    enum h1_framing framing = H1_BODY_NONE;
    struct strbuf b;
    size_t at = 0;
    int r = E_AGAIN;

    arena_init(&arena, NULL);
    header_map_init(&map, &arena);
    strbuf_init(&b);
    h1_parser_start(&p, kind, l, &arena, &map);
    for (size_t i = 0; i < cut_count && r == E_AGAIN; i++) {
        size_t n = cuts[i] - at;
        char *piece = malloc(n + 1); /* of its own, so that ASan sees reads beyond */
        size_t used;

        memcpy(piece, in.ptr + at, n);
        r = h1_parser_feed(&p, piece, n, &used);
        free(piece);
        assert_true(used <= n);
        if (r == E_AGAIN) {
            assert_int_equal(used, n);
        }
        at += used;
    }
    if (r == 0 && kind == H1_REQUEST) {
        r = h1_request_finish(&p, &framing);
    } else if (r == 0 && kind == H1_RESPONSE) {
        r = h1_response_finish(&p, false, &framing);
    }
    if (r == E_AGAIN) {
        strbuf_add_c(&b, "more");
    } else if (r == E_PROTOCOL) {
        strbuf_addf(&b, "%d %.*s", p.error->status, STR_ARG(p.error->details));
    } else {
        strbuf_addf(&b, "%s", framing_names[framing]);
        if (framing == H1_BODY_LENGTH) {
            strbuf_addf(&b, " %llu", (unsigned long long)p.content_length);
        }
        strbuf_addf(&b, "%s%s|", p.wants_close ? " close" : "", at < in.len ? " rest" : "");
        header_for_each(h, &map)
        {
            strbuf_addf(&b, "%.*s=%.*s;", STR_ARG(h->name), STR_ARG(h->value));
            if (h->is_wire_line) {
                assert_memory_equal(h->name.ptr + h->name.len, ": ", 2);
                assert_ptr_equal(h->value.ptr, h->name.ptr + h->name.len + 2);
                assert_memory_equal(h->value.ptr + h->value.len, "\r\n", 2);
            }
        }
    }
    arena_done(&arena);
    return strbuf_take(&b);
}

static void check(enum h1_kind kind, const struct codec_limits *l, struct str in, const char *want)
{
    size_t *cuts = calloc(in.len + 1, sizeof(*cuts));
    char *whole;

    cuts[0] = in.len;
    whole = describe(kind, l, in, cuts, 1);
    if (strcmp(whole, want) != 0) {
        fail_msg("%.*s\n got: %s\nwant: %s", STR_ARG(in), whole, want);
    }
    for (size_t cut = 1; cut < in.len; cut++) {
        const size_t two[] = {cut, in.len};
        char *split = describe(kind, l, in, two, 2);

        if (strcmp(split, whole) != 0) {
            fail_msg("%.*s\nsplit at %zu: %s\n whole: %s", STR_ARG(in), cut, split, whole);
        }
        free(split);
    }
    for (size_t i = 0; i < in.len; i++) {
        cuts[i] = i + 1;
    }
    if (in.len > 0) {
        char *bytes = describe(kind, l, in, cuts, in.len);

        assert_string_equal(bytes, whole);
        free(bytes);
    }
    free(whole);
    free(cuts);
}

struct vector {
    struct str in;
    const char *want;
};

#define V(text, result)                                                                            \
    {                                                                                              \
        {(text), sizeof(text) - 1}, (result)                                                       \
    }
#define H "Host: a\r\n"
#define GET_ "GET / HTTP/1.1\r\n" H
#define POST_ "POST / HTTP/1.1\r\n" H
#define BAD "400 http1.codec_error"
#define CHARS "400 http1.invalid_characters"
#define URL "400 http1.invalid_url"
#define BASE ":method=GET;:authority=a;:path=/;"
#define POSTED ":method=POST;:authority=a;:path=/;"

static const struct vector request_lines[] = {
    V("", "more"),
    V("G", "more"),
    V("GET / HTTP/1.1\r\nHost: a\r\n", "more"),
    V("GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),
    V(GET_ "\r\n", "none|" BASE),
    V(GET_ "\r\nGET", "none rest|" BASE),
    V("PROPFIND / HTTP/1.1\r\n" H "\r\n", "none|:method=PROPFIND;:authority=a;:path=/;"),
    V("UNSUBSCRIBE / HTTP/1.1\r\n" H "\r\n", "none|:method=UNSUBSCRIBE;:authority=a;:path=/;"),
    V("QUERY / HTTP/1.1\r\n" H "\r\n", "none|:method=QUERY;:authority=a;:path=/;"),
    V("get / HTTP/1.1\r\n" H "\r\n", BAD),
    V("FOO / HTTP/1.1\r\n" H "\r\n", BAD),
    V("G@T / HTTP/1.1\r\n" H "\r\n", BAD),
    V("M-SEARCH / HTTP/1.1\r\n" H "\r\n", BAD),
    V("GETGETGETGETGET", BAD),
    V("\x16\x03\x01\x02", CHARS),
    V("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    V(" GET / HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET  / HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET /  HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET / HTTP/1.1 \r\n" H "\r\n", BAD),
    V("GET\t/ HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET /a b HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET /\tb HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET / HTTP/1.1\n" H "\r\n", BAD),
    V("GET / HTTP/1.1\r" H "\r\n", BAD),
    V("GET /\r HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET / HTTP/1\r\n" H "\r\n", BAD),
    V("GET / HTTP/1.11\r\n" H "\r\n", BAD),
    V("GET / HTTP/01.1\r\n" H "\r\n", BAD),
    V("GET / http/1.1\r\n" H "\r\n", BAD),
    V("GET / XTTP/1.1\r\n" H "\r\n", BAD),
    V("GET / HTTP/1,1\r\n" H "\r\n", BAD),
    V("GET / \r\n" H "\r\n", BAD),
    V("GET /\r\n\r\n", "426 low_version"),
    V("GET / HTTP/1.0\r\n" H "\r\n", "426 low_version"),
    V("GET / HTTP/1.2\r\n" H "\r\n", "426 low_version"),
    V("GET / HTTP/2.0\r\n" H "\r\n", "426 low_version"),
};

static const struct vector targets[] = {
    V("GET //x HTTP/1.1\r\n" H "\r\n", "none|:method=GET;:authority=a;:path=//x;"),
    V("GET /p\"<>\\^`{|} HTTP/1.1\r\n" H "\r\n",
      "none|:method=GET;:authority=a;:path=/p\"<>\\^`{|};"),
    V("GET /p#f HTTP/1.1\r\n" H "\r\n", "none|:method=GET;:authority=a;:path=/p#f;"),
    V("GET /p\xe9 HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET /p\x01 HTTP/1.1\r\n" H "\r\n", CHARS),
    V("GET /p\x7f HTTP/1.1\r\n" H "\r\n", CHARS),
    V("GET /p\0 HTTP/1.1\r\n" H "\r\n", CHARS),
    V("OPTIONS * HTTP/1.1\r\n" H "\r\n", "none|:method=OPTIONS;:authority=a;:path=*;"),
    V("GET * HTTP/1.1\r\n" H "\r\n", URL),
    V("GET foo HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET http://b:8080/x?y=1 HTTP/1.1\r\n" H "\r\n",
      "none|:method=GET;:authority=b:8080;:scheme=http;:path=/x?y=1;"),
    V("GET http://b/x HTTP/1.1\r\n\r\n", "none|:method=GET;:scheme=http;:authority=b;:path=/x;"),
    V("GET http://b HTTP/1.1\r\n" H "\r\n", "none|:method=GET;:authority=b;:scheme=http;:path=/;"),
    V("GET http://b?x=1 HTTP/1.1\r\n" H "\r\n",
      "none|:method=GET;:authority=b;:scheme=http;:path=?x=1;"),
    V("GET http://u:p@b/p HTTP/1.1\r\n" H "\r\n",
      "none|:method=GET;:authority=b;:scheme=http;:path=/p;"),
    V("GET HTTPS://ExA.COM/p HTTP/1.1\r\n" H "\r\n",
      "none|:method=GET;:authority=ExA.COM;:scheme=https;:path=/p;"),
    V("GET http://[::1]:90/p HTTP/1.1\r\n" H "\r\n",
      "none|:method=GET;:authority=[::1]:90;:scheme=http;:path=/p;"),
    V("GET ftp://b/p HTTP/1.1\r\n" H "\r\n", "400 http1.invalid_scheme"),
    V("GET http:///p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://b:99999/p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://b:x/p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://b:/p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://[::1/p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://[]/p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://ex%41mple.com/p HTTP/1.1\r\n" H "\r\n", URL),
    V("GET http://b<c/p HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET 1http://b/p HTTP/1.1\r\n" H "\r\n", "400 http1.invalid_scheme"),
    V("GET http:/b/p HTTP/1.1\r\n" H "\r\n", BAD),
    V("GET :// HTTP/1.1\r\n" H "\r\n", BAD),
    V("CONNECT a:80 HTTP/1.1\r\n" H "\r\n", "none|:method=CONNECT;:authority=a:80;"),
    V("CONNECT a HTTP/1.1\r\n" H "\r\n", URL),
    V("CONNECT a: HTTP/1.1\r\n" H "\r\n", URL),
    V("CONNECT /x HTTP/1.1\r\n" H "\r\n", URL),
    V("CONNECT a:80 HTTP/1.1\r\n" H "content-length: 5\r\n\r\nhello", "400 http1.body_disallowed"),
    V("CONNECT a:80 HTTP/1.1\r\n" H "content-length: 0\r\n\r\n",
      "none|:method=CONNECT;:authority=a:80;"),
    V("CONNECT a:80 HTTP/1.1\r\n" H "transfer-encoding: chunked\r\n\r\n",
      "501 http1.invalid_transfer_encoding"),
};

static const struct vector fields[] = {
    V(GET_ "X: b\r\n\r\n", "none|" BASE "x=b;"),
    V(GET_ "X:b\r\n\r\n", "none|" BASE "x=b;"),
    V(GET_ "X:\tb\tc\t \r\n\r\n", "none|" BASE "x=b\tc;"),
    V(GET_ "X:\r\nY: \r\nZ:  \t \r\n\r\n", "none|" BASE "x=;y=;z=;"),
    V(GET_ "X: b\xff\x80\r\n\r\n", "none|" BASE "x=b\xff\x80;"),
    V(GET_ "X_y-Z.1!#$%&'*+^`|~: z\r\n\r\n", "none|" BASE "x_y-z.1!#$%&'*+^`|~=z;"),
    V(GET_ "Cookie: a\r\nCookie: b\r\n\r\n", "none|" BASE "cookie=a;cookie=b;"),
    V(GET_ "X: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n\r\n",
      "none|" BASE "x=0123456789abcdef0123456789abcdef0123456789abcdef;"),
    V(GET_ "X: b\n\r\n", BAD),
    V(GET_ "X: b\r\n\n", BAD),
    V("GET / HTTP/1.1\r\nHost: a\n\n", BAD),
    V(GET_ "X: b\rc\r\n\r\n", BAD),
    V(GET_ "X: b\r\r\n\r\n", BAD),
    V(GET_ "\rX: b\r\n\r\n", BAD),
    V(GET_ "X: b\0c\r\n\r\n", CHARS),
    V(GET_ "X\0: bc\r\n\r\n", CHARS),
    V(GET_ "X: b\x01\r\n\r\n", CHARS),
    V(GET_ "X: b\x7f\r\n\r\n", CHARS),
    V(GET_ "X: \x0b\r\n\r\n", CHARS),
    V(GET_ "X: b\r\n c\r\n\r\n", BAD),
    V(GET_ "X: b\r\n\tc\r\n\r\n", BAD),
    V("GET / HTTP/1.1\r\n X: b\r\n" H "\r\n", BAD),
    V(GET_ "X : b\r\n\r\n", BAD),
    V(GET_ "X\t: b\r\n\r\n", BAD),
    V(GET_ ": b\r\n\r\n", BAD),
    V(GET_ "Xyz\r\n\r\n", BAD),
    V(GET_ "X y: z\r\n\r\n", BAD),
    V(GET_ "X@: z\r\n\r\n", BAD),
    V(GET_ "X(: z\r\n\r\n", BAD),
    V(GET_ "X\xe9: z\r\n\r\n", BAD),
    V(GET_ ":path: z\r\n\r\n", BAD),
    V("GET / HTTP/1.1\r\n\r\n", "none|:method=GET;:path=/;"),
    V("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    V("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", BAD),
    V("GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    V("GET / HTTP/1.1\r\nHost: \r\n\r\n", "none|:method=GET;:authority=;:path=/;"),
    V("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 http.invalid_authority"),
    V("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 http.invalid_authority"),
    V("GET / HTTP/1.1\r\nHost: a<b\r\n\r\n", "400 http.invalid_authority"),
    V("GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n", "400 http.invalid_authority"),
    V("GET / HTTP/1.1\r\nHost: u@a_b:80\r\n\r\n", "none|:method=GET;:authority=u@a_b:80;:path=/;"),
};

static const struct vector framing[] = {
    V(POST_ "Content-Length: 5\r\n\r\nhello", "length 5 rest|" POSTED "content-length=5;"),
    V(POST_ "Content-Length: 0\r\n\r\n", "none|" POSTED "content-length=0;"),
    V(POST_ "Content-Length: \t5 \r\n\r\n", "length 5|" POSTED "content-length=5;"),
    V(POST_ "Content-Length: 05\r\n\r\n", "length 5|" POSTED "content-length=05;"),
    V(POST_ "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", BAD),
    V(POST_ "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", BAD),
    V(POST_ "Content-Length: 5, 5\r\n\r\n", BAD),
    V(POST_ "Content-Length:\r\n\r\n", BAD),
    V(POST_ "Content-Length: +5\r\n\r\n", BAD),
    V(POST_ "Content-Length: -5\r\n\r\n", BAD),
    V(POST_ "Content-Length: 0x5\r\n\r\n", BAD),
    V(POST_ "Content-Length: 5_0\r\n\r\n", BAD),
    V(POST_ "Content-Length: 5 0\r\n\r\n", BAD),
    V(POST_ "Content-Length: 18446744073709551616\r\n\r\n", BAD),
    V(POST_ "Transfer-Encoding: chunked\r\n\r\n", "chunked|" POSTED "transfer-encoding=chunked;"),
    V(POST_ "Transfer-Encoding:\tCHUNKED\t\r\n\r\n",
      "chunked|" POSTED "transfer-encoding=CHUNKED;"),
    V(POST_ "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
      "400 http1.content_length_and_chunked_not_allowed"),
    V(POST_ "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400 http1.content_length_and_chunked_not_allowed"),
    V(POST_ "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n",
      "400 http1.content_length_and_chunked_not_allowed"),
    V(POST_ "Transfer-Encoding: chunked, identity\r\n\r\n", "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding: gzip, chunked\r\n\r\n", "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding: identity\r\n\r\n", "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding: xchunked\r\n\r\n", "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding: chunked;q=1\r\n\r\n", "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding:\r\n\r\n", "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      "501 http1.invalid_transfer_encoding"),
    V(POST_ "Transfer-Encoding: \x0b"
            "chunked\r\n\r\n",
      CHARS),
};

static const struct vector connection[] = {
    V(GET_ "Connection: close\r\n\r\n", "none close|" BASE "connection=close;"),
    V(GET_ "Connection: foo, Close\r\nFoo: 1\r\nBar: 2\r\n\r\n",
      "none close|" BASE "connection=foo, Close;bar=2;"),
    V(GET_ "Connection: keep-alive\r\n\r\n", "none|" BASE "connection=keep-alive;"),
    V(GET_ "Proxy-Connection: close\r\n\r\n", "none close|" BASE "proxy-connection=close;"),
    V(GET_ "Connection: :path\r\n\r\n", "400 http1.connection_header_rejected"),
    V(GET_ "Connection: X-Forwarded-For\r\n\r\n", "400 http1.connection_header_rejected"),
    V(GET_ "Connection: a,b,c,d,e,f,g,h,i,j\r\n\r\n", "400 http1.connection_header_rejected"),
    V(GET_ "Connection: a,b,c,d,e,f,g,h,i\r\n\r\n", "none|" BASE "connection=a,b,c,d,e,f,g,h,i;"),
    V(GET_ "TE: gzip, Trailers\r\nConnection: te\r\n\r\n",
      "none|" BASE "te=trailers;connection=te;"),
    V(GET_ "TE: gzip\r\nConnection: te\r\n\r\n", "none|" BASE "connection=te;"),
    V(GET_ "Connection: host\r\n\r\n", "none|:method=GET;:path=/;connection=host;"),
    V(GET_ "Connection: connection\r\n\r\n", "none|" BASE "connection=connection;"),
    V(GET_ "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
      "none|" BASE "connection=upgrade;"),
    V(GET_ "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      "none|" BASE "connection=upgrade;upgrade=websocket;"),
};

static const struct vector http_10[] = {
    V("GET / HTTP/1.0\r\n" H "\r\n", "none close|" BASE),
    V("GET / HTTP/1.0\r\n" H "Connection: Keep-Alive\r\n\r\n",
      "none|" BASE "connection=Keep-Alive;"),
    V("GET / HTTP/1.0\r\n\r\n", "none close|:method=GET;:path=/;"),
    V("GET /\r\n\r\n", "426 low_version"),
    V("POST / HTTP/1.0\r\n" H "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
      "chunked close|" POSTED "connection=keep-alive;transfer-encoding=chunked;"),
};

#define OK_ "HTTP/1.1 200 OK\r\n"

static const struct vector responses[] = {
    V("", "more"),
    V("HTTP/1.1 20", "more"),
    V(OK_ "\r\nxyz", "close rest|:status=200;"),
    V(OK_ "Content-Length: 2\r\n\r\n", "length 2|:status=200;content-length=2;"),
    V(OK_ "Content-Length: 0\r\n\r\n", "none|:status=200;content-length=0;"),
    V(OK_ "Transfer-Encoding: chunked\r\n\r\n", "chunked|:status=200;transfer-encoding=chunked;"),
    V(OK_ "host: x\r\n\r\n", "close|:status=200;host=x;"),
    V("HTTP/1.1 200\r\n\r\n", "close|:status=200;"),
    V("HTTP/1.1 200 \r\n\r\n", "close|:status=200;"),
    V("HTTP/1.1 999 a \xff b\r\n\r\n", "close|:status=999;"),
    V("HTTP/1.0 200 OK\r\n\r\n", "close|:status=200;"),
    V("HTTP/1.1 204 No Content\r\n\r\n", "none|:status=204;"),
    V("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "none|:status=204;"),
    V("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
      "502 http1.content_length_not_allowed"),
    V("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
      "502 http1.transfer_encoding_not_allowed"),
    V("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
      "none|:status=304;content-length=5;"),
    V("HTTP/1.1 200 a\x01\r\n\r\n", CHARS),
    V("HTTP/1.1 99 OK\r\n\r\n", BAD),
    V("HTTP/1.1 099 OK\r\n\r\n", BAD),
    V("HTTP/1.1 2000 OK\r\n\r\n", BAD),
    V("HTTP/1.1 20x OK\r\n\r\n", BAD),
    V("HTTP/1.1  200 OK\r\n\r\n", BAD),
    V("HTTP/2.0 200 OK\r\n\r\n", BAD),
    V("http/1.1 200 OK\r\n\r\n", BAD),
    V("garbage", BAD),
    V("\r\nHTTP/1.1 200 OK\r\n\r\n", BAD),
    V("HTTP/1.1 200 OK\nA: b\r\n\r\n", BAD),
    V("H\n", BAD),
    V(OK_ "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", BAD),
    V(OK_ "Content-Length: x\r\n\r\n", BAD),
    V(OK_ "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400 http1.content_length_and_chunked_not_allowed"),
    V(OK_ "Transfer-Encoding: gzip, chunked\r\n\r\n", "502 http1.invalid_transfer_encoding"),
    V(OK_ "X : y\r\n\r\n", BAD),
    V(OK_ "X: a\r\n b\r\n\r\n", BAD),
};

static void run(enum h1_kind kind, const struct codec_limits *l, const struct vector *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check(kind, l, v[i].in, v[i].want);
    }
}

static void request_line_vectors(void **state)
{
    run(H1_REQUEST, &limits, request_lines, ARRAY_LEN(request_lines));
}

static void target_vectors(void **state)
{
    run(H1_REQUEST, &limits, targets, ARRAY_LEN(targets));
}

static void field_vectors(void **state)
{
    run(H1_REQUEST, &limits, fields, ARRAY_LEN(fields));
}

static void framing_vectors(void **state)
{
    run(H1_REQUEST, &limits, framing, ARRAY_LEN(framing));
}

static void connection_vectors(void **state)
{
    run(H1_REQUEST, &limits, connection, ARRAY_LEN(connection));
}

static void http_10_vectors(void **state)
{
    run(H1_REQUEST, &limits_10, http_10, ARRAY_LEN(http_10));
}

static void response_vectors(void **state)
{
    run(H1_RESPONSE, &limits, responses, ARRAY_LEN(responses));
}

static void default_host_of_http_10(void **state)
{
    const struct http1_options o = {
        .accept_http_10 = true,
        .default_host_for_http_10 = STR("d"),
    };
    struct codec_limits l = limits;

    l.http1 = &o;
    check(H1_REQUEST, &l, STR("GET / HTTP/1.0\r\n\r\n"),
          "none close|:method=GET;:path=/;:authority=d;");
}

static void options_let_more_pass(void **state)
{
    static const struct string_matcher websocket = {
        .kind = STRING_MATCH_EXACT, .ignore_case = true, .value = {"websocket", 9}};
    static const struct http1_options methods = {.allow_custom_methods = true};
    static const struct http1_options length = {.allow_chunked_length = true};
    static const struct http1_options absolute = {.ignores_absolute_url = true};
    static const struct http1_options upgrade = {.ignored_upgrades = &websocket,
                                                 .ignored_upgrade_count = 1};
    static const struct {
        const struct http1_options *options;
        struct vector v;
    } rows[] = {
        {&methods, V("brew-Pot / HTTP/1.1\r\n\r\n", "none|:method=brew-Pot;:path=/;")},
        {&methods,
         V("averyverylongmethod / HTTP/1.1\r\n\r\n", "none|:method=averyverylongmethod;:path=/;")},
        {&methods, V(" / HTTP/1.1\r\n\r\n", BAD)},
        {&methods, V("G{T / HTTP/1.1\r\n\r\n", BAD)},
        {&length, V(POST_ "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "chunked close|"
                    ":method=POST;:authority=a;:path=/;"
                    "transfer-encoding=chunked;")},
        {&length, V(POST_ "Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n",
                    "chunked close|"
                    ":method=POST;:authority=a;:path=/;"
                    "transfer-encoding=chunked;")},
        {&length, V(POST_ "Transfer-Encoding: gzip\r\nContent-Length: 9\r\n\r\n",
                    "400 http1.content_length_and_chunked_not_allowed")},
        {&length, V(POST_ "Transfer-Encoding: chunked\r\nContent-Length: +9\r\n\r\n", BAD)},
        {&absolute, V("GET http://u@a/b HTTP/1.1\r\nHost: h\r\n\r\n",
                      "none|:method=GET;:authority=h;:path=http://u@a/b;")},
        {&absolute,
         V("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "none|:method=GET;:authority=h;:path=*;")},
        {&absolute, V("GET no HTTP/1.1\r\nHost: h\r\n\r\n", BAD)},
        {&upgrade, V(GET_ "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
                     "none|" BASE "connection=Upgrade;")},
        {&upgrade, V(GET_ "Connection: Upgrade\r\nUpgrade: other\r\n\r\n",
                     "none|" BASE "connection=Upgrade;upgrade=other;")},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct codec_limits l = limits;

        l.http1 = rows[i].options;
        check(H1_REQUEST, &l, rows[i].v.in, rows[i].v.want);
    }
}

static void spellings_are_kept_however_they_come(void **state)
{
    static const char head[] = "HTTP/1.1 200 All Fine\r\nX-One: 1\r\nx-ONE: 2\r\n\r\n";
    const struct http1_options o = {
        .header_key_format = HEADER_KEY_PRESERVED,
        .header_case = {.forwards_reason_phrase = true, .is_proper_otherwise = true},
    };
    struct codec_limits l = limits;

    l.http1 = &o;
    for (size_t cut = 1; cut < sizeof(head) - 1; cut++) {
        struct arena arena;
        struct header_map map;
        struct h1_parser p;
        size_t used;
        char name[8] = {0};

        arena_init(&arena, NULL);
        header_map_init(&map, &arena);
        h1_parser_start(&p, H1_RESPONSE, &l, &arena, &map);
        assert_int_equal(h1_parser_feed(&p, head, cut, &used), E_AGAIN);
        assert_int_equal(h1_parser_feed(&p, head + cut, sizeof(head) - 1 - cut, &used), 0);
        assert_int_equal(map.count, 3);
        assert_true(str_eq(map.items[1].name, STR("x-one")));
        assert_true(str_eq(map.items[2].name, STR("x-one")));
        assert_non_null(map.header_case);
        assert_true(str_eq(map.header_case->reason_phrase, STR("All Fine")));
        header_case_write(map.header_case, STR("x-one"), name);
        assert_string_equal(name, "X-One");
        header_case_write(map.header_case, STR("x-new"), name);
        assert_string_equal(name, "X-New");
        arena_done(&arena);
    }
}

static void underscores_in_names(void **state)
{
    struct codec_limits l = limits;

    l.underscores = UNDERSCORES_DROP;
    check(H1_REQUEST, &l, STR(GET_ "a_b: 1\r\nab: 2\r\n\r\n"), "none|" BASE "ab=2;");
    l.underscores = UNDERSCORES_REJECT;
    check(H1_REQUEST, &l, STR(GET_ "a_b: 1\r\n\r\n"), "400 http1.unexpected_underscore");
}

/* A head with `lines` fields "x: y" (6 bytes each) and one value of `value_len` bytes. */
static char *make_head(size_t lines, size_t value_len, size_t *ret_len)
{
    struct strbuf b;

    strbuf_init(&b);
    strbuf_add_c(&b, GET_);
    for (size_t i = 0; i < lines; i++) {
        strbuf_add_c(&b, "x: y\r\n");
    }
    strbuf_add_c(&b, "v: ");
    for (size_t i = 0; i < value_len; i++) {
        strbuf_add_char(&b, 'v');
    }
    strbuf_add_c(&b, "\r\n\r\n");
    *ret_len = b.len;
    return strbuf_take(&b);
}

static void expect_head(size_t lines, size_t value_len, const char *want)
{
    size_t len;
    char *head = make_head(lines, value_len, &len);
    size_t cuts[512];
    size_t count = 0;
    const size_t whole[] = {len};
    char *got = describe(H1_REQUEST, &limits, str_n(head, len), whole, 1);

    assert_memory_equal(got, want, strlen(want));
    free(got);
    for (size_t at = 0; at < len;) {
        at = at + 37 < len ? at + 37 : len;
        assert_true(count < ARRAY_LEN(cuts));
        cuts[count++] = at;
    }
    got = describe(H1_REQUEST, &limits, str_n(head, len), cuts, count);
    assert_memory_equal(got, want, strlen(want));
    free(got);
    free(head);
}

static void bounds_on_count_and_size(void **state)
{
    size_t fixed = sizeof(GET_) - 1 + sizeof("v: \r\n\r\n") - 1;

    expect_head(18, 1, "none|"); /* Host, 18 and v: 20 */
    expect_head(19, 1, "431 http1.too_many_headers");
    expect_head(0, 8192 - fixed, "none|");
    expect_head(0, 8192 - fixed + 1, "431 http1.headers_too_large");
    expect_head(0, 16000, "431 http1.headers_too_large");
}

static void a_line_without_end_is_bounded(void **state)
{
    struct arena arena;
    struct header_map map;
    struct h1_parser p;
    size_t used;
    size_t fed = 0;
    int r = E_AGAIN;

    arena_init(&arena, NULL);
    header_map_init(&map, &arena);
    h1_parser_start(&p, H1_REQUEST, &limits, &arena, &map);
    r = h1_parser_feed(&p, "GET /", 5, &used);
    while (r == E_AGAIN) {
        r = h1_parser_feed(&p, "aaaaaaaa", 8, &used);
        fed += used;
        assert_true(fed <= 8192 + 8);
    }
    assert_int_equal(r, E_PROTOCOL);
    assert_int_equal(p.error->status, 431);
    assert_true(arena.total_bytes <= (size_t)4 * 8192);
    arena_done(&arena);
}

/* --- Chunks ----------------------------------------------------------------------------------- */

/* "data|rest" or "data!" for a refusal, "data..." when more is needed. */
static char *describe_chunks(struct str in, size_t step)
{
    struct h1_chunks c;
    struct strbuf b;
    size_t at = 0;
    int r = E_AGAIN;

    strbuf_init(&b);
    h1_chunks_start(&c);
    while (at < in.len && (r == E_AGAIN || r == 0)) {
        size_t n = in.len - at < step ? in.len - at : step;
        size_t used;

        if (c.remaining > 0) {
            used = n < c.remaining ? n : (size_t)c.remaining;
            strbuf_add(&b, in.ptr + at, used);
            c.remaining -= used;
            at += used;
            r = c.remaining > 0 ? 0 : E_AGAIN;
            continue;
        }
        r = h1_chunks_feed(&c, in.ptr + at, n, &used);
        at += used;
    }
    if (r == 1) {
        strbuf_addf(&b, "|%.*s", STR_ARG(str_sub(in, at, in.len)));
    } else {
        strbuf_add_c(&b, r == E_PROTOCOL ? "!" : "...");
    }
    return strbuf_take(&b);
}

static void chunk_vectors(void **state)
{
    static const struct vector vectors[] = {
        V("5\r\nhello\r\n0\r\n\r\n", "hello|\r\n"),
        V("5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n", "helloabc|\r\n"),
        V("A\r\n0123456789\r\n0\r\n\r\n", "0123456789|\r\n"),
        V("00005\r\nhello\r\n000\r\n\r\n", "hello|\r\n"),
        V("5;a=b\r\nhello\r\n0;x\r\n\r\n", "hello|\r\n"),
        V("5;a=\"b c;\xff\"\r\nhello\r\n0\r\n\r\n", "hello|\r\n"),
        V("5 ; a\r\nhello\r\n0\r\n\r\n", "hello|\r\n"),
        V("5 \t\r\nhello\r\n0\r\n\r\n", "!"),
        V("5 \t; a = \"b\\\"c\" ;d\r\nhello\r\n0\r\n\r\n", "hello|\r\n"),
        V("5;a=\"b\r\nhello\r\n0\r\n\r\n", "!"),
        V("5\r\nhel", "hel..."),
        V("5\r\nhello", "hello..."),
        V("", "..."),
        V("0000000000000005\r\nhello", "!"),
        V(" 5\r\n", "!"),
        V("0x5\r\n", "!"),
        V("0_2e\r\n", "!"),
        V("-5\r\n", "!"),
        V("+5\r\n", "!"),
        V("\r\n", "!"),
        V(";a\r\n", "!"),
        V("g\r\n", "!"),
        V("5 5\r\n", "!"),
        V("10000000000000000\r\n", "!"),
        V("ffffffffffffffff\r\n", "!"),
        V("5\nhello\r\n", "!"),
        V("5\rhello\r\n", "!"),
        V("5\r\nhello\n0\r\n\r\n", "hello!"),
        V("5\r\nhelloX0\r\n\r\n", "hello!"),
        V("5\r\nhellooo\r\n0\r\n\r\n", "hello!"),
        V("5\r\nhello\r\r\n0\r\n\r\n", "hello!"),
        V("5;a\rb\r\nhello", "!"),
        V("5;a\nhello", "!"),
        V("5;\0\r\n", "!"),
        V("5;\x7f\r\n", "!"),
    };

    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        for (size_t step = 1; step <= vectors[i].in.len + 1; step++) {
            char *got = describe_chunks(vectors[i].in, step);

            if (strcmp(got, vectors[i].want) != 0) {
                fail_msg("%.*s in steps of %zu: %s", STR_ARG(vectors[i].in), step, got);
            }
            free(got);
        }
    }
}

static void chunk_extensions_are_bounded(void **state)
{
    struct h1_chunks c;
    size_t used;
    int r;

    h1_chunks_start(&c);
    r = h1_chunks_feed(&c, "5;", 2, &used);
    for (size_t i = 0; r == E_AGAIN; i++) {
        assert_true(i < 4200);
        r = h1_chunks_feed(&c, "a", 1, &used);
    }
    assert_int_equal(r, E_PROTOCOL);
}

static void trailers_drop_what_none_may_hold(void **state)
{
    struct arena arena;
    struct header_map map;
    struct h1_parser p;
    struct str in =
        STR("X-T: y\r\nContent-Length: 3\r\nHost: z\r\nTransfer-Encoding: q\r\n\r\nrest");
    size_t used;

    arena_init(&arena, NULL);
    header_map_init(&map, &arena);
    h1_parser_start(&p, H1_TRAILERS, &limits, &arena, &map);
    assert_int_equal(h1_parser_feed(&p, in.ptr, in.len, &used), 0);
    assert_int_equal(used, in.len - 4);
    assert_int_equal(map.count, 1);
    assert_true(str_eq(map.items[0].name, STR("x-t")));
    /* Dropped ones are checked all the same. */
    h1_parser_start(&p, H1_TRAILERS, &limits, &arena, NULL);
    assert_int_equal(h1_parser_feed(&p, "X T: y\r\n\r\n", 10, &used), E_PROTOCOL);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_line_vectors),
        cmocka_unit_test(target_vectors),
        cmocka_unit_test(field_vectors),
        cmocka_unit_test(framing_vectors),
        cmocka_unit_test(connection_vectors),
        cmocka_unit_test(http_10_vectors),
        cmocka_unit_test(response_vectors),
        cmocka_unit_test(default_host_of_http_10),
        cmocka_unit_test(options_let_more_pass),
        cmocka_unit_test(spellings_are_kept_however_they_come),
        cmocka_unit_test(underscores_in_names),
        cmocka_unit_test(bounds_on_count_and_size),
        cmocka_unit_test(a_line_without_end_is_bounded),
        cmocka_unit_test(chunk_vectors),
        cmocka_unit_test(chunk_extensions_are_bounded),
        cmocka_unit_test(trailers_drop_what_none_may_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
