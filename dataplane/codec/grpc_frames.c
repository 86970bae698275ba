/* gRPC's length-prefixed messages. Any thread; no I/O, no state but the caller's. */

#include "dataplane/codec/grpc_frames.h"

#include "dataplane/base/error.h"

struct grpc_frame_head grpc_frame_head_read(const uint8_t bytes[GRPC_FRAME_HEAD_BYTES])
{
    return (struct grpc_frame_head){
        .flags = bytes[0],
        .length = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 |
                  bytes[4],
    };
}

void grpc_frame_head_write(struct grpc_frame_head h, uint8_t ret_bytes[GRPC_FRAME_HEAD_BYTES])
{
    ret_bytes[0] = h.flags;
    ret_bytes[1] = (uint8_t)(h.length >> 24);
    ret_bytes[2] = (uint8_t)(h.length >> 16);
    ret_bytes[3] = (uint8_t)(h.length >> 8);
    ret_bytes[4] = (uint8_t)h.length;
}

int grpc_frame_take(struct buf *in, uint32_t max_bytes, uint8_t allowed_flags,
                    struct buf *ret_message, uint8_t *ret_flags)
{
    uint8_t bytes[GRPC_FRAME_HEAD_BYTES];
    size_t have = buf_copy_out(in, 0, bytes, sizeof(bytes));
    struct grpc_frame_head h;

    if (have > 0 && (bytes[0] & ~allowed_flags) != 0) {
        return E_PROTOCOL;
    }
    if (have < sizeof(bytes)) {
        return E_AGAIN;
    }
    h = grpc_frame_head_read(bytes);
    if (h.length > max_bytes) {
        return E_LIMIT;
    }
    if (buf_len(in) - sizeof(bytes) < h.length) {
        return E_AGAIN;
    }
    buf_drain(in, sizeof(bytes));
    buf_move_n(ret_message, in, h.length);
    *ret_flags = h.flags;
    return 0;
}

static void counter_end_message(struct grpc_frame_counter *c)
{
    c->completed++;
    c->head_bytes = 0;
}

void grpc_frame_counter_feed(struct grpc_frame_counter *c, struct str bytes)
{
    while (bytes.len > 0) {
        if (c->head_bytes == sizeof(c->head)) {
            size_t n = bytes.len < c->message_bytes ? bytes.len : c->message_bytes;

            c->message_bytes -= (uint32_t)n;
            bytes = str_sub(bytes, n, bytes.len);
        } else {
            if (c->head_bytes == 0) {
                c->count++;
            }
            c->head[c->head_bytes++] = (uint8_t)bytes.ptr[0];
            bytes = str_sub(bytes, 1, bytes.len);
            if (c->head_bytes < sizeof(c->head)) {
                continue;
            }
            c->message_bytes = grpc_frame_head_read(c->head).length;
        }
        if (c->message_bytes == 0) {
            counter_end_message(c);
        }
    }
}

size_t grpc_frame_counter_run(const struct grpc_frame_counter *c, size_t len)
{
    size_t left = c->head_bytes < sizeof(c->head) ? sizeof(c->head) - c->head_bytes
                                                  : (size_t)c->message_bytes;

    return left < len ? left : len;
}

void grpc_frame_counter_feed_buf(struct grpc_frame_counter *c, const struct buf *data)
{
    for (const struct buf_seg *s = data->head; s != NULL; s = s->next) {
        grpc_frame_counter_feed(c, str_n((const char *)s->data, s->len));
    }
}
