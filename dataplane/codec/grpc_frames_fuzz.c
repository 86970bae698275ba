/*
 * Length-prefixed messages out of arbitrary bytes, taken and counted, whole and in pieces: the
 * division must not matter, and taking must agree with counting. The first byte is the length of
 * the pieces, the second the flags that are allowed.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/base/error.h"
#include "dataplane/codec/grpc_frames.h"

#define MAX_BYTES 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes what it can; returns how it ended. */
static int take_all(struct buf *in, uint8_t allowed, struct buf *out, uint64_t *count)
{
    for (;;) {
        uint8_t flags;
        size_t before = buf_len(in);
        size_t taken = buf_len(out);
        int r = grpc_frame_take(in, MAX_BYTES, allowed, out, &flags);

        if (r != 0) {
            CHECK(buf_len(in) == before && buf_len(out) == taken);
            return r;
        }
        CHECK((flags & ~allowed) == 0);
        CHECK(before - buf_len(in) == GRPC_FRAME_HEAD_BYTES + buf_len(out) - taken);
        (*count)++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grpc_frame_counter whole = {.count = 0};
    struct grpc_frame_counter pieces = {.count = 0};
    struct buf_pool pool;
    struct buf in;
    struct buf out;
    uint64_t taken = 0;
    size_t step;
    int r = E_AGAIN;

    if (size < 2) {
        return 0;
    }
    step = (size_t)data[0] + 1;
    buf_pool_init(&pool, 4);
    buf_init(&in, &pool);
    buf_init(&out, &pool);
    grpc_frame_counter_feed(&whole, str_n((const char *)data + 2, size - 2));
    for (size_t at = 2; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;

        grpc_frame_counter_feed(&pieces, str_n((const char *)data + at, n));
        if (r == E_AGAIN) {
            buf_add(&in, data + at, n);
            r = take_all(&in, data[1], &out, &taken);
        }
    }
    CHECK(whole.count == pieces.count && whole.completed == pieces.completed);
    CHECK(whole.count - whole.completed <= 1);
    CHECK(grpc_frame_counter_is_between(&whole) == (whole.count == whole.completed));
    CHECK(taken <= whole.completed);
    if (r == E_AGAIN) {
        CHECK(taken == whole.completed);
    }
    buf_reset(&in);
    buf_reset(&out);
    buf_pool_done(&pool);
    return 0;
}
