/* Nanoseconds for typical heads, parsed and (the browser's) written again. By hand. */

#include <stdio.h>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/codec/h1_encode.h"
#include "dataplane/codec/h1_parser.h"

#define ROUNDS 1000000

static const char minimal[] = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

static const char browser[] =
    "GET /static/app/main.3f2a91.js?v=20260801 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
    "Referer: https://www.example.com/start\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "X-Requested-With: XMLHttpRequest\r\n"
    "\r\n";

static const struct codec_limits limits = {.max_headers_bytes = 61440, .max_headers_count = 100};

struct bench {
    struct arena_pool arenas;
    struct buf_pool bufs;
    struct buf out;
};

static void one(struct bench *b, const char *text, size_t len, bool encodes)
{
    struct arena arena;
    struct header_map map;
    struct h1_parser p;
    enum h1_framing framing;
    size_t used;
    int r;

    arena_init(&arena, &b->arenas);
    header_map_init(&map, &arena);
    h1_parser_start(&p, H1_REQUEST, &limits, &arena, &map);
    r = h1_parser_feed(&p, text, len, &used);
    CHECK(r == 0 && used == len);
    r = h1_request_finish(&p, &framing);
    CHECK(r == 0);
    if (encodes) {
        const struct h1_head_tail tail = {.is_proper_case = false};

        h1_encode_request_head(&b->out, &map, false, &tail);
        buf_drain(&b->out, buf_len(&b->out));
    }
    arena_done(&arena);
}

static void measure(const char *what, const char *text, size_t len, bool encodes)
{
    struct bench b;
    uint64_t best = UINT64_MAX;

    arena_pool_init(&b.arenas, 16);
    buf_pool_init(&b.bufs, 16);
    buf_init(&b.out, &b.bufs);
    for (int round = 0; round < 5; round++) {
        uint64_t start = clock_mono_ns();
        uint64_t spent;

        for (int i = 0; i < ROUNDS; i++) {
            one(&b, text, len, encodes);
        }
        spent = clock_mono_ns() - start;
        best = spent < best ? spent : best;
    }
    (void)printf("%-24s %7.1f ns (%zu bytes)\n", what, (double)best / ROUNDS, len);
    buf_reset(&b.out);
    buf_pool_done(&b.bufs);
    arena_pool_done(&b.arenas);
}

int main(void)
{
    measure("minimal", minimal, sizeof(minimal) - 1, false);
    measure("browser", browser, sizeof(browser) - 1, false);
    measure("browser, parse + encode", browser, sizeof(browser) - 1, true);
    return 0;
}
