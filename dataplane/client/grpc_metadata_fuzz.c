/*
 * What a server may put into a gRPC response: messages in any framing, cut anywhere, then trailers.
 * Byte 0: how the bytes are cut; byte 1: the largest message allowed; byte 2: how many of the
 * last bytes are the grpc-message (a grpc-status stands before it). Taking messages out and looking
 * on as they pass must agree.
 */

#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/client/grpc_metadata.h"
#include "dataplane/codec/grpc_frames.h"
#include "dataplane/stream_info/grpc_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frames(const uint8_t *data, size_t size, size_t step, uint32_t max_bytes)
{
    struct grpc_frame_counter passing = {0};
    struct buf_pool pool;
    struct buf in;
    struct buf message;
    uint64_t taken = 0;
    uint64_t bytes = 0;
    uint8_t flags;
    int r = E_AGAIN;

    buf_pool_init(&pool, 4);
    buf_init(&in, &pool);
    buf_init(&message, &pool);
    for (size_t at = 0; at < size && r == E_AGAIN; at += step) {
        size_t n = size - at < step ? size - at : step;

        buf_add(&in, data + at, n);
        grpc_frame_counter_feed(&passing, str_n((const char *)data + at, n));
        while ((r = grpc_frame_take(&in, max_bytes, GRPC_FRAME_COMPRESSED, &message, &flags)) ==
               0) {
            CHECK(buf_len(&message) <= max_bytes && flags <= GRPC_FRAME_COMPRESSED);
            taken++;
            bytes += GRPC_FRAME_HEAD_BYTES + buf_len(&message);
            buf_reset(&message);
        }
        CHECK(buf_len(&message) == 0);
        CHECK(buf_len(&in) < GRPC_FRAME_HEAD_BYTES + (size_t)max_bytes || r != E_AGAIN);
    }
    CHECK(bytes <= size);
    CHECK(r == E_AGAIN ? taken == passing.completed : taken <= passing.completed);
    CHECK(r != E_AGAIN || grpc_frame_counter_is_between(&passing) == (buf_len(&in) == 0));
    buf_reset(&in);
    buf_pool_done(&pool);
}

static void check_trailers(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct header_map map;
    struct str text = str_n((const char *)data, size);
    struct str message;
    enum grpc_code code;

    arena_init(&arena, NULL);
    header_map_init(&map, &arena);
    header_add(&map, HDR_GRPC_STATUS, str_sub(text, 0, 3));
    header_add(&map, HDR_GRPC_MESSAGE, text);
    if (grpc_metadata_read_status(&map, &code, &message)) {
        CHECK(code <= GRPC_UNAUTHENTICATED);
        CHECK(message.len <= size);
    } else {
        CHECK(size == 0);
    }
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t trailers;

    if (size < 3) {
        return 0;
    }
    trailers = data[2] < size - 3 ? data[2] : size - 3;
    check_frames(data + 3, size - 3 - trailers, (size_t)data[0] + 1, data[1]);
    check_trailers(data + size - trailers, trailers);
    return 0;
}
