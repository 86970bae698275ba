/*
 * Heads, trailers and chunked framing from arbitrary bytes. The first byte chooses what is parsed,
 * the second how the rest is cut; whole and cut must give the same verdict and the same fields.
 */

#include <stdint.h>
#include <stdlib.h>

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    struct arena arena;
    struct header_map map;
    struct h1_parser parser;
    enum h1_framing framing;
    size_t used;
    int r;
};

static void parse(struct outcome *o, enum h1_kind kind, const struct codec_limits *l,
                  const char *data, size_t len, size_t step)
{
    arena_init(&o->arena, NULL);
    header_map_init(&o->map, &o->arena);
    h1_parser_start(&o->parser, kind, l, &o->arena, &o->map);
    o->framing = H1_BODY_NONE;
    o->used = 0;
    o->r = E_AGAIN;
    while (o->used < len && o->r == E_AGAIN) {
        size_t n = len - o->used < step ? len - o->used : step;
        char *piece = malloc(n);
        size_t used;

        CHECK(piece != NULL);
        memcpy(piece, data + o->used, n);
        o->r = h1_parser_feed(&o->parser, piece, n, &used);
        free(piece);
        CHECK(used <= n && (o->r != E_AGAIN || used == n));
        o->used += used;
    }
    if (o->r == E_AGAIN) {
        size_t used;

        /* An unfinished line may be refused early or not; with its LF it must be. */
        o->r = h1_parser_feed(&o->parser, "\n", 1, &used);
    }
    if (o->r == 0 && kind == H1_REQUEST) {
        o->r = h1_request_finish(&o->parser, &o->framing);
    } else if (o->r == 0 && kind == H1_RESPONSE) {
        o->r = h1_response_finish(&o->parser, false, &o->framing);
    }
    CHECK(o->r != E_PROTOCOL || o->parser.error != NULL);
}

static void check_fields(const struct header_map *m)
{
    uint32_t bytes = 0;

    header_for_each(h, m)
    {
        CHECK(h->name.len > 0);
        bytes += (uint32_t)(h->name.len + h->value.len);
        for (size_t i = 0; i < h->name.len; i++) {
            CHECK(h->name.ptr[i] > ' ' && !(h->name.ptr[i] >= 'A' && h->name.ptr[i] <= 'Z'));
        }
        for (size_t i = 0; i < h->value.len; i++) {
            uint8_t c = (uint8_t)h->value.ptr[i];

            CHECK((c >= 0x20 || c == '\t') && c != 0x7f);
        }
    }
    CHECK(bytes == m->byte_size);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->r == b->r);
    if (a->r != 0) {
        return;
    }
    CHECK(a->used == b->used && a->framing == b->framing && a->map.count == b->map.count);
    CHECK(a->parser.wants_close == b->parser.wants_close);
    for (uint32_t i = 0; i < a->map.count; i++) {
        const struct header *x = &a->map.items[i];
        const struct header *y = &b->map.items[i];

        CHECK(x->id == y->id && str_eq(x->name, y->name) && str_eq(x->value, y->value));
    }
    check_fields(&a->map);
}

static void fuzz_head(enum h1_kind kind, uint8_t flags, const char *data, size_t len, size_t step)
{
    const struct http1_options o = {
        .accept_http_10 = (flags & 1) != 0,
        .default_host_for_http_10 = (flags & 4) != 0 ? STR("d") : STR_NONE,
        .allow_custom_methods = (flags & 8) != 0,
        .allow_chunked_length = (flags & 16) != 0,
        .ignores_absolute_url = (flags & 32) != 0,
        .header_key_format = (flags & 32) != 0 ? HEADER_KEY_PRESERVED : HEADER_KEY_LOWER,
        .header_case = {.forwards_reason_phrase = (flags & 8) != 0},
    };
    const struct codec_limits l = {
        .max_headers_bytes = 4096,
        .max_headers_count = 30,
        .underscores = (uint8_t)(flags >> 1 & 1),
        .http1 = &o,
    };
    struct outcome whole;
    struct outcome cut;

    parse(&whole, kind, &l, data, len, len);
    parse(&cut, kind, &l, data, len, step);
    check_same(&whole, &cut);
    arena_done(&whole.arena);
    arena_done(&cut.arena);
}

static void fuzz_chunks(const char *data, size_t len, size_t step)
{
    struct h1_chunks c;
    size_t at = 0;
    int r = E_AGAIN;

    h1_chunks_start(&c);
    while (at < len && (r == E_AGAIN || r == 0)) {
        size_t n = len - at < step ? len - at : step;
        size_t used;

        if (c.remaining > 0) {
            used = n < c.remaining ? n : (size_t)c.remaining;
            c.remaining -= used;
            at += used;
            continue;
        }
        r = h1_chunks_feed(&c, data + at, n, &used);
        CHECK(used > 0 && used <= n);
        at += used;
        if (r == 0 && c.remaining == 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 2;

    if (size < 3) {
        return 0;
    }
    size -= 2;
    switch (data[0] & 3) {
    case 0:
        fuzz_head(H1_REQUEST, data[0] >> 2, text, size, data[1] + 1U);
        break;
    case 1:
        fuzz_head(H1_RESPONSE, data[0] >> 2, text, size, data[1] + 1U);
        break;
    case 2:
        fuzz_head(H1_TRAILERS, data[0] >> 2, text, size, data[1] + 1U);
        break;
    default:
        fuzz_chunks(text, size, data[1] + 1U);
    }
    return 0;
}
