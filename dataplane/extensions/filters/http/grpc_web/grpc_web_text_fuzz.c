/*
 * Text of a request decoded piece by piece and whole, and a response encoded piece by piece: the
 * division must not matter. The first byte is the length of the pieces.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/extensions/filters/http/grpc_web/grpc_web_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool decode(struct buf_pool *pool, struct str text, size_t piece, struct buf *out,
                   uint8_t *ret_count)
{
    struct base64_decoder d = {.count = 0};

    while (text.len > 0) {
        struct str part = str_sub(text, 0, piece);
        struct buf b;

        buf_init(&b, pool);
        buf_add_str(&b, part);
        if (grpc_web_text_decode(&d, &b) != 0) {
            buf_reset(&b);
            return false;
        }
        buf_move(out, &b);
        text = str_sub(text, part.len, text.len);
    }
    *ret_count = d.count;
    return true;
}

static void encode(struct buf_pool *pool, struct str body, size_t piece, struct buf *out)
{
    struct grpc_web_text_encoder e = {.base64 = {.count = 0}};

    do {
        struct str part = str_sub(body, 0, piece);
        struct buf b;

        buf_init(&b, pool);
        buf_add_str(&b, part);
        body = str_sub(body, part.len, body.len);
        grpc_web_text_encode(&e, &b, body.len == 0);
        buf_move(out, &b);
    } while (body.len > 0);
}

static void check_same(const struct buf *a, const struct buf *b)
{
    uint8_t left[256];
    uint8_t right[256];
    size_t n = 0;

    CHECK(a->len == b->len);
    for (size_t at = 0; at < a->len; at += n) {
        n = buf_copy_out(a, at, left, sizeof(left));
        CHECK(buf_copy_out(b, at, right, sizeof(right)) == n && memcmp(left, right, n) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf_pool pool;
    struct buf whole;
    struct buf pieces;
    struct str in;
    uint8_t whole_count = 0;
    uint8_t count = 0;
    size_t piece;

    if (size < 2) {
        return 0;
    }
    piece = (size_t)data[0] + 1;
    in = str_n((const char *)data + 1, size - 1);
    buf_pool_init(&pool, 4);
    buf_init(&whole, &pool);
    buf_init(&pieces, &pool);
    if (decode(&pool, in, in.len, &whole, &whole_count)) {
        CHECK(decode(&pool, in, piece, &pieces, &count) && count == whole_count);
        check_same(&whole, &pieces);
    }
    buf_reset(&whole);
    buf_reset(&pieces);
    encode(&pool, in, in.len, &whole);
    encode(&pool, in, piece, &pieces);
    check_same(&whole, &pieces);
    buf_reset(&whole);
    buf_reset(&pieces);
    buf_pool_done(&pool);
    return 0;
}
